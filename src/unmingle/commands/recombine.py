"""`unmingle recombine`: codes of different images put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from unmingle.errors import ConfigError, nearest

from ._common import (
    Using,
    check_output,
    check_output_folder,
    check_space,
    flag,
    named,
    parse,
    required,
    save_picture,
    say,
)
from ._data import Pictures, pictures

if TYPE_CHECKING:
    from unmingle.methods import Method

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True, kw_only=True)
class Recombine(Using):
    """Flags of `recombine`."""

    take: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], required("SPACE=IMAGE")]
    """Once for each code space; of a folder the images are taken in order of their names."""
    output: Annotated[Path, required("FILE", "-o")]
    """The picture to write, or the folder when a folder is taken from."""
    zero: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("SPACE")] = ()
    """Make this code zero instead of taking it from an image. Repeatable."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Recombine,
        argv,
        "recombine",
        "Take each code from another image and decode them together. Of two folders the first "
        "images make a pair, the second ones, and so on; a single image goes with all of them.",
        "recombine runs/a --take class=x.png --take content=y.png -o z.png",
        "recombine runs/a --take class=x.png --take content=poses/ -o out/",
        "recombine runs/a --take style=x.png --zero content -o canonical.png",
    )
    taken = named(args.take, "--take", "class=x.png")
    folder = any(Path(source).is_dir() for source in taken.values())
    if folder:
        check_output_folder(args.output, args.overwrite)
    else:
        check_output(args.output, ENDINGS, args.overwrite)
    model = args.model()
    _check_spaces(taken, args.zero, model)
    sources = {space: pictures(model, source) for space, source in taken.items()}
    _check_counts(sources)
    codes = {space: model.encode(source.images)[space] for space, source in sources.items()}
    spaces = model.code_spaces
    images = model.decode({**codes, **{s: [[0.0] * spaces[s].dim] for s in args.zero}})
    if not folder:
        save_picture(images[0], args.output, args.overwrite)
        return
    for row, image in enumerate(images):
        name = "+".join(source.names[row % len(source.names)] for source in sources.values())
        save_picture(image, args.output / f"{row:04d}_{name}.png", args.overwrite)
    say(f"{args.output}: {len(images)} pictures")


def _check_spaces(taken: Mapping[str, Any], zero: Sequence[str], model: Method) -> None:
    spaces = list(model.code_spaces)
    for space in taken:
        if space not in spaces:
            raise ConfigError(f"--take {space}=: no such code space.{nearest(space, spaces)}")
    for space in zero:
        check_space(model, space, "--zero")
        if space in taken:
            raise ConfigError(f"--zero {space}: --take {space}= gives that code; leave one out")
    for space in spaces:
        if space not in taken and space not in zero:
            raise ConfigError(
                f"nothing gives the {space} code: add --take {space}=IMAGE, or --zero {space}"
            )


def _check_counts(sources: Mapping[str, Pictures]) -> None:
    count = max(len(source.images) for source in sources.values())
    for space, source in sources.items():
        if len(source.images) not in (1, count):
            raise ConfigError(
                f"--take {space}={source.source} has {len(source.images)} images and another has "
                f"{count}: give folders with equally many, or a single image"
            )
