"""Pictures of a model: recombination and interpolation grids.

All pictures are uint8 RGB [H,W,3].
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.image_metrics import to_rgb
from unmingle.evaluation.model import Encoded, Model, decode
from unmingle.evaluation.output import write_file

Array = npt.NDArray[Any]
Image = npt.NDArray[np.uint8]

WHITE = (255, 255, 255)


def tile(images: Array, gap: int = 2, background: int | tuple[int, int, int] = WHITE) -> Image:
    """Lay out images uint8 [R,C,h,w,c] in R rows and C columns, `gap` pixels apart.

    Raises:
        DataError: another shape or type.
        ConfigError: a negative gap.
    """
    images = np.asarray(images)
    if images.ndim != 5 or 0 in images.shape:
        raise DataError(f"images to tile must be [R,C,h,w,c], got {images.shape}")
    if gap < 0:
        raise ConfigError(f"gap must be 0 or more pixels, got {gap}")
    rgb = to_rgb(images)
    rows, columns, height, width = rgb.shape[:4]
    padded = np.empty((rows, columns, height + gap, width + gap, 3), np.uint8)
    padded[...] = background
    padded[:, :, :height, :width] = rgb
    sheet = padded.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), -1, 3)
    return np.ascontiguousarray(sheet[: len(sheet) - gap, : sheet.shape[1] - gap])


def swap_grid(
    model: Model,
    images_rows: Array,
    images_cols: Array,
    rows: str | None = None,
    columns: str | None = None,
    *,
    gap: int = 2,
) -> Image:
    """Recombinations of all pairs (Gabbay and Hoshen 2020, Fig. 2).

    The left column shows `images_rows` [R,H,W,C], whose `rows` code each row keeps; the top row
    shows `images_cols` [K,H,W,C], whose `columns` code each column keeps. Other codes come from
    the images of the columns. Without names the rows keep the first code space and the columns the
    last one. Each image is encoded once.

    Where the model shows what single codes say (`visualise`: codes to {code space: images}), these
    pictures stand beside the images they come from, as a second column and a second row.

    Raises:
        ConfigError: unknown code space, or the same one twice.
        DataError: images of different shapes.
    """
    images_rows, images_cols = np.asarray(images_rows), np.asarray(images_cols)
    if images_rows.shape[1:] != images_cols.shape[1:]:
        raise DataError(
            f"images of the rows are {images_rows.shape[1:]},"
            f" of the columns {images_cols.shape[1:]}"
        )
    images = np.concatenate([images_rows, images_cols])
    encoded = Encoded(model, images)
    rows, columns = rows or encoded.spaces[0], columns or encoded.spaces[-1]
    for space in (rows, columns):
        encoded.require(space)
    if rows == columns:
        raise ConfigError(f"rows and columns both keep the {rows} code")
    left, top = len(images_rows), len(images_cols)
    kept = np.repeat(np.arange(left), top)
    others = np.tile(left + np.arange(top), left)
    made = encoded.combine({s: kept if s == rows else others for s in encoded.spaces})
    inside = to_rgb(made).reshape(left, top, *made.shape[1:3], 3)
    shown = model.visualise(encoded.codes) if hasattr(model, "visualise") else {}
    beside = [to_rgb(images_rows)] + [to_rgb(shown[s][:left]) for s in (rows,) if s in shown]
    above = [to_rgb(images_cols)] + [to_rgb(shown[s][left:]) for s in (columns,) if s in shown]
    across, down = len(beside), len(above)
    sheet = np.full((down + left, across + top, *inside.shape[2:]), 255, np.uint8)
    for number, images in enumerate(beside):
        sheet[down:, number] = images
    for number, images in enumerate(above):
        sheet[number, across:] = images
    sheet[down:, across:] = inside
    return tile(sheet, gap)


def interpolation_grid(
    model: Model,
    a: Array,
    b: Array,
    steps: int = 7,
    *,
    rows: str | None = "class",
    columns: str | None = "content",
    gap: int = 2,
) -> Image:
    """Codes moved linearly from image `a` to image `b`, both [H,W,C].

    Down the grid the `rows` code goes from that of `a` to that of `b`, across it the `columns`
    code; other codes stay those of `a`. The corners are the four pure recombinations. With one of
    them None the result is a single line (column or row) of `steps` images.

    Raises:
        ConfigError: fewer than 2 steps, unknown code space, both None or both the same.
        DataError: images of different shapes.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 3:
        raise DataError(f"two images [H,W,C] of one shape are needed, got {a.shape} and {b.shape}")
    if steps < 2:
        raise ConfigError(f"steps must be at least 2, got {steps}")
    if rows == columns:
        raise ConfigError(
            "rows and columns are both None" if rows is None else f"both move the {rows} code"
        )
    encoded = Encoded(model, np.stack([a, b]))
    for space in (rows, columns):
        if space is not None:
            encoded.require(space)
    height, width = (1 if space is None else steps for space in (rows, columns))
    down, across = np.divmod(np.arange(height * width), width)
    share = {rows: down / max(1, height - 1), columns: across / max(1, width - 1)}
    codes = {}
    for space, (start, end) in encoded.codes.items():
        t = share.get(space, np.zeros(height * width))[:, None].astype(np.float32)
        codes[space] = (1 - t) * start + t * end
    made = decode(model, codes)
    return tile(made.reshape(height, width, *made.shape[1:]), gap)


def save_png(path: str | os.PathLike[str], image: Array, *, overwrite: bool = False) -> Path:
    """Write uint8 [H,W,C], C 1 to 4, as PNG.

    Raises:
        RunError: the file exists and `overwrite` is not set.
        DataError: not an image.
    """
    from PIL import Image as Pillow

    if np.ndim(image) != 3:
        raise DataError(f"an image [H,W,C] is needed, got {np.shape(image)}")
    buffer = io.BytesIO()
    Pillow.fromarray(to_rgb(np.asarray(image))).save(buffer, "PNG", optimize=True)
    return write_file(path, buffer.getvalue(), overwrite=overwrite)
