"""The command line: finds the verb's module and hands it the rest. Each verb parses its own flags.

Nothing heavy is imported here, so that `unmingle --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from . import __version__
from .errors import UnmingleError, nearest

# verb -> what it does; the module is unmingle.commands.<verb> and has `run(argv)`.
VERBS = {
    "demo": "train on embedded data for a few minutes: a picture and a table of scores",
    "train": "train a method on your data",
    "recombine": "put codes of different images together, as files or folders",
    "grid": "a picture of swaps: rows keep one code, columns another",
    "encode": "write the codes of images to an .npz",
    "sample": "draw codes, all or some, and decode them",
    "interpolate": "a grid between two images, one direction a code space",
    "traverse": "what each direction of a code does, as a picture or an animation",
    "retrieve": "the nearest images in one code space",
    "views": "one image in many views, as a picture or a GIF",
    "evaluate": "scores on held-out images: transfer, leakage, reconstruction",
    "compare": "runs side by side on the same rows, and who is better beyond the spread",
    "report": "one HTML file on a run: data, curves, pictures, scores",
    "bench": "the tables of the papers: train, score, and write beside the published figures",
    "data": "data sets by name: list, get; describe any, or convert it to .npz",
}

USAGE = """\
usage: unmingle VERB ...

Take images apart into factors and put them together again.

{verbs}

unmingle VERB --help shows the flags of a verb and an example; unmingle --version the version.

Example:
  unmingle demo
  unmingle train lord photos/ --class-factor person --budget 15min --out runs/a
  unmingle recombine runs/a --take class=x.png --take content=y.png -o z.png"""


def usage() -> str:
    """The table of verbs that `unmingle --help` prints."""
    width = max(map(len, VERBS))
    return USAGE.format(verbs="\n".join(f"  {verb:{width}}  {VERBS[verb]}" for verb in VERBS))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    0: done; 2: a mistake in what was asked, told in one line on stderr; 130: interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"unmingle {__version__}")
        return 0
    verb = args[0]
    if verb not in VERBS:
        return _fail(f"there is no verb {verb!r}.{nearest(verb, VERBS)}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            importlib.import_module(f"unmingle.commands.{verb}").run(args[1:])
        sys.stdout.flush()
    except (UnmingleError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader (`| head`) has seen enough; keep Python from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    _line(message)
    return 2


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning is for the person at the keyboard: without the place in the code."""
    _line(str(message))


def _line(message: str) -> None:
    print("unmingle: " + " ".join(message.split()), file=sys.stderr)
