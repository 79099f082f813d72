"""Every quality number of docs/robust.md: train, measure on held-out images, draw.

    python benchmarks/robust_quality.py DATA_FOLDER RUNS_FOLDER NAME ...   # `all`, or names below
    python benchmarks/robust_quality.py train DATA_FOLDER RUNS_FOLDER NAME ...   # without measures
    python benchmarks/robust_quality.py plots RUNS_FOLDER                  # curves, and Fig. 7
    python benchmarks/robust_quality.py table                              # what was measured

DATA_FOLDER holds sprites.npz and chairs.npz. What is done already is not done again, and an
interrupted training is continued. Numbers go to benchmarks/results/NAME.json (each triplet's error
to triplets.npz in the run), pictures to docs/images/. The trainings are printed, and can be typed
as well.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _quality import IMAGES, RESULTS, call, main, results, train_run

from unmingle.bench import Run
from unmingle.bench.papers.lord import ROW as LORD
from unmingle.bench.papers.robust import LABELS, TABLE_1
from unmingle.bench.scores import last_logs
from unmingle.bench.sets import CHAIRS, SPRITES

VARIANTS = tuple(LABELS)
EPSILON = 0.125
ESTIMATES = ("I_T", "I_T'", "L_rec", "gamma", "lambda", "KL")
SPACES = {"robust": ("appearance", "pose"), "lord": ("class", "content")}
ANGLE = "azimuth"
SCORED = ("robust-sprites-15min", "robust-chairs-15min")
"""Also judges, re-identification and the library's own scores."""


def _runs() -> dict[str, Run]:
    short = TABLE_1.setting(SPRITES.name)  # 10 minutes
    row = {variant: TABLE_1.row(f"robust-{variant}") for variant in VARIANTS}
    runs = {f"robust-{variant}-0": Run(row[variant], short) for variant in VARIANTS}
    for seed in (1, 2):
        for variant in ("adaptive", "adversarial", "variational"):
            runs[f"robust-{variant}-{seed}"] = Run(row[variant], short, seed)
    runs["robust-lord-0"] = Run(LORD, short)
    runs["robust-sprites-15min"] = Run(row["adaptive"], replace(SPRITES, budget="15min"))
    runs["robust-chairs-15min"] = Run(row["adaptive"], replace(CHAIRS, budget="15min"))
    return runs


RUNS = _runs()


def train(name: str, data: Path, runs: Path) -> None:
    """Train one run, as far as it is not done."""
    train_run(data, runs / name, *RUNS[name].words())


def measure(name: str, data: Path, runs: Path) -> None:
    """Measure and draw one run, as far as it is not done."""
    run, out = RUNS[name], runs / name
    file, pose = run.setting.data, SPACES[run.row.method][1]
    result, grid = RESULTS / f"{name}.json", IMAGES / f"{name}.png"
    if not result.exists() or not (out / "triplets.npz").exists():
        found = numbers(run, out, data / file, name in SCORED)
        result.write_text(json.dumps(found, indent=1) + "\n")
    if not grid.exists():
        call(data, "grid", out, file, "-o", grid)
    scores = RESULTS / f"{name}-scores.json"
    if name in SCORED and not scores.exists():
        words = run.setting.probe_words(pose)
        call(data, "evaluate", out, file, *words, "--json", scores)


def numbers(run: Run, out: Path, source: Path, scored: bool) -> dict[str, Any]:
    """Everything that is measured about a trained run, as JSON values."""
    import unmingle as um
    from unmingle.commands._data import Reading, rows_for
    from unmingle.evaluation.triplets import find_triplets, triplet_errors

    model = um.load(out)
    rows = rows_for(model, str(source), Reading())
    test = rows.part("held-out")
    triplets = find_triplets(test, run.setting.identity, run.setting.rest)
    errors = triplet_errors(model, test, triplets, *SPACES[run.row.method])
    np.savez(out / "triplets.npz", errors=errors.errors, copies=errors.copies)
    stages = model.run_info["training"]["stages"]
    found: dict[str, Any] = {
        "command": shlex.join(["unmingle", "train", *run.words()]),
        "images_per_second": [stage["images_per_second"] for stage in stages],
        "steps": [stage["steps"] for stage in stages],
        "versions": model.run_info["versions"],
        "triplets": errors.to_dict(),
    }
    if run.row.method == "robust":
        found["end"] = last_logs(out / "metrics.jsonl")
    if scored:
        found |= judged(run, model, test, rows.part("train"))
    return found


def judged(run: Run, model: Any, test: Any, known: Any) -> dict[str, Any]:
    """What independent recognisers, and a re-identification encoder, say of recombined images."""
    from unmingle.evaluation.judges import judge
    from unmingle.evaluation.reidentification import reidentify

    (appearance, pose), setting = SPACES[run.row.method], run.setting
    factors = {"roles": {appearance: setting.identity, pose: setting.rest}}
    judged_pose = setting.judged or setting.rest
    said = judge(model, test, train=known, probe_factors={pose: judged_pose}, **factors)
    judgements = list(said.judgements)
    if ANGLE in judged_pose.split(","):  # as an angle, which only a column of its own can be
        angle = judge(
            model, test, train=known, probe_factors={pose: ANGLE}, angles=[ANGLE], **factors
        )
        judgements += [one for one in angle.judgements if one.factor == ANGLE]
    again = reidentify(model, test, known, factor=setting.identity, space=appearance)
    said = replace(said, judgements=judgements)
    return {"judges": said.to_dict(), "reidentification": again.to_dict()}


def plots(runs: Path) -> None:
    """Curves of gamma and both estimates, and the distribution of triplet errors (Fig. 7)."""
    from unmingle.evaluation.triplets import TripletErrors, plot_triplets
    from unmingle.plots.figures import curves

    names = [f"robust-{variant}-0" for variant in VARIANTS]
    logs = [runs / name / "metrics.jsonl" for name in names]
    curves(
        [path for path in logs if path.exists()],
        IMAGES / "robust-curves.png",
        keys=["logs/gamma", "logs/I_T", "logs/I_T'"],
        overwrite=True,
    )
    found = {}
    for name in [*names, "robust-lord-0"]:
        file = runs / name / "triplets.npz"
        if file.exists():
            with np.load(file) as errors:
                label = name.removeprefix("robust-").removesuffix("-0")
                found[label] = TripletErrors(errors["errors"], errors["copies"])
    plot_triplets(found, IMAGES / "robust-triplets.png", overwrite=True)


def table() -> None:
    """Print what was measured, as Markdown."""
    found = results(RUNS)
    print(f"Table 1 (epsilon {EPSILON}; means over the last tenth of the steps)\n")
    print("| run | images/s | steps | I_T | I_T' | L_rec | gamma | lambda | KL |")
    print("|" + "---|" * 9)
    for name, values in found.items():
        if "end" in values:
            end = " | ".join(f"{values['end'][number]:.3g}" for number in ESTIMATES)
            speed, steps = values["images_per_second"][0], values["steps"][0]
            print(f"| {name} | {speed:.0f} | {steps} | {end} |")
    print("\nFig. 7: mean squared error of triplets of held-out images, times 1000\n")
    print("| run | median | quartiles | copying |\n|---|---|---|---|")
    for name, values in found.items():
        errors = values["triplets"]
        low, high = (1000 * value for value in errors["quartiles"])
        median, copied = 1000 * errors["median"], 1000 * errors["copy_median"]
        print(f"| {name} | {median:.2f} | {low:.2f} to {high:.2f} | {copied:.2f} |")
    print("\nJudges on recombined held-out images\n")
    print("| run | factor | right | by its own codes | judge on real images | chance |")
    print("|" + "---|" * 6)
    for name, values in found.items():
        for said in values.get("judges", {}).get("judgements", []):
            own = said.get("rebuilt")  # older files have none
            right, real = share(said["right"]), share(said["real"])
            cells = [said["factor"], right, share(own) if own else "-", real]
            print(f"| {name} | {' | '.join(cells)} | {said['chance']:.1%} |")
    print("\nAs an angle: mean error, share at most one value off, and about half a turn\n")
    print("| run | recombined | by its own codes | judge on real images |\n|---|---|---|---|")
    for name, values in found.items():
        for said in values.get("judges", {}).get("judgements", []):
            if said.get("off") is not None:
                cells = [angle(said[kind]) for kind in ("off", "rebuilt_off", "real_off")]
                print(f"| {name} | {' | '.join(cells)} |")
    print("\nMean average precision of the identity (Table 2)\n")
    print("| run | real images | reconstruction | transfer | chance |\n|---|---|---|---|---|")
    for name, values in found.items():
        if "reidentification" in values:
            again = values["reidentification"]
            cells = [share(again[kind]) for kind in ("real", "reconstruction", "transfer")]
            print(f"| {name} | {' | '.join(cells)} | {again['chance']:.1%} |")


def angle(off: dict[str, Any]) -> str:
    near, opposite = off["near"]["value"], off["opposite"]["value"]
    return f"{off['error']['value']:.1f}°, {near:.1%}, {opposite:.1%}"


def share(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.1%} [{estimate['low']:.1%}, {estimate['high']:.1%}]"


if __name__ == "__main__":
    if sys.argv[1:2] == ["plots"] and len(sys.argv) == 3:
        plots(Path(sys.argv[2]))
    else:
        main(train, measure, table, RUNS, __doc__)
