"""Probes: how well a classifier can tell a factor from a code.

A weak probe understates leakage, so these are tuned: each is fitted with several settings, the one
that is best on a validation part is fitted again on all training rows. Codes are whitened for the
linear probe and for some settings of the MLP: an encoder may leak at an amplitude that standardised
entries hide.

Below chance is possible: where cells of a class x content grid are held out, a code of the content
tells which classes were seen with it in training, and the true one was not among them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.bootstrap import share_interval

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Kind = Literal["linear", "mlp", "knn", "boosted"]
Mask = npt.NDArray[np.bool_]
# (codes, labels 0..K-1, mask of the validation rows, K, seed) -> function from codes to labels
Fit = Callable[[Array, Ints, Mask, int, int], Callable[[Array], Ints]]

KINDS: tuple[str, ...] = get_args(Kind)
USUAL = ("linear", "mlp")  # without being asked for; the audit tries all
_PARTS = 7  # one of which is for validation
_LINEAR_C = (0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy of one probe, with chance level and 95 % interval (bootstrap over scored rows).

    `chance` is the accuracy of always answering the value most frequent among the training rows,
    or 1/K for K values, whichever is larger. `how` says on which rows it was fitted and scored.
    """

    accuracy: float
    chance: float
    low: float
    high: float
    n_train: int
    n_test: int
    kind: str = "linear"
    how: str = "train rows, scored on test rows"


def probe(
    codes_train: Array,
    y_train: Array,
    codes_test: Array,
    y_test: Array,
    kind: Kind = "linear",
    seed: int = 0,
) -> ProbeResult:
    """Fit a probe on training rows and score it on test rows.

    Args:
        codes_train, codes_test: float [N,d] and [M,d]; standardised by the training rows.
        y_train, y_test: integer values of the factor, [N] and [M].
        kind: "linear" (logistic regression), "mlp" (up to two hidden layers), "knn" (nearest
            neighbours) or "boosted" (trees).
        seed: of the validation part, the network's start and the interval.

    Raises:
        DataError: different lengths, NaN, one value only, a test value that no training row has.
        ConfigError: unknown kind.
    """
    x, y = checked(codes_train, y_train, "training")
    x_test, y_test = checked(codes_test, y_test, "test")
    if x.shape[1] != x_test.shape[1]:
        raise DataError(f"training codes have {x.shape[1]} entries, test codes {x_test.shape[1]}")
    values = _values(y)
    unseen = np.setdiff1d(y_test, values)
    if len(unseen):
        raise DataError(
            f"no training row has the value(s) {unseen[:5].tolist()} of the test rows;"
            " cross_probe can score within the test rows"
        )
    predict = fit(fitter_of(kind), x, y, values, seed)
    estimate = share_interval(predict(x_test) == y_test, seed=seed)
    chance = max(float((y_test == commonest(y)).mean()), 1 / len(values))
    return ProbeResult(
        estimate.value, chance, estimate.low, estimate.high, len(y), len(y_test), kind
    )


def cross_probe(
    codes: Array,
    y: Array,
    folds: int = 5,
    *,
    groups: Array | None = None,
    kind: Kind = "linear",
    seed: int = 0,
) -> ProbeResult:
    """As `probe`, every row scored by a probe fitted on the other folds.

    Folds hold each value in equal shares; with `groups` [N] a group is never split between
    folds. Rows whose value no other fold has (a single row, a single group) cannot be predicted
    and are not scored: `n_test` counts those that are. `n_train` is the smallest training part.

    Raises:
        DataError: different lengths, NaN, one value only, no value in two folds.
        ConfigError: fewer than 2 folds, more folds than rows or groups, unknown kind.
    """
    codes, y = checked(codes, y, "probed")
    values = _values(y)
    if groups is not None and len(groups) != len(y):
        raise DataError(f"{len(y)} values but {len(groups)} groups")
    limit = len(y) if groups is None else len(np.unique(groups))
    if not 2 <= folds <= limit:
        raise ConfigError(f"folds must be 2 to {limit} here, got {folds}")
    fold = deal_folds(y, groups, folds, np.random.default_rng(seed))
    fitter = fitter_of(kind)
    hits, guesses = np.zeros(len(y), bool), np.zeros(len(y), bool)
    scored = np.zeros(len(y), bool)
    smallest = len(y)
    for number in range(folds):
        known = np.unique(y[fold != number])
        rows = (fold == number) & np.isin(y, known)
        if not rows.any() or len(known) < 2:
            continue
        train = fold != number
        predict = fit(fitter, codes[train], y[train], known, seed + number)
        hits[rows] = predict(codes[rows]) == y[rows]
        guesses[rows] = y[rows] == commonest(y[train])
        scored |= rows
        smallest = min(smallest, int(train.sum()))
    if not scored.any():
        raise DataError("every value has one row (or group) only, so nothing can be predicted")
    estimate = share_interval(hits[scored], None if groups is None else groups[scored], seed=seed)
    return ProbeResult(
        estimate.value,
        max(float(guesses[scored].mean()), 1 / len(values)),
        estimate.low,
        estimate.high,
        smallest,
        int(scored.sum()),
        kind,
        f"{folds}-fold within the test rows",
    )


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise ConfigError unless all are kinds of probes."""
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"unknown probe {kind!r}.{nearest(kind, KINDS)}")


def checked(codes: Array, y: Array, which: str) -> tuple[Array, Ints]:
    codes, y = np.asarray(codes), np.asarray(y)
    if codes.ndim != 2 or y.ndim != 1:
        raise DataError(
            f"{which} codes must be [N,d] and values [N], got {codes.shape} and {y.shape}"
        )
    if len(codes) != len(y):
        raise DataError(f"{len(codes)} {which} codes but {len(y)} values")
    if not len(y):
        raise DataError(f"no {which} rows")
    if y.dtype.kind not in "iub":
        raise DataError(f"{which} values must be integers, got {y.dtype}")
    codes = codes.astype(np.float32)
    if not np.isfinite(codes).all():
        row = int(np.flatnonzero(~np.isfinite(codes).all(1))[0])
        raise DataError(f"{which} codes hold NaN or infinity, first in row {row}")
    return codes, y.astype(np.int64)


def _values(y: Ints) -> Ints:
    values = np.unique(y)
    if len(values) < 2:
        raise DataError(f"all rows have the value {values[0]}: a probe needs at least two")
    return values


def commonest(y: Ints) -> np.int64:
    values, counts = np.unique(y, return_counts=True)
    return np.int64(values[counts.argmax()])


def fitter_of(kind: str) -> Fit:
    """What fits probes of this kind.

    Raises:
        ConfigError: unknown kind.
    """
    check_kinds([kind])
    if kind == "linear":
        return _fit_linear
    if kind == "knn":
        from unmingle.evaluation.neighbours import fit_neighbours

        return fit_neighbours
    if kind == "boosted":
        from unmingle.evaluation.boosting import fit_boosted

        return fit_boosted
    from unmingle.evaluation.mlp import fit_mlp

    return fit_mlp


def standardised(x: Array) -> Callable[[Array], Array]:
    """Function that brings codes [N,d] to mean 0 and variance 1 over the rows of `x`; float32."""
    # float64: a large common offset must not drown a small spread
    mean, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    constant = scale <= 1e-6 * np.abs(mean) + 1e-12
    scale[constant] = np.inf

    def standard(codes: Array) -> Array:
        return np.asarray((codes - mean) / scale, np.float32)

    return standard


def validation_rows(y: Ints, seed: int) -> Mask:
    """Mask of the rows [N] kept for choosing settings: a seventh of each value."""
    part = deal_folds(y, None, min(_PARTS, len(y)), np.random.default_rng(seed))
    return np.asarray(part == 0)


def fit(fitter: Fit, x: Array, y: Ints, values: Ints, seed: int) -> Callable[[Array], Ints]:
    """Standardise by `x`, fit on 0..K-1, and predict the original `values`."""
    standard = standardised(x)
    held = validation_rows(y, seed)
    predict = fitter(standard(x), np.searchsorted(values, y), held, len(values), seed)
    return lambda codes: values[predict(standard(codes))]


def deal_folds(y: Ints, groups: Array | None, folds: int, rng: np.random.Generator) -> Ints:
    """Fold of each row. Rows of a value are dealt out in turn; groups go where most room is."""
    fold = np.zeros(len(y), np.int64)
    if groups is None:
        shuffled = rng.permutation(len(y))
        dealt = shuffled[np.argsort(y[shuffled], kind="stable")]
        fold[dealt] = np.arange(len(y)) % folds
        return fold
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(sizes))
    filled = np.zeros(folds, np.int64)
    home = np.zeros(len(sizes), np.int64)
    for number in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        home[number] = filled.argmin()
        filled[home[number]] += sizes[number]
    return home[group]


def whitening(x: Array) -> Callable[[Array], Array]:
    """Rotation of codes [N,d] to the principal axes of `x`, each scaled to variance 1 over `x`.

    What a code hides in directions of small variance is as visible then as anything else.
    """
    mean = x.mean(0, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False, bias=True))
    variance, axes = np.linalg.eigh(covariance)
    kept = variance > max(1e-6 * float(variance[-1]), 1e-12)  # the rest is rounding
    if not kept.any():
        return lambda codes: np.zeros((len(codes), 1), np.float32)
    turn = axes[:, kept] / np.sqrt(variance[kept])
    return lambda codes: np.asarray((codes - mean) @ turn, np.float32)


def _fit_linear(x: Array, y: Ints, held: Mask, count: int, seed: int) -> Callable[[Array], Ints]:
    """Logistic regression on whitened codes; its regulariser chosen on the validation part."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    def learner(c: float) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=200, tol=1e-3, warm_start=True)

    best = (-1.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if len(np.unique(y[~held])) > 1:
            prepare = whitening(x[~held])
            inside, outside = prepare(x[~held]), prepare(x[held])
            model = learner(_LINEAR_C[0])
            for c in _LINEAR_C:  # each starts where the stronger regulariser ended
                model.set_params(C=c).fit(inside, y[~held])
                best = max(best, (float((model.predict(outside) == y[held]).mean()), c))
        prepare = whitening(x)
        final = learner(best[1]).fit(prepare(x), y)
    return lambda codes: np.asarray(final.predict(prepare(codes)), np.int64)
