"""`unmingle bench`: the tables of the papers, trained and scored here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unmingle.errors import ConfigError, RunError, nearest

from ._common import flag, parse, required, say


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Flags of `bench`."""

    name: Annotated[tyro.conf.Positional[str], required("NAME")]
    """The table; unmingle bench lists all."""
    out: Annotated[Path, flag("FOLDER", "-o")] = Path("bench")
    """Where runs, scores and tables go; what is done there is not done again."""
    data: Annotated[Path | None, flag("FOLDER")] = None
    """Where sprites.npz, chairs.npz and cmu_faces.npz are, or folders of pictures of these names;
    for the scale laptop."""
    scale: Literal["auto", "laptop", "paper"] = "auto"
    """paper: published data, the preset paper, the paper's epochs. laptop: minutes a run on data
    that are at hand. auto: paper where data for it and a GPU are there."""
    budget: str | None = None
    """Another budget for every run: a time, steps or epochs."""
    seeds: int = 3
    """Seeds 0, 1, … of every run."""
    only: Annotated[tuple[str, ...], flag("ROW")] = ()
    """Only these rows of the table; --dry-run names them all."""
    dry_run: bool = False
    """Print the commands, the budget in all, and which data are there; do nothing."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    threads: Annotated[int | None, flag("N")] = None
    """CPU threads."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    from unmingle.bench import TABLES

    if not argv:
        print(listing())
        return
    args = parse(
        Bench,
        argv,
        "bench",
        f"A table of a paper, trained and scored here, beside the paper's figures.\n\n{listing()}",
        "bench lord-table3 --dry-run",
        "bench lord-table3 --data sets/ --seeds 1",
        "bench robust-table1 --budget 2min --only robust-adaptive robust-adversarial",
    )
    if args.name not in TABLES:
        raise ConfigError(f"there is no table {args.name!r}.{nearest(args.name, TABLES)}")
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {args.seeds}")
    if args.data is not None and not args.data.is_dir():
        raise ConfigError(f"--data {args.data} is no folder")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out {args.out} is a file; a bench needs a folder")
    from unmingle.bench.place import Place
    from unmingle.bench.runner import bench, chosen, outline, scale_of, total, with_budget
    from unmingle.training.settings import TrainSettings

    TrainSettings(device=args.device, threads=args.threads)  # refuses what is out of range
    table = with_budget(TABLES[args.name], args.budget)
    place = Place(args.out, args.data, args.device, args.threads)
    scale = scale_of(table, args.scale, place)
    runs, missing = chosen(table, scale, place, args.seeds, args.only)
    if args.dry_run:
        print("\n".join(outline(table, runs, missing, place)))
        return
    from unmingle.training.hardware import choose_device

    choose_device(args.device)  # refused here, and not run by run
    for text in missing:
        say(f"left out: {text}")
    if not runs:
        why = "no data are there" if missing else "these rows are not measured"
        other = "; --scale laptop needs none of them" if missing and scale == "paper" else ""
        raise ConfigError(f"{table.name}: {why} at the scale {scale}{other}")
    say(f"{table.name} at the scale {scale}: {len(runs)} runs, {total([r.budget for r in runs])}")
    try:
        file, _, failed = bench(table, runs, place)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        raise
    print(file.read_text(), end="")
    say(f"{file}: the table")
    if failed:
        count = f"{len(failed)} of {len(runs)} runs"
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise RunError(f"{count} were left out (the same command tries them again): {reasons}")


def listing() -> str:
    """All tables, a line each."""
    from unmingle.bench import TABLES

    width = max(map(len, TABLES))
    return "\n".join(f"  {name:{width}}  {table.title}" for name, table in TABLES.items())
