"""IDX files, the format of MNIST and its relatives, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import Download, NamedSet, held_out, missing
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.storage import row_blocks
from unmingle.errors import DataError

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
LAYOUT = "\n".join(f"{name}.gz   (or unpacked)" for name in FILES)


def read_idx(file: Path, rank: int) -> NDArray[Any]:
    """The array of an IDX file, in the machine's byte order.

    The file is 0, 0, a type, the rank, each side as a big-endian int32, and the values, big-endian.

    Raises:
        DataError: it is no whole IDX file of that rank.
    """
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        if content[:2] != b"\0\0" or content[3:4] != bytes([rank]) or content[2] not in _TYPES:
            raise ValueError(f"it does not begin like one of rank {rank}")
        sides = np.frombuffer(content, ">i4", rank, offset=4).tolist()
        values = np.frombuffer(content, _TYPES[content[2]], offset=4 + 4 * rank).reshape(sides)
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    except (OSError, ValueError, EOFError, IndexError, zlib.error) as error:
        raise DataError(f"{file} is no whole IDX file ({error})") from error


def find_idx(folder: Path, name: str) -> Path | None:
    """An IDX file under one of its usual names, None if there is none."""
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx")):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def read_parts(
    entry: NamedSet, folder: Path, names: Sequence[str], label_rank: int
) -> tuple[list[Path], list[NDArray[Any]], NDArray[Any]]:
    """Image files [n, H, W] and label files, by turns.

    Returns:
        The files, the images of each part, the labels of all parts.

    Raises:
        DataError: a file is missing or damaged, or images and labels differ in number.
    """
    files: list[Path] = []
    images: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    for at in range(0, len(names), 2):
        for name, rank, kept in ((names[at], 3, images), (names[at + 1], label_rank, labels)):
            file = find_idx(folder, name)
            if file is None:
                raise missing(entry, folder, f"{name} (or {name}.gz)")
            files.append(file)
            kept.append(read_idx(file, rank))
        if len(images[-1]) != len(labels[-1]):
            raise DataError(
                f"{folder}: {len(images[-1])} images in {names[at]} but {len(labels[-1])} labels"
            )
    return files, images, np.concatenate(labels)


def read_pictures(
    folder: Path,
    files: Sequence[Path],
    parts: Sequence[NDArray[Any]],
    rows: NDArray[np.int64],
    options: ReadOptions,
) -> Any:
    """Chosen rows of images [n, H, W] that come in parts, as uint8 [N, H, W, C].

    Raises:
        DataError: the parts are not bytes of one size.
    """
    sides = parts[0].shape[1:]
    for part, file in zip(parts, files[::2], strict=True):
        if part.shape[1:] != sides or part.dtype != np.uint8:
            raise DataError(f"{file}: images are {part.dtype} {part.shape}, expected uint8 {sides}")

    def blocks() -> Iterator[NDArray[Any]]:
        for part in parts:
            yield from (part[block] for block in row_blocks(len(part), sides[0] * sides[1]))

    names = [file.name for file in files[::2]]
    return read_image_blocks(folder, names, sides, blocks, rows, options)


def read_labelled(
    entry: NamedSet,
    folder: Path,
    options: ReadOptions,
    rows: Any,
    seed: int,
    factor: str,
    names: Sequence[str],
) -> FactorDataset:
    """MNIST's four files with one factor: training images first; ids are the rows in that order.

    Raises:
        DataError: as `read_parts`; a label beyond the names.
    """
    files, parts, labels = read_parts(entry, folder, FILES, 1)
    chosen = pick_rows(rows, len(labels), seed)
    return FactorDataset(
        images=read_pictures(folder, files, parts, chosen, options),
        factors={factor: labels[chosen].astype(np.int64)},
        value_names={factor: tuple(names)},
        ids=chosen,
        name=entry.name,
    )


def official(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    """The owners' split: the first 60,000 rows to train, the others to test."""
    return held_out(data, data.ids >= 60_000, "the official split")


def downloads(url: str, files: Mapping[str, tuple[str, int | None]]) -> tuple[Download, ...]:
    """Gzipped files below one address, by their SHA-256 (64 digits) or MD5, and size in bytes."""
    return tuple(
        Download(
            f"{url}{name}.gz",
            f"{name}.gz",
            sha256=digest if len(digest) == 64 else None,
            md5=digest if len(digest) == 32 else None,
            bytes=size,
        )
        for name, (digest, size) in files.items()
    )
