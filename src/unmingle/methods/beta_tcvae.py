"""beta-TCVAE (Chen et al., NeurIPS 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError
from unmingle.losses.variational import decomposed_kl
from unmingle.training.distributed import rank
from unmingle.training.stage import Progress, View

from .settings import check_range
from .vae import VAE, Latent, VAEConfig


@dataclass
class BetaTCVAEConfig(VAEConfig):
    """Settings of beta-TCVAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    beta: float = 6.0
    """Weight of the total correlation; 1 is the VAE."""
    estimator: Literal["weighted", "stratified"] = "weighted"
    """How q(z) is estimated from a batch: minibatch-weighted (the paper's) or stratified, which
    needs a batch of 2 or more and no larger than the training set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("beta",))
        if self.estimator == "stratified" and self.batch == 1:
            raise ConfigError("--batch 1: --estimator stratified needs 2 images or more per step")


class BetaTCVAE(VAE):
    """beta-TCVAE: a VAE with a heavier total correlation, and no more (Chen et al., NeurIPS 2018).

    "Isolating Sources of Disentanglement in Variational Autoencoders", Eq. 4 with alpha = gamma =
    1: of the three parts of the KL divergence only the one that measures how far the dimensions
    are from independent is weighted. Networks and likelihood as in `VAE`.
    """

    name: ClassVar[str] = "beta-tcvae"
    Config: ClassVar[type[Any]] = BetaTCVAEConfig
    config: BetaTCVAEConfig

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: for the stratified estimator no fewer rows than a batch has."""
        batch = self.config.batch or 1
        if self.config.estimator == "stratified" and batch > len(data):
            raise ConfigError(
                f"--batch {batch} is more than the {len(data)} rows of {data.name}, which "
                f"--estimator stratified cannot weigh: use --batch {len(data)} or fewer, or "
                "--estimator weighted"
            )
        return super().check(data)

    def penalty(
        self, latent: Latent, x: View, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """See `VAE.penalty`: KL + (beta - 1) * total correlation.

        The KL divergence is taken in closed form; the sum of the three estimated parts has the
        same mean and more noise.
        """
        divergence, logs = super().penalty(latent, x, progress)
        whole = (x.gather(latent.mean), x.gather(latent.log_variance))
        _, correlation, _ = decomposed_kl(
            latent.code,
            (latent.mean, latent.log_variance),
            whole,
            self.rows,
            estimator=self.config.estimator,
            start=rank() * len(x),
        )
        penalty = divergence + (self.config.beta - 1) * correlation
        return penalty, {**logs, "total_correlation": correlation.detach()}
