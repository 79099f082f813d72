"""Recognisers as judges: does every factor of a recombined image come from where it should?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.bootstrap import Estimate, mean_interval, share_interval
from unmingle.evaluation.model import Encoded, Model, can_decode
from unmingle.evaluation.plain import rebuild, to_plain
from unmingle.evaluation.probes import commonest, deal_folds
from unmingle.evaluation.record import context
from unmingle.evaluation.roles import find_roles
from unmingle.evaluation.rows import check_draws, has_factor
from unmingle.evaluation.text import aligned, share

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Turns:
    """How far off the recognised values of a factor are that goes once around.

    Attributes:
        error: mean distance in degrees, 0 to 180.
        near: share that is right or one value off.
        opposite: share that is half a turn off, give or take one value.
    """

    error: Estimate
    near: Estimate
    opposite: Estimate

    def line(self) -> str:
        """The three numbers in words."""
        return (
            f"{self.error.value:.1f}° off on average, {self.near.value:.1%} at most one value, "
            f"{self.opposite.value:.1%} about half a turn"
        )


def turns(found: Ints, true: Ints, count: int, seed: int = 0) -> Turns:
    """`Turns` of values 0 to `count` - 1, evenly spaced around a circle, beside the true ones.

    Args:
        found, true: [N].
        count: values in a turn, 4 or more.
        seed: of the intervals.
    """
    steps = np.abs(found - true) % count
    steps = np.minimum(steps, count - steps)
    return Turns(
        mean_interval(steps * 360 / count, seed=seed),
        share_interval(steps <= 1, seed=seed),
        share_interval(steps >= count / 2 - 1, seed=seed),
    )


@dataclass(frozen=True)
class Judgement:
    """What a recogniser of one factor says about recombined images.

    Attributes:
        factor: what it recognises; `space`: the code space that should carry it; `source`: "i" if
            that code came from image i, "j" if from image j.
        right: share of recombined images judged to have the value of their source.
        mixed: share judged to have the value of the other image.
        copied: share judged right when the source itself is judged: the most that can be asked.
        rebuilt: share judged right when the image made of all of the source's own codes is: what it
            has more than `right` is lost in mixing the codes, not in coding; None in older files.
        real: accuracy on real images that it was not trained on; `chance` of a guess there.
        n_train, n_real, pairs: real images trained on, real images judged, images recombined.
        how: which real images those were.
        off, real_off, rebuilt_off: of a factor that goes once around, how far off recombined images
            are, what the judge itself makes of real ones, and of those made of their own codes.
    """

    factor: str
    space: str
    source: str
    right: Estimate
    mixed: Estimate
    copied: Estimate
    real: Estimate
    chance: float
    n_train: int
    n_real: int
    pairs: int
    how: str
    off: Turns | None = None
    real_off: Turns | None = None
    rebuilt: Estimate | None = None
    rebuilt_off: Turns | None = None


@dataclass(frozen=True)
class Judging:
    """What `judge` measured: codes of space `take` from image i, all others from image j."""

    take: str
    judgements: list[Judgement]
    notes: list[str]
    context: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for a number that is not finite."""
        plain = to_plain(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Judging:
        """The inverse of `to_dict`."""
        return rebuild(cls, plain)

    def lines(self) -> Iterator[str]:
        """The table by lines; it starts with an empty one."""
        if self.judgements:
            yield ""
            yield (
                f"Judges: recognisers trained on real images; {self.take} code of image i, all "
                "others of image j"
            )
            head = [
                "factor", "should be", "right", "other image's", "by its own codes",
                "judge on real images", "chance",
                "real images trained on / judged, swaps",
            ]  # fmt: skip
            rows = [head]
            for found in self.judgements:
                rows.append([
                    found.factor,
                    f"{found.source}'s",
                    share(found.right),
                    f"{found.mixed.value:.1%}",
                    "-" if found.rebuilt is None else f"{found.rebuilt.value:.1%}",
                    share(found.real),
                    f"{found.chance:.1%}",
                    f"{found.n_train} / {found.n_real}, {found.pairs}  {found.how}",
                ])  # fmt: skip
            yield from aligned(rows)
            for found in self.judgements:
                if found.off is not None and found.real_off is not None:
                    yield f"  {found.factor} as an angle: {found.off.line()}"
                    if found.rebuilt_off is not None:
                        yield f"    made of its own codes alone: {found.rebuilt_off.line()}"
                    yield f"    the judge itself on real images: {found.real_off.line()}"
        yield from (f"  no judge of {note}" for note in self.notes)


def judge(
    model: Model,
    test: FactorDataset,
    *,
    train: FactorDataset | None = None,
    roles: Mapping[str, str] | None = None,
    probe_factors: Mapping[str, str] | None = None,
    angles: Collection[str] = (),
    take: str | None = None,
    pairs: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    encoded: Encoded | None = None,
    say: Say | None = None,
) -> Judging:
    """Train a recogniser of each named factor on real images and show it recombined ones.

    A pair are two random test rows with different values of the factor; a true image of their
    combination need not exist. Each judge's accuracy on real images that it never saw stands beside
    its word: a judge that errs on those proves nothing.

    Args:
        model, test, roles, take: as for `evaluate`.
        train: rows that judges are trained on; where they lack a test value (or are not given),
            half of the test rows are trained on and the other half judged.
        probe_factors: {code space: factor column} judged in place of the role.
        angles: those of the judged columns whose values, in their order, go evenly once around.
        pairs: recombined images, at most.
        seed: of the recognisers, the pairs and the intervals.
        device: where the recognisers are trained and run.

    Raises:
        ConfigError: unknown code space, no factor named for any, nothing to recombine, fewer than
            one pair, a negative seed, an angle that is not judged or has fewer than four values.
        DataError: unknown factor.
    """
    check_draws(seed, pairs)
    say = say or (lambda _: None)
    encoded = encoded or Encoded(model, test.items)
    full = find_roles(model, encoded, test, roles or {}, [])
    take = take or next(iter(full), "")
    for space in {**full, **(probe_factors or {})}:
        encoded.require(space)
    if not full or len(encoded.spaces) < 2:
        raise ConfigError(
            "judges need two code spaces and the factor of one or more, such as "
            "roles={'class': 'person'} (--role class=person)"
        )
    if not can_decode(model):
        raise ConfigError(
            f"judges look at recombined images, and {type(model).__name__} has neither decode nor "
            "recombine"
        )
    encoded.require(take)
    columns = {**full, **(probe_factors or {})}
    counts = _counts(angles, columns, test)
    judged: list[Judgement] = []
    notes: list[str] = []
    for space, factor in columns.items():
        say(f"judge: a recogniser of {factor}")
        turn = counts.get(factor, 0)
        try:
            judged.append(
                _judge(encoded, test, train, space, factor, take, pairs, seed, device, turn)
            )
        except DataError as error:
            notes.append(f"{factor}: {error}")
    record = context(
        model, test, train, seed, roles=full, probe_factors=dict(probe_factors or {}), pairs=pairs
    )
    record |= {"angles": list(angles)} if angles else {}
    return Judging(take, judged, notes, record)


def _counts(
    angles: Collection[str], columns: Mapping[str, str], test: FactorDataset
) -> dict[str, int]:
    """How many values each of these factors has."""
    for name in angles:
        if name not in columns.values():
            raise ConfigError(
                f"angle {name}: not judged, only {', '.join(columns.values())}; name it for a code "
                f"space, such as probe_factors={{'pose': '{name}'}} (--probe-factor pose={name})"
            )
        if test.cardinality(name) < 4:
            raise ConfigError(
                f"angle {name}: {test.cardinality(name)} values are too few for a turn"
            )
    return {name: test.cardinality(name) for name in angles}


def _judge(
    encoded: Encoded,
    test: FactorDataset,
    train: FactorDataset | None,
    space: str,
    factor: str,
    take: str,
    pairs: int,
    seed: int,
    device: str,
    turn: int,
) -> Judgement:
    """Train and ask one judge; `turn` values of the factor go once around, 0: they do not."""
    from unmingle.evaluation.recogniser import fit_recogniser

    y = test.factor(factor)
    known, rows, how = _parts(test, train, factor, seed)
    items, values = known.items, known.factor(factor)
    if np.ptp(values) == 0:
        raise DataError(f"all real images to learn from have the same {factor}")
    rows = rows[np.isin(y[rows], values)]
    i, j = _differing(y, rows, pairs, seed)
    recognise = fit_recogniser(items, values, seed=seed, device=device)
    i_rows = {code: i if code == take else j for code in encoded.spaces}
    made = recognise(encoded.combine(i_rows))
    source, other = (i, j) if space == take else (j, i)
    rebuilt = recognise(encoded.combine(dict.fromkeys(encoded.spaces, source)))
    real = recognise(test.items[rows])
    place = {int(row): number for number, row in enumerate(rows)}
    again = real[[place[int(row)] for row in source]]
    chance = max(float((y[rows] == commonest(values)).mean()), 1 / len(np.unique(values)))
    return Judgement(
        factor,
        space,
        "i" if space == take else "j",
        share_interval(made == y[source], seed=seed),
        share_interval(made == y[other], seed=seed),
        share_interval(again == y[source], seed=seed),
        share_interval(real == y[rows], seed=seed),
        chance,
        len(known),
        len(rows),
        len(i),
        how,
        turns(made, y[source], turn, seed) if turn else None,
        turns(real, y[rows], turn, seed) if turn else None,
        share_interval(rebuilt == y[source], seed=seed),
        turns(rebuilt, y[source], turn, seed) if turn else None,
    )


def _parts(
    test: FactorDataset, train: FactorDataset | None, factor: str, seed: int
) -> tuple[FactorDataset, Ints, str]:
    """Real images to learn from, the test rows that are judged, and both in words."""
    y = test.factor(factor)
    if train is not None and has_factor(train, factor):
        rows = np.flatnonzero(np.isin(y, train.factor(factor)))
        if len(rows) == len(y):
            return train, rows, "trained on training rows"
    if len(y) < 4:
        raise DataError(f"{len(y)} test rows are too few to learn from half of them")
    half = deal_folds(y, None, 2, np.random.default_rng(seed)) == 0
    return test.select(np.flatnonzero(half)), np.flatnonzero(~half), "trained on half the test rows"


def _differing(y: Ints, rows: Ints, pairs: int, seed: int) -> tuple[Ints, Ints]:
    """At most so many pairs of `rows` whose values of `y` differ, no row twice the first.

    Raises:
        DataError: all rows have the same value.
    """
    values, group, sizes = np.unique(y[rows], return_inverse=True, return_counts=True)
    if len(values) < 2:
        raise DataError("no two real images with different values are left to recombine")
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(rows))[:pairs]
    # With rows sorted by value, the partners of a row are all places but the block of its value.
    order = np.argsort(group, kind="stable")
    size, start = sizes[group[first]], (np.cumsum(sizes) - sizes)[group[first]]
    place = rng.integers(0, len(rows) - size)
    place += np.where(place >= start, size, 0)
    return rows[first], rows[order[place]]
