"""Everything measured about a model on held-out rows, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.model import Encoded, Model, space_factors
from unmingle.evaluation.probes import KINDS, ProbeResult, cross_probe, probe
from unmingle.evaluation.scores import ProbeRow, Scores, versions
from unmingle.evaluation.transfer import Transfer, measure_reconstruction, measure_transfer

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Say = Callable[[str], None]

_FOLDS = 5


def evaluate(
    model: Model,
    test: FactorDataset,
    *,
    train: FactorDataset | None = None,
    roles: Mapping[str, str] | None = None,
    take: str | None = None,
    probe_factors: Mapping[str, str] | None = None,
    factors: Sequence[str] = (),
    probes: Sequence[str] = KINDS,
    metrics: Sequence[str] | None = None,
    pairs: int = 1000,
    probe_rows: int = 10_000,
    seed: int = 0,
    device: str = "cpu",
    say: Say | None = None,
) -> Scores:
    """Measure transfer, reconstruction and leakage on `test`.

    Args:
        model: anything with `encode`, `decode` (or `recombine`) and `code_spaces`.
        test: held-out rows.
        train: training rows; true images are looked up there too, and probes are fitted on their
            codes and scored on the test rows (if a test value is missing there, or without
            `train`: 5-fold within the test rows; each row of the result says which).
        roles: {code space: the factor column it should carry}. Spaces that name their factor
            themselves need not be given.
        take: the code space moved in the transfer; all others stay. The first role by default.
        probe_factors: {code space: factor column} scored by the probes in place of the role, where
            some values of the role cannot be told apart (`pose_merged` for `pose`).
        factors: further factor columns to look for in every code.
        probes: of "linear" and "mlp"; empty for none.
        metrics: of `unmingle.evaluation.transfer.METRICS`; empty for no images.
        pairs: image pairs for the transfer, and rows for the reconstruction, at most.
        probe_rows: training rows and test rows for the probes, at most each.
        seed: of every choice and interval.
        device: where the ST-LPIPS networks run.
        say: called with one line before each part.

    Returns:
        Scores; what could not be measured is in its `notes`.

    Raises:
        ConfigError: unknown code space, probe or metric.
        DataError: unknown factor, unusable codes.
    """
    for kind in probes:
        if kind not in KINDS:
            raise ConfigError(f"unknown probe {kind!r}.{nearest(kind, KINDS)}")
    if probe_rows < 2:
        raise ConfigError(f"probe_rows must be at least 2, got {probe_rows}")
    say = say or _silent
    notes: list[str] = []
    say(f"encoding {len(test)} test rows")
    encoded = Encoded(model, test.items)
    full = _roles(model, encoded, test, roles or {}, notes)
    columns = _probe_columns(encoded, test, full, probe_factors or {}, factors)

    moved: Transfer | None = None
    rebuilt = {}
    options: dict[str, Any] = {"seed": seed, "metrics": metrics, "device": device}
    if metrics is None or len(metrics):
        say("reconstruction")
        rebuilt = measure_reconstruction(model, test, rows=pairs, encoded=encoded, **options)
        if len(set(full.values())) > 1:
            say("content transfer")
            truth = [] if train is None else [train]
            options |= {"truth": truth, "take": take, "pairs": pairs, "encoded": encoded}
            try:
                moved = measure_transfer(model, test, full, **options)
            except DataError as error:
                notes.append(f"content transfer left out: {error}")
    rows: list[ProbeRow] = []
    if probes and columns:
        coded = _ProbeCodes(model, encoded, test, train, probe_rows, seed)
        rows = list(_probe_all(coded, columns, probes, notes, say))
    context = {
        "seed": seed,
        "pairs": pairs,
        "probe_rows": probe_rows,
        "roles": full,
        "probe_factors": dict(probe_factors or {}),
        "test": _about(test),
        "train": None if train is None else _about(train),
        "model": type(model).__name__,
        "run": dict(getattr(model, "run_info", None) or {}),
        "versions": versions(),
    }
    return Scores(moved, rebuilt, rows, notes, context)


def _silent(_: str) -> None:
    return


def _about(data: FactorDataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "rows": len(data),
        "shape": list(data.shape),
        "fingerprint": data.fingerprint(),
    }


def _roles(
    model: Model, encoded: Encoded, test: FactorDataset, given: Mapping[str, str], notes: list[str]
) -> dict[str, str]:
    """Factor of each code space, in the model's order; a note for each space without one."""
    for space, column in given.items():
        encoded.require(space)
        test.factor(column)
    own = space_factors(model)
    roles: dict[str, str] = {}
    for space in encoded.spaces:
        factor: str | None = given.get(space) or own.get(space)
        hint = f"name the column with roles={{'{space}': ...}} (--role {space}=COLUMN)"
        if factor is None:
            notes.append(
                f"{space}: no factor is named for it, so what needs one is left out; {hint}"
            )
        elif space in given or _has_factor(test, factor):
            roles[space] = factor
        else:
            notes.append(f"{space}: the data have no column {factor!r}; {hint}")
    return roles


def _has_factor(data: FactorDataset, name: str) -> bool:
    try:
        data.factor(name)
    except DataError:
        return False
    return True


def _probe_columns(
    encoded: Encoded,
    test: FactorDataset,
    roles: Mapping[str, str],
    instead: Mapping[str, str],
    more: Sequence[str],
) -> dict[str, str | None]:
    """Factor columns to look for, each with the code space that should know it."""
    for space, factor in instead.items():
        encoded.require(space)
        test.factor(factor)
    owners: dict[str, str | None] = {
        factor: space for space, factor in ({**roles, **instead}).items()
    }
    for factor in more:
        test.factor(factor)
        owners.setdefault(factor, None)
    return owners


class _ProbeCodes:
    """Codes and factor columns of the rows that probes are fitted on and scored on."""

    def __init__(
        self,
        model: Model,
        encoded: Encoded,
        test: FactorDataset,
        train: FactorDataset | None,
        limit: int,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)

        def some(data: FactorDataset) -> npt.NDArray[np.int64]:
            if len(data) <= limit:
                return np.arange(len(data))
            return np.sort(rng.choice(len(data), limit, replace=False))

        rows = some(test)
        self.seed = seed
        self.test = test.select(rows)
        self.test_codes = {space: codes[rows] for space, codes in encoded.codes.items()}
        self.train = None if train is None else train.select(some(train))
        self.train_codes = {} if self.train is None else Encoded(model, self.train.items).codes

    def score(self, space: str, factor: str, kind: Any) -> ProbeResult:
        y = self.test.factor(factor)
        if self.train is not None and _has_factor(self.train, factor):
            known = self.train.factor(factor)
            if np.isin(y, known).all():
                return probe(
                    self.train_codes[space], known, self.test_codes[space], y, kind, self.seed
                )
        folds = min(_FOLDS, len(y))
        return cross_probe(self.test_codes[space], y, folds, kind=kind, seed=self.seed)


def _probe_all(
    coded: _ProbeCodes,
    columns: Mapping[str, str | None],
    kinds: Sequence[str],
    notes: list[str],
    say: Say,
) -> Iterator[ProbeRow]:
    for factor, owner in columns.items():
        for space in coded.test_codes:
            for kind in kinds:
                say(f"{kind} probe: {factor} from the {space} code")
                try:
                    result = coded.score(space, factor, kind)
                except (DataError, ConfigError) as error:
                    notes.append(f"{factor} from the {space} code is not probed: {error}")
                    break
                purpose = "other" if owner is None else "knows" if owner == space else "leak"
                yield ProbeRow(space, factor, purpose, result)
