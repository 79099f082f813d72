"""The flags that say how a run is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import ConfigError

from ._common import flag, named, say
from ._data import Part

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
    audit_factors: Annotated[str | None, flag("A,B|all", unset="(the roles)")] = None
    """Further factor columns for --audit, or all."""
    judges: bool = False
    """Let recognisers say whether each factor of a swap is as it should be (a minute a factor)."""
    frechet: bool = False
    """Fréchet distance of swaps to real images in EfficientNet-Lite0's features (not FID)."""
    disentanglement: Annotated[str | None, flag("A,B|all", unset="(none)")] = None
    """Metrics on the entries of the codes: mig, sap, dci (slow for long codes) and others."""
    part: Annotated[Part | None, flag("held-out|train|all", unset="(held-out)")] = None
    """Which rows, if the run was trained on DATA."""
    seed: int = 0
    """Seed of pairs, probes and intervals."""

    def __post_init__(self) -> None:
        if self.audit_factors is not None and not self.audit:
            raise ConfigError(f"--audit-factors {self.audit_factors} needs --audit")

    def score(
        self,
        model: Method,
        test: FactorDataset,
        train: FactorDataset | None,
        pairs: int,
        device: str,
    ) -> Scores:
        """The scores of one model.

        Raises:
            DataError, ConfigError: as `evaluate`.
        """
        from unmingle.evaluation import Extras, evaluate

        more = test.factors if self.audit_factors == "all" else _list(self.audit_factors or "none")
        extras = Extras(
            audit=self.audit,
            audit_factors=tuple(more),
            judges=self.judges,
            frechet=self.frechet,
            disentanglement=_list(self.disentanglement or "none"),
        )
        return evaluate(
            model,
            test,
            train=train,
            roles=named(self.role, "--role", "content=pose"),
            probe_factors=named(self.probe_factor, "--probe-factor", "content=pose"),
            take=self.take,
            metrics=None if self.metrics is None else _list(self.metrics),
            probes=_list(self.probes),
            pairs=pairs,
            extras=extras,
            seed=self.seed,
            device=device,
            say=say,
        )


def _list(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))
