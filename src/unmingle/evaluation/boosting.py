"""The boosted-trees probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.evaluation.probes import whitening

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_INPUTS = 32  # of each kind: entries of the code, and principal axes
_TREES = 1500  # over all rounds; a round grows one for every value
_ROWS = 5000


def fit_boosted(
    x: Array, y: Ints, held: npt.NDArray[np.bool_], count: int, seed: int
) -> Callable[[Array], Ints]:
    """Gradient-boosted trees on codes `x` [N,d], labels `y` [N] in 0..count-1.

    To stay within seconds the trees see the 32 entries and the 32 principal axes in which the
    values differ most (by the F ratio), at most 5000 rows, and at most 100 rounds, fewer for many
    values. The number of rounds is that which is best on the rows `held`. Returns the function from
    codes to labels.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(x) > _ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(x), _ROWS, replace=False))
        x, y, held = x[rows], y[rows], held[rows]

    def learner(rounds: int) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(
            max_iter=rounds, learning_rate=0.2, max_leaf_nodes=8, max_bins=64,
            min_samples_leaf=min(5, max(1, len(x) // (4 * count))), early_stopping=False,
            random_state=seed,
        )  # fmt: skip

    rounds = int(np.clip(_TREES // (1 if count == 2 else count), 10, 100))
    if len(np.unique(y[~held])) > 1:
        prepare = _inputs(x[~held], y[~held])
        trial = learner(rounds).fit(prepare(x[~held]), y[~held])
        hits = [
            float((guess == y[held]).mean()) for guess in trial.staged_predict(prepare(x[held]))
        ]
        rounds = int(np.argmax(hits)) + 1
    prepare = _inputs(x, y)
    final = learner(rounds).fit(prepare(x), y)
    return lambda codes: np.asarray(final.predict(prepare(codes)), np.int64)


def _inputs(x: Array, y: Ints) -> Callable[[Array], Array]:
    """The entries and the principal axes that tell most, side by side."""
    turn = whitening(x)
    entries, axes = _telling(x, y), _telling(turn(x), y)
    return lambda codes: np.concatenate([codes[:, entries], turn(codes)[:, axes]], 1)


def _telling(x: Array, y: Ints) -> Ints:
    """Columns with the largest ratio of variance between values to variance within them."""
    if x.shape[1] <= _INPUTS:
        return np.arange(x.shape[1])
    counts = np.maximum(np.bincount(y), 1)[:, None]
    means = np.zeros((len(counts), x.shape[1]))
    np.add.at(means, y, x)
    means /= counts
    between = (counts * np.square(means - x.mean(0))).sum(0)
    within = np.square(x - means[y]).sum(0)
    return np.argsort(-between / (within + 1e-12), kind="stable")[:_INPUTS]
