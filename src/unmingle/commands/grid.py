"""`unmingle grid`: a picture of swaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, check_space, flag, parse, required, say
from ._data import Part, Reading, rows_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unmingle.data import FactorDataset
    from unmingle.methods import Method


@dataclass(frozen=True, kw_only=True)
class Grid(Using):
    """Flags of `grid`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """A data set or a folder of images."""
    output: Annotated[Path, required("FILE", "-o")]
    """The .png to write."""
    reading: Reading
    rows: int = 8
    """How many rows."""
    columns: int = 8
    """How many columns."""
    row_space: Annotated[str | None, flag("SPACE", unset="(the first that knows a factor)")] = None
    """The code that each row keeps."""
    column_space: Annotated[str | None, flag("SPACE", unset="(another one)")] = None
    """The code that each column keeps."""
    part: Annotated[Part | None, flag("held-out|train|all", unset="(held-out)")] = None
    """Which rows, if the run was trained on DATA."""
    seed: int = 0
    """Seed of the choice of images."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Grid,
        argv,
        "grid",
        "A picture of swaps: each row keeps one code of the image at its left, each column another "
        "code of the image at its top.",
        "grid runs/a photos/ -o grid.png",
        "grid runs/a photos/ -o swapped.png --row-space content --column-space class --part train",
    )
    output = check_output(args.output, (".png",), args.overwrite)
    for side in ("rows", "columns"):
        if getattr(args, side) < 1:
            raise ConfigError(f"--{side} {getattr(args, side)}: at least 1")
    from unmingle.plots import save_png

    model = args.model()
    rows, columns = spaces(model, args.row_space, args.column_space)
    data = rows_for(model, args.data, args.reading).part(args.part)
    picture = swaps(model, data, (args.rows, args.columns), (rows, columns), args.seed)
    save_png(output, picture, overwrite=args.overwrite)
    say(f"{output}: rows keep the {rows} code, columns the {columns} code")


def spaces(model: Method, rows: str | None, columns: str | None) -> tuple[str, str]:
    """The code spaces of rows and columns: by default the first that knows a factor, and another.

    Raises:
        ConfigError: for a space that the model does not have, one space for both, or a model with
            one code.
    """
    if rows is not None:
        check_space(model, rows, "--row-space")
    if columns is not None:
        check_space(model, columns, "--column-space")
    names = sorted(model.code_spaces, key=lambda name: model.code_spaces[name].factor is None)
    if len(names) == 1:
        raise ConfigError(f"{model.name} has one code, {names[0]}: there is nothing to swap")
    rows = rows or next(name for name in names if name != columns)
    columns = columns or next((name for name in reversed(names) if name != rows), rows)
    if rows == columns:
        raise ConfigError(f"--row-space and --column-space are both {rows}")
    return rows, columns


def swaps(
    model: Method,
    data: FactorDataset,
    size: tuple[int, int],
    keep: tuple[str, str],
    seed: int = 0,
) -> NDArray[np.uint8]:
    """A picture RGB [H,W,3] of `size` rows and columns of swaps of images drawn from `data`.

    Rows (and columns) show different values of the factor that their code knows.
    """
    from unmingle.data.splits import varied_rows
    from unmingle.plots import swap_grid

    if not data.is_images:
        raise ConfigError("a grid needs images, and these data are vectors")
    down, across = (
        data.take(varied_rows(data, model.code_spaces[space].factor, count, seed + number))
        for number, (space, count) in enumerate(zip(keep, size, strict=True))
    )
    return swap_grid(model, down, across, keep[0], keep[1])
