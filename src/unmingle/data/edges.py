"""Edge maps of images, for learning to go from drawings to pictures and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.errors import ConfigError, DataError

_BLOCK = 256
_STRONG = 99.0  # percentile of an image's gradients that is drawn black


def edge_maps(images: NDArray[np.uint8], sigma: float = 1.0) -> NDArray[np.uint8]:
    """Dark lines on white where an image changes: the gradient of its smoothed channels.

    Args:
        images: uint8 [N, H, W, C]; a last channel of 2 or 4 is transparency and kept.
        sigma: width of the smoothing in pixels (`scipy.ndimage.gaussian_gradient_magnitude`).

    Returns:
        uint8, the same shape; the colour channels are equal.

    Raises:
        DataError: not images.
        ConfigError: sigma is not positive.
    """
    from scipy.ndimage import gaussian_gradient_magnitude

    if np.ndim(images) != 4:
        raise DataError(f"images [N,H,W,C] are needed, got {np.shape(images)}")
    if not sigma > 0:
        raise ConfigError(f"sigma must be positive, not {sigma}")
    result = np.array(images, np.uint8)
    colours = images.shape[3] - (images.shape[3] in (2, 4))
    for start in range(0, len(images), _BLOCK):
        block = np.asarray(images[start : start + _BLOCK, ..., :colours], np.float32)
        change = np.zeros(block.shape[:3], np.float32)
        for channel in range(colours):
            for row in range(len(block)):
                found = gaussian_gradient_magnitude(block[row, ..., channel], sigma)
                np.maximum(change[row], found, out=change[row])
        strong = np.percentile(change, _STRONG, axis=(1, 2), keepdims=True)
        lines = 255 * (1 - np.clip(change / np.maximum(strong, 1.0), 0, 1))
        result[start : start + _BLOCK, ..., :colours] = lines.round()[..., None]
    return result


def with_edges(data: FactorDataset, name: str = "domain", sigma: float = 1.0) -> FactorDataset:
    """The images and their edge maps as one data set of twice as many rows.

    Args:
        data: images.
        name: of the new factor column, "picture" or "edges".
        sigma: see `edge_maps`.

    Returns:
        First all pictures, then all edge maps in the same order; other columns are repeated.

    Raises:
        DataError: vectors.
        ConfigError: the name is taken.
    """
    if not data.is_images:
        raise DataError(f"{data.name}: edge maps are of images, these are vectors")
    if name in data.factors or name in data.continuous:
        raise ConfigError(f"the data have a column {name!r} already: choose another name")
    images = data.take()
    domain = np.repeat([0, 1], len(data))
    return FactorDataset(
        images=np.concatenate([images, edge_maps(images, sigma)]),
        factors={**{f: np.tile(c, 2) for f, c in data.factors.items()}, name: domain},
        value_names={**data.value_names, name: ("picture", "edges")},
        continuous={c: np.tile(v, 2) for c, v in data.continuous.items()},
        name=f"{data.name} and edges",
    )
