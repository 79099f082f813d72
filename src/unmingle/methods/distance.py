"""The distance of generated images to the true ones that several methods train by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from unmingle.data.storage import total_memory
from unmingle.losses.perceptual import feature_distance, mean_absolute
from unmingle.nn.perceptual import FeatureNet, TargetFeatures, feature_net
from unmingle.training.images import ImageSource
from unmingle.training.stage import View


def perceptual_net(perceptual: str) -> FeatureNet | None:
    """The frozen network called "efficientnet-lite0" or "vgg16"; None for "none"."""
    return None if perceptual == "none" else feature_net(perceptual)


def layer_weight(perceptual: str, weight: float) -> float | None:
    """What a layer's relative difference counts; None: differences count as they are (VGG16)."""
    return None if perceptual == "vgg16" else weight


def image_distance(
    images: Tensor,
    target: Tensor,
    net: FeatureNet | None,
    features: Sequence[Tensor] | None,
    weight: float = 1.0,
    scales: Sequence[float] | None = None,
) -> Tensor:
    """Mean |difference| of pixels and of the layers of a frozen network, a float32 scalar.

    The form of Hoshen and Malik (2019): dist of LORD's Eq. 6 and 8, L_P of content-style's Eq. 5.

    Args:
        images: [b, C, h, w] in [0, 1].
        target: the true images, of the same shape.
        net: the network; None for pixels alone.
        features: of the target.
        weight: of a layer's difference.
        scales: what it is relative to, the layers' mean absolute activations; None: as it is.
    """
    loss = mean_absolute(images, target)
    if net is None or features is None:
        return loss
    return loss + weight * feature_distance(net(images), features, scales)


def distance_to(items: Tensor, perceptual: str, weight: float) -> Callable[[Tensor], Tensor]:
    """`image_distance` to images outside the training set, as a function of the generated ones.

    A layer's difference is relative to each true image's own activations, so that what is found
    for an image does not depend on those beside it.

    Args:
        items: the true images, [b, C, H, W] in [0, 1].
        perceptual, weight: see `ImageDistance`.
    """
    net, relative = perceptual_net(perceptual), layer_weight(perceptual, weight)
    if net is None:
        return lambda images: mean_absolute(images, items)
    net.to(items.device)
    units: list[Tensor | None] = []
    layers = net(items)
    for layer in layers:
        activation = layer.float().abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
        units.append(None if relative is None else (relative / activation).to(layer.dtype))

    def scaled(layers: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(layers, units, strict=True)
        return [layer if unit is None else layer * unit for layer, unit in pairs]

    target = scaled(layers)
    return lambda images: (
        mean_absolute(images, items) + feature_distance(scaled(net(images)), target)
    )


def _most_stored() -> float:
    """In bytes; of all memory: a resumed run may find less of it free, and the bits must stay."""
    return total_memory() / 4


def stored_bytes(items: Any, perceptual: str) -> int:
    """Memory that `ImageDistance` takes, on CPU, for the features of these training images."""
    net = perceptual_net(perceptual)
    if net is None:
        return 0
    layers = net(ImageSource(items[:1]).batch(torch.zeros(1, dtype=torch.int64)))
    size = len(items) * sum(layer.numel() * layer.element_size() for layer in layers)
    return size if size <= _most_stored() else 0


class ImageDistance:
    """`image_distance` to rows of the training set, whose features are kept where memory permits.

    Args:
        items: all training images, uint8 [N, H, W, C], indexed like an array.
        perceptual: "efficientnet-lite0", "vgg16", or "none" for pixels alone.
        weight: of each of EfficientNet-Lite0's layers, in units of its mean activation over some of
            the true images; VGG16's count 1.
        device: where the training is.
    """

    def __init__(self, items: Any, perceptual: str, weight: float, device: torch.device) -> None:
        self.weight = layer_weight(perceptual, weight)
        self.features = perceptual_net(perceptual)
        self._targets: TargetFeatures | None = None
        if self.features is not None:
            self.features.to(device)
            limit = _most_stored() if device.type == "cpu" else 0
            read = ImageSource(items, device).batch
            self._targets = TargetFeatures(self.features, read, len(items), limit)

    def __call__(self, images: Tensor, x: View, divisor: int = 1) -> Tensor:
        """Of `images` [b, C, h, w] in [0, 1] to the true ones of a batch, as a float32 scalar."""
        if self._targets is None:
            return mean_absolute(images, x.images)
        target = self._targets(x.rows, x.images, divisor)
        if self.weight is None:
            return image_distance(images, x.images, self.features, target)
        scales = self._targets.scales
        return image_distance(images, x.images, self.features, target, self.weight, scales)
