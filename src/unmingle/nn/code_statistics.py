"""Where the codes of a data set lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CodeStatistics(nn.Module):
    """Mean, covariance and standard deviations of codes; standard normal until `fit` is called.

    Args:
        dim: size of a code.
    """

    mean: Tensor
    root: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("root", torch.eye(dim))
        self.register_buffer("std", torch.ones(dim))

    @torch.no_grad()
    def fit(self, mean: Tensor, std: Tensor) -> None:
        """The moments of draws from posteriors N(mean, std^2), [N, dim] each."""
        centre = mean.double().mean(0)
        centred = mean.double() - centre
        covariance = centred.T @ centred / len(mean) + torch.diag(std.double().square().mean(0))
        self.std.copy_(covariance.diagonal().sqrt().clamp_min(1e-3))
        variances, axes = torch.linalg.eigh(covariance)
        self.mean.copy_(centre)
        self.root.copy_(axes * variances.clamp_min(0).sqrt())

    def draw(self, noise: Tensor) -> Tensor:
        """Codes [b, dim] with these moments, of standard normal noise [b, dim]."""
        return self.mean + noise @ self.root.T
