"""`unmingle report`: one HTML file on a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import ConfigError, RunError, UnmingleError

from ._common import Using, check_output, flag, named, parse, say
from ._data import Reading, rows_for
from ._scoring import Scoring, reading_words, told

if TYPE_CHECKING:
    from unmingle.report import Subject

_PAIRS = 100
_OF_PICTURES = ("--role", "--probe-factor", "--part")  # said of what is shown, too


@dataclass(frozen=True, kw_only=True)
class Report(Using):
    """Flags of `report`."""

    data: Annotated[
        tyro.conf.Positional[str | None], flag("DATA", unset="(what the run was trained on)")
    ] = None
    """The data that it was trained on (held-out rows are shown and scored), or others."""
    output: Annotated[Path | None, flag("FILE", "-o", unset="(RUN/report.html)")] = None
    """The .html to write."""
    scores: Annotated[
        Path | None, flag("FILE", unset="(RUN/scores.json without DATA, if it is there)")
    ] = None
    """Scores that `evaluate --json` wrote, shown instead of scoring now."""
    reading: Reading
    scoring: Scoring

    def stored(self) -> Path | None:
        """The scores that are shown; None to score now."""
        own = self.run / "scores.json"
        if self.scores is None and self.data is None and own.exists():
            return own
        return self.scores


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
    _refuse_unused(args)
    source = _open(args, subject)
    _score(args, subject, source)
    write_report(subject, out, overwrite=args.overwrite, say=say)
    size = out.stat().st_size / 2**20
    say(f"{out}: the report, {size:.1f} MB")


def _refuse_unused(args: Report) -> None:
    """Stored scores are shown as they are.

    Raises:
        ConfigError: naming a flag that says what is measured, if nothing is.
    """
    stored = args.stored()
    unused = [word for word in args.scoring.flags() if word not in _OF_PICTURES]
    if stored is not None and unused:
        instead = "leave out --scores" if args.scores is not None else "name DATA"
        raise ConfigError(
            f"{unused[0]} says what is measured, and {stored} is shown as it is; to score now, "
            f"{instead}"
        )


def _open(args: Report, subject: Subject) -> str:
    """Model and data as far as they can be had; what cannot is noted.

    Returns:
        The data; "" where they are not known.

    Raises:
        RunError: the folder holds no run.
        ConfigError: a flag that needs data, where none are known.
    """
    from unmingle.report.about import read_config

    recipe = read_config(args.run).get("recipe") or {}
    source = args.data or str(recipe.get("source") or "")
    unused = [*args.scoring.flags(), *reading_words(args.reading)]
    if not source and unused:
        raise ConfigError(
            f"{unused[0]} needs data, and {args.run} does not say what it was trained on; name "
            "them, as in unmingle report RUN DATA"
        )
    try:
        model = args.model()
    except RunError as error:
        subject.missing.append(f"Pictures and codes: {error}.")
        say(f"{error}; the report shows what the folder holds")
        return source
    subject.model = model
    if not source:
        subject.missing.append(
            "Pictures and codes of held-out rows: no data were named, and the run does not say "
            "what it was trained on (unmingle report RUN DATA)."
        )
        return source
    if args.stored() is None:
        args.scoring.check(model)
    try:
        rows = rows_for(model, source, args.reading)
    except (UnmingleError, OSError) as error:
        subject.missing.append(f"Pictures and codes: the data cannot be read: {error}")
        say(f"{error}; the report shows what the folder holds")
        return source
    subject.test = rows.part(args.scoring.part)
    if subject.test is not rows.whole and subject.test is not rows.train:
        subject.train = rows.train
    kind = "images" if subject.test.is_images else "rows"
    place = {id(rows.test): "held-out ", id(rows.train): "training "}.get(id(subject.test), "")
    subject.which = f"{place}{kind}"
    return source


def _score(args: Report, subject: Subject, source: str) -> None:
    """Scores from a file, or measured now."""
    from unmingle.evaluation.scores import Scores
    from unmingle.training.hardware import choose_device

    stored = args.stored()
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
        subject.model,
        subject.test,
        subject.train,
        choose_device(args.device),
        told(source, args.reading, args.scoring.part),
        pairs=_PAIRS,
        brief=True,
    )
