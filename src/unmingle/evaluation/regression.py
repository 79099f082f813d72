"""What a linear model tells of known factors from each code (Ruiz et al. 2019, section 5.3).

Amounts (continuous columns) are regressed, factors with values are classified. A code that should
not know a factor is measured in the same way: it is the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import DataError
from unmingle.evaluation.bootstrap import mean_interval
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.probes import ProbeResult, probe
from unmingle.evaluation.record import context

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RegressionResult:
    """Mean absolute error and R² of a linear regression, on rows it was not fitted on.

    `low` and `high` are the 95 % interval of the error (bootstrap over the test rows), `baseline`
    is the error of always answering the median of the training rows.
    """

    mae: float
    low: float
    high: float
    r2: float
    baseline: float
    n_train: int
    n_test: int


@dataclass(frozen=True)
class CodeMeasures:
    """Results by code space and column, in the order of the model's spaces and the data's columns.

    `notes` says what could not be measured; `context` holds seed, settings, data fingerprints,
    versions and the model's run.
    """

    amounts: dict[str, dict[str, RegressionResult]]
    factors: dict[str, dict[str, ProbeResult]]
    notes: list[str] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)

    def mean_error(self, space: str) -> float:
        """Mean over the continuous columns of the mean absolute error from one code."""
        return float(np.mean([result.mae for result in self.amounts[space].values()]))

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Markdown: a row a code; errors (R²) of amounts, accuracies (chance) of factors."""
        amounts, factors = (
            list(next(iter(part.values()), {})) for part in (self.amounts, self.factors)
        )
        lines = ["| code | " + " | ".join([*amounts, *factors]) + " |"]
        lines.append("|" + "---|" * (1 + len(amounts) + len(factors)))
        for space in self.amounts:
            cells = [f"{self.amounts[space][c].mae:.3f} ({self.amounts[space][c].r2:.2f})"
                     for c in amounts]  # fmt: skip
            cells += [f"{self.factors[space][c].accuracy:.3f} ({self.factors[space][c].chance:.3f})"
                      for c in factors]  # fmt: skip
            lines.append(f"| {space} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def regress(
    codes_train: Array, y_train: Array, codes_test: Array, y_test: Array, seed: int = 0
) -> RegressionResult:
    """Fit a linear regression (least squares with intercept) and score it on other rows.

    Args:
        codes_train, codes_test: float [N, d] and [M, d].
        y_train, y_test: amounts, float [N] and [M].
        seed: of the interval.

    Raises:
        DataError: different lengths or sizes, NaN, an amount that is the same in all rows.
    """
    x, y = _checked(codes_train, y_train, "training")
    x_test, y_test = _checked(codes_test, y_test, "test")
    if x.shape[1] != x_test.shape[1]:
        raise DataError(f"training codes have {x.shape[1]} entries, test codes {x_test.shape[1]}")
    if np.ptp(y) == 0 or np.ptp(y_test) == 0:
        raise DataError("the amount is the same in all rows: there is nothing to tell")
    mean, scale = x.mean(0), x.std(0)
    scale[scale <= 1e-6 * np.abs(mean) + 1e-12] = np.inf  # constant entries tell nothing
    design = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    weights = np.linalg.lstsq(design, y, rcond=1e-6)[0]
    found = np.column_stack([(x_test - mean) / scale, np.ones(len(x_test))]) @ weights
    error = mean_interval(np.abs(found - y_test), seed=seed)
    r2 = 1 - np.square(found - y_test).mean() / y_test.var()
    baseline = np.abs(np.median(y) - y_test).mean()
    return RegressionResult(
        error.value, error.low, error.high, float(r2), float(baseline), len(y), len(y_test)
    )


def measure_codes(
    model: Model,
    train: FactorDataset,
    test: FactorDataset,
    *,
    continuous: Sequence[str] | None = None,
    factors: Sequence[str] | None = None,
    units: Mapping[str, float] | None = None,
    seed: int = 0,
) -> CodeMeasures:
    """Linear regressions and classifiers of known factors from every code space.

    Args:
        model: anything that encodes.
        train: rows that the linear models are fitted on; not those the model was trained on, if
            there are enough.
        test: rows they are scored on.
        continuous, factors: columns to look for; by default all that both data sets have and
            that vary in both.
        units: {continuous column: a number it is divided by}, to bring amounts to one range.
        seed: of validation parts and intervals.

    Raises:
        DataError: an unknown column, no column at all, unusable codes.
    """
    units = dict(units or {})
    amounts = _columns(train.continuous, test.continuous, continuous, "continuous column")
    labels = _columns(train.factors, test.factors, factors, "factor")
    if not amounts and not labels:
        raise DataError("there is no column that varies in both data sets")
    inside, outside = Encoded(model, train.items).codes, Encoded(model, test.items).codes
    record = context(model, test, train, seed, continuous=amounts, factors=labels, units=units)
    found = CodeMeasures(
        {space: {} for space in inside}, {space: {} for space in inside}, [], record
    )
    for space in inside:
        for name in amounts:
            unit = units.get(name, 1.0)
            found.amounts[space][name] = regress(
                inside[space],
                train.continuous[name] / unit,
                outside[space],
                test.continuous[name] / unit,
                seed,
            )
        for name in labels:
            rows = np.isin(test.factors[name], train.factors[name])
            if not rows.all():
                unseen = int((~rows).sum())
                found.notes.append(f"{name}: {unseen} test rows with unseen values are left out")
            found.factors[space][name] = probe(
                inside[space],
                train.factors[name],
                outside[space][rows],
                test.factors[name][rows],
                "linear",
                seed,
            )
    return found


def _columns(
    train: Mapping[str, Array], test: Mapping[str, Array], asked: Sequence[str] | None, what: str
) -> list[str]:
    if asked is None:
        return [
            name
            for name in train
            if name in test and np.ptp(train[name]) > 0 and np.ptp(test[name]) > 0
        ]
    for name in asked:
        if name not in train or name not in test:
            raise DataError(f"there is no {what} {name!r} in both data sets")
    return list(asked)


def _checked(codes: Array, y: Array, which: str) -> tuple[Array, Array]:
    codes, y = np.asarray(codes, np.float64), np.asarray(y, np.float64)
    if codes.ndim != 2 or y.ndim != 1 or len(codes) != len(y) or not len(y):
        raise DataError(
            f"{which} codes must be [N,d] and amounts [N], got {codes.shape} and {y.shape}"
        )
    if not (np.isfinite(codes).all() and np.isfinite(y).all()):
        raise DataError(f"{which} codes or amounts hold NaN or infinity")
    return codes, y
