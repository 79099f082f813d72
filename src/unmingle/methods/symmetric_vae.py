"""The symmetric VAE (Pu et al., AISTATS 2018), as Ruiz et al. (2019) compare with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError
from unmingle.losses.variational import (
    gaussian_nll,
    log_ratio_regression,
    symmetric_divergence,
)
from unmingle.nn.discriminators import JointDiscriminator
from unmingle.training.stage import Batch, Player, Progress, Stage, StepResult, View

from .settings import check_range
from .vae import VAE, NetworkConfig, VAEConfig, Variational

_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "discriminator_widths": (32, 64, 128, 256, 256),
        "discriminator_hidden": 256,
        "discriminator_lr": 1e-4,
    },
    "laptop": {
        "discriminator_widths": (32, 64, 96, 128),
        "discriminator_hidden": 128,
        "discriminator_lr": 3e-4,
    },
}


@dataclass
class SymmetricConfig(NetworkConfig):
    """Settings of everything whose KL divergence is symmetric, by discriminators.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    adversarial: float = 1.0
    """Weight of the symmetric KL divergence as the discriminators estimate it (Eq. 8)."""
    code_weight: float = 1.0
    """Weight of the reconstruction of drawn codes from the items generated from them (Eq. 10)."""
    zeroed: float = 0.25
    """Chance that an input of the discriminators' last layers (item, code) is zeroed."""
    discriminator_widths: tuple[int, ...] | None = None
    """Channels of the discriminators' image networks."""
    discriminator_hidden: int | None = None
    """Features of each input of the discriminators' last layers."""
    discriminator_lr: float | None = None
    """Learning rate of the discriminators."""

    def presets(self) -> dict[str, dict[str, Any]]:
        """See `NetworkConfig.presets`."""
        return {name: {**values, **_PRESETS[name]} for name, values in super().presets().items()}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("adversarial", "code_weight"))
        check_range(self, ("zeroed",), high=1)
        check_range(self, ("discriminator_hidden", "discriminator_lr"), open_low=True)
        widths = self.discriminator_widths or ()
        if len(widths) < 2 or min(widths) < 1:
            raise ConfigError("--discriminator-widths needs two or more positive numbers")

    def discriminator(self, shape: tuple[int, ...], codes: Sequence[int]) -> JointDiscriminator:
        """d of items and of codes of these sizes."""
        widths, hidden = self.discriminator_widths or (), self.discriminator_hidden or 1
        return JointDiscriminator(shape, codes, widths, hidden, self.patch or 1)


@dataclass
class SymmetricVAEConfig(SymmetricConfig, VAEConfig):
    """Settings of the symmetric VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """


def log_ratios(
    d: JointDiscriminator,
    x: View,
    zeroed: float,
    in_q: tuple[Tensor, Sequence[Tensor]],
    in_p: tuple[Tensor, Sequence[Tensor]],
) -> tuple[Tensor, Tensor]:
    """d at samples of q and at as many of p, [b] each.

    Args:
        d: discriminator.
        x: the batch, for its random numbers.
        zeroed: chance of each input of d's last layers to be zeroed. The choice is the same on
            both sides, so that they differ in nothing else.
        in_q: items as the networks see them, and their inferred codes.
        in_p: generated items, and the codes they were generated from.
    """
    keep = (x.rand(d.inputs) >= zeroed).float()
    codes = [torch.cat(pair) for pair in zip(in_q[1], in_p[1], strict=True)]
    # One pass: on small batches the price of a pass hardly depends on what goes through.
    found = d(torch.cat([in_q[0], in_p[0]]), codes, torch.cat([keep, keep]))
    first, second = found.chunk(2)
    return first, second


class SymmetricVAE(VAE):
    """Symmetric VAE: KL in both directions, by a discriminator (Pu et al., AISTATS 2018).

    "Symmetric Variational Autoencoder and Connections to Adversarial Learning", in the form that
    Ruiz et al. (2019) compare with: their Eq. 8 and 10 without a reference set. A discriminator
    d(x, z) learns log q(x,z)/p(x,z); images and codes are also rebuilt explicitly. Networks and
    likelihood as in `VAE`.
    """

    name: ClassVar[str] = "symmetric-vae"
    Config: ClassVar[type[Any]] = SymmetricVAEConfig
    config: SymmetricVAEConfig

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: encoder, generator and discriminator."""
        network: Any = super().build(shape, facts)
        network["discriminator"] = self.config.discriminator(shape, [self.config.latent_dim])
        return network  # type: ignore[no-any-return]

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: one, with two players."""
        return [Symmetric(self, data)]


class Symmetric(Variational):
    """The one stage: Eq. 8 and 10 for the model, Eq. 9 for the discriminator."""

    name = "symmetric"
    method: SymmetricVAE

    def players(self) -> Sequence[Player]:
        group = self.method.group("discriminator", lr=self.method.config.discriminator_lr)
        return [*super().players(), Player("discriminator", [group])]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, method, config = batch["x"], self.method, self.method.config
        generator, d = method.part("generator"), method.part("discriminator")
        seen = method.part("scaling")(x.images)
        noise, drawn = x.randn(config.latent_dim), x.randn(config.latent_dim)
        made = method.as_seen(generator(drawn))
        latent, found = method.infer_both("encoder", seen, made, noise)

        in_q, in_p = log_ratios(d, x, config.zeroed, (seen, [latent.code]), (made, [drawn]))
        divergence = symmetric_divergence(in_q, in_p)
        rebuilt = method.nll(generator(latent.code), seen)
        codes = gaussian_nll(drawn, *found)
        loss = rebuilt + config.code_weight * codes + config.adversarial * divergence
        return StepResult(
            {"model": loss, "discriminator": log_ratio_regression(in_q, in_p)},
            {
                "reconstruction": rebuilt.detach(),
                "codes": codes.detach(),
                "divergence": divergence.detach(),
            },
        )
