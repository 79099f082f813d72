"""LORD: latent optimisation for class and content (Gabbay and Hoshen, ICLR 2020)."""

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
from unmingle.errors import ConfigError, DataError
from unmingle.losses.latent import activation_decay, class_average, gaussian_kl, mean_squared
from unmingle.nn.components import (
    Subspace,
    class_means,
    coarse_features,
    principal_components,
    thumbnails,
    within_class,
)
from unmingle.nn.encoder import ConvEncoder
from unmingle.nn.generator import ModulatedGenerator
from unmingle.nn.latent import LatentTable
from unmingle.nn.perceptual import feature_net, style_features
from unmingle.training.distributed import broadcast_state
from unmingle.training.hardware import choose_precision
from unmingle.training.images import ImageSource
from unmingle.training.minimise import minimise
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

from .base import CodeSpace, Method
from .distance import ImageDistance, distance_to, perceptual_net, stored_bytes
from .settings import check_range, check_types, flag, use_preset

_BETAS = (0.5, 0.999)
_START_COMPONENTS = 12  # few: what distinguishes images of all classes, not each one's details
_START_NORM = 8.0  # of a code; the noise on a content code of 128 has norm 11
_POSITIVE = (
    "content_dim class_dim batch head_width encoder_stride "
    "generator_lr code_lr encoder_lr joint_generator_lr final_lr"
)
_NOT_NEGATIVE = "noise decay kl_weight alpha perceptual_weight recombined floor"
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "generator_widths": (256, 256, 256, 256, 256),
        "head_width": 64,
        "head_kernels": (5, 7),
        "encoder_widths": (64, 128, 256, 256, 256),
        "encoder_stride": 1,
        "encoder_input": "plain",
        "decay": 1e-3,
        "generator_lr": 1e-4,
        "code_lr": 1e-3,
        "encoder_lr": 1e-4,
        "encoder_beta": 0.5,
        "joint_generator_lr": 1e-4,
        "final_lr": 0.1,
        "start": "uniform",
        "half_size": 0.0,
        "second_stage": 0.5,
        "codes_first": 0.0,
        "recombined": 0.0,
        "floor": 0.0,
        "class_error": "plain",
    },
    "laptop": {
        "generator_widths": (128, 128, 64, 32, 32),
        "head_width": 16,
        "head_kernels": (3, 3),
        "encoder_widths": (32, 64, 96, 128, 128),
        "encoder_stride": 2,
        "encoder_input": "centred",
        "decay": 3e-4,
        "generator_lr": 2e-3,
        "code_lr": 3e-2,
        "encoder_lr": 1.5e-3,
        "encoder_beta": 0.9,
        "joint_generator_lr": 3e-4,
        "final_lr": 0.03,
        "start": "components",
        "half_size": 0.6,
        "second_stage": 0.25,
        "codes_first": 0.4,
        "recombined": 1.0,
        "floor": 0.1,
        "class_error": "whitened",
    },
}


@dataclass
class LORDConfig:
    """Settings of LORD. Those that are None take the preset's value.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    class_factor: str = "class"
    """The factor column that is told: who or what each image shows. "a,b" crosses two columns."""
    preset: Literal["laptop", "paper"] = "laptop"
    """laptop: compact networks, minutes on two cores. paper: the published sizes and rates."""
    content_dim: int = 128
    """Size of the content code."""
    class_dim: int = 256
    """Size of the class code."""
    variant: Literal["latent", "semi-amortised", "amortised"] = "latent"
    """What is optimised directly (Table 3): all codes, the class codes only, or none."""
    regulariser: Literal["noise", "kl", "none"] = "noise"
    """What keeps class information out of the content (Eq. 6, Table 3)."""
    noise: float = 1.0
    """Standard deviation sigma of the noise on the content code."""
    decay: float | None = None
    """Weight lambda of the squared norm of the content code, with regulariser noise."""
    kl_weight: float = 1e-3
    """Weight of the KL divergence, with regulariser kl."""
    alpha: float = 10.0
    """Weight of the codes' mean squared errors in the second stage (Eq. 8)."""
    perceptual: Literal["efficientnet-lite0", "vgg16", "none"] = "efficientnet-lite0"
    """Frozen network of the perceptual loss; vgg16 (the paper's) is downloaded once, 528 MB."""
    perceptual_weight: float = 0.2
    """Weight of each layer's relative difference (efficientnet-lite0); VGG16's layers count 1."""
    batch: int = 64
    """Images per step."""
    second_stage: float | None = None
    """Share of the budget for the encoders (stage 2); 0 leaves it out, and codes of new images
    are then found by optimisation."""
    codes_first: float | None = None
    """Share of stage 2 in which the encoders learn the codes alone, which is cheap."""
    recombined: float | None = None
    """Weight, in stage 2, of the codes' errors on swaps made by the generator; 0 in the paper."""
    floor: float | None = None
    """The encoders' codes keep the directions along which those of stage 1 have a variance above
    this share of the noise's (content), or above nothing (class); 0 keeps all, as in the paper."""
    class_error: Literal["plain", "whitened"] | None = None
    """Stage 2's error of the class code: plain (Eq. 8), or along the principal axes of the class
    codes, each divided by its standard deviation, so that what tells two similar classes apart
    counts as much as what tells them from all others. Needs a floor above 0."""
    half_size: float | None = None
    """Share of stage 1, and from 96x96 on of stage 2, that is trained at half the image size."""
    start: Literal["uniform", "components"] | None = None
    """Codes start uniform in +-0.05 (paper), or from principal components of the images."""
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
    generator_lr: float | None = None
    """Learning rate of the generator in stage 1."""
    code_lr: float | None = None
    """Learning rate of the codes in stage 1."""
    encoder_lr: float | None = None
    """Learning rate of the encoders."""
    encoder_beta: float | None = None
    """Adam's first beta for the encoders; generator and codes have 0.5."""
    joint_generator_lr: float | None = None
    """Learning rate of the generator in stage 2."""
    final_lr: float | None = None
    """Share of each learning rate that is left at the end of a stage (cosine)."""

    def __post_init__(self) -> None:
        check_types(self)
        use_preset(self, _PRESETS)
        if not self.class_factor:
            raise ConfigError("--class-factor needs the name of a factor column")
        check_range(self, _POSITIVE.split(), open_low=True)
        check_range(self, _NOT_NEGATIVE.split())
        check_range(self, ("second_stage", "codes_first", "half_size", "encoder_beta"), high=1)
        for name in ("generator_widths", "encoder_widths"):
            widths = getattr(self, name)
            if len(widths) < 2 or min(widths) < 1:
                raise ConfigError(f"--{flag(name)} needs two or more positive numbers")
        if any(k < 1 or k % 2 == 0 for k in self.head_kernels or ()):
            raise ConfigError("--head-kernels must be two odd numbers")
        if self.variant == "semi-amortised" and not self.second_stage:
            raise ConfigError(
                "--second-stage 0 leaves no way to the class code of a new image with "
                "--variant semi-amortised: use --variant latent, or a second stage"
            )
        if self.class_error == "whitened" and not self.floor:
            raise ConfigError(
                "--class-error whitened needs a --floor above 0: with --floor 0 add "
                "--class-error plain"
            )


class LORD(Method):
    """LORD: class and content from one class label per image (Gabbay and Hoshen, ICLR 2020).

    "Demystifying Inter-Class Disentanglement". Every class has one code, shared exactly by its
    images; every image has a content code, kept poor by noise and decay. Both are optimised
    directly together with the generator (stage 1, Eq. 5-7); then encoders learn to predict them
    in one pass (stage 2, Eq. 8). Published settings are the preset `paper`; `docs/lord.md` lists
    where this differs from the paper and its release.
    """

    name: ClassVar[str] = "lord"
    Config: ClassVar[type[Any]] = LORDConfig
    examples: ClassVar[tuple[str, ...]] = (
        "photos/ --size 64",
        "shapes3d --draw 4000 --class-factor object_hue",
    )
    config: LORDConfig
    _divisor = 1  # of the image size in training

    # ------------------------------------------------------------------ data and networks

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: images, and a class factor of two classes or more."""
        if not data.is_images:
            raise DataError(f"{data.name}: LORD learns from images, these are vectors")
        names = data.names(self.config.class_factor)
        present = np.unique(data.class_factor(self.config.class_factor))
        return {"rows": len(data), "class_names": [names[value] for value in present]}

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: generator, encoders and both tables."""
        config, image = self.config, (shape[0], shape[1], shape[2])
        assert config.generator_widths and config.encoder_widths and config.head_kernels
        posterior = 2 if config.regulariser == "kl" else 1  # mean and log variance
        parts: dict[str, nn.Module] = {
            "generator": ModulatedGenerator(
                config.content_dim,
                config.class_dim,
                image,
                config.generator_widths,
                config.head_width or 1,
                config.head_kernels,
            )
        }
        if config.variant != "amortised":
            count = len(facts["class_names"])
            parts["classes"] = LatentTable(count, config.class_dim, owned=False)
        if config.variant == "latent":
            parts["content"] = LatentTable(int(facts["rows"]), posterior * config.content_dim)
        sizes = {"class": config.class_dim, "content": posterior * config.content_dim}
        for space in self._encoded():
            parts[f"{space}_encoder"] = ConvEncoder(
                image,
                sizes[space],
                config.encoder_widths,
                first_stride=config.encoder_stride or 1,
                centred=config.encoder_input == "centred",
            )
            parts[f"{space}_subspace"] = Subspace(sizes[space])
        return nn.ModuleDict(parts)

    def _encoded(self) -> tuple[str, ...]:
        """The code spaces that have an encoder."""
        amortised = self.config.variant == "amortised" or self.config.second_stage
        return ("class", "content") if amortised else ()

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: latent optimisation, then amortisation."""
        _, labels = np.unique(data.class_factor(self.config.class_factor), return_inverse=True)
        self._labels = torch.from_numpy(labels)  # of the classes that are present
        first = LatentOptimisation(self, data)
        share = self.config.second_stage or 0.0
        if self.config.variant == "amortised" or share == 0:
            return [first]
        first.share = 1 - share
        return [first, Amortisation(self, data, share)]

    # ------------------------------------------------------------------ use

    @property
    def code_spaces(self) -> dict[str, CodeSpace]:
        """`class`, which knows the class factor, and `content`, everything else."""
        config = self.config
        return {
            "class": CodeSpace("class", config.class_dim, config.class_factor),
            "content": CodeSpace("content", config.content_dim, None),
        }

    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """Codes by the encoders; where there are none, by optimisation."""
        if not self._encoded():
            return self.optimise_codes(items)
        return {space: self.encoder(space, items) for space in ("class", "content")}

    def encoder(self, space: str, items: Tensor) -> Tensor:
        """The code itself; of a content posterior (regulariser kl) its mean."""
        network: Any = self.network
        codes: Tensor = network[f"{space}_subspace"](network[f"{space}_encoder"](items))
        return self.split(codes)[0] if space == "content" else codes

    def split(self, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """A content code, or with regulariser kl the posterior's mean and log variance."""
        if self.config.regulariser != "kl":
            return codes, None
        mean, log_variance = codes.chunk(2, dim=1)
        return mean, log_variance

    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """G(class, content), Eq. 9."""
        return self.generate(codes["content"], codes["class"])

    def generate(self, content: Tensor, classes: Tensor, divisor: int = 1) -> Tensor:
        """Images [b, C, H / divisor, W / divisor] in [0, 1]."""
        generator = self.network["generator"]  # type: ignore[index]
        images: Tensor = generator(content, classes, divisor)
        return images

    def training_codes(self, rows: Tensor) -> dict[str, Tensor]:
        """The tables' codes where there are tables, else the encoders'."""
        images = self._items(self._previewed[rows.numpy()])
        labels = self._labels[rows].to(images.device)
        tables: Any = self.network
        codes = {}
        if "content" in tables:
            codes["content"] = self.split(tables["content"].fetch(rows.to(images.device)))[0]
        else:
            codes["content"] = self.encoder("content", images)
        if "classes" in tables:
            codes["class"] = tables["classes"].fetch(labels)
        else:
            codes["class"] = self.encoder("class", images)
        return {space: codes[space] for space in self.code_spaces}

    def training_items(self, codes: dict[str, Tensor]) -> Tensor:
        """Images at the size the generator is trained at just now, enlarged to full size."""
        images = self.generate(codes["content"], codes["class"], self._divisor)
        return nn.functional.interpolate(images, self.data_shape[:2])

    def optimise_codes(self, items: Tensor, steps: int = 200, lr: float = 0.1) -> dict[str, Tensor]:
        """Codes of new images by optimisation with the model frozen (Table 3, "w/o second stage").

        Args:
            items: [b, C, H, W] in [0, 1].
            steps: of Adam on all images at once.
            lr: its learning rate, falling to 0 along a cosine.

        Returns:
            {"class": float32 [b, class_dim], "content": float32 [b, content_dim]}. An image's
            codes do not depend on the images beside it.

        Raises:
            ConfigError: the variant `amortised`, which has no class codes to start from.
        """
        if self.config.variant == "amortised":
            raise ConfigError("the variant amortised keeps no class codes to start from: encode")
        device = items.device.type
        start = self.network["classes"].weight.mean(0)  # type: ignore[index]
        classes = start.repeat(len(items), 1)
        content = torch.zeros(len(items), self.config.content_dim, device=items.device)
        generator = torch.Generator().manual_seed(0)
        noisy_training = self.config.regulariser == "noise"
        sigma, decay = (self.config.noise, self.config.decay or 0.0) if noisy_training else (0, 0)
        bf16 = choose_precision("auto", device) == "bf16"
        # Autocast would go on using a leaf's first cast: the codes are leaves that change.
        cast = torch.autocast(device, torch.bfloat16, enabled=bf16, cache_enabled=False)
        with cast:
            distance = distance_to(items, self.config.perceptual, self.config.perceptual_weight)

            def loss() -> Tensor:
                noise = torch.randn(content.shape[1], generator=generator).to(content)
                images = self.generate(content + sigma * noise, classes)
                return distance(images) * len(items) + decay * content.square().sum()

            minimise(loss, [classes, content], steps, lr, _BETAS)
        return {"class": classes.detach(), "content": content.detach()}

    @property
    def class_codes(self) -> dict[str, NDArray[np.float32]]:
        """The class codes of stage 1 by the classes' names, float32 [1, class_dim] each.

        To be decoded with any content: `model.decode({"class": model.class_codes["anna"],
        "content": model.encode(images)["content"]})`.

        Raises:
            ConfigError: the variant `amortised` has none.
        """
        if self.config.variant == "amortised":
            raise ConfigError("the variant amortised keeps no class codes: encode images instead")
        table: Any = self.network["classes"]  # type: ignore[index]
        codes = table.weight.cpu().numpy()
        return {name: codes[row : row + 1] for row, name in enumerate(self.facts["class_names"])}

    @torch.no_grad()
    def content_statistics(self, data: FactorDataset) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fig. 6: the content posterior per dimension, averaged over the data.

        Dimensions with mean |mean| near 0 and standard deviation near 1 have collapsed.

        Args:
            data: images of the model's shape.

        Returns:
            mean absolute mean [content_dim], and mean standard deviation [content_dim].

        Raises:
            ConfigError: the model was not trained with regulariser kl, or has no encoder.
        """
        if self.config.regulariser != "kl" or "content" not in self._encoded():
            raise ConfigError("content statistics need --regulariser kl and a content encoder")
        encoder = self.network["content_encoder"]  # type: ignore[index]

        def statistics(items: Tensor) -> dict[str, Tensor]:
            mean, log_variance = encoder(items).chunk(2, dim=1)
            return {"mean": mean.abs(), "std": (log_variance / 2).exp()}

        found = self._in_blocks(statistics, self._checked(data))
        return found["mean"].mean(axis=0), found["std"].mean(axis=0)


class _LORDStage(Stage):
    """What both stages share: labels, tables, and the distance to the true images."""

    halved_from: int  # size of the images from which a share of the stage is at half of it

    def __init__(self, method: LORD, data: FactorDataset) -> None:
        self.method, self.config, self.data = method, method.config, data
        self.labels = method._labels

    @property
    def network(self) -> Any:
        return self.method.network

    def sampler(self, context: Context) -> Sampler:
        return context.rows(self.config.batch)

    def prepare(self) -> None:
        device, config = next(self.network.parameters()).device, self.config
        self.labels = self.labels.to(device)
        self.distance = ImageDistance(
            self.data.items, config.perceptual, config.perceptual_weight, device
        )

    def memory(self) -> int:
        return stored_bytes(self.data.items, self.config.perceptual)

    def rate(self, warm_up: int = 0) -> Any:
        """Cosine to the final share of the learning rate, after a short warm-up."""
        fall = Cosine(self.config.final_lr or 0.0)
        return fall * Ramp(steps=warm_up) if warm_up else fall

    def encoder_betas(self) -> tuple[float, float]:
        """Of Adam, for the encoders."""
        return (self.config.encoder_beta or 0.0, _BETAS[1])

    def resolutions(self) -> Sequence[tuple[float, int]]:
        half = self.config.half_size or 0.0
        if half == 0 or min(self.data.shape[:2]) < self.halved_from:
            return [(1.0, 1)]
        return [(half, 2), (1 - half, 1)]

    def finish(self) -> None:
        self.method._divisor = 1

    def full_size(self, images: Tensor) -> Tensor:
        """For an encoder, which has one input size."""
        full = self.data.shape[:2]
        return images if images.shape[2:] == full else nn.functional.interpolate(images, full)


class LatentOptimisation(_LORDStage):
    """Stage 1 (Eq. 5-7): class codes, content codes and generator against the images.

    The amortised ablations put an encoder in the place of a table.
    """

    name = "latent"
    halved_from = 32

    def setup(self) -> None:
        if self.config.start != "components":
            return
        config, network, labels = self.config, self.network, self.labels.cpu()
        count, classes = len(self.data), len(self.method.facts["class_names"])
        device = next(network.parameters()).device
        images = ImageSource(self.data.items, device).batch
        small = thumbnails(images, count)
        if _is_fresh(network, "content"):  # how an image differs from the others of its class
            net = perceptual_net(config.perceptual)
            parts = [small] if net is None else coarse_features(net.to(device), images, count)
            off = [within_class(part, labels, classes) for part in parts]
            codes = principal_components(
                lambda block: torch.cat([part(block) for part in off], 1),
                count, _START_COMPONENTS, config.content_dim, _START_NORM,
            )  # fmt: skip
            codes = codes.to(device)
            broadcast_state([codes])  # the turn in them was drawn by each process
            _write(network["content"], codes)
        if _is_fresh(network, "classes"):
            means = class_means(small, labels, classes)
            means = means - means.mean(0)
            codes = principal_components(
                lambda block: means[block], len(means), len(means), config.class_dim, _START_NORM
            )
            _write(network["classes"], codes)

    def players(self) -> Sequence[Player]:
        config, network = self.config, self.network
        warm = self.rate(50)
        groups = [
            Group(list(network["generator"].parameters()), config.generator_lr or 0, warm, _BETAS)
        ]
        for table in ("classes", "content"):
            if table in network:
                groups.append(Group(network[table], config.code_lr or 0, self.rate(50), _BETAS))
        for space in self._in_training():
            encoder = list(network[f"{space}_encoder"].parameters())
            groups.append(Group(encoder, config.encoder_lr or 0, warm, self.encoder_betas()))
        return [Player("model", groups)]

    def _in_training(self) -> tuple[str, ...]:
        kinds = {"amortised": ("class", "content"), "semi-amortised": ("content",)}
        return kinds.get(self.config.variant, ())

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config = batch["x"], self.config
        self.method._divisor = progress.divisor
        content, penalty = self._regularised(self._content(x), x)
        images = self.method.generate(content, self._classes(x), progress.divisor)
        distance = self.distance(images, x, progress.divisor)
        weight = (config.kl_weight if config.regulariser == "kl" else config.decay) or 0.0
        return StepResult(
            {"model": distance + weight * penalty},
            {"distance": distance.detach(), "penalty": penalty.detach()},
        )

    def _content(self, x: View) -> Tensor:
        if "content" in self.network:
            codes: Tensor = self.network["content"].lookup(x.rows)
            return codes
        encoded: Tensor = self.network["content_encoder"](self.full_size(x.images))
        return encoded

    def _classes(self, x: View) -> Tensor:
        labels = self.labels[x.rows]
        if "classes" in self.network:
            codes: Tensor = self.network["classes"].lookup(labels)
            return codes
        encoded = self.network["class_encoder"](self.full_size(x.images))
        return class_average(x.gather(encoded), x.gather(labels))[x.places]

    def _regularised(self, codes: Tensor, x: View) -> tuple[Tensor, Tensor]:
        """The content as the generator sees it, and the penalty on it (Eq. 6; Table 3)."""
        content, log_variance = self.method.split(codes)
        noise = x.randn(self.config.content_dim)
        if log_variance is not None:
            std = (log_variance / 2).exp()
            return content + std * noise, gaussian_kl(content, log_variance)
        if self.config.regulariser == "none":
            return content, content.new_zeros(())
        return content + self.config.noise * noise, activation_decay(content)


class Amortisation(_LORDStage):
    """Stage 2 (Eq. 8): encoders learn the codes of stage 1, together with the generator.

    The content encoder of the semi-amortised ablation is one of the results of stage 1: here it
    rests, since nothing in this stage would keep the class out of its codes.
    """

    name = "amortisation"
    halved_from = 96  # below, a share of stage 2 is enough for what only the full size tells

    def __init__(self, method: LORD, data: FactorDataset, share: float) -> None:
        super().__init__(method, data)
        self.share = share

    def setup(self) -> None:
        """What the codes of stage 1 do not use, the encoders cannot say.

        Along directions in which the codes hardly vary an encoder's output is its error, and that
        tells of anything: a content code whose error is larger for some classes tells the class.
        """
        config, network = self.config, self.network
        if not config.floor:
            return
        rows = torch.arange(len(self.data))
        if "content" in network and config.regulariser == "noise":
            codes = network["content"].fetch(rows.to(self.labels.device))
            network["content_subspace"].fit(codes, config.floor * config.noise**2)
        classes = network["classes"].weight
        network["class_subspace"].fit(classes, 1e-4 * float(classes.var()))

    def players(self) -> Sequence[Player]:
        config, network = self.config, self.network
        learning = ("class", "content") if "content" in network else ("class",)
        encoders = [p for space in learning for p in network[f"{space}_encoder"].parameters()]
        generator = list(network["generator"].parameters())
        return [
            Player(
                "model",
                [
                    Group(encoders, config.encoder_lr or 0, self.rate(50), self.encoder_betas()),
                    Group(generator, config.joint_generator_lr or 0, self.rate(), _BETAS),
                ],
            )
        ]

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        x, config = batch["x"], self.config
        divisor = self.method._divisor = progress.divisor
        classes, content = self._encoded(x.images)
        true_classes, true_content = self._learnt(x, content)
        errors = self._errors(classes, content, true_classes, true_content)
        if config.recombined:
            swaps = self._recombined(x, true_classes, true_content, divisor)
            errors = errors + config.recombined * swaps
        loss = config.alpha * errors
        logs: dict[str, Tensor | float] = {"code_error": errors.detach()}
        if progress.fraction >= (config.codes_first or 0.0):
            images = self.method.generate(self.method.split(content)[0], classes, divisor)
            distance = self.distance(images, x, divisor)
            loss = loss + distance
            logs["distance"] = distance.detach()
        return StepResult({"model": loss}, logs)

    def _encoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        network, images = self.network, self.full_size(images)
        classes = network["class_subspace"](network["class_encoder"](images))
        return classes, network["content_subspace"](network["content_encoder"](images))

    def _learnt(self, x: View, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of stage 1; of the content the encoder's where that made them."""
        classes = self.network["classes"].lookup(self.labels[x.rows])
        if "content" not in self.network:
            return classes, encoded.detach()
        return classes, self.network["content"].lookup(x.rows)

    def _errors(
        self, classes: Tensor, content: Tensor, true_classes: Tensor, true_content: Tensor
    ) -> Tensor:
        """||E_y(x) - e_y||^2 + ||E_c(x) - c||^2 of Eq. 8, as means over the dimensions."""
        if self.config.class_error == "whitened":
            whiten = self.network["class_subspace"].whiten
            classes, true_classes = whiten(classes), whiten(true_classes)
        return mean_squared(classes, true_classes) + mean_squared(content, true_content)

    def _recombined(self, x: View, classes: Tensor, content: Tensor, divisor: int) -> Tensor:
        """The same errors on images that the generator makes of one's class and another's content.

        Their codes are known without any image of that pair: an encoder that reads something of
        the class out of them into the content, or the other way round, pays for it here.
        """
        with torch.no_grad():
            swapped = x.gather(classes)[x.permutation(others=True)]
            images = self.method.generate(self.method.split(content)[0], swapped, divisor)
        return self._errors(*self._encoded(images), swapped, content)


def _is_fresh(network: Any, table: str) -> bool:
    """Whether there is such a table, and no trained model that this one starts from gave it."""
    return table in network and network[table].is_fresh()


def _write(table: LatentTable, codes: Tensor) -> None:
    """Add codes to a table's start; of a posterior's table they are the means."""
    rows = torch.arange(table.rows, device=table.weight.device)
    values = table.fetch(rows)
    values[:, : codes.shape[1]] += codes.to(values)
    table.write(rows, values)


def style_clusters(
    data: FactorDataset,
    domain_factor: str,
    clusters: int = 100,
    seed: int = 0,
    name: str = "style",
) -> FactorDataset:
    """Split domains into styles, for domain translation (section 4).

    Within each domain k-means groups the images by the channel means and standard deviations of
    the first layers of the perceptual network. Trained with the result as class factor, LORD
    translates by swapping classes; the class code of a guide image gives its style.

    Args:
        data: images with a domain column (edges, photos).
        domain_factor: its name.
        clusters: styles per domain, at most (fewer where a domain has fewer images).
        seed: of k-means.
        name: of the new factor column.

    Returns:
        The data with the new column; its value names are "<domain> <number>".

    Raises:
        DataError: vectors, or no such column.
        ConfigError: clusters below 1, or the name is taken.
    """
    from sklearn.cluster import KMeans  # slow to import

    if not data.is_images:
        raise DataError(f"{data.name}: style clusters need images, these are vectors")
    if clusters < 1:
        raise ConfigError(f"clusters must be at least 1, not {clusters}")
    if name in data.factors:
        raise ConfigError(f"the data have a column {name!r} already: choose another name")
    domains, domain_names = data.factor(domain_factor), data.names(domain_factor)
    net, source = feature_net("efficientnet-lite0"), ImageSource(data.items)
    every = torch.arange(len(data))
    with torch.no_grad():
        features = torch.cat(
            [style_features(net, source.batch(rows)) for rows in torch.split(every, 256)]
        ).numpy()
    styles = np.zeros(len(data), np.int64)
    names: list[str] = []
    for domain in np.unique(domains):
        rows = np.flatnonzero(domains == domain)
        count = min(clusters, len(np.unique(features[rows], axis=0)))
        found = KMeans(count, n_init=1, random_state=seed).fit_predict(features[rows])
        styles[rows] = len(names) + found
        names += [f"{domain_names[domain]} {number}" for number in range(count)]
    return FactorDataset(
        images=data.images,
        factors={**data.factors, name: styles},
        value_names={**data.value_names, name: names},
        continuous=data.continuous,
        ids=data.ids,
        name=data.name,
        files=data.files,
        skipped=data.skipped,
    )
