"""Reads what is in memory: named arrays, and map-style data sets such as torch's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.files import read_table
from unmingle.data.options import SMALLEST, Geometry, ReadOptions, warn_skipped
from unmingle.data.storage import Cache, Filled, store, tracker
from unmingle.data.tables import MappingTable
from unmingle.errors import DataError

_PICTURE_KEYS = ("image", "images", "img", "picture", "pixel_values", "vector", "x")


def read_mapping(arrays: Mapping[str, Any], options: ReadOptions) -> FactorDataset:
    """Arrays under the keys of an .npz; labels may be texts.

    Raises:
        DataError: naming the key that cannot be used.
    """
    cache = Cache(options.cache, "arrays", options.decoding(), None)
    return read_table(MappingTable(arrays), "arrays", "arrays", options, cache)


# Map-style data sets


def is_map_style(source: Any) -> bool:
    """Whether `source` has a length and rows by number, as torch's map-style data sets do."""
    return hasattr(source, "__len__") and hasattr(source, "__getitem__")


def read_map_style(dataset: Any, options: ReadOptions) -> FactorDataset:
    """Rows `(image, label, …)` or dictionaries; see `load_data`.

    Raises:
        DataError: naming the row that cannot be used.
    """
    labels: dict[str, list[Any]] = {}

    def row(number: int) -> Any:
        picture, found = split_item(dataset[number], options.factors)
        if labels and found.keys() != labels.keys():
            raise DataError(f"labels {', '.join(found)} where {', '.join(labels)} came before")
        return picture, found

    def keep(found: Mapping[str, Any]) -> None:
        for name, value in found.items():
            labels.setdefault(name, []).append(value)

    name = options.name or type(dataset).__name__
    cache = Cache(options.cache, name, options.decoding(), None)
    items, kept, skipped = read_rows(len(dataset), row, keep, name, options, cache)
    classes = getattr(dataset, "classes", None)
    named = (
        {next(iter(labels)): list(classes)}
        if len(labels) == 1
        and isinstance(classes, (list, tuple))
        and all(isinstance(value, str) for value in classes)
        else {}
    )
    return labelled(items, labels, named, kept, skipped, name)


def labelled(
    items: NDArray[Any],
    labels: Mapping[str, Any],
    named: Mapping[str, Sequence[str]],
    kept: NDArray[np.int64],
    skipped: Sequence[str],
    name: str,
) -> FactorDataset:
    """A data set whose float columns are continuous and whose other columns are factors."""
    amounts = {key for key, values in labels.items() if np.asarray(values).dtype.kind == "f"}
    factors = {key: values for key, values in labels.items() if key not in amounts}
    return FactorDataset(
        images=items if items.ndim == 4 else None,
        vectors=items if items.ndim == 2 else None,
        factors=factors,
        value_names={key: values for key, values in named.items() if key in factors},
        continuous={key: labels[key] for key in labels if key in amounts},
        ids=kept,
        name=name,
        skipped=skipped,
    )


def split_item(item: Any, names: Sequence[str] | None) -> tuple[Any, dict[str, Any]]:
    """The picture of a row, and its labels by name.

    Raises:
        DataError: if there is no picture, or not one label for each name.
    """
    if isinstance(item, Mapping):
        key = next((key for key in _PICTURE_KEYS if key in item), None)
        key = key or next((key for key, value in item.items() if np.ndim(value) > 0), None)
        if key is None:
            raise DataError(f"no image among {', '.join(map(str, item))}; call it 'image'")
        wanted = names or [k for k, v in item.items() if k != key and _is_scalar(v)]
        missing = [name for name in wanted if name not in item]
        if missing:
            raise DataError(f"no {missing[0]!r} among {', '.join(map(str, item))}")
        return item[key], {name: _scalar(item[name]) for name in wanted}
    if not isinstance(item, (tuple, list)):
        return item, {}
    values = [scalar for value in item[1:] for scalar in _flat(value)]
    if names is None:
        names = ["class"] if len(values) == 1 else [f"label{n + 1}" for n in range(len(values))]
    if len(names) != len(values):
        raise DataError(f"{len(values)} labels for the {len(names)} factors {', '.join(names)}")
    return item[0], dict(zip(names, values, strict=True))


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float)) or (value is not None and np.ndim(value) == 0)


def _scalar(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [scalar for part in value for scalar in _flat(part)]
    if np.ndim(value) == 0:
        return [_scalar(value)]
    return list(np.asarray(value).ravel().tolist())


def read_rows(
    count: int,
    row: Callable[[int], tuple[Any, Mapping[str, Any]]],
    keep: Callable[[Mapping[str, Any]], None],
    where: str,
    options: ReadOptions,
    cache: Cache,
) -> tuple[NDArray[Any], NDArray[np.int64], list[str]]:
    """Pictures fetched one after the other (such data sets need not bear threads).

    Args:
        count: How many rows there are.
        row: Gives the picture and the labels of a row.
        keep: Called with the labels of each row that is used, in order.
        where: The source, for messages.
        options: Size, channels, skipping and the memory limit.
        cache: Where the result goes if it is larger than the limit.

    Returns:
        The items, the numbers of the rows used, and what was skipped.
    """
    reader = _RowReader(count, row, keep, where, options)
    found = cache.open()
    if found is None:
        shape, dtype = reader.layout()
        found = store((count, *shape), dtype, reader.fill, limit=options.limit, cache=cache)
    items, notes = found
    skipped: dict[str, str] = notes["skipped"]
    kept = np.array([number for number in range(count) if str(number) not in skipped], np.int64)
    entries = [f"row {number}: {reason}" for number, reason in skipped.items()]
    warn_skipped(where, entries, count)
    return items, kept, entries


class _RowReader:
    def __init__(
        self,
        count: int,
        row: Callable[[int], tuple[Any, Mapping[str, Any]]],
        keep: Callable[[Mapping[str, Any]], None],
        where: str,
        options: ReadOptions,
    ) -> None:
        if count == 0:
            raise DataError(f"{where}: there are no rows")
        self.count, self.row, self.keep, self.where, self.options = count, row, keep, where, options
        self.channels: int | None = options.geometry.channels
        self.first = 0
        self.skipped: dict[str, str] = {}

    def _fetch(self, number: int) -> tuple[NDArray[Any], Mapping[str, Any]] | None:
        """Pixels and labels of a row; None if it is bad and skipped."""
        try:
            picture, labels = self.row(number)
            return as_pixels(picture, self.options.geometry, self.channels), labels
        # A data set's own code may raise anything.
        except Exception as error:
            reason = str(error) or type(error).__name__
            if not self.options.skip_bad:
                raise DataError(
                    f"{self.where}: row {number} cannot be used: {reason}; such rows are left out "
                    "with skip_bad=True (--skip-bad)"
                ) from error
            self.skipped[str(number)] = reason
            return None

    def layout(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of the first good row, which the others must share."""
        for number in range(self.count):
            fetched = self._fetch(number)
            if fetched is None:
                continue
            pixels, self.first = fetched[0], number
            if pixels.ndim == 3 and min(pixels.shape[:2]) < SMALLEST:
                height, width = pixels.shape[:2]
                raise DataError(
                    f"{self.where}: images are {height}x{width}, at least {SMALLEST}x{SMALLEST} is "
                    "needed; give size= (--size 64) to enlarge"
                )
            return pixels.shape, pixels.dtype
        raise DataError(f"{self.where}: none of {self.count} rows can be read: {self.skipped['0']}")

    def fill(self, out: NDArray[Any]) -> Filled:
        kept = 0
        with tracker("rows", self.count, self.options.progress) as advance:
            for number in range(self.count):
                fetched = None if str(number) in self.skipped else self._fetch(number)
                advance(1)
                if fetched is None:
                    continue
                pixels, labels = fetched
                if pixels.shape != out.shape[1:]:
                    raise DataError(self._mixed(out.shape[1:], number, pixels.shape))
                out[kept] = pixels
                self.keep(labels)
                kept += 1
        return Filled(kept, {"skipped": self.skipped})

    def _mixed(self, first: tuple[int, ...], number: int, other: tuple[int, ...]) -> str:
        text = (
            f"{self.where}: row {self.first} is {'x'.join(map(str, first))} and row {number} is "
            f"{'x'.join(map(str, other))}"
        )
        if len(first) != 3 or len(other) != 3:
            return f"{text}; all rows must be of one shape"
        if first[:2] != other[:2]:
            return f"{text} (height x width x channels); give size= (--size 64)"
        return f"{text} (height x width x channels); give channels= (--channels 3)"


def as_pixels(picture: Any, geometry: Geometry, channels: int | None) -> NDArray[Any]:
    """uint8 [H,W,C] from a Pillow image, an array [H,W,C] or a tensor [C,H,W]; [D] stays a vector.

    Floats must lie in [0, 1]. Layouts are told apart by which end has 1 to 4 entries; where both
    have, tensors are [C,H,W] and arrays [H,W,C].

    Raises:
        DataError: for other types, shapes and ranges.
    """
    from PIL import Image

    from unmingle.data.pixels import channels_of, has_colour, transform
    from unmingle.data.pixels import picture as from_pillow

    if picture is None:
        raise DataError("there is no image")
    if isinstance(picture, Image.Image):
        if picture.width * picture.height > geometry.pixel_limit:
            raise DataError(
                f"{picture.width}x{picture.height} is more than the pixel limit of "
                f"{geometry.pixel_limit:,} pixels; pixel_limit= (--pixel-limit) raises it"
            )
        own = channels_of(has_colour(picture), picture.has_transparency_data)
        return from_pillow(picture, geometry, channels or own)
    torch = sys.modules.get("torch")
    tensor = torch is not None and isinstance(picture, torch.Tensor)
    array: NDArray[Any] = picture.detach().cpu().numpy() if tensor else np.asarray(picture)
    if array.ndim == 1:
        return _vector(array, geometry)
    array = _bytes(_height_width_channels(array, tensor))
    pixels: NDArray[np.uint8] = transform(array[None], geometry)[0]
    return pixels


def _vector(array: NDArray[Any], geometry: Geometry) -> NDArray[np.float32]:
    if geometry.changes:
        raise DataError("size= and channels= are for images, these are vectors")
    if array.dtype.kind not in "fiu":
        raise DataError(f"a vector of {array.dtype}, expected numbers")
    if not np.isfinite(array).all():
        column = int(np.argmax(~np.isfinite(array)))
        raise DataError(f"the vector has {array[column]} in column {column}")
    return array.astype(np.float32)


def _height_width_channels(array: NDArray[Any], tensor: bool) -> NDArray[Any]:
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim != 3:
        raise DataError(f"an image of shape {array.shape}, expected [H,W,C], [C,H,W] or [H,W]")
    front, back = 1 <= array.shape[0] <= 4, 1 <= array.shape[2] <= 4
    if not front and not back:
        raise DataError(f"an image of shape {array.shape}, expected 1 to 4 channels")
    first = front and (tensor or not back)
    return np.transpose(array, (1, 2, 0)) if first else array


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise DataError(f"an image of {array.dtype}, expected uint8, or floats in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise DataError(
            f"an image with values from {low:.3g} to {high:.3g}, floats must lie in [0, 1] (no "
            "normalisation)"
        )
    return np.ascontiguousarray(np.clip(np.round(array * 255), 0, 255).astype(np.uint8))
