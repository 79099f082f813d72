"""The curves of a run, from its metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.plots import read_metrics
from unmingle.plots.figures import AXES
from unmingle.report.html import Markup, Section, join, paragraph, tag
from unmingle.report.svg import COLOURS, Line, line_chart

Record = Mapping[str, Any]

_MINUTE, _HOUR = 60.0, 3600.0
_FIRST = ("losses/", "logs/", "images_per_second", "lr/")


def curves_section(path: Any) -> Section | None:
    """Every number that was logged, over time; None where there is none.

    Raises:
        RunError: the file is damaged.
    """
    records = [r for r in read_metrics(path) if _finite(r.get("seconds"))]
    keys = sorted({key for r in records for key in r if key not in AXES and _finite(r[key])})
    if not keys:
        return None
    until = max(r["seconds"] for r in records)
    unit, length = _unit(until)
    starts: dict[str, float] = {}
    for record in records:
        starts.setdefault(str(record.get("stage", "")), record["seconds"] / length)
    axis = _Axis(unit, length, until / length, starts)
    panels = [_panel(records, names, axis) for names in _grouped(keys)]
    about = paragraph(
        "Over the time of training; a dashed line marks where another stage begins. The last value "
        "stands beside the name. Losses of different stages are different quantities."
    )
    return Section("curves", "Curves", join([about, tag("div", *panels, class_="panels")]))


def stage_order(path: Any) -> list[str]:
    """The stages in the order in which they were logged."""
    return list(dict.fromkeys(str(r["stage"]) for r in read_metrics(path) if "stage" in r))


def _finite(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _grouped(keys: Sequence[str]) -> list[list[str]]:
    """One panel a number, learning rates together; losses first."""

    def rank(key: str) -> tuple[int, str]:
        place = next((i for i, start in enumerate(_FIRST) if key.startswith(start)), 2)
        return place, key

    rates = [key for key in keys if key.startswith("lr/")]
    others = sorted((key for key in keys if key not in rates), key=rank)
    return [[key] for key in others] + ([rates] if rates else [])


def _unit(seconds: float) -> tuple[str, float]:
    if seconds < 2 * _MINUTE:
        return "s", 1.0
    return ("min", _MINUTE) if seconds < 2 * _HOUR else ("h", _HOUR)


@dataclass(frozen=True)
class _Axis:
    """The axis of time: its unit of `length` seconds, its end, and where each stage begins."""

    unit: str
    length: float
    until: float
    starts: Mapping[str, float]


def _panel(records: Sequence[Record], keys: Sequence[str], axis: _Axis) -> Markup:
    lines: list[Line] = []
    last = None
    for number, key in enumerate(keys):
        stages: dict[str, list[tuple[float, float]]] = {}
        for record in records:
            if _finite(record.get(key)):
                point = (record["seconds"] / axis.length, float(record[key]))
                stages.setdefault(str(record.get("stage", "")), []).append(point)
                last = point[1]
        for stage, points in stages.items():
            x, y = np.array(points).T
            name = f"{key}, {stage}: {y[0]:.4g} to {y[-1]:.4g}"
            lines.append(Line(name, x, y, number % COLOURS))
    single = len(keys) == 1
    title = _name(keys[0]) if single else "learning rates"
    value = f" {last:.4g}" if single and last is not None else ""
    begins = [(at, stage) for stage, at in axis.starts.items()][1:]
    chart = line_chart(lines, f"{title} over time", axis.unit, axis.until, begins)
    legend = "" if single else _legend([_name(key) for key in keys])
    return tag("figure", tag("b", title), tag("span", value, class_="small"), chart, legend)


def _name(key: str) -> str:
    """A key for people: "losses/model" is the loss of model."""
    kind, _, name = key.rpartition("/")
    said = {"losses": "loss: ", "logs": "", "lr": ""}.get(kind, f"{kind}/" if kind else "")
    return said + name.replace("_", " ")


def _legend(names: Sequence[str]) -> Markup:
    items = [
        tag("span", tag("i", class_=f"f{number % COLOURS}"), name)
        for number, name in enumerate(names)
    ]
    return tag("div", *items, class_="legend")
