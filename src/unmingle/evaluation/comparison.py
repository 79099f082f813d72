"""The table that `compare` makes: as text, Markdown and JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.measures import Better
from unmingle.evaluation.output import write_file
from unmingle.evaluation.plain import to_plain
from unmingle.evaluation.text import aligned, interval, number, share

_FORMAT = "unmingle-comparison-1"
LEGEND = (
    "paired: the difference was resampled over the same rows, 95 % interval without 0; "
    "intervals: the 95 % intervals do not overlap; seeds: the means over seeds differ by a "
    "two-sided t-test at 5 %. A leak below chance counts as chance."
)


@dataclass(frozen=True)
class Cell:
    """A column's number in a row: of one run with its interval, or the mean over `runs` runs.

    `spread` is the standard deviation between runs (n - 1), None for a single one; then low and
    high are the means of the runs' bounds.
    """

    value: float
    low: float
    high: float
    spread: float | None
    runs: int


@dataclass(frozen=True)
class Row:
    """One number of all columns.

    `best` holds the columns that no other is better than beyond the spread: one is a winner, all
    means that nothing can be said; empty where no direction is good. `how` names the test.
    """

    section: str
    label: str
    better: Better | None
    floor: float | None
    percent: bool
    cells: dict[str, Cell | None]
    best: tuple[str, ...]
    how: str

    def verdict(self) -> str:
        """Who is better, in words."""
        there = [name for name, cell in self.cells.items() if cell is not None]
        if self.better is None or len(there) < 2:
            return ""
        if not self.best:
            return "no interval"
        if len(self.best) == len(there):
            return "not told apart"
        return " or ".join(self.best)


@dataclass(frozen=True)
class Comparison:
    """One table of several scores; `columns` gives the runs behind each column."""

    columns: dict[str, list[str]]
    rows: list[Row]
    notes: list[str]
    context: dict[str, Any]

    def cells(self) -> Iterator[tuple[str, list[list[str]]]]:
        """For each section its title, and its lines of texts with a head."""
        for section in dict.fromkeys(row.section for row in self.rows):
            rows = [row for row in self.rows if row.section == section]
            floored = any(row.floor is not None for row in rows)
            floor = ["floor"] if floored else []
            lines = [["", *floor, *map(self._head, self.columns), "better", "by"]]
            for row in rows:
                shown = [_cell(row, row.cells[name]) for name in self.columns]
                lines.append(
                    [row.label, *([_floor(row)] if floored else []), *shown, row.verdict(), row.how]
                )
            yield section, lines

    def _head(self, name: str) -> str:
        runs = len(self.columns[name])
        return name if runs == 1 else f"{name} ({runs} seeds)"

    def about(self) -> str:
        """A line on the rows that were scored."""
        test = self.context["test"]
        return (
            f"{test['rows']} test rows of {test['name']}, seed {self.context['seed']}; brackets: "
            "95 % intervals over rows; ±: standard deviation between seeds; floor: what copying, "
            "guessing or another set of real images scores"
        )

    def table(self) -> str:
        """Aligned plain text."""
        lines = [self.about()]
        for section, cells in self.cells():
            lines += ["", section, *aligned(cells)]
        return "\n".join([*lines, "", LEGEND, *self.notes])

    def markdown(self) -> str:
        """The same as Markdown."""
        lines = [self.about()]
        for section, cells in self.cells():
            lines += ["", f"**{_escaped(section)}**", ""]
            head, *rest = [[_escaped(cell) for cell in line] for line in cells]
            lines += [_piped(head), "|" + "---|" * len(head), *map(_piped, rest)]
        lines += ["", LEGEND, *(f"\n- {_escaped(note)}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for a number that is not finite."""
        return {"format": _FORMAT, **to_plain(self)}

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write JSON.

        Raises:
            RunError: the file exists and `overwrite` is not set.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        return write_file(path, text.encode(), overwrite=overwrite)


def _cell(row: Row, cell: Cell | None) -> str:
    if cell is None:
        return "–"
    estimate = Estimate(cell.value, cell.low, cell.high)
    if cell.spread is not None:
        if row.percent:
            return f"{cell.value:.1%} ± {cell.spread:.1%}"
        return f"{number(cell.value)} ± {number(cell.spread)}"
    if math.isnan(cell.low):
        return number(cell.value)
    return share(estimate).strip() if row.percent else interval(estimate)


def _floor(row: Row) -> str:
    if row.floor is None:
        return ""
    return f"{row.floor:.1%}" if row.percent else number(row.floor)


def _escaped(text: str) -> str:
    """For a cell of a Markdown table."""
    for sign in "\\|*_`<[":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
