"""SVHN, cropped digits: train_32x32.mat and test_32x32.mat.

Each .mat (version 5) holds `X` uint8 [32, 32, 3, N] and `y` [N, 1], 1 to 10, where 10 is a zero.
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
from unmingle.data.sets._files import read_mat
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.sets._photos import by_part
from unmingle.errors import DataError

_PARTS = ("train", "test", "extra")
_PAPER = (
    "Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, "
    "NIPS workshop 2011"
)
_URL = "http://ufldl.stanford.edu/housenumbers/"


def read(
    folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0, extra: bool = False
) -> FactorDataset:
    """Digits of house numbers, 32x32x3.

    Args:
        folder: with train_32x32.mat and test_32x32.mat.
        options: size, channels, memory limit.
        rows, seed: as `pick_rows`; training rows come first, then test rows, then the extra ones.
        extra: read extra_32x32.mat too (531,131 simpler digits).

    Returns:
        Factors `digit` (10) and `part` (train, test, extra).

    Raises:
        DataError: a file is missing, damaged or not of that format; wrong `rows`.
    """
    parts = _PARTS if extra else _PARTS[:2]
    files = [need(SET, folder, f"{part}_32x32.mat") for part in _PARTS[:2]]
    if extra:
        files.append(folder / "extra_32x32.mat")
        if not files[-1].is_file():
            raise DataError(
                f"svhn: there is no {files[-1]}; unmingle data get svhn --extra fetches it, 1.3 GB"
            )
    labels = [_labels(file) for file in files]
    digit = np.concatenate(labels)
    part = np.repeat(np.arange(len(parts)), [len(values) for values in labels])
    chosen = pick_rows(rows, len(digit), seed)

    def blocks() -> Iterator[NDArray[np.uint8]]:
        for file, values in zip(files, labels, strict=True):
            yield _images(file, len(values))

    names = [file.name for file in files]
    images = read_image_blocks(folder, names, (32, 32, 3), blocks, chosen, options)
    return FactorDataset(
        images=images,
        factors={"digit": digit[chosen], "part": part[chosen]},
        value_names={"digit": tuple(map(str, range(10))), "part": _PARTS},
        ids=chosen,
        name="svhn",
    )


def _labels(file: Path) -> NDArray[np.int64]:
    """Digits int64 [N], 0 to 9."""
    (values,) = read_mat(file, "y")
    if values.dtype.kind not in "fiu" or values.size != max(values.shape, default=0):
        raise DataError(f"{file}: y is {values.dtype} of shape {values.shape}, expected [N, 1]")
    labels = values.reshape(-1).astype(np.int64)
    wrong = np.flatnonzero((labels < 1) | (labels > 10))
    if len(wrong):
        raise DataError(f"{file}: y is {labels[wrong[0]]} in row {wrong[0]}, expected 1 to 10")
    return labels % 10


def _images(file: Path, count: int) -> NDArray[np.uint8]:
    """uint8 [N, 32, 32, 3]."""
    (pixels,) = read_mat(file, "X")
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, count):
        raise DataError(
            f"{file}: X is {pixels.dtype} of shape {pixels.shape}, expected uint8 "
            f"[32, 32, 3, {count}]"
        )
    return pixels.transpose(3, 0, 1, 2)


SET = NamedSet(
    name="svhn",
    title="SVHN",
    summary="99,289 digits cut out of photos of house numbers",
    rows=99_289,
    shape="32x32x3",
    factors={"digit": 10, "part": 3},
    licence="non-commercial use only",
    paper=_PAPER,
    url=_URL,
    layout="train_32x32.mat\ntest_32x32.mat\nextra_32x32.mat   (only for extra=True)",
    read=read,
    traps=(
        "The files label a zero as 10; here digit 0 is a zero.",
        "Neighbouring digits reach into many pictures; the label is of the one in the middle.",
        "extra_32x32.mat (1.3 GB), for extra=True, is fetched when it is asked for: unmingle data "
        "get svhn --extra.",
    ),
    downloads=(
        Download(
            url=_URL + "train_32x32.mat",
            file="train_32x32.mat",
            sha256="435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            bytes=182_040_794,
        ),
        Download(
            url=_URL + "test_32x32.mat",
            file="test_32x32.mat",
            sha256="cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            bytes=64_275_384,
        ),
        Download(
            url=_URL + "extra_32x32.mat",
            file="extra_32x32.mat",
            sha256="a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
            bytes=1_329_278_602,
            extra=True,
        ),
    ),
    splits={
        "official": Protocol(
            "the set's own parts: 73,257 digits to train, 26,032 to test", _PAPER, by_part("test")
        )
    },
)
