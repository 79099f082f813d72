"""Pictures and numbers of a page on all methods, from what `unmingle bench` left.

    unmingle bench methods --data DATA --out BENCH --budget BUDGET
    python benchmarks/methods_page.py DATA BENCH BUDGET

Writes docs/images/methods-SET-METHOD.png of the first seed, all methods of a set with the same
held-out images: rows keep the identity of the image at their left, columns the rest of the image at
their top. Numbers go to benchmarks/results/methods.json; the table is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from _quality import IMAGES, RESULTS

import unmingle as um
from unmingle.bench import TABLES, Run
from unmingle.bench.place import Place, read_record
from unmingle.bench.report import write
from unmingle.bench.runner import is_done, with_budget
from unmingle.commands._data import Reading, rows_for
from unmingle.data import FactorDataset
from unmingle.plots import save_png, swap_grid

ROWS, COLUMNS = 4, 8
TABLE = TABLES["methods"]


def some_images(test: FactorDataset, identity: str) -> tuple[Any, Any]:
    """Held-out images of different identities for the rows, and others for the columns."""
    order = np.random.default_rng(0).permutation(len(test))
    _, first = np.unique(test.factor(identity)[order], return_index=True)
    rows = order[np.sort(first)[:ROWS]]
    columns = order[~np.isin(order, rows)][:COLUMNS]
    return test.take(rows), test.take(columns)


def draw(run: Run, place: Place) -> None:
    """The grid of one run; none of a model with a single code, which has nothing to swap."""
    model: Any = um.load(place.folder(run))
    if len(model.code_spaces) < 2:
        return
    test = rows_for(model, place.source(run.setting), Reading()).test
    assert test is not None
    roles = read_record(run, place)["details"][TABLE.score]["context"]["roles"]
    carries = {factor: space for space, factor in roles.items()}
    space = carries[run.setting.identity]
    other = next(name for name in model.code_spaces if name != space)
    grid = swap_grid(model, *some_images(test, run.setting.identity), space, other)
    save_png(IMAGES / f"methods-{run.setting.name}-{run.row.key}.png", grid, overwrite=True)


def main(data: Path, out: Path, budget: str) -> None:
    """Draw all runs of the first seed that are scored, keep the numbers, print the table."""
    table, place = with_budget(TABLE, budget), Place(out, data)
    text, numbers = write(table, place)
    (RESULTS / "methods.json").write_bytes(numbers.read_bytes())
    for run in table.runs():
        if is_done(table, run, place):
            draw(run, place)
    print(text.read_text())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
