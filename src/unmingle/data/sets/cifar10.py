"""CIFAR-10, binary version: data_batch_1.bin … data_batch_5.bin and test_batch.bin.

A record is one byte, the label, and 3,072 bytes of pixels: 32x32 of red, then green, then blue,
row by row. The Python version holds pickles, which are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import Download, NamedSet, Protocol, need
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.sets._photos import by_part
from unmingle.errors import DataError

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_RECORD = 1 + 3 * 32 * 32
_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_FOLDER = "cifar-10-batches-bin"
_PAPER = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Photos of ten kinds of things, 32x32x3.

    Args:
        folder: with the six .bin files, or with the folder cifar-10-batches-bin.
        options: size, channels, memory limit.
        rows, seed: as `pick_rows`; the 50,000 training rows come first.

    Returns:
        Factors `class` (10) and `part` (train, test).

    Raises:
        DataError: a file is missing, not of whole records, or has a label above 9; wrong `rows`.
    """
    if not any((folder / place / _FILES[0]).is_file() for place in ("", _FOLDER)):
        _refuse_pickles(folder)
    files = [need(SET, folder, name, f"{_FOLDER}/{name}") for name in _FILES]
    records = [_records(file) for file in files]
    label = np.concatenate([table[:, 0] for table in records]).astype(np.int64)
    test = np.repeat([0] * 5 + [1], [len(table) for table in records])
    chosen = pick_rows(rows, len(label), seed)

    def blocks() -> Iterator[NDArray[np.uint8]]:
        for table in records:
            yield table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    names = [file.relative_to(folder) for file in files]
    images = read_image_blocks(folder, names, (32, 32, 3), blocks, chosen, options)
    return FactorDataset(
        images=images,
        factors={"class": label[chosen], "part": test[chosen]},
        value_names={"class": CLASSES, "part": ("train", "test")},
        ids=chosen,
        name="cifar10",
    )


def _records(file: Path) -> NDArray[np.uint8]:
    """uint8 [N, 3073], memory-mapped."""
    size = file.stat().st_size
    if size == 0 or size % _RECORD:
        raise DataError(
            f"{file}: {size:,} bytes are no whole number of records of {_RECORD:,}; a batch of "
            f"10,000 has {10_000 * _RECORD:,}"
        )
    table = np.memmap(file, np.uint8, "r").reshape(-1, _RECORD)
    wrong = np.flatnonzero(table[:, 0] > 9)
    if len(wrong):
        raise DataError(
            f"{file}: the label of record {wrong[0]} is {table[wrong[0], 0]}, expected 0 to 9"
        )
    return table


def _refuse_pickles(folder: Path) -> None:
    for place in ("", "cifar-10-batches-py"):
        if (folder / place / "data_batch_1").is_file():
            raise DataError(
                f"{folder / place}: these are the pickles of CIFAR-10's Python version, which are "
                f"never opened; the binary version is wanted (cifar-10-binary.tar.gz at {SET.url})"
            )


SET = NamedSet(
    name="cifar10",
    title="CIFAR-10",
    summary="60,000 small photos of ten kinds of things",
    rows=60_000,
    shape="32x32x3",
    factors={"class": 10, "part": 2},
    licence="none stated; the authors ask to be cited",
    paper=_PAPER,
    url="https://www.cs.toronto.edu/~kriz/cifar.html",
    layout=f"{_FOLDER}/\n" + "".join(f"  {name}\n" for name in _FILES).rstrip(),
    read=read,
    traps=(
        "The binary version is read; the Python version is pickles, which are never opened.",
        "Pixels lie colour by colour in the files; here they are 32x32x3.",
    ),
    downloads=(
        Download(
            url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            file="cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            bytes=170_052_171,
            unpack=True,
        ),
    ),
    splits={
        "official": Protocol(
            "the set's own batches: 50,000 to train, 10,000 to test", _PAPER, by_part("test")
        )
    },
)
