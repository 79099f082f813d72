"""Landmarks of the faces of VoxCeleb2: a file a clip, laid out as the set's videos are.

There is no published file format for these landmarks: the DisUnknown supplement (6.3) tracks them
in crops of 256x256 and does not hand them out. What is read here is defined here:
dev/id00012/21Uxsk56VDQ/00001.npz with the array `landmarks` [T, P, 2] or [T, P, 3], or …/00001.txt
with a frame a line, x and y (and z) of each point in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.pixels import in_threads
from unmingle.data.sets._base import NamedSet, Protocol, missing
from unmingle.data.sets._papers import XIANG_2021
from unmingle.data.sets._people import of_files, read_frames, refuse_geometry
from unmingle.data.tables import NpzTable
from unmingle.errors import ConfigError, DataError

PARTS = ("dev", "test")
_KEY = "landmarks"
_IDENTITIES = 1000
_PAPER = "J. S. Chung, A. Nagrani, A. Zisserman, VoxCeleb2: Deep Speaker Recognition, 2018"


def read(
    folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0, axes: int = 2
) -> FactorDataset:
    """Frames of faces: vectors [N, 2P] or [N, 3P], x, y (upwards) and z of each point.

    Args:
        folder: with dev and test, or with the folders of the identities.
        options: whether to show progress.
        rows, seed: as `pick_rows`, of all frames in the order of the files' paths.
        axes: numbers of a point in text files, 2 or 3; an .npz says so itself.

    Returns:
        Factors `identity`, `video` (named identity/video) and, where there are such folders,
        `part` (dev, test); continuous `frame`, the place in the clip, 0 to 1.

    Raises:
        DataError: no such files, one that is damaged or has another number of points; wrong `rows`.
        ConfigError: size= or channels=, or other axes.
    """
    refuse_geometry(options, "voxceleb-landmarks")
    if axes not in (2, 3):
        raise ConfigError(f"axes={axes!r}: numbers of a point in text files, 2 or 3")
    files = _files(folder)
    above = [_parts(folder, file) for file in files]
    shapes = _shapes(folder, files, axes, options)
    counts = [shape[0] for shape in shapes]
    chosen = pick_rows(rows, sum(counts), seed)
    width = shapes[0][1] * shapes[0][2]

    def parse(number: int) -> NDArray[Any]:
        points = _landmarks(folder / files[number], axes)
        points[:, :, 1] = 0 - points[:, :, 1]
        return points.reshape(-1, width)

    found = read_frames(chosen, counts, width, parse, options)
    columns = {
        "identity": [identity for _, identity, _ in above],
        "video": [f"{identity}/{video}" for _, identity, video in above],
    }
    if above[0][0]:
        columns["part"] = [part for part, _, _ in above]
    return FactorDataset(
        vectors=found.vectors,
        **of_files(columns, found.file, {"part": PARTS}),
        continuous={"frame": found.place},
        ids=chosen,
        name="voxceleb-landmarks",
    )


def _files(folder: Path) -> list[PurePath]:
    files = sorted(
        PurePath(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix.lower() in (".npz", ".txt") and path.is_file()
    )
    if not files:
        raise missing(SET, folder, "file identity/video/clip.npz (or .txt)")
    return files


def _parts(folder: Path, file: PurePath) -> tuple[str, str, str]:
    """dev, test or nothing; identity; video."""
    above = file.parts[:-1]
    if len(above) == 3 and above[0] in PARTS:
        return above[0], above[1], above[2]
    if len(above) == 2 and not any((folder / part).is_dir() for part in PARTS):
        return "", above[0], above[1]
    raise DataError(
        f"{folder / file}: expected identity/video/clip inside {folder}, all in dev and test or "
        "none"
    )


def _shapes(
    folder: Path, files: Sequence[PurePath], axes: int, options: ReadOptions
) -> list[tuple[int, int, int]]:
    """Frames, points and numbers of a point of each file; the last two are the same for all."""
    shapes = in_threads(
        lambda number: _shape(folder / files[number], axes), len(files), "files", options.progress
    )
    _, points, numbers = shapes[0]
    for file, shape in zip(files, shapes, strict=True):
        if shape[1:] != (points, numbers):
            raise DataError(
                f"{folder / file}: {shape[1]} points of {shape[2]} numbers, and "
                f"{folder / files[0]} has {points} of {numbers}"
            )
    return shapes


def _shape(file: Path, axes: int) -> tuple[int, int, int]:
    """Frames, points, numbers of a point; an .npz is not read for it."""
    if file.suffix.lower() == ".txt":
        frames, points, numbers = _landmarks(file, axes).shape
        return frames, points, numbers
    with NpzTable(file) as table:
        keys = table.keys()
        if _KEY not in keys:
            found = ", ".join(keys) or "nothing"
            raise DataError(f"{file}: expected the array {_KEY!r}; found {found}")
        shape, dtype = table.header(_KEY)
    if len(shape) != 3 or shape[2] not in (2, 3) or min(shape) < 1 or dtype.kind not in "fiu":
        raise DataError(
            f"{file}: {_KEY} is {dtype} of shape {shape}, expected numbers [T, P, 2] or [T, P, 3]"
        )
    return shape[0], shape[1], shape[2]


def _landmarks(file: Path, axes: int) -> NDArray[np.float64]:
    """[T, P, 2 or 3]."""
    if file.suffix.lower() == ".npz":
        with NpzTable(file) as table:
            return table.read(_KEY).astype(np.float64)
    try:
        lines = np.loadtxt(file, np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: expected a frame a line, all as long ({error})") from error
    if lines.size == 0 or lines.shape[1] % axes:
        raise DataError(f"{file}: {lines.shape[1]} numbers a line are no points of {axes} (axes=)")
    return lines.reshape(len(lines), -1, axes)


def _xiang(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    """1,000 identities of dev, drawn once for all, against those of test."""
    part = data.factor("part")
    dev, test = (np.flatnonzero(part == PARTS.index(name)) for name in PARTS)
    if not len(dev) or not len(test):
        raise DataError(f"{data.name}: the split needs rows of dev and of test")
    identity = data.factor("identity")
    drawn = np.random.default_rng(0).permutation(np.unique(identity[dev]))[:_IDENTITIES]
    return data.select(dev[np.isin(identity[dev], drawn)]), data.select(test)


SET = NamedSet(
    name="voxceleb-landmarks",
    title="VoxCeleb landmarks",
    summary="landmarks of talking faces, tracked in the videos of VoxCeleb2",
    rows=None,
    shape="Px2 or Px3 points",
    factors={"identity": None, "video": None, "part": 2, "frame": 0},
    licence="see the authors' page; the videos belong to their owners",
    paper=_PAPER,
    url="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",
    layout=(
        "dev/id00012/21Uxsk56VDQ/00001.npz    landmarks [T, P, 2] or [T, P, 3], or\n"
        "dev/id00012/21Uxsk56VDQ/00001.txt    a frame a line: x y x y … (axes=3: x y z x y z …)\n"
        "test/id00017/…\n"
        "or the folders of the identities without dev and test; landmarks are tracked by yourself"
    ),
    read=read,
    traps=(
        "There is no published format for these landmarks; the one read here is defined here.",
        "Pictures count downwards: y is turned over, so that it goes up from the top left corner.",
        "The identities of dev and test differ.",
    ),
    splits={
        "disunknown": Protocol(
            "1,000 identities of dev to train, drawn with seed 0 (all, where there are fewer), the "
            "identities of test to test",
            f"{XIANG_2021} 6.3",
            _xiang,
        )
    },
)
