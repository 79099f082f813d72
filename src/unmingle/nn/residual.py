"""Residual networks between items and codes: encoders, and decoders with sub-pixel up-sampling.

A code is either spatial, channels [c, h, w] on the coarsest grid of the images, or a vector [d];
both are handled flat, as [b, c * h * w] or [b, d].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ADDED = 0.3
_LEAK = 1e-3

CodeShape = tuple[int, ...]
"""(c, h, w) of a spatial code, (d,) of a vector."""


class ResidualConv(nn.Module):
    """x + conv(ReLU(x)), 3x3, on maps [b, width, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, width, h, w] -> the same shape."""
        y: Tensor = x + self.conv(F.relu(x))
        return y


class ResidualLinear(nn.Module):
    """x + linear(ReLU(x)), on vectors [b, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, width] -> the same shape."""
        y: Tensor = x + self.linear(F.relu(x))
        return y


def started(network: nn.Module) -> None:
    """Weights that keep the size of activations, whatever the depth: there are no norms.

    What a residual convolution adds starts at 0.3 of the size of what it adds to, and sub-pixels
    start all alike, without the checks of unrelated ones (Aitken et al., 2017).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualConv):
            with torch.no_grad():  # the square root of 2 makes up for the ReLU before
                module.conv.weight.mul_(_ADDED * math.sqrt(2))
        elif isinstance(module, SubPixel):
            with torch.no_grad():
                weight = module.conv.weight
                alike = weight.view(-1, module.factor**2, *weight.shape[1:])
                alike.copy_(alike[:, :1].clone().expand_as(alike))


def residual_mlp(inputs: int, width: int, blocks: int, outputs: int) -> nn.Sequential:
    """Vectors [b, inputs] to [b, outputs] by `blocks` residual layers of `width`."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        *(ResidualLinear(width) for _ in range(blocks)),
        nn.ReLU(),
        nn.Linear(width, outputs),
    )


def grid_shape(height: int, width: int, levels: int, patch: int = 1) -> tuple[int, int]:
    """Height and width of the coarsest grid after `levels` halvings of patches, rounded up."""
    cell = patch * 2**levels
    return -(-height // cell), -(-width // cell)


def _margins(size: int, cells: int, cell: int) -> tuple[int, int]:
    """What a side of `size` lacks to `cells` whole cells: before and after."""
    missing = cells * cell - size
    return missing // 2, missing - missing // 2


class ResidualEncoder(nn.Module):
    """Images to codes: residual blocks, each followed by a strided convolution.

    Args:
        shape: (H, W, C) of the images. Sides that are no multiple of the coarsest cell are filled
            up by repeating the border.
        outputs: numbers of the code; of a spatial code they must be a multiple of the grid's cells.
        spatial: the outputs are channels on the coarsest grid; else a linear layer of all of it.
        widths: channels at each resolution, the finest first; each further one halves the maps.
        blocks: residual blocks at the coarsest resolution.
        patch: stride of the first convolution: 1, or 2, which saves what is dearest.
        halves: it takes images of half the size too, without its finest maps. These add nothing at
            the start to what the smaller image tells, so that a training can go on at full size.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        *,
        spatial: bool,
        widths: Sequence[int],
        blocks: int,
        patch: int = 1,
        halves: bool = False,
    ) -> None:
        super().__init__()
        self.height, self.width, channels = shape
        self.cell = patch * 2 ** (len(widths) - 1)
        self.grid = grid_shape(self.height, self.width, len(widths) - 1, patch)
        rows, columns = self.grid
        self.first = nn.Conv2d(channels, widths[0], patch + 2, patch, padding=1)
        self.residuals = nn.ModuleList(ResidualConv(width) for width in widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, padding=1) for a, b in pairwise(widths))
        self.first_half = (
            nn.Conv2d(channels, widths[1], patch + 2, patch, padding=1) if halves else None
        )
        last: list[nn.Module] = [ResidualConv(widths[-1]) for _ in range(blocks)]
        last.append(nn.ReLU())
        if spatial:
            last.append(nn.Conv2d(widths[-1], outputs // (rows * columns), 3, padding=1))
        last.append(nn.Flatten())
        if not spatial:
            last.append(nn.Linear(widths[-1] * rows * columns, outputs))
        self.last = nn.Sequential(*last)
        started(self)
        if halves:
            nn.init.zeros_(self.downs[0].weight)  # type: ignore[arg-type]

    def forward(self, images: Tensor, half: bool = False) -> Tensor:
        """float32 [b, outputs] of images in [0, 1].

        Args:
            images: [b, C, H, W], or [b, C, H / 2, W / 2] (rounded up).
            half: which of these it is; an encoder made with `halves` takes both.
        """
        x = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        padding = self._padding(2 if half else 1)
        if any(padding):
            x = F.pad(x, padding, mode="replicate")
        if self.first_half is None:
            x = self._halved(0, self.first(x))
        elif half:
            x = self.first_half(x)
        else:
            x = self._halved(0, self.first(x)) + self.first_half(F.avg_pool2d(x, 2))
        for level in range(1, len(self.downs)):
            x = self._halved(level, x)
        codes: Tensor = self.last(x).float()
        return codes

    def _halved(self, level: int, x: Tensor) -> Tensor:
        y: Tensor = self.downs[level](self.residuals[level](x))
        return y

    def _padding(self, divisor: int) -> tuple[int, int, int, int]:
        """What fills images up to whole cells: left, right, top, bottom."""
        rows, columns = self.grid
        cell = self.cell // divisor
        top, bottom = _margins(-(-self.height // divisor), rows, cell)
        left, right = _margins(-(-self.width // divisor), columns, cell)
        return left, right, top, bottom


class SubPixel(nn.Module):
    """A 3x3 convolution to `factor` x `factor` values per position, which become pixels.

    Shi et al., CVPR 2016.
    """

    def __init__(self, inputs: int, outputs: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(inputs, outputs * factor**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, h * factor, w * factor]."""
        return F.pixel_shuffle(self.conv(x), self.factor)


class _Branch(nn.Module):
    """From one flat code to maps [b, width, rows, columns]."""

    def __init__(self, code: CodeShape, width: int, grid: tuple[int, int], blocks: int) -> None:
        super().__init__()
        self.code, self.maps = code, (width, *grid)
        self.enter: nn.Module = (
            nn.Conv2d(code[0], width, 3, padding=1)
            if len(code) == 3
            else nn.Linear(code[0], width * grid[0] * grid[1])
        )
        self.blocks = nn.Sequential(*(ResidualConv(width) for _ in range(blocks)))

    def forward(self, code: Tensor) -> Tensor:
        shape = self.code if len(self.code) == 3 else (-1,)
        x = self.enter(code.reshape(len(code), *shape)).view(len(code), *self.maps)
        y: Tensor = self.blocks(x.contiguous(memory_format=torch.channels_last))
        return y


class SubPixelDecoder(nn.Module):
    """Codes to images: residual blocks for each code, joined, then sub-pixel up-sampling.

    Args:
        codes: shape of each code, in the order they are given.
        shape: (H, W, C) of the images, cut from the middle of the next larger number of cells.
        widths: channels at each resolution, the coarsest first; each further one doubles the maps.
        blocks: residual blocks of each code at the coarsest resolution.
        patch: 1: the last maps have the images' size; 2: the images are sub-pixels of maps of half
            that size.
        halves: it makes images of half the size too, without its finest maps. These add nothing at
            the start to the enlarged smaller image, so that a training can go on at full size.
    """

    def __init__(
        self,
        codes: Sequence[CodeShape],
        shape: tuple[int, int, int],
        *,
        widths: Sequence[int],
        blocks: int,
        patch: int = 1,
        halves: bool = False,
    ) -> None:
        super().__init__()
        self.height, self.width, channels = shape
        grid = grid_shape(self.height, self.width, len(widths) - 1, patch)
        self.branches = nn.ModuleList(_Branch(code, widths[0], grid, blocks) for code in codes)
        self.join = nn.Conv2d(len(codes) * widths[0], widths[0], 3, padding=1)
        self.residuals = nn.ModuleList(ResidualConv(width) for width in widths)
        self.ups = nn.ModuleList(SubPixel(a, b) for a, b in pairwise(widths))
        self.head = SubPixel(widths[-1], channels, patch)
        self.head_half = SubPixel(widths[-2], channels, patch) if halves else None
        started(self)
        if halves:
            nn.init.zeros_(self.head.conv.weight)

    def forward(self, *codes: Tensor, half: bool = False) -> Tensor:
        """Images float32 [b, C, H, W] of flat codes [b, d] each.

        They can leave [0, 1] by some thousandths: on a plain background a mere sigmoid's inputs
        grow without end, and one large step then leaves it so flat that no gradient returns.

        Args:
            codes: as many as the decoder was made for.
            half: images of half the size, [b, C, H / 2, W / 2] (rounded up), by a decoder made
                with `halves`.
        """
        parts = [branch(code) for branch, code in zip(self.branches, codes, strict=True)]
        x = self.residuals[0](self.join(torch.cat(parts, dim=1)))
        for residual, up in zip(self.residuals[1:-1], self.ups[:-1], strict=True):
            x = residual(up(x))
        smaller = None if self.head_half is None else self.head_half(x)
        if not half:
            values = self.head(self.residuals[-1](self.ups[-1](x)))
            if smaller is not None:
                values = values + F.interpolate(smaller, scale_factor=2, mode="bilinear")
        else:
            assert smaller is not None
            values = smaller
        images = _bounded(values.float())
        height, width = (-(-side // (1 + half)) for side in (self.height, self.width))
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        return images[:, :, top : top + height, left : left + width]


def _bounded(values: Tensor) -> Tensor:
    return torch.sigmoid(values) + _LEAK * values


class ProductClassifier(nn.Module):
    """Tells pairs of codes that belong together from shuffled ones: a logit per pair.

    The logit is the inner product of what two residual networks make of the two codes, so that the
    codes of a batch need to go through the networks once for joint and shuffled pairs alike.

    Args:
        first, second: shapes of the codes; spatial ones are on the same grid.
        width: of the residual layers.
        blocks: how many each network has.
        features: length of the inner product, per position where a code is spatial.
    """

    def __init__(
        self, first: CodeShape, second: CodeShape, width: int, blocks: int, features: int
    ) -> None:
        super().__init__()
        grid = next((shape[1:] for shape in (first, second) if len(shape) == 3), ())
        positions = math.prod(grid)
        self.first = _features(first, width, blocks, features, positions)
        self.second = _features(second, width, blocks, features, positions)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be multiplied: float32 [b, features] of each of two flat codes [b, d]."""
        return self.first(first).float(), self.second(second).float()


def pair_logits(first: Tensor, second: Tensor) -> Tensor:
    """Inner products [b] of features [b, F]."""
    return (first * second).sum(1)


def _features(code: CodeShape, width: int, blocks: int, features: int, positions: int) -> nn.Module:
    if len(code) == 1:
        return residual_mlp(code[0], width, blocks, features * positions)
    return nn.Sequential(
        nn.Unflatten(1, code),
        nn.Conv2d(code[0], width, 3, padding=1),
        *(ResidualConv(width) for _ in range(blocks)),
        nn.ReLU(),
        nn.Conv2d(width, features, 3, padding=1),
        nn.Flatten(),
    )
