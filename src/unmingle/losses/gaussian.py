"""Losses of Gaussians with diagonal covariance; all in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor


def gaussian_nll(predicted: Tensor, target: Tensor, std: Tensor) -> Tensor:
    """-ln N(target | predicted, std^2) of a typical entry, mean over the batch.

    Xiang et al. (2021, DisUnknown), the reconstruction. The squared error is the mean over the
    entries of an item, as in the release; so the terms are nats per entry and not per item.

    Args:
        predicted: [b, ...].
        target: the same shape.
        std: float32 [b], one for each item, positive.
    """
    error = (predicted - target).square().flatten(1).mean(1).float()
    terms = error / (2 * std.square()) + std.log() + 0.5 * math.log(2 * math.pi)
    return terms.mean()


def kl_to_normal(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) of each entry: the shape of `mean`.

    Kingma and Welling (2014), Appendix B.
    """
    return 0.5 * (mean.square() + std.square() - 1) - std.log()


def embeddings_kl(mean: Tensor, std: Tensor, frequencies: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) of classes' embeddings, averaged by their frequency: [dim].

    Xiang et al. (2021, DisUnknown), the labelled codes in stage I.

    Args:
        mean, std: of all classes, [K, dim].
        frequencies: of the classes in the data, [K], of sum 1.
    """
    return (frequencies[:, None] * kl_to_normal(mean, std)).sum(0)


def aggregated_kl(mean: Tensor, std: Tensor, average: Callable[[Tensor], Tensor]) -> Tensor:
    """KL to N(0, 1) of the Gaussian with the moments of the whole batch, by dimension: [dim].

    Release of Xiang et al. (2021, DisUnknown): it keeps the codes of the data together centred and
    of unit variance, which the KL of single codes at its small weight does not.

    Args:
        mean, std: [b, dim] of the codes' posteriors.
        average: mean over the samples of the whole batch, [b, dim] -> [dim].
    """
    centre = average(mean)
    variance = average(mean.square()) - centre.square() + average(std.square())
    return 0.5 * (centre.square() + variance - 1 - variance.clamp_min(1e-8).log())


def kl_between(mean: Tensor, std: Tensor, other_mean: Tensor, other_std: Tensor) -> Tensor:
    """Mean over the batch of KL(N(mean, std^2) || N(other_mean, other_std^2)).

    Xiang et al. (2021, DisUnknown), the labelled encoders; Kullback and Leibler (1951).

    Args:
        mean, std, other_mean, other_std: [b, dim].
    """
    ratio = (std / other_std).square()
    shift = ((mean - other_mean) / other_std).square()
    return 0.5 * (ratio + shift - 1 - ratio.log()).sum(1).mean()


def scaled_distance(codes: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Squared distance in units of `scale`, mean over the batch.

    Xiang et al. (2021, DisUnknown), the code distance of Eq. 5g.

    Args:
        codes: [b, dim].
        target: [b, dim]; gets no gradient.
        scale: [dim], the standard deviation of the codes of the data.
    """
    return ((codes - target.detach()) / scale).square().sum(1).mean()
