"""`unmingle data`: the data sets known by name, what is in a data set, and conversion to .npz."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import ConfigError, nearest

from ._catalogue import about, get, headline, list_sets
from ._common import check_output, parse, required, say
from ._data import Reading, keep_values

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.data.sets._base import NamedSet

ABOUT = """\
usage: unmingle data list|get|describe|convert|edges ...

Data sets by name, what is in a data set, and data sets as one .npz.

  list      all data sets known by name
  get       download one of them, or say where to ask for it
  describe  size, factors, values and how evenly they occur; licence, splits and traps of known ones
  convert   write it as an .npz that loads quickly
  edges     write images and their edge maps as one .npz

Example:
  unmingle data get cars3d
  unmingle data describe photos/ --size 64
  unmingle data convert photos/ photos.npz --size 64 --fit crop --factors person,pose"""


@dataclass(frozen=True)
class Describe:
    """Flags of `data describe`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Folder of class folders, .npz, .h5, or a data set by name: unmingle data list."""
    reading: Reading


@dataclass(frozen=True)
class Convert:
    """Flags of `data convert`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Folder of class folders, .npz, .h5, or a data set by name: unmingle data list."""
    output: Annotated[tyro.conf.Positional[Path], required("OUTPUT")]
    """The .npz to write."""
    reading: Reading
    overwrite: bool = False
    """Replace OUTPUT if it exists."""


@dataclass(frozen=True)
class Edges(Convert):
    """Flags of `data edges`."""

    column: str = "domain"
    """Name of the new factor column, whose values are picture and edges."""
    sigma: float = 1.0
    """Width in pixels of the smoothing before edges are looked for."""

    def __post_init__(self) -> None:
        if not 0 < self.sigma < float("inf"):
            raise ConfigError(f"--sigma {self.sigma:g}: a width in pixels, above 0")


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    verbs = {
        "list": list_sets,
        "get": get,
        "describe": describe,
        "convert": convert,
        "edges": edges,
    }
    if not argv or argv[0] in ("-h", "--help"):
        print(ABOUT)
        sys.exit(0 if argv else 2)
    if argv[0] not in verbs:
        hint = nearest(argv[0], verbs)
        raise ConfigError(
            f"data lists, gets, describes, converts or finds edges, not {argv[0]!r}.{hint}"
        )
    verbs[argv[0]](argv[1:])


def describe(argv: Sequence[str]) -> None:
    """Print what is in a data set."""
    args = parse(
        Describe,
        argv,
        "data describe",
        "Size, factors, values and how evenly they occur.",
        "data describe photos/ --size 64",
        "data describe shapes3d --draw 1000",
        "data describe cars3d",
    )
    from unmingle.data.catalogue import CATALOGUE, named_set

    entry = named_set(args.data) if args.data in CATALOGUE else None
    if entry is None:
        print(keep_values(args.reading.load(args.data), args.reading.values).describe())
        return

    folder = None if args.reading.folder is None else Path(args.reading.folder)
    # Reading files may take minutes or fail; what is known without them is told first.
    found = _described(entry, args.reading) if entry.embedded else None
    print(f"{headline(entry)}\n{about(entry, folder)}", flush=True)
    if found is not None or entry.here(folder):
        print(f"\n{found or _described(entry, args.reading)}")


def _described(entry: NamedSet, reading: Reading) -> str:
    """How many rows a set by name has here, and its columns; pictures are not decoded for that."""
    from unmingle.data.summary import describe_columns

    data = keep_values(reading.load_columns(entry.name), reading.values)
    kind = "images" if data.is_images else "vectors"
    known = entry.shape != "any" or reading.size is not None
    of = f" of {'x'.join(map(str, data.shape))}" if known else ""
    return "\n".join([f"{data.name}: {len(data):,} {kind}{of}", *describe_columns(data)])


def convert(argv: Sequence[str]) -> None:
    """Write a data set as .npz."""
    args = parse(
        Convert,
        argv,
        "data convert",
        "Write a data set as an .npz that loads quickly.",
        "data convert photos/ photos.npz --size 64 --fit crop --factors person,pose",
    )
    check_output(args.output, (".npz",), args.overwrite)
    _write(args, keep_values(args.reading.load(args.data), args.reading.values))


def edges(argv: Sequence[str]) -> None:
    """Write images and their edge maps as .npz."""
    args = parse(
        Edges,
        argv,
        "data edges",
        "Write images and their edge maps as one .npz: first all pictures, then all edge maps.",
        "data edges shoes/ shoes.npz --size 64",
    )
    from unmingle.data.edges import with_edges

    check_output(args.output, (".npz",), args.overwrite)
    data = keep_values(args.reading.load(args.data), args.reading.values)
    _write(args, with_edges(data, args.column, args.sigma))


def _write(args: Convert, data: FactorDataset) -> None:
    args.output.parent.mkdir(parents=True, exist_ok=True)
    data.save(args.output, overwrite=args.overwrite)
    say(f"{args.output}: {len(data):,} rows of {'x'.join(map(str, data.shape))}")
