"""`load_data`: one function for everything that can hold images or vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unmingle.data import columns
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import PIXEL_LIMIT, ReadOptions, read_options
from unmingle.data.storage import Cache, Items
from unmingle.errors import ConfigError, DataError, nearest

_FILE_ENDINGS = (".npz", ".h5", ".hdf5")


def load_data(
    source: Any,
    *,
    size: int | Sequence[int] | None = None,
    fit: str | None = "resize",
    channels: int | None = None,
    memory_limit: int | str | None = None,
    cache: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    factors: Sequence[str] | None = None,
    pixel_limit: int = PIXEL_LIMIT,
    name: str | None = None,
    progress: bool = False,
    **options: Any,
) -> FactorDataset:
    """Read a data set.

    `source` is one of

    - the name of a set of the catalogue ("shapes3d", "cars3d", …; `unmingle data list`); `options`
      go to it (`rows=5000`, `seed=0`). Its files are read from `folder=`, by default from
      `$UNMINGLE_DATA/<name>` or `~/.cache/unmingle/data/<name>`. A folder of the same name is
      meant by "./digits";
    - a folder of images in class folders (png, jpg, jpeg, webp, bmp, pgm). The folder's name is the
      factor "class"; nested folders are the factors "level1", "level2", … or as `factors`
      names them. EXIF orientation is honoured, 16 bits become 8, palettes become RGB, and all
      images get the channels of the richest;
    - an .npz or .h5: `images` uint8 [N,H,W] or [N,H,W,C], or `vectors` float32 [N,D]; whole numbers
      `factor_<name>` [N] with optional `<name>_names`; amounts `continuous_<name>` [N]. An array of
      whole numbers `<factor>_<suffix>`, one for each value of `<factor>`, adds the coarser factor
      `<factor>_<suffix>`. Other keys are ignored. The original 3dshapes.h5 is read
      too (`rows`, `seed`);
    - a folder of videos, or one video (mp4, mov, mkv, webm, …; the extra `video`): every frame is
      an image, the factor "video" tells its video (`rows=5000` takes so many, evenly). A folder of
      frames for each video is a folder of class folders;
    - a mapping of arrays by these keys (labels may be texts), or an array of images or vectors;
    - a map-style data set such as torch's, with rows `(image, label, …)` or dictionaries; images
      are Pillow images, arrays [H,W,C], or tensors [C,H,W] with floats in [0,1];
    - a folder written by Hugging Face's `save_to_disk` (`part="train"`, `image="column"`);
    - a `FactorDataset`.

    Args:
        source: See above.
        size: Side length, or (height, width), at least 16. Needed where images differ in size.
        fit: How images get to `size`: "resize" stretches, "crop" cuts to shape about the centre,
            "pad" keeps all and adds the median colour of the border.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; alpha that is dropped is put on white.
        memory_limit: Bytes, or "4GB". Larger data are decoded once into a memory-mapped file, which
            is used again while nothing has changed. Default: half of the free memory.
        cache: Folder of that file; by default a hidden folder beside the source, or in the user's
            cache folder if nothing can be written there.
        skip_bad: Leave out what cannot be read, list it in `data.skipped` and warn; else an error.
        factors: Names of folder levels or of labels in order; for files, the factors to keep.
        pixel_limit: Pictures with more pixels are refused before they are decoded.
        name: The data set's name.
        progress: Show a progress bar on a terminal.

    Raises:
        DataError: naming the file, column or value that is wrong, and what would be right.
        ConfigError: for a setting that is wrong.
        MissingExtraError: for .h5 without h5py, Hugging Face folders without datasets, videos
            without av.
    """
    checked = read_options(
        size=size,
        fit=fit,
        channels=channels,
        memory_limit=memory_limit,
        cache=cache,
        skip_bad=skip_bad,
        factors=factors,
        pixel_limit=pixel_limit,
        name=name,
        progress=progress,
    )
    if isinstance(source, (str, os.PathLike)):
        return _read_path(source, checked, options)
    _take(options, "this source")
    if isinstance(source, FactorDataset):
        return changed(source, checked)
    from unmingle.data import arrays

    if isinstance(source, np.ndarray):
        source = {"vectors" if source.ndim == 2 else "images": source}
    if isinstance(source, Mapping):
        return arrays.read_mapping(source, checked)
    if not arrays.is_map_style(source) or isinstance(source, (list, tuple, bytes)):
        raise DataError(
            f"load_data cannot read {type(source).__name__}; it takes a path, a catalogue name, "
            "arrays by name, or a data set with __len__ and __getitem__"
        )
    return arrays.read_map_style(source, checked)


def _take(options: dict[str, Any], what: str, *allowed: str) -> dict[str, Any]:
    """The options if they are all allowed.

    Raises:
        ConfigError: naming the first that is not.
    """
    known = ["size", "fit", "channels", "memory_limit", "cache", "skip_bad", "factors"]
    known += ["pixel_limit", "name", "progress", *allowed]
    for option in options:
        if option not in allowed:
            raise ConfigError(f"{what} takes no option {option!r}.{nearest(option, known)}")
    return options


def _read_path(
    source: str | os.PathLike[str], checked: ReadOptions, options: dict[str, Any]
) -> FactorDataset:
    from unmingle.data.catalogue import CATALOGUE, named_set

    if isinstance(source, str) and source in CATALOGUE:
        return changed(named_set(source).load(checked, **options), checked)
    path = Path(source)
    if not path.exists():
        hint = nearest(str(source), CATALOGUE)
        raise DataError(f"{source}: no such file or folder, and no data set of that name.{hint}")
    if path.is_dir():
        from unmingle.data import huggingface

        if huggingface.is_saved_dataset(path):
            taken = _take(options, f"{path} (a saved Hugging Face data set)", "part", "image")
            return huggingface.read_saved_dataset(path, checked, **taken)
    from unmingle.data import videos
    from unmingle.data.folders import ENDINGS, read_folder

    if videos.is_videos(path):
        return videos.read_videos(path, checked, **_take(options, str(path), "rows"))
    if path.suffix.lower() in _FILE_ENDINGS and path.is_file():
        from unmingle.data.files import read_file

        rows = _take(options, str(path), "rows", "seed")
        loaded = read_file(path, checked, rows)
        return changed(loaded, checked) if rows else loaded
    if path.is_dir() or path.suffix.lower() in ENDINGS:
        _take(options, str(path))
        return read_folder(path, checked)
    raise DataError(
        f"{path}: not a kind of file that is read; expected a folder of images, an image "
        f"({', '.join(ENDINGS)}), videos, or {', '.join(_FILE_ENDINGS)}"
    )


def changed(data: FactorDataset, options: ReadOptions) -> FactorDataset:
    """The data set with the size, channels, factors and name of the options.

    Raises:
        ConfigError: if vectors are to be resized.
        DataError: for a factor that does not exist.
    """
    geometry = options.geometry
    if not geometry.changes and options.factors is None and options.name in (None, data.name):
        return data
    name = options.name or data.name
    items: Items = data.items
    if geometry.changes:
        from unmingle.data.files import read_items
        from unmingle.data.tables import MappingTable

        kind = "images" if data.is_images else "vectors"
        cache = Cache(options.cache, name, options.decoding(), None)
        items = read_items(MappingTable({kind: items}), kind, data.name, options, cache)
    kept = tuple(data.factors) if options.factors is None else options.factors
    for factor in kept:
        if factor not in data.factors:
            hint = columns.nearest_or_all(factor, list(data.factors))
            raise DataError(f"{data.name}: there is no factor {factor!r} (factors=).{hint}")
    result = FactorDataset(
        images=items if data.is_images else None,
        vectors=None if data.is_images else items,
        factors={factor: data.factors[factor] for factor in kept},
        value_names={factor: data.value_names[factor] for factor in kept},
        continuous=data.continuous,
        ids=data.ids,
        name=name,
        files=data.files,
        skipped=data.skipped,
    )
    result.origin = data.origin
    return result
