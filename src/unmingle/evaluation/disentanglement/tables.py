"""Codes and factors as the metrics see them: checked, numbered, split into rows to fit and to test.

A factor's values are renumbered 0..V-1 in the order of their numbers. A factor that has one value
only, or another value in every row, can tell nothing about a code and is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Train = float | Sequence[int] | Array | None

TRAIN_SHARE = 0.75


@dataclass(frozen=True)
class Table:
    """Codes and factors of the same rows.

    Attributes:
        codes: float64 [N,D], finite.
        values: int64 [K,N], each factor's values renumbered 0..V-1.
        distinct: for each factor the values as given, ascending, float64 [V].
        counts: for each factor the rows of each value, int64 [V].
        names: what the factors are called.
    """

    codes: Floats
    values: Ints
    distinct: tuple[Floats, ...]
    counts: tuple[Ints, ...]
    names: tuple[str, ...]


def read_codes(codes: Any, what: str = "codes") -> Floats:
    """Finite float64 [N,D] with N at least 2 and D at least 1.

    Raises:
        DataError: another shape, NaN or infinity.
    """
    found = np.asarray(codes)
    if found.ndim != 2 or found.dtype.kind not in "fiub":
        raise DataError(f"{what} must be numbers [N,D], got {found.dtype} {list(found.shape)}")
    if len(found) < 2 or not found.shape[1]:
        raise DataError(f"{what} need at least 2 rows and 1 column, got {list(found.shape)}")
    found = np.asarray(found, np.float64)
    if not np.isfinite(found).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise DataError(f"{what} hold NaN or infinity, first in row {row}, column {column}")
    return found


def factor_columns(
    factors: Any, names: Sequence[str] | None = None
) -> tuple[list[Array], tuple[str, ...]]:
    """Columns and names of integer factors [N], [N,K] or {name: [N]}.

    Raises:
        DataError: no integers, another shape, another number of names.
    """
    if isinstance(factors, Mapping):
        columns = [np.asarray(column) for column in factors.values()]
        found = tuple(map(str, factors)) if names is None else tuple(names)
    else:
        table = np.asarray(factors)
        if table.ndim == 1:
            table = table[:, None]
        if table.ndim != 2:
            raise DataError(f"factors must be [N,K], got {list(table.shape)}")
        columns = list(table.T)
        found = tuple(map(str, range(len(columns)))) if names is None else tuple(names)
    if not columns:
        raise DataError("there are no factors")
    if len(found) != len(columns):
        raise DataError(f"{len(found)} factor names for {len(columns)} factors")
    for name, column in zip(found, columns, strict=True):
        if column.ndim != 1:
            raise DataError(f"factor {name} must be [N], got {list(column.shape)}")
        if column.dtype.kind not in "iub":
            raise DataError(
                f"factor {name} must be whole numbers, got {column.dtype};"
                " cut an amount into buckets first"
            )
    return columns, found


def unusable(column: Array) -> str | None:
    """Why no metric can use a factor [N], or None."""
    return _why_unusable(np.unique(column, return_counts=True)[1])


def _why_unusable(counts: Ints) -> str | None:
    if len(counts) < 2:
        return "has one value only"
    if counts.max() < 2:
        return "has another value in every row; cut it into buckets"
    return None


def read_table(
    codes: Any, factors: Any, names: Sequence[str] | None = None, least: int = 1
) -> Table:
    """Check codes [N,D] and integer factors [N,K] (or {name: [N]}).

    Args:
        least: the number of factors that the metric needs.

    Raises:
        DataError: naming the row, column or factor that is wrong.
    """
    found = read_codes(codes)
    columns, called = factor_columns(factors, names)
    numbered, distinct, counts = [], [], []
    for name, column in zip(called, columns, strict=True):
        if len(column) != len(found):
            raise DataError(f"{len(found)} codes but {len(column)} values of factor {name}")
        values, number, count = _number(column)
        reason = _why_unusable(count)
        if reason:
            raise DataError(f"factor {name} {reason}")
        numbered.append(number)
        distinct.append(values)
        counts.append(count)
    if len(columns) < least:
        raise DataError(f"at least {least} factors are needed to compare, got {len(columns)}")
    return Table(found, np.stack(numbered), tuple(distinct), tuple(counts), called)


def _number(column: Array) -> tuple[Floats, Ints, Ints]:
    """Values of a factor [N], which of them each row has, and the rows of each."""
    column = column.astype(np.int64)
    lowest = int(column.min())
    if int(column.max()) - lowest > 4 * len(column):
        values, number, count = np.unique(column, return_inverse=True, return_counts=True)
        return values.astype(np.float64), number, count
    # counting is many times faster than sorting
    every = np.bincount(column - lowest)
    values = np.flatnonzero(every)
    number = (np.cumsum(every > 0) - 1).take(column - lowest)
    return (values + lowest).astype(np.float64), number, every[values]


def constant(codes: Floats) -> npt.NDArray[np.bool_]:
    """Which columns [D] of codes [N,D] do not vary, up to rounding in single precision."""
    return np.asarray(codes.std(0) <= rounding(codes.mean(0)))


def rounding(mean: Floats) -> Floats:
    """The standard deviation up to which codes of this mean are constant."""
    return np.asarray(1e-6 * np.abs(mean) + 1e-12)


def split_rows(count: int, train: Train = None, seed: int = 0) -> tuple[Ints, Ints]:
    """Rows to fit on and rows to test on, both ascending.

    Args:
        count: N.
        train: the share of rows to fit on, drawn by `seed` (None: 0.75); or a bool mask [N]; or
            row numbers. All other rows are tested on.

    Raises:
        ConfigError: a share outside 0..1, row numbers outside 0..N-1 or given twice.
        DataError: fewer than 2 rows to fit on, or none to test on.
    """
    if train is None:
        train = TRAIN_SHARE
    inside = np.zeros(count, bool)
    if isinstance(train, (int, float)):
        if not 0 < train < 1:
            raise ConfigError(f"train as a share of the rows must be between 0 and 1, got {train}")
        chosen = np.random.default_rng(seed).permutation(count)[: round(train * count)]
    else:
        chosen = np.asarray(train)
        if chosen.dtype == bool:
            if chosen.shape != (count,):
                raise ConfigError(f"the train mask must be [{count}], got {list(chosen.shape)}")
            chosen = np.flatnonzero(chosen)
        if not chosen.size:
            chosen = chosen.astype(np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ConfigError("train must be a share, a bool mask [N] or row numbers")
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= count):
            raise ConfigError(f"train rows must be 0 to {count - 1}")
        if len(np.unique(chosen)) < len(chosen):
            raise ConfigError("train names a row twice")
    inside[chosen] = True
    fit, test = np.flatnonzero(inside), np.flatnonzero(~inside)
    if len(fit) < 2 or not len(test):
        raise DataError(
            f"{len(fit)} rows to fit on and {len(test)} to test on, at least 2 and 1 are needed"
        )
    return fit, test


@dataclass(frozen=True)
class Labels:
    """One factor of the rows fitted and tested on.

    Attributes:
        fit: int64 [F], 0..V-1, every value present.
        test: int64 [T'], the values of the rows tested on that some fitted row has.
        known: bool [T], which rows tested on these are.
        count: V.
    """

    fit: Ints
    test: Ints
    known: npt.NDArray[np.bool_]
    count: int


def split_labels(table: Table, factor: int, fit: Ints, test: Ints) -> Labels:
    """Values of a factor renumbered by those that the rows `fit` have.

    Rows of a value that was never fitted cannot be predicted and are not tested on.

    Raises:
        DataError: one value only among the rows fitted on, no known value among those tested on.
    """
    column, name = table.values[factor], table.names[factor]
    fitted, tested = column[fit], column[test]
    # values are numbered already, and counting is many times faster than sorting
    present = np.bincount(fitted, minlength=len(table.counts[factor])) > 0
    count = int(present.sum())
    if count < 2:
        raise DataError(f"factor {name} has one value only among the {len(fit)} rows fitted on")
    known = present.take(tested)
    if not known.any():
        raise DataError(f"no row tested on has a value of factor {name} that was fitted on")
    number = np.cumsum(present) - 1
    return Labels(number.take(fitted), number.take(tested[known]), known, count)
