"""The errors a user can meet. Each names the file, flag or value, and what would be right."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class UnmingleError(Exception):
    """Base of all errors this library raises on purpose; the command line prints it as one line."""


class DataError(UnmingleError, ValueError):
    """The data cannot be used as they are."""


class ConfigError(UnmingleError):
    """A setting, flag or argument is wrong.

    No `ValueError`: the command line's parser would catch that and print its own usage around it.
    """


class RunError(UnmingleError, RuntimeError):
    """A run folder, checkpoint or saved model cannot be used, or a run cannot start."""


class DivergedError(RunError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


class MissingExtraError(UnmingleError, ImportError):
    """An optional dependency is not installed."""


def nearest(name: str, options: Iterable[str]) -> str:
    """A sentence with the options closest to `name`, or all of them when none is close."""
    options = list(options)
    close = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    if close:
        return " Did you mean " + " or ".join(repr(option) for option in close) + "?"
    if options:
        return " There is: " + ", ".join(options) + "."
    return ""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtraError: naming the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module} is needed here and not installed: pip install 'unmingle[{extra}]'"
        ) from error
