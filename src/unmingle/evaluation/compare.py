"""Several scores side by side: one table of the same rows, and who is better beyond the spread.

Where the numbers behind the means are there (`row_values`), two models are compared row by row: the
differences are resampled, so that rows that are hard for both do not blur the comparison. A test
image takes part in many pairs; images are resampled and not pairs, and a pair counts as often as
both of its images were drawn (Owen, "The pigeonhole bootstrap", 2007). Elsewhere two numbers differ
if their 95 % intervals do not overlap, which is the stricter rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.comparison import Cell, Comparison, Row
from unmingle.evaluation.measures import Key, Measure, RowValues, measures
from unmingle.evaluation.scores import Scores

Array = npt.NDArray[Any]

_DRAWS = 1000


@dataclass(frozen=True)
class Entry:
    """One scored run. `rows` as `row_values` returns them; empty for scores read from a file."""

    name: str
    scores: Scores
    rows: Mapping[Key, RowValues] = field(default_factory=dict)


def compare(entries: Sequence[Entry], *, group: bool = False, seed: int = 0) -> Comparison:
    """Put scores of the same test rows side by side.

    Args:
        entries: two or more, with different names.
        group: runs that differ in nothing but their seed become one column.
        seed: of the resampling.

    Raises:
        ConfigError: fewer than two columns, a name twice, or scores of different test rows.
    """
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise ConfigError(f"names must differ, got {', '.join(names)}")
    notes = check_same_rows(entries)
    columns = _groups(entries) if group else {entry.name: [entry] for entry in entries}
    if len(columns) < 2:
        raise ConfigError(f"two or more are compared, and there is only {', '.join(columns)}")
    found = {entry.name: {m.key: m for m in measures(entry.scores)} for entry in entries}
    order: dict[Key, Measure] = {}
    for by_key in found.values():
        for key, measure in by_key.items():
            order.setdefault(key, measure)
    rows = [
        _row(measure, {name: _runs(key, part, found) for name, part in columns.items()}, seed)
        for key, measure in order.items()
    ]
    sections = {section: rank for rank, section in enumerate(dict.fromkeys(k[0] for k in order))}
    rows.sort(key=lambda row: sections[row.section])
    first = entries[0].scores.context
    context = {key: first.get(key) for key in ("seed", "pairs", "test", "train", "versions")}
    return Comparison({n: [e.name for e in part] for n, part in columns.items()}, rows, notes,
                      context)  # fmt: skip


def check_same_rows(entries: Sequence[Entry]) -> list[str]:
    """What else differs between scores of the same test rows, in words.

    Raises:
        ConfigError: the test rows differ.
    """
    first, notes = entries[0], []
    about = first.scores.context
    for other in entries[1:]:
        theirs = other.scores.context
        mine, its = about["test"], theirs["test"]
        if mine["fingerprint"] != its["fingerprint"]:
            raise ConfigError(
                f"{first.name} and {other.name} were scored on different test rows "
                f"({_rows(mine)} and {_rows(its)}): score both on the same ones, by giving the run "
                "folders in place of stored scores"
            )
        pair = f"{other.name} and {first.name}"
        if about["seed"] != theirs["seed"]:
            notes.append(
                f"{pair}: seeds {theirs['seed']} and {about['seed']}, so other pairs were drawn"
            )
        if about["pairs"] != theirs["pairs"]:
            notes.append(f"{pair}: up to {theirs['pairs']} and {about['pairs']} pairs")
        audits = [entry.scores.audit for entry in (other, first)]
        quick = {bool(audit.context.get("quick")) for audit in audits if audit is not None}
        if len(quick) > 1:
            notes.append(f"{pair}: one audit is the quick one, the other looked closer")
        trained = [(context["train"] or {}).get("fingerprint") for context in (theirs, about)]
        if trained[0] != trained[1]:
            notes.append(f"{pair}: probes were fitted on, and true images found in, other rows")
        for key in ("roles", "probe_factors", "probe_rows", "versions"):
            if theirs.get(key) != about.get(key):
                notes.append(
                    f"{pair}: different {key.replace('_', ' ')}: {theirs.get(key)} and "
                    f"{about.get(key)}"
                )
    return notes


def _rows(about: Mapping[str, Any]) -> str:
    return f"{about['rows']} of {about['name']}, fingerprint {str(about['fingerprint'])[:8]}…"


def _groups(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries by what they share: everything that was set but the seed."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        run = entry.scores.context.get("run") or {"name": entry.name}
        kind = [run.get(key) for key in ("method", "settings", "budget", "name")]
        data = run.get("data") or {}
        found.setdefault(json.dumps([*kind, data.get("fingerprint")], sort_keys=True), []).append(
            entry
        )
    named: dict[str, list[Entry]] = {}
    for part in found.values():
        name = part[0].name
        if len(part) > 1:
            name = _common_start([entry.name for entry in part]) or name
        named[name if name not in named else part[0].name] = part
    return named


def _common_start(names: Sequence[str]) -> str:
    """What all names begin with, without the separators at its end."""
    first, last = min(names), max(names)
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[:same].rstrip("-_./ ")


@dataclass(frozen=True)
class _Runs:
    """One measure of the runs of a column."""

    measures: list[Measure]
    rows: list[RowValues]

    def cell(self) -> Cell | None:
        if not self.measures:
            return None
        found = [measure.estimate for measure in self.measures]
        values = [e.value for e in found]
        return Cell(
            float(np.mean(values)),
            float(np.mean([e.low for e in found])),
            float(np.mean([e.high for e in found])),
            float(np.std(values, ddof=1)) if len(values) > 1 else None,
            len(values),
        )

    def compared(self) -> Array:
        """Value, low and high of each run [R,3], leaks not below chance."""
        clipped = [measure.clipped() for measure in self.measures]
        return np.array([[e.value, e.low, e.high] for e in clipped])

    def paired(self) -> bool:
        return bool(self.rows) and len(self.rows) == len(self.measures)

    def mean_row(self) -> Array:
        return np.asarray(np.mean([row.values for row in self.rows], 0))


def _runs(key: Key, part: Sequence[Entry], found: Mapping[str, Mapping[Key, Measure]]) -> _Runs:
    there = [entry for entry in part if key in found[entry.name]]
    return _Runs(
        [found[entry.name][key] for entry in there],
        [entry.rows[key] for entry in there if key in entry.rows],
    )


def _row(measure: Measure, columns: Mapping[str, _Runs], seed: int) -> Row:
    cells = {name: runs.cell() for name, runs in columns.items()}
    there = {name: runs for name, runs in columns.items() if cells[name] is not None}
    floors = {m.floor for runs in there.values() for m in runs.measures}
    floor = measure.floor if len(floors) == 1 else None
    best: tuple[str, ...] = ()
    how = ""
    values = {name: float(runs.compared()[:, 0].mean()) for name, runs in there.items()}
    if measure.better is not None and len(there) > 1 and np.isfinite([*values.values()]).all():
        choose = max if measure.better == "higher" else min
        top = choose(values, key=lambda name: values[name])
        judged = {n: _apart(there[top], there[n], seed) for n in there if n != top}
        hows = [how for _, how in judged.values()]
        how = " / ".join(dict.fromkeys(h for h in hows if h))
        if all(hows):
            best = tuple(n for n in there if n == top or not judged[n][0])
    return Row(measure.section, measure.label, measure.better, floor, measure.percent, cells,
               best, how)  # fmt: skip


def _apart(a: _Runs, b: _Runs, seed: int) -> tuple[bool, str]:
    """Whether two columns differ beyond the spread, and how that was judged; "" if it cannot be."""
    if a.paired() and b.paired() and np.array_equal(a.rows[0].units, b.rows[0].units):
        low, high = paired_interval(a.mean_row() - b.mean_row(), a.rows[0].units, seed=seed)
        apart, how = low > 0 or high < 0, "paired"
    else:
        (_, low_a, high_a), (_, low_b, high_b) = a.compared().mean(0), b.compared().mean(0)
        if not np.isfinite([low_a, high_a, low_b, high_b]).all():
            if len(a.measures) + len(b.measures) == 2:
                return False, ""
            return _seeds_apart(a.compared()[:, 0], b.compared()[:, 0]), "seeds"
        apart, how = high_a < low_b or high_b < low_a, "intervals"
    if len(a.measures) + len(b.measures) > 2:
        return apart and _seeds_apart(a.compared()[:, 0], b.compared()[:, 0]), f"{how}, seeds"
    return apart, how


def paired_interval(
    differences: Array, units: Array, *, seed: int = 0, draws: int = _DRAWS
) -> tuple[float, float]:
    """95 % interval of the mean of `differences` [P] when the rows they rest on are resampled.

    Args:
        differences: of two models on the same pairs.
        units: [P,U] the rows that each difference rests on; a row that is drawn twice counts twice,
            and a pair of rows as often as the product of both says.

    Raises:
        DataError: different lengths, or nothing to resample.
    """
    differences, units = np.asarray(differences, np.float64), np.asarray(units)
    if units.ndim != 2 or len(units) != len(differences) or not units.size:
        raise DataError(f"{len(differences)} differences but units {units.shape}; [P,U] is needed")
    names, flat = np.unique(units, return_inverse=True)
    index = flat.reshape(units.shape)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    means = []
    for _ in range(draws):
        weight = rng.multinomial(len(names), even)[index].prod(1)
        total = weight.sum()
        if total:
            means.append(float(weight @ differences) / total)
    if not means:
        raise DataError(f"{len(names)} rows are too few to resample")
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _seeds_apart(a: Array, b: Array) -> bool:
    """Student's t-test of two means at 5 %, two-sided, with one variance for both.

    One variance, because a single run has none of its own.
    """
    from scipy.stats import t

    freedom = len(a) + len(b) - 2
    squares = float(np.square(a - a.mean()).sum() + np.square(b - b.mean()).sum())
    error = math.sqrt(squares / freedom * (1 / len(a) + 1 / len(b)))
    return bool(abs(a.mean() - b.mean()) > t.ppf(0.975, freedom) * error)
