"""Handwritten digits that come with scikit-learn: nothing to download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (test part).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unmingle.data.catalogue import image_size, pick_rows
from unmingle.data.dataset import FactorDataset


def load(size: int | tuple[int, int] = 32, rows: Any = None, seed: int = 0) -> FactorDataset:
    """The 1,797 digits, scaled up smoothly; factor `digit` (10 values).

    Args:
        size: height and width, at least 16. The originals are 8x8 with 17 grey levels.
        rows: None for all, a number (random without repetition, ascending), or an array of row
            numbers.
        seed: of the random rows.

    Returns:
        images uint8 [N, H, W, 1], white (255) on black (0); ids are the rows of `load_digits`.

    Raises:
        DataError: wrong `size` or `rows`.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    height, width = image_size(size)
    bunch = load_digits()
    chosen = pick_rows(rows, len(bunch.images), seed)
    small = bunch.images[chosen].astype(np.float32) * (255 / 16)
    # In floats, so that the 17 levels are rounded once, after the interpolation.
    large = [
        Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in small
    ]
    images = np.stack([np.asarray(one) for one in large]).clip(0, 255).round().astype(np.uint8)
    return FactorDataset(
        images=images[..., None],
        factors={"digit": bunch.target[chosen].astype(np.int64)},
        value_names={"digit": tuple(str(n) for n in range(10))},
        ids=chosen,
        name="digits",
    )
