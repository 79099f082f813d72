"""Which rows are held out: some of all rows, whole values of a factor, or cells of two factors."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unmingle.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from .dataset import FactorDataset

Mask = NDArray[np.bool_]


def generator(seed: int) -> np.random.Generator:
    """A generator for `seed`.

    Raises:
        ConfigError: if the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed={seed}: a whole number from 0")
    return np.random.default_rng(seed)


def held_out(test: float, count: int, what: str) -> int:
    """How many of `count` are held out: a share in (0, 1), rounded, or a whole number from 1.

    At least one is held out and at least one is left.

    Raises:
        ConfigError: if `test` is neither.
        DataError: if there are fewer than two, or a whole number leaves none.
    """
    given: Any = test
    number = isinstance(given, Real) and not isinstance(given, bool)
    if not number or test <= 0 or (not isinstance(test, int) and test >= 1):
        raise ConfigError(f"test={test!r}: a share between 0 and 1, or a whole number of {what}")
    if count < 2:
        raise DataError(f"a split needs at least two {what}, there is {count}")
    if isinstance(test, int):
        if test >= count:
            raise DataError(f"test={test} would leave none of the {count} {what} for training")
        return test
    return min(max(1, round(test * count)), count - 1)


def hold_rows(count: int, test: float, seed: int) -> Mask:
    """bool [N]: rows drawn without replacement."""
    mask = np.zeros(count, np.bool_)
    mask[generator(seed).permutation(count)[: held_out(test, count, "rows")]] = True
    return mask


def hold_values(codes: NDArray[np.int64], test: float, seed: int) -> Mask:
    """bool [N]: all rows of some of the values that occur in `codes`."""
    present = np.unique(codes)
    chosen = generator(seed).permutation(present)[: held_out(test, len(present), "values")]
    return np.isin(codes, chosen)


def hold_given_values(
    codes: NDArray[np.int64], factor: str, names: tuple[str, ...], values: Sequence[Any]
) -> Mask:
    """bool [N]: all rows of the given values, each a code or a value name.

    Raises:
        DataError: if a value does not occur, or none would be left for training.
    """
    values = [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
    present = set(np.unique(codes).tolist())
    chosen: set[int] = set()
    for value in values:
        if isinstance(value, str):
            found = {code for code, name in enumerate(names) if name == value} & present
        else:
            found = {int(value)} & present if int(value) == value else set()
        if not found:
            hint = nearest(str(value), [names[code] for code in sorted(present)])
            raise DataError(f"no row has the value {value!r} of factor {factor!r}.{hint}")
        chosen |= found
    if not chosen:
        raise DataError(f"values= names no value of {factor!r} to hold out")
    if chosen == present:
        raise DataError(f"values= holds out every value of {factor!r}; some must be left to train")
    return np.isin(codes, sorted(chosen))


def hold_cells(first: NDArray[np.int64], second: NDArray[np.int64], test: float, seed: int) -> Mask:
    """bool [N]: all rows of some of the combinations (cells) of two factors.

    Cells are tried in a random order, and one is held out if both of its values keep another cell.

    Raises:
        DataError: if fewer cells than wanted can be held out that way.
    """
    cells, cell_of_row = np.unique(np.stack([first, second], 1), axis=0, return_inverse=True)
    wanted = held_out(test, len(cells), "combinations")
    left_first = np.bincount(cells[:, 0])
    left_second = np.bincount(cells[:, 1])
    out = np.zeros(len(cells), np.bool_)
    taken = 0
    for cell in generator(seed).permutation(len(cells)):
        a, b = cells[cell]
        if taken == wanted:
            break
        if left_first[a] > 1 and left_second[b] > 1:
            left_first[a] -= 1
            left_second[b] -= 1
            out[cell] = True
            taken += 1
    if taken < wanted:
        raise DataError(
            f"only {taken} of the {wanted} combinations asked for (test={test!r}, {len(cells)} in "
            "all) can be held out while every value keeps one for training; lower test="
        )
    return out[cell_of_row.reshape(-1)]


def varied_rows(
    data: FactorDataset, factor: str | None, count: int, seed: int
) -> NDArray[np.int64]:
    """Up to `count` rows in random order, those first that have a value of the factor not yet
    seen (where the data have it; "a,b" crosses two columns)."""
    rows = np.random.default_rng(seed).permutation(len(data))
    if factor is not None and set(factor.split(",")) <= data.factors.keys():
        first = np.unique(data.factor(factor)[rows], return_index=True)[1]
        first.sort()
        rows = np.concatenate([rows[first], np.delete(rows, first)])
    return rows[:count]
