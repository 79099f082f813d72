"""What one code tells about a factor that belongs to another: probes, chance, information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.evaluation.bootstrap import Estimate, mean_interval, share_interval
from unmingle.evaluation.permutation import exchangeable, permutation_test
from unmingle.evaluation.probes import (
    ProbeResult,
    commonest,
    fit,
    fitter_of,
    standardised,
    validation_rows,
)
from unmingle.evaluation.rows import Task, View, as_it_is, without_own

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Say = Callable[[str], None]

_ENOUGH = 0.5  # share of rows that the shuffle within the own factor's values must move


@dataclass(frozen=True)
class LeakProbe:
    """One probe of a leak.

    Attributes:
        result: accuracy on held-out rows with its interval, and the chance of guessing.
        removed: the factor whose mean codes were subtracted first; "" for the code as it is.
        permuted: mean accuracy when the true values are shuffled (see `Leak.shuffled`).
        permuted_high: the 95th percentile of that.
        p_value: how often shuffled values are guessed as well, this probe taken alone.
    """

    result: ProbeResult
    removed: str
    permuted: float
    permuted_high: float
    p_value: float

    @property
    def name(self) -> str:
        """The kind, and what was removed."""
        kind = self.result.kind
        return f"{kind} ({self.removed} removed)" if self.removed else kind

    @property
    def gain(self) -> float:
        """Accuracy above chance (the larger of both) as a share of what there is above it."""
        chance = max(self.result.chance, self.permuted)
        return (self.result.accuracy - chance) / (1 - chance) if chance < 1 else 0.0


@dataclass(frozen=True)
class Information:
    """Mutual information in nats, found by the classifier T' (Esser et al. 2019, Eq. 10-12).

    Attributes:
        bound: a lower bound, by held-out rows; 0 or below says nothing.
        estimate: the mean of T' over the joint, I_T' of Eq. 12; no bound.
        most: what the bound cannot exceed: the mean of -log(share of the row's value) over the
            scored rows, which is the factor's entropy where they have its values in the shares of
            all rows; or the log of the number of rows.
        n_train, n_test: rows fitted on and scored.
        removed: as for the probes, where T' found more that way.
    """

    bound: Estimate
    estimate: float
    most: float
    n_train: int
    n_test: int
    removed: str = ""


@dataclass(frozen=True)
class Leak:
    """What the code `space` tells about `factor`.

    Attributes:
        own: the factor that this code should carry; None if none is named.
        purpose: "leak", or "other" where no code is named that should know `factor`.
        probes: empty if nothing could be measured.
        p_value: chance of the best probe's excess, corrected for having tried all of them.
        shuffled: among which rows values were shuffled.
        information: None if it was not measured.
        level: "unknown", "none", "trace", "partial" or "strong".
        verdict: the same in a sentence.
    """

    factor: str
    space: str
    own: str | None
    purpose: str
    probes: list[LeakProbe]
    p_value: float
    shuffled: str
    information: Information | None
    level: str
    verdict: str


def run_probes(
    task: Task,
    own: str | None,
    kinds: Sequence[str],
    *,
    draws: int = 1000,
    seed: int = 0,
    say: Say = lambda _: None,
) -> tuple[list[LeakProbe], float, str]:
    """Fit each kind of probe on the code, and on the code without its own factor's part.

    Why both: where each combination of factors occurs once, a code that knows its own factor well
    tells which combinations the fitted rows had, and the true one was not among them. A probe
    learns that, and a leak hides behind accuracies below chance.

    Returns:
        The probes, the corrected p-value of the best, and among which rows values were shuffled.
    """
    y, scored = task.y[task.scored], task.scored
    names: list[tuple[str, str]] = []
    guesses: list[Array] = []
    for removed, view in _views(task, own):
        for kind in kinds:
            say(f"{kind} ({removed} removed)" if removed else kind)
            names.append((kind, removed))
            guesses.append(_predictions(task, view, kind, seed))
    strata, shuffled = _strata(task, own)
    chance = permutation_test(np.stack(guesses), y, strata, draws=draws, seed=seed)
    common = np.concatenate(
        [task.y[rows] == commonest(task.y[fitted]) for fitted, rows in task.parts]
    )
    count = max(len(np.unique(task.y[fitted])) for fitted, _ in task.parts)
    smallest = min(len(fitted) for fitted, _ in task.parts)
    found = []
    for number, (kind, removed) in enumerate(names):
        share = share_interval(guesses[number] == y, seed=seed)
        guess = max(float(common.mean()), 1 / count)
        result = ProbeResult(
            share.value, guess, share.low, share.high, smallest, len(scored), kind, task.how
        )
        found.append(
            LeakProbe(
                result,
                removed,
                float(chance.mean[number]),
                float(chance.high[number]),
                float(chance.p_values[number]),
            )
        )
    return found, chance.p_best, shuffled


def _views(task: Task, own: str | None) -> list[tuple[str, View]]:
    """The code as it is, and without its own factor's part where that can be taken out."""
    views: list[tuple[str, View]] = [("", as_it_is)]
    if own is not None and all(without_own(task, *rows) is not None for rows in task.parts):
        views.append((own, without_own))
    return views


def _predictions(task: Task, view: View, kind: str, seed: int) -> Ints:
    """What a probe answers for the scored rows."""
    fitter = fitter_of(kind)
    found = []
    for number, (fitted, scored) in enumerate(task.parts):
        codes = view(task, fitted, scored)
        assert codes is not None
        values = np.unique(task.y[fitted])
        predict = fit(fitter, codes[0], task.y[fitted], values, seed + number)
        found.append(predict(codes[1]))
    return np.concatenate(found)


def _strata(task: Task, own: str | None) -> tuple[Array, str]:
    """Rows whose true values may be exchanged, and the same in words.

    Only within a value of the code's own factor, so that what is related in the data is not taken
    for a leak; where that leaves too few rows to exchange, among all rows.
    """
    part = task.part
    if task.own is not None and own is not None:
        _, value = np.unique(task.own[task.scored], return_inverse=True)
        strata = value * len(task.parts) + part
        if exchangeable(task.y[task.scored], strata) >= _ENOUGH:
            return strata, f"rows with the same {own}"
    return part, "all scored rows"


def measure_information(task: Task, own: str | None, *, seed: int = 0) -> Information:
    """The T' bound between the code and the factor of `task`."""
    from unmingle.evaluation.information import Ratio, contributions, fit_factor_ratio

    values, place = np.unique(task.y, return_inverse=True)
    bounds, estimates, used, surprise = [], [], [], []
    for number, (fitted, scored) in enumerate(task.parts):
        rows = np.concatenate([fitted, scored])
        prior = np.bincount(place[rows], minlength=len(values)) / len(rows)
        held = validation_rows(task.y[fitted], seed + number)
        best: tuple[Ratio, str, Array] | None = None
        for removed, view in _views(task, own):
            codes = view(task, fitted, scored)
            assert codes is not None
            standard = standardised(codes[0])
            ratio = fit_factor_ratio(standard(codes[0]), place[fitted], prior, held, seed + number)
            if best is None or ratio.bound > best[0].bound:
                best = ratio, removed, standard(codes[1])
        assert best is not None
        ratio, removed, outside = best
        scores = ratio.score(outside)
        bounds.append(contributions(scores, place[scored], prior, ratio.tempering))
        estimates.append(scores[np.arange(len(scored)), place[scored]])
        surprise.append(-np.log(prior[place[scored]]))
        used.append(removed)
    return Information(
        mean_interval(np.concatenate(bounds), seed=seed),
        float(np.concatenate(estimates).mean()),
        float(np.concatenate(surprise).mean()),
        min(len(fitted) for fitted, _ in task.parts),
        len(task.scored),
        max(used, key=used.count),
    )
