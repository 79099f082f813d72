"""`unmingle data`: describe a data set, or convert it to .npz."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from unmingle.errors import ConfigError, nearest

from ._common import check_output, parse, required, say
from ._data import Reading, keep_values

ABOUT = """\
usage: unmingle data describe|convert ...

What is in a data set, and data sets as one .npz.

  describe  size, factors, values and how evenly they occur
  convert   write it as an .npz that loads quickly

Example:
  unmingle data describe photos/ --size 64
  unmingle data convert photos/ photos.npz --size 64 --fit crop --factors person,pose"""


@dataclass(frozen=True)
class Describe:
    """Flags of `data describe`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Folder of class folders, .npz, .h5, or an embedded data set by name (shapes3d, digits)."""
    reading: Reading


@dataclass(frozen=True)
class Convert:
    """Flags of `data convert`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Folder of class folders, .npz, .h5, or an embedded data set by name (shapes3d, digits)."""
    output: Annotated[tyro.conf.Positional[Path], required("OUTPUT")]
    """The .npz to write."""
    reading: Reading
    overwrite: bool = False
    """Replace OUTPUT if it exists."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    verbs = ("describe", "convert")
    if not argv or argv[0] in ("-h", "--help"):
        print(ABOUT)
        sys.exit(0 if argv else 2)
    if argv[0] not in verbs:
        raise ConfigError(f"data describes or converts, not {argv[0]!r}.{nearest(argv[0], verbs)}")
    describe(argv[1:]) if argv[0] == "describe" else convert(argv[1:])


def describe(argv: Sequence[str]) -> None:
    """Print what is in a data set."""
    args = parse(
        Describe,
        argv,
        "data describe",
        "Size, factors, values and how evenly they occur.",
        "data describe photos/ --size 64",
        "data describe shapes3d --rows 1000",
    )
    print(keep_values(args.reading.load(args.data), args.reading.values).describe())


def convert(argv: Sequence[str]) -> None:
    """Write a data set as .npz."""
    args = parse(
        Convert,
        argv,
        "data convert",
        "Write a data set as an .npz that loads quickly.",
        "data convert photos/ photos.npz --size 64 --fit crop --factors person,pose",
    )
    output = check_output(args.output, (".npz",), args.overwrite)
    data = keep_values(args.reading.load(args.data), args.reading.values)
    output.parent.mkdir(parents=True, exist_ok=True)
    data.save(output, overwrite=args.overwrite)
    say(f"{output}: {len(data):,} rows of {'x'.join(map(str, data.shape))}")
