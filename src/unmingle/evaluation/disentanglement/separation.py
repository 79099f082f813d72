"""SAP: how much better the best single code predicts a factor than the second best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import DataError
from unmingle.evaluation.disentanglement.line_svm import fit_lines, predict_lines
from unmingle.evaluation.disentanglement.tables import (
    Floats,
    Train,
    read_codes,
    read_table,
    rounding,
    split_labels,
    split_rows,
)

_FAR = 1e4  # squared mean over variance, beyond which uncentred products lose too many digits


@dataclass(frozen=True)
class SAP:
    """Separated attribute predictability.

    Attributes:
        score: mean of the gaps, 0..1, 1 is best.
        gaps: of each factor, between the two codes that predict it best.
        matrix: [D][K], what each code predicts of each factor: accuracy on the rows tested on, or
            the squared correlation.
    """

    score: float
    gaps: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...]


def sap(codes: Any, factors: Any, *, train: Train = None, seed: int = 0, c: float = 0.01) -> SAP:
    """SAP of discrete factors (Kumar et al. 2018, §3; classifier as in Locatello et al. 2019).

    Every code predicts every factor by a linear support vector machine with balanced classes,
    fitted on some rows and tested on the others.

    Args:
        codes: [N,D].
        factors: integers [N,K] or {name: [N]}.
        train: rows to fit on, see `split_rows`.
        seed: of the split.
        c: weight of the losses against the penalty.

    Raises:
        DataError: unusable codes or factors, a factor with one value among the rows fitted on.
    """
    table = read_table(codes, factors)
    fit, test = split_rows(len(table.codes), train, seed)
    labels = [split_labels(table, k, fit, test) for k in range(len(table.names))]
    found = np.zeros((table.codes.shape[1], len(labels)))
    values, counts = [part.fit for part in labels], [part.count for part in labels]
    lines = fit_lines(table.codes[fit].T.copy(), values, counts, c)
    for row, code, factors_of_code in zip(found, table.codes[test].T.copy(), lines, strict=True):
        for column, (part, line) in enumerate(zip(labels, factors_of_code, strict=True)):
            row[column] = (predict_lines(code[part.known], line) == part.test).mean()
    return _gaps(found)


def sap_continuous(codes: Any, factors: Any) -> SAP:
    """SAP of factors that are amounts: squared correlation in place of accuracy.

    A constant code predicts nothing. Factors may be any numbers [N,K] or {name: [N]}.

    Raises:
        DataError: unusable codes or factors, no factor, a constant one.
    """
    found = read_codes(codes)
    if isinstance(factors, Mapping) and not factors:
        raise DataError("there are no factors")
    amounts = np.column_stack(list(factors.values())) if isinstance(factors, Mapping) else factors
    amounts = np.asarray(amounts)
    amounts = read_codes(amounts[:, None] if amounts.ndim == 1 else amounts, "factors")
    if len(amounts) != len(found):
        raise DataError(f"{len(found)} codes but {len(amounts)} rows of factors")
    both = np.concatenate([found, amounts], 1)
    mean = np.full(len(both), 1 / len(both)) @ both
    products = both.T @ both / len(both) - np.outer(mean, mean)
    if (mean**2 > _FAR * np.diag(products)).any():
        both -= mean
        products = both.T @ both / len(both)
    variance = np.diag(products)
    still = np.sqrt(variance) <= rounding(mean)
    if still[found.shape[1] :].any():
        raise DataError(f"factor {int(still[found.shape[1] :].argmax())} has one value only")
    variance = np.where(still, np.inf, variance)
    correlation = products**2 / np.outer(variance, variance)
    return _gaps(correlation[: found.shape[1], found.shape[1] :])


def _gaps(matrix: Floats) -> SAP:
    """With a single code the second best predicts nothing."""
    ranked = np.sort(np.vstack([matrix, np.zeros(matrix.shape[1])]), axis=0)
    gaps = ranked[-1] - ranked[-2]
    return SAP(float(gaps.mean()), tuple(gaps.tolist()), tuple(map(tuple, matrix.tolist())))
