"""Chance by exchanging the true values of held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Permuted:
    """What several predictors score by chance.

    Attributes:
        mean: [P] mean accuracy over the permutations.
        high: [P] its 95th percentile.
        p_values: [P] how often chance does as well as the predictor, each taken alone.
        p_best: the same for the best of all P (the largest excess in standard deviations of its
            own permutations; Westfall and Young 1993), so that trying many finds nothing by luck.
    """

    mean: Array
    high: Array
    p_values: Array
    p_best: float


def permutation_test(
    predicted: Array, y: Array, strata: Array | None = None, *, draws: int = 1000, seed: int = 0
) -> Permuted:
    """Accuracy of predictions once the true values are shuffled among rows of the same stratum.

    The predictors stay as they were fitted, on other rows. Where a row's prediction tells nothing
    about its value beyond its stratum, every shuffle is as likely as the truth: the p-values are
    exact, (1 + shuffles at least as good) / (1 + shuffles).

    Args:
        predicted: [P,N], one row a predictor.
        y: [N] true values.
        strata: [N]; None for one stratum.
    """
    count = len(y)
    strata = np.zeros(count) if strata is None else strata
    order = np.argsort(strata, kind="stable")
    _, rank = np.unique(strata[order], return_inverse=True)
    predicted, y = predicted[:, order], y[order]
    observed = (predicted == y).mean(1)
    rng = np.random.default_rng(seed)
    null = np.empty((draws, len(predicted)))
    for draw in range(draws):
        shuffled = y[np.argsort(rank + rng.random(count))]
        null[draw] = (predicted == shuffled).mean(1)
    mean, spread = null.mean(0), null.std(0)
    spread[spread < 1e-12] = np.inf  # nothing to shuffle
    best = ((observed - mean) / spread).max()
    small = 1e-12  # shares of N that are equal may differ by rounding
    return Permuted(
        mean,
        np.percentile(null, 95, axis=0),
        (1 + (null >= observed - small).sum(0)) / (1 + draws),
        float(1 + (((null - mean) / spread).max(1) >= best - small).sum()) / (1 + draws),
    )


def exchangeable(y: Array, strata: Array) -> float:
    """Share of rows in whose stratum another value of `y` occurs."""
    _, stratum = np.unique(strata, return_inverse=True)
    low, high = np.full(stratum.max() + 1, y.max()), np.full(stratum.max() + 1, y.min())
    np.minimum.at(low, stratum, y)
    np.maximum.at(high, stratum, y)
    return float((low < high)[stratum].mean())
