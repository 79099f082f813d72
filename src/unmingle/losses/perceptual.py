"""Distances between images in pixels and in the layers of a frozen network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _MeanAbsolute(torch.autograd.Function):
    """mean |a - b| with gradient to a alone, in two passes over memory instead of five."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b
        ctx.save_for_backward(difference)
        total: Tensor = torch.linalg.vector_norm(difference, ord=1, dtype=torch.float32)
        return total / a.numel()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference.sign().mul_((grads[0] / difference.numel()).to(difference.dtype)), None


def mean_absolute(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, as a float32 scalar; the target gets no gradient.

    The L1 of Gabbay and Hoshen (2020), Eq. 7, and the negative logarithm of Ruiz et al.'s (2019)
    Laplace likelihood up to its scale.

    Args:
        prediction: any shape.
        target: the same shape.
    """
    result: Tensor = _MeanAbsolute.apply(prediction, target.detach())  # type: ignore[no-untyped-call]
    return result


def feature_distance(
    predicted: Sequence[Tensor], target: Sequence[Tensor], scales: Sequence[float] | None = None
) -> Tensor:
    """Sum over layers of the mean absolute difference of features.

    The form of Hoshen and Malik (2019), which LORD (Eq. 5-8) and content-style (Eq. 5) use.

    Args:
        predicted: features of the generated images, one [B, D, h, w] for each layer.
        target: features of the true images, same shapes; they get no gradient.
        scales: each layer's term is divided by its scale (its mean absolute activation, say), so
            that layers count alike whatever the scale of the network; ones if None.
    """
    total = predicted[0].new_zeros((), dtype=torch.float32)
    scales = [1.0] * len(predicted) if scales is None else scales
    for ours, theirs, scale in zip(predicted, target, scales, strict=True):
        total = total + mean_absolute(ours, theirs) / scale
    return total
