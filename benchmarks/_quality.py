"""What the quality benchmarks share: where results go, how commands are run, the command line."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, IMAGES = HERE / "results", HERE.parent / "docs" / "images"


def call(folder: Path, *command: object) -> None:
    """Show and run `unmingle` with these words in the data's folder: no result names a path."""
    words = [str(word) for word in command]
    print("$", shlex.join(["unmingle", *words]), flush=True)
    subprocess.run([sys.executable, "-m", "unmingle", *words], check=True, cwd=folder)


def train_run(folder: Path, out: Path, *words: object) -> None:
    """`unmingle train` with these words into `out`: begun, continued, or done already."""
    if not (out / "model.safetensors").exists():
        resume = ["--resume"] if (out / "config.json").exists() else []
        call(folder, "train", *words, "--out", out, *resume)


def results(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What is stored of the runs that were measured so far, by name."""
    files = {name: RESULTS / f"{name}.json" for name in names}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


Make = Callable[[str, Path, Path], None]
"""Something to be done about a run: its name, the folders of data and of runs."""


def main(
    train: Make,
    measure: Make,
    table: Callable[[], None],
    runs: Collection[str],
    doc: str | None,
    sets: Mapping[str, Collection[str]] | None = None,
    more: Mapping[str, Make] | None = None,
) -> None:
    """The command line: [train] DATA_FOLDER RUNS_FOLDER NAME ..., or `table`.

    Args:
        train: as far as it is not done.
        measure: and draw, as far as it is not done; left out after the word `train`.
        table: prints what was measured.
        runs: all names.
        doc: said if the words are others.
        sets: names of several runs; `all` is there in any case.
        more: what else can be done about runs, alone, by the word in place of `train`.
    """
    words = sys.argv[1:]
    if words == ["table"]:
        table()
        return
    steps = [train, measure]
    alone = {"train": train, **(more or {})}
    if words and words[0] in alone:
        steps, words = [alone[words[0]]], words[1:]
    if len(words) < 3:
        sys.exit(doc)
    data, out = Path(words[0]).resolve(), Path(words[1]).resolve()
    for folder in (out, RESULTS, IMAGES):
        folder.mkdir(parents=True, exist_ok=True)
    several = {"all": runs, **(sets or {})}
    for name in words[2:]:
        if name not in runs and name not in several:
            sys.exit(f"no run {name!r}; there is: {', '.join([*several, *runs])}")
        for one in several.get(name, (name,)):
            for step in steps:
                step(one, data, out)
