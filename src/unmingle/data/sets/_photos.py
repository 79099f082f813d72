"""What the sets of photos share: file names that say what a picture shows, draws, parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.columns import factor_column
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, missing
from unmingle.data.sets._items import read_picture_files
from unmingle.errors import DataError

Split = Callable[[FactorDataset], tuple[FactorDataset, FactorDataset]]


def matched(
    files: Iterable[PurePath], pattern: re.Pattern[str], where: Path, example: str
) -> list[re.Match[str]]:
    """What the name of each file says.

    Raises:
        DataError: naming the first file that is not called as the set's files are.
    """
    found = []
    for file in files:
        match = pattern.fullmatch(file.name)
        if match is None:
            raise DataError(f"{where / file}: its name does not say what it shows, as {example}")
        found.append(match)
    return found


def read_listed(
    folder: Path,
    files: Sequence[str | PurePath],
    options: ReadOptions,
    *,
    name: str,
    factors: Mapping[str, Any],
    value_names: Mapping[str, Sequence[str]] | None = None,
    continuous: Mapping[str, Any] | None = None,
    boxes: NDArray[np.int64] | None = None,
    rows: Any = None,
    seed: int = 0,
) -> FactorDataset:
    """Some of a list of pictures; what is not drawn is not decoded.

    Values are numbered over the whole list, so that their codes do not depend on the draw. The
    ids are positions in the list.

    Args:
        folder, files, options, name, boxes: as `read_picture_files`.
        factors, value_names, continuous: columns of the whole list.
        rows, seed: as `pick_rows`.

    Raises:
        DataError: wrong `rows`, or a file that is damaged, missing or of another size.
    """
    named = value_names or {}
    coded = {
        factor: factor_column(factor, values, len(files), named.get(factor), name)
        for factor, values in factors.items()
    }
    chosen = pick_rows(rows, len(files), seed)
    return read_picture_files(
        folder,
        [files[row] for row in chosen],
        options,
        name=name,
        factors={factor: codes[chosen] for factor, (codes, _) in coded.items()},
        value_names={factor: names for factor, (_, names) in coded.items()},
        continuous={
            column: np.asarray(values)[chosen] for column, values in (continuous or {}).items()
        },
        ids=chosen,
        boxes=None if boxes is None else boxes[chosen],
    )


def some_pictures(entry: NamedSet, folder: Path, files: Sequence[PurePath], what: str) -> None:
    """Refuse an empty list.

    Raises:
        DataError: saying how the set is to be had.
    """
    if not files:
        raise missing(entry, folder, what)


def by_part(*test: str, train: str = "train") -> Split:
    """Training and test rows as the set's own factor `part` has them; other parts are left out."""

    def apply(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
        names = np.array(data.names("part"))
        part = names[data.factor("part")]
        chosen = [np.isin(part, [train]), np.isin(part, test)]
        for mask, wanted in zip(chosen, (train, " or ".join(test)), strict=True):
            if not mask.any():
                raise DataError(f"{data.name}: no row of those read is of the part {wanted}")
        return data.select(chosen[0]), data.select(chosen[1])

    return apply


def random_rows(share: float) -> Split:
    """A share of the rows is held out at random (seed 0)."""
    return lambda data: data.split(share, 0)
