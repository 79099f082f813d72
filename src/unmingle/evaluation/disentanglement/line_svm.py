"""Linear support vector machines on a single code, solved exactly for all values of all factors.

On one code the rows inside the margin are those below (or above) a threshold. With the code sorted
once, their sums are differences of prefix sums, so that a Newton step costs a few binary searches
and not a pass over the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmingle.evaluation.disentanglement.tables import Array, Floats, Ints

_STEPS = 200
_CELLS = 2**22  # code entries, once a factor, held at a time


def fit_lines(
    codes: Floats, labels: Sequence[Ints], counts: Sequence[int], c: float = 0.01
) -> list[list[tuple[Floats, Floats]]]:
    """Slopes and intercepts of one-against-rest classifiers of each code, for each factor.

    Each minimises (slope² + intercept²) / 2 + c · sum of weighted squared hinge losses, where a
    value's rows weigh N / (V · rows of the value) and the rest 1: scikit-learn's
    `LinearSVC(C=c, class_weight="balanced")` with its penalised intercept, at the optimum that its
    solver stops short of. A factor of two values has one classifier, of the second against the
    first, both weighted.

    Args:
        codes: [D,N].
        labels: of each factor, values 0..V-1 [N], all present.
        counts: V of each factor.

    Returns:
        For each code and factor slopes [V] and intercepts [V], or [1] and [1] for two values.
    """
    ends = np.cumsum([1 if count == 2 else count for count in counts])[:-1]
    step = max(1, _CELLS // (len(labels) * codes.shape[1]))
    found = []
    for begin in range(0, len(codes), step):
        solved = _Problems(codes[begin : begin + step], labels, counts, c).solve()
        for slope, intercept in zip(*solved, strict=True):
            found.append(list(zip(np.split(slope, ends), np.split(intercept, ends), strict=True)))
    return found


def predict_lines(code: Floats, lines: tuple[Floats, Floats]) -> Ints:
    """The value 0..V-1 that the classifiers of one factor give to each code [N]."""
    slope, intercept = lines
    scores = slope[:, None] * code + intercept[:, None]
    if len(slope) == 1:
        return np.asarray(scores[0] > 0, np.int64)
    return np.asarray(scores.argmax(0), np.int64)


class _Problems:
    """All one-against-rest problems, P of each code, one code after the other."""

    def __init__(
        self, codes: Floats, labels: Sequence[Ints], counts: Sequence[int], c: float
    ) -> None:
        width, size = codes.shape
        total = sum(counts)
        group, inside, outside = [], [], []
        first = 0
        for label, count in zip(labels, counts, strict=True):
            weight = c * size / (count * np.bincount(label, minlength=count))
            chosen = [1] if count == 2 else range(count)
            group += [first + value for value in chosen]
            inside += [weight[value] for value in chosen]
            outside += [weight[0]] if count == 2 else [c] * count
            first += count
        self.codes = np.sort(codes, axis=1)
        self.all = np.stack([_prefix(code) for code in self.codes], 1)
        keys, own = [], []
        for number, order in enumerate(np.argsort(codes, axis=1)):
            start = number * total
            for label, count in zip(labels, counts, strict=True):
                ordered = label.take(order).astype(np.min_scalar_type(count))
                place = np.argsort(ordered, kind="stable")
                keys.append((start + ordered.take(place).astype(np.int64)) * size + place)
                own.append(self.codes[number].take(place))
                start += count
        # ascending: code, value of a factor, place in the order of the code
        self.key, self.own = np.concatenate(keys), _prefix(np.concatenate(own))
        self.code = np.repeat(np.arange(width), len(group))
        self.group = (total * np.arange(width)[:, None] + group).ravel() * size
        self.ends = np.searchsorted(self.key, [self.group, self.group + size])
        self.inside, self.outside = np.tile(inside, width), np.tile(outside, width)

    def _sums(self, threshold: Floats, lower: Array) -> tuple[Floats, Floats]:
        """Sums [3,DP] of 1, x, x² over own rows and over all rows below or above a threshold."""
        asked = threshold.reshape(len(self.codes), -1)
        found = [np.searchsorted(*pair) for pair in zip(self.codes, asked, strict=True)]
        place = np.concatenate(found)
        start, end = self.ends
        middle = np.searchsorted(self.key, self.group + place)
        own = np.where(
            lower,
            self.own[:, middle] - self.own[:, start],
            self.own[:, end] - self.own[:, middle],
        )
        below, whole = self.all[:, self.code, place], self.all[:, self.code, -1]
        return own, np.where(lower, below, whole - below)

    def evaluate(self, slope: Floats, intercept: Floats) -> tuple[Floats, Floats, Floats]:
        """Objective [DP], gradient [2,DP] and the Hessian's three entries [3,DP]."""
        rising = slope >= 0
        steep = np.where(slope == 0, 1e-300, slope)
        with np.errstate(over="ignore"):
            own, _ = self._sums((1 - intercept) / steep, rising)
            mine, every = self._sums((-1 - intercept) / steep, ~rising)
        own = own * self.inside
        rest = (every - mine) * self.outside
        inner, outer = 1 - intercept, 1 + intercept
        value = (
            (slope**2 + intercept**2) / 2
            + inner**2 * own[0] - 2 * inner * slope * own[1] + slope**2 * own[2]
            + outer**2 * rest[0] + 2 * outer * slope * rest[1] + slope**2 * rest[2]
        )  # fmt: skip
        gradient = np.stack([
            slope + 2 * (slope * (own[2] + rest[2]) - inner * own[1] + outer * rest[1]),
            intercept + 2 * (slope * (own[1] + rest[1]) - inner * own[0] + outer * rest[0]),
        ])  # fmt: skip
        second = 2 * (own + rest)
        return value, gradient, np.stack([1 + second[2], second[1], 1 + second[0]])

    def solve(self) -> tuple[Floats, Floats]:
        """Newton's method from 0, steps halved until they descend; slopes and intercepts [D,P]."""
        point = np.zeros((2, len(self.group)))
        value, gradient, second = self.evaluate(*point)
        scale = np.abs(gradient).max(0) + 1e-300
        for _ in range(_STEPS):
            active = np.abs(gradient).max(0) > 1e-10 * scale
            if not active.any():
                break
            determinant = second[0] * second[2] - second[1] ** 2
            step = np.stack([
                second[1] * gradient[1] - second[2] * gradient[0],
                second[1] * gradient[0] - second[0] * gradient[1],
            ]) / determinant * active  # fmt: skip
            slope = (step * gradient).sum(0)
            length = np.ones(len(active))
            for _ in range(40):
                found = self.evaluate(*(point + length * step))
                bad = found[0] > value + 1e-4 * length * slope + 1e-12 * np.abs(value)
                if not bad.any():
                    break
                length = np.where(bad, length / 2, length)
            point = point + length * step
            value, gradient, second = found
        slopes, intercepts = point.reshape(2, len(self.codes), -1)
        return slopes, intercepts


def _prefix(code: Floats) -> Floats:
    """Sums [3,N+1] of 1, x and x² over the first rows."""
    found = np.zeros((3, len(code) + 1))
    found[0] = np.arange(len(code) + 1)
    np.cumsum(code, out=found[1, 1:])
    np.cumsum(code * code, out=found[2, 1:])
    return found
