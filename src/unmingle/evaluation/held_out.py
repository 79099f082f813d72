"""Everything measured about a model on held-out rows, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.extras import Extras, Further
from unmingle.evaluation.model import Encoded, Model, can_decode
from unmingle.evaluation.probes import USUAL, ProbeResult, check_kinds, cross_probe, probe
from unmingle.evaluation.record import context
from unmingle.evaluation.roles import find_roles, probe_columns
from unmingle.evaluation.rows import FOLDS, HeldOut, check_draws
from unmingle.evaluation.scores import ProbeRow, Scores
from unmingle.evaluation.transfer import Transfer, measure_reconstruction, measure_transfer

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Say = Callable[[str], None]


def evaluate(
    model: Model,
    test: FactorDataset,
    *,
    train: FactorDataset | None = None,
    roles: Mapping[str, str] | None = None,
    take: str | None = None,
    probe_factors: Mapping[str, str] | None = None,
    factors: Sequence[str] = (),
    probes: Sequence[str] = USUAL,
    metrics: Sequence[str] | None = None,
    pairs: int = 1000,
    probe_rows: int = 10_000,
    extras: Extras | None = None,
    seed: int = 0,
    device: str = "cpu",
    say: Say | None = None,
) -> Scores:
    """Measure transfer, reconstruction and leakage on `test`.

    Args:
        model: anything with `encode`, `decode` (or `recombine`) and `code_spaces`; of one that only
            encodes there are no scores of images.
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
        probes: of "linear", "mlp", "knn" and "boosted"; empty for none.
        metrics: of `unmingle.evaluation.transfer.METRICS`; empty for no images.
        pairs: image pairs for the transfer, and rows for the reconstruction, at most.
        probe_rows: training rows and test rows for the probes, at most each.
        extras: what else to measure; nothing by default, it takes longer.
        seed: of every choice and interval.
        device: where the networks of the evaluation run.
        say: called with one line before each part.

    Returns:
        Scores; what could not be measured is in its `notes`.

    Raises:
        ConfigError: unknown code space, probe or metric, fewer than one pair, a negative seed.
        DataError: unknown factor, unusable codes.
    """
    check_draws(seed, pairs)
    extras = extras or Extras()
    extras.check()
    check_kinds(probes)
    if probe_rows < 2:
        raise ConfigError(f"probe_rows must be at least 2, got {probe_rows}")
    say = say or _silent
    notes: list[str] = []
    say(f"encoding {len(test)} test rows")
    encoded = Encoded(model, test.items)
    full = find_roles(model, encoded, test, roles or {}, notes)
    columns = probe_columns(encoded, test, full, probe_factors or {}, factors)

    options: dict[str, Any] = {"seed": seed, "metrics": metrics, "device": device, "pairs": pairs}
    moved, rebuilt = _images(model, encoded, test, train, full, take, options, notes, say)
    coded: HeldOut | None = None
    if (probes and columns) or extras.audit or extras.quick_audit or extras.disentanglement:
        coded = HeldOut(model, encoded, test, train, probe_rows, seed)
    rows: list[ProbeRow] = []
    if coded is not None and probes:
        rows = list(_probe_all(coded, columns, probes, notes, say))
    settings: dict[str, Any] = {
        "roles": full, "probe_factors": dict(probe_factors or {}), "pairs": pairs, "seed": seed,
    }  # fmt: skip
    record = context(
        model, test, train, seed,
        pairs=pairs, probe_rows=probe_rows, roles=full, probe_factors=dict(probe_factors or {}),
    )  # fmt: skip
    more: dict[str, Any] = {}
    if extras != Extras():
        further = Further(model, encoded, test, train, coded, settings, notes, record, say)
        more = further.measure(extras, list(columns), factors, take, device)
    return Scores(moved, rebuilt, rows, notes, record, **more)


def _silent(_: str) -> None:
    return


def _images(
    model: Model,
    encoded: Encoded,
    test: FactorDataset,
    train: FactorDataset | None,
    roles: Mapping[str, str],
    take: str | None,
    options: dict[str, Any],
    notes: list[str],
    say: Say,
) -> tuple[Transfer | None, dict[str, Estimate]]:
    """Transfer, where it can be measured, and reconstruction."""
    metrics, pairs = options["metrics"], options["pairs"]
    if metrics is not None and not len(metrics):
        return None, {}
    if not can_decode(model):
        notes.append(
            "reconstruction and content transfer left out: the model has neither decode nor "
            "recombine"
        )
        return None, {}
    say("reconstruction")
    common = {key: value for key, value in options.items() if key != "pairs"}
    rebuilt = measure_reconstruction(model, test, rows=pairs, encoded=encoded, **common)
    if len(set(roles.values())) < 2:
        return None, rebuilt
    say("content transfer")
    truth = [] if train is None else [train]
    try:
        moved = measure_transfer(
            model, test, roles, truth=truth, take=take, encoded=encoded, **options
        )
    except DataError as error:
        notes.append(f"content transfer left out: {error}")
        return None, rebuilt
    return moved, rebuilt


def _probe_all(
    coded: HeldOut,
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
                    result = _probe(coded, space, factor, kind)
                except (DataError, ConfigError) as error:
                    notes.append(f"{factor} from the {space} code is not probed: {error}")
                    break
                purpose = "other" if owner is None else "knows" if owner == space else "leak"
                yield ProbeRow(space, factor, purpose, result)


def _probe(coded: HeldOut, space: str, factor: str, kind: Any) -> ProbeResult:
    y = coded.test.factor(factor)
    train = coded.fits_train(factor)
    if train is not None:
        return probe(
            coded.train_codes[space],
            train.factor(factor),
            coded.test_codes[space],
            y,
            kind,
            coded.seed,
        )
    folds = min(FOLDS, len(y))
    return cross_probe(coded.test_codes[space], y, folds, kind=kind, seed=coded.seed)
