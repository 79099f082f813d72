"""Reads videos: every frame is an image, every video a value of the factor "video"."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import ENDINGS as IMAGE_ENDINGS
from unmingle.data.folders import level_names, listing_stamp
from unmingle.data.options import SMALLEST, ReadOptions
from unmingle.data.pixels import picture
from unmingle.data.storage import Cache, Filled, blank, store, tracker
from unmingle.errors import ConfigError, DataError, require

ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


def is_videos(path: Path) -> bool:
    """Whether a path is a video file, or a folder that holds videos and no images."""
    if path.is_file():
        return path.suffix.lower() in ENDINGS
    found = False
    for name in _names(path):
        if name.lower().endswith(IMAGE_ENDINGS):
            return False
        found = found or name.lower().endswith(ENDINGS)
    return found


def _names(root: Path) -> Iterator[str]:
    for _, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (name for name in files if not name.startswith("."))


def read_videos(root: Path, options: ReadOptions, rows: int | None = None) -> FactorDataset:
    """Frames of the videos in a folder, or of one file; see `load_data`.

    The factor "video" tells which video a frame is of. Folders above the videos are factors as they
    are above images. The amount "frame" is the frame's place in its video, in [0, 1].

    Args:
        root: a folder, or a video.
        options: the checked settings; with `factors` the names of the folder levels.
        rows: how many frames to take, evenly over all videos; all if None.

    Raises:
        DataError: naming the video that cannot be used.
        ConfigError: rows below 1.
        MissingExtraError: PyAV is not installed.
    """
    if rows is not None and rows < 1:
        raise ConfigError(f"rows={rows}: at least 1 frame")
    base = root if root.is_dir() else root.parent
    files = _find(root)
    levels = () if len(files[0].parts) == 1 else level_names(root, files, options.factors)
    cache = options.cache_for(root, lambda: listing_stamp(base, files), rows=rows)
    found = cache.open()
    if found is None:
        reader = VideoFrames(base, files, options)
        found = reader.decode(_evenly(reader.counts, rows), cache)
    items, notes = found
    videos = np.repeat(np.arange(len(files)), notes["frames"])
    names = [path.with_suffix("").as_posix() for path in files]
    factors: dict[str, Any] = {
        name: [files[video].parts[level] for video in videos] for level, name in enumerate(levels)
    }
    factors["video"] = [names[video] for video in videos]
    return FactorDataset(
        images=items,
        factors=factors,
        continuous={"frame": np.asarray(notes["places"], np.float32)},
        name=options.name or root.resolve().stem,
    )


def _find(root: Path) -> list[PurePath]:
    """Videos under `root`, relative to it and sorted."""
    if root.is_file():
        return [PurePath(root.name)]
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            PurePath(os.path.relpath(os.path.join(folder, name), root))
            for name in files
            if name.lower().endswith(ENDINGS) and not name.startswith(".")
        ]
    if not found:
        raise DataError(f"{root}: no videos in this folder; accepted are {', '.join(ENDINGS)}")
    return sorted(found, key=lambda path: path.parts)


def _evenly(counts: Sequence[int], rows: int | None) -> list[NDArray[np.int64]]:
    """Frames of each video: all, or `rows` of them evenly over all videos."""
    total = sum(counts)
    taken = total if rows is None else min(rows, total)
    chosen = np.unique(np.floor((np.arange(taken) + 0.5) * total / taken).astype(np.int64))
    starts = np.cumsum([0, *counts])
    return [chosen[(chosen >= start) & (chosen < end)] - start for start, end in pairwise(starts)]


class VideoFrames:
    """The frames of some videos: counted when it is made, decoded as they are chosen.

    Args:
        base: the folder that `files` are relative to.
        files: the videos.
        options: size, fit, channels (3 by default), the memory limit.
        damaged: those of the files of which what comes before the first error is kept.

    Attributes:
        counts: how many frames each video has.

    Raises:
        DataError: naming a video that cannot be read, is too large, or of another size.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(
        self,
        base: Path,
        files: Sequence[PurePath],
        options: ReadOptions,
        damaged: Collection[PurePath] = (),
    ) -> None:
        self.av: Any = require("av", "video")
        self.base, self.files, self.options = base, files, options
        self.damaged = frozenset(damaged)
        self.counts: list[int] = []
        sizes: dict[PurePath, tuple[int, int]] = {}
        for path in files:
            height, width, count = self._header(path)
            sizes[path] = (height, width)
            self.counts.append(count)
        self.channels = options.geometry.channels or 3
        height, width = self._one_size(sizes)
        self.shape = options.geometry.output_shape(height, width, self.channels)

    def decode(
        self, chosen: Sequence[NDArray[np.int64]], cache: Cache
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Some frames, in memory or, above the limit, in the cache's file.

        Args:
            chosen: numbers of frames of each video, from 0, ascending.
            cache: where the file goes.

        Returns:
            uint8 [N, H, W, C], one video after the other. Notes: `frames`, how many there are of
            each video, fewer than chosen where a video ends before its header says; `places`, where
            each row lies in its video, 0 to 1.

        Raises:
            DataError: a video is damaged.
        """
        shape = (sum(map(len, chosen)), *self.shape)

        def fill(out: NDArray[Any]) -> Filled:
            return self._fill(out, chosen)

        return store(shape, np.uint8, fill, limit=self.options.limit, cache=cache)

    def blank(self, chosen: Sequence[NDArray[np.int64]]) -> tuple[NDArray[Any], dict[str, Any]]:
        """As `decode`, with frames of zeros: nothing is decoded."""
        places = [
            number / max(1, count - 1)
            for wanted, count in zip(chosen, self.counts, strict=True)
            for number in wanted.tolist()
        ]
        notes = {"frames": [len(wanted) for wanted in chosen], "places": places}
        return blank((len(places), *self.shape)), notes

    def _open(self, path: PurePath) -> Any:
        try:
            container = self.av.open(str(self.base / path))
            if not container.streams.video:
                container.close()
                raise ValueError("there are no pictures in it")
            return container
        except (self.av.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"{self.base / path}: cannot be read as a video: {error}") from error

    def _header(self, path: PurePath) -> tuple[int, int, int]:
        with self._open(path) as container:
            stream = container.streams.video[0]
            count = self._count(path, container.demux(stream))
            if count == 0:
                raise DataError(f"{self.base / path}: there are no frames in it")
            limit = self.options.geometry.pixel_limit
            if stream.height * stream.width > limit:
                raise DataError(
                    f"{self.base / path}: {stream.width}x{stream.height} is more than the pixel "
                    f"limit of {limit:,} pixels; pixel_limit= (--pixel-limit) raises it"
                )
            return stream.height, stream.width, count

    def _count(self, path: PurePath, packets: Iterator[Any]) -> int:
        count = 0
        try:
            for packet in packets:
                count += packet.size > 0
        except self.av.FFmpegError as error:
            self._stop(path, error)
        return count

    def _stop(self, path: PurePath, error: Exception) -> None:
        """A video can be read no further.

        Raises:
            DataError: unless it is known to be damaged.
        """
        if path not in self.damaged:
            raise DataError(f"{self.base / path}: damaged ({error})") from error

    def _one_size(self, sizes: dict[PurePath, tuple[int, int]]) -> tuple[int, int]:
        first, (height, width) = next(iter(sizes.items()))
        if self.options.geometry.size is not None:
            return height, width
        for path, other in sizes.items():
            if other != (height, width):
                raise DataError(
                    f"{self.base}: videos of different sizes, {first} is {width}x{height} and "
                    f"{path} is {other[1]}x{other[0]} (width x height); give size= (--size 64)"
                )
        if min(height, width) < SMALLEST:
            raise DataError(
                f"{self.base / first}: {width}x{height} is smaller than {SMALLEST}x{SMALLEST}; "
                "give size= (--size 64) to enlarge"
            )
        return height, width

    def _fill(self, out: NDArray[Any], chosen: Sequence[NDArray[np.int64]]) -> Filled:
        row, frames, places = 0, [], []
        with tracker("videos", len(self.files), self.options.progress) as advance:
            for path, wanted, count in zip(self.files, chosen, self.counts, strict=True):
                before = row
                for number, pixels in self._frames(path, wanted):
                    out[row] = pixels
                    places.append(number / max(1, count - 1))
                    row += 1
                frames.append(row - before)
                advance(1)
        return Filled(row, {"frames": frames, "places": places})

    def _frames(
        self, path: PurePath, chosen: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        wanted = set(chosen.tolist())
        if not wanted:
            return
        with self._open(path) as container:
            try:
                for number, frame in enumerate(container.decode(video=0)):
                    if number in wanted:
                        image = frame.to_image()
                        yield number, picture(image, self.options.geometry, self.channels)
                    if number >= chosen[-1]:
                        return
            except self.av.FFmpegError as error:
                self._stop(path, error)
