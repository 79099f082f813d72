"""`unmingle evaluate`: scores on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ._common import Using, check_output, flag, parse, required, say
from ._data import Reading, rows_for
from ._scoring import Scoring, told


@dataclass(frozen=True, kw_only=True)
class Evaluate(Using):
    """Flags of `evaluate`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """The data that it was trained on (its held-out rows are scored), or others."""
    reading: Reading
    scoring: Scoring
    json: Annotated[Path | None, flag("FILE")] = None
    """Also write all scores here."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Evaluate,
        argv,
        "evaluate",
        "Scores: swaps against the true image where the data have it, beside what copying would "
        "score; reconstruction; and what each code tells about each factor, beside chance.",
        "evaluate runs/a photos/",
        "evaluate runs/a sprites.npz --role content=pose --probe-factor content=pose_merged",
        "evaluate runs/a sprites.npz --role content=pose --audit --judges --json scores.json",
    )
    if args.json is not None:
        check_output(args.json, (".json",), args.overwrite, "--json")
    from unmingle.training.hardware import choose_device

    model = args.model()
    args.scoring.check(model)
    rows = rows_for(model, args.data, args.reading)
    test = rows.part(args.scoring.part)
    train = None if test is rows.whole else rows.train
    given = told(args.data, args.reading, args.scoring.part)
    scores = args.scoring.score(model, test, train, choose_device(args.device), given)
    print(scores.table())
    if args.json is not None:
        scores.save(args.json, overwrite=args.overwrite)
        say(f"{args.json}: all scores")
