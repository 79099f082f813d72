"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmingle.data import digits
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet
from unmingle.errors import ConfigError


def read(
    folder: Path | None, options: ReadOptions, *, rows: Any = None, seed: int = 0
) -> FactorDataset:
    """The 1,797 digits, scaled up to `size` (32 by default): uint8 [N, H, W, 1].

    Raises:
        ConfigError: a folder is given.
        DataError: wrong rows.
    """
    if folder is not None:
        raise ConfigError("digits comes with scikit-learn and is read from no folder")
    return digits.load(options.geometry.size or 32, rows, seed)


SET = NamedSet(
    name="digits",
    title="Optical Recognition of Handwritten Digits",
    summary="real handwritten digits, scaled up from the 8x8 of scikit-learn",
    rows=1_797,
    shape="32x32x1",
    factors={"digit": 10},
    licence="CC BY 4.0",
    paper="E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
    url="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    layout="(nothing: it comes with scikit-learn)",
    read=read,
    embedded=True,
)
