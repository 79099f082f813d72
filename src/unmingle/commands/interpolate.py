"""`unmingle interpolate`: a grid between two images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, check_space, flag, parse, required, say
from ._data import pictures
from .grid import spaces


@dataclass(frozen=True, kw_only=True)
class Interpolate(Using):
    """Flags of `interpolate`."""

    a: Annotated[tyro.conf.Positional[str], required("A")]
    """The image to start from."""
    b: Annotated[tyro.conf.Positional[str], required("B")]
    """The image to go to."""
    output: Annotated[Path, required("FILE", "-o")]
    """The .png to write."""
    steps: int = 7
    """Images on each side of the grid, A and B included."""
    space: Annotated[str, flag("SPACE", unset="(both: a grid, where there are two)")] = "both"
    """Move one code only: a single line of images."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Interpolate,
        argv,
        "interpolate",
        "Images between A and B, one direction of the grid a code space. With --space only that "
        "code moves, and the others stay those of A.",
        "interpolate runs/a x.png y.png -o between.png",
        "interpolate runs/a x.png y.png -o line.png --space content --steps 9",
    )
    output = check_output(args.output, (".png",), args.overwrite)
    if args.steps < 2:
        raise ConfigError(f"--steps {args.steps}: at least 2")
    from unmingle.plots import interpolation_grid, save_png

    model = args.model()
    rows: str | None = None
    if args.space == "both" and len(model.code_spaces) == 1:
        (columns,) = model.code_spaces
    elif args.space == "both":
        rows, columns = spaces(model, None, None)
    else:
        columns = check_space(model, args.space, also=["both"])
    a, b = (pictures(model, source).single() for source in (args.a, args.b))
    picture = interpolation_grid(model, a, b, args.steps, rows=rows, columns=columns)
    save_png(output, picture, overwrite=args.overwrite)
    down = "" if rows is None else f"down the {rows} code, "
    say(f"{output}: {down}across the {columns} code")
