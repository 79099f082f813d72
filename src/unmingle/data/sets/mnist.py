"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets import _idx
from unmingle.data.sets._base import NamedSet, Protocol
from unmingle.data.sets._papers import xiang_2021

_PAPER = (
    "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-Based Learning Applied to Document "
    "Recognition, Proceedings of the IEEE 86, 1998"
)
_HASHES: dict[str, tuple[str, int | None]] = {
    "train-images-idx3-ubyte": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        9_912_422,
    ),
    "train-labels-idx1-ubyte": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        28_881,
    ),
    "t10k-images-idx3-ubyte": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        1_648_877,
    ),
    "t10k-labels-idx1-ubyte": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        4_542,
    ),
}


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """White digits on black, uint8 [N, 28, 28, 1]: rows 0 to 59,999 train, then the test digits.

    Raises:
        DataError: a file is missing or damaged.
    """
    return _idx.read_labelled(SET, folder, options, rows, seed, "digit", "0123456789")


# Code sizes are those of the supplement's Table 1, the rest is the release's for these data.
_EXPERIMENT = xiang_2021(
    ("digit",),
    budget="360000steps",
    unknown_dim=64,
    label_dims=(10,),
    label_kl=1e-2,
    label_keep=(0.2,),
    batch=64,
    shares=(200.0, 40.0, 80.0, 40.0),
)
SET = NamedSet(
    name="mnist",
    title="MNIST",
    summary="handwritten digits, white on black",
    rows=70_000,
    shape="28x28x1",
    factors={"digit": 10},
    licence="CC BY-SA 3.0",
    paper=_PAPER,
    url="http://yann.lecun.com/exdb/mnist/",
    layout=_idx.LAYOUT,
    read=read,
    traps=(
        "Who wrote a digit is not told; qmnist tells it for the same digits in the same order.",
    ),
    downloads=_idx.downloads("https://ossci-datasets.s3.amazonaws.com/mnist/", _HASHES),
    splits={
        "official": Protocol(
            "60,000 digits to train, 10,000 to test",
            _PAPER,
            _idx.official,
            "digit",
            experiments=(_EXPERIMENT,),
        )
    },
)
