"""Which factor column belongs to which code space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unmingle.evaluation.model import Encoded, Model, space_factors
from unmingle.evaluation.rows import has_factor

if TYPE_CHECKING:
    from unmingle.data import FactorDataset


def find_roles(
    model: Model, encoded: Encoded, test: FactorDataset, given: Mapping[str, str], notes: list[str]
) -> dict[str, str]:
    """Factor of each code space, in the model's order; a note for each space without one.

    Raises:
        ConfigError: an unknown code space in `given`.
        DataError: an unknown factor there.
    """
    for space, column in given.items():
        encoded.require(space)
        test.factor(column)
    own = space_factors(model)
    roles: dict[str, str] = {}
    for space in encoded.spaces:
        factor: str | None = given.get(space) or own.get(space)
        hint = f"name the column with roles={{'{space}': ...}} (--role {space}=COLUMN)"
        if factor is None:
            notes.append(
                f"{space}: no factor is named for it, so what needs one is left out; {hint}"
            )
        elif space in given or has_factor(test, factor):
            roles[space] = factor
        else:
            notes.append(f"{space}: the data have no column {factor!r}; {hint}")
    return roles


def probe_columns(
    encoded: Encoded,
    test: FactorDataset,
    roles: Mapping[str, str],
    instead: Mapping[str, str],
    more: Sequence[str],
) -> dict[str, str | None]:
    """Factor columns to look for, each with the code space that should know it.

    Raises:
        ConfigError: an unknown code space in `instead`.
        DataError: an unknown factor there or in `more`.
    """
    for space, factor in instead.items():
        encoded.require(space)
        test.factor(factor)
    owners: dict[str, str | None] = {
        factor: space for space, factor in ({**roles, **instead}).items()
    }
    for factor in more:
        test.factor(factor)
        owners.setdefault(factor, None)
    return owners


def nested_owner(test: FactorDataset, factor: str, own: Mapping[str, str]) -> str | None:
    """The code space whose factor determines `factor`, as a person does the colour of the hair.

    None if no factor in `own` {code space: factor} does, or several do.
    """
    y = test.factor(factor)
    found = []
    for space, column in own.items():
        pairs = np.unique(np.stack([test.factor(column), y]), axis=1)
        values = len(np.unique(pairs[0]))
        if pairs.shape[1] == values < len(y):
            found.append(space)
    return found[0] if len(found) == 1 else None
