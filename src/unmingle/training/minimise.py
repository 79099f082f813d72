"""A few tensors against a loss, everything else at rest: what finding codes of new items needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def minimise(
    loss: Callable[[], Tensor],
    leaves: Sequence[Tensor],
    steps: int,
    lr: float,
    betas: tuple[float, float],
) -> None:
    """Adam on `leaves`, whose values change in place; no other tensor gets a gradient.

    Args:
        loss: evaluated anew at each step; a scalar.
        leaves: floating-point tensors that the loss depends on.
        steps: how many.
        lr: learning rate, falling to 0 along a cosine.
        betas: of Adam.
    """
    for leaf in leaves:
        leaf.requires_grad_()
    adam = torch.optim.Adam(leaves, lr, betas=betas)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    with torch.enable_grad():
        for _ in range(steps):
            for leaf, grad in zip(leaves, torch.autograd.grad(loss(), leaves), strict=True):
                leaf.grad = grad
            adam.step()
            schedule.step()
