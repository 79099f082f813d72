"""BVH files: a hierarchy of joints, the channels of each, and their values frame by frame.

A joint's rotations apply in the order of its channels: with Zrotation Xrotation Yrotation a point p
of the child's frame becomes Rz Rx Ry p (angles in degrees, right-handed). Position channels stand
in place of the joint's OFFSET, which is how Blender and MotionBuilder write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmingle.errors import DataError

_CHANNELS = {f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Skeleton:
    """The joints of a BVH file in its order; end sites are no joints."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """-1 for the root, which is first."""
    offsets: Floats
    """[J, 3]."""
    channels: tuple[tuple[str, ...], ...]
    frames: int
    """How many frames the file has."""

    @property
    def width(self) -> int:
        """Values of a frame."""
        return sum(len(channels) for channels in self.channels)


def read_skeleton(path: Path) -> Skeleton:
    """The hierarchy and the number of frames; the values are not read.

    Raises:
        DataError: naming the line that is wrong.
    """
    with _opened(path) as lines:
        return _skeleton(path, lines)


def read_bvh(path: Path) -> tuple[Skeleton, Floats]:
    """The hierarchy, and the values of all channels [T, C].

    Raises:
        DataError: naming the line that is wrong, or a wrong number of values.
    """
    with _opened(path) as lines:
        skeleton = _skeleton(path, lines)
        words = [word for _, line in lines for word in line.split()]
    try:
        values = np.array(words, np.float64)
    except ValueError as error:
        raise DataError(f"{path}: its frames hold what is no number ({error})") from error
    wanted = skeleton.frames * skeleton.width
    if len(values) != wanted or not np.isfinite(values).all():
        raise DataError(
            f"{path}: {len(values):,} values for {skeleton.frames} frames of {skeleton.width} "
            f"channels, expected {wanted:,} finite ones"
        )
    return skeleton, values.reshape(skeleton.frames, skeleton.width)


def positions(skeleton: Skeleton, motion: Floats) -> Floats:
    """Where the joints are [T, J, 3], by forward kinematics, in the file's unit."""
    count = len(motion)
    turned = np.empty((len(skeleton.names), count, 3, 3))
    found = np.empty((len(skeleton.names), count, 3))
    column = 0
    for joint, channels in enumerate(skeleton.channels):
        place = np.tile(skeleton.offsets[joint], (count, 1))
        rotation = np.tile(np.eye(3), (count, 1, 1))
        for channel in channels:
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                place[:, axis] = motion[:, column]
            else:
                rotation = rotation @ _rotation(axis, motion[:, column])
            column += 1
        parent = skeleton.parents[joint]
        if parent < 0:
            turned[joint], found[joint] = rotation, place
        else:
            turned[joint] = turned[parent] @ rotation
            found[joint] = found[parent] + np.einsum("tij,tj->ti", turned[parent], place)
    return found.transpose(1, 0, 2)


def _rotation(axis: int, degrees: Floats) -> Floats:
    """[T, 3, 3] about x, y or z."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    result = np.tile(np.eye(3), (len(degrees), 1, 1))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    result[:, first, first] = result[:, second, second] = cos
    result[:, first, second], result[:, second, first] = -sin, sin
    return result


class _opened:
    """The lines of a text file with their numbers, as a context."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Iterator[tuple[int, str]]:
        try:
            self.file = self.path.open(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error})") from error
        return ((number, line.strip()) for number, line in enumerate(self.file, 1) if line.strip())

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _skeleton(path: Path, lines: Iterator[tuple[int, str]]) -> Skeleton:
    """Reads up to the first frame."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    above: list[int] = []  # the joints whose braces are open; -1 for an end site
    for number, line in lines:
        word, *rest = line.split()
        if word in ("ROOT", "JOINT"):
            if (word == "ROOT") != (not names) or not rest:
                raise _wrong(path, number, line)
            names.append(line.split(None, 1)[1].rstrip("{ ").rpartition(":")[2])
            parents.append(above[-1] if above else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
        elif word == "{":
            above.append(len(names) - 1)
        elif word == "}" and above:
            above.pop()
        elif word == "End":
            _, brace = next(lines, (0, ""))
            if brace != "{":
                raise _wrong(path, number, line)
            above.append(-1)
        elif word == "OFFSET" and above:
            if above[-1] >= 0:
                offsets[above[-1]] = _numbers(path, number, line, rest)
        elif word == "CHANNELS" and above and above[-1] >= 0:
            if rest[:1] != [str(len(rest) - 1)] or not set(rest[1:]) <= _CHANNELS:
                raise _wrong(path, number, line)
            channels[above[-1]] = tuple(rest[1:])
        elif word == "MOTION" and names and not above:
            table = np.array(offsets)
            return Skeleton(
                tuple(names), tuple(parents), table, tuple(channels), _frames(path, lines)
            )
        elif (number, word) != (1, "HIERARCHY"):
            raise _wrong(path, number, line)
    raise DataError(f"{path}: not a whole BVH file; it ends before MOTION")


def _wrong(path: Path, number: int, line: str) -> DataError:
    return DataError(f"{path}: line {number} is {line[:60]!r}, which does not belong there in BVH")


def _numbers(path: Path, number: int, line: str, words: list[str]) -> list[float]:
    try:
        x, y, z = (float(word) for word in words)
    except ValueError as error:
        raise _wrong(path, number, line) from error
    return [x, y, z]


def _frames(path: Path, lines: Iterator[tuple[int, str]]) -> int:
    """The number of frames, from the two lines below MOTION."""
    number, line = next(lines, (0, ""))
    _, _, count = line.partition("Frames:")
    later, time = next(lines, (0, ""))
    if not count.strip().isdecimal():
        raise _wrong(path, number, line)
    if not time.startswith("Frame Time:"):
        raise _wrong(path, later, time)
    return int(count)
