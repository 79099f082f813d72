"""The distance of decoded images to true ones, with the frozen network and its stored features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unmingle.data import FactorDataset
from unmingle.data.storage import total_memory
from unmingle.losses.perceptual import feature_distance, mean_absolute
from unmingle.nn.perceptual import TargetFeatures, feature_net
from unmingle.training.images import ImageSource
from unmingle.training.stage import View


class Distance:
    """Mean distance of images to rows of the training set.

    With a frozen network mean |difference| of pixels, plus that of the network's features: layer by
    layer (VGG16), or `weight` times each layer's relative to its mean activation. With "none" the
    mean squared difference, of images as numbers from -1 to 1.

    Args:
        data: the training set.
        perceptual: "efficientnet-lite0", "vgg16" or "none".
        weight: of the relative differences of features.
        device: where the batches are.
    """

    def __init__(
        self, data: FactorDataset, perceptual: str, weight: float, device: torch.device
    ) -> None:
        self.weight, self.relative = weight, perceptual != "vgg16"
        self.targets: TargetFeatures | None = None
        if perceptual != "none":
            features = feature_net(perceptual).to(device)
            # Not of the free memory, which a resumed run might find changed, and with it the bits.
            limit = total_memory() / 4 if device.type == "cpu" else 0
            read = ImageSource(data.items, device).batch
            self.targets = TargetFeatures(features, read, len(data), limit)

    def __call__(self, made: Tensor, true: View, divisor: int = 1) -> Tensor:
        """A float32 scalar for images [b, C, h, w] in [0, 1] made after the rows of a view."""
        if self.targets is None:
            return 4 * F.mse_loss(made.float(), true.images)
        loss = mean_absolute(made, true.images)
        target = self.targets(true.rows, true.images, divisor)
        found = self.targets.net(made)
        if not self.relative:
            return loss + feature_distance(found, target)
        return loss + self.weight * feature_distance(found, target, self.targets.scales)
