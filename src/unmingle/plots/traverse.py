"""Traversals: one direction of a code moved, everything else kept.

Directions are ordered by what they explain: how much the decoded items vary when a direction
alone takes the values it has over the data. Any method can be traversed; nothing of its training
is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.image_metrics import to_rgb
from unmingle.evaluation.model import Encoded, Model, decode
from unmingle.plots.grid import Image, tile

Array = npt.NDArray[Any]

_LEVELS = (0.1, 0.5, 0.9)  # quantiles at which a direction's effect is measured
_REACH = (0.02, 0.98)  # quantiles between which it is moved


@dataclass(frozen=True)
class Direction:
    """One direction of a code space.

    Attributes:
        space: the code space.
        number: the dimension, or the principal axis.
        vector: of length 1, [dim].
        explained: variance of the decoded items along it, as a share of the variance of the items.
        values: what it takes on over the data, from low to high, [steps].
    """

    space: str
    number: int
    vector: npt.NDArray[np.float32]
    explained: float
    values: npt.NDArray[np.float32]

    @property
    def label(self) -> str:
        return f"{self.space} {self.number}"


class Traversal:
    """Directions of a model's codes over some items, ordered by what they explain.

    Args:
        model: anything that encodes and decodes images.
        items: uint8 [N, H, W, C] that show what values a code takes; some hundred are enough.
        space: the code space; all if None.
        axes: "dimensions" of the code, or its "principal" axes, for methods whose dimensions
            mean nothing by themselves.
        bases: how many of the items the effect is averaged over.
        steps: values of each direction.

    Raises:
        ConfigError: unknown space or axes, fewer than 2 steps or 1 base.
        DataError: fewer than two items.
    """

    def __init__(
        self,
        model: Model,
        items: Any,
        *,
        space: str | None = None,
        axes: str = "dimensions",
        bases: int = 6,
        steps: int = 9,
    ) -> None:
        if axes not in ("dimensions", "principal"):
            raise ConfigError(f"axes={axes!r}: dimensions or principal")
        if steps < 2:
            raise ConfigError(f"steps must be at least 2, got {steps}")
        if bases < 1:
            raise ConfigError(f"bases must be at least 1, got {bases}")
        if len(items) < 2:
            raise DataError("a traversal needs two items or more, to see how codes vary")
        self.model, self.encoded = model, Encoded(model, items)
        if space is not None:
            self.encoded.require(space)
        spread = np.linspace(0, len(items) - 1, min(bases, len(items))).round().astype(int)
        self._bases = {name: codes[spread] for name, codes in self.encoded.codes.items()}
        sample = np.asarray(items[np.arange(0, len(items), max(len(items) // 500, 1))], np.float32)
        self._variance = max(float(sample.var(axis=0).mean()), 1e-12)
        found = [
            self._direction(name, number, vector, steps)
            for name in ([space] if space is not None else self.encoded.spaces)
            for number, vector in enumerate(_directions(self.encoded.codes[name], axes))
        ]
        self.directions = sorted(found, key=lambda direction: -direction.explained)

    def _direction(
        self, space: str, number: int, vector: npt.NDArray[np.float32], steps: int
    ) -> Direction:
        along = self.encoded.codes[space] @ vector
        levels = np.quantile(along, _LEVELS).astype(np.float32)
        low, high = (float(value) for value in np.quantile(along, _REACH))
        values = np.linspace(low, high, steps, dtype=np.float32)
        explained = 0.0
        if np.ptp(along) > 0:
            made = self._moved(self._bases, space, vector, levels).astype(np.float32)
            explained = float(made.var(axis=1).mean()) / self._variance
        return Direction(space, number, vector, explained, values)

    def _moved(
        self, codes: dict[str, Array], space: str, vector: Array, values: Array
    ) -> npt.NDArray[Any]:
        """Items [b, values, ...]: each of b codes with its part along `vector` at each value."""
        count, steps = len(codes[space]), len(values)
        wide = {name: np.repeat(part, steps, axis=0) for name, part in codes.items()}
        part = wide[space]
        move = np.tile(values, count) - part @ vector
        wide[space] = (part + move[:, None] * vector).astype(np.float32)
        made = decode(self.model, wide)
        return made.reshape(count, steps, *made.shape[1:])

    def images(self, image: Array, count: int = 10) -> npt.NDArray[np.uint8]:
        """One image [H, W, C] with its strongest directions moved: uint8 [count, steps, H, W, C].

        Raises:
            ConfigError: fewer than one direction.
        """
        if count < 1:
            raise ConfigError(f"count must be at least 1, got {count}")
        codes = Encoded(self.model, np.asarray(image)[None]).codes
        rows = [
            self._moved(codes, direction.space, direction.vector, direction.values)[0]
            for direction in self.directions[:count]
        ]
        return np.stack(rows)

    def grid(self, image: Array, count: int = 10, *, gap: int = 2) -> Image:
        """A picture RGB [H, W, 3]: a row for each direction, the image itself at the left."""
        rows = self.images(image, count)
        first = np.broadcast_to(np.asarray(image), (len(rows), 1, *np.shape(image)))
        return tile(np.concatenate([to_rgb(first), to_rgb(rows)], axis=1), gap)

    def frames(self, images: Array, count: int = 8, *, gap: int = 2) -> list[npt.NDArray[np.uint8]]:
        """Pictures RGB [H, W, 3] of an animation, there and back.

        In each, a row for each of `images` [N, H, W, C] and a column for each direction.
        """
        made = np.stack([to_rgb(self.images(image, count)) for image in images])
        steps = made.shape[2]
        order = [*range(steps), *range(steps - 2, 0, -1)]
        return [tile(made[:, :, step], gap) for step in order]


def _directions(codes: Array, axes: str) -> npt.NDArray[np.float32]:
    """Unit vectors [k, dim]: the dimensions, or the principal axes from the widest."""
    if axes == "dimensions":
        return np.eye(codes.shape[1], dtype=np.float32)
    centred = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    variances, vectors = np.linalg.eigh(centred.T @ centred)
    kept = vectors[:, variances > 1e-9 * max(variances[-1], 1e-12)].T[::-1]
    return kept.astype(np.float32)
