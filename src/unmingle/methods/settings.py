"""Checks of a method's settings; every message names the flag."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unmingle.errors import ConfigError

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def use_preset(config: Any, presets: Mapping[str, Mapping[str, Any]]) -> None:
    """Give the settings that are None the values of `config.preset`, one of `presets`."""
    for name, value in presets[config.preset].items():
        if getattr(config, name) is None:
            setattr(config, name, value)


def check_types(config: Any) -> None:
    """Hold every field of a dataclass against its annotation; lists become tuples.

    Raises:
        ConfigError: naming the first flag whose value is of another type or not among the choices.
    """
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if not _fits(value, kind):
            choices = _choices(kind)
            if choices:
                raise ConfigError(f"--{flag(name)} {value}: it is {' or '.join(choices)}")
            raise ConfigError(f"--{flag(name)} must be {_words(kind)}, not {value!r}")
        if isinstance(value, list):
            setattr(config, name, tuple(value))


def check_range(
    config: Any,
    names: Iterable[str],
    low: float = 0.0,
    high: float = float("inf"),
    *,
    open_low: bool = False,
) -> None:
    """Refuse numbers outside low <= value < high; of NaN too.

    Args:
        config: the settings.
        names: the fields to look at.
        low, high: the range; `high` itself is outside it.
        open_low: `low` is outside it as well.

    Raises:
        ConfigError: naming the flag and what it may be.
    """
    for name in names:
        value = getattr(config, name)
        if not (low < value < high or (value == low and not open_low)):
            words = f"above {low:g}" if open_low else f"{low:g} or more"
            if high != float("inf"):
                words += f" and below {high:g}"
            raise ConfigError(f"--{flag(name)} must be {words}, not {value}")


def flag(name: str) -> str:
    """A field as the command line spells it."""
    return name.replace("_", "-")


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if kind in (int, float):
        number: Any = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind)


def _choices(kind: Any) -> list[str]:
    """The values of a Literal, also of an optional one."""
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [choice for option in get_args(kind) for choice in _choices(option)]


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _words(next(option for option in inner if option is not types.NoneType))
    if origin is tuple:
        many = _WORDS[inner[0]].removeprefix("a ") + "s"
        return many if inner[-1] is ... else f"{len(inner)} {many}"
    return _WORDS.get(kind, str(kind))
