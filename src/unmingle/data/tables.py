"""Named arrays that need not be in memory: .npz, .h5, and mappings of arrays."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from unmingle.data.storage import Items, RowView, row_blocks
from unmingle.errors import DataError, require

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


class Table(Protocol):
    """Named arrays that need not be in memory."""

    def keys(self) -> Sequence[str]: ...

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type, without reading the array."""
        ...

    def read(self, key: str) -> NDArray[Any]:
        """The whole array."""
        ...

    def loaded(self, key: str) -> Items | None:
        """The array if it is in memory (or memory-mapped) already."""
        ...

    def blocks(self, key: str) -> Iterator[NDArray[Any]]:
        """The array in pieces of some megabytes along the first axis."""
        ...


# .npz


class NpzTable:
    """The arrays of an .npz, read through zipfile so that large ones can be streamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.path}: not a whole .npz file ({error}); copy or save it again")

    def __enter__(self) -> NpzTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.close()

    def keys(self) -> list[str]:
        return [n.removesuffix(".npy") for n in self.archive.namelist() if n.endswith(".npy")]

    def _open(self, key: str) -> tuple[BinaryIO, tuple[int, ...], bool, np.dtype[Any]]:
        """A stream at the first value, and the header's shape, order and type."""
        name = key + ".npy"
        try:
            stream = cast(BinaryIO, self.archive.open(name))
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                header = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                header = np.lib.format.read_array_header_2_0(stream)
            else:
                raise ValueError(f"{key} has .npy version {version}")
            shape, fortran, dtype = header
        except _DAMAGED as error:
            raise self._damaged(error) from error
        if dtype.hasobject:
            stream.close()
            raise DataError(
                f"{self.path}: {key} is an array of Python objects, which is never unpickled; "
                f"save it as numbers or text, for instance np.array({key}.tolist())"
            )
        held = self.archive.getinfo(name).file_size - stream.tell()
        if held != math.prod(shape) * dtype.itemsize:
            stream.close()
            raise self._damaged(ValueError(f"{key} says {shape} but holds {held} bytes"))
        return stream, shape, fortran, dtype

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        stream, shape, _, dtype = self._open(key)
        stream.close()
        return shape, dtype

    def read(self, key: str) -> NDArray[Any]:
        self._open(key)[0].close()
        try:
            with self.archive.open(key + ".npy") as stream:
                array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
                stream.read(1)  # at the end the check sum is compared
                return array
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def loaded(self, key: str) -> Items | None:
        return None

    def blocks(self, key: str) -> Iterator[NDArray[Any]]:
        stream, shape, fortran, dtype = self._open(key)
        if fortran:  # columns first: rows cannot be had without the whole
            stream.close()
            whole = self.read(key)
            yield from (whole[rows] for rows in row_blocks(len(whole), whole[0].nbytes))
            return
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        with stream:
            for rows in row_blocks(shape[0], row_bytes):
                wanted = (rows.stop - rows.start) * row_bytes
                try:
                    data = stream.read(wanted)
                    if len(data) < wanted:
                        raise EOFError(f"{key} ends early")
                except _DAMAGED as error:
                    raise self._damaged(error) from error
                yield np.frombuffer(data, dtype).reshape(-1, *shape[1:])
            try:
                stream.read(1)  # at the end the check sum is compared
            except _DAMAGED as error:
                raise self._damaged(error) from error


# .h5


class H5Table:
    """The data sets at the top of an HDF5 file."""

    def __init__(self, path: Path) -> None:
        h5py = require("h5py", "h5")
        self.path = path
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"{path}: not a whole HDF5 file ({error})") from error
        self.datasets = {k: v for k, v in self.file.items() if isinstance(v, h5py.Dataset)}
        self.h5py = h5py

    def __enter__(self) -> H5Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def keys(self) -> list[str]:
        return list(self.datasets)

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        dataset = self.datasets[key]
        return tuple(dataset.shape), dataset.dtype

    def read(self, key: str) -> NDArray[Any]:
        dataset = self.datasets[key]
        try:
            if self.h5py.check_string_dtype(dataset.dtype) is not None:
                return np.asarray(dataset.asstr()[...], dtype=np.str_)
            return np.asarray(dataset[...])
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: {key} cannot be read ({error})") from error

    def loaded(self, key: str) -> Items | None:
        return None

    def blocks(self, key: str) -> Iterator[NDArray[Any]]:
        shape, dtype = self.header(key)
        for rows in row_blocks(shape[0], math.prod(shape[1:]) * dtype.itemsize):
            try:
                yield np.asarray(self.datasets[key][rows])
            except OSError as error:
                raise DataError(f"{self.path}: {key} cannot be read ({error})") from error


class MappingTable:
    """Arrays, lists and CPU tensors by the keys of an .npz."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays: dict[str, Items] = {}
        for key, value in arrays.items():
            try:
                known = isinstance(value, (np.ndarray, RowView))
                self.arrays[key] = value if known else np.asarray(value)
            except (ValueError, TypeError, RuntimeError) as error:
                raise DataError(
                    f"arrays: {key} is not one array ({error}); rows must be of one shape"
                ) from error

    def keys(self) -> list[str]:
        return list(self.arrays)

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        return self.arrays[key].shape, self.arrays[key].dtype

    def read(self, key: str) -> NDArray[Any]:
        return np.asarray(self.arrays[key])

    def loaded(self, key: str) -> Items | None:
        return self.arrays[key]

    def blocks(self, key: str) -> Iterator[NDArray[Any]]:
        array = self.arrays[key]
        for rows in row_blocks(len(array), array.nbytes // len(array)):
            yield array[rows]
