"""What a named data set is, where its files lie, and what the readers of the sets share."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.files import read_items
from unmingle.data.folders import listing_stamp, read_pictures
from unmingle.data.options import ReadOptions, warn_skipped
from unmingle.data.storage import Items, select_items
from unmingle.errors import ConfigError, DataError, nearest

HOME = "UNMINGLE_DATA"
_SHARED = ("folder", "rows", "seed", "size", "fit", "channels", "factors", "name")


@dataclass(frozen=True)
class Download:
    """A file that may be fetched; exactly one hash is set."""

    url: str
    file: str
    """Its name in the set's folder."""
    sha256: str | None = None
    md5: str | None = None
    bytes: int | None = None
    """Its size, where known; more is not taken."""
    unpack: bool = False
    """Whether it is a tar archive, also compressed, whose files the set reads."""

    def __post_init__(self) -> None:
        if (self.sha256 is None) == (self.md5 is None):
            raise ConfigError(f"{self.file}: exactly one of sha256 and md5 is needed")


@dataclass(frozen=True)
class Protocol:
    """How a paper splits the set: what it holds out, and the function that does so."""

    summary: str
    paper: str
    apply: Callable[[FactorDataset], tuple[FactorDataset, FactorDataset]]
    """(train, test); each row in exactly one, or in none where the paper leaves rows out."""


@dataclass(frozen=True)
class NamedSet:
    """A published data set: what it holds, where it comes from, and how its files are read."""

    name: str
    title: str
    summary: str
    """One line."""
    rows: int | None
    """How many the whole set has; None if that depends."""
    shape: str
    """Such as "128x128x3" or "25x3 joints"."""
    factors: Mapping[str, int | None]
    """Columns and how many values each has: None for as many as found, 0 for a continuous one."""
    licence: str
    paper: str
    url: str
    """Where the files are, or where to ask for them."""
    layout: str
    """How the files must lie in the folder; several lines."""
    read: Callable[..., FactorDataset]
    """`read(folder, options, *, rows=None, seed=0, **own)`."""
    traps: tuple[str, ...] = ()
    """Known traps and how they are handled, one sentence each."""
    downloads: tuple[Download, ...] = ()
    """Empty where the licence, the size or a form stands in the way."""
    splits: Mapping[str, Protocol] = field(default_factory=dict)
    embedded: bool = False
    """Made or shipped here: no folder is needed."""

    def place(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """The set's folder: the one given, `$UNMINGLE_DATA/<name>`, `~/.cache/unmingle/data/…`."""
        if folder is not None:
            return Path(folder).expanduser()
        home = os.environ.get(HOME)
        base = Path(home) if home else Path("~/.cache/unmingle/data")
        return base.expanduser() / self.name

    def here(self, folder: str | os.PathLike[str] | None = None) -> bool:
        """Whether the set's folder holds something; an embedded set is always here."""
        if self.embedded and folder is None:
            return True
        where = self.place(folder)
        return where.is_dir() and any(not e.name.startswith(".") for e in os.scandir(where))

    def options(self) -> dict[str, Any]:
        """The set's own options of `load`, with their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.read).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in ("rows", "seed")
        }

    def load(
        self,
        options: ReadOptions,
        folder: str | os.PathLike[str] | None = None,
        *,
        rows: Any = None,
        seed: int = 0,
        **own: Any,
    ) -> FactorDataset:
        """Read the set from its folder.

        Args:
            options: the checked settings of `load_data`.
            folder: where its files are; see `place`.
            rows: None for all, a number drawn without repetition, or an array of row numbers.
            seed: of that draw.
            own: what `options()` names.

        Raises:
            DataError: the files are not there or not as they should be; the message says how to
                get them.
            ConfigError: an option that the set does not have, or of another kind than its default.
        """
        known = self.options()
        for name, value in own.items():
            if name not in known:
                hint = nearest(name, [*known, *_SHARED])
                raise ConfigError(f"data set {self.name!r}: there is no option {name!r}.{hint}")
            _check_kind(value, known[name], f"data set {self.name!r}: {name}={value!r}")
        where = None if self.embedded and folder is None else self.place(folder)
        if where is not None and not self.embedded and not self.here(where):
            raise missing(self, where, "file" if where.is_dir() else "")
        data = self.read(where, options, rows=rows, seed=seed, **own)
        data.origin = self.name
        return data

    def split(self, data: FactorDataset, name: str) -> tuple[FactorDataset, FactorDataset]:
        """(train, test) as the named protocol has them.

        Raises:
            ConfigError: there is no such protocol; the known ones are named.
        """
        if name not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise ConfigError(f"{self.name} has no split {name!r}; its named splits: {known}")
        return self.splits[name].apply(data)


def _check_kind(value: Any, default: Any, what: str) -> None:
    kinds = ((bool, bool, "true or false"), (int, (int, np.integer), "a whole number"))
    for kind, accepted, wanted in (*kinds, (str, str, "a text")):
        if isinstance(default, kind):
            # True counts as a whole number elsewhere.
            if not isinstance(value, accepted) or isinstance(value, bool) != (kind is bool):
                raise ConfigError(f"{what}: {wanted} is expected")
            return


def missing(entry: NamedSet, folder: Path, what: str = "") -> DataError:
    """The error for files that are not there: what, where it was looked for, how to get it."""
    lacks = f"there is no {what} in {folder}" if what else f"there is no folder {folder}"
    how = (
        f"unmingle data get {entry.name} downloads it"
        if entry.downloads
        else f"it is to be had at {entry.url}"
    )
    return DataError(
        f"{entry.name}: {lacks}; {how}, unmingle data describe {entry.name} shows how its files "
        f"must lie; another folder is given by folder= (--folder) or ${HOME}"
    )


def need(entry: NamedSet, folder: Path, *names: str) -> Path:
    """The first of `names` (paths inside the folder; other spellings of one) that exists.

    Raises:
        DataError: none does; the message says how to get them.
    """
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise missing(entry, folder, " or ".join(names))


def held_out(
    data: FactorDataset, test: NDArray[np.bool_], what: str
) -> tuple[FactorDataset, FactorDataset]:
    """(train, test) by a mask [N] of the rows held out; for `Protocol.apply`.

    Raises:
        DataError: one of the two would be empty, as where only some rows were read.
    """
    mask = np.asarray(test, np.bool_)
    for part, empty in (("train on", mask.all()), ("hold out", not mask.any())):
        if empty:
            raise DataError(f"{data.name}: {what} leaves no row to {part}, of the {len(data)} read")
    return data.select(~mask), data.select(mask)


def by_values(factor: str, values: Sequence[int], what: str) -> Callable[..., Any]:
    """A function for `Protocol.apply` that holds out all rows of some values of a factor."""

    def apply(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
        return held_out(data, np.isin(data.factor(factor), np.asarray(values)), what)

    return apply


def by_drawn_values(factor: str, count: int, what: str) -> Callable[..., Any]:
    """A function for `Protocol.apply` that holds out `count` values of a factor, drawn once.

    Papers that draw them say how many and not which; the draw depends on nothing but how many
    values the factor has.
    """

    def apply(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
        drawn = np.random.default_rng(0).permutation(data.cardinality(factor))[:count]
        return held_out(data, np.isin(data.factor(factor), drawn), f"the split {what}")

    return apply


# Items


def read_picture_files(
    folder: Path,
    files: Sequence[str | PurePath],
    options: ReadOptions,
    *,
    name: str,
    factors: Mapping[str, Any],
    value_names: Mapping[str, Sequence[str]] | None = None,
    continuous: Mapping[str, Any] | None = None,
    ids: Any = None,
    boxes: Any = None,
) -> FactorDataset:
    """A list of picture files as a data set; decoded once, memory-mapped above the limit.

    Args:
        folder: The set's folder; the cache lies beside it unless the options say where.
        files: N paths relative to `folder`; one may come more than once.
        options: Size, fit, channels, skipping, the memory limit.
        name: Of the data set.
        factors, value_names, continuous, ids: Columns of N values, as `FactorDataset` takes them.
        boxes: int [N, 4], what is cut out of each picture before it is brought to `size`: left,
            top, right, bottom in pixels, the last two not included.

    Raises:
        DataError: naming a file that is damaged, missing or of another size than the others.
    """
    paths = [PurePath(file) for file in files]
    if not paths:
        raise DataError(f"{name}: no picture is left to read in {folder}")
    for path in dict.fromkeys(paths):
        if not (folder / path).is_file():
            raise DataError(f"{name}: {folder / path} is listed and not there")
    cut = None if boxes is None else np.ascontiguousarray(boxes, np.int64).reshape(-1, 4)
    listing = hashlib.sha256("\n".join(map(str, paths)).encode())
    listing.update(b"" if cut is None else cut.tobytes())
    unique = list(dict.fromkeys(paths))
    cache = options.cache_for(
        folder, lambda: listing_stamp(folder, unique), listing=listing.hexdigest()
    )
    items, skipped = read_pictures(folder, folder, paths, options, cache, cut)
    entries = [f"{paths[row]}: {reason}" for row, reason in skipped.items()]
    warn_skipped(folder, entries, len(paths), level=7)
    kept = np.array([row for row in range(len(paths)) if row not in skipped], np.int64)
    row_ids = np.arange(len(paths)) if ids is None else np.asarray(ids)
    return FactorDataset(
        images=items,
        factors={key: np.asarray(column)[kept] for key, column in factors.items()},
        value_names=value_names,
        continuous={key: np.asarray(column)[kept] for key, column in (continuous or {}).items()},
        ids=row_ids[kept],
        name=name,
        files=[paths[row].as_posix() for row in kept],
        skipped=entries,
    )


class _Chosen:
    """A `Table` of one array, `images`: some rows of an array that comes in blocks."""

    def __init__(
        self,
        shape: tuple[int, ...],
        blocks: Callable[[], Iterator[NDArray[Any]]],
        rows: NDArray[np.int64],
    ) -> None:
        self.shape, self.pieces, self.rows = shape, blocks, rows

    def keys(self) -> list[str]:
        return ["images"]

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        return (len(self.rows), *self.shape), np.dtype(np.uint8)

    def read(self, key: str) -> NDArray[Any]:
        return np.concatenate(list(self.blocks(key)))

    def loaded(self, key: str) -> Items | None:
        return None

    def blocks(self, key: str) -> Iterator[NDArray[Any]]:
        start = taken = 0
        for block in self.pieces():
            until = int(np.searchsorted(self.rows, start + len(block)))
            if until > taken:
                yield block[self.rows[taken:until] - start]
            start, taken = start + len(block), until
            if taken == len(self.rows):
                return


def read_image_blocks(
    folder: Path,
    files: Sequence[str | PurePath],
    shape: tuple[int, ...],
    blocks: Callable[[], Iterator[NDArray[Any]]],
    rows: NDArray[np.int64],
    options: ReadOptions,
) -> Items:
    """Images of a large array file, read piece by piece; memory-mapped above the limit.

    Args:
        folder: The set's folder; the cache lies beside it unless the options say where.
        files: The files the blocks come from, relative to `folder`; a change is noticed.
        shape: (H, W) or (H, W, C) of one image.
        blocks: Gives the array uint8 [N, *shape] from its beginning in pieces along the first axis.
        rows: int64 [M], the row numbers wanted, each once.
        options: Size, fit, channels, the memory limit.

    Returns:
        uint8 [M, H, W, C] in the order of `rows`.
    """
    paths = [PurePath(file) for file in files]
    order = np.sort(rows)
    digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
    named = folder if len(paths) > 1 else folder / paths[0]
    cache = options.cache_for(
        named,
        lambda: listing_stamp(folder, paths),
        rows=digest,
        files=[path.as_posix() for path in paths],
    )
    table = _Chosen(shape, blocks, order)
    items = read_items(table, "images", str(named), options, cache)
    back = np.searchsorted(order, rows)
    return items if np.array_equal(order, rows) else select_items(items, back)
