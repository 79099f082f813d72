"""`unmingle demo`: LORD on embedded scenes, from nothing to a picture and a table."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ._common import flag, parse, say

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

CLASS = "shape,object_hue"
CONTENT = "orientation,wall_hue"
# A complete grid of 20 objects and 45 views: every swap of two held-out images has a true picture.
VALUES = {
    "floor_hue": [5],
    "wall_hue": [1, 4, 7],
    "object_hue": [0, 2, 4, 6, 8],
    "scale": [4],
    "shape": [0, 1, 2, 3],
    "orientation": list(range(15)),
}

NEXT = """
Rows of the picture keep the object of the image at their left, columns the view of the image at
their top; every image in between was decoded from the two codes: {picture}

For your own photos, one folder a class (photos/anna/1.jpg, photos/ben/7.jpg, ...):
  {unmingle} train lord photos/ --size 64 --fit crop --budget 15min --out runs/photos
  {unmingle} grid runs/photos photos/ -o grid.png
  {unmingle} recombine runs/photos --take class=a.jpg --take content=b.jpg -o c.png"""


@dataclass(frozen=True)
class Demo:
    """Flags of `demo`."""

    budget: str = "5min"
    """How long to train: a time, steps or epochs."""
    out: Annotated[Path, flag("RUN", "-o", unset="(runs/demo)")] = Path("runs/demo")
    """The run folder; a number is added if it is taken."""
    seed: int = 0
    """Seed of everything random."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Demo,
        argv,
        "demo",
        "Trains LORD on small rendered scenes (class: an object's shape and colour; content: where "
        "it is seen from and the colour of the wall), scores it on scenes that it never saw, and "
        "draws swaps of them.",
        "demo",
        "demo --budget 1min --out runs/quick",
    )
    from unmingle.training.settings import TrainSettings

    TrainSettings(budget=args.budget, seed=args.seed, device=args.device)
    out = unused(args.out)
    from unmingle.evaluation import evaluate
    from unmingle.methods import LORD
    from unmingle.plots import save_png

    from .grid import spaces, swaps

    train, test = scenes().split(test=0.1, seed=0)
    say(f"training on {len(train)} scenes for {args.budget}, {len(test)} held out; in {out}")
    model = LORD(class_factor=CLASS).fit(
        train, budget=args.budget, out=out, seed=args.seed, device=args.device
    )
    scores = evaluate(
        model, test, train=train, roles={"content": CONTENT}, pairs=300, seed=args.seed, say=say
    )
    print(scores.table())
    picture = out / "samples" / "swaps.png"
    save_png(picture, swaps(model, test, (8, 8), spaces(model, None, None), args.seed))
    print(NEXT.format(picture=picture, unmingle=_program()))


def scenes() -> FactorDataset:
    """The demo's 900 images, 64x64x3."""
    import numpy as np

    from unmingle.data import load_data
    from unmingle.data.shapes3d import NAMES, factors_to_index

    grid = np.meshgrid(*(VALUES[name] for name in NAMES), indexing="ij")
    rows = factors_to_index(np.stack([column.ravel() for column in grid], axis=1))
    return load_data("shapes3d", rows=rows, size=64)


def unused(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, … that holds nothing."""
    number, found = 1, folder
    while found.exists() and not (found.is_dir() and not any(found.iterdir())):
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _program() -> str:
    """How this program is called from here: `unmingle`, or its path where it is not on the PATH."""
    if shutil.which("unmingle"):
        return "unmingle"
    here = sys.argv[0]
    if Path(here).name != "unmingle":
        return "python -m unmingle"
    return min(here, os.path.relpath(here), key=len)
