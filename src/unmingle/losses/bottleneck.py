"""An information bottleneck whose capacity is set from outside."""

from __future__ import annotations

from torch import Tensor


def capacity_gap(codes: Tensor, capacity: float) -> Tensor:
    """Mean over the batch of | ||c||^2 - C | (content-style, Eq. 8, one of its terms).

    A code c that is read through noise N(0, I) tells at most ||c||^2 / 2 nats more than c = 0
    (the divergence between the two distributions), so C is twice a capacity in nats.

    Args:
        codes: [b, dim], without the noise.
        capacity: C, 0 or more; 0 makes it a plain decay.
    """
    return (codes.float().square().sum(dim=1) - capacity).abs().mean()


def mean_absolute_codes(codes: Tensor, target: Tensor) -> Tensor:
    """Mean |difference| of codes; the target gets no gradient (content-style, Eq. 6)."""
    return (codes.float() - target.detach().float()).abs().mean()
