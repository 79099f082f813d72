"""A model that knows the codes of some items better than its encoders do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import DataError

Array = npt.NDArray[Any]


class KnownCodes:
    """A trained model whose codes of given items come from a table.

    For the protocol of methods that optimise the codes of all images, those later scored included:
    `evaluate(KnownCodes(model, data, codes), data)` scores the codes that were found in training
    and not the encoders'. Items are known by their content; of equal ones the first counts.

    Args:
        model: what decodes.
        items: uint8 [N,H,W,C] or float32 [N,D], a data set or an array.
        codes: {code space: float [N,dim]} of these items.

    Raises:
        DataError: items and codes differ in number.
    """

    def __init__(self, model: Any, items: Any, codes: Mapping[str, Array]) -> None:
        items = getattr(items, "items", items)
        for space, values in codes.items():
            if len(values) != len(items):
                raise DataError(f"{len(values)} {space} codes for {len(items)} items")
        self.model, self.codes = model, dict(codes)
        self.code_spaces = getattr(model, "code_spaces", {})
        self.run_info = getattr(model, "run_info", None)
        self._rows: dict[bytes, int] = {}
        for row in range(len(items)):
            self._rows.setdefault(_key(items[row]), row)

    def encode(self, items: Any) -> dict[str, Array]:
        """The known codes {code space: [M,dim]} of items [M,...].

        Raises:
            DataError: an item is not among the known ones.
        """
        items = getattr(items, "items", items)
        found = []
        for number in range(len(items)):
            row = self._rows.get(_key(items[number]))
            if row is None:
                raise DataError(f"item {number} is not among the {len(self._rows)} known ones")
            found.append(row)
        return {space: values[found] for space, values in self.codes.items()}

    def decode(self, codes: Mapping[str, Array]) -> Array:
        """As the model's."""
        made: Array = self.model.decode(codes)
        return made


def _key(item: Any) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(item).tobytes()).digest()
