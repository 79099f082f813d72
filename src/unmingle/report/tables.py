"""Scores as tables, each with what it means in plain words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from unmingle.evaluation.plain import to_plain
from unmingle.evaluation.scores import PURPOSES, Scores, metric_label
from unmingle.evaluation.text import interval, number
from unmingle.report.audit import GOOD, audit_parts, distance_parts, judge_parts
from unmingle.report.html import Child, Markup, Section, join, paragraph, table, tag
from unmingle.report.svg import bar
from unmingle.report.values import plain_number, show, words

_OWN = (
    *("transfer", "reconstruction", "probes", "audit", "judges", "feature_distance"),
    *("disentanglement", "notes", "context"),
)


def glance(scores: Scores) -> list[Markup]:
    """The few numbers to look at first."""
    cards = []
    moved = scores.transfer
    measured = {} if moved is None else moved.metrics
    if moved is not None and measured and math.isfinite(next(iter(measured.values())).ratio.value):
        name, metric = next(iter(measured.items()))
        cards.append(
            card(
                f"{metric.ratio.value:.0%}",
                f"of the error that copying would make, in swaps of the {moved.take} code "
                f"({metric_label(name).split(' ↓')[0].split(' ↑')[0]}); 0% is perfect, at 100% the "
                "model is no better than copying",
                metric.ratio.high < 1,
            )
        )
    for (space, factor, purpose), rows in _by_code(scores).items():
        best = max(rows, key=lambda row: float(row.accuracy))
        chance = f"chance {best.chance:.1%}"
        if purpose == "knows":
            said = f"right when {factor} is read from the {space} code ({chance})"
            cards.append(card(f"{best.accuracy:.1%}", said, best.low > best.chance))
        elif purpose == "leak" and scores.audit is None:
            found, good = _leaked(best)
            said = f"right when {factor} is guessed from the {space} code ({chance}): {found}"
            cards.append(card(f"{best.accuracy:.1%}", said, good))
    for leak in () if scores.audit is None else scores.audit.leaks:
        if leak.purpose == "leak":
            said = f"leak of {leak.factor} into the {leak.space} code, by the audit"
            cards.append(card(leak.level, said, GOOD.get(leak.level, False)))
    return cards


def _leaked(best: Any) -> tuple[str, bool | None]:
    """What a probe's accuracy says about a leak, and whether that is good."""
    if best.low > best.chance:
        return "it leaks", False
    if best.high < best.chance:  # a code that knows nothing would be at chance
        return "below chance, where probes cannot tell; an audit can", None
    return "not above chance", True


def card(value: str, text: str, good: bool | None = None) -> Markup:
    """A number with what it is."""
    colour = None if good is None else "good" if good else "bad"
    return tag("div", tag("b", value, class_=colour), tag("span", text), class_="card")


def _by_code(scores: Scores) -> dict[tuple[str, str, str], list[Any]]:
    found: dict[tuple[str, str, str], list[Any]] = {}
    for row in scores.probes:
        found.setdefault((row.space, row.factor, row.purpose), []).append(row.result)
    return found


def score_sections(scores: Scores) -> Iterator[Section]:
    """A section for each part that the scores hold, parts unknown here included."""
    images = [*_transfer(scores), *_reconstruction(scores)]
    if images:
        yield Section("images", "Images against the truth", join(images))
    if scores.probes:
        yield Section("probes", "What each code knows", join(_probes(scores)))
    if scores.audit is not None:
        yield Section("audit", "Leakage audit", join(audit_parts(scores.audit)))
    if scores.judges is not None:
        yield Section("judges", "Judges", join(judge_parts(scores.judges)))
    if scores.feature_distance is not None:
        parts = join(distance_parts(scores.feature_distance))
        yield Section("distance", "Distance to real images", parts)
    if scores.disentanglement:
        parts = join(_disentanglement(scores, scores.disentanglement))
        yield Section("disentanglement", "Disentanglement metrics", parts)
    for field in dataclasses.fields(scores):
        value = to_plain(getattr(scores, field.name))
        if field.name not in _OWN and value not in (None, [], {}, ""):
            title = words(field.name).capitalize()
            yield Section(field.name, title, show(value, title))


def _transfer(scores: Scores) -> Iterator[Child]:
    moved = scores.transfer
    if moved is None:
        return
    labels = list(next(iter(moved.metrics.values())).copies) if moved.metrics else []
    others = " and ".join(label for label in labels if label != moved.take)
    roles = ", ".join(f"{space} = {factor}" for space, factor in moved.roles.items())
    yield tag("h3", "Swaps")
    yield paragraph(
        f"The {moved.take} code of one held-out image was put together with the {others} of "
        f"another, and the result compared with the true image of that combination ({roles}); "
        f"{moved.pairs:,} pairs of {moved.possible:,} possible ones. Beside the model stands what "
        "handing back one of the two images would score. The last columns give the model's error "
        "as a share of the better copy's: 0 is perfect, at 1 the model is no better than copying."
    )
    head = ["distance", "model", *(f"copy {label} image" for label in labels),
            "error / better copy", ""]  # fmt: skip
    rows = []
    for name, metric in moved.metrics.items():
        ratio = metric.ratio.value
        floors = [number(metric.copies[label].value) for label in labels]
        drawn = bar(ratio, None, f"{ratio:.2f} of the error of the better copy")
        rows.append(
            [metric_label(name), interval(metric.model), *floors, interval(metric.ratio), drawn]
        )
    right = range(1, len(head) - 1)
    yield table(head, rows, label="Transfer", numbers=right)
    yield tag("p", "↓ lower is better, ↑ higher is better; brackets: 95 % bootstrap intervals.",
              class_="small")  # fmt: skip


def _reconstruction(scores: Scores) -> Iterator[Child]:
    if not scores.reconstruction:
        return
    yield tag("h3", "Reconstruction")
    yield paragraph(
        "Held-out images decoded from their own codes, against themselves. Good reconstruction "
        "alone says nothing about separation."
    )
    rows = [[metric_label(name), interval(e)] for name, e in scores.reconstruction.items()]
    yield table(["distance", "model"], rows, label="Reconstruction", numbers=(1,))


def _probes(scores: Scores) -> Iterator[Child]:
    yield paragraph(
        "Classifiers try to tell each factor from each code. Where a code should know the factor, "
        "high is good; where the factor belongs to another code, it leaks as far as the accuracy "
        "is above chance, the accuracy of always naming the commonest value (the mark on the bar). "
        "Below chance is possible where the held-out combinations tell which were seen."
    )
    hows = list(dict.fromkeys(row.result.how for row in scores.probes))
    rows: list[list[Child]] = []
    for (space, factor, purpose), results in _by_code(scores).items():
        said = tag("span", f" {PURPOSES[purpose]}", class_="small")
        for place, r in enumerate(results):
            rows.append([
                join([f"{factor} from {space}", said]) if place == 0 else "", r.kind,
                f"{r.accuracy:.1%} [{r.low:.1%}, {r.high:.1%}]",
                bar(r.accuracy, r.chance, f"{r.accuracy:.1%}, chance {r.chance:.1%}"),
                f"{r.chance:.1%}", f"{r.n_train:,} / {r.n_test:,}",
                *([r.how] if len(hows) > 1 else []),
            ])  # fmt: skip
    head = ["", "probe", "accuracy", "", "chance", "rows fitted / scored"]
    head += [""] if len(hows) > 1 else []
    yield table(head, rows, label="Probes", numbers=(2, 4, 5))
    if len(hows) == 1:
        yield tag("p", f"Fitted on {hows[0]}.", class_="small")


def _disentanglement(scores: Scores, found: dict[str, dict[str, float]]) -> Iterator[Child]:
    from unmingle.evaluation.disentanglement import DISENTANGLEMENT

    about = scores.context.get("disentanglement") or {}
    used = f" Factors: {', '.join(about['factors'])}; {about['rows']:,} rows." if about else ""
    yield paragraph(
        "Metrics on the entries of all codes side by side. Most ask whether single entries stand "
        "for single factors, which is more than whether codes do: a model whose codes are vectors "
        f"may separate factors well and score low here.{used}"
    )
    rows = []
    for metric, values in found.items():
        known = DISENTANGLEMENT.get(metric)
        arrow = "" if known is None else " ↑" if known.best == "high" else " ↓"
        score, *others = map(plain_number, values.values()) if values else ["–"]
        more = [f"{words(n)} {v}" for n, v in zip(list(values)[1:], others, strict=True)]
        asks = "" if known is None else tag("span", known.summary, class_="words")
        rows.append([words(metric) + arrow, score, asks, ", ".join(more)])
    yield table(["metric", "score", "asks", "also"], rows, label="Disentanglement", numbers=(1,))
    yield tag("p", "↓ lower is better, ↑ higher is better.", class_="small")
