"""3D Chairs: renderings of 1,393 chair models from 31 sides at two heights."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, by_drawn_values, missing
from unmingle.data.sets._items import read_picture_files
from unmingle.data.sets._papers import REN_2021, gabbay_2020, ren_2021
from unmingle.errors import DataError

AZIMUTHS = tuple(step * 360 // 31 for step in range(31))
"""Degrees, rounded down, as the file names have them."""
ELEVATIONS = (20, 30)
_NAME = re.compile(r"image_\d{3}_p(\d{3})_t(\d{3})_r\d{3}\.png")
_PAPER = (
    "M. Aubry et al., Seeing 3D Chairs: Exemplar Part-based 2D-3D Alignment using a Large Dataset "
    "of CAD Models, CVPR 2014"
)


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Chairs on white, uint8 [N, H, W, 3], 600x600 unless `size` says otherwise.

    Factors `model` (in the order of the folders' names), `elevation` (20 and 30 degrees) and
    `azimuth` (31); continuous `azimuth_degrees`. Rows are sorted by model, elevation, azimuth.

    Raises:
        DataError: there are no such files, or one has a name that is not understood.
    """
    root = folder / "rendered_chairs"
    root = root if root.is_dir() else folder
    models = sorted(
        entry.name for entry in os.scandir(root) if (Path(entry.path) / "renders").is_dir()
    )
    if not models:
        raise missing(SET, folder, "rendered_chairs/<model>/renders")
    found: list[tuple[int, int, int, PurePath]] = []
    for model, name in enumerate(models):
        place = root / name / "renders"
        for file in os.listdir(place):
            pose = _pose(place, file)
            if pose is not None:
                found.append((model, *pose, (place / file).relative_to(folder)))
    found.sort()
    chosen = pick_rows(rows, len(found), seed) if found else np.empty(0, np.int64)
    table = np.array([found[row][:3] for row in chosen], np.int64).reshape(-1, 3)
    return read_picture_files(
        folder,
        [found[row][3] for row in chosen],
        options,
        name=SET.name,
        factors={"model": table[:, 0], "elevation": table[:, 1], "azimuth": table[:, 2]},
        value_names={
            "model": models,
            "elevation": [str(value) for value in ELEVATIONS],
            "azimuth": [str(value) for value in AZIMUTHS],
        },
        continuous={"azimuth_degrees": table[:, 2] * (360 / len(AZIMUTHS))},
        ids=chosen,
    )


def _pose(place: Path, file: str) -> tuple[int, int] | None:
    """Elevation and azimuth as codes; None for what is no picture of the 62.

    Raises:
        DataError: a picture whose name is not understood.
    """
    if file.startswith(".") or not file.endswith(".png"):
        return None
    match = _NAME.fullmatch(file)
    elevation, azimuth = (int(match[1]), int(match[2])) if match else (-1, -1)
    if elevation in ELEVATIONS and azimuth == 360:
        return None  # the first view once more, which the published archive leaves out
    if elevation not in ELEVATIONS or azimuth not in AZIMUTHS:
        raise DataError(
            f"{place / file}: the name is not understood; expected for instance "
            "image_001_p020_t011_r096.png: elevation 20 or 30, azimuth a 31st of the circle"
        )
    return ELEVATIONS.index(elevation), AZIMUTHS.index(azimuth)


SET = NamedSet(
    name="chairs",
    title="3D Chairs",
    summary="1,393 chair models from 31 sides at two heights, on white",
    rows=86_366,
    shape="600x600x3",
    factors={"model": 1_393, "elevation": 2, "azimuth": 31, "azimuth_degrees": 0},
    licence="none stated; published for research",
    paper=_PAPER,
    url="https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar",
    layout="""
        rendered_chairs/<model>/renders/image_000_p020_t000_r096.png
        rendered_chairs/<model>/renders/image_001_p020_t011_r096.png, …
        (as rendered_chairs.tar unpacks; its all_chair_names.mat is not needed)
    """,
    read=read,
    traps=(
        "The files of a model are image_000 to image_030 and image_032 to image_062: image_031, "
        "the first view again at 360 degrees, is missing, so names are read and not counted.",
        "Without size= all pictures are decoded at 600x600, 93 GB; papers use 64 or 128.",
        "No hash of the archive is published that could be checked, so it is not downloaded here.",
        "Which 100 models the papers hold out is not published; here they are drawn once for all.",
    ),
    splits={
        "content-style": Protocol(
            "1,293 models to train, 100 to test",
            REN_2021,
            by_drawn_values("model", 100, "content-style"),
            "model",
            "azimuth,elevation",
            # Views from all around: the sphere. Beside it the paper trained a method with labels.
            (ren_2021(normalisation="l2"), gabbay_2020("model")),
        )
    },
)
