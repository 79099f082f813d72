"""The triplet test: one code of x1, the other of x3, compared with the true x2.

Esser, Haux and Ommer, ICCV 2019, section 4.1 and Fig. 7; for any model with two code spaces.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.image_metrics import mse
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.plain import to_plain
from unmingle.evaluation.record import context

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_BLOCK = 256
_SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Triplets:
    """Rows [M] of x1, x2 and x3: x1 and x2 share one factor, x2 and x3 the other.

    `seed` is that of their draw, None where they were not drawn.
    """

    x1: Ints
    x2: Ints
    x3: Ints
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.x2)


@dataclass(frozen=True)
class TripletErrors:
    """Mean squared errors [M] of the images made, each against its true one (images 0..1).

    Attributes:
        errors: of the model.
        copies: of x1 and of x3 taken as they are, the better of the two for each triplet: a model
            that does not beat it recombines nothing.
        context: seed of the draw, settings, data fingerprint, versions, the model's run.
    """

    errors: npt.NDArray[np.float64]
    copies: npt.NDArray[np.float64]
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The middle error."""
        return float(np.median(self.errors))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The errors below which a quarter and three quarters lie."""
        low, high = np.quantile(self.errors, (0.25, 0.75))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: number, mean, median, quartiles and further quantiles, context."""
        return {
            "triplets": len(self.errors),
            "mean": float(self.errors.mean()),
            "median": self.median,
            "quartiles": list(self.quartiles),
            "quantiles": {
                f"{share:g}": float(value)
                for share, value in zip(_SHARES, np.quantile(self.errors, _SHARES), strict=True)
            },
            "copy_median": float(np.median(self.copies)),
            "context": to_plain(self.context),
        }


def find_triplets(
    data: FactorDataset, first: str, third: str, count: int = 8000, seed: int = 0
) -> Triplets:
    """Draw triplets of rows.

    Args:
        data: where both factors are known.
        first: the factor that x1 and x2 share; x3 has another value of it.
        third: the factor that x2 and x3 share; x1 has another value of it.
        count: how many, drawn with repetition (the paper's are 8000).
        seed: of the draw.

    Raises:
        ConfigError: count below 1, or the same factor twice.
        DataError: unknown factor, or no such triplet.
    """
    if count < 1:
        raise ConfigError(f"the number of triplets must be at least 1, not {count}")
    if first == third:
        raise ConfigError(f"triplets need two factors, not {first!r} twice")
    a, b = data.factor(first), data.factor(third)
    rng = np.random.default_rng(seed)
    same_a, same_b = _Partners(a, b), _Partners(b, a)
    usable = np.flatnonzero((same_a.count > 0) & (same_b.count > 0))
    if len(usable) == 0:
        raise DataError(
            f"{data.name}: no row has both another with its {first} and another {third}, and one "
            f"with its {third} and another {first}"
        )
    x2 = usable[rng.integers(0, len(usable), count)]
    return Triplets(same_a.draw(x2, rng), x2, same_b.draw(x2, rng), seed)


class _Partners:
    """For each row, the rows with its value of one column and another value of a second one."""

    def __init__(self, same: Ints, other: Ints) -> None:
        # Rows sorted by both columns: a row's partners are its block less its run of equal rows.
        self.order = np.lexsort((other, same))
        place = np.empty(len(same), np.int64)
        place[self.order] = np.arange(len(same))
        _, group, sizes = np.unique(same, return_inverse=True, return_counts=True)
        cells = same.astype(np.int64) * (int(other.max()) + 1) + other
        _, cell, runs = np.unique(cells, return_inverse=True, return_counts=True)
        self.block = (np.cumsum(sizes) - sizes)[group]
        self.run_start, self.run = (np.cumsum(runs) - runs)[cell], runs[cell]
        self.count = sizes[group] - self.run

    def draw(self, rows: Ints, rng: np.random.Generator) -> Ints:
        jump = np.floor(rng.random(len(rows)) * self.count[rows]).astype(np.int64)
        place = self.block[rows] + jump
        place += np.where(place >= self.run_start[rows], self.run[rows], 0)
        found: Ints = self.order[place]
        return found


def triplet_errors(
    model: Model, data: FactorDataset, triplets: Triplets, first: str, third: str
) -> TripletErrors:
    """Put the `first` code of x1 and the `third` code of x3 together and compare with x2.

    Args:
        model: with two code spaces.
        data: the rows that the triplets number.
        triplets: from `find_triplets`.
        first: the code space taken from x1 (the appearance, the class).
        third: the code space taken from x3 (the pose, the content).

    Raises:
        ConfigError: the model has not exactly these two code spaces.
    """
    items = data.items
    encoded = Encoded(model, items)
    for space in (first, third):
        encoded.require(space)
    if set(encoded.spaces) != {first, third}:
        raise ConfigError(
            f"the triplet test takes the codes of two spaces, {first} and {third}; the model has "
            f"{', '.join(encoded.spaces)}"
        )
    errors, copies = [], []
    for start in range(0, len(triplets), _BLOCK):
        block = slice(start, start + _BLOCK)
        x1, x2, x3 = triplets.x1[block], triplets.x2[block], triplets.x3[block]
        true = np.asarray(items[x2])
        errors.append(mse(encoded.combine({first: x1, third: x3}), true))
        copied = [mse(np.asarray(items[rows]), true) for rows in (x1, x3)]
        copies.append(np.minimum(*copied))
    record = context(
        model, data, None, triplets.seed, triplets=len(triplets), first=first, third=third
    )
    return TripletErrors(np.concatenate(errors), np.concatenate(copies), record)


def plot_triplets(
    found: Mapping[str, TripletErrors],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Draw the distributions of the errors of several models side by side (Fig. 7), as PNG.

    Boxes hold the middle half with the median; whiskers go from 5 % to 95 %. A dashed line is the
    median of copying, where all models were tried on the same triplets.

    Raises:
        ConfigError: no model.
        RunError: `out` exists.
    """
    from unmingle.plots.figures import _figure, _save

    if not found:
        raise ConfigError("there are no triplet errors to draw")
    figure = _figure(1.6 + 1.0 * len(found), 3.6)
    axis = figure.subplots()
    axis.boxplot(
        [errors.errors for errors in found.values()],
        tick_labels=list(found),
        whis=(5, 95),
        showfliers=False,
        widths=0.6,
        medianprops={"color": "black"},
    )
    medians = [float(np.median(errors.copies)) for errors in found.values()]
    if all(math.isclose(value, medians[0]) for value in medians):
        axis.axhline(medians[0], color="0.5", linestyle="--", linewidth=0.8)
    axis.set_ylabel("mean squared error")
    axis.set_ylim(bottom=0)
    axis.tick_params(axis="x", labelrotation=30, labelsize=8)
    return _save(figure, out, overwrite)
