"""`unmingle compare`: several runs on the same rows, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unmingle.errors import ConfigError

from ._common import check_output, flag, parse, required, say
from ._data import Part, Reading, Recipe, Rows, rows_for
from ._scoring import Scoring, reading_words, told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unmingle.data import FactorDataset
    from unmingle.evaluation.compare import Entry
    from unmingle.methods import Method


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Flags of `compare`."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], required("RUN")]
    """Run folders, or scores that `evaluate --json` wrote (.json)."""
    data: Annotated[str | None, flag("DATA", unset="(what the runs were trained on)")] = None
    """The data to score runs on; rows held out by all of them are used."""
    group: bool = False
    """Runs that differ in nothing but their seed are one column: mean and spread."""
    reading: Reading
    scoring: Scoring
    json: Annotated[Path | None, flag("FILE")] = None
    """Also write the comparison here."""
    output: Annotated[Path | None, flag("FILE", "-o")] = None
    """Also write the table here, as Markdown (.md)."""
    overwrite: bool = False
    """Replace what is written if it exists."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Compare,
        argv,
        "compare",
        "Runs side by side on the same test rows: one table with 95 % intervals, and who is better "
        "beyond the spread.",
        "compare runs/a runs/b --data photos/",
        "compare runs/a-0 runs/a-1 runs/b-0 runs/b-1 --group --role content=pose -o table.md",
        "compare a.json b.json",
    )
    if len(args.runs) < 2:
        raise ConfigError("compare needs two runs or more, as in unmingle compare runs/a runs/b")
    for path, ending, name in ((args.json, ".json", "--json"), (args.output, ".md", "--output")):
        if path is not None:
            check_output(path, (ending,), args.overwrite, name)
    _refuse_unused(args)
    from unmingle.evaluation.compare import Entry, compare
    from unmingle.evaluation.output import write_file
    from unmingle.evaluation.scores import Scores

    names = _names(args.runs)
    entries: dict[str, Entry] = {}
    for name, path in names.items():
        if path.suffix.lower() == ".json":
            entries[name] = Entry(name, Scores.load(path))
    entries |= _scored(args, {n: path for n, path in names.items() if n not in entries})
    found = compare([entries[n] for n in names], group=args.group, seed=args.scoring.seed)
    print(found.table())
    if args.json is not None:
        found.save(args.json, overwrite=args.overwrite)
        say(f"{args.json}: the comparison")
    if args.output is not None:
        write_file(args.output, found.markdown().encode(), overwrite=args.overwrite)
        say(f"{args.output}: the table")


def _refuse_unused(args: Compare) -> None:
    """Stored scores are compared as they are.

    Raises:
        ConfigError: naming a flag that says how runs are scored, if there is no run to score.
    """
    if any(path.suffix.lower() != ".json" for path in args.runs):
        return
    unused = [*([] if args.data is None else ["--data"]), *args.scoring.flags()]
    unused += reading_words(args.reading)[:1]
    unused += [] if args.device == "auto" else ["--device"]
    if unused:
        raise ConfigError(
            f"{unused[0]} says how runs are scored, and stored scores are compared as they are; "
            "give the run folders to score them now"
        )


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Short names: the last part of each path, or the whole path where that is not enough."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("a run is given twice: " + ", ".join(map(str, paths)))
    short = [path.stem if path.suffix.lower() == ".json" else path.resolve().name for path in paths]
    return {
        (name if short.count(name) == 1 else str(path)): path
        for name, path in zip(short, paths, strict=True)
    }


def _scored(args: Compare, folders: dict[str, Path]) -> dict[str, Entry]:
    """Runs scored on rows that all of them have."""
    if not folders:
        return {}
    from unmingle.evaluation.compare import Entry
    from unmingle.evaluation.measures import row_values
    from unmingle.methods import load
    from unmingle.training.hardware import choose_device

    device = choose_device(args.device)
    models: dict[str, Method] = {name: load(folder) for name, folder in folders.items()}
    for model in models.values():
        args.scoring.check(model)
    source = args.data or _source(models)
    given = told(source, args.reading, args.scoring.part)
    views: dict[str, Rows] = {}
    for name, model in models.items():
        found = rows_for(model, source, args.reading)
        views[name] = next((view for view in views.values() if _alike(view, found)), found)
    test_ids, train_ids = _common(views, args.scoring.part)
    entries = {}
    for name, model in models.items():
        say(f"{name}:")
        model.network.to(device)
        test = _chosen(views[name], test_ids)
        train = None if train_ids is None else _chosen(views[name], train_ids)
        scores = args.scoring.score(model, test, train, device, given)
        say("the single rows behind the means")
        truth = [] if train is None else [train]
        entries[name] = Entry(
            name, scores, row_values(model, test, scores, truth=truth, device=device)
        )
        model.network.to("cpu")
    return entries


def _source(models: dict[str, Method]) -> str:
    """The data that all runs were trained on.

    Raises:
        ConfigError: if they differ, or are not known.
    """
    sources = {
        name: recipe.source if (recipe := Recipe.of(model)) is not None else None
        for name, model in models.items()
    }
    known = set(sources.values())
    if len(known) == 1 and (source := known.pop()) is not None:
        return source
    told = ", ".join(f"{name}: {source or 'not recorded'}" for name, source in sources.items())
    raise ConfigError(f"name the data to compare on with --data DATA; trained on: {told}")


def _alike(a: Rows, b: Rows) -> bool:
    """Whether two runs see the same rows, so that one copy in memory serves both."""

    def prints(rows: Rows) -> list[str | None]:
        parts = (rows.whole, rows.train, rows.test)
        return [None if part is None else part.fingerprint() for part in parts]

    def ids(rows: Rows) -> list[list[int]]:
        return [part.ids.tolist() for part in (rows.whole, rows.train, rows.test) if part]

    return ids(a) == ids(b) and prints(a) == prints(b)


def _common(
    views: dict[str, Rows], part: Part | None
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Ids of the rows to score, which all runs have, and of those that all were trained on.

    Raises:
        ConfigError: if there are none.
    """
    import numpy as np

    chosen = {name: view.part(part) for name, view in views.items()}
    test = _shared([data.ids for data in chosen.values()])
    if not len(test):
        raise ConfigError(
            "no row was held out by all of these runs: compare runs with the same --test and "
            "--split-seed, or give --part all"
        )
    most = max(len(data) for data in chosen.values())
    if len(test) < most:
        say(f"{len(test):,} rows are scored: those of up to {most:,} that all runs have")
    if any(data is views[name].whole and views[name].train for name, data in chosen.items()):
        return test, None  # the training rows are among those that are scored
    trained = [view.train.ids for view in views.values() if view.train is not None]
    if not trained:
        return test, None
    others = [view.whole.ids for view in views.values() if view.train is None]
    train = np.setdiff1d(_shared([*trained, *others]), test)
    return test, train if len(train) else None


def _shared(ids: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    import numpy as np

    found = ids[0]
    for more in ids[1:]:
        found = np.intersect1d(found, more)
    return found


def _chosen(view: Rows, ids: NDArray[np.int64]) -> FactorDataset:
    import numpy as np

    return view.whole.select(np.isin(view.whole.ids, ids))
