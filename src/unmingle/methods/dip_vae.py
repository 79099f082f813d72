"""DIP-VAE-I and DIP-VAE-II (Kumar et al., ICLR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from unmingle.losses.variational import aggregate_covariance, covariance_penalty
from unmingle.training.stage import Progress, View

from .settings import check_range
from .vae import VAE, Latent, VAEConfig


@dataclass
class DIPVAEConfig(VAEConfig):
    """Settings of DIP-VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    variant: Literal["i", "ii"] = "i"
    """i: the covariance of the means of q(z|x) is to be the identity; ii: that of the samples."""
    off_diagonal: float = 10.0
    """Weight lambda_od of the squared covariances."""
    diagonal: float | None = None
    """Weight lambda_d of the variances' squared distances from 1; if not given ten times
    lambda_od for variant i, and lambda_od for variant ii."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diagonal is None:
            self.diagonal = self.off_diagonal * (10.0 if self.variant == "i" else 1.0)
        check_range(self, ("off_diagonal", "diagonal"))


class DIPVAE(VAE):
    """DIP-VAE: a VAE whose codes are kept uncorrelated over the data (Kumar et al., ICLR 2018).

    "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", variants
    I (Eq. 6) and II (Eq. 7). The covariance is the batch's. Networks and likelihood as in `VAE`.
    """

    name: ClassVar[str] = "dip-vae"
    Config: ClassVar[type[Any]] = DIPVAEConfig
    config: DIPVAEConfig

    def penalty(
        self, latent: Latent, x: View, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """See `VAE.penalty`: KL, and the distance of the covariance from the identity."""
        divergence, logs = super().penalty(latent, x, progress)
        config = self.config
        covariance = aggregate_covariance(
            x.gather(latent.mean), x.gather(latent.log_variance), config.variant
        )
        distance = covariance_penalty(covariance, config.off_diagonal, config.diagonal or 0.0)
        return divergence + distance, {**logs, "covariance": distance.detach()}
