"""Pictures of points: landmarks and skeletons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import DataError

Array = npt.NDArray[Any]

_OVER = 3  # drawn at this multiple and shrunk, which smooths the lines


def draw_points(
    vectors: Array,
    bones: Sequence[tuple[int, int]] = (),
    *,
    size: int = 96,
    axes: int = 2,
    like: Array | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw each vector's points, and lines between some of them: uint8 [N, size, size, 3].

    Args:
        vectors: [N, axes * P], the coordinates of each point together; the first goes across, the
            second upwards, a third is not seen.
        bones: pairs of points that a line joins.
        size: side of a picture, in pixels.
        axes: coordinates of a point, 2 or 3.
        like: vectors whose extent fixes the scale, so that several sheets have the same.

    Raises:
        DataError: not vectors of points.
    """
    from PIL import Image, ImageDraw

    vectors = np.asarray(vectors, np.float64)
    frame = vectors if like is None else np.asarray(like, np.float64)
    if vectors.ndim != 2 or axes not in (2, 3) or vectors.shape[1] % axes:
        raise DataError(f"vectors [N, {axes} * P] of points needed, not {vectors.shape}")
    places = vectors.reshape(len(vectors), -1, axes)[:, :, :2]
    around = frame.reshape(len(frame), -1, axes)[:, :, :2]
    low, high = around.min((0, 1)), around.max((0, 1))
    side = size * _OVER
    scale = 0.9 * side / max(float((high - low).max()), 1e-9)
    pixels = (places - (low + high) / 2) * scale
    pixels = np.stack([side / 2 + pixels[..., 0], side / 2 - pixels[..., 1]], -1)
    sheet = []
    for points in pixels:
        image = Image.new("RGB", (side, side), "white")
        pen = ImageDraw.Draw(image)
        for a, b in bones:
            pen.line([tuple(points[a]), tuple(points[b])], fill=(60, 90, 160), width=2 * _OVER)
        for x, y in points:
            pen.ellipse([x - _OVER, y - _OVER, x + _OVER, y + _OVER], fill=(30, 30, 30))
        sheet.append(np.asarray(image.resize((size, size), Image.Resampling.BOX)))
    return np.stack(sheet)
