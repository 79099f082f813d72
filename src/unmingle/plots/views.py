"""One item in many views: its own codes but one, which comes from a prepared set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError
from unmingle.evaluation.model import Encoded, Model, decode

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]


def prepared_codes(
    model: Model,
    data: FactorDataset,
    space: str = "content",
    count: int = 12,
    by: str | None = None,
    *,
    seed: int = 0,
    encoded: Encoded | None = None,
) -> Array:
    """Codes of one space that stand for what it can say, in an order to look at.

    Args:
        model: what encodes.
        data: items to take the codes from.
        space: the code space.
        count: how many.
        by: a factor column: the mean code of each of its values in their order, evenly thinned
            out to `count`. None: the codes nearest to the centres of k-means, each followed by
            the nearest that is left.
        seed: of k-means.
        encoded: `data` encoded already.

    Returns:
        float32 [count or fewer, dim].

    Raises:
        ConfigError: no such code space, or fewer than 1.
        DataError: no such factor.
    """
    if count < 1:
        raise ConfigError(f"count must be at least 1, not {count}")
    encoded = encoded or Encoded(model, data.items)
    encoded.require(space)
    codes = encoded.codes[space]
    if by is not None:
        column = data.factor(by)
        values = np.unique(column)
        thinned = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
        return np.stack([codes[column == value].mean(0) for value in values[thinned]])
    from sklearn.cluster import KMeans  # slow to import

    count = min(count, len(np.unique(codes, axis=0)))
    centres = KMeans(count, n_init=4, random_state=seed).fit(codes).cluster_centers_
    nearest = [int(((codes - centre) ** 2).sum(1).argmin()) for centre in centres]
    left = codes[nearest]
    place = int(((left - codes.mean(0)) ** 2).sum(1).argmax())
    path = []
    while len(left):
        path.append(left[place])
        left = np.delete(left, place, axis=0)
        if len(left):
            place = int(((left - path[-1]) ** 2).sum(1).argmin())
    return np.stack(path)


def views(model: Model, items: Array, codes: Array, space: str = "content") -> Array:
    """Items with each of some codes in the place of their own.

    Args:
        model: what encodes and decodes.
        items: [N, ...], for images uint8 [N, H, W, C].
        codes: of the code space `space`, float [V, dim].
        space: its name.

    Returns:
        [N, V, ...] as the model decodes.

    Raises:
        ConfigError: no such code space.
    """
    encoded = Encoded(model, items)
    encoded.require(space)
    count = len(items)
    every = {name: np.repeat(own, len(codes), axis=0) for name, own in encoded.codes.items()}
    every[space] = np.tile(np.asarray(codes, np.float32), (count, 1))
    made = decode(model, every)
    return made.reshape(count, len(codes), *made.shape[1:])
