"""Multinomial logistic regression at its optimum, in fewer passes over the rows than usual.

Codes have few columns, so a Hessian is small. It starts at linear discriminant analysis, where
a Newton step on some of the rows comes close. From there quasi-Newton steps on all rows, guided
by the Hessian of the few, reach the optimum of the whole sample, whichever rows the Hessian came
from: first in single precision, to the end in double.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unmingle.evaluation.disentanglement.tables import Array, Floats, Ints

_TOLERANCE = 1e-6  # largest entry of the mean loss's gradient
_STEPS = 1000
_NEWTON_ROWS = 1000
_LARGEST_HESSIAN = 1500  # weights; beyond, all values share one of their own
_MEMORY = 20


@dataclass(frozen=True)
class Logistic:
    """A fitted classifier: weights [K,D+1], the last column is the intercept."""

    weights: Floats

    def scores(self, x: Floats) -> Floats:
        """Log probabilities [K,N] of rows [N,D], each row's up to a constant."""
        return np.asarray(self.weights[:, :-1] @ x.T + self.weights[:, -1:])

    def probabilities(self, x: Floats) -> Floats:
        """Probability [K,N] of each value."""
        scores = self.scores(x)
        _softmax(scores)
        return scores


class Design:
    """Rows [N,D] as the objectives see them, made once for all factors that are told from them.

    Attributes:
        products: sums of products [D,D] of the columns.
        double, single: [D+1,N] in both precisions, the last row of ones.
    """

    def __init__(self, rows: Floats) -> None:
        self.products: Floats = rows.T @ rows
        self.double: Floats = np.vstack([rows.T, np.ones(len(rows))])
        self.single: Array = self.double.astype(np.float32)


def fit_logistic(x: Floats | Design, y: Ints, count: int, c: float = 1.0) -> Logistic:
    """Minimise c · (sum of log losses) + |weights|² / 2, intercepts not penalised.

    With two values the penalty is that of the one difference of their weights. These are
    scikit-learn's objectives.

    Args:
        x: [N,D], finite; or what was made of it.
        y: values 0..count-1, each present, [N].
    """
    design = x if isinstance(x, Design) else Design(x)
    penalty = (2 if count == 2 else 1) / c
    # Every k-th of them holds all values in their shares; small numbers are sorted by counting.
    order = np.argsort(y.astype(np.min_scalar_type(count)), kind="stable")
    weights = _start(design, y, order, count, penalty)
    if weights.size <= _LARGEST_HESSIAN:
        step = -(-len(y) // max(_NEWTON_ROWS, 4 * weights.size))
        rows = order[::step]
        few = design.double.take(rows, axis=1)
        part = _Objective(few, y[rows], count, penalty, len(y) / len(rows))
        weights, inverse = _newton(part, weights)
    else:
        inverse = _shared_inverse(_Objective(design.double, y, count, penalty))
    for columns, tolerance in ((design.single, 2e-5), (design.double, _TOLERANCE)):
        whole = _Objective(columns, y, count, penalty)
        weights = _quasi_newton(whole, weights, inverse, tolerance)
    return Logistic(weights)


def _start(design: Design, y: Ints, order: Ints, count: int, penalty: float) -> Floats:
    """The best of linear discriminant analysis and shorter weights: it knows no penalty."""
    found = _discriminant(design, y, count)
    rows = order[:: -(-len(y) // _NEWTON_ROWS)]
    few = design.double.take(rows, axis=1)
    some = _Objective(few, y[rows], count, penalty * len(rows) / len(y))
    return min((share * found for share in (1, 0.3, 0.1, 0)), key=lambda weights: some(weights)[0])


def _discriminant(design: Design, y: Ints, count: int) -> Floats:
    """Weights [K,D+1] that were right if the rows of each value were normal, equally spread."""
    sizes = np.bincount(y, minlength=count)
    columns = design.double[:-1]
    means = np.stack([np.bincount(y, column, count) for column in columns], 1) / sizes[:, None]
    inside = (design.products - (means.T * sizes) @ means) / len(y)
    inside[np.diag_indices_from(inside)] += 1e-3 * np.trace(inside) / len(inside) + 1e-12
    slopes = np.linalg.solve(inside, means.T).T
    slopes -= slopes.mean(0)
    start = np.log(sizes / len(y)) - (slopes * (means + means.mean(0))).sum(1) / 2
    return np.column_stack([slopes, start])


def _softmax(scores: Floats) -> Floats:
    """Turn scores [K,N] into probabilities, in place; the logarithm of their denominator [N]."""
    most = scores.max(0)
    scores -= most
    np.exp(scores, out=scores)
    total = scores.sum(0)
    scores /= total
    return np.asarray(most + np.log(total))


class _Objective:
    """Penalised log loss of some rows, [D+1,N] of a design, each counting `scale` times."""

    def __init__(self, x: Array, y: Ints, count: int, penalty: float, scale: float = 1.0) -> None:
        self.x = x
        # relative error of the value; smaller changes are rounding
        self.rounding = 1e-11 if x.dtype == np.float64 else 1e-6
        truth = (np.arange(count)[:, None] == y).astype(x.dtype)
        self.right = (truth @ self.x.T).astype(np.float64)  # sums of the rows of each value
        self.count, self.scale, self.weight = count, scale, scale * x.shape[1]
        self.penalty = np.full(len(self.x), penalty)
        self.penalty[-1] = 0

    def __call__(self, weights: Floats) -> tuple[float, Floats]:
        """Value and gradient [K,D+1]."""
        found = weights.astype(self.x.dtype) @ self.x
        loss = float(_softmax(found).sum(dtype=np.float64)) - float((weights * self.right).sum())
        shrunk = self.penalty * weights
        value = self.scale * loss + 0.5 * float((shrunk * weights).sum())
        return value, self.scale * (found @ self.x.T - self.right) + shrunk

    def hessian(self, weights: Floats) -> Floats:
        """Second derivatives [K(D+1), K(D+1)].

        A common shift of the intercepts changes nothing; one is added along it so that the matrix
        can be inverted, which leaves Newton's steps as they are.
        """
        width = len(self.x)
        found = weights @ self.x
        _softmax(found)
        spread = (found[:, None] * self.x).reshape(-1, found.shape[1])
        second = -(spread @ spread.T)
        blocks = second.reshape(self.count, width, self.count, width)
        own = (spread @ self.x.T).reshape(self.count, width, width)
        for value in range(self.count):
            blocks[value, :, value] += own[value]
        second *= self.scale
        # what is certain has no curvature; a little keeps the matrix invertible
        ridge = np.tile(self.penalty, self.count) + 1e-7 * self.weight
        second[np.diag_indices_from(second)] += ridge
        blocks[:, -1, :, -1] += self.weight / self.count
        return second


def _newton(target: _Objective, weights: Floats) -> tuple[Floats, Floats]:
    """One of Newton's steps, and the inverse of the Hessian it was made with."""
    value, gradient = target(weights)
    inverse = np.asarray(np.linalg.inv(target.hessian(weights)), np.float64)
    step = -(inverse @ gradient.ravel()).reshape(weights.shape)
    found = _descend(target, weights, value, gradient, step)
    return (weights if found is None else found[0]), inverse


def _shared_inverse(target: _Objective) -> Floats:
    """Inverse [D+1,D+1] of one value's block of the Hessian where all are equally probable."""
    share = (1 - 1 / target.count) / target.count
    second = target.scale * share * (target.x @ target.x.T)
    second[np.diag_indices_from(second)] += target.penalty + 1e-9 * np.trace(second) / len(second)
    return np.asarray(np.linalg.inv(second))


def _quasi_newton(target: _Objective, weights: Floats, inverse: Floats, tolerance: float) -> Floats:
    """Minimise by limited-memory BFGS (Nocedal & Wright, Algorithm 7.4).

    `inverse` is the inverse Hessian it starts from, of all weights or of each value's alike.
    """
    value, gradient = target(weights)
    past: list[tuple[Floats, Floats, float]] = []
    for _ in range(_STEPS):
        if np.abs(gradient).max() <= tolerance * target.weight:
            break
        step = gradient.ravel().copy()
        shares = []
        for moved, bent, product in reversed(past):
            shares.append((moved @ step) / product)
            step -= shares[-1] * bent
        step = (step.reshape(-1, len(inverse)) @ inverse).ravel()
        for (moved, bent, product), share in zip(past, reversed(shares), strict=True):
            step += (share - (bent @ step) / product) * moved
        found = _descend(target, weights, value, gradient, -step.reshape(weights.shape))
        if found is None:
            break
        moved, bent = (found[0] - weights).ravel(), (found[2] - gradient).ravel()
        if moved @ bent > 0:
            past = [*past[1 - _MEMORY :], (moved, bent, float(moved @ bent))]
        weights, value, gradient = found
    return weights


def _descend(
    target: _Objective, weights: Floats, value: float, gradient: Floats, step: Floats
) -> tuple[Floats, float, Floats] | None:
    """Weights, value and gradient after a step, halved until it descends; None if it cannot."""
    slope = float((step * gradient).sum())
    for _ in range(30):
        after = weights + step
        found, steeper = target(after)
        # near the optimum the value's rounding is larger than what is left to gain
        rounding = target.rounding * abs(value)
        flat = abs(slope) <= rounding and found <= value + rounding
        if found <= value + 1e-4 * slope or flat:
            return after, found, steeper
        step, slope = step / 2, slope / 2
    return None
