"""`unmingle train`: train a method on data and leave a run folder."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from unmingle.errors import ConfigError, nearest

from ._common import flag, parse, required, say
from ._data import Reading, Recipe, Splitting, keep_values

C = TypeVar("C")

ABOUT = """\
usage: unmingle train METHOD DATA ...

Train a method on a folder of class folders, an .npz, an .h5, or a data set by name
(unmingle data list). Of such a set, what is not given is as in the paper that trained METHOD
on it.

{methods}

unmingle train METHOD --help shows all flags.

Example:
  unmingle train lord photos/ --size 64 --budget 15min --out runs/a
  unmingle train lord cars3d"""


@dataclass(frozen=True)
class Training:
    """How long and on what to train, and what to leave behind."""

    out: Annotated[Path | None, flag("RUN", "-o", unset="(runs/METHOD-DATA)")] = None
    """The run folder."""
    budget: str = "15min"
    """How long in all: a time (90s, 15min, 2h), steps (5000steps) or epochs (200epochs)."""
    seed: int = 0
    """Seed of everything random."""
    start_from: Annotated[Path | None, flag("RUN")] = None
    """Begin with the networks of a trained run; what it has not starts as usual."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint, with the same flags as before."""
    overwrite: bool = False
    """Replace the run in --out."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: str = "auto"
    """auto, float32 or bf16; auto takes bf16 where the hardware computes in it."""
    compile: bool = False
    """Compile the networks: slow to start, then faster on some machines."""
    checkpoint_every: float = 5.0
    """Minutes between checkpoints."""
    sample_every: float = 2.0
    """Minutes between sample pictures; 0 for none."""
    threads: Annotated[int | None, flag("N")] = None
    """CPU threads."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the extra `tensorboard`)."""
    quiet: bool = False
    """Print nothing but warnings and errors."""

    def check(self) -> None:
        """Look at the settings before any data are read.

        Raises:
            ConfigError: naming the flag.
            RunError: if the run folder is taken.
        """
        from unmingle.training.run import RunFolder
        from unmingle.training.settings import TrainSettings

        settings = {f.name for f in fields(TrainSettings)}
        TrainSettings(**{k: v for k, v in vars(self).items() if k in settings})
        if self.resume or self.overwrite or self.out is None:
            return
        if self.out.is_dir() and any(self.out.iterdir()):
            RunFolder(self.out)


@dataclass(frozen=True)
class Train(Generic[C]):
    """Flags of `train METHOD`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Folder of class folders, .npz, .h5, or a data set by name: unmingle data list."""
    method: C
    training: Training
    reading: Reading
    splitting: Splitting


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    if not argv or argv[0].startswith("-"):
        asked = bool(argv) and argv[0] in ("-h", "--help")
        print(ABOUT.format(methods=_methods()), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    train(*parsed(argv[0], argv[1:]))


def parsed(name: str, flags: Sequence[str]) -> tuple[Any, Train[Any]]:
    """The method's class, and its flags, looked at before any data are read.

    Raises:
        ConfigError: an unknown method, a setting that does not fit.
        RunError: the run folder is taken.
    """
    from unmingle.methods import METHODS

    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}.{nearest(name, METHODS)}")
    kind = METHODS[name]
    args = _placed(name, _parse(kind, flags))
    args.training.check()
    more = _untold(kind, args, flags)
    if more:
        args = _placed(name, _parse(kind, [*flags, *more]))
    return kind, args


def _parse(kind: Any, flags: Sequence[str]) -> Train[Any]:
    args: Train[Any] = parse(
        Train[kind.Config],
        flags,
        f"train {kind.name}",
        _summary(kind),
        *_examples(kind),
    )
    return args


def _placed(name: str, args: Train[Any]) -> Train[Any]:
    """With a run folder, where none is given."""
    if args.training.out is not None:
        return args
    data = Path(os.path.abspath(args.data))
    out = Path("runs", f"{name}-{data.stem if data.is_file() else data.name}")
    return replace(args, training=replace(args.training, out=out))


def _untold(kind: Any, args: Train[Any], flags: Sequence[str]) -> list[str]:
    """The flags of a paper's experiment with the method on a set by name that are not given.

    The scale of the paper is taken where a GPU is. [] where it is told otherwise which rows are
    held out, and where no paper has such an experiment.
    """
    from unmingle.data.catalogue import CATALOGUE, named_set

    asked = args.splitting.test_protocol
    if args.data not in CATALOGUE or replace(args.splitting, test_protocol=None) != Splitting():
        return []
    known = named_set(args.data)
    found = known.experiment(kind.name, asked)
    if found is None:
        return []
    from unmingle.bench.plan import setting_words
    from unmingle.training.hardware import choose_device

    split, experiment = found
    given = {_flag(word) for word in flags if word.startswith("--")}
    words = [*experiment.reading.split(), *setting_words(experiment.settings)]
    if asked is None:
        words += ["--test", "0"] if experiment.all_rows else ["--test-protocol", split]
    gpu = not choose_device(args.training.device).startswith("cpu")
    if gpu and ("preset" not in given or args.method.preset == "paper"):
        words += ["--preset", "paper", *setting_words(experiment.paper)]
        words += ["--budget", experiment.budget] if experiment.budget else []
    more: list[str] = []
    kept = False
    for word in words:
        kept = _flag(word) not in given if word.startswith("--") else kept
        more += [word] if kept else []
    if more and not args.training.quiet:
        small = "" if gpu or "preset" in given else " (without a GPU: preset laptop)"
        say(f"{args.data}, as in {known.splits[split].paper}: {shlex.join(more)}{small}")
    missing = {k: v for k, v in experiment.downloads.items() if _flag(k) not in given}
    if missing and "--preset" in words and not args.training.quiet:
        say(f"the paper's has also, by a download: {shlex.join(setting_words(missing))}")
    return more


def _flag(word: str) -> str:
    """The name of a flag, however it is written."""
    return word.partition("=")[0].lstrip("-").replace("_", "-").removeprefix("no-")


def train(kind: Any, args: Train[Any]) -> None:
    """Read, split, train; the split is recorded, so that other verbs find the held-out rows."""
    whole = args.reading.load(args.data)
    recipe = Recipe(args.data, whole.fingerprint(), args.reading, args.splitting)
    rows, held_out = args.splitting.apply(keep_values(whole, args.reading.values))
    out, quiet = args.training.out, args.training.quiet
    if not quiet:
        apart = "" if held_out is None else f", {len(held_out):,} held out"
        say(f"{args.data}: {len(rows):,} rows of {'x'.join(map(str, rows.shape))}{apart}")
    kind(args.method).fit(rows, info={"recipe": recipe.record()}, **vars(args.training))
    if not quiet:
        say(f"{out}: trained; scores: unmingle evaluate {out} {args.data}")


def _examples(kind: Any) -> list[str]:
    first, *others = kind.examples
    run = f"train {kind.name} {first} --budget 15min --out runs/a"
    return [run, f"{run} --resume", *(f"train {kind.name} {data} --out runs/b" for data in others)]


def _methods() -> str:
    from unmingle.methods import METHODS

    width = max(map(len, METHODS))
    return "\n".join(f"  {name:{width}}  {_summary(kind)}" for name, kind in METHODS.items())


def _summary(kind: Any) -> str:
    """First line of a method's docstring: the paper."""
    return (kind.__doc__ or "").strip().splitlines()[0]
