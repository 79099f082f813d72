"""Metrics that hold one factor still: the FactorVAE and the BetaVAE score.

The papers draw new images with one factor held. Here the rows of a table stand for them: rows that
share the factor's value are drawn with replacement, so that the other factors vary as they do in
the table. Only values with at least two rows are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import ConfigError
from unmingle.evaluation.disentanglement.logistic import fit_logistic
from unmingle.evaluation.disentanglement.tables import Floats, Ints, Table, constant, read_table

_POINTS = 1024  # compared at a time: they should stay in the cache


@dataclass(frozen=True)
class FactorVAEScore:
    """FactorVAE score.

    Attributes:
        score: accuracy on the votes tested on, 1/K..1, 1 is best; 0 if no code is active.
        train: accuracy on the votes counted.
        active: number of codes whose standard deviation reaches the threshold.
    """

    score: float
    train: float
    active: int


@dataclass(frozen=True)
class BetaVAEScore:
    """BetaVAE score.

    Attributes:
        score: accuracy on the points tested on, 1/K..1, 1 is best.
        train: accuracy on the points fitted.
    """

    score: float
    train: float


def factor_vae_score(
    codes: Any,
    factors: Any,
    *,
    seed: int = 0,
    threshold: float = 0.05,
    batch: int = 64,
    train_votes: int = 10_000,
    test_votes: int = 5_000,
) -> FactorVAEScore:
    """FactorVAE score (Kim & Mnih 2018, §4): which code varies least while a factor is held?

    Each vote holds one factor, drawn at random, at the value of a random row, draws `batch` such
    rows, and names the active code whose variance there is smallest, by its variance in all rows.
    A code stands for the factor that it was named for most often.

    Args:
        codes: [N,D].
        factors: integers [N,K] or {name: [N]}.
        seed: of the draws.
        threshold: codes with a smaller standard deviation are not active. The default suits codes
            with a prior of unit variance; 0 keeps all that vary.
        batch: rows a vote.
        train_votes, test_votes: votes counted, votes tested on.

    Raises:
        DataError: unusable codes or factors, fewer than two factors.
        ConfigError: batch below 2, no votes, a negative threshold.
    """
    if threshold < 0:
        raise ConfigError(f"threshold must be 0 or more, got {threshold}")
    table = read_table(codes, factors, least=2)
    _check_draws(batch, train_votes, test_votes)
    spread = table.codes.std(0, ddof=1)
    active = (spread >= threshold) & ~constant(table.codes)
    count = int(active.sum())
    if not count:
        return FactorVAEScore(0.0, 0.0, 0)
    scaled = (table.codes[:, active] - table.codes[:, active].mean(0)) / spread[active]
    held, _, places = _Groups(table).draw(seed, train_votes + test_votes, (1, batch))
    least = np.empty(len(held), np.int64)
    for number, counts in enumerate(table.counts):
        mine = held == number
        least[mine] = _least(scaled, table.values[number], counts, places[mine])
    named = []
    for votes in (slice(train_votes), slice(train_votes, None)):
        tally = np.bincount(held[votes] * count + least[votes], minlength=len(table.names) * count)
        named.append(tally.reshape(-1, count))
    stands_for = named[0].argmax(0)
    right = [int(votes[stands_for, np.arange(count)].sum()) for votes in named]
    return FactorVAEScore(right[1] / test_votes, right[0] / train_votes, count)


def beta_vae_score(
    codes: Any,
    factors: Any,
    *,
    seed: int = 0,
    batch: int = 64,
    train_points: int = 10_000,
    test_points: int = 5_000,
) -> BetaVAEScore:
    """BetaVAE score (Higgins et al. 2017, §3): can a linear classifier tell which factor is held?

    Each point holds one factor, drawn at random, in `batch` pairs of rows (another value in each
    pair) and is the mean of |difference of their codes|; a logistic regression (C = 1) names the
    factor.

    Args:
        codes: [N,D].
        factors: integers [N,K] or {name: [N]}.
        seed: of the draws.
        batch: pairs a point.
        train_points, test_points: points fitted, points tested on.

    Raises:
        DataError: unusable codes or factors, fewer than two factors.
        ConfigError: batch below 1, no points.
    """
    table = read_table(codes, factors, least=2)
    _check_draws(batch + 1, train_points, test_points)
    count = train_points + test_points
    held, first, second = _Groups(table).draw(seed, count, (batch, batch))
    points = _apart(table.codes, first, second)
    train, test = slice(train_points), slice(train_points, None)
    values, numbered = np.unique(held[train], return_inverse=True)
    if len(values) < 2:
        raise ConfigError(f"{train_points} points to fit held one factor only; draw more")
    model = fit_logistic(points[train], numbered, len(values))
    found = values[model.scores(points).argmax(0)] == held
    return BetaVAEScore(float(found[test].mean()), float(found[train].mean()))


def _check_draws(batch: int, train: int, test: int) -> None:
    if batch < 2:
        raise ConfigError("batch is too small: a vote needs at least 2 rows, a point 1 pair")
    if train < 1 or test < 1:
        raise ConfigError(f"at least 1 draw to fit and 1 to test, got {train} and {test}")


class _Groups:
    """Rows of a table by the value of each factor."""

    def __init__(self, table: Table) -> None:
        self.values = table.values
        self.order = np.argsort(table.values, axis=1, kind="stable")
        self.counts = table.counts
        self.starts = [np.cumsum(count) - count for count in table.counts]
        # anchors: rows whose value some other row shares
        self.shared = [
            np.flatnonzero(count[value] > 1)
            for count, value in zip(table.counts, table.values, strict=True)
        ]

    def draw(self, seed: int, count: int, sizes: tuple[int, int]) -> tuple[Ints, Ints, Ints]:
        """Factors held [count], anchor rows [count,A] and rows [count,B] that share their values.

        Each row shares the value of the anchor in its own column, or of the only one.
        """
        rng = np.random.default_rng(seed)
        held = rng.integers(0, len(self.values), count)
        anchor, place = rng.random((count, sizes[0])), rng.random((count, sizes[1]))
        anchors, places = np.empty(anchor.shape, np.int64), np.empty(place.shape, np.int64)
        for number, value in enumerate(self.values):
            mine = np.flatnonzero(held == number)
            shared = self.shared[number]
            drawn = shared.take((anchor[mine] * len(shared)).astype(np.int64))
            at = value.take(drawn)
            within = (place[mine] * self.counts[number].take(at)).astype(np.int64)
            within += self.starts[number].take(at)
            anchors[mine], places[mine] = drawn, self.order[number].take(within)
        return held, anchors, places


def _least(scaled: Floats, value: Ints, counts: Ints, rows: Ints) -> Ints:
    """Code of the smallest variance [V] over sets of rows [V,B] that share a factor's value.

    The sums of all sets are one sparse product. With each value's mean taken off first, the
    variance is a difference of sums without loss of digits.
    """
    from scipy.sparse import csr_matrix

    sets, batch = rows.shape
    means = np.stack([np.bincount(value, code, len(counts)) for code in scaled.T], 1)
    apart = scaled - (means / counts[:, None])[value]
    starts = np.arange(0, rows.size + 1, batch)
    drawn = csr_matrix((np.ones(rows.size), rows.ravel(), starts), shape=(sets, len(scaled)))
    sums, squares = np.split(drawn @ np.concatenate([apart, apart**2], 1), 2, axis=1)
    return np.asarray((squares - sums**2 / batch).argmin(1), np.int64)


def _apart(codes: Floats, first: Ints, second: Ints) -> Floats:
    """Mean |difference| [P,D] over pairs of rows, [P,B] each."""
    found = np.empty((len(first), codes.shape[1]))
    columns = np.ascontiguousarray(codes.T)
    for start in range(0, len(first), _POINTS):
        part = slice(start, start + _POINTS)
        for column, code in enumerate(columns):
            moved = code.take(first[part])
            moved -= code.take(second[part])
            found[part, column] = np.abs(moved, out=moved).mean(1)
    return found
