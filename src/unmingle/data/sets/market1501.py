"""Market-1501: bounding_box_train, bounding_box_test and query, with names such as
0002_c1s1_000451_03.jpg: person, camera, sequence, frame, box."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any

from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import find_images
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, need
from unmingle.data.sets._papers import esser_2019
from unmingle.data.sets._photos import by_part, matched, read_listed, some_pictures

PARTS = ("train", "query", "gallery")
_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
_NAME = re.compile(
    r"(?P<person>-1|\d{4})_c(?P<camera>[1-6])s(?P<sequence>\d)_(?P<frame>\d+)_(?P<box>\d+)"
    r"(?:\.jpg)+"
)
_JUNK, _DISTRACTOR = "-1", "0000"
_PAPER = "L. Zheng et al., Scalable Person Re-Identification: A Benchmark, ICCV 2015"


def read(
    folder: Path,
    options: ReadOptions,
    *,
    rows: Any = None,
    seed: int = 0,
    distractors: bool = False,
) -> FactorDataset:
    """People seen by six cameras, 128x64x3 (height x width).

    Args:
        folder: with bounding_box_train, query and bounding_box_test.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of the pictures of train, query and gallery in the order of
            their names.
        distractors: keep what the detector took for a person wrongly (person 0000) as well.

    Returns:
        Factors `person` (1,501, by their numbers), `camera` (6), `sequence` and `part` (train,
        query, gallery).

    Raises:
        DataError: a folder is missing, a picture has another name; wrong `rows`.
    """
    files: list[PurePath] = []
    columns: dict[str, list[str]] = {name: [] for name in ("person", "camera", "sequence", "part")}
    for part, name in zip(PARTS, _FOLDERS, strict=True):
        inside = need(SET, folder, name)
        pictures = find_images(inside)
        found = matched(pictures, _NAME, inside, "0002_c1s1_000451_03.jpg")
        for picture, match in zip(pictures, found, strict=True):
            if match["person"] == _JUNK or (match["person"] == _DISTRACTOR and not distractors):
                continue
            files.append(PurePath(name) / picture)
            columns["part"].append(part)
            for column in ("person", "camera", "sequence"):
                columns[column].append(match[column])
    some_pictures(SET, folder, files, "picture of a person")
    return read_listed(
        folder,
        files,
        options,
        name="market1501",
        factors=columns,
        value_names={"camera": [str(number) for number in range(1, 7)], "part": PARTS},
        rows=rows,
        seed=seed,
    )


SET = NamedSet(
    name="market1501",
    title="Market-1501",
    summary="1,501 persons seen by six cameras, in the boxes of a detector",
    rows=None,
    shape="128x64x3",
    factors={"person": 1501, "camera": 6, "sequence": None, "part": 3},
    licence="research; see the authors' page",
    paper=_PAPER,
    url="https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
    layout=(
        "bounding_box_train/0002_c1s1_000451_03.jpg …   (12,936)\n"
        "query/0001_c1s1_001051_00.jpg …                (3,368)\n"
        "bounding_box_test/0001_c1s1_001051_03.jpg …    (19,732)"
    ),
    read=read,
    traps=(
        "Junk (person -1), boxes that are neither right nor wrong, is always left out.",
        "Distractors (person 0000) are no person; distractors=True keeps them.",
        "gt_bbox and gt_query, boxes drawn by hand, are not read.",
        "The persons of query are those of the gallery, and none of them is in train.",
    ),
    splits={
        "official": Protocol(
            "the set's own parts: 751 persons to train, 750 others (query and gallery) to test; "
            "as in P. Esser et al., ICCV 2019, Table 2",
            _PAPER,
            by_part("query", "gallery"),
            "person",
            experiments=(esser_2019("person", "--size 128"),),
        )
    },
)
