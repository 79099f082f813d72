"""The flags that say how a run is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from unmingle.errors import ConfigError

from ._common import check_space, flag, named, say
from ._data import Part, Reading

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.evaluation import Scores
    from unmingle.methods import Method


@dataclass(frozen=True)
class Scoring:
    """How a run is scored."""

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
    quick_audit: bool = False
    """A shorter look, by two probes on at most 2,000 rows; `report` has it in any case."""
    audit_factors: Annotated[str | None, flag("A,B|all", unset="(the roles)")] = None
    """Further factor columns for --audit, or all."""
    judges: bool = False
    """Let recognisers say whether each factor of a swap is as it should be (a minute a factor)."""
    angle: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("FACTOR")] = ()
    """A judged factor whose values go evenly once around: how far off it is, in degrees.
    Repeatable."""
    frechet: bool = False
    """Fréchet distance of swaps to real images in the features of ST-LPIPS's AlexNet (not FID)."""
    disentanglement: Annotated[
        str | None, flag("A,B|quick|all|none", unset="(none; quick in report)")
    ] = None
    """Metrics on the entries of the codes: mig, sap, dci (slow for long codes) and others; quick
    are those that are formulas."""
    part: Annotated[Part | None, flag("held-out|train|all", unset="(held-out)")] = None
    """Which rows, if the run was trained on DATA."""
    pairs: Annotated[int | None, flag("N", unset="(1000; 100 in report)")] = None
    """How many swaps are scored, at most."""
    probe_rows: int = 10_000
    """How many training rows, and test rows, the probes look at, at most."""
    seed: int = 0
    """Seed of pairs, probes and intervals."""

    def __post_init__(self) -> None:
        if self.audit and self.quick_audit:
            raise ConfigError("--audit and --quick-audit: give one of the two")
        if self.audit_factors is not None and not (self.audit or self.quick_audit):
            raise ConfigError(f"--audit-factors {self.audit_factors} needs --audit")
        if self.angle and not self.judges:
            raise ConfigError(f"--angle {' '.join(self.angle)} needs --judges")
        if self.pairs is not None and self.pairs < 1:
            raise ConfigError(f"--pairs {self.pairs}: at least 1")
        if self.probe_rows < 2:
            raise ConfigError(f"--probe-rows {self.probe_rows}: at least 2")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed}: 0 or more")

    def flags(self) -> list[str]:
        """The flags that were given, but --seed."""
        return [
            f"--{field.name.replace('_', '-')}"
            for field in fields(self)
            if field.name != "seed" and getattr(self, field.name) != field.default
        ]

    def check(self, model: Method) -> None:
        """Refuse, before any work, a code space to swap that is not there or is not swapped.

        Raises:
            ConfigError: naming --take and what would use it.
        """
        if self.take is None:
            return
        from unmingle.evaluation.model import space_factors

        check_space(model, self.take, "--take")
        factors = {**space_factors(model), **named(self.role, "--role", "content=pose")}
        transfer = self.metrics != "none" and len(set(factors.values()) - {None}) > 1
        if not (transfer or self.judges or self.frechet):
            raise ConfigError(
                f"--take {self.take}: nothing that is asked for swaps codes; a swap is compared "
                "with its true image where two code spaces have a factor (--role SPACE=FACTOR), "
                "and --judges and --frechet look at swaps"
            )

    def score(
        self,
        model: Method,
        test: FactorDataset,
        train: FactorDataset | None,
        device: str,
        given: Mapping[str, Any],
        *,
        pairs: int = 1000,
        brief: bool = False,
    ) -> Scores:
        """The scores of one model.

        Args:
            given: what `told` returns; kept in the scores' context.
            pairs: swaps at most, if the flag does not say.
            brief: with the quick audit and the quick metrics, if the flags do not ask for others.

        Raises:
            DataError, ConfigError: as `evaluate`.
        """
        from unmingle.evaluation import Extras, evaluate

        more = test.factors if self.audit_factors == "all" else _list(self.audit_factors or "none")
        extras = Extras(
            audit=self.audit,
            quick_audit=self.quick_audit or (brief and not self.audit),
            audit_factors=tuple(more),
            judges=self.judges,
            angles=self.angle,
            frechet=self.frechet,
            disentanglement=_list(self.disentanglement or ("quick" if brief else "none")),
        )
        scores = evaluate(
            model,
            test,
            train=train,
            roles=named(self.role, "--role", "content=pose"),
            probe_factors=named(self.probe_factor, "--probe-factor", "content=pose"),
            take=self.take,
            metrics=None if self.metrics is None else _list(self.metrics),
            probes=_list(self.probes),
            pairs=pairs if self.pairs is None else self.pairs,
            probe_rows=self.probe_rows,
            extras=extras,
            seed=self.seed,
            device=device,
            say=say,
        )
        scores.context["given"] = dict(given)
        return scores


def told(source: str, reading: Reading, part: Part | None) -> dict[str, Any]:
    """What a verb was told of its data, so that a report can print the command."""
    return {"data": source, "part": part, "reading": reading_words(reading)}


def reading_words(reading: Reading) -> list[str]:
    """The flags of `reading` that are given; where decoded files go is no part of the data."""
    words: list[str] = []
    for name, value in reading.given().items():
        if name in ("memory_limit", "cache"):
            continue
        word = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(word)
        else:
            for entry in value if isinstance(value, tuple) else (value,):
                words += [word, str(entry)]
    return words


def _list(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))
