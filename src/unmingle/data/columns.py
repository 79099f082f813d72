"""Checks and conversions of what a data set is made of: images, vectors and factor columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.options import SMALLEST
from unmingle.data.storage import Items, RowView, row_blocks
from unmingle.errors import DataError, nearest


def check_image_layout(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Refuse anything but uint8 [N,H,W,C] or [N,H,W] with C 1 to 4; sizes are checked elsewhere.

    Raises:
        DataError: saying how to convert.
    """
    if dtype != np.uint8:
        how = {
            "f": "; if they run from 0 to 1: (images * 255).round().astype(np.uint8)",
            "u": "; if they run from 0 to 65535: (images // 257).astype(np.uint8)",
            "b": "; images.astype(np.uint8) * 255 makes them black and white",
        }.get(dtype.kind, "")
        raise DataError(f"{where}: images are {dtype}, expected uint8 from 0 to 255{how}")
    if len(shape) not in (3, 4):
        raise DataError(f"{where}: images have shape {shape}, expected [N,H,W,C] or [N,H,W]")
    if len(shape) == 4 and not 1 <= shape[3] <= 4:
        swapped = 1 <= shape[1] <= 4
        hint = "; these look like [N,C,H,W]: images.transpose(0, 2, 3, 1)" if swapped else ""
        raise DataError(
            f"{where}: images have shape {shape}, expected [N,H,W,C] with 1 to 4 channels{hint}"
        )


def check_images(images: Items, where: str) -> Items:
    """uint8 [N,H,W,C]; [N,H,W] becomes [N,H,W,1].

    Raises:
        DataError: for another type or layout, or sides under 16 pixels.
    """
    check_image_layout(images.shape, images.dtype, where)
    if not isinstance(images, RowView) and images.ndim == 3:
        images = images[..., None]
    if min(images.shape[1:3]) < SMALLEST:
        height, width = images.shape[1:3]
        raise DataError(
            f"{where}: images are {height}x{width}, at least {SMALLEST}x{SMALLEST} is needed; "
            "load them with size= (--size) to enlarge"
        )
    return images


def check_vector_layout(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Refuse anything but real numbers [N,D].

    Raises:
        DataError: saying how to convert.
    """
    if dtype.kind not in "fiu":
        raise DataError(f"{where}: vectors are {dtype}, expected float32")
    if len(shape) != 2 or shape[1] < 1:
        hint = "; vectors.reshape(len(vectors), -1) flattens them" if len(shape) != 2 else ""
        raise DataError(f"{where}: vectors have shape {shape}, expected [N,D]{hint}")


def finite_vectors(vectors: NDArray[Any], where: str, first_row: int = 0) -> NDArray[np.float32]:
    """float32 [N,D] without NaN or infinity.

    Raises:
        DataError: naming the first row and column that is not finite.
    """
    with np.errstate(over="ignore"):
        result = vectors.astype(np.float32, copy=False)
    bad = ~np.isfinite(result)
    if bad.any():
        row, column = (int(n) for n in np.argwhere(bad)[0])
        others = int(bad.sum()) - 1
        raise DataError(
            f"{where}: vectors have {vectors[row, column]} in row {first_row + row}, "
            f"column {column}{f' (and {others} more)' if others else ''}; "
            "every value must be finite and fit float32"
        )
    return result


def check_vectors(vectors: Items, where: str) -> Items:
    """float32 [N,D], finite; read in pieces, memory-mapped float32 arrays stay on disk.

    Raises:
        DataError: for another layout or type, NaN and infinity.
    """
    check_vector_layout(vectors.shape, vectors.dtype, where)
    if vectors.dtype != np.float32:
        return finite_vectors(np.asarray(vectors), where)
    for block in row_blocks(len(vectors), vectors.shape[1] * 4):
        finite_vectors(vectors[block], where, block.start)
    return vectors


def factor_column(
    name: str, values: Any, count: int, names: Any = None, where: str = "data"
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes 0..K-1 (int64 [N]) and the K value names of one factor.

    Whole numbers are taken as codes, texts are numbered in sorted order (or as `names` says).

    Args:
        name: The factor, for messages.
        values: N whole numbers, booleans or texts.
        count: N, the number of rows.
        names: The names of the values, at least as many as there are codes.
        where: File or source, for messages.

    Raises:
        DataError: for a wrong length or type, negative codes, too few names.
    """
    array = _column(f"factor {name!r}", values, count, where)
    named = None if names is None else _names(name, names, where)
    if array.dtype.kind in "US":
        return _coded_texts(name, array, named, where)
    if array.dtype.kind == "f":
        whole = bool(np.isfinite(array).all()) and bool((array == np.round(array)).all())
        hint = "use .astype(int)" if whole else "factors are whole numbers"
        raise DataError(
            f"{where}: factor {name!r} holds {array.dtype} values such as {array[0]}; {hint}, "
            f"or give it as a continuous column (continuous_{name})"
        )
    if array.dtype.kind not in "biu":
        raise DataError(
            f"{where}: factor {name!r} is of type {array.dtype}, expected whole numbers"
        )
    codes = array.astype(np.int64)
    if codes.min() < 0:
        row = int(np.argmax(codes < 0))
        raise DataError(
            f"{where}: factor {name!r} is {codes[row]} in row {row}; values are numbered from 0"
        )
    highest = int(codes.max())
    if named is None:
        if highest > max(16 * count, 2**16):
            raise DataError(
                f"{where}: factor {name!r} goes up to {highest} in {count} rows; number its values "
                "0..K-1, for instance by np.unique(values, return_inverse=True)[1]"
            )
        named = tuple(str(value) for value in range(highest + 1))
    if highest >= len(named):
        raise DataError(
            f"{where}: factor {name!r} has the value {highest} but only {len(named)} names "
            f"({name}_names); one name for each of 0..{highest} is needed"
        )
    return codes, named


def _column(what: str, values: Any, count: int, where: str) -> NDArray[Any]:
    """A one-dimensional array of `count` values; lists of texts come as text."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"{where}: {what} is not one value a row ({error})") from error
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.ravel()):
        array = array.astype(np.str_)
    if array.ndim != 1:
        raise DataError(f"{where}: {what} has shape {array.shape}, expected ({count},)")
    if len(array) != count:
        raise DataError(f"{where}: {what} has {len(array)} values for {count} rows")
    return array


def _names(name: str, names: Any, where: str) -> tuple[str, ...]:
    array = np.asarray(names)
    if array.ndim != 1:
        raise DataError(f"{where}: {name}_names has shape {array.shape}, expected one name a value")
    return texts(array)


def texts(array: NDArray[Any]) -> tuple[str, ...]:
    """The entries of a one-dimensional array as Python strings; bytes are read as UTF-8."""
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array)


def _coded_texts(
    name: str, array: NDArray[Any], named: tuple[str, ...] | None, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    present, codes = np.unique(np.array(texts(array)), return_inverse=True)
    if named is None:
        return codes.astype(np.int64).reshape(-1), tuple(str(value) for value in present)
    place = {value: code for code, value in reversed(list(enumerate(named)))}
    for value in present:
        if str(value) not in place:
            raise DataError(
                f"{where}: factor {name!r} has the value {str(value)!r}, which is not among its "
                f"names.{nearest(str(value), named)}"
            )
    order = np.array([place[str(value)] for value in present], np.int64)
    return order[codes.reshape(-1)], named


def continuous_column(
    name: str, values: Any, count: int, where: str = "data"
) -> NDArray[np.float32]:
    """float32 [N], finite.

    Raises:
        DataError: for a wrong length or type, NaN or infinity.
    """
    array = _column(f"continuous column {name!r}", values, count, where)
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{where}: continuous column {name!r} is of type {array.dtype}, expected numbers"
        )
    result = array.astype(np.float32)
    if not np.isfinite(result).all():
        row = int(np.argmax(~np.isfinite(result)))
        raise DataError(f"{where}: continuous column {name!r} is {array[row]} in row {row}")
    return result


def row_ids(values: Any, count: int, where: str = "data") -> NDArray[np.int64]:
    """int64 [N], each once.

    Raises:
        DataError: for a wrong length or type, or an id that two rows share.
    """
    array = _column("row_ids", values, count, where)
    if array.dtype.kind not in "iu":
        raise DataError(f"{where}: row_ids are of type {array.dtype}, expected whole numbers")
    ids, counts = np.unique(array, return_counts=True)
    if len(ids) < count:
        raise DataError(f"{where}: row id {ids[counts > 1][0]} is given to more than one row")
    return array.astype(np.int64)


def nearest_or_all(name: str, options: Sequence[str]) -> str:
    """`errors.nearest`, or that there is nothing to choose from."""
    return nearest(name, options) or " There are no factors; images need labels for one."
