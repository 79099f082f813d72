"""The distance of generated images to the true ones that several methods train by."""

from __future__ import annotations

from collections.abc import Sequence
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
    weight: float | None,
    scales: Sequence[float] | None = None,
) -> Tensor:
    """Mean |difference| of pixels and of the layers of a frozen network, a float32 scalar.

    The form of Hoshen and Malik (2019): dist of LORD's Eq. 6 and 8, L_P of content-style's Eq. 5.

    Args:
        images: [b, C, h, w] in [0, 1].
        target: the true images, of the same shape.
        net: the network; None for pixels alone.
        features: of the target.
        weight: of a layer's difference relative to `scales`; None: layers count 1 as they are.
        scales: of the layers; the mean absolute activations of `features` if None.
    """
    loss = mean_absolute(images, target)
    if net is None or features is None:
        return loss
    if weight is None:
        return loss + feature_distance(net(images), features)
    if scales is None:
        scales = [layer.float().abs().mean().item() for layer in features]
    return loss + weight * feature_distance(net(images), features, scales)


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
            # Not of the free memory, which a resumed run might find changed, and with it the bits.
            limit = total_memory() / 4 if device.type == "cpu" else 0
            read = ImageSource(items, device).batch
            self._targets = TargetFeatures(self.features, read, len(items), limit)

    def __call__(self, images: Tensor, x: View, divisor: int = 1) -> Tensor:
        """Of `images` [b, C, h, w] in [0, 1] to the true ones of a batch, as a float32 scalar."""
        if self._targets is None:
            return image_distance(images, x.images, None, None, None)
        target = self._targets(x.rows, x.images, divisor)
        scales = self._targets.scales
        return image_distance(images, x.images, self.features, target, self.weight, scales)
