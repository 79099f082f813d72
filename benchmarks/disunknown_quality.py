"""Every quality number of docs/disunknown.md: train, score on held-out rows, draw.

    python benchmarks/disunknown_quality.py DATA_FOLDER RUNS_FOLDER NAME ...   # `all`, or names
    python benchmarks/disunknown_quality.py table                              # what was measured

DATA_FOLDER holds chairs.npz, cmu_faces.npz and skeletons.npz; 3D Shapes is rendered. What is done
already is not done again, and an interrupted training is continued. Scores go to
benchmarks/results/NAME.json, pictures to docs/images/NAME*.png.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disunknown_measures import (
    correlated_rows,
    faces,
    retargeting,
    shapes,
    skeleton_data,
    stage_2,
)
from disunknown_tracking import Finish, Track

import unmingle as um
from unmingle.data import FactorDataset, shapes3d

HERE = Path(__file__).resolve().parent
RESULTS, IMAGES = HERE / "results", HERE.parent / "docs" / "images"
ROWS = 16000
FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")

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


def unknown(factor: str) -> dict[str, Any]:
    """Settings in which all factors of 3D Shapes but one are labelled."""
    return {"labelled": tuple(f for f in FACTORS if f != factor), "unknown_dim": 8}


@dataclass(frozen=True)
class Run:
    """One training with what is measured of it."""

    data: Callable[[Path], Split]
    settings: dict[str, Any]
    budget: str
    measure: Measure
    seed: int = 0
    kind: type[um.DisUnknown] = um.DisUnknown
    first: str = ""
    """The run whose stage I this one goes on from."""
    extra: dict[str, Any] = field(default_factory=dict)


FIGURE_2 = {
    "standard": {"classifier": "image"},
    "nll": {"classifier": "image", "adversary": "nll"},
    "code": {"classifier": "code", "code_width": 512},
}
TABLE_2: dict[str, dict[str, Any]] = {
    "standard": {},
    "frozen-recogniser": {"recogniser": "frozen"},
    "no-unknown-condition": {"keep_unknown": "none"},
}
CHAIRS = {"labelled": ("model", "elevation"), "unknown_dim": 16, "shares": (97.0, 0.0, 0.0, 3.0)}
DIGITS = {"labelled": ("digit",), "unknown_dim": 16, "label_dims": (10,)}

RUNS = {
    **{
        f"disunknown-floor-{seed}": Run(shapes_data, unknown("floor_hue"), "30min", shapes, seed)
        for seed in range(2)
    },
    "disunknown-orientation": Run(shapes_data, unknown("orientation"), "30min", shapes),
    "disunknown-correlated-labels": Run(correlated_data, unknown("object_hue"), "20min", shapes),
    "disunknown-correlated-unknown": Run(correlated_data, unknown("floor_hue"), "20min", shapes),
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
            chairs_data, {**CHAIRS, **settings}, "8min", Track.measure, kind=Track
        )
        for name, settings in FIGURE_2.items()
    },
    "disunknown-table2-stage1": Run(
        digits_data, {**DIGITS, "shares": (97.0, 0.0, 0.0, 3.0)}, "8min", stage_2
    ),
    **{
        f"disunknown-table2-{name}": Run(
            digits_data,
            {**DIGITS, "shares": (1.0, 10.0, 60.0, 30.0), **settings},
            "8min",
            stage_2,
            kind=Finish,
            first="disunknown-table2-stage1",
        )
        for name, settings in TABLE_2.items()
    },
}


def make(name: str, data: Path, runs: Path) -> None:
    """Train, measure and draw one run, as far as it is not done."""
    run, out, scores = RUNS[name], runs / name, RESULTS / f"{name}.json"
    if scores.exists():
        return
    train, test = run.data(data)
    method = run.kind(**run.settings)
    if run.first:
        if not (runs / run.first / "model.safetensors").exists():
            make(run.first, data, runs)
        method.first = runs / run.first  # type: ignore[attr-defined]
    print(
        f"{name}: {run.kind.__name__}({run.settings}), {len(train)} rows, {run.budget}", flush=True
    )
    done = (out / "model.safetensors").exists()
    if isinstance(method, Track):
        method.watch(test)
    if done and not isinstance(method, Track):
        model = um.load(out)
    else:
        resume = (out / "config.json").exists() and not isinstance(method, Track)
        model = method.fit(
            train, budget=run.budget, out=out, seed=run.seed, resume=resume, overwrite=not resume
        )
    IMAGES.mkdir(exist_ok=True)
    found = run.measure(model, train, test, IMAGES / name)
    found["run"] = {
        "settings": run.settings,
        "budget": run.budget,
        "seed": run.seed,
        "rows": len(train),
        "held_out": len(test),
        "fingerprint": model.run_info["data"]["fingerprint"],
        "versions": model.run_info["versions"],
        "stages": model.run_info["training"]["stages"],
    }
    RESULTS.mkdir(exist_ok=True)
    scores.write_text(json.dumps(found, indent=1, default=float) + "\n")


def table() -> None:
    """Print what was measured, as Markdown."""
    found = {
        name: json.loads(f.read_text()) for name in RUNS if (f := RESULTS / f"{name}.json").exists()
    }
    _factor_table({n: f for n, f in found.items() if "judges" in f})
    for name, scores in found.items():
        rest = {k: v for k, v in scores.items() if isinstance(v, (int, float))}
        if rest:
            print(f"\n{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in rest.items()))
        for part in ("retarget", "movement"):
            if part in scores:
                print(f"  {part}: " + json.dumps(scores[part]))


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


def main() -> None:
    if sys.argv[1:] == ["table"]:
        table()
        return
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    data, runs = Path(sys.argv[1]), Path(sys.argv[2])
    names = list(RUNS) if sys.argv[3:] == ["all"] else sys.argv[3:]
    for name in names:
        if name not in RUNS:
            sys.exit(f"no run {name!r}; there is: {', '.join(RUNS)}")
        make(name, data, runs)


if __name__ == "__main__":
    main()
