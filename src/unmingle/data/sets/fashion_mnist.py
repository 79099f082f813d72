"""Fashion-MNIST: 70,000 pictures of articles of clothing, in MNIST's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets import _idx
from unmingle.data.sets._base import NamedSet, Protocol

_PAPER = "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017 (arXiv:1708.07747)"
_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_HASHES: dict[str, tuple[str, int | None]] = {
    "train-images-idx3-ubyte": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26_421_880,
    ),
    "train-labels-idx1-ubyte": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        29_515,
    ),
    "t10k-images-idx3-ubyte": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4_422_102,
    ),
    "t10k-labels-idx1-ubyte": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        5_148,
    ),
}


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Articles on black, uint8 [N, 28, 28, 1]: rows 0 to 59,999 train, then the test pictures.

    Raises:
        DataError: a file is missing or damaged.
    """
    return _idx.read_labelled(SET, folder, options, rows, seed, "class", _NAMES)


SET = NamedSet(
    name="fashion-mnist",
    title="Fashion-MNIST",
    summary="articles of clothing, grey on black",
    rows=70_000,
    shape="28x28x1",
    factors={"class": 10},
    licence="MIT",
    paper=_PAPER,
    url="https://github.com/zalandoresearch/fashion-mnist",
    layout=_idx.LAYOUT,
    read=read,
    downloads=_idx.downloads(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", _HASHES
    ),
    splits={"official": Protocol("60,000 to train, 10,000 to test", _PAPER, _idx.official)},
)
