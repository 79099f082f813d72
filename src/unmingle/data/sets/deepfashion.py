"""DeepFashion, In-shop Clothes Retrieval: list_eval_partition.txt and the pictures it names.

A line such as `img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train`; the picture's name
is the number of the look (an item comes in several colours), and the pose.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, need
from unmingle.data.sets._files import read_lines
from unmingle.data.sets._papers import esser_2019
from unmingle.data.sets._photos import by_part, read_listed, some_pictures
from unmingle.errors import DataError

POSES = ("front", "side", "back", "full", "flat", "additional")
PARTS = ("train", "query", "gallery")
# What img.zip and img_highres.zip unpack to; the list says img/ of both.
_PICTURES = (
    "Img/img", "img", "Img/img_highres/img_highres", "Img/img_highres",
    "img_highres/img_highres", "img_highres",
)  # fmt: skip
_PATH = re.compile(
    r"img/(?P<gender>WOMEN|MEN)/(?P<category>[^/]+)/(?P<item>id_\d+)/"
    rf"(?P<look>\d+)_\d+_(?P<pose>{'|'.join(POSES)})\.jpg"
)
_EXAMPLE = "img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train"
_PAPER = (
    "Z. Liu et al., DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich "
    "Annotations, CVPR 2016"
)


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Clothes on people in several poses, 256x256x3 (img_highres: larger).

    Args:
        folder: with list_eval_partition.txt and img (or img_highres), or with Eval and Img as on
            the site; img is taken where both are there.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of the lines of the list.

    Returns:
        Factors `item` (7,982), `look` (an item in one of its colours, as "id_00000002/02"),
        `gender`, `category` (17), `pose` (front, side, back, full, flat, additional) and `part`
        (train, query, gallery).

    Raises:
        DataError: the list or a picture is missing, or a line is wrong; wrong `rows`.
    """
    listing = need(SET, folder, "list_eval_partition.txt", "Eval/list_eval_partition.txt")
    pictures = need(SET, folder, *_PICTURES).relative_to(folder)
    lines = read_lines(listing)
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        raise DataError(f"{listing}: expected the number of pictures and a line of names first")
    if len(lines) - 2 != int(lines[0]):
        raise DataError(f"{listing}: it says {int(lines[0])} pictures and has {len(lines) - 2}")
    names = ("item", "look", "gender", "category", "pose", "part")
    files: list[PurePath] = []
    columns: dict[str, list[str]] = {name: [] for name in names}
    for number, line in enumerate(lines[2:], 3):
        words = line.split()
        match = _PATH.fullmatch(words[0])
        if len(words) != 3 or match is None or words[1] != match["item"] or words[2] not in PARTS:
            raise DataError(f"{listing}: line {number} is {line.strip()!r}, expected as {_EXAMPLE}")
        files.append(pictures / words[0].removeprefix("img/"))
        columns["part"].append(words[2])
        columns["look"].append(f"{match['item']}/{match['look']}")
        for name in ("item", "gender", "category", "pose"):
            columns[name].append(match[name])
    some_pictures(SET, folder, files, "picture")
    return read_listed(
        folder,
        files,
        options,
        name="deepfashion",
        factors=columns,
        value_names={"pose": POSES, "part": PARTS, "gender": ("MEN", "WOMEN")},
        rows=rows,
        seed=seed,
    )


SET = NamedSet(
    name="deepfashion",
    title="DeepFashion, In-shop",
    summary="52,712 pictures of 7,982 pieces of clothing, worn, in several poses and colours",
    rows=52_712,
    shape="256x256x3",
    factors={
        "item": 7_982,
        "look": None,
        "gender": 2,
        "category": 17,
        "pose": 6,
        "part": 3,
    },
    licence="non-commercial research and education only, under the authors' agreement",
    paper=_PAPER,
    url="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html",
    layout=(
        "list_eval_partition.txt\n"
        "img/WOMEN/Dresses/id_00000002/02_1_front.jpg …   (img.zip; or img_highres/WOMEN/… of "
        "img_highres.zip)\n"
        "or in Eval/ and Img/, as they come"
    ),
    read=read,
    traps=(
        "One item comes in several colours: for the appearance take the factor look, not item.",
        "Poses full and additional show more or less of the person, flat shows none.",
        "No item is in two of the official parts; query and gallery share theirs.",
    ),
    splits={
        "official": Protocol(
            "the set's own parts: 3,997 items to train, 3,985 others (query and gallery) to test; "
            "as in P. Esser et al., ICCV 2019, Table 2",
            _PAPER,
            by_part("query", "gallery"),
            "look",
            experiments=(esser_2019("look", "--size 128"),),
        )
    },
)
