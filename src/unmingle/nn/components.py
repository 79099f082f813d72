"""Where codes can start from instead of noise: principal components of coarse features."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .perceptual import FeatureNet

_SIDE = 16
_LAYERS = ((2, 8), (4, 4))  # of a perceptual network, and the side they are pooled to
_PROJECTED = 512
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


def coarse_features(
    net: FeatureNet, images: Callable[[Tensor, int], Tensor], count: int
) -> list[Tensor]:
    """What a frozen network sees where, for all images: two layers, float16 [N, 512] each.

    The layers tell the layout at two depths, less of the colours than pixels do. Pooled and
    projected at random (from the global generator), which all but keeps inner products.

    Args:
        net: the frozen network.
        images: reads rows at a divisor of the image size, float32 [b, C, h, w] in [0, 1].
        count: number of rows.
    """
    parts: list[list[Tensor]] = [[] for _ in _LAYERS]
    turns: list[Tensor] = []
    for rows in torch.split(torch.arange(count), _BLOCK // 16):
        layers = net(images(rows, 1))
        for number, (layer, side) in enumerate(_LAYERS):
            found = layers[layer].float()
            size = (min(side, found.shape[2]), min(side, found.shape[3]))
            pooled = F.adaptive_avg_pool2d(found, size).flatten(1).cpu()
            if number == len(turns):
                turns.append(torch.randn(pooled.shape[1], _PROJECTED) / _PROJECTED**0.5)
            parts[number].append((pooled @ turns[number]).half())
    return [torch.cat(blocks) for blocks in parts]


def within_class(vectors: Tensor, labels: Tensor, classes: int) -> Callable[[slice], Tensor]:
    """How rows differ from the mean of their class, in units of how much that class varies.

    Without the units, pale or small things would differ less in the same pose than others.

    Args:
        vectors: [N, F] of any type.
        labels: int64 [N].
        classes: how many there are.

    Returns:
        A function from a slice of rows to float32 [b, F]; its rows have a root mean square length
        of 1 over each class.
    """
    means = class_means(vectors, labels, classes)
    squares = torch.zeros(classes, dtype=torch.float64)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        off = vectors[block].float() - means[labels[block]]
        squares.index_add_(0, labels[block], off.double().square().sum(1))
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    spread = (squares / counts).sqrt().float()
    # A class of (nearly) equal images has nothing to be enlarged.
    spread = spread.clamp_min(0.1 * float(spread.mean())).clamp_min(1e-12)

    def rows(block: slice) -> Tensor:
        own = labels[block]
        return (vectors[block].float() - means[own]) / spread[own, None]

    return rows


def class_means(vectors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean of vectors [N, F] over each class, float32 [classes, F]; 0 where there are none.

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
    rows: Callable[[slice], Tensor],
    count: int,
    components: int,
    dim: int,
    norm: float,
    rounding: float = 0.0,
) -> Tensor:
    """Projections on the leading principal components, turned at random into `dim` dimensions.

    Args:
        rows: a block of the vectors, float32 [b, F], of mean zero overall.
        count: number of vectors.
        components: how many; fewer if the vectors have fewer dimensions.
        dim: size of the result; the turn spreads the components over all of it. It is drawn from
            the global generator.
        norm: root mean square length of the result.
        rounding: root mean square length of projections up to which the vectors differ by rounding
            errors alone.

    Returns:
        float32 [count, dim]; zeros where there is nothing but rounding errors to bring to `norm`.
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
    length = codes.square().sum(1).mean().sqrt()
    if float(length) <= rounding:
        return torch.zeros_like(codes)
    return codes * (norm / length.clamp_min(1e-12))


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
