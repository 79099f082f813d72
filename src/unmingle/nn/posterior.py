"""Gaussian posteriors of a code, as a network gives them: a mean and a factor of the covariance."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_LOG_STD = (-15.0, 5.0)


@dataclass(frozen=True)
class Posterior:
    """N(mean, L L^T) for each row, L lower triangular.

    Attributes:
        mean: float32 [b, d].
        log_diagonal: logarithms of L's diagonal, float32 [b, d]; standard deviations where the
            covariance is diagonal.
        below: what L has below its diagonal, float32 [b, d, d] (zero elsewhere), or None if the
            covariance is diagonal.
    """

    mean: Tensor
    log_diagonal: Tensor
    below: Tensor | None = None

    def sample(self, noise: Tensor) -> Tensor:
        """mean + L noise, [b, d] for standard normal noise [b, d]."""
        codes = self.mean + self.log_diagonal.exp() * noise
        if self.below is None:
            return codes
        return codes + (self.below @ noise[:, :, None])[:, :, 0]

    def rates(self) -> Tensor:
        """KL divergence of each entry's own distribution to N(0, 1), in nats, [b, d]."""
        variance = (2 * self.log_diagonal).exp()
        if self.below is not None:
            variance = variance + self.below.square().sum(2)
        return 0.5 * (self.mean.square() + variance - 1 - variance.log())


def parameters(dim: int, full: bool) -> int:
    """How many numbers a posterior of `dim` entries needs, with `full` or diagonal covariance."""
    return 2 * dim + (dim * (dim - 1) // 2 if full else 0)


def posterior(values: Tensor, dim: int, full: bool, bound: float = 0.0) -> Posterior:
    """The posterior of a network's output [b, parameters(dim, full)].

    With a `bound` above 0 means are kept softly within +-bound, m becoming bound * tanh(m / bound),
    and deviations below 1, the prior's: the logarithm s of L's diagonal becomes -softplus(-s), and
    a row of L with squares that sum to q below the diagonal is divided by sqrt(1 + q). Logarithms
    of the diagonal are kept in [-15, 5]. What is below it comes divided by the root of its row's
    length, so that at the start all entries vary alike.
    """
    values = values.float()
    mean, log_diagonal = values[:, :dim], values[:, dim : 2 * dim]
    if bound:
        mean, log_diagonal = bound * torch.tanh(mean / bound), F.logsigmoid(log_diagonal)
    if not full:
        return Posterior(mean, log_diagonal.clamp(*_LOG_STD))
    rows, columns = torch.tril_indices(dim, dim, -1, device=values.device)
    lengths = torch.arange(1, dim + 1, device=values.device).float().sqrt()
    below = values.new_zeros(len(values), dim * dim)
    below = below.index_copy(1, rows * dim + columns, values[:, 2 * dim :] / lengths[rows])
    below = below.view(-1, dim, dim)
    if bound:
        squares = below.square().sum(2)
        below = below * torch.rsqrt(1 + squares)[:, :, None]
        log_diagonal = log_diagonal - 0.5 * torch.log1p(squares)
    return Posterior(mean, log_diagonal.clamp(*_LOG_STD), below)


def own_noise(items: Tensor, dim: int) -> Tensor:
    """Standard normal numbers float32 [b, dim] that depend on nothing but each item itself.

    Args:
        items: [b, ...].
        dim: how many for each.
    """
    rows = items.detach().float().cpu().contiguous().numpy()
    seeds = [zlib.crc32(row.tobytes()) for row in rows]
    noise = np.stack([np.random.default_rng(seed).standard_normal(dim) for seed in seeds])
    return torch.from_numpy(noise).float().to(items.device)
