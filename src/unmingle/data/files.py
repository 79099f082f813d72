"""Reads tables of named arrays (.npz, .h5) as data sets, writes .npz."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data import columns
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.storage import (
    Cache,
    Filled,
    Items,
    blank,
    row_blocks,
    store,
    tracker,
    write_atomic,
)
from unmingle.data.tables import H5Table, NpzTable, Table
from unmingle.errors import ConfigError, DataError

_RESERVED = ("images", "vectors", "row_ids", "files", "origin")


def read_file(path: Path, options: ReadOptions, rows: Mapping[str, Any]) -> FactorDataset:
    """An .npz or .h5 file in the format of `load_data`; also the original 3dshapes.h5.

    Args:
        rows: For the original 3dshapes.h5 alone: `rows` and `seed` of `shapes3d.read_h5`.

    Raises:
        DataError: naming the file and the key that cannot be used.
    """

    def stamp() -> dict[str, Any]:
        stat = path.stat()
        return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}

    cache = options.cache_for(path, stamp)
    if path.suffix.lower() == ".npz":
        _refuse(rows, path)
        with NpzTable(path) as table:
            return read_table(table, str(path), path.stem, options, cache)
    with H5Table(path) as h5:
        keys = set(h5.keys())
        original = {"images", "labels"} <= keys and not any(k.startswith("factor_") for k in keys)
        if not original:
            _refuse(rows, path)
            return read_table(h5, str(path), path.stem, options, cache)
        if not rows:
            return _read_shapes3d(h5, options, cache)
    from unmingle.data import shapes3d

    return shapes3d.read_h5(path, **rows)


def _refuse(rows: Mapping[str, Any], path: Path) -> None:
    if rows:
        given = ", ".join(f"{name}=" for name in rows)
        raise ConfigError(
            f"{path}: {given} (--draw) is for 3dshapes.h5; choose rows by --values, or in Python "
            "by data.select"
        )


def _read_shapes3d(table: H5Table, options: ReadOptions, cache: Cache) -> FactorDataset:
    """All of the original 3dshapes.h5: `images`, and `labels` [N,6] in place of factor columns."""
    from unmingle.data import shapes3d

    where, shape = str(table.path), table.header("images")[0]
    if table.header("labels")[0] != (shape[0], len(shapes3d.NAMES)):
        raise DataError(
            f"{where}: images {shape} and labels {table.header('labels')[0]}, expected "
            f"factor_<name> (integers [N]), or labels [N,{len(shapes3d.NAMES)}] as in 3dshapes.h5"
        )
    columns.check_image_layout(*table.header("images"), where)
    codes = shapes3d._codes(table.read("labels"), np.arange(shape[0]), where)
    return FactorDataset(
        images=read_items(table, "images", where, options, cache),
        factors={name: codes[:, at] for at, name in enumerate(shapes3d.NAMES)},
        value_names=shapes3d.VALUE_NAMES,
        name=options.name or "shapes3d",
    )


def read_table(
    table: Table, where: str, name: str, options: ReadOptions, cache: Cache
) -> FactorDataset:
    """Named arrays as a data set.

    Args:
        table: `images` or `vectors`, `factor_<name>`, `<name>_names`, `continuous_<name>`,
            `row_ids`, `files`, `origin`; other keys are ignored, except that `<factor>_<suffix>`
            with a whole number for each value of `<factor>` (what it counts as) adds that coarser
            factor.
        where: File or source, for messages.
        name: The data set's name if the options give none.
    """
    keys = list(table.keys())
    present = [key for key in ("images", "vectors") if key in keys]
    if len(present) != 1:
        found = ", ".join(keys) or "nothing"
        raise DataError(
            f"{where}: expected images (uint8 [N,H,W,C]) or vectors (float32 [N,D]), and "
            f"factor_<name> (integers [N]) for each factor; found {found}"
        )
    kind = present[0]
    shape, dtype = table.header(kind)
    check = columns.check_image_layout if kind == "images" else columns.check_vector_layout
    check(shape, dtype, where)
    if shape[0] == 0:
        raise DataError(f"{where}: {kind} has no rows")
    # Columns first: a wrong label is found before minutes of decoding.
    read = read_columns(table, shape[0], where, options.factors)
    items = read_items(table, kind, where, options, cache)
    pair: dict[str, Any] = {kind: items}
    data = FactorDataset(**pair, **read, name=options.name or name)
    data.origin = _origin(table) if "origin" in keys else None
    return data


def _origin(table: Table) -> str | None:
    """The set of the catalogue that was saved, whose named splits then still work."""
    from unmingle.data.catalogue import CATALOGUE

    shape, dtype = table.header("origin")
    name = str(table.read("origin")) if shape == () and dtype.kind == "U" else ""
    return name if name in CATALOGUE else None


def read_items(table: Table, kind: str, where: str, options: ReadOptions, cache: Cache) -> Items:
    """`images` fitted and converted as the options say, or `vectors` as float32."""
    shape, dtype = table.header(kind)
    geometry = options.geometry
    loaded = table.loaded(kind)
    if kind == "vectors":
        if geometry.changes:
            raise ConfigError(f"{where}: size= and channels= are for images, these are vectors")
        target, dtype, unchanged = shape, np.dtype(np.float32), True
    else:
        picture = (shape[1], shape[2], shape[3] if len(shape) == 4 else 1)
        target = (shape[0], *geometry.output_shape(*picture))
        unchanged = target[1:] == picture
    if not options.pixels:
        return blank(target, dtype)
    if loaded is not None and unchanged:
        return loaded

    def convert(block: NDArray[Any], row: int) -> NDArray[Any]:
        if kind == "vectors":
            return columns.finite_vectors(block, where, row)
        from unmingle.data.pixels import transform

        return transform(block.reshape(len(block), *picture), geometry)

    found = cache.open()
    if found is None:

        def fill(out: NDArray[Any]) -> Filled:
            row = 0
            with tracker(kind, shape[0], options.progress) as advance:
                for block in table.blocks(kind):
                    out[row : row + len(block)] = convert(block, row)
                    row += len(block)
                    advance(len(block))
            return Filled(row)

        found = store(target, dtype, fill, limit=options.limit, cache=cache)
    return found[0]


def read_columns(
    table: Table, count: int, where: str, only: Sequence[str] | None
) -> dict[str, Any]:
    """Keyword arguments of FactorDataset: factors, value_names, continuous, ids, files.

    Raises:
        DataError: for a column that does not fit, or a name in `only` that does not exist.
    """
    keys = list(table.keys())
    factors: dict[str, NDArray[np.int64]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for key in keys:
        if key.startswith("factor_") and key != "factor_":
            factor = key.removeprefix("factor_")
            given = table.read(f"{factor}_names") if f"{factor}_names" in keys else None
            factors[factor], names[factor] = columns.factor_column(
                factor, table.read(key), count, given, where
            )
    for key in keys:
        _add_merged(table, key, factors, names)
    if only is not None:
        for factor in only:
            if factor not in factors:
                hint = columns.nearest_or_all(factor, list(factors))
                raise DataError(f"{where}: there is no factor {factor!r} (factors=).{hint}")
        factors = {factor: factors[factor] for factor in only}
        names = {factor: names[factor] for factor in only}
    result: dict[str, Any] = {"factors": factors, "value_names": names}
    result["continuous"] = {
        key.removeprefix("continuous_"): table.read(key)
        for key in keys
        if key.startswith("continuous_")
    }
    result["ids"] = table.read("row_ids") if "row_ids" in keys else None
    if "files" in keys and table.header("files")[0] == (count,):
        result["files"] = columns.texts(table.read("files"))
    return result


def _add_merged(
    table: Table,
    key: str,
    factors: dict[str, NDArray[np.int64]],
    names: dict[str, tuple[str, ...]],
) -> None:
    """A whole number for each value of a factor, in `<factor>_<suffix>`, is a coarser factor."""
    if key in _RESERVED or key in factors or key.startswith(("factor_", "continuous_")):
        return
    bases = [
        factor for factor in names if key.startswith(f"{factor}_") and key != f"{factor}_names"
    ]
    if not bases:
        return
    base = max(bases, key=len)
    shape, dtype = table.header(key)
    if dtype.kind not in "iu" or shape != (len(names[base]),):
        return
    values, codes = np.unique(table.read(key), return_inverse=True)
    factors[key] = codes.reshape(-1).astype(np.int64)[factors[base]]
    # Usually each value is mapped to the one that stands for it, which then lends its name.
    own = names[base]
    named = values[0] >= 0 and values[-1] < len(own)
    names[key] = tuple(own[int(value)] if named else str(value) for value in values)


def write_npz(
    data: FactorDataset, path: str | os.PathLike[str], *, overwrite: bool, compress: bool
) -> None:
    """See `FactorDataset.save`; items are written in pieces."""
    target = Path(path)
    if target.suffix.lower() != ".npz":
        raise ConfigError(f"{target}: data sets are saved as .npz; name it {target.stem}.npz")
    if target.exists() and not overwrite:
        raise DataError(
            f"{target}: exists; choose another name or set overwrite=True (--overwrite)"
        )
    small: dict[str, NDArray[Any]] = {"row_ids": data.ids}
    for name, codes in data.factors.items():
        small[f"factor_{name}"] = codes
        small[f"{name}_names"] = np.array(data.value_names[name], dtype=np.str_)
    small.update({f"continuous_{name}": column for name, column in data.continuous.items()})
    if data.files is not None:
        small["files"] = data.files
    if data.origin is not None:
        small["origin"] = np.array(data.origin)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", method) as archive:
            _write_items(archive, data)
            _write_small(archive, small)

    write_atomic(target, write)


def _write_items(archive: zipfile.ZipFile, data: FactorDataset) -> None:
    items = data.items
    header = {"descr": items.dtype.str, "fortran_order": False, "shape": items.shape}
    name = "images.npy" if data.is_images else "vectors.npy"
    with archive.open(name, "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for rows in row_blocks(len(items), items.nbytes // len(items)):
            stream.write(np.ascontiguousarray(items[rows]).data)


def _write_small(archive: zipfile.ZipFile, arrays: Mapping[str, NDArray[Any]]) -> None:
    for key, array in arrays.items():
        with archive.open(key + ".npy", "w", force_zip64=True) as stream:
            np.lib.format.write_array(stream, array, allow_pickle=False)
