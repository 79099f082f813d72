"""Content and style without labels: C-S DisMo (Ren, Yang, Wang and Zeng, ICCVW 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.data.samplers import Sampler
from unmingle.errors import ConfigError, DataError, RunError
from unmingle.losses.bottleneck import capacity_gap, mean_absolute_codes
from unmingle.losses.instance import instance_softmax, swap_consistency
from unmingle.nn.augment import NOISE, augment
from unmingle.nn.components import Subspace
from unmingle.nn.encoder import ConvEncoder
from unmingle.nn.fusion import FusionGenerator
from unmingle.nn.latent import LatentTable
from unmingle.nn.resnet import MemoryBank, ResNet18
from unmingle.nn.starts import layout_and_statistics
from unmingle.training.distributed import broadcast_state
from unmingle.training.images import ImageSource
from unmingle.training.schedules import Cosine, Linear, Ramp, Schedule
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

from .base import Codes, CodeSpace, Images, Method, load
from .distance import ImageDistance, stored_bytes
from .settings import check_range, check_types, flag, use_preset

_BETAS = (0.9, 0.999)
_EMBEDDING = 128  # of instance discrimination (Wu et al. 2018)
_DISCRIMINATION = ("discriminator.", "bank.")  # the parts of the network that are for it
_CAPACITY_SHARE = 0.5
_START_COMPONENTS = 12  # few: what distinguishes many images, not each one's details
_STYLE_NORM = 8.0  # of a style code at the start; the noise on 256 entries has norm 16
_POSITIVE = (
    "content_dim style_dim domain_dim batch head_width encoder_stride discriminator_stem "
    "negatives temperature swapped generator_lr code_lr encoder_lr discriminator_lr final_lr"
)
_NOT_NEGATIVE = (
    "noise reconstruction_weight bottleneck_weight discrimination_weight content_gamma "
    "style_gamma capacity_steps perceptual_weight recombined floor"
)
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "discrimination_weight": 1.0,
        "content_capacity": (2.0, 5.0),
        "content_gamma": 1.0,
        "style_capacity": (0.0, 0.0),
        "style_gamma": 0.0,
        "capacity_steps": 140_000,
        "generator_widths": (256, 256, 256, 256, 256),
        "head_width": 64,
        "head_kernels": (5, 7),
        "encoder_widths": (64, 128, 256, 256, 256),
        "encoder_stride": 1,
        "encoder_input": "plain",
        "discriminator_widths": (64, 128, 256, 512),
        "discriminator_stem": 7,
        "swapped": 64,
        "generator_lr": 3e-4,
        "code_lr": 3e-3,
        "encoder_lr": 3e-4,
        "discriminator_lr": 3e-4,
        "final_lr": 1.0,
        "start": "uniform",
        "half_size": 0.0,
        "instances": 0.2,
        "second_stage": 0.2,
        "recombined": 0.0,
        "floor": 0.0,
    },
    "laptop": {
        "discrimination_weight": 0.0,
        "content_capacity": (40.0, 60.0),
        "content_gamma": 2e-3,
        "style_capacity": (0.0, 0.0),
        "style_gamma": 1e-3,
        "capacity_steps": 0,
        "generator_widths": (128, 128, 64, 32, 32),
        "head_width": 16,
        "head_kernels": (3, 3),
        "encoder_widths": (32, 64, 96, 128, 128),
        "encoder_stride": 2,
        "encoder_input": "centred",
        "discriminator_widths": (16, 32, 64, 128),
        "discriminator_stem": 3,
        "swapped": 16,
        "generator_lr": 2e-3,
        "code_lr": 3e-2,
        "encoder_lr": 1e-3,
        "discriminator_lr": 1e-3,
        "final_lr": 0.03,
        "start": "components",
        "half_size": 0.6,
        "instances": 0.1,
        "second_stage": 0.2,
        "recombined": 1.0,
        "floor": 0.1,
    },
}


@dataclass
class ContentStyleConfig:
    """Settings of ContentStyle. Those that are None take the preset's value.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    preset: Literal["laptop", "paper"] = "laptop"
    """laptop: compact networks, minutes on two cores. paper: the published sizes and rates."""
    content_dim: int = 128
    """Size of the content code."""
    style_dim: int = 256
    """Size of the style code."""
    domain_factor: str | None = None
    """A factor column that tells which domain an image is of (drawn, photographed); each domain
    then has one learnt code, used beside the style (Fig. 17). None: no domains."""
    domain_dim: int = 32
    """Size of a domain's code."""
    fusion: Literal["multiple", "single", "concat"] = "multiple"
    """How the style enters: before every layer, before the first one only, or beside the content
    (Fig. 2)."""
    normalisation: Literal["instance", "l2", "none"] = "instance"
    """What gives all content codes one distribution: Gaussian, the sphere, or nothing (Fig. 2,
    Fig. 4). l2 suits views taken all around an object. With --fusion concat nothing is
    normalised."""
    variant: Literal["latent", "amortised"] = "latent"
    """Codes are optimised directly, or come from encoders from the start (Fig. 12)."""
    noise: float = 1.0
    """Standard deviation of the noise on both codes, the reparametric module R; 0 leaves it out."""
    reconstruction_weight: float = 5.0
    """Weight w_P of the perceptual loss (Eq. 5)."""
    bottleneck_weight: float = 1.0
    """Weight w_IB of the information bottleneck; 0 leaves it out."""
    discrimination_weight: float | None = None
    """Weight w_ID of instance discrimination; 0 leaves it out."""
    content_gamma: float | None = None
    """Weight gamma_c of the content in the bottleneck (Eq. 8)."""
    style_gamma: float | None = None
    """Weight gamma_s of the style in the bottleneck."""
    content_capacity: tuple[float, float] | None = None
    """C_c at the start and at its largest: the squared length that content codes are held to."""
    style_capacity: tuple[float, float] | None = None
    """C_s likewise; 0 0 makes the style's term a decay."""
    capacity_steps: int | None = None
    """Steps in which the capacities grow; 0: the share of the stage in --capacity-share."""
    capacity_share: float | None = None
    """Share of the latent stage in which the capacities grow, with --capacity-steps 0."""
    perceptual: Literal["efficientnet-lite0", "vgg16", "none"] = "efficientnet-lite0"
    """Frozen network of the perceptual loss; vgg16 (the paper's) is downloaded once, 528 MB."""
    perceptual_weight: float = 0.2
    """Weight of each layer's relative difference (efficientnet-lite0); VGG16's layers count 1."""
    batch: int = 64
    """Images per step."""
    swapped: int | None = None
    """Images of each step that are swapped for instance discrimination, at most the batch."""
    negatives: int = 4096
    """Other images each one is told from, drawn at random; all of them where there are fewer."""
    temperature: float = 0.07
    """Temperature of the softmax over images."""
    instances: float | None = None
    """Share of the budget in which the instance discrimination network is trained first."""
    discriminator_from: str | None = None
    """A run on the same rows whose instance discrimination network is taken, with its memory bank;
    none is trained then, and the budget is for the rest."""
    second_stage: float | None = None
    """Share of the budget for the encoders (Eq. 6)."""
    recombined: float | None = None
    """Weight, for the encoders, of the codes' errors on swaps made by the generator; 0 in the
    paper."""
    floor: float | None = None
    """The encoders' codes keep the directions along which the optimised ones have a variance above
    this share of the noise's; 0 keeps all, as in the paper."""
    half_size: float | None = None
    """Share of the latent stage that is trained at half the image size."""
    start: Literal["uniform", "components"] | None = None
    """Codes start uniform in +-0.05 (paper), or from principal components: contents of where
    things are in the image, styles of what there is of them."""
    generator_widths: tuple[int, ...] | None = None
    """Channels of the coarsest feature map and after each up-sampling block."""
    head_width: int | None = None
    """Channels between the generator's last two convolutions."""
    head_kernels: tuple[int, int] | None = None
    """Kernel sizes of the generator's last two convolutions."""
    encoder_widths: tuple[int, ...] | None = None
    """Channels of the encoders' convolutions."""
    encoder_stride: int | None = None
    """Stride of the encoders' first convolution."""
    encoder_input: Literal["plain", "centred"] | None = None
    """Pixels as the encoders see them: plain, in [0, 1], or centred, in [-2, 2]."""
    discriminator_widths: tuple[int, int, int, int] | None = None
    """Channels of the four groups of the ResNet-18 for instance discrimination."""
    discriminator_stem: int | None = None
    """Kernel size of its first convolution."""
    generator_lr: float | None = None
    """Learning rate of the generator."""
    code_lr: float | None = None
    """Learning rate of the codes."""
    encoder_lr: float | None = None
    """Learning rate of the encoders."""
    discriminator_lr: float | None = None
    """Learning rate of the instance discrimination network."""
    final_lr: float | None = None
    """Share of each learning rate that is left at the end of a stage (cosine)."""

    def __post_init__(self) -> None:
        check_types(self)
        use_preset(self, _PRESETS)
        if self.domain_factor == "":
            raise ConfigError("--domain-factor needs the name of a factor column")
        check_range(self, _POSITIVE.split(), open_low=True)
        check_range(self, _NOT_NEGATIVE.split())
        check_range(self, ("half_size",), high=1)
        check_range(self, ("instances", "second_stage"), high=1, open_low=True)
        self._check_capacity_share()
        self._check_discrimination()
        for name in ("generator_widths", "encoder_widths", "discriminator_widths"):
            widths = getattr(self, name)
            if len(widths) < 2 or min(widths) < 1:
                raise ConfigError(f"--{flag(name)} needs two or more positive numbers")
        for name in ("content_capacity", "style_capacity"):
            if not all(0 <= value < float("inf") for value in getattr(self, name)):
                raise ConfigError(f"--{flag(name)} must be two numbers of 0 or more")
        if any(k < 1 or k % 2 == 0 for k in self.head_kernels or ()):
            raise ConfigError("--head-kernels must be two odd numbers")
        if (self.discriminator_stem or 1) % 2 == 0:
            raise ConfigError("--discriminator-stem must be an odd number")
        if self.discriminates + self.encodes >= 1:
            raise ConfigError("--instances and --second-stage together leave nothing of the budget")

    def _check_capacity_share(self) -> None:
        if self.capacity_steps:
            if self.capacity_share is not None:
                raise ConfigError(
                    f"--capacity-share {self.capacity_share:g} does nothing beside --capacity-steps"
                    f" {self.capacity_steps}: add --capacity-steps 0"
                )
            return
        if self.capacity_share is None:
            self.capacity_share = _CAPACITY_SHARE
        if not 0 < self.capacity_share <= 1:
            raise ConfigError(
                f"--capacity-share must be above 0 and at most 1, not {self.capacity_share}"
            )

    def _check_discrimination(self) -> None:
        if self.discriminator_from is not None and not self.discrimination_weight:
            raise ConfigError(
                f"--discriminator-from {self.discriminator_from}: add --discrimination-weight 1, "
                "without which no instance discrimination is used"
            )
        if self.discrimination_weight and self.batch < 2:
            raise ConfigError(
                "--batch 1 leaves no other image to swap with: instance discrimination needs 2 or "
                "more, or --discrimination-weight 0"
            )

    @property
    def discriminates(self) -> float:
        """Share of the budget for the instance discrimination network; 0 if none is trained."""
        trained = self.discrimination_weight and self.discriminator_from is None
        return (self.instances or 0.0) if trained else 0.0

    @property
    def encodes(self) -> float:
        """Share of the budget for encoders of their own."""
        return (self.second_stage or 0.0) if self.variant == "latent" else 0.0


class ContentStyle(Method):
    """C-S DisMo: content and style, nothing told (Ren, Yang, Wang and Zeng, ICCVW 2021).

    "Rethinking Content and Style: Exploring Bias for Unsupervised Disentanglement". Every image
    has a content and a style code, both optimised directly together with the generator. Content
    codes are normalised, so that they share one distribution; the style scales and shifts it
    before every layer (Eq. 3). Noise on both codes, a capacity that grows (Eq. 8) and instance
    discrimination (Eq. 7) keep what all images share in the content. Encoders then learn the codes
    (Eq. 6). Published settings are the preset `paper`; `docs/content-style.md` lists where this
    differs from the paper.
    """

    name: ClassVar[str] = "content-style"
    Config: ClassVar[type[Any]] = ContentStyleConfig
    config: ContentStyleConfig
    _divisor = 1  # of the image size in training

    # ------------------------------------------------------------------ data and networks

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: images; with domains a column of two of them or more."""
        if not data.is_images:
            raise DataError(f"{data.name}: content-style learns from images, these are vectors")
        if self.config.discriminator_from is not None:
            self._discrimination_of(self.config.discriminator_from, data)
        domains: list[str] = []
        if self.config.domain_factor is not None:
            names = data.names(self.config.domain_factor)
            present = np.unique(data.class_factor(self.config.domain_factor))
            domains = [names[value] for value in present]
        return {"rows": len(data), "domains": domains}

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: generator, tables, encoders, instance discrimination network."""
        config, image = self.config, (shape[0], shape[1], shape[2])
        assert config.generator_widths and config.encoder_widths and config.head_kernels
        rows, domains = int(facts["rows"]), len(facts["domains"])
        style_dim = config.style_dim + (config.domain_dim if domains else 0)
        parts: dict[str, nn.Module] = {
            "generator": FusionGenerator(
                config.content_dim,
                style_dim,
                image,
                config.generator_widths,
                config.head_width or 1,
                config.head_kernels,
                config.fusion,
                config.normalisation,
            )
        }
        if config.variant == "latent":
            parts["style"] = LatentTable(rows, config.style_dim)
            parts["content"] = LatentTable(rows, config.content_dim)
        if domains:
            parts["domain"] = LatentTable(domains, config.domain_dim, owned=False)
        for name, space in self.code_spaces.items():
            parts[f"{name}_encoder"] = ConvEncoder(
                image,
                space.dim,
                config.encoder_widths,
                first_stride=config.encoder_stride or 1,
                centred=config.encoder_input == "centred",
            )
            parts[f"{name}_subspace"] = Subspace(space.dim)
        if config.discrimination_weight:
            widths = config.discriminator_widths or ()
            stem = config.discriminator_stem or 7
            parts["discriminator"] = ResNet18(image[2], widths, _EMBEDDING, stem, pool=stem > 3)
            parts["bank"] = MemoryBank(rows, _EMBEDDING)
        return nn.ModuleDict(parts)

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: instance discrimination, the codes, the encoders."""
        config = self.config
        if config.discriminator_from is not None:
            known = self._discrimination_of(config.discriminator_from, data)
            self.network.load_state_dict(known, strict=False)
        self._domains = torch.zeros(len(data), dtype=torch.long)
        if config.domain_factor is not None:
            _, labels = np.unique(data.class_factor(config.domain_factor), return_inverse=True)
            self._domains = torch.from_numpy(labels)
        stages: list[Stage] = []
        if config.discriminates:
            stages.append(InstanceDiscrimination(self, data, config.discriminates))
        stages.append(Codings(self, data, 1 - config.discriminates - config.encodes))
        if config.encodes:
            stages.append(Encoders(self, data, config.encodes))
        return stages

    def _discrimination_of(self, folder: str, data: FactorDataset) -> dict[str, Tensor]:
        """The tensors of instance discrimination of a trained run.

        Raises:
            ConfigError: there is no such run, or it has none, or one of other sizes.
            DataError: it was trained on other rows, which the memory bank has its entries for.
        """
        named = f"--discriminator-from {folder}"
        try:
            other = load(folder)
        except RunError as error:
            raise ConfigError(f"{named}: {error}") from error
        if not isinstance(other, ContentStyle) or not other.config.discrimination_weight:
            raise ConfigError(f"{named}: that run has no instance discrimination network")
        for name in ("discriminator_widths", "discriminator_stem"):
            theirs, own = getattr(other.config, name), getattr(self.config, name)
            if theirs != own:
                raise ConfigError(f"{named}: its --{flag(name)} is {theirs} and here it is {own}")
        theirs = other.run_info["data"]
        if (theirs["rows"], theirs["fingerprint"]) != (len(data), data.fingerprint()):
            raise DataError(
                f"{named} was trained on {theirs['rows']} rows of {theirs['name']}, which are not "
                f"the {len(data)} rows of {data.name} here: train both on the same rows"
            )
        return {
            name: value
            for name, value in other.network.state_dict().items()
            if name.startswith(_DISCRIMINATION)
        }

    # ------------------------------------------------------------------ use

    @property
    def code_spaces(self) -> dict[str, CodeSpace]:
        """`style` and `content`; with domains also `domain`, which knows the domain column."""
        config = self.config
        spaces = {
            "style": CodeSpace("style", config.style_dim, None),
            "content": CodeSpace("content", config.content_dim, None),
        }
        if config.domain_factor is not None:
            spaces["domain"] = CodeSpace("domain", config.domain_dim, config.domain_factor)
        return spaces

    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """Codes by the encoders."""
        return {space: self.encoder(space, items) for space in self.code_spaces}

    def encoder(self, space: str, items: Tensor) -> Tensor:
        """One code of images [b, C, H, W], float32 [b, dim]."""
        network: Any = self.network
        codes: Tensor = network[f"{space}_subspace"](network[f"{space}_encoder"](items))
        return codes

    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """G(style, content), the codes without noise."""
        return self.generate(codes, clean=True)

    def generate(
        self,
        codes: Mapping[str, Tensor],
        divisor: int = 1,
        *,
        clean: bool = False,
        fine: Tensor | None = None,
        fine_blocks: int = 1,
    ) -> Tensor:
        """Images [b, C, H / divisor, W / divisor] in [0, 1].

        Args:
            codes: of every code space, [b, dim].
            divisor: of the image size.
            clean: whether the codes are without the noise that training adds.
            fine: style codes for the last `fine_blocks` blocks, if they are to be others.
            fine_blocks: how many.
        """
        styles = [codes["style"] if fine is None else fine, codes["style"]]
        if "domain" in codes:
            styles = [torch.cat([style, codes["domain"]], dim=1) for style in styles]
        generator = self.network["generator"]  # type: ignore[index]
        images: Tensor = generator(
            codes["content"],
            styles[1],
            divisor,
            missing=self.config.noise**2 if clean else 0.0,
            fine=None if fine is None else styles[0],
            fine_blocks=fine_blocks,
        )
        return images

    def training_codes(self, rows: Tensor) -> dict[str, Tensor]:
        """The tables' codes where there are tables, else the encoders'."""
        if self.config.variant == "amortised":
            return super().training_codes(rows)
        return self._table_codes(rows, self._domains[rows])

    def _table_codes(self, rows: Tensor, domains: Tensor) -> dict[str, Tensor]:
        tables: Any = self.network
        device = self._device()
        codes = {space: tables[space].fetch(rows.to(device)) for space in ("style", "content")}
        if "domain" in tables:
            codes["domain"] = tables["domain"].fetch(domains.to(device))
        return codes

    def training_items(self, codes: dict[str, Tensor]) -> Tensor:
        """Images at the size the generator is trained at just now, enlarged to full size."""
        images = self.generate(codes, self._divisor, clean=True)
        return nn.functional.interpolate(images, self.data_shape[:2])

    # ------------------------------------------------------------------ what the paper does with it

    @torch.no_grad()
    def optimised_codes(self, data: FactorDataset) -> Codes:
        """The codes that training found for its own rows, without an encoder's error.

        Args:
            data: the training set, in the order it was trained on.

        Returns:
            {code space: float32 [N, dim]}.

        Raises:
            ConfigError: the variant `amortised` has none.
            DataError: not the data of the training.
        """
        self._require_trained()
        if self.config.variant == "amortised":
            raise ConfigError("the variant amortised optimises no codes: encode images instead")
        if data.fingerprint() != self.run_info["data"]["fingerprint"]:
            raise DataError(f"{data.name} is not what this model was trained on, row by row")
        domains = torch.zeros(len(data), dtype=torch.long)
        if self.config.domain_factor is not None:
            labels = np.unique(data.factor(self.config.domain_factor), return_inverse=True)[1]
            domains = torch.from_numpy(labels)
        codes = self._table_codes(torch.arange(len(data)), domains)
        return {space: values.float().cpu().numpy() for space, values in codes.items()}

    def canonical(self, items: Any) -> Images:
        """The items with a zero content code: their canonical view (Fig. 5f).

        Args:
            items: as for `encode`.

        Returns:
            uint8 [N, H, W, C].
        """
        codes = self.encode(items)
        made: Images = self.decode({**codes, "content": np.zeros_like(codes["content"])})
        return made

    def mean_style(self, items: Any) -> Images:
        """The items with a zero style code: the mean look in their content (Fig. 5e).

        Args:
            items: as for `encode`.

        Returns:
            uint8 [N, H, W, C].
        """
        codes = self.encode(items)
        made: Images = self.decode({**codes, "style": np.zeros_like(codes["style"])})
        return made

    @torch.no_grad()
    def exchange_fine_style(self, items: Any, styles: Any, blocks: int = 1) -> Images:
        """The items with the fine style of others: that of the last fusion blocks (Fig. 6d).

        Args:
            items: as for `encode`.
            styles: equally many, or a single one for all.
            blocks: how many of the last blocks take the other style.

        Returns:
            uint8 [N, H, W, C].

        Raises:
            ConfigError: the model has a single fusion block, or not so many blocks.
        """
        if self.config.fusion != "multiple":
            raise ConfigError(f"a fine style needs --fusion multiple, not {self.config.fusion}")
        most = len(self.config.generator_widths or ()) - 2
        if not 1 <= blocks <= most:
            raise ConfigError(f"blocks must be 1 to {most}, not {blocks}")
        codes, fine = self.encode(items), self.encode(styles)["style"]
        count = len(codes["style"])
        if len(fine) not in (1, count):
            raise DataError(f"{len(fine)} styles do not go with {count} items")
        parts = []
        fine = np.broadcast_to(fine, (count, fine.shape[1]))
        for start in range(0, count, 256):
            block = slice(start, start + 256)
            given = {s: torch.from_numpy(c[block]).to(self._device()) for s, c in codes.items()}
            other = torch.from_numpy(fine[block].copy()).to(self._device())
            parts.append(
                self._output(self.generate(given, clean=True, fine=other, fine_blocks=blocks))
            )
        return np.concatenate(parts)

    @property
    def domain_codes(self) -> dict[str, NDArray[np.float32]]:
        """The domains' codes by name, float32 [1, domain_dim] each.

        To be decoded with any other codes: `model.decode({**model.encode(photos), "domain":
        model.domain_codes["drawn"]})`.

        Raises:
            ConfigError: the model has no domains.
        """
        if self.config.domain_factor is None:
            raise ConfigError("this model has no domains: train with --domain-factor")
        table: Any = self.network["domain"]  # type: ignore[index]
        codes = table.weight.cpu().numpy()
        return {name: codes[row : row + 1] for row, name in enumerate(self.facts["domains"])}


class _CSStage(Stage):
    """What the stages share."""

    def __init__(self, method: ContentStyle, data: FactorDataset, share: float) -> None:
        self.method, self.config, self.data = method, method.config, data
        self.share = share

    @property
    def network(self) -> Any:
        return self.method.network

    @property
    def device(self) -> torch.device:
        return self.method._device()

    def sampler(self, context: Context) -> Sampler:
        return context.rows(self.config.batch)

    def rate(self, warm_up: int = 0) -> Schedule:
        """Cosine to the final share of the learning rate, after a short warm-up."""
        fall = Cosine(self.config.final_lr or 0.0)
        return fall * Ramp(steps=warm_up) if warm_up else fall


class InstanceDiscrimination(_CSStage):
    """The ResNet-18 learns to tell every image from all others (C.3; Wu et al. 2018)."""

    name = "instances"

    def players(self) -> Sequence[Player]:
        params = list(self.network["discriminator"].parameters())
        lr = self.config.discriminator_lr or 0
        return [Player("discriminator", [Group(params, lr, self.rate(50), _BETAS)])]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config, bank = batch["x"], self.config, self.network["bank"]
        embeddings = self.network["discriminator"](augment(x.images, x.rand(NOISE)))
        negatives = None
        if config.negatives < len(self.data):
            each = -(-config.negatives // x.batch)
            drawn = x.gather(x.rand(each)).flatten()[: config.negatives]
            negatives = (drawn * len(self.data)).long()
        loss = instance_softmax(embeddings, bank.entries, x.rows, config.temperature, negatives)
        # The bank's update waits until this step's loss has used it.
        self._seen = x.gather(x.rows), x.gather(embeddings.detach())
        return StepResult({"discriminator": loss})

    def after_step(self, progress: Progress) -> None:
        self.network["bank"].update(*self._seen)


class Codings(_CSStage):
    """Codes and generator against the images (Eq. 5): L_P, L_IB and L_ID.

    In the amortised ablation encoders stand in the place of the tables of style and content.
    Domains keep theirs, as a code of one belongs to no single image; an encoder learns to tell it.
    """

    name = "latent"

    def setup(self) -> None:
        if self.config.start != "components" or self.config.variant == "amortised":
            return
        fresh = [space for space in ("content", "style") if self.network[space].is_fresh()]
        if not fresh:  # all were taken over from a trained model
            return
        source = ImageSource(self.data.items)
        layout, statistics = layout_and_statistics(source.batch, len(self.data))
        config = self.config
        assert config.content_capacity
        norm = max(config.content_capacity) ** 0.5
        starts = {
            "content": layout.components(_START_COMPONENTS, config.content_dim, norm),
            "style": statistics.components(_START_COMPONENTS, config.style_dim, _STYLE_NORM),
        }
        starts = {space: starts[space].to(self.device) for space in fresh}
        broadcast_state(list(starts.values()))  # the turn in them was drawn by each process
        rows = torch.arange(len(self.data), device=self.device)
        for space, codes in starts.items():
            table = self.network[space]
            table.write(rows, table.fetch(rows) + codes)

    def prepare(self) -> None:
        config = self.config
        self.domains = self.method._domains.to(self.device)
        self.distance = ImageDistance(
            self.data.items, config.perceptual, config.perceptual_weight, self.device
        )
        if config.discrimination_weight:
            self.network["discriminator"].eval()

    def memory(self) -> int:
        return stored_bytes(self.data.items, self.config.perceptual)

    def resolutions(self) -> Sequence[tuple[float, int]]:
        half = self.config.half_size or 0.0
        if half == 0 or min(self.data.shape[:2]) < 32:
            return [(1.0, 1)]
        return [(half, 2), (1 - half, 1)]

    def players(self) -> Sequence[Player]:
        config, network = self.config, self.network
        rate = self.rate(50)
        generator = list(network["generator"].parameters())
        groups = [Group(generator, config.generator_lr or 0, rate, _BETAS)]
        for table in ("style", "content", "domain"):
            if table in network:
                groups.append(Group(network[table], config.code_lr or 0, rate, _BETAS))
        if config.variant == "amortised":
            for space in self.method.code_spaces:
                encoder = list(network[f"{space}_encoder"].parameters())
                groups.append(Group(encoder, config.encoder_lr or 0, rate, _BETAS))
        return [Player("model", groups)]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config = batch["x"], self.config
        self.method._divisor = progress.divisor
        codes = self._codes(x)
        seen = self._reparametrised(codes, x)
        images = self.method.generate(seen, progress.divisor)
        distance = self.distance(images, x, progress.divisor)
        loss = config.reconstruction_weight * distance
        logs: dict[str, Tensor | float] = {"distance": distance.detach()}
        if config.bottleneck_weight:
            bottleneck = self._bottleneck(codes, progress)
            loss = loss + config.bottleneck_weight * bottleneck
            logs["bottleneck"] = bottleneck.detach()
        if config.discrimination_weight:
            discrimination = self._discrimination(seen, images, x, progress.divisor)
            loss = loss + config.discrimination_weight * discrimination
            logs["discrimination"] = discrimination.detach()
        if config.variant == "amortised" and "domain" in codes:
            # Its gradient reaches the domain encoder alone, whose codes are in no other term.
            told = self.method.encoder("domain", self._full_size(x.images))
            domain = mean_absolute_codes(told, codes["domain"])
            loss = loss + domain
            logs["domain"] = domain.detach()
        for space in ("style", "content"):
            logs[f"{space}_length"] = codes[space].detach().square().sum(1).mean()
        return StepResult({"model": loss}, logs)

    def finish(self) -> None:
        self.method._divisor = 1

    def _codes(self, x: View) -> dict[str, Tensor]:
        network, codes = self.network, {}
        for space in self.method.code_spaces:
            if space == "domain":
                codes[space] = network[space].lookup(self.domains[x.rows])
            elif self.config.variant == "amortised":
                codes[space] = network[f"{space}_encoder"](self._full_size(x.images))
            else:
                codes[space] = network[space].lookup(x.rows)
        return codes

    def _full_size(self, images: Tensor) -> Tensor:
        """For an encoder, which has one input size."""
        full = self.data.shape[:2]
        return images if images.shape[2:] == full else nn.functional.interpolate(images, full)

    def _reparametrised(self, codes: Mapping[str, Tensor], x: View) -> dict[str, Tensor]:
        """R (C.2): noise on content and style; a domain's code, shared by many, stays as it is."""
        seen = dict(codes)
        for space in ("style", "content"):
            seen[space] = codes[space] + self.config.noise * x.randn(codes[space].shape[1])
        return seen

    def _bottleneck(self, codes: Mapping[str, Tensor], progress: Progress) -> Tensor:
        """L_IB of Eq. 8."""
        config = self.config
        total = codes["style"].new_zeros(())
        for space, gamma in (("style", config.style_gamma), ("content", config.content_gamma)):
            if gamma:
                total = total + gamma * capacity_gap(codes[space], self.capacity(space, progress))
        return total

    def capacity(self, space: str, progress: Progress) -> float:
        """C of a code space just now: a straight line up to its largest value."""
        config = self.config
        start, end = getattr(config, f"{space}_capacity")
        if config.capacity_steps:
            share: float = min(progress.step / config.capacity_steps, 1.0)
            return float(start + (end - start) * share)
        share = config.capacity_share or _CAPACITY_SHARE
        return Linear(start, end, share)(progress.fraction, progress.step)

    def _discrimination(
        self, seen: Mapping[str, Tensor], images: Tensor, x: View, divisor: int
    ) -> Tensor:
        """L_ID of Eq. 7: an image keeps Phi's features when it takes another's content.

        The pairs (i, j) are those of a permutation of the batch, drawn anew at every step. Each
        image is then i of one pair and j of another, so both terms of a pair have the same mean:
        the first is computed, and counts twice.
        """
        count = min(self.config.swapped or 1, len(images))
        contents = x.gather(seen["content"])[x.permutation(others=True)]
        few = {space: codes[:count] for space, codes in seen.items()}
        swapped = self.method.generate({**few, "content": contents[:count]}, divisor)
        features = self.network["discriminator"].features
        return 2 * swap_consistency(features(swapped), features(images[:count]))


class Encoders(_CSStage):
    """Encoders learn the codes, the generator at rest (Eq. 6)."""

    name = "encoders"

    def setup(self) -> None:
        """What the codes do not use, the encoders need not say (their error tells of anything)."""
        if not self.config.floor:
            return
        rows = torch.arange(len(self.data), device=self.device)
        for space in ("style", "content"):
            codes = self.network[space].fetch(rows)
            usual = self.config.noise**2 or float(codes.var())
            self.network[f"{space}_subspace"].fit(codes, self.config.floor * usual)

    def prepare(self) -> None:
        self.domains = self.method._domains.to(self.device)

    def players(self) -> Sequence[Player]:
        encoders = [
            p
            for space in self.method.code_spaces
            for p in self.network[f"{space}_encoder"].parameters()
        ]
        return [
            Player("model", [Group(encoders, self.config.encoder_lr or 0, self.rate(), _BETAS)])
        ]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config = batch["x"], self.config
        codes = {space: self.network[space].lookup(x.rows) for space in ("style", "content")}
        if "domain" in self.network:
            codes["domain"] = self.network["domain"].lookup(self.domains[x.rows])
        errors = self._errors(x.images, codes)
        if config.recombined:
            errors = errors + config.recombined * self._recombined(x, codes)
        return StepResult({"model": errors})

    def _errors(self, images: Tensor, codes: Mapping[str, Tensor]) -> Tensor:
        """|E_s(x) - s|_1 + |E_c(x) - c|_1 (Eq. 6), as means over the dimensions."""
        total = images.new_zeros(())
        for space, wanted in codes.items():
            total = total + mean_absolute_codes(self.method.encoder(space, images), wanted)
        return total

    def _recombined(self, x: View, codes: Mapping[str, Tensor]) -> Tensor:
        """The same errors on images that the generator makes of one's style, another's content."""
        with torch.no_grad():
            others = x.gather(codes["content"])[x.permutation(others=True)]
            swapped = {**codes, "content": others}
            images = self.method.generate(swapped, clean=True)
        return self._errors(images, swapped)
