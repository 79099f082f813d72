"""`unmingle report`: one HTML file on a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import RunError, UnmingleError

from ._common import Using, check_output, flag, named, parse, say
from ._data import Reading, rows_for
from ._scoring import Scoring

if TYPE_CHECKING:
    from unmingle.report import Subject


@dataclass(frozen=True, kw_only=True)
class Report(Using):
    """Flags of `report`."""

    data: Annotated[tyro.conf.Positional[str | None], flag("DATA", unset="(none)")] = None
    """The data that it was trained on (held-out rows are shown and scored), or others. Without it
    the report shows what the run folder holds."""
    output: Annotated[Path | None, flag("FILE", "-o", unset="(RUN/report.html)")] = None
    """The .html to write."""
    scores: Annotated[Path | None, flag("FILE", unset="(RUN/scores.json without DATA)")] = None
    """Scores that `evaluate --json` wrote, shown instead of scoring now."""
    reading: Reading
    scoring: Scoring
    pairs: int = 100
    """How many swaps are scored, at most."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Report,
        argv,
        "report",
        "One HTML file on a run that needs nothing else: what was trained on what, curves, swaps, "
        "interpolations, retrieval, codes, scores, and how to make it again.",
        "report runs/a photos/",
        "report runs/a sprites.npz --role content=pose -o a.html",
        "report runs/a",
    )
    out = check_output(args.output or args.run / "report.html", (".html",), args.overwrite)
    from unmingle.report import Subject, write_report

    subject = Subject(
        args.run,
        roles={
            **named(args.scoring.role, "--role", "content=pose"),
            **named(args.scoring.probe_factor, "--probe-factor", "content=pose"),
        },
        command=["unmingle", "report", *argv],
        seed=args.scoring.seed,
    )
    _open(args, subject)
    _score(args, subject)
    write_report(subject, out, overwrite=args.overwrite, say=say)
    size = out.stat().st_size / 2**20
    say(f"{out}: the report, {size:.1f} MB")


def _open(args: Report, subject: Subject) -> None:
    """Model and data as far as they can be had; what cannot is noted.

    Raises:
        RunError: the folder holds no run.
    """
    from unmingle.report.about import read_config

    read_config(args.run)
    try:
        model = args.model()
    except RunError as error:
        subject.missing.append(f"Pictures and codes: {error}.")
        say(f"{error}; the report shows what the folder holds")
        return
    subject.model = model
    if args.data is None:
        subject.missing.append(
            "Pictures and codes of held-out rows: no data were named (unmingle report RUN DATA)."
        )
        return
    try:
        rows = rows_for(model, args.data, args.reading)
    except (UnmingleError, OSError) as error:
        subject.missing.append(f"Pictures and codes: the data cannot be read: {error}")
        say(f"{error}; the report shows what the folder holds")
        return
    subject.test = rows.part(args.scoring.part)
    if subject.test is not rows.whole and subject.test is not rows.train:
        subject.train = rows.train
    kind = "images" if subject.test.is_images else "rows"
    place = {id(rows.test): "held-out ", id(rows.train): "training "}.get(id(subject.test), "")
    subject.which = f"{place}{kind}"


def _score(args: Report, subject: Subject) -> None:
    """Scores from a file, or measured now."""
    from unmingle.evaluation.scores import Scores
    from unmingle.training.hardware import choose_device

    stored = args.scores
    if stored is None and subject.test is None and (args.run / "scores.json").exists():
        stored = args.run / "scores.json"
    if stored is not None:
        try:
            subject.scores = Scores.load(stored)
        except RunError as error:
            if args.scores is not None:
                raise
            subject.missing.append(f"Scores: {error}.")
        return
    if subject.test is None:
        subject.missing.append("Scores: none are stored in the folder (scores.json).")
        return
    subject.scores = args.scoring.score(
        subject.model, subject.test, subject.train, args.pairs, choose_device(args.device)
    )
