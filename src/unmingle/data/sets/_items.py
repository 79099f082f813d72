"""Pictures and large arrays of the sets, decoded once; memory-mapped above the limit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.files import read_items
from unmingle.data.folders import listing_stamp, read_pictures
from unmingle.data.options import SMALLEST, ReadOptions, warn_skipped
from unmingle.data.pixels import channels_of, read_header
from unmingle.data.storage import Items, blank, select_items
from unmingle.errors import DataError


def read_picture_files(
    folder: Path,
    files: Sequence[str | PurePath],
    options: ReadOptions,
    *,
    name: str,
    factors: Mapping[str, Any],
    value_names: Mapping[str, Sequence[str]] | None = None,
    continuous: Mapping[str, Any] | None = None,
    ids: Any = None,
    boxes: Any = None,
) -> FactorDataset:
    """A list of picture files as a data set; decoded once, memory-mapped above the limit.

    Args:
        folder: The set's folder; the cache lies beside it unless the options say where.
        files: N paths relative to `folder`; one may come more than once.
        options: Size, fit, channels, skipping, the memory limit.
        name: Of the data set.
        factors, value_names, continuous, ids: Columns of N values, as `FactorDataset` takes them.
        boxes: int [N, 4], what is cut out of each picture before it is brought to `size`: left,
            top, right, bottom in pixels, the last two not included.

    Raises:
        DataError: naming a file that is damaged, missing or of another size than the others.
    """
    paths = [PurePath(file) for file in files]
    if not paths:
        raise DataError(f"{name}: no picture is left to read in {folder}")
    for path in dict.fromkeys(paths):
        if not (folder / path).is_file():
            raise DataError(f"{name}: {folder / path} is listed and not there")
    cut = None if boxes is None else np.ascontiguousarray(boxes, np.int64).reshape(-1, 4)
    listing = hashlib.sha256("\n".join(map(str, paths)).encode())
    listing.update(b"" if cut is None else cut.tobytes())
    unique = list(dict.fromkeys(paths))
    cache = options.cache_for(
        folder, lambda: listing_stamp(folder, unique), listing=listing.hexdigest()
    )
    if options.pixels:
        items, skipped = read_pictures(folder, folder, paths, options, cache, cut)
    else:
        items, skipped = _blanks(folder / paths[0], len(paths), options, cut), {}
    entries = [f"{paths[row]}: {reason}" for row, reason in skipped.items()]
    warn_skipped(folder, entries, len(paths), level=7)
    kept = np.array([row for row in range(len(paths)) if row not in skipped], np.int64)
    row_ids = np.arange(len(paths)) if ids is None else np.asarray(ids)
    return FactorDataset(
        images=items,
        factors={key: np.asarray(column)[kept] for key, column in factors.items()},
        value_names=value_names,
        continuous={key: np.asarray(column)[kept] for key, column in (continuous or {}).items()},
        ids=row_ids[kept],
        name=name,
        files=[paths[row].as_posix() for row in kept],
        skipped=entries,
    )


def _blanks(
    first: Path, count: int, options: ReadOptions, boxes: NDArray[np.int64] | None
) -> NDArray[Any]:
    """In place of pictures that are not read, of the size and channels of the first."""
    geometry, height, width, channels = options.geometry, SMALLEST, SMALLEST, 3
    try:
        header = read_header(first, geometry.pixel_limit)
        height, width = header.height, header.width
        channels = channels_of(header.colour, header.alpha)
    # Damaged pictures, which raise errors of many kinds, are no matter here.
    except Exception:
        pass
    if boxes is not None:
        left, top, right, bottom = boxes[0].tolist()
        height, width = bottom - top, right - left
    height, width, channels = geometry.output_shape(height, width, channels)
    return blank((count, max(height, SMALLEST), max(width, SMALLEST), channels))


class _Chosen:
    """A `Table` of one array, `images`: some rows of an array that comes in blocks."""

    def __init__(
        self,
        shape: tuple[int, ...],
        blocks: Callable[[], Iterator[NDArray[Any]]],
        rows: NDArray[np.int64],
    ) -> None:
        self.shape, self.pieces, self.rows = shape, blocks, rows

    def keys(self) -> list[str]:
        return ["images"]

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        return (len(self.rows), *self.shape), np.dtype(np.uint8)

    def read(self, key: str) -> NDArray[Any]:
        return np.concatenate(list(self.blocks(key)))

    def loaded(self, key: str) -> Items | None:
        return None

    def blocks(self, key: str) -> Iterator[NDArray[Any]]:
        start = taken = 0
        for block in self.pieces():
            until = int(np.searchsorted(self.rows, start + len(block)))
            if until > taken:
                yield block[self.rows[taken:until] - start]
            start, taken = start + len(block), until
            if taken == len(self.rows):
                return


def read_image_blocks(
    folder: Path,
    files: Sequence[str | PurePath],
    shape: tuple[int, ...],
    blocks: Callable[[], Iterator[NDArray[Any]]],
    rows: NDArray[np.int64],
    options: ReadOptions,
) -> Items:
    """Images of a large array file, read piece by piece; memory-mapped above the limit.

    Args:
        folder: The set's folder; the cache lies beside it unless the options say where.
        files: The files the blocks come from, relative to `folder`; a change is noticed.
        shape: (H, W) or (H, W, C) of one image.
        blocks: Gives the array uint8 [N, *shape] from its beginning in pieces along the first axis.
        rows: int64 [M], the row numbers wanted, each once.
        options: Size, fit, channels, the memory limit.

    Returns:
        uint8 [M, H, W, C] in the order of `rows`.
    """
    paths = [PurePath(file) for file in files]
    order = np.sort(rows)
    digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
    named = folder if len(paths) > 1 else folder / paths[0]
    cache = options.cache_for(
        named,
        lambda: listing_stamp(folder, paths),
        rows=digest,
        files=[path.as_posix() for path in paths],
    )
    table = _Chosen(shape, blocks, order)
    items = read_items(table, "images", str(named), options, cache)
    back = np.searchsorted(order, rows)
    return items if np.array_equal(order, rows) else select_items(items, back)
