"""`unmingle evaluate`: scores on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, flag, named, parse, required, say
from ._data import Part, Reading, rows_for


@dataclass(frozen=True, kw_only=True)
class Evaluate(Using):
    """Flags of `evaluate`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """The data that it was trained on (its held-out rows are scored), or others."""
    reading: Reading
    role: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("SPACE=FACTOR")] = ()
    """The factor that a code should carry, where the run does not say: content=pose, or
    content=azimuth,elevation. With it the true image of every swap is found. Repeatable."""
    probe_factor: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("SPACE=FACTOR")] = ()
    """Another factor for the probes, where some values of the role look the same. Repeatable."""
    take: Annotated[str | None, flag("SPACE", unset="(the first)")] = None
    """The code space that is swapped."""
    metrics: Annotated[str | None, flag("A,B|none", unset="(all four)")] = None
    """Distances to the true images: st_lpips_alex, st_lpips_vgg, mse, ssim."""
    probes: Annotated[str, flag("A,B|none", unset="(linear,mlp)")] = "linear,mlp"
    """What looks for factors in the codes: linear, mlp, knn, boosted."""
    audit: bool = False
    """Look for what leaks: each factor in every code it does not belong to (a minute or two)."""
    audit_factors: Annotated[str | None, flag("A,B|all", unset="(the roles)")] = None
    """Further factor columns for --audit, or all."""
    judges: bool = False
    """Let recognisers say whether each factor of a swap is as it should be (a minute a factor)."""
    frechet: bool = False
    """Fréchet distance of swaps to real images in EfficientNet-Lite0's features (not FID)."""
    disentanglement: Annotated[str | None, flag("A,B|all", unset="(none)")] = None
    """Metrics on the entries of the codes: mig, sap, dci (slow for long codes) and others."""
    pairs: int = 1000
    """How many swaps are scored, at most."""
    part: Annotated[Part | None, flag("held-out|train|all", unset="(held-out)")] = None
    """Which rows, if the run was trained on DATA."""
    json: Annotated[Path | None, flag("FILE")] = None
    """Also write all scores here."""
    seed: int = 0
    """Seed of pairs, probes and intervals."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Evaluate,
        argv,
        "evaluate",
        "Scores: swaps against the true image where the data have it, beside what copying would "
        "score; reconstruction; and what each code tells about each factor, beside chance.",
        "evaluate runs/a photos/",
        "evaluate runs/a sprites.npz --role content=pose --probe-factor content=pose_merged",
        "evaluate runs/a sprites.npz --role content=pose --audit --judges --json scores.json",
    )
    if args.json is not None:
        check_output(args.json, (".json",), args.overwrite, "--json")
    if args.audit_factors is not None and not args.audit:
        raise ConfigError(f"--audit-factors {args.audit_factors} needs --audit")
    from unmingle.evaluation import Extras, evaluate
    from unmingle.training.hardware import choose_device

    model = args.model()
    rows = rows_for(model, args.data, args.reading)
    test = rows.part(args.part)
    more = test.factors if args.audit_factors == "all" else _list(args.audit_factors or "none")
    extras = Extras(
        audit=args.audit,
        audit_factors=tuple(more),
        judges=args.judges,
        frechet=args.frechet,
        disentanglement=_list(args.disentanglement or "none"),
    )
    scores = evaluate(
        model,
        test,
        train=None if test is rows.whole else rows.train,
        roles=named(args.role, "--role", "content=pose"),
        probe_factors=named(args.probe_factor, "--probe-factor", "content=pose"),
        take=args.take,
        metrics=None if args.metrics is None else _list(args.metrics),
        probes=_list(args.probes),
        pairs=args.pairs,
        extras=extras,
        seed=args.seed,
        device=choose_device(args.device),
        say=say,
    )
    print(scores.table())
    if args.json is not None:
        scores.save(args.json, overwrite=args.overwrite)
        say(f"{args.json}: all scores")


def _list(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))
