"""Data sets that tables need and that are drawn here, kept as .npz so that runs find them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unmingle.data import FactorDataset


def _scenes() -> FactorDataset:
    from unmingle.commands.demo import scenes

    return scenes()


def correlated_rows(count: int | None = None) -> NDArray[np.int64]:
    """Rows of 3D Shapes whose floor and wall hue differ by a step of ten at most, ascending.

    Xiang et al. (2021), supplement 4.

    Args:
        count: that many drawn at random; None: all 144,000.
    """
    import numpy as np

    from unmingle.data import shapes3d

    rows = np.random.default_rng(0).permutation(shapes3d.ROWS)
    factors = shapes3d.index_to_factors(rows)
    near = (factors[:, 0] - factors[:, 1] + 1) % 10 <= 2
    found: NDArray[np.int64] = np.sort(rows[near][:count])
    return found


def _correlated(count: int | None) -> FactorDataset:
    from unmingle.data import shapes3d

    return shapes3d.load(rows=correlated_rows(count))


MADE: dict[str, Callable[[], FactorDataset]] = {
    "scenes.npz": _scenes,
    "shapes3d-correlated.npz": lambda: _correlated(16_000),
    "shapes3d-correlated-all.npz": lambda: _correlated(None),
}
"""Name of the file and what draws it."""


def made(name: str, folder: Path) -> Path:
    """The file in `folder`; it is drawn if it is not there yet."""
    file = folder / name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        MADE[name]().save(file)
    return file
