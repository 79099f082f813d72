"""Reference-based VAEs: Rb-VAE and sRb-VAE (Ruiz et al., 2019)."""

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
from unmingle.errors import ConfigError, DataError, nearest
from unmingle.losses.latent import gaussian_kl
from unmingle.losses.variational import (
    gaussian_nll,
    log_ratio_regression,
    symmetric_divergence,
)
from unmingle.nn.scaling import Scaling
from unmingle.training.stage import Batch, Context, Group, Player, Progress, Stage, StepResult

from .base import CodeSpace
from .settings import check_range
from .symmetric_vae import SymmetricConfig, log_ratios
from .vae import Latent, NetworkConfig, VariationalMethod


@dataclass
class ReferenceVAEConfig(NetworkConfig):
    """Settings of Rb-VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    reference: str = "set=reference"
    """FACTOR=VALUE (or VALUE,VALUE): the rows of the reference set, in which the target factors
    are constant, as expression=neutral. Of two folders in one: class=FOLDER."""
    pool: Literal["others", "all"] = "others"
    """The unlabelled pool: all other rows, or all rows."""
    target_dim: int = 32
    """Size of the target code e: what is constant in the reference set."""
    common_dim: int = 32
    """Size of the common code z: everything else."""

    def presets(self) -> dict[str, dict[str, Any]]:
        """See `NetworkConfig.presets`. Steps are what a short training lacks: small batches."""
        presets = super().presets()
        presets["laptop"]["batch"] = 16
        return presets

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, ("target_dim", "common_dim"), open_low=True)
        factor, equals, value = self.reference.partition("=")
        if not (factor and equals and value):
            raise ConfigError(
                f"--reference {self.reference}: write FACTOR=VALUE, as in expression=neutral"
            )


@dataclass
class SymmetricReferenceVAEConfig(SymmetricConfig, ReferenceVAEConfig):
    """Settings of sRb-VAE.

    Raises:
        ConfigError: naming the flag that is wrong.
    """


class ReferenceCode(nn.Module):
    """e^r, the learnt code that all reference items share (Ruiz et al. 2019, 4.1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(dim))

    def forward(self, count: int) -> Tensor:
        """float32 [count, dim]."""
        return self.value.expand(count, -1)


class ReferenceVAE(VariationalMethod):
    """Rb-VAE: what a reference set holds constant, and the rest (Ruiz et al., 2019).

    "Learning Disentangled Representations with Reference-Based Variational Autoencoders", Eq. 3.
    An unlabelled pool varies in everything; in the reference set the target factors are constant
    (neutral faces, plain digits). The code `target` (e) takes what is constant there, the code
    `common` (z) the rest; all reference items share one learnt e. `SymmetricReferenceVAE` is the
    variant that makes sure the target code is used.
    """

    name: ClassVar[str] = "reference-vae"
    Config: ClassVar[type[Any]] = ReferenceVAEConfig
    examples: ClassVar[tuple[str, ...]] = (
        "photos/ --size 64 --factors person,expression --reference expression=neutral",
        "shapes3d --draw 4000 --reference shape=cube",
    )
    config: ReferenceVAEConfig

    # ------------------------------------------------------------------ data and networks

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: some rows of the reference set, and some others."""
        reference = reference_rows(data, self.config.reference)
        if reference.all():
            raise DataError(
                f"{data.name}: all {len(data)} rows are of the reference set "
                f"({self.config.reference}); the pool needs others"
            )
        return {"rows": len(data), "reference_rows": int(reference.sum())}

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: two encoders, the generator, the reference code."""
        config = self.config
        both = config.target_dim + config.common_dim
        self.rows = int(facts["rows"])
        return nn.ModuleDict(
            {
                "scaling": Scaling(shape),
                "target_encoder": self.encoder(shape, config.target_dim),
                "common_encoder": self.encoder(shape, config.common_dim),
                "generator": self.generator(both, shape),
                "reference": ReferenceCode(config.target_dim),
                "statistics": self.statistics(),
            }
        )

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: one."""
        return [Reference(self, data)]

    def generate(self, common: Tensor, target: Tensor) -> Tensor:
        """G(z, e), as the networks see items."""
        made: Tensor = self.part("generator")(torch.cat([common, target], dim=1))
        return made

    # ------------------------------------------------------------------ use

    @property
    def code_spaces(self) -> dict[str, CodeSpace]:
        """`target`, which knows the reference set's factor, and `common`, everything else."""
        config, factor = self.config, self.config.reference.partition("=")[0]
        return {
            "target": CodeSpace("target", config.target_dim, factor),
            "common": CodeSpace("common", config.common_dim, None),
        }

    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """The means of q(e|x) and q(z|x)."""
        seen = self.part("scaling")(items)
        return {space: self.infer(f"{space}_encoder", seen)[0] for space in ("target", "common")}

    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """G(z, e)."""
        made: Tensor = self.part("scaling").inverse(self.generate(codes["common"], codes["target"]))
        return made

    @property
    def reference_code(self) -> NDArray[np.float32]:
        """e^r [1, target_dim], to be decoded with any common code: the item's neutral version."""
        self._require_trained()
        code: NDArray[np.float32] = self.part("reference")(1).detach().cpu().numpy()
        return code

    def to_reference(self, items: Any) -> NDArray[Any]:
        """The same items with the target factors of the reference set: G(z, e^r).

        Args:
            items: as for `encode`.

        Returns:
            uint8 [N, H, W, C], or float32 [N, D].
        """
        return self.decode({"target": self.reference_code, "common": self.encode(items)["common"]})

    def synthesise(
        self, items: Any, count: int, seed: int = 0, *, prior: bool = False
    ) -> NDArray[Any]:
        """Conditional synthesis (5.4): the items with new target factors, e drawn as in `draw`.

        Args:
            items: N items as for `encode`, whose common code is kept.
            count: how many of each; the same draws of e for all items.
            seed: of the draws.
            prior: e comes from N(0, I), as in the paper, not from a Gaussian fitted to the pool's
                codes.

        Returns:
            uint8 [N, count, H, W, C], or float32 [N, count, D].
        """
        common = self.encode(items)["common"]
        target = self.draw("target", count, seed, prior=prior)
        made = self.decode(
            {
                "common": np.repeat(common, count, axis=0),
                "target": np.tile(target, (len(common), 1)),
            }
        )
        return made.reshape(len(common), count, *made.shape[1:])


class SymmetricReferenceVAE(ReferenceVAE):
    """sRb-VAE: Rb-VAE with KL in both directions, by discriminators (Ruiz et al., 2019).

    "Learning Disentangled Representations with Reference-Based Variational Autoencoders", Eq. 4-10
    and Algorithm 1. Codes that are drawn must be found again in what is generated from them, so
    the generator cannot leave the target code aside, as that of Rb-VAE may. Discriminators
    d(x, z, e) for the pool and d(x, z) for the reference set learn the log-density ratios.
    """

    name: ClassVar[str] = "symmetric-reference-vae"
    Config: ClassVar[type[Any]] = SymmetricReferenceVAEConfig
    config: SymmetricReferenceVAEConfig

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: Rb-VAE's networks and two discriminators."""
        network: Any = super().build(shape, facts)
        config = self.config
        codes = {"pool": [config.common_dim, config.target_dim], "reference": [config.common_dim]}
        for name, sizes in codes.items():
            network[f"{name}_discriminator"] = config.discriminator(shape, sizes)
        return network  # type: ignore[no-any-return]

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: one, with two players."""
        return [SymmetricReference(self, data)]


class Inferred(NamedTuple):
    """A batch of both sets as the networks see it, with its codes."""

    pool: Tensor
    reference: Tensor
    common: Latent
    """z of the pool, then of the reference set."""
    target: Latent
    """e of the pool; the reference set has e^r."""

    @property
    def items(self) -> Tensor:
        """The pool, then the reference set."""
        return torch.cat([self.pool, self.reference])


class Reference(Stage):
    """The one stage of Rb-VAE (Eq. 3)."""

    name = "reference"

    def __init__(self, method: ReferenceVAE, data: FactorDataset) -> None:
        self.method, self.config, self.data = method, method.config, data

    def setup(self) -> None:
        self.method.part("scaling").fit(self.data.items)

    def sampler(self, context: Context) -> Sampler:
        return context.pool_reference(*self.rows(), self.config.batch or 1)

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the pool, and of the reference set."""
        chosen = reference_rows(self.data, self.config.reference)
        pool = np.arange(len(chosen)) if self.config.pool == "all" else np.flatnonzero(~chosen)
        return pool, np.flatnonzero(chosen)

    def finish(self) -> None:
        self.method.locate("common", "common_encoder", self.data.items)
        self.method.locate("target", "target_encoder", self.data.items, self.rows()[0])

    def players(self) -> Sequence[Player]:
        return [Player("model", [self.model_group()])]

    def model_group(self) -> Group:
        """Encoders, generator and e^r."""
        return self.method.group("target_encoder", "common_encoder", "generator", "reference")

    def infer(self, batch: Batch) -> Inferred:
        """Codes of a batch, z of both sets in one pass."""
        pool, reference = self.see(batch)
        common = self.method.latent(
            "common_encoder", torch.cat([pool, reference]), self.noise(batch)
        )
        noise = batch["pool"].randn(self.config.target_dim)
        target = self.method.latent("target_encoder", pool, noise)
        return Inferred(pool, reference, common, target)

    def see(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Pool and reference set as the networks see them."""
        scaling = self.method.part("scaling")
        return scaling(batch["pool"].images), scaling(batch["reference"].images)

    def noise(self, batch: Batch) -> Tensor:
        """Standard normal numbers of the size of z, for the pool, then for the reference set."""
        size = self.config.common_dim
        return torch.cat([batch["pool"].randn(size), batch["reference"].randn(size)])

    def generate(self, common: Tensor, target: Tensor) -> Tensor:
        """G(z, e) for the pool's e, and G(z, e^r) for the z that are left."""
        reference = self.method.part("reference")(len(common) - len(target))
        return self.method.generate(common, torch.cat([target, reference]))

    def rebuilt(self, found: Inferred) -> Tensor:
        """-E log p(x|z,e) of the pool - E log p(x|z,e^r) of the reference set."""
        made = self.generate(found.common.code, found.target.code)
        # The mean over both sets; twice it is the sum of the two means, as the sets are equal.
        return 2 * self.method.nll(made, found.items)

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        found = self.infer(batch)
        common = 2 * gaussian_kl(found.common.mean, found.common.log_variance)
        target = gaussian_kl(found.target.mean, found.target.log_variance)
        rebuilt = self.rebuilt(found)
        return StepResult(
            {"model": rebuilt + common + target},
            {
                "reconstruction": rebuilt.detach(),
                "common_kl": common.detach(),
                "target_kl": target.detach(),
            },
        )


class SymmetricReference(Reference):
    """The one stage of sRb-VAE: Eq. 8 and 10 for the model, Eq. 9 for the discriminators."""

    name = "symmetric"
    method: SymmetricReferenceVAE

    def players(self) -> Sequence[Player]:
        rate = self.method.config.discriminator_lr
        both = self.method.group("pool_discriminator", "reference_discriminator", lr=rate)
        return [Player("model", [self.model_group()]), Player("discriminators", [both])]

    def infer_both(
        self, batch: Batch, made: Tensor
    ) -> tuple[Inferred, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Codes of a batch; mean and log variance of z, and of the pool's e, of what is `made`."""
        method, (pool, reference) = self.method, self.see(batch)
        items = torch.cat([pool, reference])
        common, z = method.infer_both("common_encoder", items, made, self.noise(batch))
        noise = batch["pool"].randn(method.config.target_dim)
        target, e = method.infer_both("target_encoder", pool, made[: len(pool)], noise)
        return Inferred(pool, reference, common, target), z, e

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        method, config = self.method, self.method.config
        pool, reference = batch["pool"], batch["reference"]
        count = len(pool)
        z, e = self.noise(batch), pool.randn(config.target_dim)
        made = method.as_seen(self.generate(z, e))
        found, found_z, found_e = self.infer_both(batch, made)

        xi, gamma = method.part("pool_discriminator"), method.part("reference_discriminator")
        inferred = found.common.code
        pool_q, pool_p = log_ratios(
            xi,
            pool,
            config.zeroed,
            (found.pool, [inferred[:count], found.target.code]),
            (made[:count], [z[:count], e]),
        )
        reference_q, reference_p = log_ratios(
            gamma,
            reference,
            config.zeroed,
            (found.reference, [inferred[count:]]),
            (made[count:], [z[count:]]),
        )
        divergence = symmetric_divergence(pool_q, pool_p)
        divergence = divergence + symmetric_divergence(reference_q, reference_p)

        rebuilt = self.rebuilt(found)
        codes = 2 * gaussian_nll(z, *found_z) + gaussian_nll(e, *found_e)
        loss = rebuilt + config.code_weight * codes + config.adversarial * divergence
        ratios = log_ratio_regression(pool_q, pool_p)
        ratios = ratios + log_ratio_regression(reference_q, reference_p)
        return StepResult(
            {"model": loss, "discriminators": ratios},
            {
                "reconstruction": rebuilt.detach(),
                "codes": codes.detach(),
                "divergence": divergence.detach(),
            },
        )


def reference_rows(data: FactorDataset, reference: str) -> NDArray[np.bool_]:
    """Which rows are of the reference set, bool [N].

    Args:
        data: with the factor that tells.
        reference: "FACTOR=VALUE" or "FACTOR=VALUE,VALUE", values by name or else by number.

    Raises:
        DataError: no such factor or value, or no row has it.
    """
    factor, _, text = reference.partition("=")
    column, names = data.factor(factor), data.names(factor)
    codes = []
    for value in [text] if text in names else text.split(","):
        if value in names:
            codes.append(names.index(value))
        elif value.isdecimal() and int(value) < len(names):
            codes.append(int(value))
        else:
            raise DataError(f"--reference: {factor} has no value {value!r}.{nearest(value, names)}")
    chosen: NDArray[np.bool_] = np.isin(column, codes)
    if not chosen.any():
        raise DataError(f"--reference {reference}: no row of {data.name} has this value")
    return chosen
