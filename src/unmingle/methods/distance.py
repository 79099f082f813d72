"""The distance of generated images to the true ones that several methods train by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unmingle.data.storage import total_memory
from unmingle.losses.perceptual import feature_distance, mean_absolute
from unmingle.nn.perceptual import FeatureNet, TargetFeatures, feature_net
from unmingle.training.images import ImageSource
from unmingle.training.stage import View


class ImageDistance:
    """Mean |difference| of pixels and of the layers of a frozen network.

    The form of Hoshen and Malik (2019). VGG16's layers count 1 each; EfficientNet-Lite0's are
    divided by their mean activation over some of the true images and count `weight`.

    Args:
        items: all training images, uint8 [N, H, W, C], indexed like an array.
        perceptual: "efficientnet-lite0", "vgg16", or "none" for pixels alone.
        weight: of each of EfficientNet-Lite0's layers.
        device: where the training is.
    """

    def __init__(self, items: Any, perceptual: str, weight: float, device: torch.device) -> None:
        self.relative, self.weight = perceptual != "vgg16", weight
        self.features: FeatureNet | None = None
        self._targets: TargetFeatures | None = None
        if perceptual != "none":
            self.features = feature_net(perceptual)
            self.features.to(device)
            # Not of the free memory, which a resumed run might find changed, and with it the bits.
            limit = total_memory() / 4 if device.type == "cpu" else 0
            source = ImageSource(items, device)
            self._targets = TargetFeatures(self.features, source.batch, len(items), limit)

    def __call__(self, images: Tensor, x: View, divisor: int = 1) -> Tensor:
        """Of `images` [b, C, h, w] in [0, 1] to the true ones of a batch, as a float32 scalar."""
        loss = mean_absolute(images, x.images)
        if self.features is None or self._targets is None:
            return loss
        target = self._targets(x.rows, x.images, divisor)
        made = self.features(images)
        if not self.relative:
            return loss + feature_distance(made, target)
        return loss + self.weight * feature_distance(made, target, self._targets.scales)
