"""What a named data set is, where its files lie, and how it is split."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
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
    extra: bool = False
    """Whether the set is whole without it: only an option of the set reads it."""

    def __post_init__(self) -> None:
        if (self.sha256 is None) == (self.md5 is None):
            raise ConfigError(f"{self.file}: exactly one of sha256 and md5 is needed")


@dataclass(frozen=True)
class Experiment:
    """What was trained on a split of the set for a paper: settings of `unmingle train`."""

    method: str
    """As the command line names it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the method is told of these data, at any scale."""
    reading: str = ""
    """Flags that say how the set is read."""
    paper: Mapping[str, Any] = field(default_factory=dict)
    """Further settings at the scale of the paper, beside the preset of that name."""
    downloads: Mapping[str, Any] = field(default_factory=dict)
    """Those of them that fetch something, which nobody gets without asking."""
    budget: str = ""
    """How long the paper trained."""
    all_rows: bool = False
    """Whether it was trained on the rows that are held out from others too."""


@dataclass(frozen=True)
class Protocol:
    """How a paper splits the set: what it holds out, and the function that does so."""

    summary: str
    paper: str
    apply: Callable[[FactorDataset], tuple[FactorDataset, FactorDataset]]
    """(train, test); each row in exactly one, or in none where the paper leaves rows out."""
    identity: str = ""
    """The factor that the paper takes as the class; "a,b" crosses two."""
    rest: str = ""
    """The factor that is everything else; "" where the set does not name it."""
    experiments: tuple[Experiment, ...] = ()
    """What was trained on this split, the paper's own method first."""

    def experiment(self, method: str) -> Experiment | None:
        """What was trained by that method; None if nothing was."""
        return next((found for found in self.experiments if found.method == method), None)


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
        """Whether the set's folder holds something; an embedded set is always here.

        Archives that are still to be unpacked do not count: the set is not read from them.
        """
        if self.embedded and folder is None:
            return True
        where = self.place(folder)
        archives = {item.file for item in self.downloads if item.unpack}
        return where.is_dir() and any(
            not entry.name.startswith(".") and entry.name not in archives
            for entry in os.scandir(where)
        )

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

    def experiment(self, method: str, split: str | None = None) -> tuple[str, Experiment] | None:
        """A named split that a method was trained on for a paper, and how; None if there is none.

        Args:
            method: as the command line names it.
            split: look at this one alone; else the first that has something of the method.
        """
        for name, protocol in self.splits.items():
            found = protocol.experiment(method)
            if found is not None and split in (None, name):
                return name, found
        return None

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
