"""Instance discrimination: every image a class of its own, and what it tells of swaps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def instance_softmax(
    embeddings: Tensor,
    bank: Tensor,
    rows: Tensor,
    temperature: float = 0.07,
    negatives: Tensor | None = None,
) -> Tensor:
    """Mean over the batch of -log P(i | v) (Wu et al. 2018, Eq. 2 with the bank of Eq. 5).

    P(i | v) = exp(v_i . v / T) / sum_j exp(v_j . v / T) over all rows j of the bank, or over
    i and the `negatives`, whose sum then stands for that over all other rows.

    Args:
        embeddings: v, of length 1, float [b, dim].
        bank: entries of length 1, float32 [N, dim].
        rows: which entry each embedding belongs to, int64 [b].
        temperature: T.
        negatives: rows drawn at random, int64 [m]; all rows if None.
    """
    embeddings = embeddings.float()
    if negatives is None:
        return F.cross_entropy(embeddings @ bank.T / temperature, rows)
    own = (embeddings * bank.index_select(0, rows)).sum(1, keepdim=True) / temperature
    others = embeddings @ bank.index_select(0, negatives).T / temperature
    same = negatives[None, :] == rows[:, None]
    others = others.masked_fill(same, -math.inf)
    drawn = (~same).sum(1, keepdim=True).clamp_min(1)
    others = others + torch.log((len(bank) - 1) / drawn)
    logits = torch.cat([own, others], dim=1)
    return F.cross_entropy(logits, torch.zeros_like(rows))


def swap_consistency(
    swapped: Sequence[Tensor], kept: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    """sum_l lambda_l |Phi_l(u) - Phi_l(x)|_1, one of the two terms of content-style's Eq. 7.

    The norm is taken as a mean over all entries of a layer. Both sides get the gradient.

    Args:
        swapped: layers of Phi, [b, D, h, w] each, for images with the same style and another
            content.
        kept: the same for the images whose style it is.
        weights: lambda; 1 for every layer if None.
    """
    weights = [1.0] * len(swapped) if weights is None else weights
    total = swapped[0].new_zeros((), dtype=torch.float32)
    for one, other, weight in zip(swapped, kept, weights, strict=True):
        total = total + weight * (one - other).abs().mean(dtype=torch.float32)
    return total
