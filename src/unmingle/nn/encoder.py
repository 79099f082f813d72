"""Encoders from images to codes, for images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConvEncoder(nn.Module):
    """LORD's encoder (A.1): five convolutions and three fully-connected layers.

    Args:
        shape: (H, W, C) of the images.
        code: size of the code.
        widths: channels of the convolutions: 7x7 with stride 1 (or `first_stride`), then 4x4 with
            stride 2 each. The paper's is (64, 128, 256, 256, 256).
        hidden: width of the two hidden fully-connected layers.
        first_stride: 2 saves most of the cost of the first layers.
        slope: of the LeakyReLU.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        code: int,
        widths: Sequence[int] = (64, 128, 256, 256, 256),
        hidden: int = 256,
        first_stride: int = 1,
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        height, width, channels = shape
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 7, first_stride, padding=3),
            nn.LeakyReLU(slope),
        ]
        height, width = -(-height // first_stride), -(-width // first_stride)
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv2d(before, after, 4, 2, padding=1), nn.LeakyReLU(slope)]
            height, width = height // 2, width // 2
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
        features = self.convs(images.contiguous(memory_format=torch.channels_last))
        codes: Tensor = self.fc(features.flatten(1)).float()
        return codes
