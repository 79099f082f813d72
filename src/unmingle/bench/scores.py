"""What the papers' tables measure, each from a trained run: numbers by name, and all behind them.

Nothing here knows a method by name; what a measure needs of a model is said in its docstring.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unmingle.commands._common import say
from unmingle.commands._data import Reading, Rows, Splitting
from unmingle.errors import ConfigError
from unmingle.evaluation.extras import Extras

from .plan import Run, Setting

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.evaluation import Assignment, Scores

Array = NDArray[Any]
Numbers = dict[str, float]


@dataclass(frozen=True)
class Trained:
    """A trained run and its data."""

    run: Run
    model: Any
    rows: Rows
    folder: Path
    """The run folder."""
    source: str
    """The data, as the run was trained on them."""
    device: str
    files: Path | None = None
    """Folder of what the data are made of, where that is a set of its own."""

    @property
    def setting(self) -> Setting:
        """What is known of the data."""
        return self.run.setting

    def split(self) -> tuple[FactorDataset, FactorDataset]:
        """(the others, the rows that are scored), by the data's split: of all rows of the table the
        same, also where a run was trained on all of them.
        """
        rest, test = read_words(Splitting, self.setting.split).apply(self.rows.whole)
        assert test is not None  # every setting whose split is asked for holds some out
        return rest, test


def read_words(kind: type[Any], flags: str, *more: str) -> Any:
    """`Reading` or `Splitting` from flags as a plan has them."""
    import tyro

    return tyro.cli(kind, args=[*flags.split(), *more])


# ---------------------------------------------------------------------- swaps and leakage


def seen_codes(model: Any, data: FactorDataset) -> Any:
    """The model with the codes that its training found for `data`; itself where it finds none."""
    from unmingle.evaluation import KnownCodes

    try:
        return KnownCodes(model, data, model.optimised_codes(data))
    except ConfigError:  # all its codes come from encoders
        return model


def find_spaces(
    judged: Any, data: FactorDataset, look: str, layout: str
) -> tuple[dict[str, str], list[Assignment], bool]:
    """Which code carries the look and which the layout, of a model of two that was told neither.

    Args:
        judged: the model, or its `seen_codes`.
        data: items with both columns; `layout` may be "", not known.

    Returns:
        {code space: factor}, the look first; what was found; and whether the codes had to be
        assumed, the first for the look and the second for the layout, as none was clearly ahead.
    """
    from unmingle.evaluation import assign, assignment_table, roles_of

    factors = [name for name in (look, layout) if name]
    found = assign(judged, data, factors)
    say(assignment_table(found))
    first, second = judged.code_spaces
    space = {factor: space for space, factor in roles_of(found).items()}
    assumed = set(space) != set(factors)
    if not assumed:
        first = space[look]
        second = next(other for other in judged.code_spaces if other != first)
    return {first: look, second: layout}, found, assumed


def swaps(trained: Trained) -> tuple[Numbers, Any]:
    """Transfer, its share of the better copy, and probes (MLP) of each factor in each code.

    Of models with two code spaces. The one that names its factor carries the identity; where none
    does it is found (`find_spaces`), and a model that saw all rows has its `seen_codes`.
    """
    return _two_spaces(trained)


def whole(trained: Trained) -> tuple[Numbers, Any]:
    """`swaps` by fewer distances, and judges of both factors in recombined images."""
    few = {"metrics": ("st_lpips_alex", "mse"), "pairs": 500}
    return _two_spaces(trained, extras=Extras(judges=True), **few)


def _two_spaces(trained: Trained, **settings: Any) -> tuple[Numbers, Any]:
    from unmingle.evaluation import evaluate

    setting, judged, whole = trained.setting, trained.model, trained.rows.whole
    rest, test = trained.split()
    spaces = dict(judged.code_spaces)
    told = [name for name, space in spaces.items() if space.factor is not None]
    more: dict[str, Any] = {}
    if told:
        (other,) = [name for name in spaces if name != told[0]]
        roles = {told[0]: setting.identity, other: setting.rest}
    else:
        if trained.rows.test is None:
            judged = seen_codes(judged, whole)
        roles, found, assumed = find_spaces(judged, whole, setting.identity, setting.rest)
        more = {"assignment": [one.why for one in found], "roles_assumed": assumed}
    first, second = roles
    scores = evaluate(
        judged,
        test,
        train=rest,
        roles={space: factor for space, factor in roles.items() if factor},
        take=first,
        probe_factors={second: setting.judged} if setting.judged else {},
        device=trained.device,
        say=say,
        **settings,
    )
    scores.context.update(more)
    details = scores.to_dict()
    for part in (details, details["judges"]):
        if part:
            part["context"].pop("run", None)  # in the run folder; it tells where the data lie
    return _swap_numbers(scores, first, second), details


def _swap_numbers(scores: Scores, identity: str, rest: str) -> Numbers:
    numbers: Numbers = {}
    name = {identity: "identity", rest: "rest"}  # of a code space, and of the factor it carries
    if scores.transfer is not None:
        metric = scores.transfer.metrics["st_lpips_alex"]
        numbers |= {"transfer": metric.model.value, "share": metric.ratio.value}
    if "st_lpips_alex" in scores.reconstruction:
        numbers["rebuilt"] = scores.reconstruction["st_lpips_alex"].value
    for row in scores.probes:
        if row.result.kind == "mlp" and row.purpose != "other":
            other = rest if row.space == identity else identity
            owner = row.space if row.purpose == "knows" else other
            numbers[f"{name[owner]}_in_{name[row.space]}"] = row.result.accuracy
    for found in scores.judges.judgements if scores.judges is not None else ():
        numbers[f"{name[found.space]}_right"] = found.right.value
    return numbers


# ---------------------------------------------------------------------- codes that are Gaussian


def sampled(model: Any, test: FactorDataset) -> dict[str, Array]:
    """A draw from every item's codes, of a model with `posteriors`."""
    random = np.random.default_rng(0)
    return {
        space: mean + std * random.standard_normal(mean.shape)
        for space, (mean, std) in model.posteriors(test).items()
    }


def squared_error(model: Any, test: FactorDataset) -> float:
    """Mean over reconstructions, pixels in [-1, 1]."""
    errors = (model.reconstruct(test).astype(float) - test.take().astype(float)) / 127.5
    return float(np.square(errors).mean())


def gaps(model: Any, test: FactorDataset, spaces: Mapping[str, str]) -> Numbers:
    """MIG between code spaces (Xiang et al. 2021, Eq. 21): of the labelled factors, and of all.

    Args:
        model: with `posteriors` and code spaces that name their factors, but one.
        test: the rows.
        spaces: {factor: its code space}.
    """
    from unmingle.evaluation import mig_by_space

    codes = sampled(model, test)
    own = [f for f, space in spaces.items() if model.code_spaces[space].factor is not None]
    labelled = {factor: test.factor(factor) for factor in own}
    every = {factor: test.factor(factor) for factor in spaces}
    return {
        "mig_labelled": mig_by_space(codes, labelled, {f: spaces[f] for f in own}).score,
        "mig_all": mig_by_space(codes, every, spaces).score,
    }


def rebuilt(trained: Trained) -> tuple[Numbers, Any]:
    """Reconstruction, and MIG of the one labelled factor."""
    test = trained.split()[1]
    factor = trained.setting.identity
    found = gaps(trained.model, test, {factor: factor})
    return {"mse": squared_error(trained.model, test), "mig": found["mig_labelled"]}, found


def gap(trained: Trained) -> tuple[Numbers, Any]:
    """MIG where every factor of the data is known and one was not told."""
    model, test = trained.model, trained.split()[1]
    spaces = {s.factor: name for name, s in model.code_spaces.items() if s.factor is not None}
    (unknown,) = [name for name, s in model.code_spaces.items() if s.factor is None]
    (rest,) = [factor for factor in test.factors if factor not in spaces]
    found = gaps(model, test, {**spaces, rest: unknown})
    return {"mig": found["mig_all"], "mig_labelled": found["mig_labelled"]}, found


# ---------------------------------------------------------------------- what training logged


def last_logs(metrics: Path) -> Numbers:
    """Means of what a run's stages logged over the last tenth of its steps."""
    lines = [json.loads(line) for line in metrics.open()]
    end = 0.9 * lines[-1]["total_step"]
    late = [line["logs"] for line in lines if line["total_step"] > end]
    means = {name: [logs[name] for logs in late if name in logs] for name in late[-1]}
    return {name: statistics.fmean(values) for name, values in means.items()}


def logged(trained: Trained) -> tuple[Numbers, Any]:
    """What training logged, at its end."""
    found = last_logs(trained.folder / "metrics.jsonl")
    return found, found


# ---------------------------------------------------------------------- identity found again


def identity(trained: Trained) -> tuple[Numbers, Any]:
    """Mean average precision, in percent, of finding the identity among real images."""
    from unmingle.evaluation.reidentification import reidentify

    rest, test = trained.split()
    space = next(s for s, of in trained.model.code_spaces.items() if of.factor is not None)
    found = reidentify(
        trained.model, test, rest, factor=trained.setting.identity, space=space
    ).to_dict()
    kinds = ("reconstruction", "transfer", "real")
    return {f"map_{kind}": 100 * found[kind]["value"] for kind in kinds}, found


# ---------------------------------------------------------------------- linear models of codes


def linear(trained: Trained) -> tuple[Numbers, Any]:
    """Errors of linear regressions of amounts, accuracies of linear classifiers of factors.

    From the first code space: that of the target factors where a model has one.
    """
    from unmingle.evaluation import measure_codes

    columns = trained.setting.columns
    probe, test = _probed(trained)
    amounts = [name for name in columns if name in test.continuous]
    factors = [name for name in columns if name not in amounts]
    units = trained.setting.units
    found = measure_codes(
        trained.model, probe, test, continuous=amounts, factors=factors, units=units
    )
    space = next(iter(trained.model.code_spaces))
    numbers = {name: found.amounts[space][name].mae for name in amounts}
    if amounts:
        numbers["error"] = found.mean_error(space)
    numbers |= {name: found.factors[space][name].accuracy for name in factors}
    return numbers, found.as_dict()


def _probed(trained: Trained) -> Sequence[FactorDataset]:
    """Rows to fit to and to score on: other parts of the set, or its split."""
    if not any(trained.setting.parts):
        return trained.split()
    folder = () if trained.files is None else ("--folder", str(trained.files))
    return [
        read_words(Reading, part, *folder).load(trained.source) for part in trained.setting.parts
    ]


Score = Callable[[Trained], tuple[Numbers, Any]]
SCORES: dict[str, Score] = {
    "swaps": swaps,
    "whole": whole,
    "rebuilt": rebuilt,
    "gap": gap,
    "logged": logged,
    "identity": identity,
    "linear": linear,
}
"""Numbers by name, and JSON values with everything behind them, by the name of the measure."""
