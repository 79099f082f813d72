"""Kuzushiji-MNIST: 70,000 handwritten characters of old Japanese books, in MNIST's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets import _idx
from unmingle.data.sets._base import NamedSet, Protocol

_PAPER = (
    "T. Clanuwat et al., Deep Learning for Classical Japanese Literature, 2018 (arXiv:1812.01718)"
)
_HASHES: dict[str, tuple[str, int | None]] = {
    "train-images-idx3-ubyte": (
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        18_165_135,
    ),
    "train-labels-idx1-ubyte": (
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        29_497,
    ),
    "t10k-images-idx3-ubyte": (
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        3_041_136,
    ),
    "t10k-labels-idx1-ubyte": (
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        5_120,
    ),
}
_NAMES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Characters in white on black, uint8 [N, 28, 28, 1]: 60,000 to train, then the test ones.

    Raises:
        DataError: a file is missing or damaged.
    """
    return _idx.read_labelled(SET, folder, options, rows, seed, "character", _NAMES)


SET = NamedSet(
    name="kmnist",
    title="Kuzushiji-MNIST",
    summary="cursive Japanese characters, white on black",
    rows=70_000,
    shape="28x28x1",
    factors={"character": 10},
    licence="CC BY-SA 4.0",
    paper=_PAPER,
    url="http://codh.rois.ac.jp/kmnist/",
    layout=_idx.LAYOUT,
    read=read,
    traps=("One character has several forms that look nothing alike, all under one value.",),
    downloads=_idx.downloads("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", _HASHES),
    splits={"official": Protocol("60,000 to train, 10,000 to test", _PAPER, _idx.official)},
)
