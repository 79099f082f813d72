"""`unmingle views`: one image in many views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, check_space, flag, parse, required, say
from ._data import Part, Reading, pictures, rows_for


@dataclass(frozen=True, kw_only=True)
class Views(Using):
    """Flags of `views`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Where the codes of the views are taken from: a data set or a folder of images."""
    image: Annotated[str, required("IMAGE")]
    """The image to show, or a folder of them: a line each."""
    output: Annotated[Path, required("FILE", "-o")]
    """The .png to write, all views side by side, or the .gif, one after the other."""
    reading: Reading
    space: Annotated[str | None, flag("SPACE", unset="(the last that no factor is told for)")] = (
        None
    )
    """The code that differs between the views; all others stay those of the image."""
    by: Annotated[str | None, flag("FACTOR")] = None
    """A factor whose values are the views, in their order (azimuth); without it they are typical
    codes, found by k-means."""
    count: int = 12
    """How many views."""
    part: Annotated[Part | None, flag("held-out|train|all", unset="(all)")] = "all"
    """Which rows, if the run was trained on DATA."""
    seed: int = 0
    """Seed of k-means."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Views,
        argv,
        "views",
        "One image in many views: one code comes from a prepared set, all others stay.",
        "views runs/a chairs.npz --image chair.png --by azimuth --count 24 -o chair.gif",
        "views runs/a photos/ --image x.png -o views.png",
    )
    output = check_output(args.output, (".png", ".gif"), args.overwrite)
    if args.count < 1:
        raise ConfigError(f"--count {args.count}: at least 1")
    import numpy as np

    from unmingle.plots import prepared_codes, save_gif, save_png, tile, views

    model = args.model()
    names = list(model.code_spaces)
    if len(names) == 1:
        raise ConfigError(f"{model.name} has one code, {names[0]}: nothing of the image would stay")
    untold = [name for name in names if model.code_spaces[name].factor is None]
    space = (untold or names)[-1] if args.space is None else args.space
    check_space(model, space)
    shown = pictures(model, args.image)
    data = rows_for(model, args.data, args.reading).part(args.part)
    codes = prepared_codes(model, data, space, args.count, args.by, seed=args.seed)
    made = views(model, shown.images, codes, space)
    if output.suffix.lower() == ".gif":
        frames = [tile(made[:, number : number + 1]) for number in range(len(codes))]
        save_gif(output, frames, overwrite=args.overwrite)
    else:
        sheet = np.concatenate([shown.images[:, None], made], axis=1)
        save_png(output, tile(sheet), overwrite=args.overwrite)
    say(f"{output}: {len(codes)} views by the {space} code")
