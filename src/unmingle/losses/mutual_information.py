"""Mutual information of two codes: estimated by a classifier, bounded, and kept below a limit.

Esser, Haux and Ommer, "Unsupervised Robust Disentangling of Latent Characteristics for Image
Synthesis", ICCV 2019.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pair_classification(joint: Tensor, shuffled: Tensor) -> Tensor:
    """The classifier's logistic loss, Eq. 10-11, as a mean instead of a sum of its two halves.

    Args:
        joint: logits [b] of pairs of codes that belong together.
        shuffled: logits [b] of pairs that do not.
    """
    return 0.5 * (F.softplus(-joint.float()).mean() + F.softplus(shuffled.float()).mean())


def augmented_lagrangian(estimate: Tensor, limit: float, multiplier: Tensor, mu: float) -> Tensor:
    """L_MI of Eq. 22: the penalty for an estimate I_T above `limit`.

    Args:
        estimate: I_T, a scalar in nats.
        limit: epsilon.
        multiplier: lambda >= 0, a scalar.
        mu: the penalty parameter, above 0.
    """
    excess = estimate - limit
    inside = multiplier * excess + mu / 2 * excess.square()
    outside = -multiplier.square() / (2 * mu)
    return inside.where(excess >= -multiplier / mu, outside)


def next_multiplier(multiplier: Tensor, estimate: Tensor, limit: float, mu: float) -> Tensor:
    """Eq. 23: max(0, lambda + mu (I_T - epsilon))."""
    return (multiplier + mu * (estimate - limit)).clamp_min(0)


def next_weight(weight: Tensor, gap: Tensor, rate: float) -> Tensor:
    """Eq. 18 and 24: max(0, gamma + l_gamma gap).

    Args:
        weight: gamma.
        gap: I_T' - I_T - b_gamma (Eq. 18), or I_T' - epsilon (Eq. 24).
        rate: l_gamma.
    """
    return (weight + rate * gap).clamp_min(0)


def posterior_kl(mean: Tensor, log_diagonal: Tensor, below: Tensor | None = None) -> Tensor:
    """Mean over the batch of KL(N(mean, L L^T) || N(0, I)), in nats: the bound of Eq. 9.

    Args:
        mean: [b, d].
        log_diagonal: logarithms of the diagonal of the lower triangular L, [b, d].
        below: L below its diagonal, [b, d, d]; None for a diagonal covariance.
    """
    terms = mean.square() + (2 * log_diagonal).exp() - 1 - 2 * log_diagonal
    total = terms.sum(1)
    if below is not None:
        total = total + below.square().sum((1, 2))
    return 0.5 * total.mean()
