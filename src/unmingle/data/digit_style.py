"""Digit style: real digits as outlines, with random stroke width, colour and size.

Ruiz et al. (2019), section 5.1 and Appendix C.1: the reference set holds plain outlines, the pool
outlines of other digits that were dilated, coloured and scaled. The true amounts are kept.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import image_size, pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.mnist import Digits, read_digits
from unmingle.errors import ConfigError, nearest

PARTS = ("train", "probe", "test")
SETS = ("reference", "pool")
STYLE = ("width", "red", "green", "blue", "scale")
_HELD_OUT = 0.3  # of the digits, where the source has no test set of its own
_BLOCK = 512  # images made at a time


def load(
    size: int | tuple[int, int] = 64,
    rows: Any = None,
    seed: int = 0,
    *,
    part: str = "train",
    copies: int = 2,
    digits: str = "auto",
    folder: str | os.PathLike[str] | None = None,
) -> FactorDataset:
    """Outlines of digits, plain and with style.

    Part "train": half of the training digits once as they are (`set` = reference), each of the
    other half `copies` times with a random style (`set` = pool). Parts "probe" and "test": two
    halves of the held-out digits, all with style, to fit and to score regressions on. No digit is
    in two parts of the same seed.

    Args:
        size: height and width, at least 16.
        rows: None for all, a number (random without repetition, ascending), or row numbers.
        seed: of the split of the digits, of the styles, and of the random rows.
        part: "train", "probe" or "test".
        copies: styles of each digit.
        digits, folder: where the digits come from, as `unmingle.data.mnist.read_digits`.

    Returns:
        images uint8 [N, H, W, 3] on black; factors `digit` (10) and `set` (reference, pool);
        continuous `width` (pixels of the dilation, 1 to 10), `red`, `green`, `blue` (1 each for
        the plain ones; else they sum to 1) and `scale` (0.5 to 1).

    Raises:
        ConfigError: an unknown part or origin of digits, fewer copies than 1.
        DataError: wrong `size` or `rows`, or digits that cannot be read.
    """
    height, width = image_size(size)
    if part not in PARTS:
        raise ConfigError(f"part={part!r}: {nearest(part, PARTS).strip()}")
    if copies < 1:
        raise ConfigError(f"copies={copies}: at least 1")
    found = read_digits(digits, folder)
    digit, styled = _plan(found, part, copies, seed)
    style = _styles(styled, np.random.default_rng([seed, PARTS.index(part)]))
    chosen = pick_rows(rows, len(digit), seed)
    digit, styled = digit[chosen], styled[chosen]
    style = {name: values[chosen] for name, values in style.items()}
    images = np.empty((len(chosen), height, width, 3), np.uint8)
    for start in range(0, len(chosen), _BLOCK):
        block = slice(start, start + _BLOCK)
        amounts = {name: values[block] for name, values in style.items()}
        images[block], reached = _draw(found.images[digit[block]], (height, width), amounts)
        style["scale"][block] = reached
    return FactorDataset(
        images=images,
        factors={"digit": found.labels[digit], "set": styled.astype(np.int64)},
        value_names={"digit": tuple(map(str, range(10))), "set": SETS},
        continuous=style,
        ids=chosen,
        name=f"digit-style {part} ({found.origin})",
    )


def _plan(
    digits: Digits, part: str, copies: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which digit each row of a part shows, and whether it gets a style."""
    rng = np.random.default_rng([seed, len(PARTS)])
    count = len(digits.images)
    if digits.held_out:
        inside = rng.permutation(count - digits.held_out)
        outside = count - digits.held_out + rng.permutation(digits.held_out)
    else:
        inside, outside = np.split(rng.permutation(count), [round(count * (1 - _HELD_OUT))])
    if part == "train":
        plain, rest = np.split(inside, [len(inside) // 2])
    else:
        plain, rest = inside[:0], np.array_split(outside, 2)[PARTS.index(part) - 1]
    digit = np.concatenate([plain, np.tile(rest, copies)])
    return digit, np.arange(len(digit)) >= len(plain)


def _styles(styled: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Width, colour and scale of every row; plain rows have 1 of each."""
    count = len(styled)
    drawn = {"width": rng.integers(1, 11, count).astype(np.float64)}
    colour = rng.random((count, 3))
    colour /= colour.sum(1, keepdims=True)
    drawn |= {"red": colour[:, 0], "green": colour[:, 1], "blue": colour[:, 2]}
    drawn["scale"] = rng.uniform(0.5, 1.0, count)
    return {
        name: np.where(styled, values, 1.0).astype(np.float32) for name, values in drawn.items()
    }


def _draw(
    digits: NDArray[np.uint8], size: tuple[int, int], style: dict[str, NDArray[np.float32]]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images [n, H, W, 3] of digits [n, h, w] in their styles, and the scales in whole pixels."""
    from PIL import Image
    from scipy.ndimage import maximum_filter, minimum_filter

    height, width = size
    large = np.stack(
        [
            np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC))
            for one in digits
        ]
    )
    strokes = np.where(large > 127, np.uint8(255), np.uint8(0))
    outlines = strokes - minimum_filter(strokes, (1, 3, 3))  # what erosion by a pixel takes away
    for pixels in np.unique(style["width"]).astype(int):
        here = style["width"] == pixels
        outlines[here] = maximum_filter(outlines[here], (1, pixels, pixels))
    colours = np.stack([style["red"], style["green"], style["blue"]], axis=1)
    made = np.zeros((len(digits), height, width, 3), np.uint8)
    reached = np.empty(len(digits), np.float32)
    for number, (outline, scale) in enumerate(zip(outlines, style["scale"], strict=True)):
        rows, columns = round(height * float(scale)), round(width * float(scale))
        small = np.asarray(
            Image.fromarray(outline).resize((columns, rows), Image.Resampling.BILINEAR)
        )
        top, left = (height - rows) // 2, (width - columns) // 2
        coloured = (small[..., None] * colours[number]).round().astype(np.uint8)
        made[number, top : top + rows, left : left + columns] = coloured
        reached[number] = (rows / height + columns / width) / 2
    return made, reached
