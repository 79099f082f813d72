"""Interventional robustness: how little a code moves while the factor it knows stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import ConfigError
from unmingle.evaluation.disentanglement.information import BINS, discretise
from unmingle.evaluation.disentanglement.tables import Floats, Ints, Table, read_table, rounding


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
    rows = np.ascontiguousarray(table.codes.T)
    mean = rows.mean(1)
    varies = rows.std(1) > rounding(mean)
    per_code = np.full(len(varies), np.nan)
    parents = np.full(len(varies), -1)
    if not varies.any():
        return IRS(0.0, tuple(per_code.tolist()), tuple(parents.tolist()), 0)
    if not varies.all():
        rows, mean = rows[varies], mean[varies]
    largest = np.abs(rows - mean[:, None]).max(1)
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
        values
        if len(distinct) <= bins and distinct[-1] - distinct[0] < len(distinct)
        else discretise(distinct[:, None], bins)[0].take(values)
        for distinct, values in zip(table.distinct, table.values, strict=True)
    ])  # fmt: skip


def _deviation(rows: Floats, values: Ints, quantile: float) -> Floats:
    """Mean over the values of a factor [N] of the quantile of |code - its mean there|, [D].

    The rows of a value are brought together once, and values that are about as frequent are worked
    on at once, in blocks as wide as the most frequent of them.
    """
    order = np.argsort(values.astype(np.min_scalar_type(int(values.max()))), kind="stable")
    counts = np.bincount(values)
    starts = np.cumsum(counts) - counts
    sizes = np.frexp(counts)[1]  # the same for counts between two powers of two; 0 for none
    total = np.zeros(len(rows))
    for size in np.unique(sizes[sizes > 0]):
        mine = sizes == size
        total += _quantiles(rows, order, starts[mine], counts[mine], quantile)
    return total / np.count_nonzero(counts)


def _quantiles(rows: Floats, order: Ints, starts: Ints, counts: Ints, quantile: float) -> Floats:
    """Sum over some values of a factor of the quantile of |code - its mean there|, [D].

    Args:
        rows: codes [D,N].
        order: rows [N], those of a value after each other.
        starts, counts: [V], where those of each value begin, and how many they are.
    """
    width = int(counts.max())
    place = np.arange(width)
    empty = place >= counts[:, None]
    moved = rows.take(order.take(starts[:, None] + np.where(empty, 0, place)), axis=1)
    moved[:, empty] = 0
    moved -= (moved.sum(2) / counts)[:, :, None]
    np.abs(moved, out=moved)
    moved[:, empty] = -1  # below all others
    rank = (counts - 1) * quantile
    lower = rank.astype(np.int64)
    # of each block the few largest are selected, and only these are sorted
    top = int((counts - lower).max())
    moved.partition(width - top, axis=2)
    largest = np.sort(moved[:, :, width - top :], axis=2)
    value, first = np.arange(len(counts)), top - counts + lower
    low = largest[:, value, first]
    high = largest[:, value, np.minimum(first + 1, top - 1)]
    return np.asarray((low + (high - low) * (rank - lower)).sum(1))
