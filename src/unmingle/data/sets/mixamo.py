"""Mixamo: BVH files character/motion.bvh, read as the positions of their joints.

Mixamo itself hands out FBX (and Collada); Blender or MotionBuilder saves those as BVH.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.pixels import in_threads
from unmingle.data.sets._base import NamedSet, Protocol, missing
from unmingle.data.sets._bvh import Skeleton, positions, read_bvh, read_skeleton
from unmingle.data.sets._papers import XIANG_2021, xiang_2021
from unmingle.data.sets._people import of_files, read_frames, refuse_geometry
from unmingle.errors import DataError, nearest

_CHARACTERS, _HELD_OUT = 36, 4
_PAPER = f"{XIANG_2021} 6.4"


def read(
    folder: Path,
    options: ReadOptions,
    *,
    rows: Any = None,
    seed: int = 0,
    joints: str | Sequence[str] | None = None,
    centre: bool = True,
) -> FactorDataset:
    """Frames of animated characters: vectors [N, 3J], x, y (upwards) and z of each joint.

    Args:
        folder: with a folder for each character, which holds its motions.
        options: whether to show progress.
        rows, seed: as `pick_rows`, of all frames in the order of the files' paths.
        joints: their names without the prefix up to a colon, as "Hips,LeftHand" or a list; those
            that all files have, in the order of the first, if None.
        centre: relative to the first joint chosen; else where the file has them.

    Returns:
        Factors `character` and `motion`; continuous `frame`, the place in the motion, 0 to 1.

    Raises:
        DataError: no such files, one that is damaged or lacks a joint; wrong `rows`.
        ConfigError: size= or channels=.
    """
    refuse_geometry(options, "mixamo")
    files = _files(folder)
    heads = in_threads(
        lambda number: read_skeleton(folder / files[number]), len(files), "files", options.progress
    )
    wanted = _chosen(joints, [folder / file for file in files], heads)
    counts = [head.frames for head in heads]
    chosen = pick_rows(rows, sum(counts), seed)

    def parse(number: int) -> NDArray[Any]:
        skeleton, motion = read_bvh(folder / files[number])
        places = positions(skeleton, motion)[:, [skeleton.names.index(name) for name in wanted]]
        origin = places[:, :1] if centre else np.zeros(3)
        return (places - origin).reshape(len(motion), -1)

    found = read_frames(chosen, counts, 3 * len(wanted), parse, options)
    columns = {"character": [file.parts[0] for file in files], "motion": [f.stem for f in files]}
    return FactorDataset(
        vectors=found.vectors,
        **of_files(columns, found.file),
        continuous={"frame": found.place},
        ids=chosen,
        name="mixamo",
    )


def _files(folder: Path) -> list[Path]:
    """character/motion.bvh, relative to the folder and sorted."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.[bB][vV][hH]"))
    if not files:
        raise missing(SET, folder, "file character/motion.bvh")
    for file in files:
        if len(file.parts) != 2:
            raise DataError(f"{folder / file}: expected character/motion.bvh inside {folder}")
    return files


def bones(
    folder: str | Path, joints: str | Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[tuple[int, int]]]:
    """Names of the joints as `read` takes them, and which of them a bone joins.

    The pairs are what `unmingle.plots.draw_points` draws; where a joint's parent is not taken, the
    bone goes to the nearest one above it that is.
    """
    files = [Path(folder) / file for file in _files(Path(folder))]
    heads = [read_skeleton(file) for file in files]
    wanted = _chosen(joints, files, heads)
    pairs = []
    for at, name in enumerate(wanted):
        above = heads[0].parents[heads[0].names.index(name)]
        while above >= 0 and heads[0].names[above] not in wanted:
            above = heads[0].parents[above]
        if above >= 0:
            pairs.append((wanted.index(heads[0].names[above]), at))
    return wanted, pairs


def _chosen(
    joints: str | Sequence[str] | None, files: Sequence[Path], heads: Sequence[Skeleton]
) -> tuple[str, ...]:
    if joints is None:
        common = set.intersection(*(set(head.names) for head in heads))
        if not common:
            raise DataError(f"{files[0].parent.parent}: the files have no joint in common")
        return tuple(name for name in heads[0].names if name in common)
    names = joints.split(",") if isinstance(joints, str) else list(joints)
    wanted = tuple(name.rpartition(":")[2] for name in names)
    for file, head in zip(files, heads, strict=True):
        for name in wanted:
            if name not in head.names:
                raise DataError(f"{file}: there is no joint {name!r}.{nearest(name, head.names)}")
    return wanted


def _xiang(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    """Neither a character nor a motion of the test rows is in the training rows."""
    masks = []
    for factor, share in (("character", _HELD_OUT / _CHARACTERS), ("motion", 0.1)):
        count = data.cardinality(factor)
        drawn = np.random.default_rng(0).permutation(count)[: max(1, round(share * count))]
        masks.append(np.isin(data.factor(factor), drawn))
    train, test = ~masks[0] & ~masks[1], masks[0] & masks[1]
    if not train.any() or not test.any():
        raise DataError(
            f"{data.name}: the split needs several characters and motions; of the {len(data)} rows "
            f"read {train.sum()} are to train and {test.sum()} to test"
        )
    return data.select(train), data.select(test)


SET = NamedSet(
    name="mixamo",
    title="Mixamo",
    summary="skeletons of animated characters, the same motions for each",
    rows=None,
    shape="Jx3 joints",
    factors={"character": None, "motion": None, "frame": 0},
    licence="Adobe's terms of use for Mixamo; files may not be passed on",
    paper=f"mixamo.com; as used by {_PAPER}",
    url="https://www.mixamo.com",
    layout="ybot/Walking.bvh\nybot/Capoeira.bvh\nmousey/Walking.bvh\n… character/motion.bvh",
    read=read,
    traps=(
        "Mixamo hands out FBX and Collada; Blender or MotionBuilder saves them as BVH.",
        "Characters differ in their fingers and toes; only joints that all files have are read.",
        "The order of the rotations is the one each joint's channels are listed in.",
        "Position channels stand in place of a joint's offset, as Blender writes them.",
        "Joints are relative to the hips (the first joint), so that views turn about the body; "
        "centre=False leaves them where they are.",
    ),
    splits={
        "disunknown": Protocol(
            "a ninth of the characters (4 of 36) and a tenth of the motions held out; what mixes "
            "held-out and other ones is left out (the paper names neither)",
            _PAPER,
            _xiang,
            "character",
            "motion",
            # The supplement says neither how many directions it tells apart nor how long it took.
            (xiang_2021(("character", "view"), "--views 24", "340000steps"),),
        )
    },
)
