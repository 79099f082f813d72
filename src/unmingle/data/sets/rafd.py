"""RaFD, the Radboud Faces Database: file names such as
Rafd090_01_Caucasian_female_angry_frontal.jpg tell everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import find_images
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol
from unmingle.data.sets._papers import GABBAY_2020, gabbay_2020
from unmingle.data.sets._photos import matched, read_listed
from unmingle.errors import DataError

ANGLES = ("0", "45", "90", "135", "180")
EXPRESSIONS = (
    "angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised",
)  # fmt: skip
GAZES = ("left", "frontal", "right")
GENDERS = ("female", "male")
_NAME = re.compile(
    r"Rafd(?P<angle>000|045|090|135|180)_(?P<model>\d\d)_(?P<ethnicity>[A-Za-z]+)_"
    rf"(?P<gender>female|male)_(?P<expression>{'|'.join(EXPRESSIONS)})_"
    r"(?P<gaze>left|frontal|right)\.(?:jpe?g|png)",
    re.IGNORECASE,
)
_EXAMPLE = "Rafd090_01_Caucasian_female_angry_frontal.jpg"
_PAPER = (
    "O. Langner et al., Presentation and Validation of the Radboud Faces Database, "
    "Cognition & Emotion 2010"
)


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Faces from five angles, with eight expressions and three directions of gaze.

    Args:
        folder: with the pictures, in folders below it or not.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of the pictures in the order of their paths.

    Returns:
        Factors `angle` (5, degrees; 90 is from the front), `model` (67, by their numbers),
        `ethnicity`, `gender`, `expression` (8) and `gaze` (3).

    Raises:
        DataError: a picture has another name, is damaged or of another size; wrong `rows`.
    """
    files = find_images(folder)
    found = matched(files, _NAME, folder, _EXAMPLE)
    columns = {name: [match[name] for match in found] for name in _NAME.groupindex}
    columns["angle"] = [str(int(angle)) for angle in columns["angle"]]
    columns["ethnicity"] = [ethnicity.capitalize() for ethnicity in columns["ethnicity"]]
    for name in ("gender", "expression", "gaze"):
        columns[name] = [value.lower() for value in columns[name]]
    return read_listed(
        folder,
        files,
        options,
        name="rafd",
        factors=columns,
        value_names={
            "angle": ANGLES,
            "expression": EXPRESSIONS,
            "gaze": GAZES,
            "gender": GENDERS,
        },
        rows=rows,
        seed=seed,
    )


def _gabbay(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    """Three angles, a tenth of the pictures held out."""
    turned = np.isin(data.factor("angle"), [ANGLES.index(angle) for angle in ("45", "90", "135")])
    if not turned.any():
        raise DataError(f"{data.name}: no row of those read is of the angles 45, 90 or 135")
    return data.select(turned).split(0.1, 0)


SET = NamedSet(
    name="rafd",
    title="RaFD",
    summary="8,040 faces of 67 people: five angles, eight expressions, three directions of gaze",
    rows=8_040,
    shape="1024x681x3",
    factors={"angle": 5, "model": 67, "ethnicity": None, "gender": 2, "expression": 8, "gaze": 3},
    licence="non-commercial research, on application by members of a university",
    paper=_PAPER,
    url="https://rafd.socsci.ru.nl",
    layout=f"{_EXAMPLE}\n… in any folders",
    read=read,
    traps=(
        "The angle 90 is the view from the front; 0 and 180 are profiles.",
        "Models are numbered up to 73 with gaps; 67 of them occur.",
        "The gaze turns without the head; left and right are as the files are called.",
        "The paper of the split cuts a square about the face it finds, as wide as the picture; "
        "fit=crop cuts it about the middle.",
    ),
    splits={
        "lord": Protocol(
            "angles 45, 90 and 135 (4,824 pictures), a tenth of them held out at random; "
            "class expression",
            GABBAY_2020,
            _gabbay,
            "expression",
            # Faces as the paper shows them to a classifier: 128x128, of the 681 pixels across.
            experiments=(gabbay_2020("expression", "--size 128 --fit crop"),),
        )
    },
)
