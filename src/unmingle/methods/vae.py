"""The variational autoencoder (Kingma and Welling, ICLR 2014), and what its relatives share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.data.samplers import Sampler
from unmingle.data.storage import Items
from unmingle.errors import ConfigError
from unmingle.losses.latent import gaussian_kl
from unmingle.losses.variational import laplace_nll, posterior, sample
from unmingle.nn.code_statistics import CodeStatistics
from unmingle.nn.pyramid import make_encoder, make_generator
from unmingle.nn.scaling import Scaling
from unmingle.plots import tile
from unmingle.training.schedules import Cosine, Ramp
from unmingle.training.stage import (
    Batch,
    Context,
    Group,
    Player,
    Progress,
    Stage,
    StepResult,
    View,
)

from .base import CodeSpace, Images
from .drawing import DrawingMethod, fit_moments
from .settings import check_range, check_types, use_preset

BETAS = (0.5, 0.99)  # Ruiz et al. (2019), section 5.2
_WARM_UP = 100  # steps


@dataclass
class NetworkConfig:
    """Settings of everything that is made of these encoders and generators.

    Those that are None take the preset's value.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    preset: Literal["laptop", "paper"] = "laptop"
    """laptop: compact networks, minutes on two cores. paper: the published sizes and rates."""
    scale: float | None = None
    """Scale lambda of the Laplace likelihood, for images in [-1, 1]; smaller rebuilds better and
    regularises less."""
    halvings: int | None = None
    """Sizes of an image beside its own, each half of the one before, over which the likelihood's
    distance is averaged. Thin lines are found much sooner with some."""
    batch: int | None = None
    """Images per step; of each set where there are a pool and a reference set."""
    widths: tuple[int, ...] | None = None
    """Channels of an encoder: after its first convolution and each halving. A generator has them
    in reverse."""
    patch: Literal[1, 2] | None = None
    """2: encoders begin at half the image size, and a generator's last maps have it."""
    reach: float | None = None
    """Largest value of the tanh that makes images in [-1, 1]. At 1 black and white are made at
    infinity alone, and where most of an image is black no gradient is left for the rest."""
    lr: float | None = None
    """Learning rate of encoders and generator."""
    final_lr: float | None = None
    """Share of each learning rate that is left at the end (cosine); 1 keeps it constant."""

    def presets(self) -> dict[str, dict[str, Any]]:
        """The values of the settings that are None, by preset."""
        return {
            "paper": {
                "scale": 0.01,
                "halvings": 0,
                "batch": 36,
                "widths": (32, 64, 128, 256, 256),
                "patch": 1,
                "reach": 1.0,
                "lr": 1e-4,
                "final_lr": 1.0,
            },
            "laptop": {
                "scale": 0.1,
                "halvings": 3,
                "batch": 64,
                "widths": (32, 64, 96, 128),
                "patch": 2,
                "reach": 1.2,
                "lr": 1e-3,
                "final_lr": 0.05,
            },
        }

    def __post_init__(self) -> None:
        check_types(self)
        use_preset(self, self.presets())
        check_range(self, ("scale", "batch", "lr", "final_lr"), open_low=True)
        check_range(self, ("halvings",))
        if (self.reach or 0) < 1:
            raise ConfigError(f"--reach must be 1 or more, not {self.reach}")
        if len(self.widths or ()) < 2 or min(self.widths or (0,)) < 1:
            raise ConfigError("--widths needs two or more positive numbers")


@dataclass
class VAEConfig(NetworkConfig):
    """Settings of the VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    latent_dim: int = 32
    """Size of the code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("latent_dim",), open_low=True)


class Latent(NamedTuple):
    """q(z|x) of a batch and a sample of it, float32 [b, dim] each."""

    mean: Tensor
    log_variance: Tensor
    code: Tensor


class VariationalMethod(DrawingMethod):
    """What all methods with these encoders and generators share."""

    config: NetworkConfig
    rows: int
    """Size of the training set."""

    def encoder(self, shape: tuple[int, ...], dim: int) -> nn.Module:
        """From items to the numbers of q of a code of `dim` entries."""
        config = self.config
        return make_encoder(shape, 2 * dim, config.widths or (), patch=config.patch or 1)

    def generator(self, dim: int, shape: tuple[int, ...]) -> nn.Module:
        """From `dim` entries to items."""
        config = self.config
        widths = (config.widths or ())[::-1]
        return make_generator(dim, shape, widths, config.patch or 1, config.reach or 1.0)

    def part(self, name: str) -> Any:
        """A part of the network."""
        return self.network[name]  # type: ignore[index]

    def nll(self, made: Tensor, seen: Tensor) -> Tensor:
        """-E log p(x|z), the mean over the batch."""
        return laplace_nll(made, seen, self.config.scale or 1.0, self.config.halvings or 0)

    def as_seen(self, made: Tensor) -> Tensor:
        """Generated items as they come out of `decode`: images within [-1, 1], as true ones are.

        A `reach` above 1 would else tell a discriminator that an image is no true one. The
        gradient passes as if nothing had been cut.
        """
        if len(self.data_shape) != 3:
            return made
        return made + (made.clamp(-1, 1) - made).detach()

    def infer(self, name: str, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q by the encoder `name`, of items as the networks see them."""
        return posterior(self.part(name)(seen))

    def latent(self, name: str, seen: Tensor, noise: Tensor) -> Latent:
        """q by the encoder `name` with a sample of it."""
        mean, log_variance = self.infer(name, seen)
        return Latent(mean, log_variance, sample(mean, log_variance, noise))

    def infer_both(
        self, name: str, seen: Tensor, made: Tensor, noise: Tensor
    ) -> tuple[Latent, tuple[Tensor, Tensor]]:
        """q of items with a sample of it, and mean and log variance of q of generated ones."""
        mean, log_variance = self.infer(name, torch.cat([seen, made]))
        own = mean[: len(seen)], log_variance[: len(seen)]
        return Latent(*own, sample(*own, noise)), (mean[len(seen) :], log_variance[len(seen) :])

    def group(self, *names: str, lr: float | None = None) -> Group:
        """The parameters of some parts, with their learning rate and its schedule."""
        params = [p for name in names for p in self.part(name).parameters()]
        schedule = Cosine(self.config.final_lr or 0.0) * Ramp(steps=_WARM_UP)
        return Group(params, lr or self.config.lr or 0.0, schedule, BETAS, name=names[0])

    def statistics(self) -> nn.ModuleDict:
        """Moments of every code, for a network that is being built."""
        return nn.ModuleDict(
            {k: CodeStatistics(space.dim) for k, space in self.code_spaces.items()}
        )

    def locate(
        self, space: str, encoder: str, items: Items, rows: NDArray[np.int64] | None = None
    ) -> None:
        """Fit the moments of a code to what an encoder finds in some rows of the training data."""

        def posterior(batch: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_variance = self.infer(encoder, self.part("scaling")(batch))
            return mean, (log_variance / 2).exp()

        fit_moments(self.part("statistics")[space], posterior, items, rows)

    def _drawn(self, space: str, count: int, random: np.random.Generator) -> NDArray[np.float32]:
        """See `draw`."""
        return self._by_moments(self.part("statistics")[space], count, random)


class VAE(VariationalMethod):
    """VAE: one code of independent dimensions, from nothing but items (Kingma and Welling, 2014).

    "Auto-Encoding Variational Bayes", with the networks, the Laplace likelihood and the rates
    that Ruiz et al. (2019) give all methods they compare. Beside them stand the other unsupervised
    VAEs, each of which changes `penalty`; `docs/vae.md` has them all.
    """

    name: ClassVar[str] = "vae"
    Config: ClassVar[type[Any]] = VAEConfig
    config: VAEConfig

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: anything will do."""
        return {"rows": len(data)}

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: encoder and generator."""
        config = self.config
        self.rows = int(facts["rows"])
        return nn.ModuleDict(
            {
                "scaling": Scaling(shape),
                "encoder": self.encoder(shape, config.latent_dim),
                "generator": self.generator(config.latent_dim, shape),
                "statistics": self.statistics(),
            }
        )

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: one."""
        return [Variational(self, data)]

    def penalty(
        self, latent: Latent, x: View, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """What is added to the reconstruction: KL(q(z|x) || p(z)), Eq. 1 of Ruiz et al.

        Args:
            latent: q(z|x) of the batch.
            x: the batch, for what must be seen over all processes.
            progress: how far training is.

        Returns:
            The penalty, and scalars to be logged.
        """
        divergence = gaussian_kl(latent.mean, latent.log_variance)
        return divergence, {"kl": divergence.detach()}

    # ------------------------------------------------------------------ use

    @property
    def code_spaces(self) -> dict[str, CodeSpace]:
        """`latent`: all there is."""
        return {"latent": CodeSpace("latent", self.config.latent_dim, None)}

    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """The mean of q(z|x)."""
        return {"latent": self.infer("encoder", self.part("scaling")(items))[0]}

    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """G(z)."""
        items: Tensor = self.part("scaling").inverse(self.part("generator")(codes["latent"]))
        return items

    def _preview(self) -> Images:
        """Rows of training images, each with its reconstructions below; last a row of samples."""
        side = 7  # as other methods' pictures of swaps
        rows = torch.linspace(0, len(self._previewed) - 1, 3 * side).long().numpy()
        true = np.asarray(self._previewed[rows])
        cells = np.concatenate([true, self.reconstruct(true), self.sample(side)])
        lines = cells.reshape(side, side, *self.data_shape)
        return tile(lines[[0, 3, 1, 4, 2, 5, 6]])


class Variational(Stage):
    """The one stage: minimise -E log p(x|z) + `penalty` (Eq. 1)."""

    name = "variational"

    def __init__(self, method: VAE, data: FactorDataset) -> None:
        self.method, self.config, self.data = method, method.config, data

    def setup(self) -> None:
        self.method.part("scaling").fit(self.data.items)

    def players(self) -> Sequence[Player]:
        return [Player("model", [self.method.group("encoder", "generator")])]

    def sampler(self, context: Context) -> Sampler:
        return context.rows(self.config.batch or 1)

    def finish(self) -> None:
        self.method.locate("latent", "encoder", self.data.items)

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, method = batch["x"], self.method
        seen = method.part("scaling")(x.images)
        latent = method.latent("encoder", seen, x.randn(self.config.latent_dim))
        rebuilt = method.nll(method.part("generator")(latent.code), seen)
        penalty, logs = method.penalty(latent, x, progress)
        losses = {"model": rebuilt + penalty, **self.more_losses(latent, x)}
        return StepResult(losses, {"reconstruction": rebuilt.detach(), **logs})

    def more_losses(self, latent: Latent, x: View) -> dict[str, Tensor]:
        """Losses of further players."""
        return {}
