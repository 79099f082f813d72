"""DisUnknown: several labelled factors and one unknown (Xiang et al., ICCV 2021)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError, nearest
from unmingle.nn.code_statistics import CodeStatistics
from unmingle.nn.embedding import LabelEmbedding
from unmingle.nn.gaussian import CodeHeads, GaussianEncoder, Generator, Heads
from unmingle.nn.posterior import own_noise
from unmingle.training.stage import Stage

from .base import CodeSpace
from .disunknown_stages import Distil, EncodeLabels, Generate, Recognise
from .drawing import DrawingMethod
from .settings import check_range, check_types, flag, use_preset

UNKNOWN = "unknown"
_SCALE_ROWS = 8192
_BATCH, _SMALL = 64, 32  # items per step, and the side up to which that is so
_POSITIVE = (
    "features lr classifier_lr embedding_lr generator_lr final_lr code_width reconstruction_weight"
)
_NOT_NEGATIVE = (
    "unknown_dim blocks code_layers shift unknown_kl batch_kl label_kl adversarial_weight "
    "discriminator_weight recogniser_weight code_weight"
)
_STAGE_2 = (  # settings that nothing but stage II and its classifier looks at
    "keep_unknown recogniser reconstruction_branch discriminator_weight recogniser_weight "
    "code_weight generator_lr shift"
)
_ALL_STAGES = "60 5 25 10"  # shares to try where `laptop` leaves stage II out
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "unknown_dim": 64,
        "unknown_keep": 0.2,
        "unknown_kl": 1e-3,
        "label_kl": 1e-3,
        "label_starts": ("zero",),
        "shares": (200.0, 20.0, 80.0, 40.0),
        "lr": 1e-4,
        "classifier_lr": 1e-4,
        "embedding_lr": 1e-3,
        "generator_lr": 5e-5,
        "final_lr": 1.0,
        "half_size": 0.0,
        "widths": (32, 64, 128, 256, 512, 512),
        "features": 512,
        "blocks": 2,
        "code_width": 512,
    },
    "laptop": {
        "unknown_dim": 16,
        "unknown_keep": 1.0,
        "unknown_kl": 1e-3,
        "label_kl": 1e-3,
        "label_starts": ("random",),
        "shares": (90.0, 0.0, 0.0, 10.0),
        "batch": 32,
        "lr": 1e-3,
        "classifier_lr": 1e-3,
        "embedding_lr": 5e-3,
        "generator_lr": 3e-4,
        "final_lr": 0.05,
        "half_size": 0.0,
        "widths": (24, 48, 96, 128, 128),
        "features": 256,
        "blocks": 2,
        "code_width": 256,
    },
}


@dataclass
class DisUnknownConfig:
    """Settings of DisUnknown. Those that are None take the preset's value.

    Raises:
        ConfigError: naming the flag that is wrong.
    """

    labelled: tuple[str, ...] = ("class",)
    """The factor columns that are told; "a,b" crosses two. None of them: everything is unknown."""
    preset: Literal["laptop", "paper"] = "laptop"
    """laptop: compact networks, minutes on two cores. paper: the published sizes and rates."""
    unknown_dim: int | None = None
    """Size of the unknown code; 0: the labelled factors are all there is."""
    label_dims: tuple[int, ...] = (8,)
    """Sizes of the labelled codes: one for all, or one each."""
    label_starts: tuple[Literal["zero", "random", "linear", "circle"], ...] | None = None
    """How the embeddings of a factor start, one for all or one each: all alike, apart at random,
    evenly along a line (values in an order), or around a circle (an order that closes)."""
    unknown_code: Literal["draw", "mean"] = "draw"
    """What `encode` gives of q(u|x): a draw, always the same for the same item, as everything in
    training sees it; or the mean. Below its own noise a mean may tell labelled factors, where no
    adversary has looked."""
    unknown_keep: float | None = None
    """Nested dropout: how often the unknown code's last dimension is kept; 1: always all."""
    label_keep: tuple[float, ...] = (1.0,)
    """The same of the labelled codes, one for all or one each."""
    classifier: Literal["compound", "image", "code"] = "compound"
    """What the classifier of stage I looks at: images made of the unknown code and the labels of
    others (1.2), the code itself, or both."""
    adversary: Literal["nlu", "nll", "nll-clamped"] = "nlu"
    """What the encoder plays against it: the weighted negative log unlikelihood (Eq. 13), or the
    classifier's NLL made large, without end or up to chance."""
    adversarial_to: tuple[Literal["encoder", "dense", "convolutions", "embeddings"], ...] = (
        "encoder",
        "dense",
    )
    """What the adversarial gradient moves: the encoder, and of the generator that made the image
    the fully-connected layers, the convolutions, the embeddings of the others' labels."""
    adversarial_weight: float = 0.5
    """Weight of the encoder's adversarial loss."""
    adversarial_ramp: float = 0.0
    """Share of stage I over which that weight grows from 0."""
    fixed_std: float | None = None
    """Standard deviation of the reconstruction, of pixels in [-1, 1]; predicted if not given."""
    reconstruction_weight: float = 1.0
    """Weight of the reconstruction's negative log likelihood, a mean over pixels."""
    unknown_kl: float | None = None
    """Weight of KL(q(u|x) || N(0, I))."""
    batch_kl: float = 0.1
    """Weight of the KL of each dimension of the unknown code over the whole batch."""
    label_kl: float | None = None
    """Weight of the embeddings' KL."""
    keep_unknown: Literal["pair", "code", "none"] = "pair"
    """What keeps the unknown in stage II: the discriminator sees stage I's image beside, the
    distance of the unknown codes, or nothing."""
    recogniser: Literal["adversarial", "frozen"] = "adversarial"
    """Whether the classifier of stage II goes on learning to tell made images from real ones."""
    reconstruction_branch: bool = True
    """Whether stage II also makes each image with its own labels."""
    discriminator_weight: float = 1.0
    """Weight of the generator's adversarial loss in stage II."""
    recogniser_weight: float = 1.0
    """Weight of the wanted labels in stage II."""
    code_weight: float = 0.1
    """Weight of the code distance, with keep-unknown code."""
    shift: float = 0.25
    """How far, as a share of the side, the images of stage II's judges are moved at most in each
    of two draws that add up."""
    shares: tuple[float, float, float, float] | None = None
    """Shares of the budget: distilling the unknown, classifier, generator, labelled encoders. 0
    for both in the middle leaves stage II out, and with it all settings that are for it alone; 0
    for the first leaves it to the run that this one starts from."""
    batch: int | None = None
    """Items per step. In paper, if not given, 64, but of images larger than 32 pixels 2048 by the
    larger side."""
    lr: float | None = None
    """Learning rate of the networks, but in stage II."""
    classifier_lr: float | None = None
    """Learning rate of stage I's classifier, which must keep up with codes that move."""
    embedding_lr: float | None = None
    """Learning rate of the embeddings."""
    generator_lr: float | None = None
    """Learning rate of the networks in stage II."""
    final_lr: float | None = None
    """Share of each learning rate that is left at the end of a stage (cosine)."""
    half_size: float | None = None
    """Share of each stage that is trained at half the image size."""
    widths: tuple[int, ...] | None = None
    """Channels of the convolutions, finest first; small images use fewer of them."""
    features: int | None = None
    """Width of the fully-connected layers; for vectors all there is."""
    blocks: int | None = None
    """Residual fully-connected layers of encoders and generator (and, of vectors, of all)."""
    code_width: int | None = None
    """Width of the classifier that sees the code."""
    code_layers: int = 4
    """Its hidden layers."""

    def __post_init__(self) -> None:
        check_types(self)
        use_preset(self, _PRESETS)
        check_range(self, _POSITIVE.split(), open_low=True)
        if self.batch is not None:
            check_range(self, ("batch",), open_low=True)
        check_range(self, _NOT_NEGATIVE.split())
        check_range(self, ("half_size",), high=1)
        if not 0 <= self.adversarial_ramp <= 1:
            raise ConfigError(
                f"--adversarial-ramp must be from 0 to 1, not {self.adversarial_ramp}"
            )
        if self.fixed_std is not None:
            check_range(self, ("fixed_std",), open_low=True)
        if self.widths is None or not self.widths or min(self.widths) < 1:
            raise ConfigError("--widths needs one or more positive numbers")
        for name in ("unknown_keep", "label_keep"):
            value = getattr(self, name)
            if not all(0 < p <= 1 for p in (value if isinstance(value, tuple) else (value,))):
                raise ConfigError(f"--{flag(name)} must be above 0 and at most 1")
        if "encoder" not in self.adversarial_to:
            raise ConfigError("--adversarial-to must name encoder: it is the classifier's opponent")
        self._check_factors()
        self._check_shares()

    def _check_factors(self) -> None:
        names = self.labelled
        if "" in names or UNKNOWN in names or len(set(names)) < len(names):
            raise ConfigError(f"--labelled takes different factor columns, none called {UNKNOWN!r}")
        if not names and not self.unknown_dim:
            raise ConfigError("--unknown-dim 0 needs factors that are --labelled")
        for name in ("label_dims", "label_starts", "label_keep"):
            if len(getattr(self, name)) not in (1, max(len(names), 1)):
                raise ConfigError(
                    f"--{flag(name)} takes one value, or one for each labelled factor"
                )
        if min(self.label_dims) < 1:
            raise ConfigError("--label-dims must be at least 1")
        pairs = zip(each(self.label_starts or (), names), each(self.label_dims, names), strict=True)
        if any(start == "circle" and dim < 2 for start, dim in pairs):
            raise ConfigError("--label-starts circle needs --label-dims of 2 or more")

    def _check_shares(self) -> None:
        assert self.shares is not None
        distil, classifier, generator, encoders = self.shares
        if not (min(self.shares) >= 0 and distil + generator > 0):
            raise ConfigError(
                "--shares are four numbers of 0 or more, the first or the third above 0"
            )
        if self.labelled and encoders == 0:
            raise ConfigError("--shares: labelled factors need encoders, the fourth number above 0")
        if self.labelled and (classifier == 0) != (generator == 0):
            raise ConfigError("--shares: classifier and generator are both 0 or both above 0")
        if generator == 0:
            self._check_without_stage_2()

    def _check_without_stage_2(self) -> None:
        usual = {f.name: f.default for f in fields(self)} | _PRESETS[self.preset]
        for name in _STAGE_2.split():
            value = getattr(self, name)
            if value != usual[name]:
                raise ConfigError(
                    f"--{'no-' if value is False else ''}{flag(name)} is for stage II, which has "
                    f"no share of the budget: give --shares {_ALL_STAGES} as well"
                )


def each(values: Sequence[Any], names: Sequence[str]) -> tuple[Any, ...]:
    """A value for each name, from as many or from a single one."""
    return tuple(values) if len(values) == len(names) else tuple(values[:1]) * len(names)


class DisUnknown(DrawingMethod):
    """DisUnknown: several labelled factors, one unknown (Xiang et al., ICCV 2021).

    "DisUnknown: Distilling Unknown Factors for Disentanglement Learning". Any number of factors is
    labelled; whatever else varies becomes one more code, `unknown`. Stage I distils it against a
    classifier of the labelled factors, stage II trains a generator that is right on every
    combination, encoders of the labelled factors come last. Images or vectors. Published settings
    are the preset `paper`; `docs/disunknown.md` lists where this differs from paper and release.
    """

    name: ClassVar[str] = "disunknown"
    Config: ClassVar[type[Any]] = DisUnknownConfig
    examples: ClassVar[tuple[str, ...]] = (
        "photos/ --size 64 --factors person,pose --labelled person pose",
        "shapes3d --draw 4000 --labelled shape object_hue",
    )
    config: DisUnknownConfig

    # ------------------------------------------------------------------ data and networks

    def check(self, data: FactorDataset) -> dict[str, Any]:
        """See `Method.check`: labelled columns of two values or more each; images or vectors."""
        classes: dict[str, Any] = {}
        for factor in self.config.labelled:
            if factor in data.continuous and factor not in data.factors:
                raise DataError(
                    f"{data.name}: {factor!r} is a continuous column: cut it into values first, "
                    f"as by --buckets {factor}=24"
                )
            names = data.names(factor)
            present, counts = np.unique(data.class_factor(factor), return_counts=True)
            classes[factor] = {
                "names": [names[value] for value in present],
                "frequencies": (counts / len(data)).tolist(),
            }
        facts: dict[str, Any] = {"classes": classes}
        if not data.is_images:
            rows = np.unique(np.linspace(0, len(data) - 1, _SCALE_ROWS).astype(np.int64))
            some = np.asarray(data.items[rows], np.float64)
            scale = float(some.std(0).max())
            facts["offset"] = some.mean(0).tolist()
            facts["scale"] = scale if scale > 0 else 1.0
        return facts

    def check_start(self, start_from: str | os.PathLike[str] | None) -> None:
        """See `Method.check_start`: without stage I its networks must come from a run."""
        if start_from is None and self.config.shares is not None and self.config.shares[0] == 0:
            raise ConfigError(
                "--shares begins with 0: stage I is left to another run; give --start-from RUN"
            )

    def batch_of(self, shape: tuple[int, ...]) -> int:
        """Items per step: as told, or by the release's rule for images of `shape`."""
        if self.config.batch is not None:
            return self.config.batch
        side = max(shape[:2]) if len(shape) == 3 else 0
        return _BATCH if side <= _SMALL else max(_BATCH * _SMALL // side, 2)

    @property
    def label_dims(self) -> tuple[int, ...]:
        """Sizes of the labelled codes, in order of the factors."""
        return each(self.config.label_dims, self.config.labelled)

    @property
    def label_keep(self) -> tuple[float, ...]:
        """How often the last dimension of each labelled code is kept."""
        return each(self.config.label_keep, self.config.labelled)

    def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
        """See `Method.build`: E, G, B, C, R, D, S, and what stage II keeps of stage I."""
        config = self.config
        unknown, classes = config.unknown_dim or 0, [facts["classes"][f] for f in config.labelled]
        counts = [len(c["names"]) for c in classes]
        assert config.widths and config.shares and config.features
        size = (config.widths, config.features, config.blocks or 0)
        # Judges have no residual layers, unless convolutions do not make up for them.
        judge = size if len(shape) == 1 else (config.widths, config.features, 0)
        inputs = 2 * (unknown + sum(self.label_dims))
        parts: dict[str, nn.Module] = {"generator": Generator(inputs, shape, *size)}
        if unknown:
            parts["encoder"] = GaussianEncoder(shape, *size, [unknown])
            parts["unknown_codes"] = CodeStatistics(unknown)
        if classes:
            parts["embeddings"] = self._embeddings(classes)
            parts["label_encoder"] = GaussianEncoder(shape, *size, self.label_dims)
        if classes and unknown:
            parts["classifier"] = self._classifier(shape, judge, counts)
        if config.shares[2] > 0:
            pairs = bool(unknown) and config.keep_unknown == "pair"
            seen = (*shape[:-1], shape[-1] * 2) if pairs else shape
            parts["discriminator"] = Heads(seen, *judge, [1])
            if classes:
                parts["recogniser"] = Heads(shape, *judge, [count + 1 for count in counts])
            if pairs:
                parts["kept_generator"] = Generator(inputs, shape, *size)
            if pairs and classes:
                parts["kept_embeddings"] = self._embeddings(classes)
        if len(shape) == 1:
            parts["scaling"] = Scaling(facts["offset"], facts["scale"])
        return nn.ModuleDict(parts)

    def _embeddings(self, classes: Sequence[Mapping[str, Any]]) -> nn.Module:
        starts = each(self.config.label_starts or (), self.config.labelled)
        return nn.ModuleList(
            LabelEmbedding(torch.tensor(c["frequencies"]), dim, start)
            for c, dim, start in zip(classes, self.label_dims, starts, strict=True)
        )

    def _classifier(
        self, shape: tuple[int, ...], judge: tuple[Any, Any, Any], counts: Sequence[int]
    ) -> nn.Module:
        """C: of images, of the unknown code with its marks of dropped dimensions, or of both."""
        config, parts = self.config, nn.ModuleDict()
        if config.classifier in ("code", "compound"):
            inputs = 2 * (config.unknown_dim or 0)
            parts["code"] = CodeHeads(inputs, config.code_width or 1, config.code_layers, counts)
        if config.classifier in ("image", "compound"):
            parts["image"] = Heads(shape, *judge, counts)
        return parts

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        """See `Method.stages`: distil, classifier, generator, encoders."""
        columns = [
            np.unique(data.class_factor(f), return_inverse=True)[1] for f in self.config.labelled
        ]
        labels = np.stack(columns, 1) if columns else np.zeros((len(data), 0), np.int64)
        self._labels = torch.from_numpy(labels.astype(np.int64))
        assert self.config.shares is not None
        kinds: tuple[Callable[..., Stage], ...] = (Distil, Recognise, Generate, EncodeLabels)
        needs_labels = (Recognise, EncodeLabels)
        return [
            kind(self, data, share)
            for kind, share in zip(kinds, self.config.shares, strict=True)
            if share > 0 and (columns or kind not in needs_labels)
        ]

    # ------------------------------------------------------------------ use

    @property
    def code_spaces(self) -> dict[str, CodeSpace]:
        """One for each labelled factor, by its name, and `unknown`."""
        spaces = {
            factor: CodeSpace(factor, dim, factor)
            for factor, dim in zip(self.config.labelled, self.label_dims, strict=True)
        }
        if self.config.unknown_dim:
            spaces[UNKNOWN] = CodeSpace(UNKNOWN, self.config.unknown_dim, None)
        return spaces

    def gaussians(self, items: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """(mean, std), float32 [b, dim] each, of every code of items as `encode_items` takes."""
        network: Any = self.network
        items = self.normalised(items)
        found: dict[str, tuple[Tensor, Tensor]] = {}
        if self.config.labelled:
            found |= zip(self.config.labelled, network["label_encoder"](items), strict=True)
        if self.config.unknown_dim:
            found[UNKNOWN] = network["encoder"](items)[0]
        return found

    def encode_items(self, items: Tensor) -> dict[str, Tensor]:
        """The means of the labelled codes, and of the unknown a draw or the mean."""
        found = self.gaussians(items)
        codes = {space: mean for space, (mean, _) in found.items()}
        if UNKNOWN in codes and self.config.unknown_code == "draw":
            mean, std = found[UNKNOWN]
            codes[UNKNOWN] = mean + std * own_noise(items, mean.shape[1])
        return codes

    def decode_codes(self, codes: dict[str, Tensor]) -> Tensor:
        """G of all codes, none of their dimensions dropped."""
        order = [UNKNOWN] if self.config.unknown_dim else []
        whole = torch.cat([codes[space] for space in [*order, *self.config.labelled]], 1)
        made, _ = self.generate(torch.cat([whole, torch.zeros_like(whole)], 1))
        if len(self.data_shape) == 1:
            scaled: Tensor = self.network["scaling"].inverse(made)  # type: ignore[index]
            return scaled
        return made.float() / 2 + 0.5

    def generate(self, codes: Tensor, divisor: int = 1, **frozen: bool) -> tuple[Tensor, Tensor]:
        """Items as the networks see them, and their standard deviations [b]; see `Generator`."""
        generator: Any = self.network["generator"]  # type: ignore[index]
        made, std = generator(codes, divisor, **frozen)
        return made, std

    def std(self, predicted: Tensor) -> Tensor:
        """Of the reconstruction: as predicted, or fixed."""
        if self.config.fixed_std is None:
            return predicted
        return torch.full_like(predicted, self.config.fixed_std)

    def normalised(self, items: Tensor) -> Tensor:
        """As the networks see them: pixels in [-1, 1], vectors centred and of unit scale."""
        if items.ndim == 4:
            return items * 2 - 1
        scaled: Tensor = self.network["scaling"](items)  # type: ignore[index]
        return scaled

    def training_codes(self, rows: Tensor) -> dict[str, Tensor]:
        """The embeddings of the rows' labels, and the unknown codes as they are."""
        network: Any = self.network
        items = self.normalised(self._items(self._previewed[rows.numpy()]))
        labels = self._labels[rows].to(items.device)
        codes = {
            factor: network["embeddings"][i](labels[:, i])[0]
            for i, factor in enumerate(self.config.labelled)
        }
        if self.config.unknown_dim:
            codes[UNKNOWN] = network["encoder"](items)[0][0]
        return codes

    # ------------------------------------------------------------------ codes as distributions

    @torch.no_grad()
    def posteriors(self, items: Any) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Mean and standard deviation of every code: {code space: (float32 [N, dim], the same)}.

        What MIG (supplement 2.2) asks for: the codes of `encode` are points.

        Args:
            items: as for `encode`.
        """
        self._require_trained()

        def both(block: Tensor) -> dict[str, Tensor]:
            return {
                f"{space} {part}": value
                for space, pair in self.gaussians(block).items()
                for part, value in zip(("mean", "std"), pair, strict=True)
            }

        found = self._in_blocks(both, self._checked(items))
        return {
            space: (found[f"{space} mean"], found[f"{space} std"]) for space in self.code_spaces
        }

    @torch.no_grad()
    def embedding(self, factor: str) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
        """Means and standard deviations float32 [K, dim] of a factor's values, and their names.

        Raises:
            ConfigError: the factor is not labelled.
        """
        self._require_trained()
        if factor not in self.config.labelled:
            raise ConfigError(
                f"{factor!r} is no labelled factor.{nearest(factor, self.config.labelled)}"
            )
        tables: Any = self.network["embeddings"]  # type: ignore[index]
        mean, std = tables[self.config.labelled.index(factor)].table()
        return mean.cpu().numpy(), std.cpu().numpy(), list(self.facts["classes"][factor]["names"])

    @torch.no_grad()
    def _drawn(self, space: str, count: int, random: np.random.Generator) -> NDArray[np.float32]:
        """See `draw`."""
        if space == UNKNOWN:
            return self._by_moments(self.network["unknown_codes"], count, random)  # type: ignore[index]
        shares = np.asarray(self.facts["classes"][space]["frequencies"])
        values = random.choice(len(shares), count, p=shares / shares.sum())
        codes: NDArray[np.float32] = self.embedding(space)[0][values]
        return codes

    def _has_prior(self, space: str) -> bool:
        """See `draw`: the unknown code's is N(0, I)."""
        return space == UNKNOWN

    def _labelled(self, space: str, value: str) -> NDArray[np.float32]:
        """The embedding of a value."""
        mean, _, names = self.embedding(space)
        if value not in names:
            raise ConfigError(f"{space} has no value {value!r}.{nearest(value, names)}")
        code: NDArray[np.float32] = mean[names.index(value)][None]
        return code


class Scaling(nn.Module):
    """Vectors centred, and divided by one number, so that distances keep their proportions.

    Args:
        offset: mean of the data, D numbers.
        scale: the largest standard deviation of an entry.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, offset: Sequence[float], scale: float) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, vectors: Tensor) -> Tensor:
        """[b, D] to [b, D]."""
        return (vectors - self.offset) / self.scale

    def inverse(self, vectors: Tensor) -> Tensor:
        """Back again."""
        return vectors * self.scale + self.offset
