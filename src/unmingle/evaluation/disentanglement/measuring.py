"""Metrics measured in one call, on codes or on anything that encodes."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.disentanglement.ranking import udr
from unmingle.evaluation.disentanglement.registry import DISENTANGLEMENT, Metric
from unmingle.evaluation.disentanglement.tables import (
    Array,
    Train,
    factor_columns,
    read_codes,
    split_rows,
    unusable,
)
from unmingle.evaluation.record import about, codes_context

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

ENCODE_ROWS = 10_000


@dataclass(frozen=True)
class Measured:
    """What one metric found.

    Attributes:
        metric: its name.
        values: its numbers by name, the score first; empty if it could not be measured.
        result: all that the metric's function returned, or None.
        notes: why it could not be measured, which factors were left out.
        context: seed, settings, row counts, fingerprint of the codes (and of the data set, where
            there is one), versions.
    """

    metric: str
    values: dict[str, float]
    result: Any = None
    notes: tuple[str, ...] = field(default=())
    context: dict[str, Any] = field(default_factory=dict, compare=False)


def measure(
    codes: Any,
    factors: Any = None,
    names: Sequence[str] | None = None,
    *,
    amounts: Any = None,
    train: Train = None,
    seed: int = 0,
    factor_names: Sequence[str] | None = None,
    owners: Mapping[str, str] | None = None,
    **options: Any,
) -> dict[str, Measured]:
    """Measure metrics on codes and factors of the same rows.

    Factors that no metric can use (one value only, another value in every row) are left out; a
    note says so. A metric that cannot be measured on these rows has a note in place of values.

    Args:
        codes: float [N,D], or {code space: [N,d]}, which metrics of single codes see side by side.
        factors: integers [N,K] or {name: [N]}; None for metrics of codes alone.
        names: of `DISENTANGLEMENT`; None for all that what is given suffices for.
        amounts: any numbers [N,A] or {name: [N]}, for "sap_continuous" alone, which is measured on
            them in place of the factors.
        train: rows to fit on, for metrics that predict: None for 3/4 of the rows drawn by `seed`,
            a share, a bool mask [N] or row numbers. The others are tested on. "sap_continuous",
            which tests nothing, is measured on the rows to fit on.
        seed: of that split and of all draws.
        factor_names: what the columns of `factors` are called.
        owners: {factor: the code space that should carry it}, for "mig_by_space", which leaves
            out factors without one.
        options: passed to every metric that has a parameter of that name (`bins`, `boosting`).

    Returns:
        {metric: Measured}, in the order of the registry.

    Raises:
        DataError: codes or factors of different length, NaN, factors that are no integers.
        ConfigError: an unknown metric, one that needs what is not given, an unknown option, a
            negative seed.
    """
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    spaces = codes if isinstance(codes, Mapping) else None
    table = _side_by_side(codes)
    columns: dict[str, Array] = {}
    notes: tuple[str, ...] = ()
    if factors is not None:
        columns, notes = _usable(factors, factor_names, len(table))
    numbers, said_of_numbers = columns, notes
    if amounts is not None:
        numbers, said_of_numbers = _usable_amounts(amounts, len(table))
    given = what_is_given(
        factors is not None, amounts is not None, spaces is not None and bool(owners)
    )
    chosen = _chosen(names, given)
    _check_options(options)
    rows = split_rows(len(table), train, seed) if any("rows" in m.needs for m in chosen) else None
    record = codes_context(
        table,
        seed,
        fitted=None if rows is None else len(rows[0]),
        tested=None if rows is None else len(rows[1]),
        factors=list(columns),
        amounts=[] if amounts is None else list(numbers),
        owners=dict(owners or {}),
        options=options,
    )
    found = {}
    for metric in chosen:
        settings = {"seed": seed, "owners": owners, "train": rows and rows[0], **options}
        settings = {key: value for key, value in settings.items() if key in _parameters(metric)}
        arguments: list[Any] = [spaces if "spaces" in metric.needs else table]
        said: tuple[str, ...] = ()
        if "spaces" in metric.needs:
            arguments.append({name: c for name, c in columns.items() if name in (owners or {})})
            said = notes
        elif "factors" in metric.needs:
            arguments.append(columns)
            said = notes
        elif "amounts" in metric.needs and rows:
            arguments = [table[rows[0]], {name: c[rows[0]] for name, c in numbers.items()}]
            said = said_of_numbers
        try:
            result = metric.function(*arguments, **settings)
        except DataError as error:
            found[metric.name] = Measured(metric.name, {}, None, (*said, str(error)), record)
        else:
            found[metric.name] = Measured(metric.name, _values(result), result, said, record)
    return found


def what_is_given(factors: bool, amounts: bool = False, owners: bool = False) -> set[str]:
    """What metrics can need (`Metric.needs`), of codes with factors, amounts, or code spaces of
    which some are known to carry a factor."""
    given = {"codes"}
    if factors:
        given |= {"factors", "amounts", "rows"}
        if owners:
            given.add("spaces")
    if amounts:
        given |= {"amounts", "rows"}
    return given


def measure_encoder(
    encode: Callable[[Any], Any],
    data: FactorDataset,
    names: Sequence[str] | None = None,
    *,
    rows: int = ENCODE_ROWS,
    factors: Sequence[str] | None = None,
    space: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Measured]:
    """As `measure`, on the codes that `encode` gives to the rows of a data set.

    The rows are encoded once. Metrics that hold a factor still draw among them.

    Args:
        encode: items (uint8 [n,H,W,C] or float32 [n,D]) to float [n,D] or {code space: [n,d]};
            `model.encode` of any model.
        data: with factor columns.
        names: of `DISENTANGLEMENT`.
        rows: at most so many rows, drawn by `seed`.
        factors: columns to use; None for all factors that are not continuous.
        space: measure this code space alone.
        seed: of the rows, the split and all draws.
        settings: further arguments of `measure`. A `train` mask or row numbers are those of the
            rows that are left after `rows`. `amounts` are the data's continuous columns, if there
            are any, unless others (or None) are given.

    Raises:
        DataError: as `measure`; an unknown factor; codes of another number of rows.
        ConfigError: as `measure`; an unknown code space.
    """
    data = _some_rows(data, rows, seed)
    columns = {name: data.factor(name) for name in (data.factors if factors is None else factors)}
    codes = _one_space(encode_all(encode, data.items), space)
    settings.setdefault("amounts", data.continuous or None)
    found = measure(codes, columns or None, names, seed=seed, **settings)
    read = {"data": about(data), "space": space}
    return {
        name: dataclasses.replace(one, context={**one.context, **read})
        for name, one in found.items()
    }


def udr_encoders(
    encoders: Sequence[Callable[[Any], Any]],
    data: FactorDataset,
    *,
    rows: int = ENCODE_ROWS,
    space: str | None = None,
    seed: int = 0,
    **options: Any,
) -> Measured:
    """UDR of several models, on the codes that each gives to the same rows of a data set.

    Args:
        encoders: of two models or more, each as for `measure_encoder`; code spaces are put side by
            side.
        data: no factors are needed.
        rows: at most so many rows, drawn by `seed`.
        space: the code space of every model to compare.
        options: `kl`, `similarity`, `threshold` and `alpha` of `udr`.

    Returns:
        Measured, with the score of each model in its `values` ("model 0", …) and all that `udr`
        returns in its `result`.

    Raises:
        DataError: as `udr`; codes of another number of rows.
        ConfigError: as `udr`; an unknown code space.
    """
    data = _some_rows(data, rows, seed)
    models = [
        _side_by_side(_one_space(encode_all(encode, data.items), space)) for encode in encoders
    ]
    result = udr(models, **options)
    record = codes_context(
        np.concatenate(models, 1),
        seed,
        models=[codes.shape[1] for codes in models],
        options={name: value for name, value in options.items() if name != "kl"},
        data=about(data),
        space=space,
    )
    values = {f"model {number}": score for number, score in enumerate(result.scores)}
    return Measured("udr", values, result, (), record)


def _some_rows(data: FactorDataset, rows: int, seed: int) -> FactorDataset:
    """At most so many rows, drawn by the seed."""
    if rows < 2:
        raise ConfigError(f"rows must be at least 2, got {rows}")
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    if len(data) <= rows:
        return data
    chosen = np.random.default_rng(seed).choice(len(data), rows, replace=False)
    return data.select(np.sort(chosen))


def _one_space(codes: Array | dict[str, Array], space: str | None) -> Array | dict[str, Array]:
    """The codes of one space, or all where none is named."""
    if space is None:
        return codes
    if not isinstance(codes, dict):
        raise ConfigError(f"encode gives no code spaces, so there is no {space!r}")
    if space not in codes:
        raise ConfigError(f"no code space {space!r}.{nearest(space, codes)}")
    return codes[space]


def encode_all(encode: Callable[[Any], Any], items: Any) -> Array | dict[str, Array]:
    """Codes of all items, encoded in batches: [N,D] or {code space: [N,d]}."""
    from types import SimpleNamespace

    from unmingle.evaluation.model import Encoded

    single = False

    def by_space(batch: Any) -> Mapping[str, Any]:
        nonlocal single
        found = encode(batch)
        single = not isinstance(found, Mapping)
        return {"codes": found} if single else found

    codes = Encoded(SimpleNamespace(encode=by_space), items).codes
    return codes["codes"] if single else codes


def _side_by_side(codes: Any) -> Array:
    if not isinstance(codes, Mapping):
        return read_codes(codes)
    if not codes:
        raise DataError("there are no code spaces")
    parts = [read_codes(part, f"{space} codes") for space, part in codes.items()]
    if len({len(part) for part in parts}) > 1:
        lengths = ", ".join(f"{space} {len(p)}" for space, p in zip(codes, parts, strict=True))
        raise DataError(f"code spaces of different numbers of rows: {lengths}")
    return np.concatenate(parts, 1)


def _usable(
    factors: Any, names: Sequence[str] | None, rows: int
) -> tuple[dict[str, Array], tuple[str, ...]]:
    columns, called = factor_columns(factors, names)
    kept, notes = {}, []
    for name, column in zip(called, columns, strict=True):
        if len(column) != rows:
            raise DataError(f"{rows} codes but {len(column)} values of factor {name}")
        reason = unusable(column)
        if reason:
            notes.append(f"factor {name} is left out: it {reason}")
        else:
            kept[name] = column
    return kept, tuple(notes)


def _usable_amounts(amounts: Any, rows: int) -> tuple[dict[str, Array], tuple[str, ...]]:
    if isinstance(amounts, Mapping):
        columns = {str(name): np.asarray(column) for name, column in amounts.items()}
    else:
        table = np.asarray(amounts)
        table = table[:, None] if table.ndim == 1 else table
        if table.ndim != 2:
            raise DataError(f"amounts must be [N,A], got {list(table.shape)}")
        columns = {str(number): column for number, column in enumerate(table.T)}
    kept, notes = {}, []
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != rows:
            raise DataError(f"{rows} codes but amount {name} is {list(column.shape)}")
        if np.ptp(read_codes(column[:, None], f"amount {name}")) == 0:
            notes.append(f"amount {name} is left out: it has one value only")
        else:
            kept[name] = column
    return kept, tuple(notes)


def _chosen(names: Sequence[str] | None, given: set[str]) -> list[Metric]:
    if names is None:
        return [metric for metric in DISENTANGLEMENT.values() if metric.needs <= given]
    hints = {
        "factors": "factors",
        "amounts": "factors or amounts",
        "rows": "factors",
        "spaces": "codes as {space: [N,d]} and owners={factor: space}",
        "models": "codes of several models: call udr([...]) or udr_encoders([...], data) itself",
    }
    for name in names:
        if name not in DISENTANGLEMENT:
            raise ConfigError(f"unknown metric {name!r}.{nearest(name, DISENTANGLEMENT)}")
        missing = sorted(DISENTANGLEMENT[name].needs - given)
        if missing:
            raise ConfigError(f"{name} needs {hints[missing[0]]}")
    return [metric for name, metric in DISENTANGLEMENT.items() if name in names]


def _parameters(metric: Metric) -> list[str]:
    return list(inspect.signature(metric.function).parameters)


def _check_options(options: Mapping[str, Any]) -> None:
    fixed = {"codes", "factors", "models", "spaces", "owners", "train", "seed"}
    known = {name for metric in DISENTANGLEMENT.values() for name in _parameters(metric)} - fixed
    for option in options:
        if option not in known:
            raise ConfigError(f"no metric has an option {option!r}.{nearest(option, known)}")


def _values(result: Any) -> dict[str, float]:
    """The single numbers of a metric's result."""
    if not dataclasses.is_dataclass(result):
        return {"score": float(result)}
    numbers = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return {
        name: float(value)
        for name, value in numbers.items()
        if isinstance(value, (int, float)) and not math.isnan(value)
    }
