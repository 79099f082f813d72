"""Take images apart into factors and put them together again.

Everything public is here by name and imported on first use, so that `import unmingle` is quick
and torch is loaded only by what needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .errors import (
    ConfigError,
    DataError,
    DivergedError,
    MissingExtraError,
    RunError,
    UnmingleError,
)

if TYPE_CHECKING:
    from .data import FactorDataset, load_data
    from .evaluation import Scores, evaluate
    from .methods import (
        DIPVAE,
        LORD,
        METHODS,
        VAE,
        AnnealedVAE,
        BetaTCVAE,
        BetaVAE,
        CodeSpace,
        ContentStyle,
        DisUnknown,
        FactorVAE,
        Method,
        ReferenceVAE,
        RobustDisentangling,
        SymmetricReferenceVAE,
        SymmetricVAE,
        load,
    )

__version__ = "0.1.0"

__all__ = [
    "DIPVAE",
    "LORD",
    "METHODS",
    "VAE",
    "AnnealedVAE",
    "BetaTCVAE",
    "BetaVAE",
    "CodeSpace",
    "ConfigError",
    "ContentStyle",
    "DataError",
    "DisUnknown",
    "DivergedError",
    "FactorDataset",
    "FactorVAE",
    "Method",
    "MissingExtraError",
    "ReferenceVAE",
    "RobustDisentangling",
    "RunError",
    "Scores",
    "SymmetricReferenceVAE",
    "SymmetricVAE",
    "UnmingleError",
    "__version__",
    "evaluate",
    "load",
    "load_data",
]

_HOMES = {
    "FactorDataset": "data",
    "load_data": "data",
    "Scores": "evaluation",
    "evaluate": "evaluation",
    "DisUnknown": "methods",
    "DIPVAE": "methods",
    "ContentStyle": "methods",
    "LORD": "methods",
    "RobustDisentangling": "methods",
    "METHODS": "methods",
    "VAE": "methods",
    "AnnealedVAE": "methods",
    "BetaTCVAE": "methods",
    "BetaVAE": "methods",
    "CodeSpace": "methods",
    "FactorVAE": "methods",
    "Method": "methods",
    "ReferenceVAE": "methods",
    "SymmetricReferenceVAE": "methods",
    "SymmetricVAE": "methods",
    "load": "methods",
}

if not TYPE_CHECKING:  # type checkers see the imports above, and a misspelt name as an error

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'unmingle' has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
