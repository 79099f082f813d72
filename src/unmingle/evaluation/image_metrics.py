"""Distances between images that need no network, and the conversion to RGB the others share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import DataError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03
_BLOCK_VALUES = 4_000_000  # image values held as float64 at a time


def check_pair(a: Array, b: Array, *, rank: int | None = 4) -> None:
    """Raise DataError unless `a` and `b` have the same shape (and `rank` axes)."""
    if a.shape != b.shape:
        raise DataError(f"the two sets differ in shape: {a.shape} and {b.shape}")
    if rank is not None and a.ndim != rank:
        raise DataError(f"images must be [N,H,W,C], got an array of shape {a.shape}")


def to_rgb(images: Array) -> npt.NDArray[np.uint8]:
    """uint8 [...,C] to uint8 [...,3]: grey is repeated, transparency laid on white.

    C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).

    Raises:
        DataError: another type or number of channels.
    """
    if images.dtype != np.uint8:
        raise DataError(f"images must be uint8 (0..255), got {images.dtype}")
    channels = images.shape[-1]
    if not 1 <= channels <= 4:
        raise DataError(f"images must have 1 to 4 channels, got {channels} in {images.shape}")
    colour = images
    if channels in (2, 4):
        alpha = images[..., -1:].astype(np.uint16)
        blend = images[..., :-1] * alpha + np.uint16(255) * (255 - alpha)
        colour = ((blend + np.uint16(127)) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colour, (*images.shape[:-1], 3)))


def _unit(items: Array) -> Floats:
    """uint8 0..255 to 0..1; floats are taken as they are."""
    return items / 255.0 if items.dtype == np.uint8 else items.astype(np.float64)


def _block(a: Array) -> int:
    return max(1, _BLOCK_VALUES // max(1, math.prod(a.shape[1:])))


def mse(a: Array, b: Array) -> Floats:
    """Mean squared difference of each pair: [N].

    Args:
        a, b: [N, ...], uint8 (0..255, scaled to 0..1) or float (images 0..1, vectors as they are).

    Raises:
        DataError: different shapes.
    """
    check_pair(a, b, rank=None)
    axes = tuple(range(1, a.ndim))
    step = _block(a)
    blocks = (slice(start, start + step) for start in range(0, len(a), step))
    parts = [np.square(_unit(a[rows]) - _unit(b[rows])).mean(axes) for rows in blocks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _smoother(size: int) -> Floats:
    """Band matrix [size - 10, size] that applies the Gaussian window where it fits entirely."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    matrix = np.zeros((size - _WINDOW + 1, size))
    for row in range(len(matrix)):
        matrix[row, row : row + _WINDOW] = window
    return matrix


def ssim(a: Array, b: Array) -> Floats:
    """Structural similarity of each pair: [N], 1 for equal images (Wang et al. 2004, Eq. 13).

    11x11 Gaussian window with sigma 1.5, used only where it lies inside the image; K1 = .01,
    K2 = .03, range 1; the mean over positions and channels.

    Args:
        a, b: [N,H,W,C], uint8 (0..255) or float (0..1), H and W at least 11.

    Raises:
        DataError: different shapes, or images smaller than the window.
    """
    check_pair(a, b)
    if min(a.shape[1:3]) < _WINDOW:
        raise DataError(f"SSIM needs images of at least 11x11 pixels, got {a.shape[1:3]}")
    down, across = _smoother(a.shape[1]), _smoother(a.shape[2]).T

    def smooth(x: Floats) -> Floats:
        return np.asarray(down @ x @ across)

    c1, c2 = _K1**2, _K2**2
    step = _block(a)
    parts = [np.zeros(0)]
    for start in range(0, len(a), step):
        x, y = (np.moveaxis(_unit(z[start : start + step]), -1, 1) for z in (a, b))
        mean_x, mean_y = smooth(x), smooth(y)
        var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
        cov = smooth(x * y) - mean_x * mean_y
        likeness = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
        likeness /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
        parts.append(likeness.mean((1, 2, 3)))
    return np.concatenate(parts)
