"""BBC Pose: frames 1/1.jpg … 20/….jpg, and their joints in bbcpose.mat.

bbcpose.mat (version 5) holds the struct array `bbcpose` with the fields videoName, type (train,
val, test), source, train_frames [1, N], train_joints [2, 7, N], test_frames and test_joints; the
n-th entry is of the folder n. Joints are x and y in pixels, counted from 1.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, missing, need
from unmingle.data.sets._files import read_mat
from unmingle.data.sets._photos import by_part, read_listed
from unmingle.errors import DataError

JOINTS = (
    "head", "right_wrist", "left_wrist", "right_elbow", "left_elbow", "right_shoulder",
    "left_shoulder",
)  # fmt: skip
PARTS = ("train", "val", "test")
LABELS = ("automatic", "manual")
_VIDEOS = 20  # later entries of the file are of the extended set
_PAPER = (
    "J. Charles et al., Automatic and Efficient Human Pose Estimation for Sign Language Videos, "
    "IJCV 2014"
)
_MAT = ("code/bbcpose.mat", "bbcpose.mat", "bbcpose_extbbcpose_code_1.0/bbcpose.mat")


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Signers in television broadcasts, with seven joints.

    Args:
        folder: with the folders 1 to 20 (or some of them) and bbcpose.mat.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of the frames that have joints, by video and number.

    Returns:
        Factors `video` (20; the same appearance), `part` (train, val, test) and `label` (automatic
        or manual joints); continuous `head_x`, `head_y`, `right_wrist_x`, … in pixels of the files.

    Raises:
        DataError: bbcpose.mat or a picture is missing, or the file is damaged; wrong `rows`.
    """
    mat = need(SET, folder, *_MAT)
    entries = _entries(mat)
    present = [n for n in range(1, _VIDEOS + 1) if (folder / str(n)).is_dir()]
    if not present:
        raise missing(SET, folder, "folder of frames (1 to 20)")
    files: list[PurePath] = []
    columns: dict[str, list[int]] = {"video": [], "part": [], "label": []}
    joints = []
    for number in present:
        if number > len(entries):
            raise DataError(f"{mat}: it has {len(entries)} videos, and there is a folder {number}")
        part, frames, manual, positions = _annotated(entries[number - 1], f"{mat}: video {number}")
        files += [PurePath(str(number), f"{frame}.jpg") for frame in frames]
        columns["video"] += [number - 1] * len(frames)
        columns["part"] += [PARTS.index(part)] * len(frames)
        columns["label"] += [int(value) for value in manual]
        joints.append(positions)
    table = np.concatenate(joints)
    names = [f"{joint}_{axis}" for joint in JOINTS for axis in "xy"]
    return read_listed(
        folder,
        files,
        options,
        name="bbc-pose",
        factors=columns,
        value_names={
            "video": [str(number) for number in range(1, _VIDEOS + 1)],
            "part": PARTS,
            "label": LABELS,
        },
        continuous={name: table[:, column] for column, name in enumerate(names)},
        rows=rows,
        seed=seed,
    )


def _entries(file: Path) -> NDArray[Any]:
    entries = read_mat(file, "bbcpose")[0].reshape(-1)
    lacking = {"type", "train_frames", "train_joints", "test_frames", "test_joints"}
    lacking -= set(entries.dtype.names or ())
    if lacking:
        raise DataError(f"{file}: bbcpose has no field {sorted(lacking)[0]!r}")
    return entries


def _annotated(
    entry: Any, where: str
) -> tuple[str, NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Part; frame numbers [N], ascending; which are by hand [N]; joints [N, 14], x and y each.

    Joints by hand take the place of automatic ones of the same frame.
    """
    part = str(np.asarray(entry["type"]).reshape(-1)[0]) if np.size(entry["type"]) else ""
    if part not in PARTS:
        raise DataError(f"{where}: its type is {part!r}, expected one of {', '.join(PARTS)}")
    found: dict[int, tuple[bool, NDArray[np.float64]]] = {}
    for key, manual in (("train", False), ("test", True)):
        frames = np.asarray(entry[f"{key}_frames"]).reshape(-1)
        joints = np.asarray(entry[f"{key}_joints"], np.float64)
        if joints.ndim == 2 and len(frames) == 1:  # MATLAB drops a last side of one
            joints = joints[:, :, None]
        if len(frames) and joints.shape != (2, len(JOINTS), len(frames)):
            raise DataError(
                f"{where}: {key}_joints has shape {joints.shape} for {len(frames)} frames, "
                f"expected (2, {len(JOINTS)}, {len(frames)})"
            )
        for at, frame in enumerate(frames):
            found[int(frame)] = (manual, joints[:, :, at].T.reshape(-1))
    numbers = sorted(found)
    return (
        part,
        np.array(numbers, np.int64),
        np.array([found[frame][0] for frame in numbers], np.bool_),
        np.array([found[frame][1] for frame in numbers], np.float64).reshape(-1, 2 * len(JOINTS)),
    )


SET = NamedSet(
    name="bbc-pose",
    title="BBC Pose",
    summary="20 television videos of signers, every frame with seven joints",
    rows=None,
    shape="any",
    factors={
        "video": 20,
        "part": 3,
        "label": 2,
        **{f"{joint}_{axis}": 0 for joint in JOINTS for axis in "xy"},
    },
    licence="research; see the authors' page",
    paper=_PAPER,
    url="https://www.robots.ox.ac.uk/~vgg/data/pose/",
    layout=(
        "1/1.jpg … 20/….jpg   (bbcpose_data_1.0.zip, and the 20 archives inside it unpacked)\n"
        "code/bbcpose.mat     (bbcpose_extbbcpose_code_1.0.tgz)"
    ),
    read=read,
    traps=(
        "Frames without joints are not read; where a frame has joints by hand, those are taken.",
        "Joints are in pixels of the files, counted from 1 as in MATLAB, whatever size= is.",
        "bbcpose.mat lists the videos of the extended set too; only the first 20 are read.",
    ),
    splits={
        "official": Protocol(
            "the set's own parts: ten videos to train, five others to test, validation left out",
            _PAPER,
            by_part("test"),
        )
    },
)
