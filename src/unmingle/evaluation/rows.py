"""Which rows are fitted on and which are scored, and their codes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.probes import checked, deal_folds

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FOLDS = 5


def check_draws(seed: int, pairs: int = 1) -> None:
    """Refuse, before any work, what nothing can be drawn with.

    Raises:
        ConfigError: a negative seed, or fewer than one pair.
    """
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    if pairs < 1:
        raise ConfigError(f"pairs must be at least 1, got {pairs}")


def has_factor(data: FactorDataset, name: str) -> bool:
    """Whether the data have this factor column (or can cross it from those they have)."""
    try:
        data.factor(name)
    except DataError:
        return False
    return True


@dataclass(frozen=True)
class Task:
    """Rows with their codes, and the ways in which they are parted.

    Attributes:
        codes: [N,d]; y: [N], the factor looked for.
        own: [N], the factor that the code should carry; None if there is none.
        parts: pairs (rows fitted on, rows scored); no row is scored twice.
        how: the same in words.
    """

    codes: Array
    y: Ints
    own: Ints | None
    parts: tuple[tuple[Ints, Ints], ...]
    how: str

    @property
    def scored(self) -> Ints:
        """The scored rows, in the order of the parts."""
        return np.concatenate([rows for _, rows in self.parts])

    @property
    def part(self) -> Ints:
        """Number of the part in which each of `scored` is."""
        return np.repeat(np.arange(len(self.parts)), [len(rows) for _, rows in self.parts])


class HeldOut:
    """Codes and factor columns of the rows that probes are fitted on and scored on.

    Args:
        encoded: the test rows, encoded.
        limit: training rows and test rows used, at most each; chosen by `seed`.
    """

    def __init__(
        self,
        model: Model,
        encoded: Encoded,
        test: FactorDataset,
        train: FactorDataset | None,
        limit: int,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        rows = _some(len(test), limit, rng)
        self.seed = seed
        self.test = test.select(rows)
        self.test_codes = {space: codes[rows] for space, codes in encoded.codes.items()}
        self.train: FactorDataset | None = None
        self.train_codes: dict[str, Array] = {}
        if train is not None:
            self.train = train.select(_some(len(train), limit, rng))
            self.train_codes = Encoded(model, self.train.items).codes

    def at_most(self, limit: int) -> HeldOut:
        """The same with so many test rows and training rows at most, none encoded again."""
        fewer, rng = copy.copy(self), np.random.default_rng(self.seed)
        rows = _some(len(self.test), limit, rng)
        fewer.test = self.test.select(rows)
        fewer.test_codes = {space: codes[rows] for space, codes in self.test_codes.items()}
        if self.train is not None:
            rows = _some(len(self.train), limit, rng)
            fewer.train = self.train.select(rows)
            fewer.train_codes = {space: codes[rows] for space, codes in self.train_codes.items()}
        return fewer

    def fits_train(self, factor: str) -> FactorDataset | None:
        """The training rows, if they have the factor and all its values that test rows have."""
        if self.train is None or not has_factor(self.train, factor):
            return None
        known = np.isin(self.test.factor(factor), self.train.factor(factor)).all()
        return self.train if known else None

    def task(self, space: str, factor: str, own: str | None) -> Task:
        """The rows for telling `factor` from the code `space`.

        Fitted on training rows and scored on test rows; where a test value has no training row, in
        five folds within the test rows.

        Raises:
            DataError: the factor has one value only, or one row a value.
        """
        test, codes = self.test, self.test_codes[space]
        train = self.fits_train(factor)
        if train is not None:
            both = (train, test)
            codes = np.concatenate([self.train_codes[space], codes])
            x, y = checked(codes, np.concatenate([data.factor(factor) for data in both]), "probed")
            same = own is not None and has_factor(train, own)
            owned = np.concatenate([data.factor(str(own)) for data in both]) if same else None
            rows = np.arange(len(y))
            parts = [(rows[: len(train)], rows[len(train) :])]
            how = "train rows, scored on test rows"
        else:
            x, y = checked(codes, test.factor(factor), "probed")
            owned = None if own is None else test.factor(own)
            folds = min(FOLDS, len(y))
            fold = deal_folds(y, None, folds, np.random.default_rng(self.seed))
            parts = [(np.flatnonzero(fold != n), np.flatnonzero(fold == n)) for n in range(folds)]
            how = f"{folds}-fold within the test rows"
        kept = tuple(
            (fitted, known)
            for fitted, scored in parts
            if len(known := scored[np.isin(y[scored], y[fitted])]) and np.ptp(y[fitted])
        )
        if not np.ptp(y):
            raise DataError(f"all rows have the same {factor}: a probe needs at least two values")
        if not kept:
            raise DataError(f"every value of {factor} has one row only: nothing can be predicted")
        return Task(x, y, owned, kept, how)


def _some(count: int, limit: int, rng: np.random.Generator) -> Ints:
    """At most `limit` of so many rows, ascending."""
    if count <= limit:
        return np.arange(count)
    return np.sort(rng.choice(count, limit, replace=False))


def without_own(task: Task, fitted: Ints, scored: Ints) -> tuple[Array, Array] | None:
    """Codes of the fitted and the scored rows, less the mean code of their own factor's value.

    The mean is over the fitted rows with the same value of the factor that the code should carry,
    the row itself left out. What remains is what the code holds beside that factor. None where
    there is no such factor, a scored value is not among the fitted rows, or values have one row.
    """
    if task.own is None:
        return None
    own = task.own
    values, counts = np.unique(own[fitted], return_counts=True)
    if not np.isin(own[scored], values).all() or np.median(counts) < 2 or len(values) < 2:
        return None
    sums = np.zeros((len(values), task.codes.shape[1]))
    place = np.searchsorted(values, own[fitted])
    codes = task.codes.astype(np.float64)
    np.add.at(sums, place, codes[fitted])
    beside = np.maximum(counts[place] - 1, 1)[:, None]  # a row alone keeps nothing
    others = (sums[place] - codes[fitted]) / beside
    alone = (counts[place] < 2)[:, None]
    inside = np.where(alone, 0, codes[fitted] - others)
    there = np.searchsorted(values, own[scored])
    outside = codes[scored] - sums[there] / counts[there, None]
    return inside.astype(np.float32), outside.astype(np.float32)


View = Callable[[Task, Ints, Ints], tuple[Array, Array] | None]


def as_it_is(task: Task, fitted: Ints, scored: Ints) -> tuple[Array, Array] | None:
    """Codes of the fitted and the scored rows."""
    return task.codes[fitted], task.codes[scored]
