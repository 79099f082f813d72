"""What the papers' tables measure, each from a trained run: numbers by name, and all behind them.

Nothing here knows a method by name; what a measure needs of a model is said in its docstring.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unmingle.commands._common import say
from unmingle.commands._data import Reading, Rows, Splitting
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.extras import Extras

from .plan import Run, Setting
from .skeletons import retarget

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.evaluation import Assignment, Scores

Numbers = dict[str, float]

_FEW: dict[str, Any] = {"metrics": ("st_lpips_alex", "mse"), "pairs": 500}
_METRICS = ("mig", "modularity")  # that take no time
_PROBED = {"mlp": "", "linear": "_linear"}  # kinds of probes, and what their numbers end in
_ROWS = 10_000  # that linear models are fitted to and scored on, at most each


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

    if not hasattr(model, "optimised_codes"):
        return model
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
    """Transfer, its share of the better copy, and probes of each factor in each code: MLPs, and
    linear ones ("…_linear"). Of a setting with continuous columns their error from the identity's
    code.

    Of models with two code spaces. The one that names its factor carries the identity; where none
    does it is found (`find_spaces`), and a model that saw all rows has its `seen_codes`. A single
    code is parted by what its dimensions tell of (`unmingle.evaluation.split_code`).
    """
    return _two_spaces(trained)


def whole(trained: Trained) -> tuple[Numbers, Any]:
    """`swaps` by fewer distances, and judges of both factors in recombined images.

    Of a model with one code, which has nothing to swap: reconstruction, how well the code knows
    each factor, and metrics of disentanglement.
    """
    if len(trained.model.code_spaces) == 1:
        return _one_space(trained)
    return _two_spaces(trained, extras=Extras(judges=True), **_FEW)


def _one_space(trained: Trained) -> tuple[Numbers, Any]:
    from unmingle.evaluation import evaluate

    setting = trained.setting
    rest, test = trained.split()
    columns = {"identity": setting.identity}
    if setting.rest:
        columns["rest"] = setting.judged if setting.judged in test.factors else setting.rest
    scores = evaluate(
        trained.model,
        test,
        train=rest,
        factors=tuple(columns.values()),
        extras=Extras(disentanglement=_METRICS),
        device=trained.device,
        say=say,
        **_FEW,
    )
    details = scores.to_dict()
    numbers = {"rebuilt": scores.reconstruction["st_lpips_alex"].value}
    names = {column: name for name, column in columns.items()}
    for row in scores.probes:
        if row.result.kind == "mlp":
            numbers[f"{names[row.factor]}_in_{names[row.factor]}"] = row.result.accuracy
    for metric, values in (scores.disentanglement or {}).items():
        if "score" in values:
            numbers[metric] = values["score"]
    return numbers, details


def _two_spaces(trained: Trained, **settings: Any) -> tuple[Numbers, Any]:
    from unmingle.evaluation import evaluate
    from unmingle.evaluation.split_code import split_code

    setting, judged, whole = trained.setting, trained.model, trained.rows.whole
    rest, test = trained.split()
    more: dict[str, Any] = {}
    if len(judged.code_spaces) == 1:
        parts = {"style": setting.identity, "content": setting.rest}
        judged = split_code(judged, rest, parts)
        more = {"dimensions": {name: dims.tolist() for name, dims in judged.dims.items()}}
    spaces = dict(judged.code_spaces)
    told = [name for name, space in spaces.items() if space.factor is not None]
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
        probe_factors={second: setting.judged} if setting.judged in test.factors else {},
        device=trained.device,
        say=say,
        **settings,
    )
    scores.context.update(more)
    details = scores.to_dict()
    numbers = _swap_numbers(scores, first, second)
    if setting.columns and set(setting.columns) <= set(test.continuous):
        numbers["landmarks"], details["landmarks"] = _landmarks(judged, rest, test, first, setting)
    return numbers, details


def _swap_numbers(scores: Scores, identity: str, rest: str) -> Numbers:
    numbers: Numbers = {}
    name = {identity: "identity", rest: "rest"}  # of a code space, and of the factor it carries
    if scores.transfer is not None:
        metric = scores.transfer.metrics["st_lpips_alex"]
        numbers |= {"transfer": metric.model.value, "share": metric.ratio.value}
    if "st_lpips_alex" in scores.reconstruction:
        numbers["rebuilt"] = scores.reconstruction["st_lpips_alex"].value
    for row in scores.probes:
        if row.result.kind in _PROBED and row.purpose != "other":
            other = rest if row.space == identity else identity
            owner = row.space if row.purpose == "knows" else other
            key = f"{name[owner]}_in_{name[row.space]}{_PROBED[row.result.kind]}"
            numbers[key] = row.result.accuracy
    for found in scores.judges.judgements if scores.judges is not None else ():
        numbers[f"{name[found.space]}_right"] = found.right.value
        numbers[f"{name[found.space]}_judge"] = found.real.value
    return numbers


def _landmarks(
    judged: Any, rest: FactorDataset, test: FactorDataset, space: str, setting: Setting
) -> tuple[float, Any]:
    """Mean error of the setting's continuous columns, regressed linearly from one code."""
    from unmingle.evaluation import measure_codes

    random = np.random.default_rng(0)
    fitted, scored = (
        data.select(np.sort(random.permutation(len(data))[:_ROWS])) for data in (rest, test)
    )
    found = measure_codes(
        judged, fitted, scored, continuous=setting.columns, factors=(), units=setting.units
    )
    return found.mean_error(space), found.as_dict()


def mistaken(trained: Trained) -> tuple[Numbers, Any]:
    """Errors, in percent, of a recogniser of the identity on swaps, and on real images.

    Of a model with a code space that names its factor.

    Raises:
        DataError: it could not be trained.
    """
    from unmingle.evaluation import judge

    rest, test = trained.split()
    take = next(s for s, of in trained.model.code_spaces.items() if of.factor is not None)
    found = judge(trained.model, test, train=rest, take=take, device=trained.device, say=say)
    if not found.judgements:
        raise DataError("; ".join(found.notes))
    (one,) = found.judgements
    error, error_real = 100 * (1 - one.right.value), 100 * (1 - one.real.value)
    return {"error": error, "error_real": error_real}, found.to_dict()


# ---------------------------------------------------------------------- codes that are Gaussian


def squared_error(model: Any, test: FactorDataset) -> float:
    """Mean over reconstructions, pixels in [-1, 1]."""
    errors = (model.reconstruct(test).astype(float) - test.take().astype(float)) / 127.5
    return float(np.square(errors).mean())


def rebuilt(trained: Trained) -> tuple[Numbers, Any]:
    """Reconstruction, and MIG of the labelled factors."""
    from unmingle.evaluation import measure_gaps

    test = trained.split()[1]
    found = {"mig_labelled": measure_gaps(trained.model, test).labelled.score}
    return {"mse": squared_error(trained.model, test), "mig": found["mig_labelled"]}, found


def gap(trained: Trained) -> tuple[Numbers, Any]:
    """MIG where every factor of the data is known and one was not told."""
    from unmingle.evaluation import measure_gaps

    model, test = trained.model, trained.split()[1]
    told = [s.factor for s in model.code_spaces.values() if s.factor is not None]
    (unknown,) = [name for name, s in model.code_spaces.items() if s.factor is None]
    (rest,) = [factor for factor in test.factors if factor not in told]
    gaps = measure_gaps(model, test, {rest: unknown})
    found = {"mig_labelled": gaps.labelled.score, "mig_all": gaps.every.score}
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

    From the first code space: that of the target factors where a model has one. Of a factor also
    the accuracy for the rows of each value, as "factor value".
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
    for name in factors:
        numbers |= _by_value(trained.model, probe, test, space, name)
    return numbers, found.as_dict()


def _by_value(
    model: Any, fitted: FactorDataset, scored: FactorDataset, space: str, factor: str
) -> Numbers:
    """{"factor value": share of the rows with that value that a linear classifier gets right}."""
    from unmingle.evaluation import Encoded
    from unmingle.evaluation.probes import fit, fitter_of

    y, true = fitted.factor(factor), scored.factor(factor)
    inside, outside = (Encoded(model, data.items).codes[space] for data in (fitted, scored))
    predict = fit(fitter_of("linear"), inside, y, np.unique(y), seed=0)
    right = predict(outside) == true
    names = scored.names(factor)
    return {f"{factor} {names[v]}": float(right[true == v].mean()) for v in np.unique(true)}


def _probed(trained: Trained) -> Sequence[FactorDataset]:
    """Rows to fit to and to score on: other parts of the set, halves of what is held out, or the
    split.
    """
    if trained.setting.halved:
        return _halves(trained.split()[1], trained.setting.columns)
    if not any(trained.setting.parts):
        return trained.split()
    folder = () if trained.files is None else ("--folder", str(trained.files))
    return [
        read_words(Reading, part, *folder).load(trained.source) for part in trained.setting.parts
    ]


def _halves(data: FactorDataset, columns: Sequence[str]) -> list[FactorDataset]:
    """Two halves of equal shares of each value of the first factor among the columns."""
    from unmingle.evaluation.probes import deal_folds

    factor = next(name for name in columns if name in data.factors)
    fold = deal_folds(data.factor(factor), None, 2, np.random.default_rng(0))
    return [data.select(fold == half) for half in (0, 1)]


Score = Callable[[Trained], tuple[Numbers, Any]]
SCORES: dict[str, Score] = {
    "swaps": swaps,
    "whole": whole,
    "mistaken": mistaken,
    "rebuilt": rebuilt,
    "gap": gap,
    "logged": logged,
    "identity": identity,
    "linear": linear,
    "retarget": retarget,
}
"""Numbers by name, and JSON values with everything behind them, by the name of the measure."""
