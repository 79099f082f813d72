"""CelebA, aligned and cropped: img_align_celeba/*.jpg and the lists that come with it.

list_attr_celeba.txt: the number of pictures, the 40 names, then a line a picture with -1 and 1.
identity_CelebA.txt: a name and a number a line (sent on request). list_eval_partition.txt: a name
and 0 (train), 1 (validation) or 2 (test). list_landmarks_align_celeba.txt: as the attributes, five
points in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import SMALLEST, ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, by_drawn_values, need
from unmingle.data.sets._files import read_lines
from unmingle.data.sets._papers import GABBAY_2020, REN_2021, gabbay_2020, ren_2021
from unmingle.data.sets._photos import by_part, read_listed
from unmingle.errors import ConfigError, DataError

_PARTS = ("train", "validation", "test")
_PAPER = "Z. Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015"
_IDENTITIES = 10_177
_HEIGHT, _WIDTH = 218, 178  # of all pictures
# Central squares of 128 pixels, brought to 64x64, as the paper's release has them.
_READING = "--size 64 --option crop=128"
POINTS = tuple(
    f"{place}_{axis}"
    for place in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    for axis in "xy"
)
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs",
    "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows",
    "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup",
    "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard",
    "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns",
    "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip


def read(
    folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0, crop: int = 0
) -> FactorDataset:
    """Faces of celebrities, 218x178x3 (height x width).

    Args:
        folder: with img_align_celeba and the lists, or with Img, Anno and Eval as on the site.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of the pictures in the order of their names.
        crop: take the square of so many pixels, up to 178, about the centre; 0: all.

    Returns:
        A factor (no, yes) for each attribute under the file's name, such as `Smiling`; where its
        list is there, `identity` and `part` (train, validation, test), and the five points as
        continuous columns such as `lefteye_x`, in pixels of the 178x218 pictures.

    Raises:
        DataError: a list or a picture is missing, or a line of a list is wrong; wrong `rows`.
        ConfigError: a wrong `crop`.
    """
    if crop and not SMALLEST <= crop <= _WIDTH:
        raise ConfigError(f"crop={crop}: {SMALLEST} to {_WIDTH} pixels, or 0 for all of a picture")
    pictures = need(SET, folder, "img_align_celeba", "Img/img_align_celeba")
    if (pictures / pictures.name).is_dir():  # some archives hold the folder twice
        pictures = pictures / pictures.name
    attributes = need(SET, folder, "list_attr_celeba.txt", "Anno/list_attr_celeba.txt")
    files, names, signs = _table(attributes)
    wrong = np.argwhere(np.abs(signs) != 1)
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{attributes}: {names[column]} of {files[row]} is {signs[row, column]}, expected -1 "
            "or 1"
        )
    factors: dict[str, Any] = {}
    named: dict[str, Sequence[str]] = {}
    identity = _optional(folder, "identity_CelebA.txt", "Anno")
    if identity is not None:
        numbers = _numbers(identity, files, 1, None)
        factors["identity"] = numbers - 1
        named["identity"] = [str(number) for number in range(1, int(numbers.max()) + 1)]
    partition = _optional(folder, "list_eval_partition.txt", "Eval")
    if partition is not None:
        factors["part"] = _numbers(partition, files, 0, 2)
        named["part"] = _PARTS
    for column, name in enumerate(names):
        factors[name] = (signs[:, column] > 0).astype(np.int64)
        named[name] = ("no", "yes")
    continuous = _points(folder, files)
    inside = pictures.relative_to(folder)
    return read_listed(
        folder,
        [inside / file for file in files],
        options,
        name="celeba",
        factors=factors,
        value_names=named,
        continuous=continuous,
        boxes=_squares(crop, len(files)) if crop else None,
        rows=rows,
        seed=seed,
    )


def _squares(side: int, count: int) -> NDArray[np.int64]:
    """Left, top, right, bottom of the central square of each picture [N, 4]."""
    left, top = _WIDTH // 2 - side // 2, _HEIGHT // 2 - side // 2
    return np.tile(np.array([left, top, left + side, top + side], np.int64), (count, 1))


def _optional(folder: Path, name: str, inside: str) -> Path | None:
    found = (place for place in (folder / name, folder / inside / name) if place.is_file())
    return next(found, None)


def _table(file: Path) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Names of the pictures, names of the columns, and whole numbers [N, K]."""
    lines = read_lines(file)
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise DataError(f"{file}: expected the number of pictures, a line of names, a line each")
    names, body = lines[1].split(), lines[2:]
    if len(body) != int(lines[0]):
        raise DataError(f"{file}: it says {int(lines[0])} pictures and has {len(body)}")
    files, values = [], np.empty((len(body), len(names)), np.int64)
    for row, line in enumerate(body):
        picture, *words = line.split()
        if len(words) != len(names):
            raise DataError(f"{file}: {picture} has {len(words)} values for {len(names)} names")
        try:
            values[row] = [int(word) for word in words]
        except ValueError as error:
            raise DataError(f"{file}: {picture} has no whole numbers ({error})") from error
        files.append(picture)
    return files, names, values


def _numbers(file: Path, files: list[str], low: int, high: int | None) -> NDArray[np.int64]:
    """The number of each picture in a list of names and numbers."""
    found: dict[str, int] = {}
    for line in read_lines(file):
        words = line.split()
        if len(words) != 2 or not words[1].isdecimal():
            raise DataError(f"{file}: {line.strip()!r}, expected a picture and a number")
        number = int(words[1])
        if number < low or (high is not None and number > high):
            bound = f"from {low}" if high is None else f"{low} to {high}"
            raise DataError(f"{file}: {words[0]} has {number}, expected a number {bound}")
        found[words[0]] = number
    lacking = next((name for name in files if name not in found), None)
    if lacking is not None:
        raise DataError(f"{file}: there is no line for {lacking}")
    return np.array([found[name] for name in files], np.int64)


def _points(folder: Path, files: list[str]) -> dict[str, NDArray[np.int64]]:
    landmarks = _optional(folder, "list_landmarks_align_celeba.txt", "Anno")
    if landmarks is None:
        return {}
    listed, names, values = _table(landmarks)
    if listed != files:
        raise DataError(f"{landmarks}: it does not list the pictures of the attributes, in order")
    return {name: values[:, column] for column, name in enumerate(names)}


SET = NamedSet(
    name="celeba",
    title="CelebA",
    summary="202,599 faces of 10,177 celebrities with 40 attributes",
    rows=202_599,
    shape="218x178x3",
    factors={
        "identity": _IDENTITIES,
        "part": 3,
        **dict.fromkeys(ATTRIBUTES, 2),
        **dict.fromkeys(POINTS, 0),
    },
    licence="non-commercial research only, under the authors' agreement",
    paper=_PAPER,
    url="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    layout=(
        "img_align_celeba/000001.jpg … 202599.jpg\n"
        "list_attr_celeba.txt\n"
        "identity_CelebA.txt               (for identity; the authors send it on request)\n"
        "list_eval_partition.txt           (for part)\n"
        "list_landmarks_align_celeba.txt   (for the five points; optional)\n"
        "or in Img/, Anno/ and Eval/, as they come"
    ),
    read=read,
    traps=(
        "Attributes are -1 and 1 in the file; here they are no and yes.",
        "Without identity_CelebA.txt there is no factor identity, which LORD takes as the class.",
        "Pictures are higher than wide: size=64 squeezes them, fit=crop keeps the middle square, "
        "which shows much beside the face; crop=128 first takes the middle 128x128, as the release "
        "of the paper of the split lord does.",
        "The points are in pixels of the 178x218 pictures, whatever size= and crop= are.",
    ),
    splits={
        "official": Protocol(
            "the set's own partition: 162,770 to train, 19,962 to test, validation left out",
            _PAPER,
            by_part("test"),
        ),
        "lord": Protocol(
            "1,000 of the 10,177 identities held out, drawn once for all (the paper names none); "
            "class identity",
            GABBAY_2020,
            by_drawn_values("identity", 1000, "lord"),
            "identity",
            experiments=(gabbay_2020("identity", _READING),),
        ),
        "content-style": Protocol(
            "1,000 of the 10,177 identities held out: those of lord",
            REN_2021,
            by_drawn_values("identity", 1000, "content-style"),
            "identity",
            experiments=(ren_2021(_READING),),
        ),
    },
)
