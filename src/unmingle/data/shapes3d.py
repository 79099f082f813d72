"""3D Shapes: an object in a room, six independent factors, 480,000 pictures; rendered on demand.

The factors, their order, cardinalities and values are those of the published data set (C. Burgess,
H. Kim, 3D Shapes Dataset, 2018, github.com/google-deepmind/3d-shapes). The pictures are rendered
here: they look alike without being the published pixels, which `read_h5` reads.

What a pixel shows, and how brightly, depends on scale, shape and orientation alone (480
geometries), and a picture is linear in the three hues. So a geometry is ray-cast once, into five
weight maps (floor, wall, object, sky, white), and every picture of it is a small matrix product.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unmingle.data.catalogue import image_size, pick_rows, row_numbers
from unmingle.data.dataset import FactorDataset
from unmingle.data.shapes3d_scene import SHAPES, Floats, geometry
from unmingle.data.storage import blank, check_memory
from unmingle.errors import DataError, require

FACTORS: tuple[tuple[str, int], ...] = (
    ("floor_hue", 10),
    ("wall_hue", 10),
    ("object_hue", 10),
    ("scale", 8),
    ("shape", 4),
    ("orientation", 15),
)
NAMES = tuple(name for name, _ in FACTORS)
CARDINALITIES = tuple(count for _, count in FACTORS)
ROWS = math.prod(CARDINALITIES)
SCALES = np.linspace(0.75, 1.25, 8)
ORIENTATIONS = np.linspace(-30.0, 30.0, 15)
_HUES = ("red", "orange", "lime", "green", "jade", "cyan", "blue", "indigo", "purple", "pink")
VALUE_NAMES: dict[str, tuple[str, ...]] = {
    "floor_hue": _HUES,
    "wall_hue": _HUES,
    "object_hue": _HUES,
    "scale": tuple(f"{value:.2f}" for value in SCALES),
    "shape": SHAPES,
    "orientation": tuple(f"{value:.1f}" for value in ORIENTATIONS),
}
"""Hues 0, 0.1 ... 0.9 by the name of their colour; scale as a factor; orientation in degrees."""

# Colours of the weight maps in tenths: with hues a tenth of the circle apart every channel is a
# whole number of them, so that the mixture is a sum of integers, exact in float32 in whatever order
# a matrix product adds: a picture does not depend on its batch or on the threads.
_SKY, _WHITE = (3, 6, 10), (10, 10, 10)
_UNIT = 25.5 * 256  # weight 1 times 10 tenths is 255 * 256


def factors_to_index(factors: ArrayLike) -> NDArray[np.int64]:
    """Row numbers [N] of factor values [N, 6] in the published order (orientation varies fastest).

    Raises:
        DataError: wrong shape or type, or a value out of range.
    """
    index = np.ravel_multi_index(tuple(_checked(factors).T), CARDINALITIES)
    return np.asarray(index, np.int64)


def index_to_factors(indices: ArrayLike) -> NDArray[np.int64]:
    """Factor values int64 [N, 6] of row numbers [N], 0 to 479,999.

    Raises:
        DataError: not whole numbers [N], or out of range.
    """
    rows = row_numbers(indices, ROWS, "indices")
    return np.stack(np.unravel_index(rows, CARDINALITIES), axis=1).astype(np.int64)


def _checked(factors: ArrayLike) -> NDArray[np.int64]:
    table = np.asarray(factors)
    if (
        table.ndim != 2
        or table.shape[1] != len(FACTORS)
        or not np.issubdtype(table.dtype, np.integer)
    ):
        raise DataError(
            f"factors has shape {table.shape} and type {table.dtype}; "
            f"it must be whole numbers [N, 6], the columns {', '.join(NAMES)}"
        )
    wrong = np.argwhere((table < 0) | (table >= np.array(CARDINALITIES)))
    if len(wrong):
        row, column = wrong[0]
        name, count = FACTORS[column]
        raise DataError(
            f"factors row {row}: {name} is {table[row, column]}, it must be 0 to {count - 1}"
        )
    return table.astype(np.int64)


def _hue_tenths() -> NDArray[np.int64]:
    """RGB [10, 3] of the hues 0, 0.1 ... 0.9 at full saturation and value, in tenths."""
    around = 6 * np.arange(10)[:, None] + np.array([0, 40, 20])  # tenths of a sixth of the circle
    tenths: NDArray[np.int64] = np.clip(np.abs(around % 60 - 30) - 10, 0, 10)
    return tenths


def render(factors: ArrayLike, size: int | tuple[int, int] = 64) -> NDArray[np.uint8]:
    """Pictures uint8 [N, H, W, 3] of factor values [N, 6], bit for bit the same every time.

    Args:
        factors: whole numbers, columns in the order of `FACTORS`, each below its cardinality.
        size: one number or (height, width), each at least 16; the longer side shows more room.

    Raises:
        DataError: wrong shape, type, value or size.
    """
    table = _checked(factors)
    height, width = image_size(size)
    images = np.empty((len(table), height * width, 3), np.uint8)
    tenths = _hue_tenths()
    colours = np.empty((len(table), 5, 3), np.float32)
    for column in range(3):
        colours[:, column] = tenths[table[:, column]]
    colours[:, 3], colours[:, 4] = _SKY, _WHITE
    # Sorted by orientation first: its geometries share the room.
    keys = np.ravel_multi_index(tuple(table[:, :2:-1].T), CARDINALITIES[:2:-1])
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    buffer = np.empty((height * width, 3), np.float32)
    for group in np.split(order, starts[1:]) if len(order) else ():
        scale, shape, orientation = (int(value) for value in table[group[0], 3:])
        weights = _cache.get((scale, shape, orientation, height, width))
        for row in group:
            np.matmul(weights, colours[row], out=buffer)
            buffer += 128
            buffer *= 1 / 256
            images[row] = buffer
    return images.reshape(len(table), height, width, 3)


def load(rows: Any = None, size: int | tuple[int, int] = 64, seed: int = 0) -> FactorDataset:
    """Rendered scenes with their six factors; ids are the row numbers of the published order.

    Args:
        rows: None for all 480,000 (5.9 GB at 64x64), a number (random without repetition,
            ascending) or an array of row numbers.
        size: as in `render`.
        seed: of the random rows.

    Raises:
        DataError: wrong `rows` or `size`, or more pictures than the free memory holds.
    """
    height, width = image_size(size)
    chosen = pick_rows(rows, ROWS, seed)
    check_memory(3 * height * width * len(chosen), f"{len(chosen):,} pictures (fewer: rows=)")
    factors = index_to_factors(chosen)
    return _dataset(render(factors, (height, width)), factors, chosen)


def columns(rows: Any = None, size: int | tuple[int, int] = 64, seed: int = 0) -> FactorDataset:
    """As `load`, with black pictures that take no memory: nothing is rendered."""
    chosen = pick_rows(rows, ROWS, seed)
    black = blank((len(chosen), *image_size(size), 3))
    return _dataset(black, index_to_factors(chosen), chosen)


def _dataset(
    images: NDArray[np.uint8], factors: NDArray[np.int64], rows: NDArray[np.int64]
) -> FactorDataset:
    columns = {name: np.ascontiguousarray(factors[:, at]) for at, name in enumerate(NAMES)}
    return FactorDataset(
        images=images, factors=columns, value_names=VALUE_NAMES, ids=rows, name="shapes3d"
    )


def read_h5(path: str | Path, rows: Any = None, seed: int = 0) -> FactorDataset:
    """The published file, 3dshapes.h5: `images` uint8 [N, H, W, 3] and `labels` float [N, 6].

    Args:
        path: of the file.
        rows: None for all, a number (random without repetition, ascending) or an array of row
            numbers; only the blocks of the file that hold them are read.
        seed: of the random rows.

    Raises:
        DataError: not such a file, a label that is none of the published values, wrong `rows`,
            or more pictures than the free memory holds.
        MissingExtraError: h5py is not installed.
    """
    h5py = require("h5py", "h5")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error})") from error
    with file:
        for key in ("images", "labels"):
            if not isinstance(file.get(key), h5py.Dataset):
                raise DataError(f"{path}: no {key!r} inside; 3dshapes.h5 has 'images' and 'labels'")
        images, labels = file["images"], file["labels"]
        right = images.dtype == np.uint8 and images.ndim == 4 and labels.dtype.kind in "fiu"
        if not right or labels.shape != (len(images), len(FACTORS)):
            raise DataError(
                f"{path}: images are {images.dtype} {images.shape} and labels {labels.dtype} "
                f"{labels.shape}; they must be uint8 [N, H, W, 3] and float64 [N, 6]"
            )
        chosen = pick_rows(rows, len(images), seed)
        check_memory(
            math.prod(images.shape[1:]) * len(chosen),
            f"{path}: {len(chosen):,} pictures (fewer: rows=)",
        )
        factors = _codes(labels[:][chosen], chosen, path)
        return _dataset(_read_rows(images, chosen), factors, chosen)


def _codes(
    labels: NDArray[np.float64], rows: NDArray[np.int64], path: str | Path
) -> NDArray[np.int64]:
    """Positions [N, 6] of label values among the published ones."""
    hues = np.arange(10) / 10
    codes = np.empty(labels.shape, np.int64)
    for at, values in enumerate((hues, hues, hues, SCALES, np.arange(4.0), ORIENTATIONS)):
        apart = np.abs(labels[:, at, None] - values)
        codes[:, at] = apart.argmin(axis=1)
        wrong = np.flatnonzero(~(apart.min(axis=1) < 1e-3))
        if len(wrong):
            row, known = wrong[0], ", ".join(f"{value:.4g}" for value in values)
            raise DataError(
                f"{path}: labels row {rows[row]}: {NAMES[at]} is {labels[row, at]:.4g}, "
                f"none of {known}"
            )
    return codes


def _read_rows(images: Any, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """`images[rows]` by slices of the file; h5py takes far longer to pick single rows."""
    block = max(images.chunks[0] if images.chunks else 1, 64)
    order = np.argsort(rows, kind="stable")
    found = np.empty((len(rows), *images.shape[1:]), np.uint8)
    starts = np.flatnonzero(np.diff(rows[order] // block, prepend=-1))
    for part in np.split(order, starts[1:]):
        first, last = rows[part[0]], rows[part[-1]]
        found[part] = images[first : last + 1][rows[part] - first]
    return found


class _Cache:
    """Weight maps of the geometries last used, up to `limit` bytes; safe to share among threads."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._maps: OrderedDict[tuple[int, ...], Floats] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[int, ...]) -> Floats:
        """Weights [H*W, 5], whole numbers, of (scale, shape, orientation, H, W)."""
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
                return self._maps[key]
        scale, shape, orientation, height, width = key
        maps = geometry(
            float(SCALES[scale]), shape, float(ORIENTATIONS[orientation]), height, width
        )
        weights = np.ascontiguousarray(np.round(maps.reshape(5, -1).T * np.float32(_UNIT)))
        with self._lock:
            if key not in self._maps:
                self._maps[key] = weights
                self.used += weights.nbytes
            while self.used > self.limit:
                self.used -= self._maps.popitem(last=False)[1].nbytes
        return weights


_cache = _Cache(256 * 2**20)
