"""Which code of a model explains a given factor: found and said, not assumed.

A model that was told nothing may put the pose into either of its codes, or into both. Two things
are measured of every code: what a probe can tell from it, and what it decides in the picture, which
is what counts: when this code comes from one item and all others from another, whose factor does
the picture show? A judge fitted on true items says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.probes import ProbeResult, cross_probe, probe
from unmingle.evaluation.record import context
from unmingle.evaluation.rows import check_draws

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]

_SIDE = 16  # pixels that the judge sees a side
_AXES = 64  # principal components of them
_FOLDS = 3


@dataclass(frozen=True)
class Assignment:
    """Which code explains a factor.

    Attributes:
        factor: the column.
        space: the code that decides it, or None where no code is clearly ahead.
        decides: by code space, the share of swaps that show the value of the item this code came
            from, with 95 % interval.
        tells: by code space, how often a probe guesses the value from the code.
        judge: how often the judge is right on true items it was not fitted on.
        why: one sentence, with the judge's own accuracy.
        context: seed, settings, data fingerprint, versions, the model's run.
    """

    factor: str
    space: str | None
    decides: dict[str, Estimate]
    tells: dict[str, ProbeResult]
    judge: ProbeResult
    why: str
    context: dict[str, Any] = field(default_factory=dict)


def assign(
    model: Model,
    data: FactorDataset,
    factors: Sequence[str],
    *,
    rows: int = 2000,
    swaps: int = 1000,
    seed: int = 0,
    encoded: Encoded | None = None,
) -> list[Assignment]:
    """Find for each factor the code space that explains it.

    Args:
        model: see `unmingle.evaluation.model.Model`; it must decode.
        data: items with the factors' columns.
        factors: their names; "a,b" crosses two.
        rows: of `data` to look at, at most, chosen by `seed`.
        swaps: decoded for every factor and code space, at most.
        seed: of all choices.
        encoded: `data` encoded already; all its rows are looked at then.

    Raises:
        ConfigError: no factors, fewer than two code spaces, a negative seed.
        DataError: no such factor, or too few rows to tell its values.
    """
    check_draws(seed)
    if not factors:
        raise ConfigError("name the factors whose code is to be found")
    for name in factors:
        data.factor(name)
    if encoded is None:
        if len(data) > rows:
            chosen = np.random.default_rng(seed).choice(len(data), rows, replace=False)
            data = data.select(np.sort(chosen))
        encoded = Encoded(model, data.items)
    if len(encoded.spaces) < 2:
        raise ConfigError("the model has a single code space, which holds whatever there is")
    seen = _Seen(np.asarray(data.take()))
    record = context(model, data, None, seed, swaps=swaps, factors=list(factors))
    return [
        replace(_assign(encoded, seen, name, data.factor(name), swaps, seed), context=record)
        for name in factors
    ]


def roles_of(found: Sequence[Assignment]) -> dict[str, str]:
    """{code space: factor} as `evaluate` takes it, of the factors that have a code.

    Where several factors are in one code they are crossed: {"content": "azimuth,elevation"}.
    """
    roles: dict[str, str] = {}
    for one in found:
        if one.space is not None:
            before = roles.get(one.space)
            roles[one.space] = one.factor if before is None else f"{before},{one.factor}"
    return roles


def assignment_table(found: Sequence[Assignment]) -> str:
    """What was found, a sentence a factor."""
    return "\n".join(one.why for one in found)


class _Seen:
    """Items as the judge sees them: small, along the principal axes of the true ones."""

    def __init__(self, items: Array) -> None:
        flat = self._flat(items)
        self.mean = flat.mean(0)
        self.axes = np.linalg.svd(flat - self.mean, full_matrices=False)[2][:_AXES].T
        self.true = self(items)

    def __call__(self, items: Array) -> Array:
        return np.asarray((self._flat(items) - self.mean) @ self.axes)

    @staticmethod
    def _flat(items: Array) -> Array:
        if items.ndim != 4:
            return np.asarray(items, np.float32)
        edges = [np.linspace(0, size, _SIDE + 1).astype(int) for size in items.shape[1:3]]
        sums = np.add.reduceat(items.astype(np.float32), edges[0][:-1], axis=1)
        sums = np.add.reduceat(sums, edges[1][:-1], axis=2)
        area = np.outer(np.diff(edges[0]), np.diff(edges[1]))[None, :, :, None]
        return np.asarray((sums / (255 * area)).reshape(len(items), -1), np.float32)


def _assign(
    encoded: Encoded, seen: _Seen, factor: str, values: Array, swaps: int, seed: int
) -> Assignment:
    folds = min(_FOLDS, len(values))
    judge = cross_probe(seen.true, values, folds, seed=seed)
    tells = {
        space: cross_probe(codes, values, folds, seed=seed)
        for space, codes in encoded.codes.items()
    }
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, len(values), (2, 4 * swaps))
    differ = values[i] != values[j]
    i, j = i[differ][:swaps], j[differ][:swaps]
    decides = {}
    for space in encoded.spaces:
        made = encoded.combine({other: i if other == space else j for other in encoded.spaces})
        found = probe(seen.true, values, seen(made), values[i], seed=seed)
        decides[space] = Estimate(found.accuracy, found.low, found.high)
    ahead, why = _verdict(factor, decides, tells, judge)
    return Assignment(factor, ahead, decides, tells, judge, why)


def _verdict(
    factor: str,
    decides: Mapping[str, Estimate],
    tells: Mapping[str, ProbeResult],
    judge: ProbeResult,
) -> tuple[str | None, str]:
    """The code that is ahead of all others by more than chance explains, and a sentence.

    Ahead is not enough to explain a factor: where fewer than half as many swaps show the code's
    value as the judge gets right of true items, most show what neither code holds.
    """
    right = f"the judge is right on {judge.accuracy:.0%} of true ones, chance {judge.chance:.0%}"
    if judge.low <= judge.chance:
        ranked = sorted(tells, key=lambda name: -tells[name].accuracy)
        ahead = tells[ranked[0]].low > tells[ranked[1]].high
        shares = ", ".join(f"{tells[name].accuracy:.0%} from {name}" for name in ranked)
        said = f"{factor}: small pictures do not show it ({right}); a probe guesses it {shares}"
        found = f"the {ranked[0]} code tells most of it"
    else:
        ranked = sorted(decides, key=lambda name: -decides[name].value)
        ahead = decides[ranked[0]].low > decides[ranked[1]].high
        shares = ", ".join(f"{decides[name].value:.0%} the {name} code" for name in ranked)
        said = f"{factor}: of swapped pictures, {shares} has its way ({right})"
        found = f"the {ranked[0]} code explains it"
        if decides[ranked[0]].value < judge.accuracy / 2:
            found = f"the {ranked[0]} code leads, but no code explains it"
    if not ahead:
        return None, f"{said}: no code is clearly ahead"
    return ranked[0], f"{said}: {found}"
