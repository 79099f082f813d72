"""The settings of `load_data`, checked once and handed to every reader."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unmingle.cache import cache_folder
from unmingle.data.storage import Cache, free_memory, parse_bytes
from unmingle.errors import ConfigError, nearest

Fit = Literal["resize", "crop", "pad"]
SMALLEST = 16
PIXEL_LIMIT = 64_000_000


@dataclass(frozen=True)
class Geometry:
    """What is done to every image: `size` (H, W) or None, how it is made to fit, the channels."""

    size: tuple[int, int] | None = None
    fit: Fit = "resize"
    channels: int | None = None
    pixel_limit: int = PIXEL_LIMIT

    @property
    def changes(self) -> bool:
        return self.size is not None or self.channels is not None

    def output_shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        """[H, W, C] after the change."""
        height, width = self.size or (height, width)
        return height, width, self.channels or channels


@dataclass(frozen=True)
class ReadOptions:
    """Checked settings; `limit` in bytes."""

    geometry: Geometry = Geometry()
    limit: int = 2**62
    cache: Path | None = None
    skip_bad: bool = False
    factors: tuple[str, ...] | None = None
    name: str | None = None
    progress: bool = False
    pixels: bool = True
    """False: columns alone are wanted; images are `storage.blank`, where they can be."""

    def cache_for(self, source: Path, stamp: Callable[[], Any], **more: Any) -> Cache:
        """The cache of a file or folder: in `cache`, by default in a hidden folder beside it.

        Where nothing can be written beside it, it is in the user's cache folder. `more` are
        settings of one reader that change what is decoded.
        """
        source = source.resolve()
        beside = source.parent / f".{source.name}.unmingle"
        writable = os.access(beside if beside.is_dir() else source.parent, os.W_OK)
        return Cache(
            self.cache or (beside if writable else cache_folder() / "decoded"),
            str(source),
            self.decoding() | more,
            stamp,
        )

    def decoding(self) -> dict[str, Any]:
        """The settings that change which pixels come out."""
        geometry = self.geometry
        return {
            "size": geometry.size,
            "fit": geometry.fit,
            "channels": geometry.channels,
            "pixel_limit": geometry.pixel_limit,
            "skip_bad": self.skip_bad,
        }


def read_options(
    *,
    size: int | Sequence[int] | None = None,
    fit: str | None = "resize",
    channels: int | None = None,
    memory_limit: int | str | None = None,
    cache: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    factors: Sequence[str] | None = None,
    pixel_limit: int = PIXEL_LIMIT,
    name: str | None = None,
    progress: bool = False,
) -> ReadOptions:
    """Check the settings of `load_data`.

    Raises:
        ConfigError: naming the setting and what it may be.
    """
    if isinstance(factors, str):
        factors = factors.split(",")
    if channels not in (None, 1, 2, 3, 4):
        raise ConfigError(
            f"channels={channels!r}: 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA)"
        )
    if pixel_limit < 1:
        raise ConfigError(f"pixel_limit={pixel_limit}: a number of pixels, at least 1")
    pair = _size(size)
    return ReadOptions(
        geometry=Geometry(pair, _fit(fit, pair), channels, int(pixel_limit)),
        limit=free_memory() // 2 if memory_limit is None else parse_bytes(memory_limit),
        cache=None if cache is None else Path(cache),
        skip_bad=skip_bad,
        factors=None if factors is None else tuple(factors),
        name=name,
        progress=progress,
    )


def warn_skipped(where: object, entries: Sequence[str], count: int, level: int = 5) -> None:
    """Warn the caller of `load_data` of what was left out, with the first few reasons."""
    if entries:
        shown = "; ".join(entries[:5]) + ("; …" if len(entries) > 5 else "")
        warnings.warn(f"{where}: skipped {len(entries)} of {count}: {shown}", stacklevel=level)


def _size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = list(size) if isinstance(size, Sequence) else [size, size]
    if len(pair) != 2 or any(not hasattr(side, "__index__") or side < SMALLEST for side in pair):
        raise ConfigError(f"size={size!r}: one number or (height, width), each at least {SMALLEST}")
    return int(pair[0]), int(pair[1])


def _fit(fit: str | None, size: tuple[int, int] | None) -> Fit:
    if fit is None or fit == "resize":
        return "resize"
    if fit not in ("crop", "pad"):
        raise ConfigError(f"fit={fit!r}: resize, crop or pad.{nearest(fit, ['crop', 'pad'])}")
    if size is None:
        raise ConfigError(f"fit={fit!r} needs size= (--size), the size to {fit} to")
    return "crop" if fit == "crop" else "pad"
