"""4x4 convolutions that halve or double the sides of maps, quick on the smallest maps too.

On CPUs the gradient of a convolution's weights is several times slower on maps of a few pixels
than the matrix product which it is there; on these the product is taken.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_FEW = 16  # pixels of the larger map


def unused(x: Tensor, side: int) -> int:
    """How many pixels at each side of a 4x4 kernel see nothing but the margin, or fall on it.

    Args:
        x: the maps [b, c, h, w] that are to be halved (`side` 2) or doubled (1).
        side: the size of maps that are so small.
    """
    return int(x.device.type == "cpu" and x.shape[2:] == (side, side))


def conv_half(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`conv2d(x, weight, bias, stride=2, padding=1)` with a 4x4 kernel.

    Args:
        x: [b, c, 2h, 2w].
        weight: [o, c, 4, 4], or without its `unused` pixels.
        bias: [o].

    Returns:
        [b, o, h, w].
    """
    batch, _, height, width = x.shape
    if x.device.type != "cpu" or height * width > _FEW or height % 2 or width % 2:
        return F.conv2d(x, weight, bias, 2, 1)
    if weight.shape[2] == 2:
        rows = x.permute(0, 2, 3, 1).reshape(batch, -1)
    else:
        windows = F.unfold(x, 4, padding=1, stride=2).view(batch, -1, 16, height * width // 4)
        rows = windows.permute(0, 3, 2, 1).reshape(batch * (height * width // 4), -1)
    # Channels last: of weights in that memory format no copy is made.
    made = F.linear(rows, weight.permute(0, 2, 3, 1).reshape(len(weight), -1), bias)
    return made.view(batch, height // 2, width // 2, -1).permute(0, 3, 1, 2)


def conv_double(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`conv_transpose2d(x, weight, bias, stride=2, padding=1)` with a 4x4 kernel.

    Args:
        x: [b, c, h, w].
        weight: [c, o, 4, 4], or without its `unused` pixels.
        bias: [o].

    Returns:
        [b, o, 2h, 2w].
    """
    batch, channels, height, width = x.shape
    if x.device.type != "cpu" or 4 * height * width > _FEW:
        return F.conv_transpose2d(x, weight, bias, 2, 1)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
    spread = pixels @ weight.permute(0, 2, 3, 1).reshape(channels, -1)
    if weight.shape[2] == 2:
        made = spread.view(batch, 2, 2, -1).permute(0, 3, 1, 2)
    else:
        spread = spread.view(batch, height * width, 16, -1).permute(0, 3, 2, 1).flatten(1, 2)
        made = F.fold(spread, (2 * height, 2 * width), 4, padding=1, stride=2)
    return made if bias is None else made + bias.to(made.dtype).view(-1, 1, 1)
