"""Continuous columns cut into values, for methods that are told classes (DisUnknown, 1.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.errors import ConfigError, DataError, nearest

Kind = Literal["equal", "quantile", "circular"]
TURN = 360.0


@dataclass(frozen=True)
class Buckets:
    """How a column is cut.

    Attributes:
        edges: rising, float64 [K+1]: bucket k holds edges[k] <= value < edges[k+1]; values outside
            belong to the first or the last one. Of a circle they span one turn.
        period: length of a turn, of a circle; None otherwise.
    """

    edges: NDArray[np.float64]
    period: float | None = None

    @property
    def count(self) -> int:
        """K."""
        return len(self.edges) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each bucket: "0.25 to 0.5"; of a circle its middle."""
        if self.period is None:
            return tuple(
                f"{a:.4g} to {b:.4g}" for a, b in zip(self.edges, self.edges[1:], strict=False)
            )
        return tuple(f"{middle:.4g}" for middle in (self.edges[1:] + self.edges[:-1]) / 2)

    def codes(self, values: Any) -> NDArray[np.int64]:
        """Bucket 0..K-1 of each value [N]."""
        numbers = np.asarray(values, np.float64)
        if self.period is not None:
            numbers = self.edges[0] + np.mod(numbers - self.edges[0], self.period)
        found = np.searchsorted(self.edges[1:-1], numbers, side="right")
        return np.asarray(found, np.int64)


def make_buckets(
    values: Any, count: int, kind: Kind = "equal", period: float = TURN, what: str = "values"
) -> Buckets:
    """Cut the range of some values.

    Args:
        values: finite numbers [N].
        count: K, 2 or more; with "quantile" ties can leave fewer.
        kind: "equal": K equal widths from the smallest to the largest value; "quantile": about as
            many values in each; "circular": K equal parts of a turn, the first around 0, so that
            values on both sides of a full turn share it.
        period: length of the turn.
        what: what to call the values in messages.

    Raises:
        ConfigError: a count, kind or period that cannot be.
        DataError: values that are all the same, or with so many ties that quantiles leave a single
            bucket.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"buckets are {', '.join(get_args(Kind))}, not {kind!r}")
    if count < 2:
        raise ConfigError(f"{what}: at least 2 buckets are needed, not {count}")
    if not 0 < period < float("inf"):
        raise ConfigError(f"{what}: the period of a circle must be positive, not {period}")
    numbers = np.asarray(values, np.float64)
    if kind == "circular":
        turn: NDArray[np.float64] = (np.arange(count + 1, dtype=np.float64) - 0.5) / count * period
        return Buckets(turn, period)
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        raise DataError(f"{what}: all values are {low:g}, there is nothing to cut")
    if kind == "equal":
        return Buckets(np.linspace(low, high, count + 1, dtype=np.float64))
    edges: NDArray[np.float64] = np.unique(
        np.quantile(numbers, np.linspace(0, 1, count + 1)).astype(np.float64)
    )
    if len(edges) < 3:
        raise DataError(
            f"{what}: so many values are the same that quantiles leave a single bucket; cut equal "
            "widths"
        )
    return Buckets(edges)


def cut(
    data: FactorDataset,
    columns: str | Sequence[str],
    count: int,
    kind: Kind = "equal",
    *,
    period: float = TURN,
    like: FactorDataset | None = None,
) -> FactorDataset:
    """The data with continuous columns also as factors, of the same names.

    Args:
        data: what is cut.
        columns: one or several; "light_*" stands for all that match.
        count, kind, period: see `make_buckets`; each column is cut by itself.
        like: take the edges from these data, so that a test set is cut as the training set was.

    Raises:
        DataError: no such column, a factor of that name, or values that make a single bucket.
        ConfigError: see `make_buckets`.
    """
    source = data if like is None else like
    factors, names = dict(data.factors), dict(data.value_names)
    for column in _matching(data, [columns] if isinstance(columns, str) else columns):
        if column in data.factors:
            raise DataError(f"{data.name}: there already is a factor {column!r}")
        if column not in source.continuous:
            raise DataError(f"{source.name}: there is no continuous column {column!r}")
        what = f"{source.name}: {column}"
        buckets = make_buckets(source.continuous[column], count, kind, period, what)
        factors[column] = buckets.codes(data.continuous[column])
        names[column] = buckets.names
    return data.with_factors(factors, names)


def cut_as_told(data: FactorDataset, text: str) -> FactorDataset:
    """`cut` by "azimuth=24", "x,y=16:quantile", "light_*=16" or "angle=24:circular:6.2832".

    Raises:
        ConfigError: the text is none of these.
        DataError: as `cut`.
    """
    match = re.fullmatch(r"(.+)=(\d+)(?::(\w+))?(?::([\d.eE+-]+))?", text)
    try:
        columns, count, kind, period = match.groups() if match else ("", "", "", "")
        turn = TURN if period is None else float(period)
    except ValueError:
        match = None
    named: dict[str, Kind] = {"equal": "equal", "quantile": "quantile", "circular": "circular"}
    if match is None or (kind or "equal") not in named:
        raise ConfigError(
            f"--buckets {text}: write COLUMN=NUMBER, or with :quantile or :circular after it, as "
            "in --buckets azimuth=24:circular (one turn is 360, or :circular:6.2832)"
        )
    return cut(data, columns.split(","), int(count), named[kind or "equal"], period=turn)


def _matching(data: FactorDataset, patterns: Sequence[str]) -> list[str]:
    """The continuous columns that are meant, each once."""
    found: list[str] = []
    for pattern in patterns:
        there = [name for name in data.continuous if fnmatchcase(name, pattern)]
        if pattern in data.continuous:
            there = [pattern]
        if not there:
            hint = nearest(pattern, list(data.continuous)) or " There are no continuous columns."
            raise DataError(f"{data.name}: no continuous column {pattern!r}.{hint}")
        found += [name for name in there if name not in found]
    return found
