"""`unmingle data list|get`, and what `describe` says of a data set by name."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import DataError

from ._common import flag, parse, required, say

if TYPE_CHECKING:
    from unmingle.data.sets._base import NamedSet

SHOWN = 8  # columns in a table
_WIDTH = 100
_UNLIMITED = 1000  # columns, where the output is no terminal


@dataclass(frozen=True)
class List:
    """Flags of `data list`."""


@dataclass(frozen=True)
class Get:
    """Flags of `data get`."""

    name: Annotated[tyro.conf.Positional[str], required("NAME")]
    """A data set by name: unmingle data list."""
    folder: Annotated[Path | None, flag("FOLDER", unset="($UNMINGLE_DATA or ~/.cache)")] = None
    """Where its files go."""
    extra: bool = False
    """Also the files that only an option of the set reads, such as svhn's extra part."""


def list_sets(argv: Sequence[str]) -> None:
    """Print the table of all sets."""
    parse(List, argv, "data list", "All data sets that are known by name.", "data list")
    from unmingle.data.catalogue import CATALOGUE, named_set

    entries = [named_set(name) for name in CATALOGUE]
    rows = [("NAME", "ROWS", "SHAPE", "FILES")]
    for entry in entries:
        count = "-" if entry.rows is None else f"{entry.rows:,}"
        rows.append((entry.name, count, entry.shape, _files(entry)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    room = shutil.get_terminal_size((_UNLIMITED, 24)).columns - sum(widths) - 2 * len(widths)
    factors = ["FACTORS", *(_fitting(entry, room) for entry in entries)]
    for row, text in zip(rows, factors, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join([*cells, text]))
    print(
        "\nFILES: here; get: unmingle data get NAME fetches them; ask: unmingle data describe NAME "
        "says where;\nembedded: none are needed. Factors in brackets are continuous."
    )


def _files(entry: NamedSet) -> str:
    if entry.embedded:
        return "embedded"
    return "here" if entry.here() else "get" if entry.downloads else "ask"


def _fitting(entry: NamedSet, room: int) -> str:
    """As many factors as fit in a line, at least one."""
    count = len(entry.factors)
    texts = [factors_of(entry, most) for most in range(count, 0, -1)]
    return next((text for text in texts if len(text) <= room), texts[-1])


def get(argv: Sequence[str]) -> None:
    """Download a set, or say where to ask for it.

    Raises:
        DataError: the set is not to be downloaded, or the download failed.
    """
    args = parse(
        Get,
        argv,
        "data get",
        "Download a data set by name, where its owners allow that; its files are checked by hash.",
        "data get cars3d",
        "data get mnist --folder data/mnist",
        "data get svhn --extra",
    )
    from unmingle.data.catalogue import named_set
    from unmingle.data.sets._download import fetch

    entry = named_set(args.name)
    folder = entry.place(args.folder)
    if not entry.downloads:
        if entry.embedded:
            say(f"{entry.name} is made here: there is nothing to get")
            return
        say(_layout(entry, folder))
        raise DataError(
            f"{entry.name} is not downloaded ({entry.licence}); get it from {entry.url} and lay "
            f"its files out in {folder} as shown above"
        )
    say(f"{entry.title}: {entry.licence}")
    files = fetch(entry, folder, progress=True, extra=args.extra)
    say(f"{folder}: {', '.join(file.name for file in files)}")
    beside = "" if args.folder is None and not entry.embedded else f" --folder {folder}"
    say(f"unmingle data describe {entry.name}{beside}")


def about(entry: NamedSet, folder: Path | None) -> str:
    """What a set is: where it is from, what may be done with it, its splits and traps."""
    lines = _field("factors", factors_of(entry))
    lines += _field("licence", entry.licence) + _field("paper", entry.paper)
    lines += _field("from", entry.url)
    for name, protocol in entry.splits.items():
        lines += _field("split", f"{name}: {protocol.summary} ({protocol.paper})")
        for found in protocol.experiments:
            first = entry.experiment(found.method) == (name, found)
            named = "" if first else f" --test-protocol {name}"
            lines += _field("", f"unmingle train {found.method} {entry.name}{named}")
    for name, default in entry.options().items():
        lines += _field("option", f"{name}={default}")
    for trap in entry.traps:
        lines += _field("trap", trap)
    if not entry.embedded or folder is not None:
        lines += ["", _layout(entry, entry.place(folder))]
        if entry.downloads and not entry.here(folder):
            lines.append(f"unmingle data get {entry.name} downloads them.")
    return "\n".join(lines)


def headline(entry: NamedSet) -> str:
    """What a set holds, whether its files are here or not."""
    count = "" if entry.rows is None else f" {entry.rows:,} rows of"
    text = f"{entry.title}:{count} {entry.shape}; {entry.summary}"
    return "\n".join(textwrap.wrap(text, _WIDTH))


def factors_of(entry: NamedSet, most: int | None = None) -> str:
    """Such as `elevation 4, azimuth 24, model`; continuous columns are in brackets.

    Of more than `most` columns the first of them are shown, and how many are left.
    """
    texts = []
    for name, count in entry.factors.items():
        texts.append(name if count is None else f"({name})" if count == 0 else f"{name} {count:,}")
    if most is not None and len(texts) > most:
        texts[most:] = [f"{len(texts) - most} more"]
    return ", ".join(texts)


def _field(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"  {name:8}  ", subsequent_indent=" " * 12)


def _layout(entry: NamedSet, folder: Path) -> str:
    return f"Its files must lie in {folder} like this:\n" + textwrap.indent(
        textwrap.dedent(entry.layout).strip(), "  "
    )
