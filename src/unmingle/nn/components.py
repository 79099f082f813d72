"""Where codes can start from instead of noise: principal components of small pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SIDE = 16
_BLOCK = 2048
_WHITENING_FLOOR = 0.05  # of the mean variance: axes below are not stretched without limit


def thumbnails(images: Callable[[Tensor, int], Tensor], count: int) -> Tensor:
    """All images at 16x16, uint8 [N, C * 256].

    Args:
        images: reads rows at a divisor of the image size, float32 [b, C, h, w] in [0, 1].
        count: number of rows.
    """
    parts = []
    for start in range(0, count, _BLOCK):
        rows = torch.arange(start, min(start + _BLOCK, count))
        small = F.adaptive_avg_pool2d(images(rows, 1), _SIDE)
        parts.append(small.mul(255).round_().to(torch.uint8).flatten(1).cpu())
    return torch.cat(parts)


def class_means(vectors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean of uint8 vectors [N, F] over each class, float32 [classes, F]; 0 where there are none.

    Args:
        labels: int64 [N].
    """
    sums = torch.zeros(classes, vectors.shape[1], dtype=torch.float64)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        sums.index_add_(0, labels[block], vectors[block].double())
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    return (sums / counts[:, None]).float()


def principal_components(
    rows: Callable[[slice], Tensor], count: int, components: int, dim: int, norm: float
) -> Tensor:
    """Projections on the leading principal components, turned at random into `dim` dimensions.

    Args:
        rows: a block of the vectors, float32 [b, F], of mean zero overall.
        count: number of vectors.
        components: how many; fewer if the vectors have fewer dimensions.
        dim: size of the result; the turn spreads the components over all of it. It is drawn from
            the global generator.
        norm: root mean square length of the result.

    Returns:
        float32 [count, dim].
    """
    blocks = [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]
    covariance = torch.zeros(0)
    for block in blocks:
        part = rows(block).double()
        covariance = part.T @ part + (covariance if len(covariance) else 0)
    components = min(components, dim, len(covariance))
    axes = torch.linalg.eigh(covariance).eigenvectors[:, -components:].float()
    turn = torch.linalg.qr(torch.randn(dim, dim)).Q[:components]
    codes = torch.cat([rows(block) @ axes @ turn for block in blocks])
    length = codes.square().sum(1).mean().sqrt().clamp_min(1e-12)
    return codes * (norm / length)


class Subspace(nn.Module):
    """Projects codes on the directions in which a given set of codes varies.

    Args:
        dim: size of a code. Until `fit` is called, codes pass unchanged.
    """

    mean: Tensor
    projector: Tensor
    metric: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("projector", torch.eye(dim))
        self.register_buffer("metric", torch.eye(dim))

    @torch.no_grad()
    def fit(self, codes: Tensor, floor: float) -> int:
        """Keep the principal axes along which `codes` [N, dim] have a variance above `floor`.

        Returns:
            How many there are; at least one is kept.
        """
        mean = codes.double().mean(0)
        centred = codes.double() - mean
        variances, axes = torch.linalg.eigh(centred.T @ centred / len(codes))
        kept = max(int((variances > floor).sum()), 1)
        axes, variances = axes[:, -kept:], variances[-kept:]
        usual = variances.mean().clamp_min(1e-12)
        scales = (usual / (variances + _WHITENING_FLOOR * usual)).sqrt()
        self.mean.copy_(mean)
        self.projector.copy_(axes @ axes.T)
        self.metric.copy_(axes * scales @ axes.T)
        return kept

    def forward(self, codes: Tensor) -> Tensor:
        """Codes float32 [b, dim] -> [b, dim]."""
        return self._times(codes, self.projector) + self.mean

    def whiten(self, codes: Tensor) -> Tensor:
        """Codes [b, dim] with (nearly) the same variance along every axis kept, of mean zero.

        Equal variances on average, so that squared lengths keep their size.
        """
        return self._times(codes, self.metric)

    def _times(self, codes: Tensor, matrix: Tensor) -> Tensor:
        # bfloat16 would round what the projection takes away back into the codes
        with torch.autocast(codes.device.type, enabled=False):
            return (codes.float() - self.mean) @ matrix
