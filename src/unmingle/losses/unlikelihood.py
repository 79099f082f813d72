"""Losses between a classifier and what tries to fool it (DisUnknown, supplement 1.1), and least
squares GANs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Adversary = Literal["nlu", "nll", "nll-clamped"]


def _of_label(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """ln p_k of each sample's label k: [b]."""
    return log_probabilities.gather(1, labels[:, None]).squeeze(1)


def _of_others(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """ln(1 - p_k) of each sample's label k: [b], with all digits and its gradient at both ends."""
    own = _of_label(log_probabilities, labels)
    likely = own > -math.log(2)
    # Near p = 1 nothing is left of 1 - p, near p = 0 the sum of the others is 1 up to rounding. An
    # end that is not taken gets an input at which it has a finite gradient.
    summed = log_probabilities.scatter(1, labels[:, None], -math.inf).logsumexp(1)
    subtracted = torch.log1p(-own.masked_fill(likely, -math.log(2)).exp())
    return torch.where(likely, summed, subtracted)


def negative_log_likelihood(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of NLL(p, k) = -ln p_k (DisUnknown, Eq. 7).

    Args:
        log_probabilities: float32 [b, K].
        labels: int64 [b], 0..K-1.
    """
    return -_of_label(log_probabilities, labels).mean()


def negative_log_unlikelihood(
    log_probabilities: Tensor, labels: Tensor, frequencies: Tensor | None = None
) -> Tensor:
    """Mean over the batch of NLU_q(p, k) = -(1 - q_k)/q_k ln(1 - p_k) (DisUnknown, Eq. 13).

    Minimised over p it is stationary, and a minimum, where p is the class frequencies q (Eq. 14,
    18). Its gradient, of L1 norm 2 (1 - q_k)/q_k p_k (Eq. 15), fades with p_k and is largest where
    the classifier is sure, where that of -NLL is smallest.

    Args:
        log_probabilities: float32 [b, K], K 2 or more.
        labels: int64 [b], 0..K-1.
        frequencies: q, float32 [K], positive at the labels; the weight is 1 if None (Eq. 8).
    """
    terms = -_of_others(log_probabilities, labels)
    if frequencies is not None:
        q = frequencies.index_select(0, labels)
        terms = (1 - q) / q * terms
    return terms.mean()


def clamped_log_likelihood(
    log_probabilities: Tensor, labels: Tensor, frequencies: Tensor
) -> Tensor:
    """Mean over the batch of max(ln p_k, ln q_k): an NLL that is not pushed beyond chance.

    An ablation of Eq. 13 in the release of Xiang et al. (2021, DisUnknown); no gradient where the
    classifier does worse than q.

    Args:
        log_probabilities: float32 [b, K].
        labels: int64 [b].
        frequencies: q, float32 [K].
    """
    limit = frequencies.index_select(0, labels).log()
    return torch.maximum(_of_label(log_probabilities, labels), limit).mean()


def adversary_loss(
    kind: Adversary, log_probabilities: Tensor, labels: Tensor, frequencies: Tensor
) -> Tensor:
    """What the encoder minimises against a classifier, one scalar.

    Args:
        kind: "nlu": Eq. 13; "nll": the classifier's NLL, maximised; "nll-clamped": the same, at
            most down to chance.
        log_probabilities: float32 [b, K].
        labels: int64 [b], the true ones.
        frequencies: of the classes in the data, float32 [K].
    """
    if kind == "nlu":
        return negative_log_unlikelihood(log_probabilities, labels, frequencies)
    if kind == "nll":
        return -negative_log_likelihood(log_probabilities, labels)
    return clamped_log_likelihood(log_probabilities, labels, frequencies)


def least_squares(outputs: Tensor, target: float) -> Tensor:
    """Mean of (D(x) - target)^2 (Mao et al. 2017, Eq. 2); DisUnknown's targets are 1, -1 and 0."""
    return (outputs.float() - target).square().mean()


def total(losses: Sequence[Tensor]) -> Tensor:
    """Sum of one or more scalars, as over the labelled factors in Xiang et al. (2021)."""
    return torch.stack(list(losses)).sum()
