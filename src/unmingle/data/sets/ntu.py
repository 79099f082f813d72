"""NTU RGB+D: skeletons such as S001C001P001R001A001.skeleton (setup, camera, performer,
replication, action), text in the order that the authors' reader takes it.

Number of frames; for each frame the number of bodies; for each body ten values (an id, six whole
numbers, two of leaning, a state), the number of joints, and twelve values a joint: x, y and z in
metres as the camera sees them (y upwards), then places in pictures, orientation and state.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.pixels import in_threads
from unmingle.data.sets._base import NamedSet, Protocol, by_values, held_out, missing
from unmingle.data.sets._files import read_lines
from unmingle.data.sets._people import locate, places, refuse_geometry
from unmingle.data.storage import check_memory, tracker
from unmingle.errors import ConfigError, DataError

JOINTS = (
    "spine_base", "spine_middle", "neck", "head", "left_shoulder", "left_elbow", "left_wrist",
    "left_hand", "right_shoulder", "right_elbow", "right_wrist", "right_hand", "left_hip",
    "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot",
    "spine_top", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb",
)  # fmt: skip
BONES = (
    (0, 1), (1, 20), (20, 2), (2, 3), (20, 4), (4, 5), (5, 6), (6, 7), (7, 21), (7, 22), (20, 8),
    (8, 9), (9, 10), (10, 11), (11, 23), (11, 24), (0, 12), (12, 13), (13, 14), (14, 15), (0, 16),
    (16, 17), (17, 18), (18, 19),
)  # fmt: skip
_LISTS = Path(__file__).parent
ACTIONS = tuple(read_lines(_LISTS / "ntu_actions.txt"))
"""The 120 actions; the first 60 are those of the first set."""
FACTORS = ("setup", "camera", "performer", "replication", "action")
# Values of the factors in the set of 60 actions and in the one of 120.
_SIXTY, _ALL = (17, 3, 40, 2, 60), (32, 3, 106, 2, 120)
TRAINING_PERFORMERS = (
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,
    # of the set of 120 actions
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89,
    91, 92, 93, 94, 95, 97, 98, 100, 103,
)  # fmt: skip
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_BODY, _JOINT = 10, 12
_PAPER = "A. Shahroudy et al., NTU RGB+D, CVPR 2016"
_PAPER_120 = "J. Liu et al., NTU RGB+D 120, TPAMI 2019"


def read(
    folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0, bodies: int = 1,
    centre: bool = True,
) -> FactorDataset:  # fmt: skip
    """Frames of skeletons: vectors [N, 75], x, y (upwards) and z of the 25 joints in metres.

    Args:
        folder: with the .skeleton files, or with the folder nturgb+d_skeletons that holds them.
        options: whether to show progress.
        rows, seed: None for all frames in which somebody is tracked, a number of them drawn
            without repetition, or numbers of frames through all files in the order of their names.
        bodies: 1 for the main body; 2 for vectors [N, 150] with the second after it, which is zeros
            where there is none.
        centre: relative to the base of the main body's spine; else as the camera sees them.

    Returns:
        Factors `setup`, `camera` (3), `performer`, `replication` (2) and `action` (60 or 120);
        continuous `frame`, the place in the sample, 0 to 1.

    Raises:
        DataError: no such files, one that is damaged or of another name; wrong `rows`, or more than
            the free memory holds.
        ConfigError: size= or channels=, or another number of bodies.
    """
    refuse_geometry(options, "ntu")
    if bodies not in (1, 2):
        raise ConfigError(f"bodies={bodies!r}: 1 (the main one) or 2")
    files, values = _files(folder)
    counts = in_threads(
        lambda number: _frames(files[number]), len(files), "samples", options.progress
    )
    reader = _Reader(files, counts, bodies, centre, options)
    if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
        chosen, vectors = reader.random(int(rows), seed)
    else:
        wanted = pick_rows(rows, sum(counts), seed)
        chosen, vectors = reader.tracked(wanted)
        if rows is not None and len(chosen) < len(wanted):
            lost = np.setdiff1d(wanted, chosen)[0]
            raise DataError(f"rows has {lost}, a frame in which nobody is tracked")
    if not len(chosen):
        raise DataError("ntu: in no frame of these samples is anybody tracked")
    file, frame = locate(chosen, counts)
    sizes = _SIXTY if (values <= _SIXTY).all() else _ALL
    return FactorDataset(
        vectors=vectors,
        factors={name: values[file, at] - 1 for at, name in enumerate(FACTORS)},
        value_names={
            name: ACTIONS[:size] if name == "action" else [str(n) for n in range(1, size + 1)]
            for name, size in zip(FACTORS, sizes, strict=True)
        },
        continuous={"frame": places(frame, file, counts)},
        ids=chosen,
        name="ntu",
    )


def _files(folder: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """The samples whose skeletons are whole, by name, and their factors [N, 5] counted from 1."""
    found = sorted(folder.rglob("*.skeleton"), key=lambda path: path.name)
    if not found:
        raise missing(SET, folder, "file such as S001C001P001R001A001.skeleton")
    lists = [_LISTS / "ntu_missing.txt", *folder.glob("*missing*.txt")]
    left_out = {
        line.strip() for file in lists for line in read_lines(file) if _NAME.fullmatch(line.strip())
    }
    files, values = [], []
    for path in found:
        match = _NAME.fullmatch(path.stem)
        numbers = [int(number) for number in match.groups()] if match else []
        if not numbers or not all(1 <= n <= most for n, most in zip(numbers, _ALL, strict=True)):
            raise DataError(
                f"{path}: its name does not say what it is, as S001C001P001R001A001.skeleton"
            )
        if path.stem not in left_out:
            files.append(path)
            values.append(numbers)
    if not files:
        raise DataError(f"{folder}: all samples are on the lists of missing skeletons")
    return files, np.array(values, np.int64)


def _frames(path: Path) -> int:
    with path.open(encoding="ascii", errors="replace") as file:
        first = file.readline().strip()
    if not first.isdecimal():
        raise DataError(f"{path}: its first line is {first[:40]!r}, expected the number of frames")
    return int(first)


class Body(NamedTuple):
    """A body through a sample."""

    frames: NDArray[np.int64]
    """[n], those in which it is tracked."""
    joints: NDArray[np.float64]
    """[n, 25, 3]."""

    def spread(self) -> float:
        """The variances of x, y and z over all joints and frames, added up."""
        return float(self.joints.reshape(-1, 3).var(axis=0).sum())


def read_bodies(path: Path) -> list[Body]:
    """The bodies of a sample, the one whose joints vary most first.

    That is how the authors choose the main one. Bodies are told apart by the tracker's id.

    Raises:
        DataError: the file ends early, goes on after its last frame, or has other joints.
    """
    words = path.read_text(encoding="ascii", errors="replace").split()
    found: dict[str, tuple[list[int], list[Any]]] = {}
    at, count = 1, _frames(path)
    try:
        for frame in range(count):
            tracked, at = int(words[at]), at + 1
            for _ in range(tracked):
                name, joints = words[at], int(words[at + _BODY])
                at += _BODY + 1
                if joints != len(JOINTS):
                    raise DataError(f"{path}: frame {frame + 1} has a body of {joints} joints")
                block = words[at : at + _JOINT * joints]
                at += _JOINT * joints
                if len(block) < _JOINT * joints:
                    raise IndexError
                frames, positions = found.setdefault(name, ([], []))
                frames.append(frame)
                positions.append([block[axis::_JOINT] for axis in range(3)])
        bodies = [
            Body(np.array(frames), np.array(positions, np.float64).transpose(0, 2, 1))
            for frames, positions in found.values()
        ]
    except IndexError as error:
        raise DataError(f"{path}: it ends before its {count} frames do") from error
    except ValueError as error:
        raise DataError(f"{path}: it holds what is no number ({error})") from error
    if at != len(words):
        raise DataError(f"{path}: it goes on after its {count} frames")
    return sorted(bodies, key=Body.spread, reverse=True)


class _Reader:
    """Frames of many samples, parsed as they are asked for."""

    def __init__(
        self,
        files: Sequence[Path],
        counts: Sequence[int],
        bodies: int,
        centre: bool,
        options: ReadOptions,
    ) -> None:
        self.files, self.counts, self.bodies, self.centre = files, counts, bodies, centre
        self.options, self.width = options, 3 * len(JOINTS) * bodies

    def random(self, rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """So many frames in which somebody is tracked, ascending, and their vectors."""
        total = sum(self.counts)
        wanted = len(pick_rows(rows, total, seed))
        order = np.random.default_rng(seed).permutation(total)
        chosen: list[NDArray[np.int64]] = []
        vectors: list[NDArray[np.float32]] = []
        found = start = 0
        while found < wanted and start < total:
            batch, items = self.tracked(np.sort(order[start : start + wanted - found]))
            start += wanted - found
            found += len(batch)
            chosen.append(batch)
            vectors.append(items)
        if found < wanted:
            raise DataError(f"rows={wanted}: somebody is tracked in {found} frames only")
        numbers = np.concatenate(chosen)
        ascending = np.argsort(numbers)
        return numbers[ascending], np.concatenate(vectors)[ascending]

    def tracked(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Those rows in which the main body is tracked, and their vectors."""
        check_memory(8 * self.width * len(rows), f"{len(rows):,} frames (fewer: rows=)")
        file, frame = locate(rows, self.counts)
        vectors = np.empty((len(rows), self.width), np.float32)
        kept = np.zeros(len(rows), np.bool_)
        order = np.argsort(file, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(file[order])) + 1)
        with tracker("samples", len(parts), self.options.progress) as advance:
            for part in parts:
                number = int(file[part[0]])
                frames, table = self._sample(self.files[number])
                place = np.full(self.counts[number], -1)
                place[frames] = np.arange(len(frames))
                there = part[place[frame[part]] >= 0]
                vectors[there] = table[place[frame[there]]]
                kept[there] = True
                advance(1)
        return (rows, vectors) if kept.all() else (rows[kept], vectors[kept])

    def _sample(self, path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Frames [n] in which the main body is tracked, and their vectors."""
        bodies = read_bodies(path)
        if not bodies:
            return np.empty(0, np.int64), np.empty((0, self.width))
        frames, joints = bodies[0]
        origin = joints[:, :1] if self.centre else np.zeros_like(joints[:, :1])
        parts = [joints - origin]
        if self.bodies == 2:
            parts.append(np.zeros_like(joints))
            if len(bodies) > 1:
                _, first, second = np.intersect1d(frames, bodies[1].frames, return_indices=True)
                parts[1][first] = bodies[1].joints[second] - origin[first]
        return frames, np.concatenate(parts, axis=1).reshape(len(frames), -1)


def _new_performers(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    training = np.array(TRAINING_PERFORMERS) - 1
    return held_out(data, ~np.isin(data.factor("performer"), training), "the split by performers")


def _new_setups(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    return held_out(data, data.factor("setup") % 2 == 0, "the split by setups")


SET = NamedSet(
    name="ntu",
    title="NTU RGB+D",
    summary="skeletons of people in 60 (or 120) actions, seen by three cameras",
    rows=None,
    shape="25x3 joints",
    factors={
        "setup": 17,
        "camera": 3,
        "performer": 40,
        "replication": 2,
        "action": 60,
        "frame": 0,
    },
    licence="non-commercial academic research, on application",
    paper=_PAPER,
    url="https://rose1.ntu.edu.sg/dataset/actionRecognition/",
    layout=(
        "S001C001P001R001A001.skeleton …   (nturgbd_skeletons_s001_to_s017.zip, and for 120\n"
        "                                  actions …_s018_to_s032.zip), in any folders\n"
        "NTU_RGBD120_samples_with_missing_skeletons.txt   (the authors' list; for 120 actions)"
    ),
    read=read,
    traps=(
        "302 samples of the first 60 actions miss skeletons and are left out; the list of the set "
        "of 120 actions is used where it lies in the folder.",
        "Several bodies may be tracked, some of them furniture; the main one is the one whose "
        "joints vary most, as the authors choose it.",
        "Frames in which the main body is not tracked are no rows.",
        "Joints are relative to the base of the spine, so that views turn about the body; "
        "centre=False leaves them in the camera's metres.",
        "Esser et al. (2019) use the set's videos; those are read as any folder of videos.",
    ),
    splits={
        "cross-subject": Protocol(
            "the authors' 20 (of 106: 53) performers to train, all others to test",
            f"{_PAPER}; {_PAPER_120}",
            _new_performers,
        ),
        "cross-view": Protocol(
            "cameras 2 and 3 to train, camera 1 to test",
            _PAPER,
            by_values("camera", [0], "the split by cameras"),
        ),
        "cross-setup": Protocol(
            "setups of even numbers to train, of odd numbers to test", _PAPER_120, _new_setups
        ),
    },
)
