"""Robust disentangling from pairs of the same appearance (Esser, Haux and Ommer, ICCV 2019)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.data.samplers import Sampler
from unmingle.errors import ConfigError, DataError
from unmingle.losses.mutual_information import (
    augmented_lagrangian,
    next_multiplier,
    next_weight,
    pair_classification,
    posterior_kl,
)
from unmingle.nn.posterior import Posterior, own_noise, parameters, posterior
from unmingle.nn.residual import (
    CodeShape,
    ProductClassifier,
    ResidualEncoder,
    SubPixelDecoder,
    grid_shape,
    pair_logits,
    residual_mlp,
)
from unmingle.nn.scaling import Scaling
from unmingle.training.images import shrunk
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
from .distance import ImageDistance, stored_bytes
from .settings import check_range, check_types, flag, use_preset

_CLASSIFIERS = ("T", "T'")
_CONSTRAINED = ("adaptive", "equal", "fixed", "adversarial")  # those with L_MI
_WEIGHT_MOVES = ("adaptive", "equal", "variational")
_RATE_DECAY = 0.99  # a hundred batches
_HALVED = 32  # pixels: images of a smaller side are not trained at half size
_FIXED_WEIGHT = 1.0  # gamma of the paper's fixed combination (section 4.2)
_POSITIVE = (
    "pose_dim appearance_dim epsilon mu l_gamma batch rec_scale lr classifier_lr final_lr "
    "classifier_width classifier_features"
)
_NOT_NEGATIVE = (
    "pose_floor gamma beta b_gamma warm_up perceptual_weight encoder_blocks decoder_blocks "
    "classifier_blocks visualise_every bound clip"
)
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "pose_code": "spatial",
        "appearance_code": "spatial",
        "pose_dim": 16,
        "appearance_dim": 16,
        "bound": 0.0,
        "pose_floor": 0.0,
        "perceptual_weight": 0.2,
        "gamma": 1.0,
        "beta": 4.0,
        "l_gamma": 0.01,
        "b_gamma": 0.01,
        "warm_up": 1000,
        "shuffles": "one",
        "likelihood": "sum",
        "rec_scale": 5e-4,
        "batch": 16,
        "encoder_widths": (16, 32, 128, 256, 256),
        "encoder_blocks": 5,
        "decoder_widths": (256, 128, 64, 32, 16),
        "decoder_blocks": 4,
        "patch": 1,
        "classifier_width": 512,
        "classifier_blocks": 4,
        "classifier_features": 16,
        "visualiser_widths": (256, 128, 64, 32, 16),
        "visualise_every": 1,
        "lr": 2e-4,
        "classifier_lr": 4e-4,
        "final_lr": 1.0,
        "beta2": 0.9,
        "clip": 0.0,
        "half_size": 0.0,
    },
    "laptop": {
        "pose_code": "vector",
        "appearance_code": "vector",
        "pose_dim": 32,
        "appearance_dim": 128,
        "bound": 8.0,
        "pose_floor": 0.1,
        "perceptual_weight": 0.03,
        "gamma": 0.3,
        "beta": 0.2,
        "l_gamma": 0.03,
        "b_gamma": 0.03,
        "warm_up": 50,
        "shuffles": "all",
        "likelihood": "mean",
        "rec_scale": 370.0,
        "batch": 16,
        "encoder_widths": (16, 32, 64, 128),
        "encoder_blocks": 1,
        "decoder_widths": (128, 128, 64, 32),
        "decoder_blocks": 1,
        "patch": 2,
        "classifier_width": 256,
        "classifier_blocks": 2,
        "classifier_features": 64,
        "visualiser_widths": (64, 64, 48, 32),
        "visualise_every": 4,
        "lr": 1e-3,
        "classifier_lr": 1e-3,
        "final_lr": 0.1,
        "beta2": 0.99,
        "clip": 1.5,
        "half_size": 0.5,
    },
}


@dataclass
class RobustConfig:
    """Settings of robust disentangling. Those that are None take the preset's value.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    class_factor: str = "class"
    """The factor column whose equal values make a pair: who it is, or which video a frame is of.
    "a,b" crosses two columns."""
    preset: Literal["laptop", "paper"] = "laptop"
    """laptop: compact networks, minutes on two cores. paper: the published sizes and rates."""
    variant: Literal["adaptive", "variational", "adversarial", "equal", "fixed", "beta-vae"] = (
        "adaptive"
    )
    """adaptive: the method. variational: no L_MI, gamma by Eq. 24. adversarial: no KL term.
    equal: b_gamma is 0. fixed: gamma stays. beta-vae: no L_MI, the KL weighted by beta
    (Table 1, Fig. 7)."""
    pose_code: Literal["spatial", "vector"] | None = None
    """spatial: channels on the coarsest grid. vector: one vector an image."""
    appearance_code: Literal["spatial", "vector"] | None = None
    """The same for the appearance."""
    pose_dim: int | None = None
    """Entries of the pose code; of a spatial one its channels."""
    appearance_dim: int | None = None
    """Entries of the appearance code; of a spatial one its channels."""
    covariance: Literal["diagonal", "full"] = "diagonal"
    """Of the pose's Gaussian posterior; full needs a vector code."""
    bound: float | None = None
    """The posterior's means are kept within plus and minus this, and its deviations below 1 (both
    softly); 0: they are not. Without a KL term nothing else keeps them small."""
    encode_pose: Literal["mean", "draw"] = "mean"
    """What `encode` gives of the pose's posterior: the mean, but for entries below --pose-floor; or
    a draw, always the same for the same item, which is what the constraint is on."""
    pose_floor: float | None = None
    """Entries of the pose code that tell less than this (nats, KL to the prior) are 0 in the mean:
    what they tell lies below their noise, where T never looked. 0: all are as they are."""
    epsilon: float = 0.125
    """Limit of the mutual information of pose and appearance, in nats (Eq. 5)."""
    mu: float = 0.1
    """Penalty parameter, and rate, of the multiplier lambda (Eq. 22, 23)."""
    gamma: float | None = None
    """Weight of the KL term at the start; with variant fixed it stays, and is 1 if not given."""
    beta: float | None = None
    """Weight of the KL term with variant beta-vae."""
    l_gamma: float | None = None
    """Rate at which gamma changes (Eq. 18, 24)."""
    b_gamma: float | None = None
    """Gap of the two estimates that leaves gamma where it is (Eq. 18)."""
    average: float = 0.99
    """Decay of the running averages of the estimates, which move gamma; 0: those of the batch."""
    warm_up: int | None = None
    """Steps before the penalty L_MI is used and lambda and gamma move."""
    shuffles: Literal["one", "all"] | None = None
    """Shuffled pairs the classifiers learn from: one an image, or all others of the batch."""
    perceptual: Literal["efficientnet-lite0", "vgg16", "none"] = "efficientnet-lite0"
    """Frozen network of the reconstruction's distance; none: the squared error."""
    perceptual_weight: float | None = None
    """Weight of each layer's relative difference (efficientnet-lite0); VGG16's layers count 1."""
    likelihood: Literal["sum", "mean"] | None = None
    """L_rec is of the sum over all values of an item (Eq. 20), or of their mean, which stands in
    one and the same balance with KL and information whatever the items' size."""
    rec_scale: float | None = None
    """L_rec is the distance, so summed, times this."""
    batch: int | None = None
    """Pairs per step."""
    encoder_widths: tuple[int, ...] | None = None
    """Channels of the encoders at each resolution, the finest first."""
    encoder_blocks: int | None = None
    """Residual blocks of the encoders at the coarsest resolution."""
    decoder_widths: tuple[int, ...] | None = None
    """Channels of the decoder at each resolution, the coarsest first."""
    decoder_blocks: int | None = None
    """Residual blocks of the decoder for each code."""
    patch: Literal[1, 2] | None = None
    """2: the encoders begin at half the image size, and the decoder's last maps have it."""
    classifier_width: int | None = None
    """Width of the residual layers of T and T'."""
    classifier_blocks: int | None = None
    """Residual layers of each of the two networks in T and T'."""
    classifier_features: int | None = None
    """Length of the inner product of T and T', per position where a code is spatial."""
    visualiser_widths: tuple[int, ...] | None = None
    """Channels of the two decoders that show a single code (section 4.2), the coarsest first."""
    visualise_every: int | None = None
    """These decoders learn in every so-manyth step; 0: there are none."""
    lr: float | None = None
    """Learning rate of encoders, decoder and visualisers."""
    classifier_lr: float | None = None
    """Learning rate of T and T'."""
    final_lr: float | None = None
    """Share of each learning rate that is left at the end (cosine)."""
    beta2: float | None = None
    """Adam's decay of squared gradients; steps are calmer nearer to 1. The first is 0.5."""
    clip: float | None = None
    """Gradients longer than so many times their usual length are shortened to that; 0: none is."""
    half_size: float | None = None
    """Share of the training at half the image size."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.variant == "fixed" and self.gamma is None:
            self.gamma = _FIXED_WEIGHT
        use_preset(self, _PRESETS)
        if not self.class_factor:
            raise ConfigError("--class-factor needs the name of a factor column")
        check_range(self, _POSITIVE.split(), open_low=True)
        check_range(self, _NOT_NEGATIVE.split())
        check_range(self, ("average", "beta2", "half_size"), high=1)
        for name in ("encoder_widths", "decoder_widths", "visualiser_widths"):
            widths = getattr(self, name)
            if len(widths) < 2 or min(widths) < 1:
                raise ConfigError(f"--{flag(name)} needs two or more positive numbers")
        every = (self.encoder_widths, self.decoder_widths, self.visualiser_widths)
        if len({len(widths or ()) for widths in every}) > 1:
            raise ConfigError(
                "--encoder-widths, --decoder-widths and --visualiser-widths need as many numbers "
                "each: codes lie on the grid that they share"
            )
        if (self.batch or 0) < 2:
            raise ConfigError("--batch must be 2 or more: shuffled pairs need another image")
        if self.covariance == "full" and self.pose_code == "spatial":
            raise ConfigError("--covariance full needs --pose-code vector")


class RobustDisentangling(Method):
    """Pose and appearance from pairs of the same appearance (Esser, Haux and Ommer, ICCV 2019).

    "Unsupervised Robust Disentangling of Latent Characteristics for Image Synthesis". The pose
    code comes from the image itself, the appearance code from another image of the same appearance.
    A classifier T estimates how much the two codes tell of each other, and the pose encoder is kept
    from it (Eq. 22). What it learns to hide from T, a second classifier T' finds, which it never
    sees: the gap of the two sets the weight of a variational bottleneck (Eq. 18). Published
    settings are the preset `paper`; `docs/robust.md` lists where this differs from the paper and
    its release.
    """

    name: ClassVar[str] = "robust"
    Config: ClassVar[type[Any]] = RobustConfig
    examples: ClassVar[tuple[str, ...]] = (
        "photos/ --size 64",
        "shapes3d --draw 4000 --class-factor object_hue",
    )
    config: RobustConfig
    _divisor = 1  # of the image size in training

    # ------------------------------------------------------------------ data and networks

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: two appearances or more, one of them at least in two items.

        Warns of items that no other shares its appearance with: they are in no pair.
        """
        counts = np.bincount(data.class_factor(self.config.class_factor))
        if counts.max() < 2:
            raise DataError(
                f"{data.name}: every item has another {self.config.class_factor}; pairs of the "
                "same one are needed, such as several images in a folder"
            )
        alone = int((counts == 1).sum())
        if alone:
            warnings.warn(
                f"{data.name}: {alone:,} of {len(data):,} items have no other of the same "
                f"{self.config.class_factor}; nothing is learnt from them",
                stacklevel=3,
            )
        return {"images": data.is_images}

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: two encoders, a decoder, T, T', visualisers, and the multipliers."""
        codes = self._code_shapes(shape)
        pose, appearance = codes["pose"], codes["appearance"]
        pose_dim, full = int(np.prod(pose)), self.config.covariance == "full"
        parts: dict[str, nn.Module] = {
            "pose_encoder": self._encoder(shape, parameters(pose_dim, full), len(pose) == 3),
            "appearance_encoder": self._encoder(
                shape, int(np.prod(appearance)), len(appearance) == 3
            ),
            "decoder": self._decoder(shape, (pose, appearance), self.config.decoder_widths or ()),
            "multipliers": Multipliers(self.start_weight),
            "rates": Rates(pose_dim),
        }
        for name in _CLASSIFIERS:
            parts[name] = ProductClassifier(
                pose,
                appearance,
                self.config.classifier_width or 1,
                self.config.classifier_blocks or 0,
                self.config.classifier_features or 1,
            )
        if self.config.visualise_every:
            widths = self.config.visualiser_widths or ()
            for space, code in codes.items():
                parts[f"{space}_visualiser"] = self._decoder(shape, (code,), widths)
        if not facts["images"]:
            parts["scale"] = Scaling(shape)
        return nn.ModuleDict(parts)

    def _code_shapes(self, shape: tuple[int, ...]) -> dict[str, CodeShape]:
        """(d,) or (c, h, w) of each code; of vector data all codes are vectors."""
        config = self.config
        kinds = {
            "appearance": (config.appearance_code, config.appearance_dim or 1),
            "pose": (config.pose_code, config.pose_dim or 1),
        }
        if len(shape) == 1:
            return {space: (dim,) for space, (_, dim) in kinds.items()}
        levels = len(config.encoder_widths or ()) - 1
        grid = grid_shape(shape[0], shape[1], levels, config.patch or 1)
        return {
            space: (dim, *grid) if kind == "spatial" else (dim,)
            for space, (kind, dim) in kinds.items()
        }

    def _encoder(self, shape: tuple[int, ...], outputs: int, spatial: bool) -> nn.Module:
        config = self.config
        widths, blocks = config.encoder_widths or (), config.encoder_blocks or 0
        if len(shape) == 1:
            return residual_mlp(shape[0], widths[-1], len(widths) + blocks, outputs)
        return ResidualEncoder(
            (shape[0], shape[1], shape[2]),
            outputs,
            spatial=spatial,
            widths=widths,
            blocks=blocks,
            patch=config.patch or 1,
            halves=self._halves(shape),
        )

    def _decoder(
        self, shape: tuple[int, ...], codes: Sequence[CodeShape], widths: Sequence[int]
    ) -> nn.Module:
        blocks = self.config.decoder_blocks or 0
        if len(shape) == 1:
            inputs = sum(code[0] for code in codes)
            return residual_mlp(inputs, widths[0], len(widths) + blocks, shape[0])
        return SubPixelDecoder(
            codes,
            (shape[0], shape[1], shape[2]),
            widths=widths,
            blocks=blocks,
            patch=self.config.patch or 1,
            halves=self._halves(shape),
        )

    def _halves(self, shape: tuple[int, ...]) -> bool:
        """Whether a part of the training is at half the image size."""
        return bool(self.config.half_size) and len(shape) == 3 and min(shape[:2]) >= _HALVED

    @property
    def start_weight(self) -> float:
        """Weight of the KL term at the start."""
        config = self.config
        starts = {"adversarial": 0.0, "beta-vae": config.beta}
        return starts.get(config.variant, config.gamma) or 0.0

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: a single one."""
        return [Disentangling(self, data)]

    # ------------------------------------------------------------------ use

    @property
    def code_spaces(self) -> dict[str, CodeSpace]:
        """`appearance`, what pairs share, and `pose`, everything else."""
        if not hasattr(self, "data_shape"):  # a spatial code's size is that of the images' grid
            self._require_trained()
        shapes = self._code_shapes(self.data_shape)
        factors = {"appearance": self.config.class_factor, "pose": None}
        return {
            space: CodeSpace(space, int(np.prod(shape)), factors[space])
            for space, shape in shapes.items()
        }

    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """The appearance, and the mean or a draw of the pose's posterior."""
        q = self.pose(items)
        if self.config.encode_pose == "draw":
            pose = q.sample(own_noise(items, q.mean.shape[1]))
        else:
            pose = q.mean * self._part("rates").above(self.config.pose_floor or 0.0)
        return {"appearance": self.appearance(items), "pose": pose}

    def pose(self, items: Tensor) -> Posterior:
        """q(pose | item): the posterior of items [b, C, H, W] in [0, 1] or [b, D]."""
        values = self._encoded("pose_encoder", items)
        dim = int(np.prod(self._code_shapes(self.data_shape)["pose"]))
        return posterior(values, dim, self.config.covariance == "full", self.config.bound or 0.0)

    def appearance(self, items: Tensor) -> Tensor:
        """Appearance codes float32 [b, dim] of items [b, C, H, W] in [0, 1] or [b, D]."""
        return self._encoded("appearance_encoder", items)

    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """D(pose, appearance)."""
        return self._shown("decoder", codes["pose"], codes["appearance"])

    def _shown(self, decoder: str, *codes: Tensor) -> Tensor:
        """What `generate` makes, images cut to [0, 1]."""
        made = self.generate(decoder, *codes)
        return made if len(self.data_shape) == 1 else made.clamp(0, 1)

    def generate(self, decoder: str, *codes: Tensor, divisor: int = 1) -> Tensor:
        """Images [b, C, H / divisor, W / divisor], or vectors, by one of the decoders.

        The numbers of images are in [0, 1] up to some thousandths.
        """
        network = self._part(decoder)
        if len(self.data_shape) == 1:
            vectors: Tensor = self._part("scale").inverse(network(torch.cat(codes, 1)).float())
            return vectors
        images: Tensor = network(*codes, half=divisor == 2)
        return images

    def visualise_codes(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """What each code says alone (section 4.2): items of single codes [b, dim].

        {} for a model without visualisers.
        """
        if not self.config.visualise_every:
            return {}
        return {s: self._shown(f"{s}_visualiser", code) for s, code in codes.items()}

    def training_items(self, codes: dict[str, Tensor]) -> Tensor:
        """Images at the size that is trained just now, enlarged to full size."""
        images = self.generate("decoder", codes["pose"], codes["appearance"], divisor=self._divisor)
        return F.interpolate(images, self.data_shape[:2])

    def _part(self, name: str) -> Any:
        return self.network[name]  # type: ignore[index]

    def _encoded(self, encoder: str, items: Tensor) -> Tensor:
        """What an encoder makes of vectors, standardised, or of images at the trained size."""
        if len(self.data_shape) == 1:
            vectors: Tensor = self._part(encoder)(self._part("scale")(items)).float()
            return vectors
        height, width = (shrunk(side, self._divisor) for side in self.data_shape[:2])
        if items.shape[2:] != (height, width):
            items = F.adaptive_avg_pool2d(items, (height, width))
        codes: Tensor = self._part(encoder)(items, half=self._divisor == 2)
        return codes


class Multipliers(nn.Module):
    """lambda, gamma and the running averages of the estimates, which all survive a resume.

    Args:
        weight: gamma at the start.
    """

    multiplier: Tensor
    weight: Tensor
    sums: Tensor
    total: Tensor

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.register_buffer("multiplier", torch.zeros(()))
        self.register_buffer("weight", torch.tensor(float(weight)))
        self.register_buffer("sums", torch.zeros(len(_CLASSIFIERS)))
        self.register_buffer("total", torch.zeros(()))

    @torch.no_grad()
    def restart(self, weight: float) -> None:
        """Forget all but gamma at the start."""
        for state in (self.multiplier, self.sums, self.total):
            state.zero_()
        self.weight.fill_(weight)

    def observe(self, estimates: Tensor, decay: float) -> None:
        """Take I_T and I_T' [2] of a batch into the averages."""
        self.sums.mul_(decay).add_((1 - decay) * estimates)
        self.total.mul_(decay).add_(1 - decay)

    @property
    def averages(self) -> Tensor:
        """Averages of I_T and I_T' [2], each batch weighted by decay^age; 0 before the first."""
        return self.sums / self.total.clamp_min(1e-12)


class Rates(nn.Module):
    """Running averages of what each entry of the pose code tells, in nats.

    Args:
        dim: entries of the code.
    """

    sums: Tensor
    total: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(dim))
        self.register_buffer("total", torch.zeros(()))

    @torch.no_grad()
    def observe(self, rates: Tensor) -> None:
        """Take the mean rates [dim] of a batch in."""
        self.sums.mul_(_RATE_DECAY).add_((1 - _RATE_DECAY) * rates)
        self.total.mul_(_RATE_DECAY).add_(1 - _RATE_DECAY)

    def above(self, floor: float) -> Tensor:
        """1 for entries whose average is `floor` or more, else 0; [dim]. All 1 before the first."""
        return (self.sums >= floor * self.total).float()


class Disentangling(Stage):
    """The one stage: encoders and decoder against the constraint, classifiers, visualisers."""

    name = "disentangling"

    def __init__(self, method: RobustDisentangling, data: FactorDataset) -> None:
        self.method, self.config, self.data = method, method.config, data
        self.estimates: Tensor | None = None  # I_T, I_T' of the step being made

    @property
    def network(self) -> Any:
        return self.method.network

    def setup(self) -> None:
        # A model to start from has where its own training, by its own variant, brought them.
        self.network["multipliers"].restart(self.method.start_weight)
        if not self.data.is_images:
            self.network["scale"].fit(self.data.items)

    def sampler(self, context: Context) -> Sampler:
        return context.pairs(self.config.class_factor, self.config.batch or 2)

    def resolutions(self) -> Sequence[tuple[float, int]]:
        half = self.config.half_size or 0.0
        if not self.method._halves(self.data.shape):
            return [(1.0, 1)]
        return [(half, 2), (1 - half, 1)]

    def prepare(self) -> None:
        device = next(self.network.parameters()).device
        config = self.config
        if self.data.is_images:
            self.distance = ImageDistance(
                self.data.items, config.perceptual, config.perceptual_weight or 0.0, device
            )

    def memory(self) -> int:
        return stored_bytes(self.data.items, self.config.perceptual) if self.data.is_images else 0

    def players(self) -> Sequence[Player]:
        """§3.5: no loss reaches another player's networks, whatever it passes through."""
        config = self.config
        rate = Cosine(config.final_lr or 0.0) * Ramp(steps=100)

        def player(name: str, networks: Sequence[str], lr: float | None) -> Player:
            params = [p for part in networks for p in self.network[part].parameters()]
            group = Group(params, lr or 0.0, rate, (0.5, config.beta2 or 0.0))
            return Player(name, [group], clip=config.clip or 0.0)

        found = [
            player("model", ("pose_encoder", "appearance_encoder", "decoder"), config.lr),
            *(player(name, (name,), config.classifier_lr) for name in _CLASSIFIERS),
        ]
        if config.visualise_every:
            both = ("pose_visualiser", "appearance_visualiser")
            found.append(player("visualisers", both, config.lr))
        return found

    def step(self, batch: Batch, progress: Progress) -> StepResult:
        """Fig. 4: x2 = "a" gives the pose and is to be made, x1 = "b" gives the appearance."""
        x2, x1, method = batch["a"], batch["b"], self.method
        divisor = method._divisor = progress.divisor
        q = method.pose(x2.images)
        self.network["rates"].observe(x2.mean(q.rates().detach()))
        pose = q.sample(x2.randn(q.mean.shape[1]))
        appearance = method.appearance(x1.images)
        made = method.generate("decoder", pose, appearance, divisor=divisor)
        rec = self.reconstruction(made, x2, divisor)
        kl = posterior_kl(q.mean, q.log_diagonal, q.below)
        # E_pi sees T, and neither E_alpha nor the decoder do; T' sees codes that lead nowhere.
        order = x2.permutation(others=True)
        t, t_loss = self.classify("T", pose, appearance.detach(), x2, order)
        other, other_loss = self.classify("T'", pose.detach(), appearance.detach(), x2, order)
        self.estimates = torch.stack([t.detach(), other.detach()])
        losses = {
            "model": rec + self.regularisation(kl, t, progress.step),
            "T": t_loss,
            "T'": other_loss,
        }
        every = self.config.visualise_every
        if every and progress.step % every == 0:
            losses["visualisers"] = self.visualisation(pose, appearance, x2, divisor)
        return StepResult(losses, self.logs(rec, kl))

    def reconstruction(self, made: Tensor, x2: View, divisor: int) -> Tensor:
        """L_rec of Eq. 20, up to a constant."""
        summed = self.config.likelihood == "sum"
        values = float(np.prod(self.method.data_shape)) if summed else 1.0
        if self.data.is_images and self.config.perceptual != "none":
            distance = self.distance(made, x2, divisor)
        elif self.data.is_images:  # as numbers from -1 to 1
            distance = 4 * self._squared(made, x2.images)
        else:
            distance = self._squared(made, x2.images)
        return (self.config.rec_scale or 0.0) * values * distance

    def _squared(self, made: Tensor, true: Tensor) -> Tensor:
        """Mean squared difference; of vectors in units of their standard deviation."""
        if self.data.is_images:
            return F.mse_loss(made.float(), true)
        scale = self.network["scale"]
        return F.mse_loss(scale(made), scale(true))

    def classify(
        self, name: str, pose: Tensor, appearance: Tensor, x: View, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Estimate of the mutual information (Eq. 12), and the classifier's loss (Eq. 10-11).

        Args:
            name: "T" or "T'".
            pose, appearance: codes [b, dim]; `x` is their view and `order` [b] shuffles it.
        """
        first, second = self.network[name](pose, appearance)
        joint = pair_logits(first, second)
        everyone = x.gather(second)
        if self.config.shuffles == "one":
            shuffled = pair_logits(first, everyone[order])
        else:
            with torch.autocast(first.device.type, enabled=False):
                logits = first @ everyone.T
            others = torch.ones_like(logits, dtype=torch.bool)
            others[torch.arange(len(x), device=x.device), x.places] = False
            shuffled = logits[others]
        return x.mean(joint), pair_classification(joint, shuffled)

    def regularisation(self, kl: Tensor, estimate: Tensor, step: int) -> Tensor:
        """L_VB + L_MI of Eq. 19, as far as the variant has them."""
        config, state = self.config, self.network["multipliers"]
        loss: Tensor = state.weight.clone() * kl
        if config.variant in _CONSTRAINED and step >= (config.warm_up or 0):
            multiplier = state.multiplier.clone()
            loss = loss + augmented_lagrangian(estimate, config.epsilon, multiplier, config.mu)
        return loss

    def visualisation(self, pose: Tensor, appearance: Tensor, x2: View, divisor: int) -> Tensor:
        """Section 4.2: the mean item of a pose, and of an appearance. No gradient to the codes."""
        loss = torch.zeros((), device=pose.device)
        for space, code in {"pose": pose, "appearance": appearance}.items():
            made = self.method.generate(f"{space}_visualiser", code.detach(), divisor=divisor)
            loss = loss + self._squared(made, x2.images)
        return loss

    def logs(self, rec: Tensor, kl: Tensor) -> dict[str, Tensor | float]:
        """What Table 1 shows; the estimates are the averages up to this step."""
        state = self.network["multipliers"]
        assert self.estimates is not None
        state.observe(self.estimates, self.config.average)
        t, other = state.averages
        return {
            "I_T": t,
            "I_T'": other,
            "gamma": state.weight.clone(),
            "lambda": state.multiplier.clone(),
            "L_rec": rec.detach(),
            "KL": kl.detach(),
        }

    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
        """lambda by Eq. 23, gamma by Eq. 18 or, without L_MI, Eq. 24."""
        config, state = self.config, self.network["multipliers"]
        if progress.step < (config.warm_up or 0) or self.estimates is None:
            return
        if config.variant in _CONSTRAINED:
            estimate = self.estimates[0]
            state.multiplier.copy_(
                next_multiplier(state.multiplier, estimate, config.epsilon, config.mu)
            )
        if config.variant in _WEIGHT_MOVES:
            t, other = state.averages
            bias = 0.0 if config.variant == "equal" else config.b_gamma or 0.0
            gap = other - config.epsilon if config.variant == "variational" else other - t - bias
            state.weight.copy_(next_weight(state.weight, gap, config.l_gamma or 0.0))

    def finish(self) -> None:
        self.method._divisor = 1
