"""Where content and style codes can start from when nothing is told about the images.

What there is in an image and where it is: the means and standard deviations of a network's feature
channels carry the style (Gatys et al. 2016; Huang and Belongie 2017), and what is left of the maps
when both are taken away is the layout. Images of similar style are the stand-in for a class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .components import principal_components
from .perceptual import FeatureNet, feature_net

_BLOCK = 256  # images looked at together
_STATISTICS = 3  # layers, finest first, whose statistics are the style
_LAYOUT = 3  # the layer that is the layout, counted from the finest: an eighth of the image size
_CELLS = 4  # of the layout, a side
_NEIGHBOURS, _OF_ALL = 30, 4  # as many as that, but no more than a fourth of all rows
_AXES = 12  # principal components of the statistics that similarity is measured along
_AMONG = 20_000  # rows that neighbours are looked for in
_FLOOR = 0.1  # of a layer's mean activation: channels that hardly vary are not blown up
_HALF, _SINGLE = 1e-3, 1e-5  # rounding errors in float16 and float32, of a vector's length


@dataclass(frozen=True)
class Vectors:
    """Rows [N, F] that codes can start from."""

    values: Tensor
    rounding: float = 0.0
    """Root mean square length of their rounding errors."""

    def components(self, count: int, dim: int, norm: float) -> Tensor:
        """The leading principal components in `dim` dimensions; see `principal_components`.

        Zeros where the rows are equal but for rounding errors.
        """
        mean = self.values.double().mean(0).float()
        return principal_components(
            lambda block: self.values[block].float() - mean,
            len(self.values),
            count,
            dim,
            norm,
            self.rounding,
        )


def layout_and_statistics(
    images: Callable[[Tensor, int], Tensor], count: int, net: FeatureNet | None = None
) -> tuple[Vectors, Vectors]:
    """Layouts of all images, each less what is usual for its style; and styles.

    Args:
        images: reads rows at a divisor of the image size, float32 [b, C, h, w] in [0, 1].
        count: number of rows.
        net: the network that looks; EfficientNet-Lite0 if None.

    Returns:
        layouts [N, F] and the mean statistics [N, S] of images of similar style.
    """
    net = feature_net("efficientnet-lite0") if net is None else net
    layouts, statistics = [], []
    with torch.no_grad():
        for start in range(0, count, _BLOCK):
            rows = torch.arange(start, min(start + _BLOCK, count))
            layers = [layer.float().cpu() for layer in net(images(rows, 1))]
            if start == 0:
                scales = [float(layer.abs().mean()) for layer in layers]
            statistics.append(_statistics(layers[:_STATISTICS], scales))
            layouts.append(_layout(layers[_LAYOUT], scales[_LAYOUT]).half())
    return _parted(torch.cat(layouts), torch.cat(statistics))


def _statistics(layers: list[Tensor], scales: list[float]) -> Tensor:
    """Means and standard deviations of the channels, [b, 2 D]; every layer counts alike."""
    parts = []
    for layer, scale in zip(layers, scales, strict=False):
        std, mean = torch.std_mean(layer, dim=(2, 3))
        parts += [mean / scale, std / scale]
    return torch.cat(parts, dim=1)


def _layout(layer: Tensor, scale: float) -> Tensor:
    """Instance-normalised maps in a few cells, [b, D * cells]."""
    std, mean = torch.std_mean(layer, dim=(2, 3), keepdim=True, correction=0)
    normal = (layer - mean) / (std + _FLOOR * scale)
    cells = [min(_CELLS, size) for size in layer.shape[2:]]
    return F.adaptive_avg_pool2d(normal, (cells[0], cells[1])).flatten(1)


def _parted(layouts: Tensor, statistics: Tensor) -> tuple[Vectors, Vectors]:
    """Layouts [N, F] less their mean over the images of the most similar statistics [N, S].

    And these images' mean statistics: what they have in common is the style, not the layout.
    """
    count = len(layouts)
    near = Vectors(statistics, _SINGLE * _length(statistics)).components(_AXES, _AXES, 1.0)
    rows = torch.arange(0, count, -(-count // _AMONG))
    # With all rows for neighbours every image would have the same style.
    base, neighbours = near[rows], min(_NEIGHBOURS, max(len(rows) // _OF_ALL, 1))
    unusual, usual = torch.empty_like(layouts), torch.empty_like(statistics)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        found = rows[torch.cdist(near[block], base).topk(neighbours, largest=False).indices]
        unusual[block] = layouts[block] - layouts[found].float().mean(1).half()
        usual[block] = statistics[found].mean(1)
    return (
        Vectors(unusual, _HALF * _length(layouts)),
        Vectors(usual, _SINGLE * _length(statistics)),
    )


def _length(vectors: Tensor) -> float:
    """Root mean square length of rows [N, F]."""
    return float(vectors.float().square().sum(1).mean().sqrt())
