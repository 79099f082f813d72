"""Gradient boosting of classification trees (Friedman 2001), and how much each code was used.

The definition is scikit-learn's `GradientBoostingClassifier` with its defaults: 100 rounds of one
regression tree of depth 3 a value, splits by squared error, Newton steps in the leaves, step 0.1.
`trees` grows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from unmingle.evaluation.disentanglement.tables import Array, Floats, Ints

DEPTH = 3
LEAVES = 2**DEPTH


@dataclass(frozen=True)
class Boosted:
    """Boosting of one factor.

    Attributes:
        importances: what each code took off the squared error, [D], summing to 1 (or all 0).
        fitted: most probable value of the rows fitted on.
        tested: most probable value of the rows tested on.
    """

    importances: Floats
    fitted: Ints
    tested: Ints


class Grower(Protocol):
    """What grows trees on given rows."""

    def grow(self, residuals: Floats) -> tuple[Array, Array, Floats]:
        """One tree for each row of residuals [C,N].

        Returns:
            Leaf 0..LEAVES-1 of the rows fitted on [C,N] and tested on [C,T], and what each code
            takes off the squared error, summed over the trees, [D].
        """
        ...


def boost(
    grower: Grower, labels: Ints, count: int, tested: int, rounds: int = 100, rate: float = 0.1
) -> Boosted:
    """Boost the trees of `grower`.

    Args:
        labels: values 0..count-1 of the rows fitted on, each present.
        tested: number of the rows tested on.
    """
    if count == 2:
        truth = labels[None].astype(np.float64)
        prior = truth.mean(1, keepdims=True)
        start = np.log(prior / (1 - prior))
    else:
        truth = (np.arange(count)[:, None] == labels).astype(np.float64)
        start = np.log(truth.mean(1, keepdims=True))
    share = 1.0 if count == 2 else (count - 1) / count
    inside, outside = np.tile(start, len(labels)), np.tile(start, tested)
    used = None
    for _ in range(rounds):
        chances = _probabilities(inside)
        residuals = truth - chances
        inner, outer, gained = grower.grow(residuals)
        used = gained if used is None else used + gained
        chances *= 1 - chances
        for k, leaf in enumerate(inner):
            # Newton's step in each leaf (Friedman 2001, Algorithms 5 and 6)
            above = np.bincount(leaf, residuals[k], LEAVES) * share
            below = np.bincount(leaf, chances[k], LEAVES)
            steps = np.divide(rate * above, below, out=np.zeros(LEAVES), where=below > 1e-150)
            inside[k] += steps.take(leaf)
            outside[k] += steps.take(outer[k])
    assert used is not None
    if used.sum() > 0:
        used = used / used.sum()
    return Boosted(used, _decide(inside), _decide(outside))


def _probabilities(scores: Floats) -> Floats:
    if len(scores) == 1:
        return np.asarray(1 / (1 + np.exp(-scores)))
    found = np.exp(scores - scores.max(0))
    return np.asarray(found / found.sum(0))


def _decide(scores: Floats) -> Ints:
    if len(scores) == 1:
        return np.asarray(scores[0] > 0, np.int64)
    return np.asarray(scores.argmax(0), np.int64)
