"""Line charts and scatters as SVG that follows the page's colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.report.html import Markup, join, tag

Array = npt.NDArray[Any]

COLOURS = 8
_WIDTH, _HEIGHT = 360.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 8.0, 16.0, 24.0
_POINTS = 400
_SIDE = 320.0
_WIDE = 20.0  # ratio of largest to smallest from which an axis of positive numbers is logarithmic


@dataclass(frozen=True)
class Line:
    """Points of one colour (0 to 7), x ascending."""

    name: str
    x: Array
    y: Array
    colour: int = 0


def line_chart(
    lines: Sequence[Line],
    label: str,
    unit: str,
    until: float,
    begins: Iterable[tuple[float, str]] = (),
) -> Markup:
    """Lines over a common x axis.

    Args:
        lines: at least one with a finite point.
        label: for screen readers.
        unit: of the x axis, which goes from 0 to `until`.
        begins: places on the x axis with names, as dashed lines.
    """
    y = np.concatenate([line.y for line in lines])
    y = y[np.isfinite(y)]
    smallest, largest = float(y.min()), float(y.max())
    log = smallest > 0 and largest / smallest > _WIDE
    ticks = _log_ticks(smallest, largest) if log else _ticks(smallest, largest)
    low, high = min(smallest, ticks[0]), max(largest, ticks[-1])
    place_x = _scale(0.0, until, _LEFT, _WIDTH - _RIGHT)
    place_y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP, log)
    parts = [_axes(_ticks(0.0, until), ticks, place_x, place_y, until, unit)]
    for at, name in begins:
        spot = float(place_x(np.array(at)))
        parts.append(tag("line", x1=_n(spot), x2=_n(spot), y1=_n(_TOP), y2=_n(_HEIGHT - _BOTTOM),
                         class_="begin"))  # fmt: skip
        end = spot > 0.7 * _WIDTH
        parts.append(tag("text", name, x=_n(spot + (-4 if end else 4)), y=_n(_TOP - 5),
                         text_anchor="end" if end else "start"))  # fmt: skip
    for line in lines:
        shown_x, shown_y = _thinned(line.x, line.y)
        points = zip(place_x(shown_x), place_y(shown_y), strict=True)
        drawn = " ".join(f"{_n(a)},{_n(b)}" for a, b in points if math.isfinite(b))
        parts.append(tag("polyline", tag("title", line.name), points=drawn,
                         class_=f"line s{line.colour % COLOURS}"))  # fmt: skip
    return tag(
        "svg", *parts, viewBox=f"0 0 {_n(_WIDTH)} {_n(_HEIGHT)}", role="img", aria_label=label
    )


def scatter(
    points: Array, colours: Sequence[int | None], titles: Sequence[str], label: str
) -> Markup:
    """Points [N,2] in a square, drawn to one scale in both directions.

    Args:
        points: finite.
        colours: 0 to 7 each, None for those that have no colour of their own; drawn below.
        titles: what hovering over each shows.
        label: for screen readers.
    """
    centre = (points.max(0) + points.min(0)) / 2
    reach = max(float((points.max(0) - points.min(0)).max()) / 2, 1e-12)
    placed = _SIDE / 2 + (points - centre) / reach * (_SIDE / 2 - 8) * np.array([1, -1])
    order = sorted(range(len(points)), key=lambda i: colours[i] is not None)
    dots = [
        tag("circle", tag("title", titles[i]), cx=_n(placed[i, 0]), cy=_n(placed[i, 1]), r=4,
            class_="dot rest" if colours[i] is None else f"dot f{colours[i]}")
        for i in order
    ]  # fmt: skip
    frame = tag("rect", width=_n(_SIDE), height=_n(_SIDE), class_="axis")
    return tag(
        "svg", frame, *dots, viewBox=f"0 0 {_n(_SIDE)} {_n(_SIDE)}", role="img", aria_label=label
    )


def bar(share: float, mark: float | None = None, label: str = "") -> Markup:
    """A bar of 0 to 1 with an optional mark; values beyond are cut."""
    part = 100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    parts = [
        tag("title", label),
        tag("rect", width=100, height=10, class_="track"),
        tag("rect", width=_n(part), height=10, class_="part"),
    ]
    if mark is not None and math.isfinite(mark):
        at = _n(100 * min(max(mark, 0.0), 1.0))
        parts.append(tag("line", x1=at, x2=at, y1=-1, y2=11, class_="mark"))
    return tag("svg", *parts, viewBox="0 0 100 10", class_="bar", role="img", aria_label=label,
               preserveAspectRatio="none")  # fmt: skip


class _scale:
    """Values to places, linear or logarithmic."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False):
        self.log, self.start, self.end = log, start, end
        self.low, self.high = (math.log(low), math.log(high)) if log else (low, high)

    def __call__(self, values: Array) -> Array:
        values = np.log(values) if self.log else np.asarray(values, float)
        share = (values - self.low) / ((self.high - self.low) or 1.0)
        return np.asarray(self.start + share * (self.end - self.start))


def _axes(
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    place_x: _scale,
    place_y: _scale,
    until: float,
    unit: str,
) -> Markup:
    base = _HEIGHT - _BOTTOM
    parts = []
    for value in y_ticks:
        y = float(place_y(np.array(value)))
        parts.append(tag("line", x1=_n(_LEFT), x2=_n(_WIDTH - _RIGHT), y1=_n(y), y2=_n(y),
                         class_="tick"))  # fmt: skip
        parts.append(tag("text", f"{value:g}", x=_n(_LEFT - 5), y=_n(y + 3.5), text_anchor="end"))
    inside = [value for value in x_ticks if value <= until * (1 + 1e-9)]
    for number, value in enumerate(inside):
        x = float(place_x(np.array(value)))
        shown = f"{value:g} {unit}" if number == len(inside) - 1 else f"{value:g}"
        anchor = "end" if x > _WIDTH - 40 else "middle"
        parts.append(tag("text", shown, x=_n(x), y=_n(base + 15), text_anchor=anchor))
    return join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Four to six round numbers that span [low, high]."""
    span = high - low
    if span <= abs(high) * 1e-9:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis, from below `low` to above `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [f * 10.0**power for power in range(first, last + 1) for f in factors]
    start = max(i for i, tick in enumerate(ticks) if tick <= low)
    end = min(i for i, tick in enumerate(ticks) if tick >= high)
    return [float(f"{tick:.6g}") for tick in ticks[start : end + 1]]


def _thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most 400 points, each the mean of as many neighbours as needed."""
    group = -(-len(x) // _POINTS)
    if group == 1:
        return x, y
    starts = np.arange(0, len(x), group)
    sizes = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / sizes, np.add.reduceat(y, starts) / sizes


def _n(value: float) -> str:
    """A coordinate with one decimal, no more than needed."""
    return f"{float(value):.1f}".removesuffix(".0")
