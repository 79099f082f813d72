"""`unmingle sample`: draw what is not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, check_space, flag, named, parse, required, say
from ._data import pictures

if TYPE_CHECKING:
    from unmingle.methods import Method


@dataclass(frozen=True, kw_only=True)
class Sample(Using):
    """Flags of `sample`."""

    output: Annotated[Path, required("FILE", "-o")]
    """The .png of a sheet of images; or an .npz of `images` or `vectors`."""
    take: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("SPACE=IMAGE")] = ()
    """Take this code from an image instead of drawing it. Repeatable."""
    label: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("FACTOR=VALUE")] = ()
    """Give this value instead of drawing one. Repeatable."""
    count: int = 16
    """How many."""
    columns: int = 8
    """Images in a row of the sheet."""
    seed: int = 0
    """Seed of what is drawn."""
    prior: bool = False
    """Draw codes without labels from their prior N(0, I), not as the training data have them."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Sample,
        argv,
        "sample",
        "Make items of codes that are drawn as the training data have them. What --take or --label "
        "names is given and not drawn.",
        "sample runs/a -o drawn.png",
        "sample runs/a --take person=x.png --label pose=left --count 8 -o unknowns.png",
    )
    output = check_output(args.output, (".png", ".npz"), args.overwrite)
    taken = named(args.take, "--take", "person=x.png")
    labels = named(args.label, "--label", "pose=left")
    for name in ("count", "columns"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} {getattr(args, name)}: at least 1")
    model = args.model()
    made = _make(model, args.count, taken, labels, args.seed, args.prior)
    if output.suffix.lower() == ".npz":
        _save_arrays(output, made, args.overwrite)
    else:
        _save_sheet(output, made, args.columns, args.overwrite)
    say(f"{output}: {len(made)} samples")


def _make(model: Method, count: int, taken: Any, labels: Any, seed: int, prior: bool) -> Any:
    sample = getattr(model, "sample", None)
    if sample is None:
        raise ConfigError(f"{model.name} draws no codes: it has no samples")
    for space in taken:
        check_space(model, space, "--take")
    for space in labels:
        check_space(model, space, "--label")
    items = {space: pictures(model, source).images for space, source in taken.items()}
    return sample(count, items=items, labels=labels, seed=seed, prior=prior)


def _save_arrays(output: Path, made: Any, overwrite: bool) -> None:
    import io

    import numpy as np

    from unmingle.evaluation.output import write_file

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"images" if made.ndim == 4 else "vectors": made})
    write_file(output, buffer.getvalue(), overwrite=overwrite)


def _save_sheet(output: Path, made: Any, columns: int, overwrite: bool) -> None:
    import numpy as np

    from unmingle.plots import save_png, tile

    if made.ndim != 4:
        raise ConfigError(f"--output {output}: this run was trained on vectors; write an .npz")
    rows = -(-len(made) // columns)
    empty = np.full((rows * columns - len(made), *made.shape[1:]), 255, np.uint8)
    sheet = np.concatenate([made, empty]).reshape(rows, columns, *made.shape[1:])
    save_png(output, tile(sheet), overwrite=overwrite)
