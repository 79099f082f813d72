"""Any result as text and tables, for parts of the scores that no table of their own is made for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.text import interval, number
from unmingle.report.html import Child, Markup, join, paragraph, table, tag

_ESTIMATES = ({"value", "low", "high"}, {"mean", "low", "high"})


def show(value: Any, label: str) -> Markup:
    """JSON values as text and tables: intervals in one cell, records as rows."""
    if isinstance(value, Mapping):
        if _is_estimate(value):
            return paragraph(_cell(value))
        value = {key: entry for key, entry in value.items() if key != "context"}
        flat = {key: entry for key, entry in value.items() if _flat(entry)}
        parts: list[Child] = []
        if flat:
            rows = [[words(key), _cell(entry)] for key, entry in flat.items()]
            parts.append(table([], rows, label=label))
        for key, entry in value.items():
            if key not in flat and entry not in ([], {}):
                parts += [tag("h3", words(key)), show(entry, key)]
        return join(parts)
    if isinstance(value, list):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return _records(value, label)
        if any(isinstance(entry, (list, Mapping)) for entry in value):
            return join(show(entry, label) for entry in value)
        return tag("ul", *(tag("li", _cell(entry)) for entry in value))
    return paragraph(_cell(value))


def _records(records: Sequence[Mapping[str, Any]], label: str) -> Markup:
    """Records of one kind as a table; what does not fit into a cell comes below it."""
    names = list(dict.fromkeys(key for record in records for key in record))
    short = [n for n in names if all(_flat(record.get(n)) for record in records)]
    parts: list[Child] = []
    if short:
        rows = [[_cell(record.get(n)) for n in short] for record in records]
        parts.append(table([words(n) for n in short], rows, label=label))
    for record in records:
        title = " · ".join(record[n] for n in short if isinstance(record.get(n), str))
        for key in names:
            if key not in short and record.get(key) not in (None, [], {}):
                said = f"{title}: {words(key)}" if title else words(key)
                parts += [tag("h3", said), show(record[key], key)]
    return join(parts)


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) in _ESTIMATES


def _flat(value: Any) -> bool:
    """Whether it fits into one cell."""
    if isinstance(value, list):
        return len(value) <= 8 and not any(isinstance(entry, (list, Mapping)) for entry in value)
    return _is_estimate(value) or not isinstance(value, Mapping)


def _cell(value: Any) -> Child:
    if _is_estimate(value):
        middle = next(iter(set(value) - {"low", "high"}))
        named = {"value": value[middle], "low": value["low"], "high": value["high"]}
        numbers = {k: math.nan if v is None else float(v) for k, v in named.items()}
        return (
            number(numbers["value"])
            if math.isnan(numbers["low"])
            else (interval(Estimate(**numbers)))
        )
    if isinstance(value, bool) or value is None:
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(str(_cell(entry)) for entry in value)
    return tag("span", value, class_="words") if len(str(value)) > 60 else str(value)


def words(name: str) -> str:
    return name.replace("_", " ")


def plain_number(value: float) -> str:
    """A number without needless decimals; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 2 else number(value)
