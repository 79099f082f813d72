"""The scene of `shapes3d`: ray casting of an object in a room into weight maps.

A pinhole camera circles the object in a square room. Rays meet planes, box, sphere, cylinder and
capsule in closed form; several rays a pixel smooth the edges. Lengths are in units of about the
object's height at scale 1; z is up, and the object stands on the floor at the origin.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SHAPES = ("cube", "cylinder", "sphere", "capsule")

_ROOM, _WALL = 3.6, 1.8  # half the width of the square room, height of its walls
_EYE = np.array([0.0, -3.2, 1.4])  # the camera at orientation 0
_TARGET_HEIGHT, _HALF_VIEW = 0.52, math.tan(math.radians(24))
_LAMP_HEIGHT = 4.0
_CUBE, _CYLINDER, _SPHERE = 0.45, 0.48, 0.55  # half side, radius, radius
_CAPSULE, _CAPSULE_HEIGHT = 0.38, 1.22
_HEIGHTS = (2 * _CUBE, 2 * _CYLINDER, 2 * _SPHERE, _CAPSULE_HEIGHT)
_REACHES = (_CUBE * math.sqrt(2), _CYLINDER, _SPHERE, _CAPSULE)
_SHADE_REACH, _SHADE_CELLS = 1.5, 49


def geometry(scale: float, shape: int, orientation: float, height: int, width: int) -> Floats:
    """How much of floor, wall, object, sky and plain white each pixel shows, and how brightly.

    Args:
        scale: of the object.
        shape: position in `SHAPES`.
        orientation: angle of the camera around the object, degrees.
        height, width: in pixels; the shorter side spans 48 degrees.

    Returns:
        float32 [5, H, W], not negative; their sum is at most 1.
    """
    room = _room(orientation, height, width)
    # Only the cube looks different from different sides.
    side = orientation if SHAPES[shape] == "cube" else 0.0
    thing = _thing(scale, shape, side, height, width)
    samples = _samples(height, width)
    maps = room.pixels.copy()
    maps[:, *thing.window] = _averaged(
        room.maps[:, *_finer(thing.window, samples)] * thing.free, samples
    )
    maps[[2, 4], *thing.window] += thing.light
    maps[0] *= _shade_at(shape, room.spots / np.float32(scale))
    return maps


Window = tuple[slice, slice]


class _Thing(NamedTuple):
    """The object by itself, within the window of pixels that holds it."""

    window: Window
    free: NDArray[np.bool_]  # [h, w] of sub-pixel rays: misses the object
    light: Floats  # [2, H, W] its weights: object colour, white


class _Room(NamedTuple):
    """The empty room at one orientation."""

    maps: Floats  # [5, h, w] weights of sub-pixel rays
    pixels: Floats  # [5, H, W] their averages over each pixel
    spots: Floats  # [2, H, W] where a pixel's rays meet the plane of the floor


def _samples(height: int, width: int) -> int:
    return 4 if max(height, width) <= 128 else 2


@lru_cache(maxsize=1)
def _gaze() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the camera of orientation 0 looks, and what is up in its picture; unit vectors [3]."""
    ahead = np.array([0, 0, _TARGET_HEIGHT]) - _EYE
    ahead /= np.linalg.norm(ahead)
    return ahead, np.cross([1.0, 0, 0], ahead)


@lru_cache(maxsize=1)
def _camera_rays(height: int, width: int) -> Floats:
    """Unit vectors [3, h, w] of all sub-pixel rays of the camera at orientation 0."""
    samples = _samples(height, width)
    ahead, above = _gaze()
    view = 2 * _HALF_VIEW / (min(height, width) * samples)
    across = (np.arange(width * samples) + 0.5 - width * samples / 2) * view
    down = (np.arange(height * samples) + 0.5 - height * samples / 2)[:, None] * view
    x, y, z = ahead[:, None, None] - above[:, None, None] * down
    rays = np.stack(np.broadcast_arrays(x + across, y, z)).astype(np.float32)
    rays /= np.sqrt((rays**2).sum(axis=0))
    return rays


def _turned(vectors: NDArray[np.floating], orientation: float) -> Floats:
    """Vectors [3, ...] of the camera's frame in the room's frame."""
    angle = math.radians(orientation)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    x, y, z = vectors.astype(np.float32)
    return np.stack([cos * x - sin * y, sin * x + cos * y, z])


@lru_cache(maxsize=32)
def _thing(scale: float, shape: int, orientation: float, height: int, width: int) -> _Thing:
    samples = _samples(height, width)
    window = _window(scale, shape, height, width)
    rays = _camera_rays(height, width)[:, *_finer(window, samples)]
    area = rays.shape[1:]
    rays = _turned(rays.reshape(3, -1), orientation)
    eye = (_turned(_EYE, orientation) / np.float32(scale))[:, None]  # shrinks the world instead
    distance = _meet(shape, eye, rays)
    free = np.isinf(distance)
    hit = np.flatnonzero(~free)
    ray = rays[:, hit]
    light = np.zeros((2, len(distance)), np.float32)
    light[:, hit] = _object_light(shape, eye + distance[hit] * ray, ray)
    return _Thing(window, free.reshape(area), _averaged(light.reshape(2, *area), samples))


@lru_cache(maxsize=1)
def _room(orientation: float, height: int, width: int) -> _Room:
    samples = _samples(height, width)
    rays = _turned(_camera_rays(height, width), orientation)
    eye = _turned(_EYE, orientation)
    steps = (np.copysign(_ROOM, rays[:2]) - eye[:2, None, None]) / _away_from_zero(rays[:2])
    facing_x = steps[0] < steps[1]
    reach = np.minimum(steps[0], steps[1])
    on_wall = eye[:, None, None] + reach * rays
    to_floor = -eye[2] / np.minimum(rays[2], -1e-3)
    spots = eye[:2, None, None] + to_floor * rays[:2]
    floor = (on_wall[2] < 0).astype(np.float32)
    wall = (on_wall[2] <= _WALL) - floor

    maps = np.zeros((5, *floor.shape), np.float32)
    maps[0] = floor * _floor_light(spots, rays)
    maps[1] = wall * _wall_light(on_wall, rays, facing_x)
    haze = np.exp(-6 * np.maximum(rays[2], 0))
    maps[3] = (1 - floor - wall) * (1 - haze)
    maps[4] = (1 - floor - wall) * haze
    return _Room(maps, _averaged(maps, samples), _averaged(spots, samples))


def _away_from_zero(values: Floats) -> Floats:
    safe: Floats = np.where(np.abs(values) < 1e-7, np.float32(1e-7), values)
    return safe


def _averaged(maps: Floats, samples: int) -> Floats:
    kinds, height, width = maps.shape
    rows = np.add.reduce(maps.reshape(kinds, height // samples, samples, width), axis=2)
    cells = rows.reshape(kinds, height // samples, width // samples, samples)
    mean: Floats = np.add.reduce(cells, axis=3) * np.float32(1 / samples**2)
    return mean


def _floor_light(spots: Floats, rays: Floats) -> Floats:
    lamp = _LAMP_HEIGHT / np.sqrt(spots[0] ** 2 + spots[1] ** 2 + _LAMP_HEIGHT**2)
    edge = np.exp(-(_ROOM - np.abs(spots).clip(max=_ROOM)) / 0.5)  # less sky above near a wall
    light: Floats = 0.30 + 0.52 * lamp**2 - 0.12 * rays[2]
    light *= (1 - 0.22 * edge[0]) * (1 - 0.22 * edge[1])
    return light


def _wall_light(spots: Floats, rays: Floats, facing_x: NDArray[np.bool_]) -> Floats:
    along = np.where(facing_x, spots[1], spots[0])
    to_lamp = np.sqrt(_ROOM**2 + along**2 + (_LAMP_HEIGHT - spots[2]) ** 2)
    towards_eye = np.abs(np.where(facing_x, rays[0], rays[1]))
    edge = np.exp(-(_ROOM - np.abs(along).clip(max=_ROOM)) / 0.5)
    base = np.exp(-spots[2].clip(0) / 0.4)
    light: Floats = 0.24 + 0.42 * _ROOM / to_lamp + 0.28 * towards_eye
    light *= (1 - 0.16 * edge) * (1 - 0.22 * base)
    return light


def _window(scale: float, shape: int, height: int, width: int) -> Window:
    """Rows and columns of pixels that hold the object, whatever the orientation."""
    ahead, above = _gaze()
    box = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (0, 1)], float)
    box = box * scale * [_REACHES[shape], _REACHES[shape], _HEIGHTS[shape]] - _EYE
    depth = box @ ahead * 2 * _HALF_VIEW / min(height, width)
    x, y = box[:, 0] / depth + width / 2, -(box @ above) / depth + height / 2
    top, left = max(math.floor(y.min()), 0), max(math.floor(x.min()), 0)
    return slice(top, min(math.ceil(y.max()), height)), slice(left, min(math.ceil(x.max()), width))


def _finer(window: Window, samples: int) -> Window:
    rows, columns = (slice(part.start * samples, part.stop * samples) for part in window)
    return rows, columns


def _meet(shape: int, start: Floats, rays: Floats) -> Floats:
    """Distance [R] along rays [3, R] to the object at scale 1; infinite where they miss it."""
    if SHAPES[shape] == "cube":
        middle = np.array([0, 0, _CUBE], np.float32)[:, None]
        steps = 1 / _away_from_zero(rays)
        centre, spread = (middle - start) * steps, np.abs(steps) * np.float32(_CUBE)
        return _entry((centre - spread).max(axis=0), (centre + spread).min(axis=0))
    if SHAPES[shape] == "sphere":
        return _entry(*_ball(start, rays, _SPHERE, _SPHERE))
    if SHAPES[shape] == "cylinder":
        return _entry(*_pillar(start, rays, _CYLINDER, 0, 2 * _CYLINDER))
    low, high = _CAPSULE, _CAPSULE_HEIGHT - _CAPSULE
    side = _entry(*_pillar(start, rays, _CAPSULE, low, high))
    ends = [_entry(*_ball(start, rays, _CAPSULE, end)) for end in (low, high)]
    return np.minimum(side, np.minimum(*ends))


def _entry(near: Floats, far: Floats) -> Floats:
    return np.where((near < far) & (far > 1e-4), near, np.float32(np.inf))


def _ball(start: Floats, rays: Floats, radius: float, middle: float) -> tuple[Floats, Floats]:
    offset = start - np.array([0, 0, middle], np.float32)[:, None]
    along = (offset * rays).sum(axis=0)
    root = along**2 - (offset**2).sum(axis=0) + np.float32(radius**2)
    half = np.sqrt(np.maximum(root, 0))
    return -along - half, -along + half


def _pillar(
    start: Floats, rays: Floats, radius: float, low: float, high: float
) -> tuple[Floats, Floats]:
    square = np.maximum(rays[0] ** 2 + rays[1] ** 2, np.float32(1e-9))
    along = start[0] * rays[0] + start[1] * rays[1]
    root = along**2 - square * (start[0] ** 2 + start[1] ** 2 - np.float32(radius**2))
    half = np.sqrt(np.maximum(root, 0)) / square
    step = 1 / _away_from_zero(rays[2])
    one, other = (low - start[2]) * step, (high - start[2]) * step
    near = np.maximum(-along / square - half, np.minimum(one, other))
    return near, np.minimum(-along / square + half, np.maximum(one, other))


def _object_light(shape: int, points: Floats, rays: Floats) -> Floats:
    """Weights [2, R] of the object's colour and of white at points [3, R] of its surface."""
    normals = points.copy()
    if SHAPES[shape] == "cube":
        normals[2] -= np.float32(_CUBE)
        normals = np.where(
            np.abs(normals) >= np.abs(normals).max(axis=0), np.sign(normals), np.float32(0)
        )
    elif SHAPES[shape] == "cylinder":
        top = points[2] > 2 * _CYLINDER - 1e-3
        normals[2] = 0
        normals = np.where(top, np.array([0, 0, 1], np.float32)[:, None], normals)
    else:
        low = _SPHERE if SHAPES[shape] == "sphere" else _CAPSULE
        normals[2] -= points[2].clip(low, _HEIGHTS[shape] - low)
    normals /= np.sqrt((normals**2).sum(axis=0))
    towards_eye = np.maximum(-(normals * rays).sum(axis=0), 0)
    light = 0.39 + 0.15 * normals[2] + 0.24 * np.maximum(normals[2], 0) + 0.28 * towards_eye
    half = np.array([0, 0, 1], np.float32)[:, None] - rays
    half /= np.sqrt((half**2).sum(axis=0))
    shine = 0.35 * np.maximum((normals * half).sum(axis=0), 0) ** 24
    return np.stack([light * (1 - shine), shine])


def _directions(count: int, spread: float) -> Floats:
    """Unit vectors [3, count] around the zenith, even over the disc they project to."""
    turn = 0.5 + math.pi * (3 - math.sqrt(5)) * np.arange(count)
    radius = spread * np.sqrt((np.arange(count) + 0.5) / count)
    unit = [radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)]
    return np.stack(unit).astype(np.float32)


@lru_cache(maxsize=4)
def _shade(shape: int) -> Floats:
    """Light on the floor around the object, a share of the free floor's, on a grid of cells."""
    line = np.linspace(-_SHADE_REACH, _SHADE_REACH, _SHADE_CELLS, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line, indexing="ij")).reshape(2, -1)
    # Below a flat base it is as light as beside it, so that no darkness seeps out between cells.
    if SHAPES[shape] == "cube":
        from_base = np.abs(grid).max(axis=0) / np.float32(1.01 * _CUBE)
    else:
        base = _CYLINDER if SHAPES[shape] == "cylinder" else 0.01
        from_base = np.hypot(*grid) / np.float32(1.01 * base)
    beside = grid / from_base.clip(1e-4, 1)
    starts = np.concatenate([beside, np.zeros_like(grid[:1])])[:, :, None]
    light = np.zeros(grid.shape[1], np.float32)
    for spread, weight in ((0.6, 0.45), (1.0, 0.40)):  # the lamp, the sky
        rays = np.broadcast_to(_directions(64, spread)[:, None], (3, grid.shape[1], 64))
        origins = np.broadcast_to(starts, rays.shape)
        free = np.isinf(_meet(shape, origins.reshape(3, -1), rays.reshape(3, -1)))
        light += weight * free.reshape(-1, 64).mean(axis=1, dtype=np.float32)
    table = (0.15 + light).reshape(_SHADE_CELLS, _SHADE_CELLS)
    # The few directions are not symmetric; the object is, under mirroring and quarter turns.
    turned = [np.rot90(side, turns) for side in (table, table.T) for turns in range(4)]
    table = np.mean(turned, axis=0)
    fade = np.clip((_SHADE_REACH - np.hypot(*grid).reshape(table.shape)) / 0.4, 0, 1)
    shade: Floats = (1 - (1 - table) * fade).astype(np.float32)
    return shade


def _shade_at(shape: int, spots: Floats) -> Floats:
    """`_shade` at points [2, ...] of the floor at scale 1, bilinear; 1 beyond its reach."""
    table = _shade(shape)
    last = _SHADE_CELLS - 1
    place = (spots + np.float32(_SHADE_REACH)) * np.float32(last / (2 * _SHADE_REACH))
    place = place.clip(0, last)
    cell = np.minimum(place.astype(np.int32), last - 1)
    (x, y), (u, v) = cell, place - cell
    at = x * _SHADE_CELLS + y
    flat = table.ravel()
    low = flat[at] * (1 - v) + flat[at + 1] * v
    high = flat[at + _SHADE_CELLS] * (1 - v) + flat[at + _SHADE_CELLS + 1] * v
    shade: Floats = low * (1 - u) + high * u
    return shade
