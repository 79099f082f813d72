"""The factors of dSprites, and a renderer of sprites like them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.errors import ConfigError, nearest

SHAPES = ("square", "ellipse", "heart")
FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "position_x": 32, "position_y": 32}
CARDINALITIES = tuple(FACTORS.values())
CONTINUOUS = ("size", "angle", "x", "y")
ROWS = math.prod(CARDINALITIES)
SIDE = 64
SCALES = np.linspace(0.5, 1.0, 6)
ANGLES = np.linspace(0.0, 2 * np.pi, 40)
PLACES = np.linspace(0.0, 1.0, 32)

ORIENTATIONS = ("all", "distinct", "symmetric")
_DISTINCT = 39  # the 40th angle is the first again
# By so many turns a full circle brings a shape onto itself.
_SYMMETRY = np.array([4, 2, 1])

_MIDDLE = 16.5  # pixels from the border to the centre of a sprite at position 0
_HALF_SQUARE = 11.0
_AXES = (14.0, 7.0)
_HEART = 15.0  # the farthest point of the heart from its centre


def check_orientations(orientations: str) -> None:
    """Refuse an unknown value of the option.

    Raises:
        ConfigError: naming the known ones.
    """
    if orientations not in ORIENTATIONS:
        raise ConfigError(
            f"orientations={orientations!r}: {nearest(orientations, ORIENTATIONS).strip()}"
        )


def kept_rows(codes: NDArray[np.int64], orientations: str) -> NDArray[np.int64]:
    """Which of the rows codes [N, 5] the option keeps, as row numbers."""
    if orientations == "all":
        return np.arange(len(codes))
    return np.flatnonzero(codes[:, 2] < _DISTINCT)


def columns(
    codes: NDArray[np.int64], values: NDArray[np.float64], orientations: str
) -> dict[str, Any]:
    """Keyword arguments of `FactorDataset`: factors, value_names and continuous columns.

    Args:
        codes: int64 [N, 5] in the order of `FACTORS`.
        values: float64 [N, 4]: scale, angle in radians, x and y from 0 to 1.
        orientations: "all" and "distinct": codes are steps of the angle; "symmetric": steps within
            the turn that brings the shape onto itself, so that codes next to each other look alike.
    """
    factors = {name: codes[:, at] for at, name in enumerate(FACTORS)}
    degrees = np.rad2deg(ANGLES)
    names: Mapping[str, tuple[str, ...]] = {
        "shape": SHAPES,
        "scale": tuple(f"{value:.1f}" for value in SCALES),
        "orientation": tuple(f"{value:.1f}" for value in degrees),
        "position_x": tuple(f"{value:.3f}" for value in PLACES),
        "position_y": tuple(f"{value:.3f}" for value in PLACES),
    }
    if orientations != "all":
        names = {**names, "orientation": names["orientation"][:_DISTINCT]}
    if orientations == "symmetric":
        factors["orientation"] = codes[:, 2] * _SYMMETRY[codes[:, 0]] % _DISTINCT
        names = {**names, "orientation": tuple(f"{n}/{_DISTINCT}" for n in range(_DISTINCT))}
    return {
        "factors": factors,
        "value_names": names,
        "continuous": {name: values[:, at] for at, name in enumerate(CONTINUOUS)},
    }


def codes_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes int64 [N, 5] of row numbers in the published order: position y varies fastest."""
    return np.stack(np.unravel_index(rows, CARDINALITIES), axis=1).astype(np.int64)


def values_of(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scale, angle, x and y [N, 4] of codes [N, 5]."""
    return np.stack(
        [SCALES[codes[:, 1]], ANGLES[codes[:, 2]], PLACES[codes[:, 3]], PLACES[codes[:, 4]]], axis=1
    )


def render(codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images uint8 [N, 64, 64, 1], 255 where the centre of a pixel lies in the sprite, else 0.

    Neighbouring positions are a pixel apart, so that a sprite is drawn once and moved.

    Args:
        codes: int64 [N, 5] in the order of `FACTORS`.
    """
    images = np.zeros((len(codes), SIDE, SIDE, 1), np.uint8)
    for row, (shape, scale, orientation, x, y) in enumerate(codes.tolist()):
        stamp = _stamp(shape, scale, orientation % _DISTINCT)
        high, wide = stamp.shape
        images[row, y : y + high, x : x + wide, 0] = stamp
    return images


@lru_cache(maxsize=3 * 6 * 39)
def _stamp(shape: int, scale: int, orientation: int) -> NDArray[np.uint8]:
    """The sprite around its centre, uint8 [33, 33]: all that turning and scaling can reach."""
    side = int(2 * _MIDDLE)
    across = (np.arange(side) + 0.5 - _MIDDLE) / SCALES[scale]
    x, y = np.meshgrid(across, across)
    angle = 2 * np.pi * orientation / _DISTINCT
    # The picture's y points down: a positive angle turns the sprite counter-clockwise, as drawn.
    u = x * np.cos(angle) - y * np.sin(angle)
    v = x * np.sin(angle) + y * np.cos(angle)
    inside = (_square, _ellipse, _heart)[shape](u, v)
    stamp = np.where(inside, np.uint8(255), np.uint8(0))
    stamp.flags.writeable = False  # it is shared by all its pictures
    return stamp


def _square(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(u), np.abs(v)) <= _HALF_SQUARE


def _ellipse(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (u / _AXES[0]) ** 2 + (v / _AXES[1]) ** 2 <= 1
    return inside


def _heart(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Inside the curve (16 sin³t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t), tip down."""
    t = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    across = 16 * np.sin(t) ** 3
    down = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    down = down - (down.max() + down.min()) / 2
    grow = _HEART / np.hypot(across, down).max()
    across, down = across * grow, down * grow
    inside = np.zeros(u.shape, np.bool_)
    # A point is inside where a ray to the right crosses the outline an odd number of times.
    for x0, y0, x1, y1 in zip(across, down, np.roll(across, -1), np.roll(down, -1), strict=True):
        if y0 != y1:
            crosses = (y0 > v) != (y1 > v)
            inside ^= crosses & (u < x0 + (v - y0) * (x1 - x0) / (y1 - y0))
    return inside
