"""Between data and what networks see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """Between data and what the networks see: images [0, 1] to [-1, 1], vectors to variance 1.

    Args:
        shape: (H, W, C) or (D,). The mean and scale of vectors are learnt by `fit`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        images = len(shape) == 3
        self.register_buffer("mean", torch.tensor(0.5) if images else torch.zeros(shape))
        self.register_buffer("scale", torch.tensor(0.5) if images else torch.ones(shape))

    @torch.no_grad()
    def fit(self, items: Any) -> None:
        """Take the mean and the standard deviation of vectors [N, D]; images stay as they are.

        Entries that are constant keep their scale.
        """
        if items.ndim != 2:
            return
        count = 0
        sums = squares = torch.zeros(items.shape[1], dtype=torch.float64)
        for start in range(0, len(items), 65536):
            block = torch.as_tensor(items[start : start + 65536]).double()
            count += len(block)
            sums, squares = sums + block.sum(0), squares + block.square().sum(0)
        mean = sums / count
        variance = (squares / count - mean.square()).clamp_min(0)
        self.mean.copy_(mean)
        std = variance.sqrt()
        self.scale.copy_(torch.where(std > 1e-6 * std.max(), std, 1.0))

    def forward(self, items: Tensor) -> Tensor:
        """Items as the networks see them."""
        return (items - self.mean) / self.scale

    def inverse(self, made: Tensor) -> Tensor:
        """What a generator made, as items."""
        return made.float() * self.scale + self.mean
