"""Confidence intervals by resampling rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LEVEL = 0.95
_Z = 1.959963984540054  # two-sided 95 % of the normal distribution
_CELLS = 10_000_000  # resampled indices held at a time


@dataclass(frozen=True)
class Estimate:
    """A mean (or ratio) with its 95 % interval [low, high]."""

    value: float
    low: float
    high: float


def resampled_means(values: Array, *, seed: int = 0, draws: int = 1000) -> Array:
    """Column means of `draws` resamples of the rows of `values` [N] or [N,K]: [draws] or [draws,K].

    All columns share the resampled rows, so that ratios and differences of columns are paired.
    """
    rng = np.random.default_rng(seed)
    count = len(values)
    means = np.empty((draws, *values.shape[1:]))
    step = max(1, _CELLS // max(1, count * math.prod(values.shape[1:])))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        means[start : start + size] = values[rng.integers(0, count, (size, count))].mean(1)
    return means


def _percentiles(draws: Array) -> tuple[float, float]:
    tail = 50 * (1 - _LEVEL)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def mean_interval(values: Array, *, seed: int = 0) -> Estimate:
    """Mean of `values` [N] with its percentile bootstrap interval."""
    return Estimate(float(values.mean()), *_percentiles(resampled_means(values, seed=seed)))


def ratio_interval(above: Array, below: Array, *, seed: int = 0) -> Estimate:
    """mean(above) / mean(below), rows resampled together; infinite where `below` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        means = resampled_means(np.stack([above, below], 1), seed=seed)
        value = np.float64(above.mean()) / np.float64(below.mean())
        ratios = means[:, 0] / means[:, 1]
    if not np.isfinite(ratios).all():
        return Estimate(float(value), math.nan, math.nan)
    return Estimate(float(value), *_percentiles(ratios))


def share_interval(hits: Array, groups: Array | None = None, *, seed: int = 0) -> Estimate:
    """Share of true entries in `hits` bool [N], with its bootstrap interval.

    With `groups` [N] whole groups are resampled. When all rows agree the bootstrap has no width;
    then the far end is that of Wilson's interval.
    """
    count, hit = len(hits), int(hits.sum())
    share = hit / count
    if hit in (0, count):
        reach = _Z**2 / (count + _Z**2)
        return Estimate(share, 1 - reach, 1.0) if hit else Estimate(share, 0.0, reach)
    if groups is None:  # the resampled number of hits is binomial, exactly
        draws = np.random.default_rng(seed).binomial(count, share, 10_000) / count
        return Estimate(share, *_percentiles(draws))
    _, group = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(group, hits), np.bincount(group)], 1)
    means = resampled_means(sums, seed=seed)
    return Estimate(share, *_percentiles(means[:, 0] / means[:, 1]))
