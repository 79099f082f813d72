"""Reads a folder of class folders, or a single picture file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import SMALLEST, Geometry, ReadOptions, warn_skipped
from unmingle.data.pixels import (
    Header,
    channels_of,
    compact,
    decode_file,
    in_threads,
    pillow_limit,
    read_header,
)
from unmingle.data.storage import Cache, Filled, store
from unmingle.errors import DataError

T = TypeVar("T")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm")


def find_images(root: Path) -> list[PurePath]:
    """Paths of the images under `root`, relative to it and sorted; hidden entries are left out.

    Raises:
        DataError: if there are none.
    """
    if root.is_file():
        return [PurePath(root.name)]
    found: list[PurePath] = []

    def visit(folder: Path, above: tuple[str, ...]) -> None:
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:  # a link to a folder above would never end
                    visit(Path(entry.path), (*above, real))
            elif entry.name.lower().endswith(ENDINGS):
                found.append(PurePath(os.path.relpath(entry.path, root)))

    visit(root, (os.path.realpath(root),))
    if not found:
        raise DataError(f"{root}: no images in this folder; accepted are {', '.join(ENDINGS)}")
    return sorted(found, key=lambda path: path.parts)


def level_names(
    root: Path, files: Sequence[PurePath], names: Sequence[str] | None
) -> tuple[str, ...]:
    """The factor of each folder level: `names`, or "class", or "level1", "level2", …

    Raises:
        DataError: if images lie at different depths, or the number of names is not the depth.
    """
    depths = [len(path.parts) - 1 for path in files]
    if min(depths) != max(depths):
        shallow, deep = files[int(np.argmin(depths))], files[int(np.argmax(depths))]
        raise DataError(
            f"{root}: images lie at different depths, {shallow} and {deep}; every image must be in "
            "as many folders, one level a factor"
        )
    depth = depths[0]
    if names is None:
        return ("class",) if depth == 1 else tuple(f"level{n + 1}" for n in range(depth))
    if len(names) != depth or len(set(names)) < depth:
        raise DataError(
            f"{root}: factors={','.join(names)} gives {len(names)} names for {depth} folder levels "
            f"(such as {files[0]}); one different name a level is needed"
        )
    return tuple(names)


def listing_stamp(base: Path, files: Sequence[PurePath]) -> dict[str, Any]:
    """Number, bytes and a digest of the names, sizes and times of files."""
    digest, total = hashlib.sha256(), 0
    for path in files:
        stat = (base / path).stat()
        total += stat.st_size
        digest.update(f"{path.as_posix()}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return {"files": len(files), "bytes": total, "sha256": digest.hexdigest()}


def read_folder(root: Path, options: ReadOptions) -> FactorDataset:
    """Every folder level above the images is a factor; see `load_data`.

    Raises:
        DataError: naming the file or folder that cannot be used.
    """
    files = find_images(root)
    factors = level_names(root, files, options.factors)
    base = root if root.is_dir() else root.parent
    cache = options.cache_for(root, lambda: listing_stamp(base, files))
    items, skipped = read_pictures(root, base, files, options, cache)
    kept = [path for row, path in enumerate(files) if row not in skipped]
    entries = [f"{files[row]}: {reason}" for row, reason in skipped.items()]
    warn_skipped(root, entries, len(files))
    return FactorDataset(
        images=items,
        factors={name: [path.parts[level] for path in kept] for level, name in enumerate(factors)},
        name=options.name or root.resolve().stem,
        files=[path.as_posix() for path in kept],
        skipped=entries,
    )


def read_pictures(
    root: Path,
    base: Path,
    files: Sequence[PurePath],
    options: ReadOptions,
    cache: Cache,
    boxes: NDArray[np.int64] | None = None,
) -> tuple[NDArray[Any], dict[int, str]]:
    """Picture files as one array, and which of them were left out.

    Args:
        root: What is read, for messages.
        base: The folder that `files` are relative to.
        files: One a row; a file may come more than once.
        options: Size, channels, skipping and the memory limit.
        cache: Where the array goes if it is larger than the limit.
        boxes: int [N, 4], the part of each picture that is taken: left, top, right, bottom in
            pixels, the last two not included; all of it if None.

    Returns:
        uint8 [N - skipped, H, W, C], and the reason for each position in `files` that was skipped.

    Raises:
        DataError: naming the file that cannot be used.
    """
    found = cache.open()
    if found is None:
        with pillow_limit(options.geometry.pixel_limit):
            reader = _Reader(root, base, files, options, boxes)
            shape = reader.shape()
            found = store(shape, np.uint8, reader.fill, limit=options.limit, cache=cache)
    items, notes = found
    return items, {int(row): str(reason) for row, reason in notes["skipped"].items()}


class _Reader:
    """Two passes over the files: headers, which settle size and channels, then pixels."""

    def __init__(
        self,
        root: Path,
        base: Path,
        files: Sequence[PurePath],
        options: ReadOptions,
        boxes: NDArray[np.int64] | None = None,
    ) -> None:
        self.root, self.base, self.files, self.options = root, base, files, options
        self.boxes = boxes
        self.skipped: dict[str, str] = {}
        self.good: list[int] = []
        self.channels = 0

    def _attempt(self, row: int, work: Callable[[Path], T]) -> T | str:
        """The result of `work`, or why the file is skipped.

        Raises:
            DataError: if the file cannot be used and is not to be skipped.
        """
        path = self.base / self.files[row]
        try:
            return work(path)
        # Pillow's decoders raise errors of many kinds on damaged files.
        except Exception as error:
            reason = str(error) or type(error).__name__
            if self.options.skip_bad:
                return reason
            raise DataError(
                f"{path}: cannot be read: {reason}; repair or remove it, or leave such "
                "files out with skip_bad=True (--skip-bad)"
            ) from error

    def _skip(self, rows: Sequence[int], results: Sequence[object]) -> set[int]:
        """Note the files whose result is a reason; returns their positions in `rows`.

        Raises:
            DataError: if nothing is left.
        """
        bad = {at: result for at, result in enumerate(results) if isinstance(result, str)}
        self.skipped.update({str(rows[at]): reason for at, reason in bad.items()})
        if len(bad) == len(rows):
            row, reason = next(iter(self.skipped.items()))
            raise DataError(
                f"{self.root}: none of the {len(self.files)} images can be read, such as "
                f"{self.files[int(row)]}: {reason}"
            )
        return set(bad)

    def _box(self, row: int) -> tuple[int, int, int, int] | None:
        if self.boxes is None:
            return None
        left, top, right, bottom = (int(side) for side in self.boxes[row])
        return left, top, right, bottom

    def shape(self) -> tuple[int, ...]:
        """[N,H,W,C] from the headers: one size for all, the channels of the richest."""
        limit = self.options.geometry.pixel_limit

        def header(row: int) -> Header | str:
            return self._attempt(row, lambda path: read_header(path, limit).within(self._box(row)))

        headers = in_threads(header, len(self.files), "headers", self.options.progress)
        self._skip(range(len(self.files)), headers)
        seen = {row: header for row, header in enumerate(headers) if isinstance(header, Header)}
        self.good = list(seen)
        first = seen[self.good[0]]
        richest = channels_of(
            any(h.colour for h in seen.values()), any(h.alpha for h in seen.values())
        )
        height, width, self.channels = self.options.geometry.output_shape(
            first.height, first.width, richest
        )
        if self.options.geometry.size is None:
            self._one_size(seen)
        return len(self.good), height, width, self.channels

    def _one_size(self, seen: Mapping[int, Header]) -> None:
        first = self.files[self.good[0]]
        header = seen[self.good[0]]
        for row, other in seen.items():
            if (other.width, other.height) != (header.width, header.height):
                raise DataError(
                    f"{self.root}: images of different sizes, {first} is "
                    f"{header.width}x{header.height} and {self.files[row]} is "
                    f"{other.width}x{other.height} (width x height); give size= (--size 64) and, "
                    "to keep proportions, fit= (--fit crop or --fit pad)"
                )
        if min(header.width, header.height) < SMALLEST:
            raise DataError(
                f"{self.base / first}: {header.width}x{header.height} is smaller than "
                f"{SMALLEST}x{SMALLEST}; give size= (--size 64) to enlarge"
            )

    def fill(self, out: NDArray[Any]) -> Filled:
        """Decode every good file into its row."""
        geometry: Geometry = self.options.geometry

        def write(at: int, path: Path) -> None:
            pixels = decode_file(path, geometry, self.channels, self._box(self.good[at]))
            if pixels.shape != out.shape[1:]:
                height, width = pixels.shape[:2]
                raise DataError(f"it decodes to {width}x{height}, its header says otherwise")
            out[at] = pixels

        def decode(at: int) -> str | None:
            return self._attempt(self.good[at], lambda path: write(at, path))

        results = in_threads(decode, len(self.good), "images", self.options.progress)
        bad = self._skip(self.good, results)
        return Filled(compact(out, bad) if bad else len(out), {"skipped": self.skipped})
