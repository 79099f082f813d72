"""DCI: disentanglement, completeness and informativeness, from boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.disentanglement.boosting import boost
from unmingle.evaluation.disentanglement.tables import (
    Floats,
    Train,
    read_table,
    split_labels,
    split_rows,
)
from unmingle.evaluation.disentanglement.trees import Trees

Boosting = Literal["exact", "fast"]
_SMALL = 1e-11  # added to importances inside the entropies


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness, informativeness.

    Attributes:
        disentanglement: 0..1, 1 if each code matters for one factor only.
        completeness: 0..1, 1 if each factor is predicted from one code only.
        informativeness: accuracy on the rows tested on, 1 is best.
        informativeness_train: accuracy on the rows fitted on.
        importances: [D][K], of each code for each factor; columns sum to 1.
        boosting: how the trees were grown, "exact" or "fast".
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    importances: tuple[tuple[float, ...], ...]
    boosting: str


def dci(
    codes: Any,
    factors: Any,
    *,
    train: Train = None,
    seed: int = 0,
    boosting: Boosting = "exact",
    rounds: int = 100,
) -> DCI:
    """DCI (Eastwood & Williams 2018, §2; boosted trees as in Locatello et al. 2019).

    For each factor 100 rounds of trees of depth 3 predict it from all codes. A code's
    disentanglement is 1 - H_K(its importances over the factors), a factor's completeness
    1 - H_D(its importances over the codes), H_n entropy to the base n; both are averaged with the
    share of the importance as weights.

    Args:
        codes: [N,D], D at least 2.
        factors: integers [N,K] or {name: [N]}, K at least 2.
        train: rows to fit on, see `split_rows`.
        seed: of the split.
        boosting: "exact" tries every threshold; "fast" cuts each code into 64 quantile bins.
        rounds: of boosting.

    Raises:
        DataError: unusable codes or factors, too few of them, a factor with one value among the
            rows fitted on.
        ConfigError: unknown boosting, no rounds.
    """
    if boosting not in get_args(Boosting):
        raise ConfigError(f"unknown boosting {boosting!r}.{nearest(boosting, get_args(Boosting))}")
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1, got {rounds}")
    table = read_table(codes, factors, least=2)
    if table.codes.shape[1] < 2:
        raise DataError("completeness compares codes: at least 2 are needed, got 1")
    fit, test = split_rows(len(table.codes), train, seed)
    grower = Trees(table.codes[fit], table.codes[test], exact=boosting == "exact")
    importances, tested, fitted = [], [], []
    for number in range(len(table.names)):
        labels = split_labels(table, number, fit, test)
        found = boost(grower, labels.fit, labels.count, len(test), rounds)
        importances.append(found.importances)
        fitted.append((found.fitted == labels.fit).mean())
        tested.append((found.tested[labels.known] == labels.test).mean())
    matrix = np.stack(importances, 1)
    return DCI(
        disentanglement(matrix),
        disentanglement(matrix.T),
        float(np.mean(tested)),
        float(np.mean(fitted)),
        tuple(map(tuple, matrix.tolist())),
        boosting,
    )


def disentanglement(importances: Floats) -> float:
    """Weighted mean over rows of 1 - entropy of importances [D,K] to the base K, 0..1.

    Of the transpose it is the completeness. 0 if all importances are 0.
    """
    shares = importances + _SMALL
    shares = shares / shares.sum(1, keepdims=True)
    found = 1 + (shares * np.log(shares)).sum(1) / np.log(importances.shape[1])
    total = importances.sum()
    return float(np.average(found, weights=importances.sum(1) if total > 0 else None))
