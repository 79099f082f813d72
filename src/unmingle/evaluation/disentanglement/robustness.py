"""Interventional robustness: how little a code moves while the factor it knows stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import ConfigError
from unmingle.evaluation.disentanglement.information import BINS, discretise
from unmingle.evaluation.disentanglement.tables import Floats, Ints, Table, constant, read_table


@dataclass(frozen=True)
class IRS:
    """Interventional robustness score.

    Attributes:
        score: mean over the codes that vary, weighted by their largest deviation; 0..1, 1 is best.
        per_code: NaN for a constant code.
        parents: of each code, the column of the factor that holds it best; -1 if constant.
        active: number of codes that vary.
    """

    score: float
    per_code: tuple[float, ...]
    parents: tuple[int, ...]
    active: int


def irs(codes: Any, factors: Any, *, quantile: float = 0.99, bins: int | None = BINS) -> IRS:
    """Interventional robustness score (Suter et al. 2019).

    For each code z and factor v: 1 - mean over values of v of the `quantile` of |z - mean of z
    at this value| / largest |z - mean of z|; each code counts with its best factor.

    Args:
        codes: [N,D].
        factors: integers [N,K] or {name: [N]}.
        quantile: in place of the maximum of the paper, which a single row decides.
        bins: a factor's values are cut into so many equal-width bins, as in Locatello et al. 2019
            (with up to this many consecutive values nothing changes); None keeps them apart.

    Returns:
        IRS; score 0 if no code varies. A value (or bin) with one row counts as perfectly robust:
        the score is too high where values are rare.

    Raises:
        DataError: unusable codes or factors.
        ConfigError: the quantile is not in 0..1.
    """
    if not 0 < quantile <= 1:
        raise ConfigError(f"quantile must be above 0 and at most 1, got {quantile}")
    table = read_table(codes, factors)
    varies = ~constant(table.codes)
    rows = np.ascontiguousarray(table.codes[:, varies].T)
    per_code = np.full(len(varies), np.nan)
    parents = np.full(len(varies), -1)
    if not varies.any():
        return IRS(0.0, tuple(per_code.tolist()), tuple(parents.tolist()), 0)
    largest = np.abs(rows - rows.mean(1, keepdims=True)).max(1)
    values = table.values if bins is None else _merged(table, bins)
    moved = np.stack([_deviation(rows, factor, quantile) for factor in values], 1)
    steady = 1 - moved / largest[:, None]
    per_code[varies] = steady.max(1)
    parents[varies] = steady.argmax(1)
    score = float(np.average(steady.max(1), weights=largest))
    return IRS(score, tuple(per_code.tolist()), tuple(parents.tolist()), int(varies.sum()))


def _merged(table: Table, bins: int) -> Ints:
    """Bin 0..bins-1 [K,N] of each factor's values, of equal widths."""
    return np.stack([
        discretise(distinct[:, None], bins)[0].take(values)
        for distinct, values in zip(table.distinct, table.values, strict=True)
    ])  # fmt: skip


def _deviation(rows: Floats, values: Ints, quantile: float) -> Floats:
    """Mean over the values of a factor [N] of the quantile of |code - its mean there|, [D].

    The rows of a value are brought together once, and of each code only the two order statistics
    that the quantile lies between are selected, not sorted.
    """
    order = np.argsort(values.astype(np.min_scalar_type(int(values.max()))), kind="stable")
    counts = np.bincount(values)
    counts = counts[counts > 0]
    starts = np.cumsum(counts) - counts
    moved = rows.take(order, axis=1)
    moved -= np.repeat(np.add.reduceat(moved, starts, axis=1) / counts, counts, axis=1)
    np.abs(moved, out=moved)
    total = np.zeros(len(rows))
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        place = (count - 1) * quantile
        below = int(place)
        block = np.partition(moved[:, start : start + count], below, axis=1)
        low = block[:, below]
        total += low
        if below + 1 < count:
            total += (block[:, below + 1 :].min(1) - low) * (place - below)
    return total / len(counts)
