"""From picture files, Pillow images and arrays to uint8 [H,W,C] of one size and kind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from unmingle.data.options import Geometry
from unmingle.data.storage import tracker
from unmingle.errors import DataError

T = TypeVar("T")
Box = tuple[int, int, int, int]
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_GREY_MODES = {"1", "L", "LA", "La"}
_ORIENTATION = 0x0112
_CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_WORKERS = min(8, _CPUS)


@dataclass(frozen=True)
class Header:
    """What a file says before its pixels are decoded; width and height as seen upright."""

    width: int
    height: int
    colour: bool
    alpha: bool

    def within(self, box: Box | None) -> Header:
        """The header of a part of the picture.

        Raises:
            DataError: the part is empty or reaches beyond the picture.
        """
        if box is None:
            return self
        left, top, right, bottom = box
        if not (0 <= left < right <= self.width and 0 <= top < bottom <= self.height):
            raise DataError(
                f"the part {box} (left, top, right, bottom) does not lie in its "
                f"{self.width}x{self.height} pixels"
            )
        return Header(right - left, bottom - top, self.colour, self.alpha)


def channels_of(colour: bool, alpha: bool) -> int:
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    return (3 if colour else 1) + alpha


def has_colour(image: Image.Image) -> bool:
    return image.mode not in _GREY_MODES and not image.mode.startswith("I")


@contextlib.contextmanager
def pillow_limit(pixel_limit: int) -> Iterator[None]:
    """Let Pillow open what `pixel_limit` allows; its own limit is global, so it is put back."""
    before = Image.MAX_IMAGE_PIXELS
    if before is not None:
        Image.MAX_IMAGE_PIXELS = max(before, pixel_limit)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextlib.contextmanager
def _opened(path: Path, pixel_limit: int) -> Iterator[Image.Image]:
    """The image with its header read.

    Raises:
        DataError: with the reason, if the header cannot be read or names too many pixels.
    """
    try:
        image = Image.open(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"more than the pixel limit of {pixel_limit:,} pixels") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        raise DataError("the file is empty" if empty else "not an image of a known kind") from error
    with image:
        if image.width * image.height > pixel_limit:
            raise DataError(
                f"{image.width}x{image.height} is more than the pixel limit of {pixel_limit:,} "
                "pixels; pixel_limit= (--pixel-limit) raises it"
            )
        yield image


def read_header(path: Path, pixel_limit: int) -> Header:
    """Size and kind of a picture file; pixels are not decoded.

    Raises:
        DataError, OSError, ValueError, SyntaxError: if the file is damaged or too large.
    """
    with _opened(path, pixel_limit) as image:
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        return Header(width, height, has_colour(image), image.has_transparency_data)


def _orientation(image: Image.Image) -> int:
    # Pillow decodes a whole PNG to look for an EXIF block after the pixels, where none is written.
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def decode_file(
    path: Path, geometry: Geometry, channels: int, box: Box | None = None
) -> NDArray[np.uint8]:
    """A picture file, or the part of it in `box` (left, top, right, bottom as seen upright), as
    uint8 [H,W,C], upright, fitted and converted to `channels`.

    Raises:
        DataError, OSError, ValueError, SyntaxError: if the file is damaged or too large.
    """
    with _opened(path, geometry.pixel_limit) as image:
        if box is not None:
            upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
            return picture(upright.crop(box), geometry, channels)
        if geometry.size is not None and image.format == "JPEG":
            # JPEG decodes 1/2, 1/4 or 1/8 of the size far quicker; twice the target stays sharp.
            scale = 2 * _scale(image.size, max(geometry.size), geometry)
            image.draft(None, (int(image.width * scale) + 1, int(image.height * scale) + 1))
        return picture(image, geometry, channels)


def _scale(size: tuple[int, int], target: int, geometry: Geometry) -> float:
    """How much a picture shrinks at most, whichever way up it is."""
    sides = min(size) if geometry.fit != "pad" else max(size)
    return target / sides


def picture(image: Image.Image, geometry: Geometry, channels: int) -> NDArray[np.uint8]:
    """A Pillow image as uint8 [H,W,C], upright, fitted and converted to `channels`."""
    image.load()
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    image = to_channels(image, channels)
    if geometry.size is not None:
        image = fitted(image, geometry)
    array = np.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Mode L, LA, RGB or RGBA; 16 bits become 8 by 65535 → 255; alpha that goes is put on white."""
    if image.mode.startswith("I"):
        # Pillow's 16-bit modes, and its 32-bit mode in which 16-bit PGM files arrive.
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("32-bit float pixels; 8 or 16 bits are expected")
    if image.has_transparency_data and image.mode != _MODES[channels]:
        image = image.convert("RGBA")
        if channels in (1, 3):
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
    return image if image.mode == _MODES[channels] else image.convert(_MODES[channels])


def fitted(image: Image.Image, geometry: Geometry) -> Image.Image:
    """Brought to `geometry.size` with a Lanczos filter (area-aware when it shrinks).

    "resize" stretches, "crop" keeps the largest centred part of the right shape, "pad" keeps all
    and fills the rest with the median colour of the picture's border.
    """
    assert geometry.size is not None
    height, width = geometry.size
    if image.size == (width, height):
        return image
    lanczos = Image.Resampling.LANCZOS
    if geometry.fit == "crop":
        scale = max(width / image.width, height / image.height)
        part_width, part_height = width / scale, height / scale
        left, top = max(0, image.width - part_width) / 2, max(0, image.height - part_height) / 2
        if scale == 1:  # no resampling, which would lose colour under weak alpha
            return image.crop((int(left), int(top), int(left) + width, int(top) + height))
        right = min(left + part_width, image.width)
        bottom = min(top + part_height, image.height)
        return image.resize((width, height), lanczos, box=(left, top, right, bottom))
    if geometry.fit == "pad":
        scale = min(width / image.width, height / image.height)
        inner = (
            min(width, max(1, round(image.width * scale))),
            min(height, max(1, round(image.height * scale))),
        )
        small = image.resize(inner, lanczos)
        canvas = Image.new(image.mode, (width, height), _border_colour(small))
        canvas.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    return image.resize((width, height), lanczos)


def _border_colour(image: Image.Image) -> tuple[int, ...]:
    pixels = np.asarray(image)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return tuple(int(value) for value in np.median(border, axis=0))


def transform(block: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """uint8 [N,h,w,c] fitted and converted to the geometry's size and channels, image by image."""
    shape = geometry.output_shape(*block.shape[1:])
    if shape == block.shape[1:]:
        return block
    out = np.empty((len(block), *shape), np.uint8)
    for row, pixels in enumerate(block):
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        image = to_channels(image, shape[2])
        small = np.asarray(image if geometry.size is None else fitted(image, geometry))
        out[row] = small.reshape(shape)
    return out


def in_threads(
    work: Callable[[int], T], count: int, label: str = "", progress: bool = False
) -> list[T]:
    """`[work(0), …, work(count - 1)]` by a few threads (Pillow decodes outside the lock)."""
    results: list[T] = []
    piece = 64 * _WORKERS
    with ThreadPoolExecutor(_WORKERS) as pool, tracker(label, count, progress) as advance:
        for start in range(0, count, piece):
            part = list(pool.map(work, range(start, min(start + piece, count))))
            results += part
            advance(len(part))
    return results


def compact(array: NDArray[Any], bad: set[int]) -> int:
    """Move the rows that are not `bad` to the front, in place; returns how many there are."""
    kept = 0
    for row in range(len(array)):
        if row not in bad:
            if kept != row:
                array[kept] = array[row]
            kept += 1
    return kept
