"""Small data sets that several tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unmingle.data import FactorDataset


def grid(rows: int = 6, columns: int = 4, repeats: int = 1) -> FactorDataset:
    """Every combination of factors a and b; each image is filled with its number."""
    a, b = (part.ravel() for part in np.indices((rows, columns, repeats))[:2])
    images = (
        np.zeros((len(a), 16, 18, 1), np.uint8)
        + np.arange(len(a), dtype=np.uint8)[:, None, None, None]
    )
    return FactorDataset(images=images, factors={"a": a, "b": b}, name="grid")


def vectors(count: int = 5, width: int = 3) -> np.ndarray:
    return np.arange(count * width, dtype=np.float32).reshape(count, width)


def mapped(tmp_path: Path, data: FactorDataset) -> FactorDataset:
    np.save(tmp_path / "items.npy", data.items)
    items = np.load(tmp_path / "items.npy", mmap_mode="r")
    return FactorDataset(images=items, factors=data.factors, name=data.name)
