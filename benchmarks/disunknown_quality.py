"""Every quality number of docs/disunknown.md: train, score on held-out rows, draw.

    python benchmarks/disunknown_quality.py DATA_FOLDER RUNS_FOLDER NAME ...   # `all`, or names
    python benchmarks/disunknown_quality.py train DATA_FOLDER RUNS_FOLDER NAME ...   # no scoring
    python benchmarks/disunknown_quality.py table                              # what was measured

DATA_FOLDER holds chairs.npz, cmu_faces.npz and skeletons.npz; 3D Shapes is rendered. What is done
already is not done again, and an interrupted training is continued. Scores go to
benchmarks/results/NAME.json, pictures to docs/images/NAME*.png.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _quality import IMAGES, RESULTS, main, results
from disunknown_measures import (
    faces,
    retargeting,
    shapes,
    skeleton_data,
    stage_2,
)
from disunknown_tracking import Track

import unmingle as um
from unmingle import bench
from unmingle.bench.papers.disunknown import CORRELATED, DIGITS, MIG, SHAPES, STAGE_1, TABLE_2
from unmingle.bench.sets import correlated_rows
from unmingle.data import FactorDataset, shapes3d

ROWS = 16000
MOVEMENT = "movement.json"  # in a run that was watched

Split = tuple[FactorDataset, FactorDataset]
Measure = Callable[[Any, FactorDataset, FactorDataset, Path], dict[str, Any]]


def shapes_data(data: Path) -> Split:
    """A seeded subset of 3D Shapes, a tenth held out."""
    return shapes3d.load(rows=ROWS, seed=0).split(test=0.1, seed=0)


def correlated_data(data: Path) -> Split:
    """The same number of images whose floor and wall differ by a hue at most (supplement 4)."""
    return shapes3d.load(rows=correlated_rows(ROWS)).split(test=0.1, seed=0)


def faces_data(data: Path) -> Split:
    return um.load_data(data / "cmu_faces.npz").split(test=0.1, seed=0)


def chairs_data(data: Path) -> Split:
    return um.load_data(data / "chairs.npz").split(test=0.1, seed=0)


def digits_data(data: Path) -> Split:
    return um.load_data("digits").split(test=0.1, seed=0)


@dataclass(frozen=True)
class Run:
    """One training with what is measured of it."""

    data: Callable[[Path], Split]
    settings: dict[str, Any]
    budget: str
    measure: Measure | None
    """None: what was watched in training is all."""
    seed: int = 0
    kind: type[um.DisUnknown] = um.DisUnknown
    first: str = ""
    """The run whose stage I this one starts from."""


def planned(row: str, setting: bench.Setting, data: Callable[[Path], Split], measure: Measure,
            seed: int = 0, first: str = "") -> Run:  # fmt: skip
    """A run of a table of `unmingle bench`."""
    table = TABLE_2 if setting is DIGITS else MIG
    run = bench.Run(table.row(row), setting, seed)
    return Run(data, run.settings, run.budget, measure, seed, first=first)


FIGURE_2 = {
    "standard": {"classifier": "image"},
    "nll": {"classifier": "image", "adversary": "nll"},
    "code": {"classifier": "code", "code_width": 512},
}
CHAIRS = {"labelled": ("model", "elevation"), "unknown_dim": 16, "shares": (97.0, 0.0, 0.0, 3.0)}
STAGE_1_RUN = "disunknown-table2-stage1"

RUNS = {
    **{
        f"disunknown-floor-{seed}": planned("disunknown-floor", SHAPES, shapes_data, shapes, seed)
        for seed in range(2)
    },
    "disunknown-orientation": planned("disunknown-orientation", SHAPES, shapes_data, shapes),
    "disunknown-correlated-labels": planned(
        "disunknown-correlated-labels", CORRELATED, correlated_data, shapes
    ),
    "disunknown-correlated-unknown": planned(
        "disunknown-floor", CORRELATED, correlated_data, shapes
    ),
    "disunknown-faces": Run(
        faces_data, {"labelled": ("person", "pose"), "unknown_dim": 16}, "15min", faces
    ),
    "disunknown-skeletons": Run(
        skeleton_data,
        {
            "labelled": ("build", "view"),
            "unknown_dim": 32,
            "label_starts": ("zero", "circle"),
            "unknown_kl": 1e-3,
            "label_kl": 1e-3,
            "features": 384,
            "blocks": 3,
        },
        "20min",
        retargeting,
    ),
    **{
        f"disunknown-figure2-{name}": Run(
            chairs_data, {**CHAIRS, **settings}, "8min", None, kind=Track
        )
        for name, settings in FIGURE_2.items()
    },
    STAGE_1_RUN: planned(STAGE_1.key, DIGITS, digits_data, stage_2),
    **{
        f"disunknown-table2-{row.key.removeprefix('disunknown-')}": planned(
            row.key, DIGITS, digits_data, stage_2, first=STAGE_1_RUN
        )
        for row in TABLE_2.rows
        if row.after
    },
}


def train(name: str, data: Path, runs: Path) -> None:
    """Train one run, and the one it goes on from, as far as they are not done."""
    run, out = RUNS[name], runs / name
    if (out / "model.safetensors").exists():
        return
    rows, test = run.data(data)
    first = runs / run.first if run.first else None
    if first is not None:
        train(run.first, data, runs)
    method = run.kind(**run.settings)
    print(
        f"{name}: {run.kind.__name__}({run.settings}), {len(rows)} rows, {run.budget}", flush=True
    )
    # What was watched so far is not in a checkpoint: such a run begins anew.
    resume = (out / "config.json").exists() and run.kind is not Track
    if isinstance(method, Track):
        method.watch(test)
    method.fit(rows, budget=run.budget, out=out, seed=run.seed, start_from=first, resume=resume,
               overwrite=not resume)  # fmt: skip
    if isinstance(method, Track):
        (out / MOVEMENT).write_text(json.dumps(method.moved()))


def measure(name: str, data: Path, runs: Path) -> None:
    """Measure and draw one run, as far as it is not done."""
    run, scores = RUNS[name], RESULTS / f"{name}.json"
    if scores.exists():
        return
    model, (rows, test) = um.load(runs / name), run.data(data)
    found = (
        json.loads((runs / name / MOVEMENT).read_text())
        if run.measure is None
        else run.measure(model, rows, test, IMAGES / name)
    )
    found["run"] = {
        "settings": run.settings,
        "budget": run.budget,
        "seed": run.seed,
        "rows": len(rows),
        "held_out": len(test),
        "fingerprint": model.run_info["data"]["fingerprint"],
        "versions": model.run_info["versions"],
        "stages": model.run_info["training"]["stages"],
    }
    scores.write_text(json.dumps(found, indent=1, default=float) + "\n")


def table() -> None:
    """Print what was measured, as Markdown."""
    found = results(RUNS)
    _factor_table({n: f for n, f in found.items() if "judges" in f})
    _tells_table({n: f["tells"] for n, f in found.items() if "tells" in f})
    _swaps_table({n: f["swaps"] for n, f in found.items() if "swaps" in f})
    _movement_table({n: f["movement"] for n, f in found.items() if "movement" in f})
    for name, scores in found.items():
        rest = {k: v for k, v in scores.items() if isinstance(v, (int, float))}
        if rest:
            print(f"\n{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in rest.items()))
        if "retarget" in scores:
            print("  retarget: " + json.dumps(scores["retarget"]))


def _factor_table(found: dict[str, Any]) -> None:
    print("| run | factor | from `unknown` (MLP) | chance | from its own code | recombined right | "
          "judge on real |")  # fmt: skip
    print("|" + "---|" * 7)
    for name, scores in found.items():
        for factor, probe in scores["unknown_tells"].items():
            judge = scores["judges"].get(factor, {})
            own = scores["own_tells"].get(factor)
            cells = [
                f"{probe['accuracy']:.3f}", f"{probe['chance']:.3f}",
                "" if own is None else f"{own:.3f}",
                *(f"{judge[k]:.3f}" if k in judge else "" for k in ("right", "real")),
            ]  # fmt: skip
            print(f"| {name} | {factor} | " + " | ".join(cells) + " |")


def _tells_table(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """What an MLP reads of every factor from every code, and by chance."""
    for name, tells in found.items():
        columns = list(next(iter(tells.values())))  # the code spaces, then chance
        print(f"\n{name}: what codes tell (MLP)\n")
        print("| factor | " + " | ".join(columns) + " |")
        print("|" + "---|" * (len(columns) + 1))
        for factor, shares in tells.items():
            print(f"| {factor} | " + " | ".join(f"{shares[c]:.3f}" for c in columns) + " |")


def _swaps_table(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """How often swaps have the wanted label, by the judge."""
    if found:
        print("\nTable 2: labels of swaps\n")
        print("| run | factor | right | judge on real |\n|---|---|---|---|")
    for name, judged in found.items():
        for factor, judge in judged.items():
            print(f"| {name} | {factor} | {judge['right']:.3f} | {judge['real']:.3f} |")


def _movement_table(found: dict[str, list[dict[str, float]]]) -> None:
    """How far codes moved since the snapshot before, at steps that all runs came to."""
    if not found:
        return
    moved = {n: {int(m["step"]): m["squared"] for m in moves} for n, moves in found.items()}
    steps = sorted(set.intersection(*(set(by_step) for by_step in moved.values())))
    print("\nFig. 2: mean squared movement of the unknown codes between snapshots\n")
    print("| step | " + " | ".join(moved) + " |")
    print("|" + "---|" * (len(moved) + 1))
    for step in steps:
        print(f"| {step} | " + " | ".join(f"{m[step]:.4g}" for m in moved.values()) + " |")
    late = steps[len(steps) // 2 :]
    if late:
        means = (statistics.fmean(m[step] for step in late) for m in moved.values())
        print("| mean of the later half | " + " | ".join(f"{mean:.4g}" for mean in means) + " |")


if __name__ == "__main__":
    main(train, measure, table, RUNS, __doc__)
