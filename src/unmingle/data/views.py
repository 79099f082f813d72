"""Points in space seen from random directions: projected when they are read, with their label.

A row of the result is a row of the data from one of V directions. Nothing is stored: whoever reads
a row gets its points turned and projected there and then, so that training runs through frames and
directions alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.storage import Computed, RowView
from unmingle.errors import ConfigError, DataError

FACTOR, ANGLE = "view", "view_angle"


class _Projection(Computed):
    """Rows [N*V, 2P] projected from points [N, P, 3] on demand."""

    def __init__(self, points: Any, angles: NDArray[np.float32], views: int) -> None:
        self.points, self.angles, self.views = points, angles, views
        self.shape = (len(angles), points.shape[1] // 3 * 2)
        self.dtype = np.dtype(np.float32)
        self.ndim = 2

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        numbers = np.arange(len(self.angles))[rows]
        single = np.ndim(numbers) == 0
        numbers = np.atleast_1d(numbers)
        points = np.asarray(self.points[numbers // self.views], np.float32)
        seen = look(points, self.angles[numbers])
        return seen[0] if single else seen


def look(points: NDArray[Any], angles: NDArray[Any]) -> NDArray[np.float32]:
    """Points as seen by a far camera that has gone around them by an angle.

    Args:
        points: [N, 3P], x, y and z of each point, y upwards.
        angles: degrees about the vertical, [N]; at 0 the camera sees x and y.

    Returns:
        float32 [N, 2P], across and upwards of each point.
    """
    radians = np.deg2rad(np.asarray(angles, np.float64))[:, None]
    x, y, z = (points[:, i::3].astype(np.float64) for i in range(3))
    across = x * np.cos(radians) - z * np.sin(radians)
    seen = np.empty((len(points), 2 * x.shape[1]), np.float32)
    seen[:, 0::2], seen[:, 1::2] = across, y
    return seen


def project(data: FactorDataset, views: int, *, seed: int = 0) -> FactorDataset:
    """Every row from V directions, with the factor `view` and the angle as `view_angle`.

    Direction v of a row is drawn at random from the v-th part of the turn (parts are centred on
    0, 360/V, …), so that the label is known and no two rows are seen from quite the same place.

    Args:
        data: vectors [N, 3P] of points in space.
        views: V, 2 or more.
        seed: of the directions.

    Returns:
        Vectors [N*V, 2P], row n*V + v being row n from direction v; columns go along, ids are
        numbered anew.

    Raises:
        DataError: images, or vectors that are not points in space; a column is called `view`.
        ConfigError: fewer than two views.
    """
    if data.is_images or data.shape[0] % 3:
        raise DataError(f"{data.name}: views need vectors of points in space, x, y, z of each")
    if views < 2:
        raise ConfigError(f"--views must be at least 2, not {views}")
    for name in (FACTOR, ANGLE):
        if name in data.factors or name in data.continuous:
            raise DataError(f"{data.name}: there already is a column {name!r}")
    count = len(data) * views
    view = np.tile(np.arange(views), len(data))
    within = np.random.default_rng(seed).random(count, dtype=np.float32) - np.float32(0.5)
    angles = ((view + within) * np.float32(360 / views)).astype(np.float32)
    base: Any = _Projection(data.items, angles, views)
    repeated = {name: np.repeat(column, views) for name, column in data.factors.items()}
    floats = {name: np.repeat(column, views) for name, column in data.continuous.items()}
    seen = FactorDataset(
        vectors=RowView(base, np.arange(count)),
        factors={**repeated, FACTOR: view},
        value_names={
            **data.value_names,
            FACTOR: [f"{360 * v / views:.4g}" for v in range(views)],
        },
        continuous={**floats, ANGLE: angles},
        name=data.name,
    )
    seen.origin = data.origin
    return seen
