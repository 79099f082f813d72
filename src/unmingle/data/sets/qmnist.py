"""QMNIST: MNIST's digits again, with their writers and the 50,000 lost test digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets import _idx
from unmingle.data.sets._base import NamedSet, Protocol
from unmingle.errors import DataError

_PAPER = "C. Yadav, L. Bottou, Cold Case: The Lost MNIST Digits, NeurIPS 2019 (arXiv:1905.10498)"
_FILES = (
    "qmnist-train-images-idx3-ubyte",
    "qmnist-train-labels-idx2-int",
    "qmnist-test-images-idx3-ubyte",
    "qmnist-test-labels-idx2-int",
)
_HASHES: dict[str, tuple[str, int | None]] = {
    _FILES[0]: ("ed72d4157d28c017586c42bc6afe6370", None),
    _FILES[1]: ("0058f8dd561b90ffdd0f734c6a30e5e4", None),
    _FILES[2]: ("1394631089c404de565df7b7aeaf9412", None),
    _FILES[3]: ("5b5b05890a5e13444e108efe57b788aa", None),
}
_CLASS, _SERIES, _WRITER = 0, 1, 2  # columns of the eight


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """White digits on black, uint8 [N, 28, 28, 1]: 60,000 to train, then 60,000 to test.

    Factors: `digit`; `writer`, named by the NIST number; `series`, the NIST form series the digit
    is from (0 and 1: employees, 4: pupils). Values of `writer` do not depend on `rows`.

    Raises:
        DataError: a file is missing or damaged.
    """
    files, parts, labels = _idx.read_parts(SET, folder, _FILES, 2)
    if labels.shape[1] != 8:
        raise DataError(f"{files[1]}: {labels.shape[1]} columns of labels, expected 8")
    chosen = pick_rows(rows, len(labels), seed)
    factors, names = {"digit": labels[chosen, _CLASS]}, {"digit": tuple("0123456789")}
    for name, column in (("writer", _WRITER), ("series", _SERIES)):
        values, codes = np.unique(labels[:, column], return_inverse=True)
        factors[name] = codes.reshape(-1)[chosen]
        names[name] = tuple(str(value) for value in values)
    return FactorDataset(
        images=_idx.read_pictures(folder, files, parts, chosen, options),
        factors=factors,
        value_names=names,
        ids=chosen,
        name=SET.name,
    )


def _first_10000(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    inside = data.ids < 70_000
    if not inside.any():
        raise DataError(f"{data.name}: the split mnist uses rows 0 to 69,999, and none was read")
    return _idx.official(data.select(inside))


SET = NamedSet(
    name="qmnist",
    title="QMNIST",
    summary="MNIST's digits with who wrote them, and the 50,000 lost test digits",
    rows=120_000,
    shape="28x28x1",
    factors={"digit": 10, "writer": None, "series": 3},
    licence="BSD 3-Clause",
    paper=_PAPER,
    url="https://github.com/facebookresearch/qmnist",
    layout="\n".join(f"{name}.gz   (or unpacked)" for name in _FILES),
    read=read,
    traps=(
        "The test labels with eight columns (idx2-int) are read, not the older ones of one column.",
    ),
    downloads=_idx.downloads(
        "https://raw.githubusercontent.com/facebookresearch/qmnist/master/", _HASHES
    ),
    splits={
        "official": Protocol("60,000 digits to train, 60,000 to test", _PAPER, _idx.official),
        "mnist": Protocol(
            "60,000 digits to train, the 10,000 of MNIST's test set to test", _PAPER, _first_10000
        ),
    },
)
