"""ResNet-18 with unit embeddings, and the memory bank that instance discrimination needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, Fig. 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) that gives its five levels and an embedding on the sphere.

    Args:
        channels: of the images.
        widths: channels of the four groups of blocks (published: 64, 128, 256, 512).
        embedding: size of the embedding (Wu et al. 2018: 128).
        stem: kernel size of the first convolution, stride 2 (7 in the paper).
        pool: whether a 3x3 maximum follows the stem, stride 2, as in the paper.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        embedding: int = 128,
        stem: int = 7,
        pool: bool = True,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], stem, 2, padding=stem // 2, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.pool = nn.MaxPool2d(3, 2, padding=1) if pool else nn.Identity()
        groups: list[nn.Module] = []
        inputs = widths[0]
        for number, outputs in enumerate(widths):
            stride = 1 if number == 0 else 2
            groups.append(
                nn.Sequential(
                    _BasicBlock(inputs, outputs, stride), _BasicBlock(outputs, outputs, 1)
                )
            )
            inputs = outputs
        self.groups = nn.ModuleList(groups)
        self.head = nn.Linear(inputs, embedding)

    def features(self, images: Tensor) -> list[Tensor]:
        """After the stem and after each group, finest first, of images [b, C, h, w] in [0, 1]."""
        x = F.relu(self.norm(self.stem((images - 0.5) * 4)))
        found = [x]
        x = self.pool(x)
        for group in self.groups:
            x = group(x)
            found.append(x)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of length 1, float32 [b, embedding]."""
        pooled = self.features(images)[-1].float().mean((2, 3))
        embedded: Tensor = self.head(pooled)
        return F.normalize(embedded.float(), dim=1)


class MemoryBank(nn.Module):
    """What the network said of every image when it last saw it (Wu et al. 2018, section 3.1).

    Args:
        rows: number of images.
        dim: size of an embedding.
        momentum: share of the old entry that is kept.
    """

    entries: Tensor

    def __init__(self, rows: int, dim: int, momentum: float = 0.5) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("entries", F.normalize(torch.randn(rows, dim), dim=1))

    @torch.no_grad()
    def update(self, rows: Tensor, embeddings: Tensor) -> None:
        """Move the entries of `rows` [b] towards `embeddings` [b, dim]; they keep length 1.

        Of a row that comes twice the last embedding counts.
        """
        old = self.entries.index_select(0, rows)
        new = self.momentum * old + (1 - self.momentum) * embeddings.detach().float()
        self.entries[rows] = F.normalize(new, dim=1)
