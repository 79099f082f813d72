"""Where items live: memory and disk limits, row views of memory-mapped files, the cache on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unmingle.errors import ConfigError, DataError

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_FORMAT = 2  # raised when decoding changes, so that older caches are written anew
_HEADROOM = 64 * 2**20
_STALE_SECONDS = 24 * 3600
_UNKNOWN = 4 * 2**30  # bytes of memory, where nothing says


def parse_bytes(value: int | float | str, flag: str = "memory_limit") -> int:
    """Bytes from a number or a text such as "4GB", "500 MB" or "1.5GiB" (1 GB is 10⁹, 1 GiB 2³⁰).

    Raises:
        ConfigError: if the text is not a size.
    """
    text = str(value).strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\d+)?)\s*([kmgt]?)(i?)b?", text)
    if match is None:
        raise ConfigError(f"{flag}={value!r} is not a size; write bytes or for instance '4GB'")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit])


def format_bytes(count: int) -> str:
    """A size for people: "5.9 GB", "312 MB", "1.2 kB", "7 B"."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def free_memory() -> int:
    """Bytes of memory that can be used without swapping, the limit of a container included."""
    free = _system_free()
    limited = _cgroup_free()
    return free if limited is None else min(free, limited)


def total_memory() -> int:
    """Bytes of memory of this machine, or of the container; the same at every call."""
    total = _meminfo("MemTotal") or _sysconf("SC_PHYS_PAGES") or _UNKNOWN
    limit = _cgroup("memory.max")
    return total if limit is None else min(total, int(limit))


def _system_free() -> int:
    found = _meminfo("MemAvailable") or _sysconf("SC_AVPHYS_PAGES") or _sysconf("SC_PHYS_PAGES")
    return found or _UNKNOWN


def _meminfo(key: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return None


def _sysconf(pages: str) -> int | None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def _cgroup_free() -> int | None:
    """What the memory controller (containers, batch systems) still allows; None without a limit."""
    limit, stat = _cgroup("memory.max"), _cgroup("memory.stat")
    if limit is None or stat is None:
        return None
    used = dict(line.split() for line in stat.splitlines())
    return max(0, int(limit) - int(used["anon"])) if "anon" in used else None


def _cgroup(name: str) -> str | None:
    """What a file of this process's memory controller says; None without one, or without limit."""
    with contextlib.suppress(OSError):
        group = Path("/proc/self/cgroup").read_text().rsplit("::", 1)[-1].strip()
        text = (Path("/sys/fs/cgroup") / group.lstrip("/") / name).read_text().strip()
        return None if text == "max" else text
    return None


def check_memory(needed: int, what: str) -> None:
    """Refuse before the work starts.

    Raises:
        DataError: if `needed` bytes are more than the free memory.
    """
    free = free_memory()
    if needed > free:
        raise DataError(
            f"{what} needs {format_bytes(needed)} of memory and {format_bytes(free)} are free"
        )


def check_disk(folder: str | os.PathLike[str], needed: int, what: str, hint: str = "") -> None:
    """Refuse before the work starts; `folder` need not exist yet.

    Raises:
        DataError: if `needed` bytes (and a little headroom) are more than the disk has free.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed + _HEADROOM > free:
        raise DataError(
            f"{what} needs {format_bytes(needed + _HEADROOM)} of disk in {folder} and "
            f"{format_bytes(free)} are free{hint and '; ' + hint}"
        )


class RowView:
    """Chosen rows of a memory-mapped array, read when indexed.

    Index it like an array (`view[rows]`, `view[:8]`); `numpy.asarray(view)` reads it all.
    """

    def __init__(self, base: Any, rows: NDArray[np.int64]) -> None:
        self.base = base
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = self.base.dtype
        return found

    @property
    def ndim(self) -> int:
        return int(self.base.ndim)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return np.asarray(self.base[self.rows[key]])
        first, rest = (key[0], key[1:]) if key[0] is not Ellipsis else (slice(None), key)
        block = np.asarray(self.base[self.rows[first]])
        if isinstance(first, (int, np.integer)) or rest[:1] == (Ellipsis,):
            return block[rest]
        return block[(slice(None), *rest)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.base[self.rows], dtype=dtype)

    def __repr__(self) -> str:
        return f"RowView(shape={self.shape}, dtype={self.dtype})"


class Computed(ABC):
    """Rows that are made when they are read; `RowView` treats one as it does a mapped file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Make some rows."""


Items = NDArray[Any] | RowView


def select_items(items: Items, rows: NDArray[np.int64]) -> Items:
    """The rows of `items`: a copy in memory, or a view where the array is memory-mapped."""
    base, chosen = (items.base, items.rows[rows]) if isinstance(items, RowView) else (items, rows)
    if isinstance(base, Computed):
        return RowView(base, chosen)
    if base.size and not any(base.strides):
        return blank((len(chosen), *base.shape[1:]), base.dtype)
    if not isinstance(base, np.memmap):
        return base[chosen]
    first = int(chosen[0])
    if np.array_equal(chosen, np.arange(first, first + len(chosen))):
        return base[first : first + len(chosen)]
    return RowView(base, chosen)


def row_blocks(count: int, row_bytes: int, block_bytes: int = 16 * 2**20) -> Iterator[slice]:
    """Slices that cover `count` rows in pieces of about `block_bytes`."""
    step = max(1, block_bytes // max(1, row_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


@dataclass(frozen=True)
class Filled:
    """What a fill function wrote: the first `rows` rows, and notes (JSON) for the manifest."""

    rows: int
    notes: dict[str, Any] = field(default_factory=dict)


Fill = Callable[[NDArray[Any]], Filled]


class Cache:
    """One decoded array on disk and the manifest that says what it was made from.

    Args:
        folder: Where the two files go; None if the source has no place of its own.
        source: The absolute path read, or a name where the source is not a file.
        options: The settings that change what is decoded (JSON).
        stamp: Paths, sizes and times of the source's files (JSON); called only when needed.
            None means that a change cannot be noticed, so the file is always written anew.
    """

    def __init__(
        self,
        folder: Path | None,
        source: str,
        options: dict[str, Any],
        stamp: Callable[[], Any] | None,
    ) -> None:
        self.folder, self.source, self.options, self.stamp = folder, source, options, stamp
        key = hashlib.sha256(json.dumps([source, options], sort_keys=True).encode()).hexdigest()
        self.stem = re.sub(r"[^\w.-]+", "_", Path(source).name or "data") + f"-{key[:12]}"

    def _file(self, ending: str) -> Path:
        if self.folder is None:
            raise DataError(
                f"{self.source} is larger than the memory limit and has no folder of its own: "
                "give cache= (--cache), a folder for the decoded file, or a larger memory_limit="
            )
        return self.folder / (self.stem + ending)

    def open(self) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """The array (read-only, memory-mapped) and its notes; None if none can be re-used."""
        if self.folder is None or self.stamp is None or not self._file(".json").exists():
            return None
        try:
            manifest = json.loads(self._file(".json").read_text())
            if manifest["made_from"] != self._made_from():
                return None
            items = np.load(self._file(".npy"), mmap_mode="r", allow_pickle=False)
            if list(items.shape) != manifest["shape"]:
                return None
            return items[: manifest["rows"]], manifest["notes"]
        except (OSError, ValueError, KeyError):
            return None

    def _made_from(self) -> dict[str, Any]:
        stamp = None if self.stamp is None else self.stamp()
        made = {
            "format": _FORMAT,
            "source": self.source,
            "options": self.options,
            "stamp": stamp,
        }
        return json.loads(json.dumps(made))  # type: ignore[no-any-return]

    def write(
        self, shape: tuple[int, ...], dtype: DTypeLike, fill: Fill
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Fill a new file and put it in place in one step; a failure leaves nothing behind.

        Raises:
            DataError: if the disk has too little room or the folder cannot be written.
        """
        items, manifest = self._file(".npy"), self._file(".json")
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        hint = "give cache= (--cache) a folder on a larger disk, a smaller size=, or more memory"
        check_disk(items.parent, needed, f"{self.source}: the decoded file", hint)
        # Taken before decoding: a file that changes meanwhile makes the cache stale, never wrong.
        made_from = self._made_from()
        temporary = items.with_name(f"{items.name}.tmp-{os.getpid()}")
        try:
            items.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(items)
            out = _reserve(temporary, shape, dtype)
            filled = fill(out)
            out.flush()
            del out
            manifest.unlink(missing_ok=True)
            _replace(temporary, items)
            content = {"rows": filled.rows, "shape": list(shape), "notes": filled.notes}
            temporary.write_text(json.dumps({**content, "made_from": made_from}, indent=1))
            _replace(temporary, manifest)
        except OSError as error:
            raise DataError(
                f"{items.parent}: cannot write the decoded file ({error}); {hint}"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        opened: NDArray[Any] = np.load(items, mmap_mode="r", allow_pickle=False)
        return opened[: filled.rows], filled.notes


def _reserve(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap[Any, Any]:
    out = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # A sparse file on a disk that fills up would kill the process (SIGBUS) at some later write.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return out


def _replace(temporary: Path, target: Path) -> None:
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())
    os.replace(temporary, target)


def remove_stale(items: Path) -> None:
    """Delete the `<items>.tmp-…` that killed processes left; a younger one may be in the making."""
    for old in items.parent.glob(f"{items.name}.tmp-*"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                old.unlink()


def blank(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Zeros that take no memory (and cannot be written), in place of items that are not read."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def store(
    shape: tuple[int, ...], dtype: DTypeLike, fill: Fill, *, limit: int, cache: Cache
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Fill an array of `shape`, in memory up to `limit` bytes, else in the cache's file."""
    if math.prod(shape) * np.dtype(dtype).itemsize > limit:
        return cache.write(shape, dtype, fill)
    out: NDArray[Any] = np.empty(shape, dtype)
    filled = fill(out)
    return out[: filled.rows], filled.notes


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a temporary file beside `path`, then put it in place in one step.

    Raises:
        DataError: if the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def tracker(label: str, total: int, enabled: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere; yields `advance(count)`."""
    if enabled:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        if console.is_terminal:
            with Progress(console=console, transient=True) as bar:
                task = bar.add_task(label, total=total)
                yield lambda count: bar.advance(task, count)
            return
    yield lambda count: None
