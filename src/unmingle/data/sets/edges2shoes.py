"""Edges2Shoes as pix2pix distributes it: train/1_AB.jpg …, val/1_AB.jpg …

Each picture is 512 wide and 256 high: on the left the edges, on the right the photo of the shoe.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import find_images
from unmingle.data.options import ReadOptions
from unmingle.data.pixels import in_threads, read_header
from unmingle.data.sets._base import Download, NamedSet, Protocol, need
from unmingle.data.sets._items import read_picture_files
from unmingle.data.sets._photos import by_part, matched
from unmingle.errors import DataError

DOMAINS = ("edge", "photo")
PARTS = ("train", "val")
_WIDTH, _HEIGHT = 512, 256
_NAME = re.compile(r"(\d+)_AB\.(?:jpe?g|png)", re.IGNORECASE)
_PAPER = (
    "P. Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017; "
    "photos of A. Yu, K. Grauman, Fine-Grained Visual Comparisons with Local Learning, CVPR 2014"
)


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Shoes as edges and as photos, 256x256x3; a picture of the set is two rows.

    Args:
        folder: with train and val, or with the folder edges2shoes that holds them.
        options: size, channels, memory limit.
        rows, seed: as `pick_rows`; row 2n is the edges and row 2n + 1 the photo of pair n, by
            part and number.

    Returns:
        Factors `domain` (edge, photo), `pair` (named by part and number, as "train/17") and
        `part` (train, val).

    Raises:
        DataError: a picture has another name or is not 512x256; wrong `rows`.
    """
    if not (folder / "train").is_dir() and (folder / "edges2shoes").is_dir():
        folder = folder / "edges2shoes"
    pairs: list[tuple[int, int, PurePath]] = []
    for code, part in enumerate(PARTS):
        inside = need(SET, folder, part)
        files = find_images(inside)
        names = matched(files, _NAME, inside, "17_AB.jpg")
        numbered = sorted((int(name[1]), file) for name, file in zip(names, files, strict=True))
        pairs += [(code, number, PurePath(part) / file) for number, file in numbered]
    chosen = pick_rows(rows, 2 * len(pairs), seed)
    pair, domain = chosen // 2, chosen % 2
    drawn = [pairs[number][2] for number in np.unique(pair)]
    _check_sizes(folder, drawn, options)
    left = domain * (_WIDTH // 2)
    boxes = np.stack(
        [left, np.zeros_like(left), left + _WIDTH // 2, np.full_like(left, _HEIGHT)], axis=1
    )
    return read_picture_files(
        folder,
        [pairs[number][2] for number in pair],
        options,
        name="edges2shoes",
        factors={
            "domain": domain,
            "pair": pair,
            "part": np.array([code for code, _, _ in pairs])[pair],
        },
        value_names={
            "domain": DOMAINS,
            "pair": [f"{PARTS[code]}/{number}" for code, number, _ in pairs],
            "part": PARTS,
        },
        ids=chosen,
        boxes=boxes,
    )


def _check_sizes(folder: Path, files: list[PurePath], options: ReadOptions) -> None:
    """A picture of another size would be cut at the wrong place."""

    def check(number: int) -> None:
        try:
            header = read_header(folder / files[number], options.geometry.pixel_limit)
        # What cannot be read is named, or skipped, by the reader of the pictures.
        except Exception:
            return
        if (header.width, header.height) != (_WIDTH, _HEIGHT):
            raise DataError(
                f"{folder / files[number]}: {header.width}x{header.height} pixels (width x "
                f"height), expected {_WIDTH}x{_HEIGHT}: edges beside photo"
            )

    in_threads(check, len(files), "headers", options.progress)


SET = NamedSet(
    name="edges2shoes",
    title="Edges2Shoes",
    summary="50,025 photos of shoes, each with its edges",
    rows=100_050,
    shape="256x256x3",
    factors={"domain": 2, "pair": 50_025, "part": 2},
    licence="photos (UT Zappos50K) for academic, non-commercial use only",
    paper=_PAPER,
    url="http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/",
    layout="train/1_AB.jpg … 49825_AB.jpg\nval/1_AB.jpg … 200_AB.jpg",
    read=read,
    traps=(
        "A file holds two pictures side by side, edges on the left; they are two rows here.",
        "The edges were saved as JPEG, so that they are not quite black and white.",
        "val is what papers test on; the numbers start again there.",
    ),
    downloads=(
        Download(
            url="http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/edges2shoes.tar.gz",
            file="edges2shoes.tar.gz",
            md5="71da478b54fedde126e234a2a050bc15",
            unpack=True,
        ),
    ),
    splits={
        "official": Protocol(
            "the set's own parts: 49,825 pairs to train, 200 (val) to test",
            _PAPER,
            by_part("val"),
        )
    },
)
