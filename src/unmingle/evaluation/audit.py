"""The leakage audit: what each code holds that belongs to another, and what cannot be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.consistency import CodePair, Swap, code_information, swap_consistency
from unmingle.evaluation.leaks import Information, Leak, measure_information, run_probes
from unmingle.evaluation.model import Encoded, Model, can_decode
from unmingle.evaluation.plain import rebuild, to_plain
from unmingle.evaluation.probes import KINDS, check_kinds
from unmingle.evaluation.record import context
from unmingle.evaluation.roles import find_roles, nested_owner, probe_columns
from unmingle.evaluation.rows import HeldOut, check_draws
from unmingle.evaluation.text import aligned, interval, number, share
from unmingle.evaluation.transfer import measure_reconstruction
from unmingle.evaluation.verdict import judge_leak, unknowable

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Say = Callable[[str], None]

_QUICK_PROBES = ("linear", "knn")
_QUICK_ROWS = 2000
_QUICK_COLUMNS = 8  # looked for where no factor is named for any code


@dataclass(frozen=True)
class Audit:
    """What `audit` measured.

    Attributes:
        leaks: one for each factor and each code that it does not belong to.
        swaps: codes of recombined images against those they were made from.
        codes: information between the codes of an image, no labels used.
        reconstruction: decode(encode(x)) against x, by metric.
        unknown: what cannot be known from these data, in sentences.
        notes: what was left out, and why.
        context: seed, settings, data fingerprints, versions, the model's run.
    """

    leaks: list[Leak]
    swaps: list[Swap]
    codes: list[CodePair]
    reconstruction: dict[str, Estimate]
    unknown: list[str]
    notes: list[str]
    context: dict[str, Any]

    def leak(self, factor: str, space: str) -> Leak:
        """What was found of `factor` in the code `space`.

        Raises:
            KeyError: it was not looked for.
        """
        for leak in self.leaks:
            if (leak.factor, leak.space) == (factor, space):
                return leak
        raise KeyError(f"{factor} was not looked for in the {space} code")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for a number that is not finite."""
        plain = to_plain(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Audit:
        """The inverse of `to_dict`."""
        return rebuild(cls, plain)

    def table(self) -> str:
        """Aligned plain text, with 95 % intervals in brackets."""
        return "\n".join(self.lines()).lstrip("\n")

    def __str__(self) -> str:
        return self.table()

    def lines(self) -> Iterator[str]:
        """The table by lines; each section starts with an empty one."""
        for leak in self.leaks:
            yield from _leak_lines(leak)
        if self.swaps:
            yield ""
            yield (
                "Swapped codes found again: distance as a share of that of two random images "
                f"(0 is perfect); {self.swaps[0].pairs} recombined images"
            )
            rows = [["taken", "code", "swapped", "not swapped", "nearer to its source"]]
            for swap in self.swaps:
                numbers = [interval(swap.distance), interval(swap.unswapped), share(swap.nearer)]
                rows.append([swap.take, swap.code, *numbers])
            yield from aligned(rows)
        if self.codes:
            yield ""
            yield "Information between the codes of an image (T', a lower bound, nats)"
            yield from aligned(
                [[f"{p.first}, {p.second}", *_information(p.information)] for p in self.codes]
            )
        if self.reconstruction:
            cells = ", ".join(f"{name} {interval(e)}" for name, e in self.reconstruction.items())
            yield ""
            yield f"Reconstruction: {cells}"
        for title, sentences in (("Cannot be known", self.unknown), ("Left out", self.notes)):
            if sentences:
                yield ""
                yield f"{title}:"
                yield from (f"  - {sentence}" for sentence in sentences)


def _leak_lines(leak: Leak) -> Iterator[str]:
    where = f"{leak.factor} in the {leak.space} code"
    if leak.own is not None:
        where += f" (which should know {leak.own})"
    yield ""
    yield f"Audit: {where}: {leak.level.upper()}"
    yield f"  {leak.verdict}"
    if leak.probes:
        head = ["probe", "accuracy", "chance", "shuffled", "p", "rows fitted / scored"]
        rows = [head]
        for probe in leak.probes:
            result = probe.result
            rows.append([
                probe.name,
                share(Estimate(result.accuracy, result.low, result.high)),
                f"{result.chance:.1%}",
                f"{probe.permuted:.1%} (95 % below {probe.permuted_high:.1%})",
                f"{probe.p_value:.3f}",
                f"{result.n_train} / {result.n_test}  {result.how}",
            ])  # fmt: skip
        yield from aligned(rows)
        yield f"  shuffled among {leak.shuffled}; p of the best of all probes {leak.p_value:.3f}"
    if leak.information is not None:
        yield "  information, nats: " + ", ".join(_information(leak.information))


def _information(found: Information) -> list[str]:
    removed = f" ({found.removed} removed)" if found.removed else ""
    return [
        f"at least {interval(found.bound)} of {number(found.most)}{removed}",
        f"mean T' {number(found.estimate)}",
        f"rows {found.n_train} / {found.n_test}",
    ]


def audit(
    model: Model,
    test: FactorDataset,
    *,
    train: FactorDataset | None = None,
    roles: Mapping[str, str] | None = None,
    probe_factors: Mapping[str, str] | None = None,
    factors: Sequence[str] = (),
    probes: Sequence[str] = KINDS,
    pairs: int = 1000,
    rows: int = 10_000,
    permutations: int = 1000,
    quick: bool = False,
    seed: int = 0,
    encoded: Encoded | None = None,
    coded: HeldOut | None = None,
    say: Say | None = None,
) -> Audit:
    """Look for every factor in every code that it does not belong to.

    Works with any labels there are: where no factor is named for any code, all columns of the data
    are looked for in all codes. Without any, what remains is whether recombined images have the
    codes they were made from, what codes of an image tell about each other, and reconstruction.

    Args:
        model, test, train, roles, probe_factors, factors: as for `evaluate`.
        probes: of "linear", "mlp", "knn" and "boosted"; each is fitted on the code as it is and,
            where the code's own factor is named, on the code without that factor's mean.
        pairs: recombined images, and rows for the reconstruction, at most.
        rows: training rows and test rows for the probes, at most each.
        permutations: shuffles of the true values behind chance and p-values.
        quick: a shorter look: only the linear and the nearest-neighbour probe, at most 2000 rows,
            at most 8 columns where no factor is named for any code, no information in nats and no
            reconstruction.
        seed: of every choice and interval.
        encoded: `test` encoded already.
        coded: the rows for the probes, encoded already.
        say: called with one line before each part.

    Raises:
        ConfigError: unknown code space, no or an unknown probe, fewer than 19 permutations or one
            pair, a negative seed.
        DataError: unknown factor, unusable codes.
    """
    check_draws(seed, pairs)
    if quick:
        probes, rows = _QUICK_PROBES, min(rows, _QUICK_ROWS)
    check_kinds(probes)
    if not probes:
        raise ConfigError(f"probes=(): an audit needs one or more of {', '.join(KINDS)}")
    if permutations < 19:
        raise ConfigError(
            f"permutations={permutations}: at least 19 are needed for a p-value of 0.05"
        )
    say = say or (lambda _: None)
    notes: list[str] = []
    encoded = encoded or Encoded(model, test.items)
    coded = coded or HeldOut(model, encoded, test, train, rows, seed)
    if quick:
        coded = coded.at_most(rows)
    full = find_roles(model, encoded, test, roles or {}, [])
    columns = probe_columns(encoded, test, full, probe_factors or {}, factors)
    if not columns:
        columns = dict.fromkeys(_all_columns(test, quick, notes))
    own = {**full, **(probe_factors or {})}
    options: dict[str, Any] = {"draws": permutations, "seed": seed, "say": say, "quick": quick}
    leaks = []
    for factor, known in columns.items():
        owner = known or nested_owner(test, factor, own)
        for space in encoded.spaces:
            if space != owner:
                leaks.append(_leak(coded, factor, space, own.get(space), owner, probes, options))
    say("audit: recombined images")
    labels = {space: test.factor(factor) for space, factor in own.items()}
    swaps = _or_note(
        notes, "swapped codes", swap_consistency, encoded, labels, pairs=pairs, seed=seed
    )
    pairwise: list[CodePair] = []
    if len(encoded.spaces) > 1 and not quick:
        say("audit: information between codes")
        pairwise = _or_note(
            notes, "information between codes", code_information, coded, encoded.spaces, seed=seed
        )
    rebuilt: dict[str, Estimate] = {}
    if can_decode(model) and not quick:
        metrics = ["mse", "ssim"] if test.is_images else ["mse"]
        rebuilt = measure_reconstruction(
            model, test, rows=pairs, seed=seed, metrics=metrics, encoded=encoded
        )
    unowned = [space for space in encoded.spaces if space not in own]
    unknown = unknowable(
        list(columns), unowned, len(test), bool(swaps), list(test.continuous), quick
    )
    record = context(
        model, test, train, seed,
        roles=full, probe_factors=dict(probe_factors or {}), factors=list(factors),
        probes=list(probes), pairs=pairs, rows=rows, permutations=permutations, quick=quick,
    )  # fmt: skip
    return Audit(leaks, swaps, pairwise, rebuilt, unknown, notes, record)


def _all_columns(test: FactorDataset, quick: bool, notes: list[str]) -> list[str]:
    """The factor columns to look for where no factor is named for any code."""
    names = list(test.factors)
    if not quick:
        return names
    rest = names[_QUICK_COLUMNS:]
    if rest:
        listed = ", ".join(rest)
        notes.append(f"leaks of {listed}, for which the full audit (--audit) looks as well")
    return names[:_QUICK_COLUMNS]


def _or_note(
    notes: list[str], what: str, measure: Callable[..., Any], *args: Any, **kw: Any
) -> Any:
    """What `measure` returns, or [] and a note on why it cannot be measured."""
    try:
        return measure(*args, **kw)
    except (DataError, ConfigError) as error:
        notes.append(f"{what}: {error}")
        return []


def _leak(
    coded: HeldOut,
    factor: str,
    space: str,
    own: str | None,
    owner: str | None,
    probes: Sequence[str],
    options: Mapping[str, Any],
) -> Leak:
    """Probe one factor in one code."""
    say: Say = options["say"]
    purpose = "other" if owner is None else "leak"
    try:
        task = coded.task(space, factor, own)
    except DataError as error:
        return Leak(factor, space, own, purpose, [], 1.0, "", None, "unknown", str(error))
    what = f"audit: {factor} from the {space} code"
    probing: dict[str, Any] = {
        "draws": options["draws"],
        "seed": options["seed"],
        "say": lambda kind: say(f"{what}: {kind}"),
    }
    found, p_value, shuffled = run_probes(task, own, probes, **probing)
    information = None
    if not options["quick"]:
        say(f"{what}: information")
        information = measure_information(task, own, seed=options["seed"])
    level, verdict = judge_leak(factor, space, found, p_value, information)
    return Leak(factor, space, own, purpose, found, p_value, shuffled, information, level, verdict)
