"""Moving skeletons: stick figures drawn here, and how far a motion put on another one is off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unmingle.commands._data import Reading, Splitting
from unmingle.errors import DataError

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

    from .scores import Trained

_PAIRS = 2000
# Of each joint but the hips: the joint it hangs on, the kind of its bone (which share a length),
# and where the bone points at rest, across and upwards.
_BONES = (
    (0, 0, 0.0, 1.0),  # chest
    (1, 1, 0.0, 1.0),  # head
    (1, 2, -0.6, -1.0),  # elbows and hands, left and right
    (3, 3, -0.2, -1.0),
    (1, 2, 0.6, -1.0),
    (5, 3, 0.2, -1.0),
    (0, 4, -0.3, -1.0),  # knees and feet
    (7, 5, 0.0, -1.0),
    (0, 4, 0.3, -1.0),
    (9, 5, 0.0, -1.0),
)
_STIFF = 2  # bones that swing little


def stick_figures(characters: int = 24, motions: int = 16, frames: int = 12) -> FactorDataset:
    """Every character in every frame of every motion: vectors [N, 33], x, y (upwards) and z of 11
    joints, the hips at 0.

    Characters differ in the lengths of their bones; a motion swings each bone to and fro. Factors
    `character` and `motion`; continuous `frame`, 0 to 1.
    """
    from unmingle.data import FactorDataset

    random = np.random.default_rng(0)
    lengths = random.uniform(0.7, 1.3, (characters, 1 + max(kind for _, kind, _, _ in _BONES)))
    middle = random.uniform(-0.8, 0.8, (motions, len(_BONES)))
    reach = random.uniform(0.2, 0.9, (motions, len(_BONES)))
    start = random.uniform(0, 2 * np.pi, (motions, len(_BONES)))
    pace = random.integers(1, 3, (motions, 1))
    character, motion, frame = (part.ravel() for part in np.indices((characters, motions, frames)))
    time = 2 * np.pi * frame[:, None] / frames
    angle = middle[motion] + reach[motion] * np.sin(pace[motion] * time + start[motion])
    angle[:, :_STIFF] *= 0.2
    points = np.zeros((len(character), 1 + len(_BONES), 3))
    for bone, (above, kind, across, up) in enumerate(_BONES):
        turn = angle[:, bone]
        way = np.stack([np.full(len(turn), across), up * np.cos(turn), np.sin(turn)], axis=1)
        way *= (lengths[character, kind] / np.linalg.norm(way, axis=1))[:, None]
        points[:, bone + 1] = points[:, above] + way
    return FactorDataset(
        vectors=points.reshape(len(points), -1).astype(np.float32),
        factors={"character": character, "motion": motion},
        continuous={"frame": frame / (frames - 1)},
        name="skeletons",
    )


def retarget(trained: Trained) -> tuple[dict[str, float], Any]:
    """Mean squared and mean absolute error of a motion put on another skeleton.

    Xiang et al. (2021), supplement 6.4. The code of the identity comes from a frame of another
    skeleton, all others from a frame of the motion; the true result is seen from the same side.

    Args:
        trained: of points in space, with the setting's `identity` (who) and `rest` (which motion)
            and the continuous column `frame`, projected by --views; a code space names the first.

    Returns:
        `mse` and `mae` over coordinates, and `copied`, the `mae` of the motion's own skeleton.
    """
    from unmingle.data.views import look

    from .scores import read_words

    setting, model = trained.setting, trained.model
    reading: Reading = replace(read_words(Reading, setting.reading), views=None)
    splitting: Splitting = read_words(Splitting, setting.split)
    test = splitting.apply(reading.load(trained.source))[1]
    assert test is not None  # the setting holds some out
    random = np.random.default_rng(0)
    moved, other, true = find_moments(test, setting.identity, setting.rest, random)
    sides = random.uniform(0, 360, (2, len(moved)))
    motion = look(test.take(moved), sides[0])
    skeleton = look(test.take(other), sides[1])
    truth = look(test.take(true), sides[0])
    spaces = {
        name: skeleton if space.factor == setting.identity else motion
        for name, space in model.code_spaces.items()
    }
    made = model.recombine(spaces)
    numbers = {
        "mse": float(np.square(made - truth).mean()),
        "mae": float(np.abs(made - truth).mean()),
        "copied": float(np.abs(motion - truth).mean()),
    }
    return numbers, {**numbers, "pairs": len(moved), "rows": len(test)}


def find_moments(
    data: FactorDataset, who: str, what: str, random: np.random.Generator
) -> tuple[Any, Any, Any]:
    """Rows [M] of a moment of a motion, of another skeleton, and of that one in the same moment.

    Raises:
        DataError: no two skeletons are in the same moment of a motion.
    """
    skeleton, motion = data.factor(who), data.factor(what)
    place = np.round(1e6 * data.continuous["frame"]).astype(np.int64)
    moment = np.unique(np.stack([motion, place], 1), axis=0, return_inverse=True)[1].reshape(-1)
    width = int(moment.max()) + 1
    cell = skeleton * width + moment
    order = np.argsort(cell, kind="stable")
    moved, other = random.integers(0, len(data), (2, _PAIRS))
    wanted = skeleton[other] * width + moment[moved]
    true = order[np.minimum(np.searchsorted(cell[order], wanted), len(data) - 1)]
    kept = (cell[true] == wanted) & (skeleton[moved] != skeleton[other])
    if not kept.any():
        raise DataError(f"{data.name}: no two of {who} are in the same frame of the same {what}")
    return moved[kept], other[kept], true[kept]
