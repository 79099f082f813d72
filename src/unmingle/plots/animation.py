"""Pictures as an animation."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.image_metrics import to_rgb
from unmingle.evaluation.output import write_file


def save_gif(
    path: str | os.PathLike[str],
    frames: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
    *,
    milliseconds: int = 120,
    overwrite: bool = False,
) -> Path:
    """Write frames uint8 [V, H, W, C], C 1 to 4, as a GIF that repeats for ever.

    Args:
        path: where to.
        frames: at least one.
        milliseconds: of each frame.
        overwrite: whether to replace the file if it exists.

    Raises:
        DataError: no frames, or not images.
        ConfigError: a time of less than 10 ms.
        RunError: the file exists and `overwrite` is not set.
    """
    from PIL import Image

    pictures = np.asarray(frames)
    if pictures.ndim != 4 or not len(pictures):
        raise DataError(f"at least one of the frames [V,H,W,C] is needed, got {pictures.shape}")
    if milliseconds < 10:
        raise ConfigError(f"a frame must last 10 ms or more, not {milliseconds}")
    pictures = to_rgb(pictures)
    # One palette for all, or colours would flicker.
    palette = Image.fromarray(np.concatenate(list(pictures))).quantize(256)
    first, *rest = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures
    ]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)
    return write_file(path, buffer.getvalue(), overwrite=overwrite)
