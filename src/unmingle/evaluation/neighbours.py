"""The nearest-neighbour probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.evaluation.probes import whitening
from unmingle.evaluation.retrieval import nearest

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_NEIGHBOURS = (1, 3, 5, 10, 20, 50)


def fit_neighbours(
    x: Array, y: Ints, held: npt.NDArray[np.bool_], count: int, seed: int
) -> Callable[[Array], Ints]:
    """Majority of the k nearest rows of standardised codes `x` [N,d], labels `y` in 0..count-1.

    k, and whether codes are whitened first, are those that are best on the rows `held`. Returns the
    function from codes to labels.
    """
    best = (-1.0, 1, False)
    for whiten in (False, True):
        prepare = whitening(x[~held]) if whiten else np.asarray
        labels = _neighbours(prepare(x[~held]), y[~held], prepare(x[held]))
        for k in _NEIGHBOURS:
            if k <= labels.shape[1]:
                accuracy = float((_majority(labels[:, :k], count) == y[held]).mean())
                if accuracy > best[0]:
                    best = (accuracy, k, whiten)
    _, k, whiten = best
    prepare = whitening(x) if whiten else np.asarray
    base = prepare(x)
    return lambda codes: _majority(_neighbours(base, y, prepare(codes))[:, :k], count)


def _neighbours(base: Array, y: Ints, codes: Array) -> Ints:
    """Labels of the nearest rows, the nearest first."""
    rows, _ = nearest(codes, base, min(_NEIGHBOURS[-1], len(base)), "euclidean")
    return np.asarray(y[rows])


def _majority(labels: Ints, count: int) -> Ints:
    """The commonest label of each row; of equally common ones that of the nearest."""
    votes = np.zeros((len(labels), count))
    k = labels.shape[1]
    for place in range(k):  # a thousandth of a vote at most for being near
        weight = 1 + (k - place) / (1000 * k * k)
        votes[np.arange(len(labels)), labels[:, place]] += weight
    return np.asarray(votes.argmax(1))
