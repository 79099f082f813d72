"""The VAE with a growing capacity (Burgess et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from unmingle.losses.variational import capacity_penalty
from unmingle.training.schedules import Linear
from unmingle.training.stage import Progress, View

from .settings import check_range
from .vae import VAE, Latent, VAEConfig


@dataclass
class AnnealedVAEConfig(VAEConfig):
    """Settings of the annealed VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    gamma: float = 1000.0
    """Weight of the distance between KL divergence and capacity."""
    capacity: float = 50.0
    """Capacity C at the end, in nats; it grows from 0."""
    growth: float = 0.8
    """Share of the training in which the capacity grows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("gamma", "capacity"))
        check_range(self, ("growth",), high=1.0 + 1e-9, open_low=True)


class AnnealedVAE(VAE):
    """Annealed VAE: the code's capacity grows while it trains (Burgess et al., 2018).

    "Understanding disentangling in beta-VAE", Eq. 8: the KL divergence is held at a capacity that
    grows from 0, so that the code takes up one factor after the other, the one that gains most
    first. Networks and likelihood as in `VAE`.
    """

    name: ClassVar[str] = "annealed-vae"
    Config: ClassVar[type[Any]] = AnnealedVAEConfig
    config: AnnealedVAEConfig

    def penalty(
        self, latent: Latent, x: View, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """See `VAE.penalty`: gamma * |KL - C|."""
        config = self.config
        divergence, logs = super().penalty(latent, x, progress)
        growing = Linear(0.0, config.capacity, config.growth)
        capacity = growing(progress.fraction, progress.step)
        # Of the whole batch: |mean| is not the mean of the processes' |.|.
        whole = x.mean(divergence.reshape(1))
        return capacity_penalty(whole, capacity, config.gamma), {**logs, "capacity": capacity}
