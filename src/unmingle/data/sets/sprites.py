"""Sprites: 672 video game characters in five animations from four sides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, held_out, missing, need
from unmingle.data.sets._files import read_mat
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.sets._papers import ESSER_2019, esser_2019
from unmingle.data.sets.cars3d import ARCHIVE, PAPER
from unmingle.errors import DataError, require

ACTIONS = ("spellcast", "thrust", "walk", "slash", "shoot")
VIEWS = 4
ATTRIBUTES = ("body", "sex", "hair", "armor", "arm", "greaves", "weapon")
PARTS = {"train": "trainidx", "validation": "validx", "test": "testidx"}
_SIDE = 60


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Characters on black, uint8 [N, 60, 60, 3]; rows sorted by character, action, view, frame.

    Factors: `character`; `pose`, the picture's place among a character's; `action`, `view` and
    `frame`, which make up the pose; `part` (train, validation, test: of the characters); and the
    seven attributes of the character.

    Raises:
        DataError: a file is missing, damaged or of another layout.
        MissingExtraError: h5py is not installed.
    """
    splits = need(
        SET,
        folder,
        *(f"{base}sprites_splits.mat" for base in ("sprites/", "data/sprites/", "")),
    )
    base = splits.parent
    files = sorted(
        (file for file in base.glob("sprites_*.mat") if file.stem[8:].isdecimal()),
        key=lambda file: int(file.stem[8:]),
    )
    if not files:
        raise missing(SET, folder, "sprites/sprites_0.mat, sprites_1.mat, …")
    parts = _parts(splits, len(files))
    attributes = np.stack([_attributes(file) for file in files])
    lengths = [len(animation) for animation in _animations(files[0])]
    poses = _poses(lengths)
    chosen = pick_rows(rows, len(files) * len(poses), seed)
    character, pose = np.divmod(chosen, len(poses))
    wanted = set(character.tolist())

    def blocks() -> Iterator[NDArray[np.uint8]]:
        for number, file in enumerate(files):
            if number in wanted:
                yield _frames(file, lengths)
            else:  # never looked at
                yield np.broadcast_to(np.uint8(0), (len(poses), _SIDE, _SIDE, 3))

    used = [files[number].relative_to(folder) for number in sorted(wanted)]
    columns = {name: attributes[character, at] for at, name in enumerate(ATTRIBUTES)}
    every = {name: attributes[:, at].max() + 1 for at, name in enumerate(ATTRIBUTES)}
    return FactorDataset(
        images=read_image_blocks(folder, used, (_SIDE, _SIDE, 3), blocks, chosen, options),
        factors={
            "character": character,
            "pose": pose,
            "action": poses[pose, 0],
            "view": poses[pose, 1],
            "frame": poses[pose, 2],
            "part": parts[character],
            **columns,
        },
        value_names={
            "character": [str(number) for number in range(len(files))],
            "pose": [f"{ACTIONS[a]} {view} {frame}" for a, view, frame in poses.tolist()],
            "action": ACTIONS,
            "view": [str(view) for view in range(VIEWS)],
            "frame": [str(frame) for frame in range(max(lengths))],
            "part": tuple(PARTS),
            **{name: [str(value) for value in range(count)] for name, count in every.items()},
        },
        ids=chosen,
        name=SET.name,
    )


def _parts(file: Path, count: int) -> NDArray[np.int64]:
    """The part of each character; the file counts them from 1."""
    parts = np.full(count, -1)
    found = read_mat(file, *PARTS.values())
    for code, (key, values) in enumerate(zip(PARTS.values(), found, strict=True)):
        numbers = values.reshape(-1).astype(np.int64)
        if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= count):
            raise DataError(
                f"{file}: {key} names characters {numbers.min()} to {numbers.max()}, and there are "
                f"the files of {count}"
            )
        parts[numbers - 1] = code
    if (parts < 0).any():
        raise DataError(f"{file}: character {int(np.argmax(parts < 0)) + 1} is in no part")
    return parts


def _poses(lengths: list[int]) -> NDArray[np.int64]:
    """Action, view and frame int64 [poses, 3] of all frames of the 20 animations in turn."""
    return np.array(
        [
            (animation // VIEWS, animation % VIEWS, frame)
            for animation, length in enumerate(lengths)
            for frame in range(length)
        ],
        np.int64,
    )


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    h5py = require("h5py", "h5")
    try:
        with h5py.File(file, "r") as opened:
            yield opened
    except (OSError, TypeError) as error:
        raise DataError(f"{file}: not a whole MATLAB 7.3 (HDF5) file ({error})") from error


def _attributes(file: Path) -> NDArray[np.int64]:
    """The seven numbers of a character."""
    with _opened(file) as opened:
        values = np.asarray(opened["labels"]).reshape(-1) if "labels" in opened else np.empty(0)
    if values.shape != (len(ATTRIBUTES),) or (values < 0).any() or (values % 1).any():
        raise DataError(f"{file}: labels is {values}, expected 7 whole numbers from 0")
    return values.astype(np.int64)


def _animations(file: Path) -> list[NDArray[Any]]:
    """The 20 animations, each [frames, 10800]; the 21st, a fall seen from one side, is left out."""
    with _opened(file) as opened:
        cells = opened.get("sprites")
        if cells is None or cells.size != len(ACTIONS) * VIEWS + 1:
            raise DataError(f"{file}: sprites is no cell array of 21 animations")
        references = np.asarray(cells).reshape(-1)[: len(ACTIONS) * VIEWS]
        animations = [np.asarray(opened[reference]) for reference in references]
    for number, animation in enumerate(animations):
        if animation.ndim != 2 or animation.shape[1] != 3 * _SIDE**2:
            raise DataError(
                f"{file}: animation {number} is {animation.shape}, expected frames of "
                f"{3 * _SIDE**2} values"
            )
    return animations


def _frames(file: Path, lengths: list[int]) -> NDArray[np.uint8]:
    """All pictures of a character, uint8 [poses, 60, 60, 3]; MATLAB stores columns first."""
    animations = _animations(file)
    if [len(animation) for animation in animations] != lengths:
        raise DataError(f"{file}: its animations have other numbers of frames than the first's")
    values = np.concatenate(animations)
    if values.min() < 0 or values.max() > 1:
        raise DataError(f"{file}: values from {values.min()} to {values.max()}, expected 0 to 1")
    pictures = values.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 3, 2, 1)
    return (pictures * 255).round().astype(np.uint8)


def _official(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    kept = data.select(data.factor("part") != 1)
    return held_out(kept, kept.factor("part") == 2, "the split official")


def _esser(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    kept = data.select(data.factor("character") % 2 == 0)
    return held_out(kept, kept.factor("part") != 0, "the split robust-disentangling")


SET = NamedSet(
    name="sprites",
    title="Sprites",
    summary="672 video game characters in five animations from four sides",
    rows=None,
    shape="60x60x3",
    factors={
        "character": 672,
        "pose": None,
        "action": 5,
        "view": 4,
        "frame": None,
        "part": 3,
        **dict.fromkeys(ATTRIBUTES),
    },
    licence="none stated; drawn from the Liberated Pixel Cup art (CC BY-SA 3.0, GPL 3.0)",
    paper=PAPER,
    url=ARCHIVE.url,
    layout="""
        sprites/sprites_splits.mat                      `trainidx`, `validx`, `testidx` from 1
        sprites/sprites_0.mat … sprites_671.mat         MATLAB 7.3: `sprites`, `labels`
        (or data/sprites/…, as the archive unpacks)
    """,
    read=read,
    traps=(
        "A character of an odd number differs from the one before in its weapon alone, which not "
        "all animations show: the split robust-disentangling takes the even ones.",
        "The 21st animation has one side only and is left out.",
        "Actions are named in the order of the Liberated Pixel Cup sheets and attributes in the "
        "order of the paper; the files name neither.",
    ),
    downloads=(ARCHIVE,),
    splits={
        "official": Protocol(
            "characters of trainidx to train, of testidx to test", PAPER, _official
        ),
        "robust-disentangling": Protocol(
            "even characters: those of trainidx to train, all others to test",
            ESSER_2019,
            _esser,
            "character",
            "pose",
            (esser_2019("character", "--size 64"),),
        ),
    },
)
