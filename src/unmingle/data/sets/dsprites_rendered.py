"""Sprites like those of dSprites, rendered from the same factors; nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets import _sprites2d
from unmingle.data.sets._base import NamedSet
from unmingle.data.sets.dsprites import PAPER, TRAPS
from unmingle.data.storage import blank, check_memory
from unmingle.errors import ConfigError


def read(
    folder: Path | None,
    options: ReadOptions,
    *,
    rows: Any = None,
    seed: int = 0,
    orientations: str = "all",
) -> FactorDataset:
    """Rendered sprites, uint8 [N, 64, 64, 1] of 0 and 255, without grey edges.

    Factors, their values, the order of the rows and `orientations` are those of `dsprites`.

    Raises:
        ConfigError: a folder is given, or an unknown `orientations`.
        DataError: wrong rows, or more pictures than the free memory holds.
    """
    if folder is not None:
        raise ConfigError("dsprites-rendered is read from no folder; dsprites reads the file")
    _sprites2d.check_orientations(orientations)
    kept = _sprites2d.kept_rows(_sprites2d.codes_of(np.arange(_sprites2d.ROWS)), orientations)
    chosen = kept[pick_rows(rows, len(kept), seed)]
    codes = _sprites2d.codes_of(chosen)
    if options.pixels:
        check_memory(_sprites2d.SIDE**2 * len(chosen), f"{len(chosen):,} pictures (fewer: rows=)")
        images = _sprites2d.render(codes)
    else:
        images = blank((len(chosen), _sprites2d.SIDE, _sprites2d.SIDE, 1))
    return FactorDataset(
        images=images,
        **_sprites2d.columns(codes, _sprites2d.values_of(codes), orientations),
        ids=chosen,
        name=SET.name,
    )


SET = NamedSet(
    name="dsprites-rendered",
    title="dSprites, rendered here",
    summary="sprites drawn from dSprites' factors, like the published ones but not the same pixels",
    rows=_sprites2d.ROWS,
    shape="64x64x1",
    factors={**_sprites2d.FACTORS, **dict.fromkeys(_sprites2d.CONTINUOUS, 0)},
    licence="that of this package",
    paper=PAPER,
    url="https://github.com/google-deepmind/dsprites-dataset",
    layout="(nothing: it is rendered)",
    read=read,
    traps=(
        "Outlines and sizes of the sprites were chosen here: scores on them are no scores on "
        "dSprites, whose published file is the set dsprites.",
        "A few orientations of squares and ellipses that their symmetry puts next to each other "
        "are the same pixels; those of the heart all differ.",
        *TRAPS,
    ),
    embedded=True,
)
