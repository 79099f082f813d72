"""Weight-normalised layers (Salimans and Kingma, 2016) and the residual blocks made of them.

Each layer's weights are g v / ||v||, a length and a direction per output channel. Without batch
statistics an item's result does not depend on its batch. Every layer can be run `frozen`: then
gradients pass through it to its input and not to its parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .halving import conv_double, conv_half, unused

SLOPE = 0.2
# keeps the second moment of a unit normal input of a leaky ReLU
GAIN = math.sqrt(2 / (1 + SLOPE**2))


class _Normalise(torch.autograd.Function):
    """length * direction / ||direction|| in few passes over memory, which are what it costs.

    Under autocast the weights are made in its type at once, and the gradient comes in it. Only the
    middle of kernels is made where `cut` pixels at each side are not needed.
    """

    @staticmethod
    def forward(ctx: Any, direction: Tensor, length: Tensor, output: int, cut: int) -> Tensor:
        sides = [1] * direction.ndim
        sides[output] = -1
        norm = torch.linalg.vector_norm(_rows(direction, output), dim=1).clamp_min(1e-8).view(sides)
        scale = length.view(sides) / norm
        ctx.save_for_backward(direction, norm, scale)
        ctx.output, ctx.cut = output, cut
        kind = direction.device.type
        low = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if low else direction.dtype
        middle = _middle(direction, cut)
        return torch.mul(middle, scale, out=torch.empty_like(middle, dtype=dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        direction, norm, scale = ctx.saved_tensors
        grad = grads[0].to(direction.dtype, copy=True)
        products = grad * _middle(direction, ctx.cut)
        along = _rows(products, ctx.output).sum(1).view(norm.shape) / norm
        grad.mul_(scale)
        if ctx.cut:
            inner = direction * (-along * scale / norm)
            _middle(inner, ctx.cut).add_(grad)
        else:
            inner = grad.addcmul_(direction, along * scale / norm, value=-1)
        return inner, along.flatten(), None, None


def _rows(kernels: Tensor, output: int) -> Tensor:
    """[outputs, numbers of each]: a view of kernels whose channels are last in memory."""
    if kernels.ndim == 2:
        return kernels
    last = kernels.permute(0, 2, 3, 1)
    return last.flatten(1) if output == 0 else last.flatten(0, 2).T


def _middle(kernels: Tensor, cut: int) -> Tensor:
    """Kernels [o, i, k, k] without `cut` pixels at each side."""
    return kernels[:, :, cut:-cut, cut:-cut] if cut else kernels


class _Normalised(nn.Module):
    """Direction, length and bias; dimension `output` of the direction counts the outputs."""

    def __init__(self, shape: tuple[int, ...], output: int, gain: float) -> None:
        super().__init__()
        self.output, outputs = output, shape[output]
        self.direction = nn.Parameter(torch.randn(shape) / math.sqrt(math.prod(shape) / outputs))
        self.length = nn.Parameter(torch.full((outputs,), gain))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.kept: dict[int, Tensor] = {}
        self.keeps = False

    def weights(self, frozen: bool, cut: int = 0) -> tuple[Tensor, Tensor]:
        """Weight and bias, cut off from the parameters if `frozen`; see `_Normalise` for `cut`."""
        weight = self.kept.get(cut)
        if weight is None:
            parts = (self.direction, self.length, self.output, cut)
            weight = _Normalise.apply(*parts)  # type: ignore[no-untyped-call]
            if self.keeps:
                self.kept[cut] = weight
        return (weight.detach(), self.bias.detach()) if frozen else (weight, self.bias)


@contextmanager
def shared_weights(network: nn.Module) -> Iterator[None]:
    """Inside, the weights of every layer are made once, however often the network is used.

    The parameters must not change meanwhile.
    """
    layers = [module for module in network.modules() if isinstance(module, _Normalised)]
    for layer in layers:
        layer.keeps = True
    try:
        yield
    finally:
        for layer in layers:
            layer.keeps, layer.kept = False, {}


class NormLinear(_Normalised):
    """A fully-connected layer; inputs of unit variance give outputs of variance gain squared."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__((outputs, inputs), 0, gain)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """[b, inputs] -> [b, outputs]."""
        return F.linear(x, *self.weights(frozen))


class NormConv(_Normalised):
    """A convolution; sides are kept, or with stride 2 halved."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__((outputs, inputs, kernel, kernel), 0, gain)
        self.stride, self.padding = stride, (kernel - stride) // 2

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, h / stride, w / stride]."""
        if (self.stride, self.direction.shape[2]) == (2, 4):
            return conv_half(x, *self.weights(frozen, unused(x, 2)))
        weight, bias = self.weights(frozen)
        return F.conv2d(x, weight, bias, self.stride, self.padding)


class NormUpConv(_Normalised):
    """A transposed convolution of stride 2 that doubles the sides; the kernel is even."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = 1.0) -> None:
        # An output takes part in a quarter of the kernel's products: twice the length.
        super().__init__((inputs, outputs, kernel, kernel), 1, 2 * gain)
        self.padding = (kernel - 2) // 2

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, 2h, 2w]."""
        if self.direction.shape[2] == 4:
            return conv_double(x, *self.weights(frozen, unused(x, 1)))
        weight, bias = self.weights(frozen)
        return F.conv_transpose2d(x, weight, bias, 2, self.padding)


class FirstConv(NormConv):
    """The first layer of an encoder, 6x6 with stride 2; also takes images of half the size.

    On those it is what 6x6 with stride 2 would be after enlarging them by repeating pixels: a 3x3
    convolution with sums of the kernel's 2x2 blocks.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__(inputs, outputs, 6, 2, gain)

    def forward(self, x: Tensor, frozen: bool = False, half: bool = False) -> Tensor:
        """[b, inputs, 2h, 2w], or if `half` [b, inputs, h, w] -> [b, outputs, h, w]."""
        if not half:
            return super().forward(x, frozen)
        weight, bias = self.weights(frozen)
        return F.conv2d(x, 4 * F.avg_pool2d(weight, 2), bias, padding=1)


class LastConv(NormUpConv):
    """The last layer of a generator, 6x6 transposed with stride 2; also makes half the size.

    That is the 2x2 mean of what it would make at full size: a 3x3 convolution with means of the
    (turned) kernel's 2x2 blocks.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__(inputs, outputs, 6, gain)

    def forward(self, x: Tensor, frozen: bool = False, half: bool = False) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, 2h, 2w], or if `half` [b, outputs, h, w]."""
        if not half:
            return super().forward(x, frozen)
        weight, bias = self.weights(frozen)
        return F.conv2d(x, F.avg_pool2d(weight, 2).flip(2, 3).transpose(0, 1), bias, padding=1)


class DenseBlock(nn.Module):
    """x + lrelu(W x), which starts as x alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = NormLinear(width, width, 0.1)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """[b, width] -> [b, width]."""
        return x + F.leaky_relu(self.linear(x, frozen), SLOPE)


class DownBlock(nn.Module):
    """Halves the sides: 4x4 convolution with stride 2, beside a mean of 2x2 pixels.

    Args:
        inputs, outputs: channels.
        ratio: share of the convolution in the variance of the result, at the start.
    """

    def __init__(self, inputs: int, outputs: int, ratio: float) -> None:
        super().__init__()
        self.residue = NormConv(inputs, outputs, 4, 2, GAIN * math.sqrt(ratio))
        self.shortcut = NormConv(inputs, outputs, 1, 1, math.sqrt(1 - ratio))

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """[b, inputs, 2h, 2w] -> [b, outputs, h, w]."""
        residue = F.leaky_relu(self.residue(x, frozen), SLOPE)
        mean: Tensor = self.shortcut(F.avg_pool2d(x, 2), frozen)
        return residue + mean


class UpBlock(nn.Module):
    """Doubles the sides: 4x4 transposed convolution, beside repeated pixels.

    Args:
        inputs, outputs: channels.
        ratio: share of the convolution in the variance of the result, at the start.
    """

    def __init__(self, inputs: int, outputs: int, ratio: float) -> None:
        super().__init__()
        self.residue = NormUpConv(inputs, outputs, 4, GAIN * math.sqrt(ratio))
        self.shortcut = NormConv(inputs, outputs, 1, 1, math.sqrt(1 - ratio))

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, 2h, 2w]."""
        residue = F.leaky_relu(self.residue(x, frozen), SLOPE)
        return residue + F.interpolate(self.shortcut(x, frozen), scale_factor=2)
