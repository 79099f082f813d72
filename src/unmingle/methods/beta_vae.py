"""beta-VAE (Higgins et al., ICLR 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from unmingle.training.stage import Progress, View

from .settings import check_range
from .vae import VAE, Latent, VAEConfig


@dataclass
class BetaVAEConfig(VAEConfig):
    """Settings of beta-VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    beta: float = 4.0
    """Weight of the KL divergence; 1 is the VAE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("beta",))


class BetaVAE(VAE):
    """beta-VAE: a VAE with a heavier KL divergence (Higgins et al., ICLR 2017).

    "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", Eq. 4. A
    weight above 1 leaves the code less room, and what shares it out tends to be one factor a
    dimension. Networks and likelihood as in `VAE`.
    """

    name: ClassVar[str] = "beta-vae"
    Config: ClassVar[type[Any]] = BetaVAEConfig
    config: BetaVAEConfig

    def penalty(
        self, latent: Latent, x: View, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """See `VAE.penalty`: beta * KL."""
        divergence, logs = super().penalty(latent, x, progress)
        return self.config.beta * divergence, logs
