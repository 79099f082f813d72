"""Explicitness: how well a linear classifier on all codes tells each value of a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import DataError
from unmingle.evaluation.disentanglement.logistic import Design, fit_logistic
from unmingle.evaluation.disentanglement.tables import (
    Floats,
    Ints,
    Train,
    constant,
    read_table,
    split_labels,
    split_rows,
)


@dataclass(frozen=True)
class Explicitness:
    """Area under the ROC curve, averaged over the values of a factor, then over factors.

    Attributes:
        score: on the rows tested on, 1 is best and 0.5 chance.
        train: on the rows fitted on.
        per_factor: on the rows tested on.
    """

    score: float
    train: float
    per_factor: tuple[float, ...]


def explicitness(
    codes: Any, factors: Any, *, train: Train = None, seed: int = 0, c: float = 1.0
) -> Explicitness:
    """Explicitness (Ridgeway & Mozer 2018; the area as it is, as in Locatello et al. 2019).

    A logistic regression on codes standardised by the rows fitted on. Values that no row tested on
    has, or all have, have no curve and are left out of the average.

    Args:
        codes: [N,D].
        factors: integers [N,K] or {name: [N]}.
        train: rows to fit on, see `split_rows`.
        seed: of the split.
        c: weight of the losses against the penalty.

    Raises:
        DataError: unusable codes or factors, a factor with one value among the rows fitted or
            tested on.
    """
    table = read_table(codes, factors)
    fit, test = split_rows(len(table.codes), train, seed)
    inside, outside = table.codes[fit], table.codes[test]
    still = constant(inside)
    mean, spread = inside.mean(0), np.where(still, np.inf, inside.std(0))
    inside, outside = (inside - mean) / spread, (outside - mean) / spread
    areas, design = [], Design(inside)
    for number, name in enumerate(table.names):
        labels = split_labels(table, number, fit, test)
        model = fit_logistic(design, labels.fit, labels.count, c)
        tested = _area(model.probabilities(outside[labels.known]), labels.test)
        if tested is None:
            raise DataError(f"the rows tested on have one value of factor {name} only")
        areas.append((tested, _area(model.probabilities(inside), labels.fit)))
    found = np.array(areas, np.float64)
    tested, fitted = found.mean(0).tolist()
    return Explicitness(tested, fitted, tuple(found[:, 0].tolist()))


def _area(scores: Floats, values: Ints) -> float | None:
    """Mean over the values 0..V-1 of the area under the curve of scores [V,N]; None without any.

    The area is the share of pairs of a row with the value and one without that are ranked right,
    ties counting half.
    """
    areas = []
    for value, score in enumerate(scores):
        mine = values == value
        others = np.sort(score[~mine])
        if mine.any() and len(others):
            own = np.sort(score[mine])
            below = upto = np.searchsorted(others, own, "left")
            if (others.take(below, mode="clip") == own).any():  # ties, which are rare
                upto = np.searchsorted(others, own, "right")
            areas.append((below + upto).mean() / (2 * len(others)))
    return float(np.mean(areas)) if areas else None
