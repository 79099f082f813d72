"""Random crops and colours, from noise that the caller draws."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NOISE = 7
"""How many uniform numbers `augment` wants for an image."""


def augment(images: Tensor, noise: Tensor, crop: float = 0.4, colour: float = 0.4) -> Tensor:
    """Crop, mirror and re-colour images, each in its own way.

    The kinds that instance discrimination uses (Wu et al. 2018, section 4): a part of the image
    at full size, mirrored or not, brightness, contrast and saturation changed.

    Args:
        images: [b, C, h, w] in [0, 1]; a last channel of 2 or 4 is transparency and keeps its
            values.
        noise: uniform in [0, 1), [b, NOISE].
        crop: at most this share of each side is cut away.
        colour: brightness, contrast and saturation are multiplied by 1 - colour to 1 + colour.

    Returns:
        float32, the same shape, in [0, 1].
    """
    side, x, y, flip, *factors = noise.unbind(dim=1)
    scale = 1 - crop * side
    sign = torch.where(flip < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(scale)
    across = torch.stack([sign * scale, zero, (1 - scale) * (2 * x - 1)], dim=1)
    down = torch.stack([zero, scale, (1 - scale) * (2 * y - 1)], dim=1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(images.shape), align_corners=False)
    cut = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    gains = [1 + colour * (2 * factor - 1)[:, None, None, None] for factor in factors]
    opaque = cut.shape[1] - (cut.shape[1] in (2, 4))
    colours, alpha = cut[:, :opaque], cut[:, opaque:]
    colours = colours * gains[0]
    mean = colours.mean((1, 2, 3), keepdim=True)
    colours = mean + (colours - mean) * gains[1]
    grey = colours.mean(1, keepdim=True)
    colours = grey + (colours - grey) * gains[2]
    changed = torch.cat([colours.clamp(0, 1), alpha], dim=1)
    return changed.contiguous(memory_format=torch.channels_last)
