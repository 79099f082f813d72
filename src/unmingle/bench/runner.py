"""Trains and scores the runs of a table, as far as that is not done, and writes the table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unmingle.commands._common import say
from unmingle.errors import RunError, UnmingleError

from .place import Place, read_record, save_record
from .plan import Row, Run, Scale, Table
from .sets import DRAWN, drawn

# ---------------------------------------------------------------------- what is to be run


def scale_of(table: Table, asked: str, place: Place) -> Scale:
    """The scale that is asked for; "auto": the paper's where data of it are there, and a GPU is."""
    if asked == "paper":
        return "paper"
    there = [s for s in table.settings if s.scale == "paper" and not place.missing(s)]
    if asked == "auto" and there:
        from unmingle.training.hardware import choose_device

        if not choose_device(place.device).startswith("cpu"):
            return "paper"
    return "laptop"


def with_budget(table: Table, budget: str | None) -> Table:
    """The table with another budget for every run.

    Raises:
        ConfigError: it is not understood.
    """
    if budget is None:
        return table
    from unmingle.training.budget import Budget

    def freed(row: Row) -> Row:
        return replace(row, budgets={}, after=None if row.after is None else freed(row.after))

    text = str(Budget.parse(budget))
    return replace(
        table,
        settings=tuple(replace(setting, budget=text) for setting in table.settings),
        rows=tuple(map(freed, table.rows)),
    )


def chosen(
    table: Table, scale: Scale, place: Place, seeds: int, only: Sequence[str] = ()
) -> tuple[list[Run], list[str]]:
    """The runs whose data are there, all of a seed before the next, and what is missing.

    A row that starts from another brings that one with it.

    Raises:
        ConfigError: `only` names a row that the table has not.
    """
    rows = [table.row(key) for key in only]
    keys = {row.key for row in rows} | {row.after.key for row in rows if row.after is not None}
    missing = {s.name: place.missing(s) for s in table.settings if s.scale == scale}
    runs = [
        run
        for seed in range(seeds)
        for run in table.runs(seed, scale)
        if not missing[run.setting.name] and (not only or run.row.key in keys)
    ]
    return runs, [text for text in missing.values() if text]


# ---------------------------------------------------------------------- doing it


def bench(table: Table, runs: Sequence[Run], place: Place) -> tuple[Path, Path, dict[str, str]]:
    """Train and score what is not done, and write the table after every run.

    A run that fails is left out, with those that start from it, and the others go on.

    Returns:
        The Markdown file, the JSON file, and why runs were left out, by their names.

    Raises:
        RunError: a run in OUT was trained with another command.
    """
    from .report import collect, write

    collect(table, place)  # what is in OUT must fit before anything is trained
    done = [is_done(table, run, place) for run in runs]
    failed: dict[str, str] = {}
    for number, run in enumerate(runs):
        if not done[number]:
            say(f"[{number + 1}/{len(runs)}] {run.name}")
            try:
                first = run.first
                if first is not None and first.name in failed and not is_trained(first, place):
                    raise RunError(f"it starts from {first.name}, which failed")
                train(run, place)
                measure(table, run, place)
            # Whatever goes wrong in one run is no reason to lose the others, hours of work.
            except Exception as error:
                failed[run.name] = _told(error)
                say(f"left out: {run.name}: {failed[run.name]}")
            write(table, place)
    return *write(table, place), failed


def _told(error: Exception) -> str:
    """An error in a line, with its kind where it is none of the library's own."""
    kind = "" if isinstance(error, UnmingleError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def is_done(table: Table, run: Run, place: Place) -> bool:
    """Whether a run is scored as the table does it."""
    return table.score in read_record(run, place).get("measures", {})


def is_trained(run: Run, place: Place) -> bool:
    """Whether its training is finished."""
    return (place.folder(run) / "model.safetensors").exists()


def train(run: Run, place: Place) -> None:
    """Train one run, and the one it starts from, as far as they are not done."""
    folder = place.folder(run)
    if not read_record(run, place):
        save_record(run, place, {"command": run.command})
    if is_trained(run, place):
        return
    if run.first is not None:
        train(run.first, place)
    if run.setting.data in DRAWN:
        drawn(run.setting.data, place.out / "data")
    resume = ["--resume"] if (folder / "config.json").exists() else []
    words = [*place.words(run), *resume]
    say("$ " + shlex.join(["unmingle", "train", *words]))
    from unmingle.commands import train as verb

    verb.train(*verb.parsed(words[0], words[1:]))


def measure(table: Table, run: Run, place: Place) -> None:
    """Score a trained run and keep the numbers in its record.

    Raises:
        RunError: the data are no longer those it was trained on.
    """
    import unmingle as um
    from unmingle.commands._data import Reading, rows_for
    from unmingle.evaluation.record import accelerator, machine, versions
    from unmingle.training.hardware import choose_device

    from .scores import SCORES, Trained

    device, source = choose_device(place.device), place.source(run.setting)
    model: Any = um.load(place.folder(run))
    model.network.to(device)
    rows = rows_for(model, source, Reading())
    if rows.train is None:
        raise RunError(
            f"{source} has changed since {place.folder(run)} was trained on it: bring the old data "
            "back, or choose another folder with --out"
        )
    trained = Trained(run, model, rows, place.folder(run), source, device, place.files(run.setting))
    numbers, details = SCORES[table.score](trained)
    found = read_record(run, place)
    record = {
        **found,
        "scale": run.setting.scale,
        "data": {"name": run.setting.data, **model.run_info["data"]},
        "budget": run.budget,
        "training": model.run_info["training"],
        "versions": versions(),
        "machine": f"{machine()}, {accelerator(device)}",
        "measures": {**found.get("measures", {}), table.score: numbers},
        "details": {**found.get("details", {}), table.score: _without_runs(details)},
    }
    save_record(run, place, record)


def _without_runs(details: Any) -> Any:
    """Scores as a record keeps them: what a context says of the run is in its folder, and tells
    where the data lie.
    """
    if isinstance(details, list):
        return [_without_runs(part) for part in details]
    if not isinstance(details, dict):
        return details
    parts = {name: _without_runs(part) for name, part in details.items()}
    if isinstance(parts.get("context"), dict):
        parts["context"].pop("run", None)
    return parts


# ---------------------------------------------------------------------- what would be done


def outline(
    table: Table, runs: Sequence[Run], missing: Sequence[str], place: Place
) -> Iterator[str]:
    """The commands that would be run, the budget in all, what is there and what is missing."""
    left = [run for run in runs if not is_done(table, run, place)]
    for run in runs:
        if run in left:
            yield shlex.join(["unmingle", "train", *place.words(run)])
        else:
            yield f"# done: {run.name}"
    yield f"{len(left)} of {len(runs)} runs are left: {total([run.budget for run in left])}"
    for data, scale in dict.fromkeys((run.setting.data, run.setting.scale) for run in runs):
        how = f", drawn into {place.out / 'data'} before its first run" if data in DRAWN else ""
        yield f"there: {data} ({scale} scale){how}"
    yield from (f"missing: {text}" for text in missing)


def total(budgets: Sequence[str]) -> str:
    """Budgets in all, by unit."""
    from unmingle.training.budget import Budget

    sums: dict[str, float] = {}
    for budget in map(Budget.parse, budgets):
        sums[budget.unit] = sums.get(budget.unit, 0.0) + budget.amount
    seconds = sums.pop("seconds", 0.0)
    time = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.3g} min"
    parts = [f"{time} of training"] if seconds else []
    parts += [f"{amount:,.0f} {unit}" for unit, amount in sums.items()]
    return ", ".join(parts) or "nothing to train"
