"""Regularisers of codes."""

from __future__ import annotations

import torch
from torch import Tensor


def activation_decay(codes: Tensor) -> Tensor:
    """Mean over the batch of ||c||^2 (LORD, Eq. 6, second term).

    Args:
        codes: [b, dim], without the noise.
    """
    return codes.square().sum(dim=1).mean()


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean over the batch of KL(N(mean, exp(log_variance)) || N(0, I)), in nats.

    Kingma and Welling (2014), Appendix B; LORD's "KL" regulariser (Table 3).

    Args:
        mean: [b, dim].
        log_variance: [b, dim].
    """
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.sum(dim=1).mean()


def mean_squared(codes: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of codes; the target gets no gradient (LORD, Eq. 8, alpha terms)."""
    return torch.nn.functional.mse_loss(codes, target.detach())


def class_average(codes: Tensor, classes: Tensor) -> Tensor:
    """Each sample's code replaced by the mean over the samples of its class in the batch.

    LORD's amortised ablation (section 5); the grouping of ML-VAE without its product of Gaussians.

    Args:
        codes: [b, dim].
        classes: int64 [b].

    Returns:
        [b, dim], with gradient to all samples of the class.
    """
    values, inverse, counts = torch.unique(classes, return_inverse=True, return_counts=True)
    sums = codes.new_zeros(len(values), codes.shape[1]).index_add(0, inverse, codes)
    means: Tensor = sums / counts[:, None]
    return means.index_select(0, inverse)
