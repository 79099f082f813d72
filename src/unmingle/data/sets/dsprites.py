"""dSprites: the published file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets import _sprites2d
from unmingle.data.sets._base import Download, NamedSet, need
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.tables import NpzTable
from unmingle.errors import DataError

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
PAPER = (
    "L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, dSprites: Disentanglement testing Sprites "
    "dataset, 2017"
)
TRAPS = (
    "The last of the 40 orientations, 2π, is the first again: those pictures come twice; "
    "orientations=distinct leaves the second ones out and has 39 values.",
    "The square looks the same after a quarter turn and the ellipse after half a turn, so one look "
    "has up to four orientations; orientations=symmetric leaves the doubled rows out and numbers "
    "the 39 steps within that turn, neighbours in looks next to each other.",
)


def read(
    folder: Path,
    options: ReadOptions,
    *,
    rows: Any = None,
    seed: int = 0,
    orientations: str = "all",
) -> FactorDataset:
    """The published sprites, uint8 [N, 64, 64, 1]: the file's 0 and 1 as 0 and 255.

    Factors `shape`, `scale`, `orientation`, `position_x`, `position_y`; continuous `size` (0.5 to
    1), `angle` (radians), `x` and `y` (0 to 1); ids are the file's row numbers. `rows` are rows of
    what `orientations` keeps.

    Args:
        folder: With the .npz; its pickled `metadata` is not read.
        options: Size, channels, the memory limit.
        rows: None for all 737,280, a number drawn, or row numbers.
        seed: Of the draw.
        orientations: "all", "distinct" or "symmetric"; see the set's traps.

    Raises:
        ConfigError: an unknown `orientations`.
        DataError: the file is missing, damaged or not the published one.
    """
    _sprites2d.check_orientations(orientations)
    file = need(SET, folder, FILE)
    with NpzTable(file) as table:
        codes, values = _latents(table, file)
        kept = _sprites2d.kept_rows(codes, orientations)
        chosen = kept[pick_rows(rows, len(kept), seed)]

        def blocks() -> Iterator[NDArray[Any]]:
            for block in table.blocks("imgs"):
                if block.max(initial=0) > 1:
                    raise DataError(f"{file}: imgs has {block.max()}, expected 0 and 1")
                yield block * np.uint8(255)

        images = read_image_blocks(folder, [FILE], (64, 64), blocks, chosen, options)
    return FactorDataset(
        images=images,
        **_sprites2d.columns(codes[chosen], values[chosen], orientations),
        ids=chosen,
        name=SET.name,
    )


def _latents(table: NpzTable, file: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Codes [N, 5] and values [N, 4] of all rows."""
    keys = table.keys()
    for key in ("imgs", "latents_classes", "latents_values"):
        if key not in keys:
            raise DataError(f"{file}: there is no {key} inside; it is not the published {FILE}")
    shape, dtype = table.header("imgs")
    if dtype != np.uint8 or shape[1:] != (64, 64):
        raise DataError(f"{file}: imgs are {dtype} {shape}, expected uint8 [N,64,64]")
    codes, values = table.read("latents_classes"), table.read("latents_values")
    if codes.shape != (shape[0], 6) or values.shape != (shape[0], 6):
        raise DataError(
            f"{file}: latents are {codes.shape} and {values.shape} for {shape[0]} images, expected "
            "6 columns each"
        )
    # The first latent is the colour, always white.
    codes = codes[:, 1:].astype(np.int64)
    wrong = np.argwhere((codes < 0) | (codes >= np.array(_sprites2d.CARDINALITIES)))
    if len(wrong):
        row, column = wrong[0]
        name = tuple(_sprites2d.FACTORS)[column]
        raise DataError(f"{file}: row {row}: {name} is {codes[row, column]}")
    return codes, values[:, 2:].astype(np.float64)


SET = NamedSet(
    name="dsprites",
    title="dSprites",
    summary="white sprites of three shapes, all combinations of five factors",
    rows=_sprites2d.ROWS,
    shape="64x64x1",
    factors={**_sprites2d.FACTORS, **dict.fromkeys(_sprites2d.CONTINUOUS, 0)},
    licence="Apache 2.0",
    paper=PAPER,
    url="https://github.com/google-deepmind/dsprites-dataset",
    layout=f"""
        {FILE}
    """,
    read=read,
    traps=TRAPS,
    downloads=(
        Download(
            f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}",
            FILE,
            md5="7da33b31b13a06f4b04a70402ce90c2e",
        ),
    ),
)
