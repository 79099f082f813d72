"""What the evaluation and the pictures ask of a model, and codes put together across images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError, nearest

Array = npt.NDArray[Any]

_ENCODE_ROWS = 2048
_DECODE_ROWS = 256


class Model(Protocol):
    """Anything that encodes; `decode` (or else `recombine`) is needed to make images.

    `encode`: items to {code space: float [N,d]}. `decode`: the same to uint8 [N,H,W,C] (or float32
    [N,D]). `recombine`: {code space: items} to items. `code_spaces`: {name: an object with
    `.factor`, the factor column that space knows, or None}; optional.
    """

    def encode(self, items: Any, /) -> Mapping[str, Any]: ...


def space_factors(model: Model) -> dict[str, str | None]:
    """Factor column that each code space of a model claims to know."""
    spaces = getattr(model, "code_spaces", {})
    return {name: getattr(space, "factor", None) for name, space in spaces.items()}


def can_decode(model: object) -> bool:
    """Whether a model makes items from codes."""
    return hasattr(model, "decode") or hasattr(model, "recombine")


class Encoded:
    """Items encoded once, from which codes of different rows are put together.

    Args:
        model: what encodes and decodes.
        items: uint8 [N,H,W,C] or float32 [N,D]; whatever can be sliced into such arrays.

    Attributes:
        codes: {code space: float32 [N,d]}.

    Raises:
        DataError: the codes are not float [N,d], or hold NaN.
    """

    def __init__(self, model: Model, items: Any) -> None:
        self.model = model
        self.items = items
        parts: dict[str, list[Array]] = {}
        for start in range(0, len(items), _ENCODE_ROWS):
            block = items[start : start + _ENCODE_ROWS]
            for space, codes in model.encode(block).items():
                codes = np.asarray(codes, np.float32)
                if codes.ndim != 2 or len(codes) != len(block):
                    raise DataError(
                        f"the model's {space} codes of {len(block)} rows have shape {codes.shape}"
                    )
                if not np.isfinite(codes).all():
                    raise DataError(f"the model's {space} codes hold NaN or infinity")
                parts.setdefault(space, []).append(codes)
        self.codes = {space: np.concatenate(blocks) for space, blocks in parts.items()}

    @property
    def spaces(self) -> tuple[str, ...]:
        """The names of the code spaces."""
        return tuple(self.codes)

    def require(self, space: str) -> None:
        """Raise ConfigError unless there is such a code space."""
        if space not in self.codes:
            raise ConfigError(f"no code space {space!r}.{nearest(space, self.codes)}")

    def combine(self, rows: Mapping[str, Sequence[int] | Array]) -> Array:
        """Items decoded from the codes of different rows.

        Args:
            rows: for every code space the rows [M] its codes come from.

        Returns:
            What the model decodes, [M, ...].
        """
        chosen = {space: np.asarray(numbers) for space, numbers in rows.items()}
        if chosen.keys() != self.codes.keys():
            raise ConfigError(
                f"rows for {', '.join(chosen)}, but the code spaces are {', '.join(self.codes)}"
            )
        if hasattr(self.model, "decode"):
            return decode(self.model, {s: self.codes[s][numbers] for s, numbers in chosen.items()})
        if not hasattr(self.model, "recombine"):
            raise ConfigError(f"{type(self.model).__name__} has neither decode nor recombine")
        parts = []
        for start in range(0, len(next(iter(chosen.values()))), _DECODE_ROWS):
            block = slice(start, start + _DECODE_ROWS)
            sources = {space: self.items[numbers[block]] for space, numbers in chosen.items()}
            parts.append(np.asarray(self.model.recombine(sources)))
        return np.concatenate(parts)


def decode(model: Any, codes: Mapping[str, Array]) -> Array:
    """Decode codes {space: [M,d]} in batches."""
    count = len(next(iter(codes.values())))
    return np.concatenate(
        [
            np.asarray(model.decode({s: c[start : start + _DECODE_ROWS] for s, c in codes.items()}))
            for start in range(0, count, _DECODE_ROWS)
        ]
    )
