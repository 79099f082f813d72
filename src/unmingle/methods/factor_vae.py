"""FactorVAE (Kim and Mnih, ICML 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.losses.variational import log_ratio_regression
from unmingle.nn.discriminators import CodeDiscriminator
from unmingle.training.stage import Player, Progress, Stage, View

from .settings import check_range
from .vae import VAE, Latent, VAEConfig, Variational


@dataclass
class FactorVAEConfig(VAEConfig):
    """Settings of FactorVAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    gamma: float = 10.0
    """Weight of the total correlation; 0 is the VAE."""
    discriminator_width: int | None = None
    """Width of the discriminator's five hidden layers."""
    discriminator_lr: float | None = None
    """Learning rate of the discriminator."""

    def presets(self) -> dict[str, dict[str, Any]]:
        """See `NetworkConfig.presets`."""
        known = super().presets()
        known["paper"].update(discriminator_width=1000, discriminator_lr=1e-4)
        # As in the paper that of the model: a slower one estimates the codes of long ago.
        known["laptop"].update(discriminator_width=256, discriminator_lr=1e-3)
        return known

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("gamma",))
        check_range(self, ("discriminator_width", "discriminator_lr"), open_low=True)


class FactorVAE(VAE):
    """FactorVAE: a discriminator keeps the code's dimensions independent (Kim and Mnih, 2018).

    "Disentangling by Factorising", Eq. 2 and Algorithm 2: the total correlation is estimated by a
    discriminator between codes and codes whose dimensions are shuffled over the batch, each by
    itself. Networks and likelihood as in `VAE`.
    """

    name: ClassVar[str] = "factor-vae"
    Config: ClassVar[type[Any]] = FactorVAEConfig
    config: FactorVAEConfig

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: encoder, generator and discriminator."""
        network: Any = super().build(shape, facts)
        width = self.config.discriminator_width or 1
        network["discriminator"] = CodeDiscriminator(self.config.latent_dim, width)
        return network  # type: ignore[no-any-return]

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: one, with two players."""
        return [Factorising(self, data)]

    def penalty(
        self, latent: Latent, x: View, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """See `VAE.penalty`: KL + gamma * E log(D / (1 - D)), which is the logit's mean."""
        divergence, logs = super().penalty(latent, x, progress)
        correlation = self.part("discriminator")(latent.code).mean()
        penalty = divergence + self.config.gamma * correlation
        return penalty, {**logs, "total_correlation": correlation.detach()}


class Factorising(Variational):
    """The VAE's stage with a discriminator beside it (Algorithm 2)."""

    method: FactorVAE

    def players(self) -> Sequence[Player]:
        rate = self.method.config.discriminator_lr
        group = self.method.group("discriminator", lr=rate)
        return [*super().players(), Player("discriminator", [group])]

    def more_losses(self, latent: Latent, x: View) -> dict[str, Tensor]:
        """The discriminator's: codes against codes with shuffled dimensions."""
        codes = latent.code.detach()
        whole = x.gather(codes)
        order = torch.stack([x.permutation() for _ in range(codes.shape[1])], dim=1)
        shuffled = whole.gather(0, order)
        score = self.method.part("discriminator")
        return {"discriminator": log_ratio_regression(score(codes), score(shuffled)) / 2}
