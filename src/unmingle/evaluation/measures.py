"""The numbers that some scores hold, one by one, and the single rows behind their means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.scores import PURPOSES, Scores, metric_label
from unmingle.evaluation.transfer import RISING, Transfer, find_pairs, gather_rows, image_distances

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Better = Literal["higher", "lower"]
Key = tuple[str, str]

_BLOCK = 256
_WANTED: dict[str, Better] = {"knows": "higher", "leak": "lower"}
_SAME = 1e-3  # relative; how well the mean of rows must agree with the score it stands behind


@dataclass(frozen=True)
class Measure:
    """One number of some scores.

    `better` says which way is good, None where neither is. `floor` is what copying, guessing or
    other real images would give. `clip`: values on the good side of the floor count as the floor
    (leaks at chance).
    """

    section: str
    label: str
    estimate: Estimate
    better: Better | None = None
    floor: float | None = None
    clip: bool = False
    percent: bool = False

    @property
    def key(self) -> Key:
        """What makes it the same number in other scores."""
        return self.section, self.label

    def clipped(self) -> Estimate:
        """The estimate for comparing: at the floor where `clip` says so."""
        if not self.clip or self.floor is None:
            return self.estimate
        e, floor = self.estimate, self.floor
        return Estimate(max(e.value, floor), max(e.low, floor), max(e.high, floor))


@dataclass(frozen=True)
class RowValues:
    """Numbers [P] whose mean is a score, and the test rows [P,U] that each of them rests on."""

    values: Array
    units: Array


def measures(scores: Scores) -> Iterator[Measure]:
    """All numbers of some scores; those that mean different things by method have no direction."""
    yield from _image_measures(scores)
    for row in scores.probes:
        result, purpose = row.result, PURPOSES[row.purpose]
        yield Measure(
            "Probes: accuracy",
            f"{row.factor} from {row.space}, {result.kind}" + (f" ({purpose})" if purpose else ""),
            Estimate(result.accuracy, result.low, result.high),
            _WANTED.get(row.purpose),
            result.chance,
            clip=row.purpose == "leak",
            percent=True,
        )
    yield from _audit_measures(scores)
    yield from _judge_measures(scores)
    yield from _disentanglement_measures(scores)


def _image_measures(scores: Scores) -> Iterator[Measure]:
    moved = scores.transfer
    if moved is not None:
        section = _transfer_section(moved)
        for name, metric in moved.metrics.items():
            floor = metric.copies[metric.floor].value
            yield Measure(section, metric_label(name), metric.model, _direction(name), floor)
    for name, estimate in scores.reconstruction.items():
        yield Measure("Reconstruction", metric_label(name), estimate, _direction(name))


def _transfer_section(moved: Transfer) -> str:
    roles = ", ".join(f"{space} = {factor}" for space, factor in moved.roles.items())
    return f"Transfer of the {moved.take} code ({roles})"


def _audit_measures(scores: Scores) -> Iterator[Measure]:
    """Of each leak the best probe and the information; `floor` is chance and 0."""
    for leak in () if scores.audit is None else scores.audit.leaks:
        what = f"{leak.factor} in the {leak.space} code"
        better = _WANTED.get(leak.purpose)
        if leak.probes:
            best = max(leak.probes, key=lambda probe: probe.gain)
            chance = max(best.result.chance, best.permuted)
            found = Estimate(best.result.accuracy, best.result.low, best.result.high)
            yield Measure(
                "Audit: accuracy of the best probe", what, found, better, chance, True, True
            )
        if leak.information is not None:
            bound = leak.information.bound
            yield Measure("Audit: information, nats", what, bound, better, 0.0, clip=True)


def _judge_measures(scores: Scores) -> Iterator[Measure]:
    """What judges say beside how often they are right, and the distance of sets of images."""
    if scores.judges is not None:
        section = f"Judges of swaps of the {scores.judges.take} code"
        for found in scores.judges.judgements:
            label = f"{found.factor}, as its source"
            yield Measure(section, label, found.right, "higher", found.chance, percent=True)
            label = f"{found.factor}, as the other image"
            yield Measure(section, label, found.mixed, "lower", percent=True)
            if found.rebuilt is not None:
                label = f"{found.factor}, made of its own codes"
                yield Measure(section, label, found.rebuilt, "higher", found.chance, percent=True)
            label = f"{found.factor}, judge on real images"
            yield Measure(section, label, found.real, None, found.chance, percent=True)
    distance = scores.feature_distance
    if distance is not None:
        for label, spread in (("swaps", distance.recombined), ("rebuilt", distance.rebuilt)):
            # the range over a few halvings of the same rows is no interval
            estimate = Estimate(spread.mean, math.nan, math.nan)
            section = f"Fréchet distance of features ({distance.features})"
            yield Measure(section, label, estimate, "lower", distance.real.mean)


def _disentanglement_measures(scores: Scores) -> Iterator[Measure]:
    """The registry says which way a metric's score is good; its other numbers have no direction."""
    if not scores.disentanglement:
        return
    from unmingle.evaluation.disentanglement import DISENTANGLEMENT

    for metric, values in scores.disentanglement.items():
        known = DISENTANGLEMENT.get(metric)
        for place, (name, value) in enumerate(values.items()):
            better: Better | None = None
            if place == 0 and known is not None:
                better = "higher" if known.best == "high" else "lower"
            estimate = Estimate(float(value), math.nan, math.nan)
            yield Measure("Disentanglement", f"{metric}: {name}", estimate, better)


def _direction(metric: str) -> Better:
    return "higher" if metric in RISING else "lower"


def row_values(
    model: Model,
    test: FactorDataset,
    scores: Scores,
    *,
    truth: Sequence[FactorDataset] = (),
    device: str = "cpu",
) -> dict[Key, RowValues]:
    """The single distances behind the means of transfer and reconstruction.

    Args:
        model, test: what `scores` were measured of, and on.
        scores: say which pairs, metrics and seed.
        truth: the further sets in which true images were looked up (the training rows).
        device: where the ST-LPIPS networks run.

    Returns:
        By key of the measure; left out are those whose mean is not the score.
    """
    encoded = Encoded(model, test.items)
    context, moved = scores.context, scores.transfer
    found: dict[Key, RowValues] = {}
    keys = {measure.key: measure.estimate.value for measure in measures(scores)}
    if moved is not None:
        section = _transfer_section(moved)
        others = [space for space in moved.roles if space != moved.take]
        factors = [moved.roles[space] for space in others]
        sets = [test, *truth]
        pairs = find_pairs(
            test, sets, moved.roles[moved.take], factors,
            pairs=context["pairs"], seed=context["seed"],
        )  # fmt: skip
        rows = {s: pairs.taken if s == moved.take else pairs.kept for s in encoded.spaces}

        def true(block: slice) -> Array:
            return gather_rows(sets, pairs.source[block], pairs.truth[block])

        units = np.stack([pairs.taken, pairs.kept], 1)
        for name, values in _distances(encoded, rows, true, list(moved.metrics), device).items():
            found[section, metric_label(name)] = RowValues(values, units)
    if scores.reconstruction:
        chosen = _reconstructed(len(test), context["pairs"], context["seed"])
        rows = dict.fromkeys(encoded.spaces, chosen)
        names = list(scores.reconstruction)
        for name, values in _distances(
            encoded, rows, lambda block: test.items[chosen[block]], names, device
        ).items():
            found["Reconstruction", metric_label(name)] = RowValues(values, chosen[:, None])
    return {k: v for k, v in found.items() if math.isclose(v.values.mean(), keys[k], rel_tol=_SAME)}


def _distances(
    encoded: Encoded,
    rows: Mapping[str, Array],
    true: Callable[[slice], Array],
    names: Sequence[str],
    device: str,
) -> dict[str, Array]:
    """Distances [P] by metric of what is decoded from `rows` {space: [P]} to the true images."""
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for start in range(0, len(next(iter(rows.values()))), _BLOCK):
        block = slice(start, start + _BLOCK)
        made = {"": encoded.combine({space: numbers[block] for space, numbers in rows.items()})}
        for name, by_label in image_distances(true(block), made, names, device).items():
            parts[name].append(by_label[""])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _reconstructed(count: int, limit: int, seed: int) -> Array:
    """The rows that `measure_reconstruction` draws."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
