"""A Gaussian code for every class, normalised over the data; draws; nested dropout."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Start = Literal["zero", "random", "linear", "circle"]

_INSIDE = 0.3  # deviation inside a class, where the classes start apart at random


class LabelEmbedding(nn.Module):
    """A Gaussian for each value of a factor (DisUnknown).

    Read, they are shifted and scaled so that each dimension, weighted by how frequent the classes
    are, has mean 0 and total variance 1: what the classes' means scatter plus what is inside them.

    Args:
        frequencies: of the classes in the data, K numbers that sum to 1.
        dim: size of the code.
        start: "zero": all alike; "random": apart, in random directions; "linear": evenly spaced
            along the first dimension, for values in an order; "circle": around the first two, for
            an order that closes.

    Raises:
        ValueError: a circle in one dimension.
    """

    frequencies: Tensor

    def __init__(self, frequencies: Tensor, dim: int, start: Start = "zero") -> None:
        super().__init__()
        count = len(frequencies)
        mean, log_std = torch.zeros(count, dim), torch.zeros(count, dim)
        if start == "random":
            mean.normal_()
            log_std.fill_(math.log(_INSIDE))
        elif start == "linear":
            mean[:, 0] = torch.linspace(-1 + 1 / count, 1 - 1 / count, count)
            log_std[:, 0] = -math.log(count)  # half the distance of two neighbours
        elif start == "circle":
            if dim < 2:
                raise ValueError("a circle needs two dimensions")
            angles = 2 * math.pi * torch.arange(count) / count
            mean[:, 0], mean[:, 1] = angles.cos(), angles.sin()
            log_std[:, :2] = math.log(max(math.sin(math.pi / count), 1e-3))
        self.mean, self.log_std = nn.Parameter(mean), nn.Parameter(log_std)
        self.register_buffer("frequencies", frequencies.float())

    def table(self) -> tuple[Tensor, Tensor]:
        """(mean, std) of all classes, normalised, float32 [K, dim] each."""
        q, std = self.frequencies[:, None], self.log_std.exp()
        centre = (q * self.mean).sum(0)
        shifted = self.mean - centre
        spread = (q * (shifted.square() + std.square())).sum(0).clamp_min(1e-8).sqrt()
        return shifted / spread, std / spread

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, std), float32 [b, dim] each, of classes int64 [b]."""
        mean, std = self.table()
        return mean.index_select(0, labels), std.index_select(0, labels)


def keep_probabilities(dim: int, last: float) -> Tensor:
    """Probability that each dimension is kept, float32 [dim]: 1 for the first, `last` for the last.

    Between them it falls geometrically (DisUnknown's release; nested dropout: Rippel et al. 2014).
    """
    if dim < 2:
        return torch.ones(dim)
    steps = torch.arange(dim, dtype=torch.float64) / (dim - 1)
    return (last**steps).float()


def nested_mask(keep: Tensor, level: Tensor) -> Tensor:
    """1 where a dimension is kept, else 0: float32 [b, dim]; what is kept is always a first part.

    Args:
        keep: falling probabilities [dim].
        level: uniform in [0, 1), [b].
    """
    return (keep > level[:, None]).float()


def draw(mean: Tensor, std: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """A sample of N(mean, std^2) where the mask is 1, and of N(0, 1) where it is 0.

    Args:
        mean, std, mask, noise: [b, dim]; noise is standard normal.
    """
    return mask * mean + (1 - mask + mask * std) * noise
