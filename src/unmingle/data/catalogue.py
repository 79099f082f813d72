"""Data sets that can be loaded by name. Importing this module imports none of their libraries."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmingle.errors import DataError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from unmingle.data.sets._base import NamedSet

MIN_SIZE = 16


@dataclass(frozen=True)
class Entry:
    """Where a named set is defined: a module of `unmingle.data.sets`, and the name in it."""

    module: str
    attribute: str = "SET"

    def get(self) -> NamedSet:
        """The set; importing its module imports numpy and Pillow, no more."""
        module = importlib.import_module(f"unmingle.data.sets.{self.module}")
        found: NamedSet = getattr(module, self.attribute)
        return found


def image_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) from one number or a pair.

    Raises:
        DataError: `size` is not one or two whole numbers of at least 16.
    """
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or any(isinstance(n, bool) or not hasattr(n, "__index__") for n in pair):
        raise DataError(f"size={size!r} must be a whole number or a pair (height, width)")
    height, width = (int(n) for n in pair)
    if min(height, width) < MIN_SIZE:
        raise DataError(f"size={size!r} is too small: height and width must be at least {MIN_SIZE}")
    return height, width


def pick_rows(rows: Any, total: int, seed: int) -> NDArray[np.int64]:
    """The row numbers int64 that `rows` asks for.

    Args:
        rows: None for all; a number for that many drawn without repetition, ascending; or an array
            of different row numbers (kept in their order) or a bool mask of length `total`.
        total: number of rows there are.
        seed: of the random draw.

    Raises:
        DataError: more rows than there are, a row that is none or comes twice, something else.
    """
    import numpy as np

    if rows is None:
        return np.arange(total, dtype=np.int64)
    if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
        count = int(rows)
        if not 1 <= count <= total:
            raise DataError(f"rows={count} must be 1 to {total}, the number of rows there are")
        return np.sort(np.random.default_rng(seed).permutation(total)[:count]).astype(np.int64)
    chosen = np.asarray(rows)
    if chosen.dtype == bool and chosen.shape == (total,):
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or not len(chosen):
        raise DataError(
            f"rows must be None, a number of rows, an array of row numbers or a bool mask of "
            f"length {total}; it is {chosen.dtype} of shape {chosen.shape}"
        )
    numbers = row_numbers(chosen, total, "rows")
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) < len(numbers):
        raise DataError(f"rows has {values[counts > 1][0]} more than once")
    return numbers


def row_numbers(numbers: ArrayLike, total: int, what: str) -> NDArray[np.int64]:
    """`numbers` as int64 [N], each 0 to `total` - 1.

    Raises:
        DataError: otherwise, calling them `what`.
    """
    import numpy as np

    array = np.asarray(numbers)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"{what} must be whole numbers [N]; it is {array.dtype} of shape {array.shape}"
        )
    outside = np.flatnonzero((array < 0) | (array >= total))
    if len(outside):
        at = outside[0]
        raise DataError(f"{what}[{at}] is {array[at]}; rows are 0 to {total - 1}")
    return array.astype(np.int64)


_EMBEDDED = ("shapes3d", "digits", "digit-style", "dsprites-rendered")
_IN_FILES = (
    "dsprites",
    "cars3d",
    "smallnorb",
    "mpi3d-toy",
    "mpi3d-realistic",
    "mpi3d-real",
    "mpi3d-complex",
    "chairs",
    "sprites",
    "mnist",
    "fashion-mnist",
    "kmnist",
    "qmnist",
    "svhn",
    "cifar10",
    "celeba",
    "kth",
    "rafd",
    "edges2shoes",
    "affectnet",
    "market1501",
    "deepfashion",
    "bbc-pose",
    "ntu",
    "voxceleb-landmarks",
    "mixamo",
)
_SHARED = {
    "mpi3d-toy": Entry("mpi3d", "TOY"),
    "mpi3d-realistic": Entry("mpi3d", "REALISTIC"),
    "mpi3d-real": Entry("mpi3d", "REAL"),
    "mpi3d-complex": Entry("mpi3d", "COMPLEX"),
}

CATALOGUE: dict[str, Entry] = {
    name: _SHARED.get(name, Entry(name.replace("-", "_"))) for name in (*_EMBEDDED, *_IN_FILES)
}


def named_set(name: str) -> NamedSet:
    """The set of that name; its module is imported, its files are not touched.

    Raises:
        DataError: there is none of that name; the nearest ones are named.
    """
    if name not in CATALOGUE:
        raise DataError(f"there is no data set {name!r}.{nearest(name, CATALOGUE)}")
    return CATALOGUE[name].get()
