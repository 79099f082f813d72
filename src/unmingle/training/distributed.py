"""What the processes of one run tell each other. With one process every function is the identity.

A global batch is cut into contiguous blocks, one per rank, of equal size. A loss is a mean over
the rank's block and gradients are averaged over ranks, so a loss that is a mean over samples has
the gradient one process would compute. A loss that needs statistics of the whole batch takes them
through `batch_mean` or `gather`, whose gradients keep that true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_BUCKET = 32 * 1024 * 1024  # elements of one all-reduce; a few large messages beat many small ones


def world_size() -> int:
    """Number of processes of this run (1 when not distributed)."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    """All-gather along the first dimension whose backward sums what every rank sends back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].contiguous()
        dist.all_reduce(grad)
        return grad.chunk(world_size())[rank()]


def gather(x: Tensor) -> Tensor:
    """The whole batch's [B, ...] from each rank's [b, ...], differentiable, in batch order."""
    if world_size() == 1:
        return x
    whole: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return whole


def batch_mean(x: Tensor) -> Tensor:
    """Mean of x [b, ...] over the samples of the whole batch: [...], differentiable."""
    local = x.mean(dim=0)
    if world_size() == 1:
        return local
    total = local.detach().clone()
    dist.all_reduce(total)
    # The gradient passes to this rank's share unscaled: averaging gradients over ranks divides it.
    return local + (total / world_size() - local.detach())


def average_gradients(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor's `.grad` by its mean over ranks (tensors without one are skipped)."""
    if world_size() == 1:
        return
    grads = [t.grad for t in tensors if t.grad is not None]
    while grads:
        count, size = 0, 0
        while count < len(grads) and (count == 0 or size + grads[count].numel() <= _BUCKET):
            size += grads[count].numel()
            count += 1
        bucket, grads = grads[:count], grads[count:]
        flat = torch.cat([g.reshape(-1) for g in bucket])
        dist.all_reduce(flat)
        flat /= world_size()
        start = 0
        for g in bucket:
            g.copy_(flat[start : start + g.numel()].view(g.shape))
            start += g.numel()


def gather_uneven(x: Tensor) -> list[Tensor]:
    """Every rank's x, whose first dimension may differ between ranks."""
    sizes = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(x)], device=x.device))
    counts = [int(s) for s in sizes]
    padded = x.new_zeros(max(counts), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return [part[:count] for part, count in zip(parts, counts, strict=True)]


def broadcast_state(tensors: Sequence[Tensor]) -> None:
    """Give every rank the tensors of rank 0, in place."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
