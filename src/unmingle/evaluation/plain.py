"""Results as plain JSON values and back."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """JSON values of dataclasses, arrays, mappings and sequences; None if not finite."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):
        return to_plain(value.tolist())
    return str(value)


def rebuild(kind: type[T], plain: Mapping[str, Any]) -> T:
    """The dataclass `kind` from what `to_plain` made of it.

    Fields that are missing take their defaults, so that files of earlier versions can be read.
    A number that was not finite comes back as NaN.

    Raises:
        TypeError: a field too many, or one without a default missing.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(plain) - set(hints))
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {unknown[0]!r}")
    return kind(**{name: _value(hints[name], entry) for name, entry in plain.items()})


def _value(hint: Any, plain: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if plain is None:
            return None
        return _value(next(part for part in inner if part is not type(None)), plain)
    if hint is float:
        return math.nan if plain is None else float(plain)
    if dataclasses.is_dataclass(hint):
        return rebuild(typing.cast(type[Any], hint), plain)
    if origin is list:
        return [_value(inner[0], entry) for entry in plain]
    if origin is dict:
        return {key: _value(inner[1], entry) for key, entry in plain.items()}
    return plain
