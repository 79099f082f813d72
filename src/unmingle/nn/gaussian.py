"""Weight-normalised residual networks between items and features, for images and for vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .weight_norm import (
    GAIN,
    SLOPE,
    DenseBlock,
    DownBlock,
    FirstConv,
    LastConv,
    NormLinear,
    UpBlock,
)


def _levels(shape: Sequence[int], widths: Sequence[int]) -> Sequence[int]:
    """As many of the widths as there are halvings that leave a map of about 4x4.

    Its layout then is the fully-connected layers' to make, which the adversarial gradient reaches.
    """
    return widths[: max((min(shape[:2]) - 1).bit_length() - 2, 1)]


def _grid(shape: Sequence[int], levels: int) -> tuple[int, int]:
    """Sides of the coarsest map: the image's, halved `levels` times and rounded up."""
    return -(-shape[0] // 2**levels), -(-shape[1] // 2**levels)


class Trunk(nn.Module):
    """From items to features: convolutions for images, then (or only) fully-connected layers.

    Images are padded with zeros, the grey in the middle of [-1, 1], to sides that can be halved.

    Args:
        shape: (H, W, C) of images, or (D,) of vectors.
        widths: channels of the convolutions, finest first; small images use fewer of them.
        features: width of the fully-connected layers, and size of the result.
        blocks: residual fully-connected layers after the first one.
    """

    def __init__(
        self, shape: Sequence[int], widths: Sequence[int], features: int, blocks: int
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        inputs = shape[0]
        if len(shape) == 3:
            widths = _levels(shape, widths)
            height, width = _grid(shape, len(widths))
            self.padded = (height * 2 ** len(widths), width * 2 ** len(widths))
            self.convs.append(FirstConv(shape[2], widths[0], GAIN))
            for number, (before, after) in enumerate(pairwise(widths), 2):
                self.convs.append(DownBlock(before, after, 1 / number))
            inputs = widths[-1] * height * width
        self.first = NormLinear(inputs, features, GAIN)
        self.blocks = nn.ModuleList(DenseBlock(features) for _ in range(blocks))

    def forward(self, items: Tensor, divisor: int = 1) -> Tensor:
        """Features [b, features].

        Args:
            items: images [b, C, H, W], or of half the size with divisor 2; or vectors [b, D].
            divisor: 1 or 2.
        """
        x = items
        if len(self.convs):
            x = _centred(x, self.padded[0] // divisor, self.padded[1] // divisor)
            x = x.contiguous(memory_format=torch.channels_last)
            x = F.leaky_relu(self.convs[0](x, half=divisor == 2), SLOPE)
            for conv in self.convs[1:]:
                x = conv(x)
        x = F.leaky_relu(self.first(x.flatten(1)), SLOPE)
        for block in self.blocks:
            x = block(x)
        return x


def _centred(images: Tensor, height: int, width: int) -> Tensor:
    """Padded with zeros to `height` x `width`."""
    down, across = height - images.shape[2], width - images.shape[3]
    if not (down or across):
        return images
    return F.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2))


class GaussianEncoder(nn.Module):
    """From items to one Gaussian or several; the standard deviations are softplus of a layer.

    Args:
        shape, widths, features, blocks: see `Trunk`.
        sizes: of the codes.
    """

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int],
        features: int,
        blocks: int,
        sizes: Sequence[int],
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.trunk = Trunk(shape, widths, features, blocks)
        self.mean = NormLinear(features, sum(sizes))
        self.spread = NormLinear(features, sum(sizes), 0.1)

    def forward(self, items: Tensor, divisor: int = 1) -> list[tuple[Tensor, Tensor]]:
        """(mean, std), float32 [b, size] each, of every code."""
        x = self.trunk(items, divisor)
        mean, std = self.mean(x).float(), F.softplus(self.spread(x).float()) + 1e-4
        return list(
            zip(torch.split(mean, self.sizes, 1), torch.split(std, self.sizes, 1), strict=True)
        )


class Heads(nn.Module):
    """From items to some numbers for each of several factors; a single one is a discriminator.

    Args:
        shape, widths, features, blocks: see `Trunk`.
        sizes: numbers for each factor.
    """

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int],
        features: int,
        blocks: int,
        sizes: Sequence[int],
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.trunk = Trunk(shape, widths, features, blocks)
        self.last = NormLinear(features, sum(sizes))

    def forward(self, items: Tensor, divisor: int = 1) -> list[Tensor]:
        """float32 [b, size] of every factor."""
        x: Tensor = self.last(self.trunk(items, divisor)).float()
        return list(torch.split(x, self.sizes, 1))


class CodeHeads(nn.Module):
    """The same from codes, by an MLP.

    Args:
        inputs: size of the code.
        width, layers: of the hidden layers (DisUnknown, supplement 3.1: four of 512).
        sizes: numbers for each factor.
    """

    def __init__(self, inputs: int, width: int, layers: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.layers = nn.ModuleList(
            NormLinear(inputs if number == 0 else width, width, GAIN) for number in range(layers)
        )
        self.last = NormLinear(width if layers else inputs, sum(sizes))

    def forward(self, codes: Tensor) -> list[Tensor]:
        """Codes [b, inputs] -> float32 [b, size] of every factor."""
        x = codes
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        x = self.last(x).float()
        return list(torch.split(x, self.sizes, 1))


class Generator(nn.Module):
    """From codes to an item and one standard deviation for it.

    Its parts can be frozen in a single call, so that a loss passes through them to the codes
    alone: `dense` are the fully-connected layers (all of them for vectors), `convs` the others.

    Args:
        inputs: size of all that goes in.
        shape: (H, W, C) of images, or (D,) of vectors.
        widths, features, blocks: as of `Trunk`, whose mirror image this is.
    """

    def __init__(
        self,
        inputs: int,
        shape: Sequence[int],
        widths: Sequence[int],
        features: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        first, outputs = NormLinear(inputs, features), shape[0]
        convs: list[nn.Module] = []
        if len(shape) == 3:
            widths = _levels(shape, widths)
            self.top = (widths[-1], *_grid(shape, len(widths)))
            outputs = self.top[0] * self.top[1] * self.top[2]
            for number, (before, after) in enumerate(pairwise(widths[::-1]), 2):
                convs.append(UpBlock(before, after, 1 / number))
            convs.append(LastConv(widths[0], shape[2], 0.5))
        hidden = [DenseBlock(features) for _ in range(blocks)]
        gain = GAIN if convs else 0.5
        self.dense = nn.ModuleList([first, *hidden, NormLinear(features, outputs, gain)])
        self.spread = NormLinear(features, 1, 0.1)
        self.convs = nn.ModuleList(convs)

    def dense_parameters(self) -> Iterable[nn.Parameter]:
        """Of the fully-connected layers."""
        return [*self.dense.parameters(), *self.spread.parameters()]

    def forward(
        self,
        codes: Tensor,
        divisor: int = 1,
        *,
        frozen_dense: bool = False,
        frozen_convs: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Images [b, C, H, W] in [-1, 1], of half the size with divisor 2, or vectors [b, D]; and
        float32 [b], positive."""
        x = codes
        for layer in self.dense[:-1]:
            x = layer(x, frozen_dense)
        std = F.softplus(self.spread(x, frozen_dense).float().squeeze(1)) + 1e-3
        x = self.dense[-1](x, frozen_dense)
        if not len(self.convs):
            return x.float(), std
        x = F.leaky_relu(x, SLOPE).view(-1, *self.top)
        x = x.contiguous(memory_format=torch.channels_last)
        for conv in self.convs[:-1]:
            x = conv(x, frozen_convs)
        last: Any = self.convs[-1]
        return self._cut(torch.tanh(last(x, frozen_convs, half=divisor == 2)), divisor), std

    def _cut(self, images: Tensor, divisor: int) -> Tensor:
        height, width = -(-self.shape[0] // divisor), -(-self.shape[1] // divisor)
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        return images[:, :, top : top + height, left : left + width]
