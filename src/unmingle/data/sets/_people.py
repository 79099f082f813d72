"""What the sets of skeletons and landmarks share: rows that are frames of many files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.columns import factor_column
from unmingle.data.options import ReadOptions
from unmingle.data.storage import blank, check_memory, tracker
from unmingle.errors import ConfigError


@dataclass(frozen=True)
class Frames:
    """Some frames of many files."""

    vectors: NDArray[np.float32]
    """[N, D]."""
    file: NDArray[np.int64]
    """[N], which file each is of."""
    place: NDArray[np.float32]
    """[N], where in its file, 0 to 1."""


def refuse_geometry(options: ReadOptions, name: str) -> None:
    """Points have no size in pixels.

    Raises:
        ConfigError: size= or channels= is given.
    """
    if options.geometry.changes:
        raise ConfigError(f"{name}: size= and channels= are for images, these are vectors")


def locate(
    rows: NDArray[np.int64], counts: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """File [N] and frame in it [N] of row numbers that run through files of `counts` frames."""
    length = np.asarray(counts, np.int64)
    ends = np.cumsum(length)
    file = np.searchsorted(ends, rows, side="right").astype(np.int64)
    return file, rows - (ends - length)[file]


def places(
    frame: NDArray[np.int64], file: NDArray[np.int64], counts: Sequence[int]
) -> NDArray[np.float32]:
    """Where frames lie in their files, 0 to 1."""
    last = np.maximum(np.asarray(counts, np.int64)[file] - 1, 1)
    return np.asarray(frame / last, np.float32)


def of_files(
    columns: Mapping[str, Sequence[str]],
    file: NDArray[np.int64],
    names: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Factors and their value names for rows of the files `file` [N].

    Args:
        columns: what each file has for each factor.
        file: which file each row is of.
        names: the values of factors that have fixed ones.
    """
    coded = {
        factor: factor_column(factor, values, len(values), (names or {}).get(factor))
        for factor, values in columns.items()
    }
    return {
        "factors": {factor: codes[file] for factor, (codes, _) in coded.items()},
        "value_names": {factor: named for factor, (_, named) in coded.items()},
    }


def read_frames(
    rows: NDArray[np.int64],
    counts: Sequence[int],
    width: int,
    parse: Callable[[int], NDArray[Any]],
    options: ReadOptions,
) -> Frames:
    """Frames by their numbers through all files; each file that has some is parsed once.

    Args:
        rows: int64 [N].
        counts: how many frames each file has.
        width: D, the numbers of a frame.
        parse: gives the frames [T, D] of a file.
        options: whether to show progress.

    Raises:
        DataError: more than the free memory holds.
    """
    file, frame = locate(rows, counts)
    if not options.pixels:
        blanks = blank((len(rows), width), np.float32)
        return Frames(blanks, file, places(frame, file, counts))
    check_memory(4 * width * len(rows), f"{len(rows):,} frames (fewer: rows=)")
    vectors = np.empty((len(rows), width), np.float32)
    order = np.argsort(file, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(file[order])) + 1)
    with tracker("files", len(parts), options.progress) as advance:
        for part in parts:
            vectors[part] = parse(int(file[part[0]]))[frame[part]]
            advance(1)
    return Frames(vectors, file, places(frame, file, counts))
