"""Encoders and generators with pixel-wise normalisation, for images of any size and for vectors.

The building blocks of Karras et al. (2018), which Ruiz et al. (2019, Appendix D) use: 3x3
convolutions, LeakyReLU, average pooling down, nearest neighbours up, channels normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .generator import UpConv
from .residual import SubPixel

SLOPE = 0.2
_EPS = 1e-8


class _LeakyPixelNorm(torch.autograd.Function):
    """LeakyReLU and normalisation in one, which keeps one map for the backward pass, not three."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        y = F.leaky_relu(x, slope)
        # No dtype=float32 in the means: it would make a float32 copy of a whole bfloat16 map.
        scale = torch.rsqrt((y * y).mean(1, keepdim=True).float() + _EPS).to(y.dtype)
        y = y * scale
        ctx.save_for_backward(y, scale)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        (grad,) = grads
        along = (grad * y).mean(1, keepdim=True)
        inner = torch.addcmul(grad, y, along, value=-1).mul_(scale)
        # Normalised or not, y has the sign of the activation's input.
        return torch.ops.aten.leaky_relu_backward(inner, y, ctx.slope, True), None


def leaky_pixel_norm(x: Tensor, slope: float = SLOPE) -> Tensor:
    """LeakyReLU, then every pixel divided by the root mean square over its channels.

    Karras et al. (2018), section 4.2.

    Args:
        x: [B, D, h, w], or [B, D].
        slope: of the LeakyReLU, above 0.
    """
    result: Tensor = _LeakyPixelNorm.apply(x, slope)  # type: ignore[no-untyped-call]
    return result


def _spread() -> Tensor:
    """[9, 16]: a 3x3 kernel to the 4x4 kernel k * [1 1; 1 1] / 4, as a matrix."""
    spread = torch.zeros(3, 3, 4, 4)
    for row in range(3):
        for column in range(3):
            spread[row, column, row : row + 2, column : column + 2] = 0.25
    return spread.view(9, 16)


class DownConv(nn.Module):
    """A 3x3 convolution, then average pooling by two.

    Both together are one convolution of stride 2 with the 4x4 kernel k * [1 1; 1 1] / 4, which
    needs 4 products per position instead of 9 and never makes the large map.
    """

    spread: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.register_buffer("spread", _spread(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, h, w] -> [B, outputs, h // 2, w // 2]; sides of one pixel stay."""
        if min(x.shape[2:]) < 2:
            y: Tensor = self.conv(x)
            return F.avg_pool2d(y, [min(side, 2) for side in y.shape[2:]])
        weight = self.conv.weight.flatten(2) @ self.spread
        weight = weight.view(*weight.shape[:2], 4, 4)
        return F.conv2d(x, weight, self.conv.bias, stride=2, padding=1)


def _started(network: nn.Module) -> None:
    """He et al.'s start, which keeps the size of activations and of gradients."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class PyramidEncoder(nn.Module):
    """A 3x3 convolution, then halvings [convolution, pooling, LeakyReLU, norm], then a vector.

    Args:
        shape: (H, W, C) of the images.
        outputs: size of the vector.
        widths: channels after the first convolution and after each halving.
        norm: pixel-wise normalisation; without it a plain LeakyReLU (discriminators).
        patch: stride of the first convolution: 1, or 2, which saves what is dearest.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        widths: Sequence[int],
        norm: bool = True,
        patch: int = 1,
    ) -> None:
        super().__init__()
        height, width, channels = (-(-shape[0] // patch), -(-shape[1] // patch), shape[2])
        self.norm, self.margins = norm, (0, -shape[1] % patch, 0, -shape[0] % patch)
        self.first = nn.Conv2d(channels, widths[0], patch + 2, patch, padding=1)
        self.downs = nn.ModuleList(DownConv(a, b) for a, b in pairwise(widths))
        for _ in self.downs:
            height, width = max(height // 2, 1), max(width // 2, 1)
        self.last = nn.Linear(widths[-1] * height * width, outputs)
        _started(self)

    def forward(self, images: Tensor) -> Tensor:
        """Vectors [B, outputs] of images [B, C, H, W] in [-1, 1]."""
        if any(self.margins):
            images = F.pad(images, self.margins, mode="replicate")
        x = self._active(self.first(images.contiguous(memory_format=torch.channels_last)))
        for down in self.downs:
            x = self._active(down(x))
        vectors: Tensor = self.last(x.flatten(1))
        return vectors

    def _active(self, x: Tensor) -> Tensor:
        return leaky_pixel_norm(x) if self.norm else F.leaky_relu(x, SLOPE)


class PyramidGenerator(nn.Module):
    """A vector to the coarsest map, then doublings [up-sampling, convolution, LeakyReLU, norm].

    A last 3x3 convolution and tanh make the image.

    Args:
        inputs: size of the vector.
        shape: (H, W, C) of the images; cut from the middle of the next larger multiple.
        widths: channels of the coarsest map and after each doubling.
        patch: 1, or 2: the images are sub-pixels of maps of half their size.
        reach: largest value of the tanh that ends it.
    """

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, int, int],
        widths: Sequence[int],
        patch: int = 1,
        reach: float = 1.0,
    ) -> None:
        super().__init__()
        self.reach = reach
        self.height, self.width, channels = shape
        cell = patch * 2 ** (len(widths) - 1)
        self.base = (widths[0], -(-self.height // cell), -(-self.width // cell))
        self.first = nn.Linear(inputs, self.base[0] * self.base[1] * self.base[2])
        self.ups = nn.ModuleList(UpConv(a, b) for a, b in pairwise(widths))
        self.last = SubPixel(widths[-1], channels, patch)
        _started(self)

    def forward(self, codes: Tensor) -> Tensor:
        """Images float32 [B, C, H, W] of codes [B, inputs], within +-`reach`."""
        x = self.first(codes).view(-1, *self.base).contiguous(memory_format=torch.channels_last)
        x = leaky_pixel_norm(x)
        for up in self.ups:
            x = leaky_pixel_norm(up(x))
        images = self.reach * torch.tanh(self.last(x).float() / self.reach)
        top, left = (images.shape[2] - self.height) // 2, (images.shape[3] - self.width) // 2
        return images[:, :, top : top + self.height, left : left + self.width]


class MLP(nn.Module):
    """Linear layers with LeakyReLU between them, and pixel-wise norm if asked for.

    Args:
        sizes: of the input, the hidden layers and the output.
        norm: normalise each hidden layer.
    """

    def __init__(self, sizes: Sequence[int], norm: bool = True) -> None:
        super().__init__()
        self.norm = norm
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        _started(self)

    def forward(self, x: Tensor) -> Tensor:
        """[B, sizes[0]] -> float32 [B, sizes[-1]]."""
        for number, layer in enumerate(self.layers):
            if number:
                x = leaky_pixel_norm(x) if self.norm else F.leaky_relu(x, SLOPE)
            x = layer(x)
        return x.float()


def make_encoder(
    shape: tuple[int, ...], outputs: int, widths: Sequence[int], norm: bool = True, patch: int = 1
) -> nn.Module:
    """An encoder of images (H, W, C), or of vectors (D,) with the last two widths as its layers."""
    if len(shape) == 3:
        return PyramidEncoder((shape[0], shape[1], shape[2]), outputs, widths, norm, patch)
    # No normalisation: the length of a hidden layer of so few numbers tells what they are.
    return MLP((shape[0], *widths[-2:], outputs), norm=False)


def make_generator(
    inputs: int,
    shape: tuple[int, ...],
    widths: Sequence[int],
    patch: int = 1,
    reach: float = 1.0,
) -> nn.Module:
    """A generator of images (H, W, C), or of vectors (D,) with the first two widths as layers."""
    if len(shape) == 3:
        return PyramidGenerator(inputs, (shape[0], shape[1], shape[2]), widths, patch, reach)
    return MLP((inputs, *widths[:2], shape[0]), norm=False)
