"""The report of a run: what its folder holds, and what the model does with data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmingle.errors import DataError, RunError
from unmingle.evaluation.model import Encoded, space_factors
from unmingle.evaluation.output import write_file
from unmingle.evaluation.record import versions
from unmingle.report.about import (
    again_section,
    read_config,
    settings_section,
    subtitle,
    title,
    trained_section,
)
from unmingle.report.codes import codes_section
from unmingle.report.curves import curves_section, stage_order
from unmingle.report.html import Child, Markup, Section, join, page, paragraph, tag
from unmingle.report.pictures import (
    interpolation_section,
    retrieval_section,
    samples_section,
    searched_rows,
    swaps_section,
)
from unmingle.report.tables import card, glance, score_sections

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.evaluation.scores import Scores

Say = Callable[[str], None]


@dataclass
class Subject:
    """What a report is on.

    Attributes:
        folder: the run folder; config.json must be in it.
        model: the trained model; None if there is none.
        test: rows that pictures show; None if there are no data.
        train: the training rows, searched by the retrieval.
        which: what the rows of `test` are: "held-out images".
        roles: {code space: factor column} where the model does not say so itself.
        scores: None if nothing was scored.
        missing: sentences on what the report does not show, and why.
        command: the words of the command that made the report.
        seed: of the choice of rows.
    """

    folder: Path
    model: Any = None
    test: FactorDataset | None = None
    train: FactorDataset | None = None
    which: str = "held-out images"
    roles: Mapping[str, str] = field(default_factory=dict)
    scores: Scores | None = None
    missing: list[str] = field(default_factory=list)
    command: Sequence[str] | None = None
    seed: int = 0

    def factors(self) -> dict[str, str]:
        """The factor of each code space, as far as it is known and a column of the data."""
        assert self.test is not None
        context = {} if self.scores is None else self.scores.context
        own = space_factors(self.model)
        scored = {**(context.get("roles") or {}), **(context.get("probe_factors") or {})}
        told = {**scored, **self.roles}
        found = {space: told.get(space) or own[space] for space in self.model.code_spaces}
        return {
            space: factor
            for space, factor in found.items()
            if factor is not None and _has(self.test, factor)
        }


def write_report(
    subject: Subject,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    say: Say | None = None,
) -> Path:
    """Write one HTML file that needs nothing else.

    Args:
        subject: what it is on.
        out: the file; report.html in the run folder by default.
        overwrite: replace the file if it exists.
        say: called with one line before each part.

    Raises:
        RunError: no run is there, its files are damaged, or the file exists.
    """
    text = report_html(subject, say=say)
    return write_file(out or subject.folder / "report.html", text.encode(), overwrite=overwrite)


def report_html(subject: Subject, *, say: Say | None = None) -> str:
    """The report as text; see `write_report`."""
    info = read_config(subject.folder)
    missing = [*subject.missing, *_of_others(subject, info)]
    sections = list(_from_folder(subject, info, missing, say or (lambda _: None)))
    first = _overview(subject, info, missing)
    foot = (
        f"Made by unmingle {versions()['unmingle']}. The file is complete: it loads nothing and "
        "runs no script."
    )
    return page(title(info), subtitle(info), [first, *sections], foot)


def _from_folder(
    subject: Subject, info: Mapping[str, Any], missing: list[str], say: Say
) -> Iterator[Section]:
    say("report: curves")
    folder = subject.folder
    yield trained_section(info)
    order: list[str] = []
    try:
        curves = curves_section(folder / "metrics.jsonl")
        order = stage_order(folder / "metrics.jsonl")
        if curves is not None:
            yield curves
    except RunError as error:
        missing.append(f"Curves: {error}.")
    yield from _pictures(subject, missing, say)
    if subject.scores is not None:
        yield from score_sections(subject.scores)
    try:
        samples = samples_section(folder / "samples", order)
    except DataError as error:
        samples = None
        missing.append(f"Samples: {error}.")
    if samples is not None:
        yield samples
    settings = settings_section(info)
    if settings is not None:
        yield settings
    yield again_section(info, folder, subject.scores, subject.command, versions())


def _pictures(subject: Subject, missing: list[str], say: Say) -> Iterator[Section]:
    """What needs the model and data."""
    model, test = subject.model, subject.test
    if model is None or test is None:
        return
    roles, seed, which = subject.factors(), subject.seed, subject.which
    rows = searched_rows(test, seed)
    made: list[tuple[str, Callable[[], Section | None]]] = []
    if test.is_images:
        made += [
            ("swaps", lambda: swaps_section(model, test, roles, which, seed)),
            ("interpolations", lambda: interpolation_section(model, test, roles, which, seed)),
        ]
    else:
        missing.append("Swaps and interpolations: the data are vectors, which have no pictures.")
    say("report: codes")
    encoded = Encoded(model, rows.items)
    pool, searched, pooled = rows, encoded, which
    if subject.train is not None:
        pool = searched_rows(subject.train, seed)
        searched, pooled = Encoded(model, pool.items), "training images"
    made += [
        (
            "retrieval",
            lambda: retrieval_section(
                encoded, rows, searched, pool, roles, (f"one of the {which}", pooled), seed
            ),
        ),
        ("codes", lambda: codes_section(encoded, rows, roles, which, seed)),
    ]
    for name, make in made:
        say(f"report: {name}")
        found = make()
        if found is not None:
            yield found


def _of_others(subject: Subject, info: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on stored scores that are not of this run, or not of the rows that are shown."""
    if subject.scores is None:
        return
    context = subject.scores.context
    run = context.get("run") or info
    if any(run.get(key) != info.get(key) for key in ("method", "settings", "seed", "data")):
        yield "Scores of this run: those shown are of a run with other settings, seed or data."
    if subject.test is not None and subject.test.fingerprint() != context["test"]["fingerprint"]:
        yield "Scores of the rows in the pictures: those shown are of other rows."


def _overview(subject: Subject, info: Mapping[str, Any], missing: Sequence[str]) -> Section:
    """The first section: the main numbers, and what is missing."""
    training = info.get("training") or {}
    parts: list[Child] = []
    cards: list[Markup] = []
    if subject.scores is not None:
        about = subject.scores.context["test"]
        cards += glance(subject.scores)
        text = f"Scored on {about['rows']:,} rows of {about['name']}"
        moved = subject.scores.transfer
        text += f", {moved.pairs:,} pairs for the swaps." if moved is not None else "."
        parts.append(paragraph(text))
    if training.get("steps") is not None:
        stages = len(training.get("stages") or [])
        minutes = f"{training.get('seconds', 0) / 60:.1f} min"
        cards.append(card(minutes, f"of training: {training['steps']:,} steps, {stages} stages"))
    parts.append(tag("div", *cards, class_="cards"))
    said = [*missing, *([] if subject.scores is None else subject.scores.notes)]
    if said:
        items = tag("ul", *(tag("li", sentence) for sentence in said))
        parts.append(tag("div", tag("b", "Not in this report"), items, class_="missing"))
    return Section("overview", "At a glance", join(parts))


def _has(data: FactorDataset, factor: str) -> bool:
    try:
        data.factor(factor)
    except DataError:
        return False
    return True
