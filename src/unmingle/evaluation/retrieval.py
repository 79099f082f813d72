"""Nearest neighbours among codes, and how often they share a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.errors import nearest as nearest_name
from unmingle.evaluation.bootstrap import mean_interval
from unmingle.evaluation.record import codes_context

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Metric = Literal["cosine", "euclidean"]

_CELLS = 1 << 24  # similarities held at a time


@dataclass(frozen=True)
class Precision:
    """Share of a row's k nearest other rows with the same value, averaged over rows.

    `chance` is the same for k other rows drawn at random; [low, high] a 95 % bootstrap interval;
    `context` holds seed, settings, number and fingerprint of the codes, versions.
    """

    precision: float
    chance: float
    low: float
    high: float
    k: int
    context: dict[str, Any] = field(default_factory=dict)


def nearest(
    codes_query: Array, codes_base: Array, k: int, metric: Metric = "cosine"
) -> tuple[Ints, npt.NDArray[np.float32]]:
    """The k rows of `codes_base` [N,d] nearest to each row of `codes_query` [Q,d].

    Args:
        metric: "cosine" (1 - cosine of the angle, 0..2; 1 for a zero vector) or "euclidean".

    Returns:
        Rows int64 [Q,k] and distances float32 [Q,k], the nearest first, equal ones in row order.

    Raises:
        DataError: codes of different length, or NaN.
        ConfigError: k below 1 or above N, unknown metric.
    """
    return _nearest(codes_query, codes_base, k, metric, skip_self=False)


def retrieval_precision(
    codes: Array,
    factors: Mapping[str, Array],
    k: int = 1,
    metric: Metric = "cosine",
    *,
    seed: int = 0,
) -> dict[str, Precision]:
    """For each factor [N], how often the k nearest other rows of `codes` [N,d] share its value.

    Raises:
        DataError: lengths differ, or NaN.
        ConfigError: k below 1 or above N - 1, unknown metric.
    """
    for name, values in factors.items():
        if len(values) != len(codes):
            raise DataError(f"{len(codes)} codes but {len(values)} values of {name}")
    rows, _ = _nearest(codes, codes, k, metric, skip_self=True)
    record = codes_context(codes, seed, k=k, metric=metric, factors=list(factors))
    found = {}
    for name, values in factors.items():
        values = np.asarray(values)
        share = (values[rows] == values[:, None]).mean(1)
        counts = np.unique(values, return_counts=True)[1]
        chance = float((counts * (counts - 1)).sum() / (len(values) * (len(values) - 1)))
        estimate = mean_interval(share, seed=seed)
        found[name] = Precision(estimate.value, chance, estimate.low, estimate.high, k, record)
    return found


def _checked(codes: Array, which: str) -> npt.NDArray[np.float32]:
    codes = np.asarray(codes, np.float32)
    if codes.ndim != 2 or not len(codes):
        raise DataError(f"{which} codes must be [N,d] with N at least 1, got {codes.shape}")
    if not np.isfinite(codes).all():
        raise DataError(f"{which} codes hold NaN or infinity")
    return codes


def _nearest(
    codes_query: Array, codes_base: Array, k: int, metric: str, skip_self: bool
) -> tuple[Ints, npt.NDArray[np.float32]]:
    query: Array = _checked(codes_query, "query")
    base: Array = _checked(codes_base, "base")
    if query.shape[1] != base.shape[1]:
        raise DataError(f"query codes have {query.shape[1]} entries, base codes {base.shape[1]}")
    if metric not in ("cosine", "euclidean"):
        hint = nearest_name(metric, ("cosine", "euclidean"))
        raise ConfigError(f"unknown metric {metric!r}.{hint}")
    most = len(base) - skip_self
    if not 1 <= k <= most:
        raise ConfigError(f"k must be 1 to {most}, the rows there are, got {k}")
    if metric == "cosine":
        query, base = (x / np.maximum(_norms(x), 1e-30)[:, None] for x in (query, base))
    else:  # distances do not change, and the products below lose fewer digits
        centre = base.mean(0)
        query, base = query - centre, base - centre
    offset = np.square(base).sum(1) / 2 if metric == "euclidean" else np.float32(0)
    rows = np.empty((len(query), k), np.int64)
    distances = np.empty((len(query), k), np.float32)
    step = max(1, _CELLS // len(base))
    for start in range(0, len(query), step):
        block = query[start : start + step]
        # smaller is nearer: -cosine, or (|q - b|² - |q|²) / 2
        cost = offset - block @ base.T
        if skip_self:
            cost[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        picked = _smallest(cost, k)
        rows[start : start + step] = picked
        distances[start : start + step] = _distances(block, base[picked], metric)
    return rows, distances


def _norms(x: Array) -> Array:
    return np.asarray(np.linalg.norm(x, axis=1))


def _smallest(cost: Array, k: int) -> Ints:
    """Columns of the k smallest entries of each row, ascending, equal ones by column."""
    last = np.partition(cost, k - 1, axis=1)[:, k - 1 : k]
    # entries below the k-th, then those equal to it from the left until there are k
    below, equal = cost < last, cost == last
    room = k - below.sum(1, keepdims=True)
    chosen = below | (equal & (np.cumsum(equal, 1) <= room))
    columns = np.nonzero(chosen)[1].reshape(len(cost), k)
    order = np.argsort(np.take_along_axis(cost, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def _distances(query: Array, found: Array, metric: str) -> Array:
    """Exact distances [Q,k] from query [Q,d] to the rows found [Q,k,d]."""
    if metric == "euclidean":
        return np.asarray(np.linalg.norm(found - query[:, None], axis=2))
    return np.asarray(1 - np.einsum("qd,qkd->qk", query, found).clip(-1, 1))
