"""`unmingle traverse`: what each direction of a code does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, check_space, flag, parse, required, say
from ._data import Part, Reading, rows_for

_ROWS = 1000  # whose codes show what values a direction takes


@dataclass(frozen=True, kw_only=True)
class Traverse(Using):
    """Flags of `traverse`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """A data set or a folder of images."""
    output: Annotated[Path, required("FILE", "-o")]
    """The .png to write: a row a direction. Or a .gif: a column a direction, moving."""
    reading: Reading
    space: Annotated[str | None, flag("SPACE", unset="(all)")] = None
    """The code space."""
    axes: Literal["dimensions", "principal"] = "dimensions"
    """Dimensions of the code, or its principal axes where dimensions mean nothing."""
    count: int = 10
    """How many directions, those first that change most."""
    steps: int = 9
    """How many values of each."""
    images: int = 4
    """How many images of DATA the .gif shows; the .png shows the first of them."""
    part: Annotated[Part | None, flag("held-out|train|all", unset="(held-out)")] = None
    """Which rows, if the run was trained on DATA."""
    seed: int = 0
    """Seed of the choice of images."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Traverse,
        argv,
        "traverse",
        "One direction of a code moved at a time, over the values it takes on in DATA; directions "
        "in the order of what they explain.",
        "traverse runs/a photos/ -o directions.png",
        "traverse runs/a photos/ -o directions.gif --space target --count 6",
    )
    output = check_output(args.output, (".png", ".gif"), args.overwrite)
    for name, least in (("count", 1), ("steps", 2), ("images", 1)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)}: at least {least}")
    import numpy as np

    from unmingle.plots import Traversal, save_gif, save_png

    model = args.model()
    if args.space is not None:
        check_space(model, args.space)
    data = rows_for(model, args.data, args.reading).part(args.part)
    if not data.is_images:
        raise ConfigError("a traversal is a picture of images, and these data are vectors")
    rows = np.random.default_rng(args.seed).permutation(len(data))
    items = data.take(rows[:_ROWS])
    found = Traversal(model, items, space=args.space, axes=args.axes, steps=args.steps)
    if output.suffix.lower() == ".gif":
        frames = found.frames(items[: args.images], args.count)
        save_gif(output, frames, overwrite=args.overwrite)
    else:
        save_png(output, found.grid(items[0], args.count), overwrite=args.overwrite)
    for direction in found.directions[: args.count]:
        say(f"{direction.label}: {direction.explained:.1%} of the variance of the images")
