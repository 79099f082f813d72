"""Encoders from images to codes, for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def _halving(size: int) -> tuple[int, int, int]:
    """Kernel, stride and padding along a side of `size` pixels; a side of one stays as it is."""
    return (4, 2, 1) if size > 1 else (1, 1, 0)


class ConvEncoder(nn.Module):
    """LORD's encoder (A.1): five convolutions and three fully-connected layers.

    Args:
        shape: (H, W, C) of the images.
        code: size of the code.
        widths: channels of the convolutions: 7x7 with stride 1 (or `first_stride`), then 4x4 with
            stride 2 each as long as there is more than one pixel left. The paper's is
            (64, 128, 256, 256, 256).
        hidden: width of the two hidden fully-connected layers.
        first_stride: 2 saves most of the cost of the first layers.
        slope: of the LeakyReLU.
        centred: shift and stretch the pixels to [-2, 2], about mean 0 and variance 1. With a common
            offset in all inputs the first steps move all outputs together.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        code: int,
        widths: Sequence[int] = (64, 128, 256, 256, 256),
        hidden: int = 256,
        first_stride: int = 1,
        slope: float = 0.01,
        centred: bool = False,
    ) -> None:
        super().__init__()
        self.centred = centred
        height, width, channels = shape
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 7, first_stride, padding=3),
            nn.LeakyReLU(slope),
        ]
        height, width = -(-height // first_stride), -(-width // first_stride)
        for before, after in pairwise(widths):
            rows, columns = _halving(height), _halving(width)
            kernel, stride, padding = zip(rows, columns, strict=True)
            layers += [nn.Conv2d(before, after, kernel, stride, padding), nn.LeakyReLU(slope)]
            height, width = max(height // 2, 1), max(width // 2, 1)
        self.convs = nn.Sequential(*layers)
        self.fc = nn.Sequential(
            nn.Linear(widths[-1] * height * width, hidden),
            nn.LeakyReLU(slope),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(slope),
            nn.Linear(hidden, code),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Codes float32 [B, code] of images [B, C, H, W] in [0, 1]."""
        if self.centred:
            images = images.sub(0.5).mul_(4)
        features = self.convs(images.contiguous(memory_format=torch.channels_last))
        codes: Tensor = self.fc(features.flatten(1)).float()
        return codes
