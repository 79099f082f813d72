"""Cars3D: renderings of 183 car models from the data of the analogy paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import Download, NamedSet, Protocol, by_drawn_values, need
from unmingle.data.sets._files import read_lines, read_mat
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.sets._papers import GABBAY_2020, REN_2021, gabbay_2020, ren_2021
from unmingle.errors import DataError

ELEVATIONS, AZIMUTHS = 4, 24
_VIEWS = ELEVATIONS * AZIMUTHS
_SHAPE = (128, 128, 3)
ARCHIVE = Download(
    "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
    "nips2015-analogy-data.tar.gz",
    md5="4e866a7919c1beedf53964e6f7a23686",
    unpack=True,
)
PAPER = "S. Reed, Y. Zhang, Y. Zhang, H. Lee, Deep Visual Analogy-Making, NIPS 2015"


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Cars on white, uint8 [N, 128, 128, 3].

    Rows are in the order of disentanglement_lib: elevation, azimuth, object, the last fastest;
    objects are numbered as `list.txt` lists them and named by their files.

    Raises:
        DataError: a file is missing, damaged or of another layout.
    """
    listing = need(SET, folder, "cars/list.txt", "data/cars/list.txt", "list.txt")
    names = [line.strip() for line in read_lines(listing)]
    if not names:
        raise DataError(f"{listing}: it is empty; it must list the cars, a file name a line")
    chosen = pick_rows(rows, _VIEWS * len(names), seed)
    view, car = np.divmod(chosen, len(names))
    wanted = set(car.tolist())
    base = listing.parent.relative_to(folder)
    files = [base / f"{name}.mat" for name in names]

    def blocks() -> Iterator[NDArray[np.uint8]]:
        for number, file in enumerate(files):
            # A car none of whose rows is wanted is not opened; its block is never looked at.
            here = number in wanted
            yield _views(folder / file) if here else np.broadcast_to(np.uint8(0), (_VIEWS, *_SHAPE))

    used = [file for number, file in enumerate(files) if number in wanted]
    for file in used:
        need(SET, folder, file.as_posix())
    images = read_image_blocks(folder, used, _SHAPE, blocks, car * _VIEWS + view, options)
    return FactorDataset(
        images=images,
        factors={"elevation": view // AZIMUTHS, "azimuth": view % AZIMUTHS, "object": car},
        value_names={
            "elevation": [str(value) for value in range(ELEVATIONS)],
            "azimuth": [str(value) for value in range(AZIMUTHS)],
            "object": names,
        },
        ids=chosen,
        name=SET.name,
    )


def _views(file: Path) -> NDArray[np.uint8]:
    """All views of a car, uint8 [96, 128, 128, 3]: elevation, azimuth, the last fastest."""
    (found,) = read_mat(file, "im")
    expected = (*_SHAPE, AZIMUTHS, ELEVATIONS)
    if found.dtype != np.uint8 or found.shape != expected:
        raise DataError(f"{file}: im is {found.dtype} {found.shape}, expected uint8 {expected}")
    views: NDArray[np.uint8] = found.transpose(4, 3, 0, 1, 2).reshape(_VIEWS, *_SHAPE)
    return views


SET = NamedSet(
    name="cars3d",
    title="Cars3D",
    summary="183 car models from 24 sides at 4 heights, on white",
    rows=17_568,
    shape="128x128x3",
    factors={"elevation": 4, "azimuth": 24, "object": 183},
    licence="none stated; published for research",
    paper=PAPER,
    url="http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
    layout="""
        cars/list.txt              the names of the .mat files without their ending, one a line
        cars/car_001_mesh.mat, …   `im` uint8 128x128x3x24x4 each
        (or data/cars/…, as the archive unpacks)
    """,
    read=read,
    traps=(
        "The pictures are 128x128; papers bring them to 64x64 (size=64), by different filters.",
        "Which 20 models the papers hold out is not published; here they are drawn once for all.",
    ),
    downloads=(ARCHIVE,),
    splits={
        "lord": Protocol(
            "163 models to train, 20 to test; class object",
            GABBAY_2020,
            by_drawn_values("object", 20, "lord"),
            "object",
            "azimuth,elevation",
            (gabbay_2020("object"),),
        ),
        "content-style": Protocol(
            "163 models to train, 20 to test: those of lord",
            REN_2021,
            by_drawn_values("object", 20, "content-style"),
            "object",
            "azimuth,elevation",
            (ren_2021(),),
        ),
    },
)
