"""Reads a data set that Hugging Face `datasets` saved to disk (`save_to_disk`)."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np

from unmingle.data.arrays import labelled, read_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import listing_stamp
from unmingle.data.options import ReadOptions
from unmingle.errors import DataError, nearest, require


def is_saved_dataset(root: Path) -> bool:
    """Whether `save_to_disk` wrote this folder: one data set, or a dictionary of parts."""
    single = (root / "state.json").is_file() and (root / "dataset_info.json").is_file()
    return single or (root / "dataset_dict.json").is_file()


def read_saved_dataset(
    root: Path, options: ReadOptions, part: str | None = None, image: str | None = None
) -> FactorDataset:
    """The image column, and as factors the ClassLabel columns, or those that `factors` names.

    Columns of floats are continuous.

    Args:
        root: The folder.
        options: As checked by `load_data`.
        part: Which part of a dictionary of data sets ("train"); needed where there are several.
        image: The image column; needed where there are several.

    Raises:
        DataError: naming the part, column or row that cannot be used.
        MissingExtraError: if `datasets` is not installed.
    """
    datasets = require("datasets", "datasets")
    try:
        opened = datasets.load_from_disk(str(root))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{root}: cannot be opened by datasets ({error})") from error
    source = _part(root, opened, part).with_format(None)
    features: dict[str, Any] = dict(source.features)
    column = _image_column(root, features, datasets, image)
    factors = _factor_columns(root, features, datasets, options)
    floats = [
        name
        for name, feature in features.items()
        if isinstance(feature, datasets.Value) and str(feature.dtype).startswith("float")
    ]

    def stamp() -> dict[str, Any]:
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return listing_stamp(root, [PurePath(path.relative_to(root)) for path in paths])

    # The part and the column belong to what is cached, as different pictures come of them.
    cache = options.cache_for(root, stamp, part=part, image=column)
    pictures = source.select_columns([column])
    items, kept, skipped = read_rows(
        len(source),
        lambda row: (pictures[row][column], {}),
        lambda labels: None,
        str(root),
        options,
        cache,
    )
    labels = {name: np.asarray(list(source[name]))[kept] for name in (*factors, *floats)}
    named = {
        name: list(features[name].names)
        for name in factors
        if isinstance(features[name], datasets.ClassLabel)
    }
    return labelled(items, labels, named, kept, skipped, options.name or root.resolve().name)


def _part(root: Path, opened: Any, part: str | None) -> Any:
    if not isinstance(opened, dict):
        if part is not None:
            raise DataError(f"{root}: part={part!r}, but this is a single data set")
        return opened
    parts = list(opened)
    if part is None and len(parts) == 1:
        return opened[parts[0]]
    if part is None:
        raise DataError(
            f"{root}: has the parts {', '.join(parts)}; choose one with part= (--option part=NAME)"
        )
    if part not in parts:
        raise DataError(f"{root}: there is no part {part!r}.{nearest(part, parts)}")
    return opened[part]


def _image_column(root: Path, features: dict[str, Any], datasets: Any, image: str | None) -> str:
    pictures = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if image is not None:
        if image not in pictures:
            raise DataError(f"{root}: {image!r} is no image column.{nearest(image, pictures)}")
        return image
    if not pictures:
        raise DataError(f"{root}: no image column among {', '.join(features)}")
    if len(pictures) > 1:
        raise DataError(f"{root}: image columns {', '.join(pictures)}; choose one with image=")
    return pictures[0]


def _factor_columns(
    root: Path, features: dict[str, Any], datasets: Any, options: ReadOptions
) -> list[str]:
    if options.factors is None:
        return [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    for name in options.factors:
        if name not in features:
            hint = nearest(name, features)
            raise DataError(f"{root}: there is no column {name!r} (factors=).{hint}")
    return list(options.factors)
