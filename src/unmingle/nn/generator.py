"""Generators whose feature maps are modulated by a code (AdaIN), for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _sum(x: Tensor) -> Tensor:
    """Sums over the positions of [B, D, h, w], as float32 [B, D, 1, 1].

    Not `sum(dtype=torch.float32)`, which makes a float32 copy of all of a bfloat16 tensor first.
    """
    return x.sum((2, 3), keepdim=True).float()


class _Standardise(torch.autograd.Function):
    """Instance normalisation with the modulation folded in: y = (x - mean) / std * scale + shift.

    Written by hand because a step spends much of its time here: sums over positions and one
    affine pass each way, instead of the generic normalisation followed by two more passes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
        positions = x.shape[2] * x.shape[3]
        mean = _sum(x) / positions
        square = _sum(x * x) / positions
        rstd = torch.rsqrt((square - mean * mean).clamp_min(0) + eps)
        gain = rstd * scale
        ctx.save_for_backward(x, mean, rstd, scale)
        # The order of operands keeps the result in x's memory layout.
        return (x * gain.to(x.dtype)).add_((shift - mean * gain).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (grad,) = grads
        x, mean, rstd, scale = ctx.saved_tensors
        positions = x.shape[2] * x.shape[3]
        sum_grad = _sum(grad)
        sum_grad_x = _sum(grad * x)
        grad_scale = (sum_grad_x - mean * sum_grad) * rstd
        # dx = gain * (grad - mean(grad) - xhat * mean(grad * xhat)), as one affine map of x
        gain = rstd * scale
        slope = -gain * rstd * grad_scale / positions
        offset = -gain * sum_grad / positions - slope * mean
        grad_x = (x * slope.to(x.dtype)).add_(offset.to(x.dtype))
        grad_x.addcmul_(grad, gain.to(x.dtype))
        return grad_x, grad_scale, sum_grad, None


def standardise(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Adaptive instance normalisation (Huang and Belongie 2017, Eq. 8).

    Args:
        x: feature maps [B, D, h, w].
        scale, shift: float32 [B, D, 1, 1], the wanted standard deviation and mean.
        eps: added to the variance.
    """
    result: Tensor = _Standardise.apply(x, scale, shift, eps)  # type: ignore[no-untyped-call]
    return result


class AdaIN(nn.Module):
    """Sets each channel's mean and standard deviation by one linear layer of a code.

    Args:
        code: size of the code.
        channels: D of the feature maps.
    """

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(code, 2 * channels)
        with torch.no_grad():  # starts as plain instance normalisation plus a little of the code
            self.affine.bias[:channels].fill_(1)
            self.affine.bias[channels:].zero_()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x [B, D, h, w], code [B, code] -> [B, D, h, w]."""
        scale, shift = self.affine(code).float()[..., None, None].chunk(2, dim=1)
        return standardise(x, scale, shift)


def _spread() -> Tensor:
    """[9, 16]: a 3x3 kernel to the flipped 4x4 kernel k * [1 1; 1 1], as a matrix."""
    spread = torch.zeros(3, 3, 4, 4)
    for row in range(3):
        for column in range(3):
            spread[row, column, 2 - row : 4 - row, 2 - column : 4 - column] = 1
    return spread.view(9, 16)


class UpConv(nn.Module):
    """Nearest up-sampling by two, then a 3x3 convolution.

    Repeating each pixel and convolving with a 3x3 kernel k is the same linear map as a transposed
    convolution of stride 2 with the 4x4 kernel k * [1 1; 1 1], which needs 4 products per output
    and channel pair instead of 9. That pays from maps of about 16x16 on.
    """

    spread: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.register_buffer("spread", _spread(), persistent=False)

    def forward(self, x: Tensor, upsample: bool = True) -> Tensor:
        """x [B, inputs, h, w] -> [B, outputs, 2h, 2w], or [B, outputs, h, w] if not `upsample`."""
        if not upsample or x.shape[-1] * x.shape[-2] < 256:
            if upsample:
                x = F.interpolate(x, scale_factor=2)
            y: Tensor = self.conv(x)
            return y
        weight = self.conv.weight.transpose(0, 1).flatten(2) @ self.spread  # inputs come first
        weight = weight.view(*weight.shape[:2], 4, 4)
        return F.conv_transpose2d(x, weight, self.conv.bias, stride=2, padding=1)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, code: int, slope: float) -> None:
        super().__init__()
        self.up = UpConv(inputs, outputs)
        self.adain = AdaIN(code, outputs)
        self.slope = slope

    def forward(self, x: Tensor, code: Tensor, upsample: bool) -> Tensor:
        y: Tensor = self.adain(F.leaky_relu(self.up(x, upsample), self.slope), code)
        return y


class ModulatedGenerator(nn.Module):
    """LORD's generator (A.1): content makes the feature maps, the class modulates them.

    Three fully-connected layers from the content to the coarsest map, blocks of
    [up-sampling, 3x3 convolution, LeakyReLU, AdaIN], a head of two convolutions and a sigmoid.

    Args:
        content: size of the content code.
        modulation: size of the code that modulates.
        shape: (H, W, C) of the images. H and W need not be multiples of the coarsest cell: the
            picture is cut from the middle of the next larger one.
        widths: channels of the coarsest map and after each block; len(widths) - 1 blocks. The
            paper's is (256,) * 5.
        head: channels between the two last convolutions (paper: 64).
        head_kernels: their kernel sizes (paper: 5 and 7).
        slope: of the LeakyReLU.
    """

    def __init__(
        self,
        content: int,
        modulation: int,
        shape: tuple[int, int, int],
        widths: Sequence[int] = (256, 256, 256, 256, 256),
        head: int = 64,
        head_kernels: tuple[int, int] = (5, 7),
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        self.height, self.width, channels = shape
        cell = 2 ** (len(widths) - 1)
        self.base = (widths[0], -(-self.height // cell), -(-self.width // cell))
        size = self.base[0] * self.base[1] * self.base[2]
        # Of small images never narrower than the code, which comes with noise.
        first, second = max(size // 8, content, 32), max(size // 4, content, 32)
        self.fc = nn.Sequential(
            nn.Linear(content, first),
            nn.LeakyReLU(slope),
            nn.Linear(first, second),
            nn.LeakyReLU(slope),
            nn.Linear(second, size),
            nn.LeakyReLU(slope),
        )
        self.blocks = nn.ModuleList(
            _Block(before, after, modulation, slope) for before, after in pairwise(widths)
        )
        first, last = head_kernels
        self.head = nn.Sequential(
            nn.Conv2d(widths[-1], head, first, padding=first // 2),
            nn.LeakyReLU(slope),
            nn.Conv2d(head, channels, last, padding=last // 2),
        )

    def forward(
        self, content: Tensor, modulation: Tensor | Sequence[Tensor], divisor: int = 1
    ) -> Tensor:
        """Images [B, C, H / divisor, W / divisor] in [0, 1].

        Args:
            content: [B, content].
            modulation: [B, modulation], for all blocks or a list of one for each.
            divisor: 1, 2, 4, ...; the last log2(divisor) blocks do not up-sample, so all weights
                are trained at every resolution and carry over to the next one.
        """
        x = self.fc(content).view(-1, *self.base).contiguous(memory_format=torch.channels_last)
        ups = len(self.blocks) - (divisor.bit_length() - 1)
        if isinstance(modulation, Tensor):
            modulation = [modulation] * len(self.blocks)
        for number, (block, code) in enumerate(zip(self.blocks, modulation, strict=True)):
            x = block(x, code, upsample=number < ups)
        images: Tensor = torch.sigmoid(self.head(x).float())
        height, width = -(-self.height // divisor), -(-self.width // divisor)
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        return images[:, :, top : top + height, left : left + width]
