"""Every quality number of docs/lord.md: train, score on held-out images, draw the grid.

    python benchmarks/lord_quality.py DATA_FOLDER RUNS_FOLDER NAME ...   # `all`, or names below
    python benchmarks/lord_quality.py table                              # what was measured so far
    python benchmarks/lord_quality.py audit DATA_FOLDER RUNS_FOLDER NAME ...   # of trained runs
    python benchmarks/lord_quality.py audits                             # what they found so far
    python benchmarks/lord_quality.py curve                              # error over training time

DATA_FOLDER holds sprites.npz, chairs.npz and cmu_faces.npz. What is done already is not done again,
and an interrupted training is continued. Scores go to benchmarks/results/NAME.json, grids to
docs/images/NAME.png; the leakage audit, with judges and the Fréchet distance, to
benchmarks/results/NAME-audit.json. The commands that are run are printed, and can be typed as well.
The runs of Table 3 are those of `unmingle bench lord-table3`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _quality import IMAGES, RESULTS, call, main, train_run

from unmingle.bench import Run, Setting
from unmingle.bench.papers.lord import ROW, TABLE_3
from unmingle.bench.sets import CHAIRS, FACES, SPRITES
from unmingle.evaluation import Estimate, ProbeResult, Scores
from unmingle.evaluation.leaks import LeakProbe
from unmingle.evaluation.text import share


def lord(setting: Setting, budget: str, seed: int = 0, **other: Any) -> Run:
    return Run(ROW, replace(setting, budget=budget, **other), seed)


METRICS = ("st_lpips_alex", "st_lpips_vgg", "mse")
SEEDS = "sprites-15min-"
NEW_CLASSES = "--test-by character --test-values 80:96"
TABLE_3_NAMES = {run.row.key: run for run in TABLE_3.runs() if run.setting.name == SPRITES.name}
RUNS = {
    **{f"{SEEDS}{seed}": lord(SPRITES, "15min", seed) for seed in range(3)},
    "sprites-5min": lord(SPRITES, "5min"),
    "sprites-45min": lord(SPRITES, "45min"),
    "chairs-15min": lord(CHAIRS, "15min"),
    "chairs-45min": lord(CHAIRS, "45min"),
    "faces-15min": lord(FACES, "15min"),
    "sprites-new-classes-45min": lord(SPRITES, "45min", reading="", split=NEW_CLASSES),
    **{
        f"table3-{key.removeprefix('lord-') if key != 'lord' else 'full'}": run
        for key, run in TABLE_3_NAMES.items()
    },
}


CURVES = {
    "sprites": {5: "sprites-5min", 15: f"{SEEDS}0", 45: "sprites-45min"},
    "chairs": {15: "chairs-15min", 45: "chairs-45min"},
}


# Codes by optimisation take 200 passes an image: the probes look at fewer of them.
FEW_ROWS = {"table3-without-second-stage": ("--probe-rows", "600")}


def train(name: str, data: Path, runs: Path) -> None:
    """Train one run, as far as it is not done."""
    train_run(data, runs / name, *RUNS[name].words())


def measure(name: str, data: Path, runs: Path) -> None:
    """Score and draw one run, as far as it is not done."""
    setting, out = RUNS[name].setting, runs / name
    scores, grid = RESULTS / f"{name}.json", IMAGES / f"{name}.png"
    if not scores.exists():
        words = [*setting.probe_words("content"), *FEW_ROWS.get(name, ())]
        call(data, "evaluate", out, setting.data, *words, "--json", scores)
    if not grid.exists():
        call(data, "grid", out, setting.data, "-o", grid)


def audit(name: str, data: Path, runs: Path) -> None:
    """Look for leaks in one run and let judges see its swaps, as far as it is not done."""
    setting, file = RUNS[name].setting, RESULTS / f"{name}-audit.json"
    if not file.exists():
        asked = ["--metrics", "none", "--probes", "none", "--audit", "--judges", "--frechet"]
        words = [*setting.probe_words("content"), *asked]
        call(data, "evaluate", runs / name, setting.data, *words, "--json", file)


def curve() -> None:
    """Draw the errors after each budget: of swaps, and of the same images given back."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(CURVES))
    for ax, (what, names) in zip(axes, CURVES.items(), strict=True):
        files = {minutes: RESULTS / f"{name}.json" for minutes, name in names.items()}
        found = {m: Scores.load(file) for m, file in files.items() if file.exists()}
        for metric, label in zip(METRICS, ("AlexNet", "VGG", "MSE"), strict=True):
            swaps, returned = [], []
            for scores in found.values():
                assert scores.transfer is not None
                moved = scores.transfer.metrics[metric]
                swaps.append(moved.ratio.value)
                floor = moved.copies[moved.floor].value
                returned.append(scores.reconstruction[metric].value / floor)
            (line,) = ax.plot(list(found), swaps, "o-", label=f"{label}, swapped")
            ax.plot(
                list(found), returned, "s:", color=line.get_color(), label=f"{label}, given back"
            )
        ax.set(title=what, xlabel="minutes of training", xscale="log", ylim=(0, None))
        ax.set_xticks(list(found), [str(minutes) for minutes in found])
        ax.minorticks_off()
    axes[0].set_ylabel("error, share of the better copy")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small"
    )
    figure.savefig(IMAGES / "lord-curve.png", dpi=110)


def audits() -> None:
    """Print what the audits found, as Markdown: the plain linear probe beside the best one."""
    print("| run | factor | code | linear probe | best probe | which | p | verdict |")
    print("|" + "---|" * 8)
    for name in RUNS:
        file = RESULTS / f"{name}-audit.json"
        found = Scores.load(file).audit if file.exists() else None
        for leak in [] if found is None else found.leaks:
            cells = ["-"] * 3
            if leak.probes:
                best = max(leak.probes, key=lambda probe: probe.gain)
                plain = next(probe for probe in leak.probes if probe.name == "linear")
                cells = [accuracy(plain), accuracy(best), best.name]
            texts = [*cells, f"{leak.p_value:.3f}", f"{leak.level}: {leak.verdict}"]
            print(f"| {name} | {leak.factor} | {leak.space} | {' | '.join(texts)} |")


def accuracy(probe: LeakProbe) -> str:
    """With its interval and the larger of both chances."""
    found, chance = probe.result, max(probe.result.chance, probe.permuted)
    return f"{share(Estimate(found.accuracy, found.low, found.high)).strip()} (chance {chance:.1%})"


def table() -> None:
    """Print what was measured, as Markdown."""
    print("| run | images/s | AlexNet | VGG | MSE | SSIM |", end="")
    print(" class←content | class←class | content←content | content←class |")
    print("|" + "---|" * 10)
    files = {name: RESULTS / f"{name}.json" for name in RUNS}
    found = {name: Scores.load(file) for name, file in files.items() if file.exists()}
    for name, scores in found.items():
        print(f"| {name} | " + " | ".join(row(scores)) + " |")
    seeds = [numbers(scores) for name, scores in found.items() if name.startswith(SEEDS)]
    if len(seeds) > 1:
        spread = [f"{mean(each):.3f} ± {stdev(each):.3f}" for each in zip(*seeds, strict=True)]
        print(f"| {SEEDS[:-1]}, mean ± standard deviation | - | " + " | ".join(spread) + " |")


def probed(scores: Scores) -> list[ProbeResult]:
    """Who is told from the content code, from the class code; likewise the content."""
    assert scores.transfer is not None
    label, content = (scores.transfer.roles[role] for role in ("class", "content"))
    content = scores.context["probe_factors"].get("content", content)
    label_first = [(label, "content"), (label, "class"), (content, "content"), (content, "class")]
    return [scores.probe(factor, space) for factor, space in label_first]


def numbers(scores: Scores) -> list[float]:
    """Shares of the better copy floor, SSIM, accuracies of the probes."""
    moved = scores.transfer
    assert moved is not None
    shares = [moved.metrics[metric].ratio.value for metric in METRICS]
    accuracies = [found.accuracy for found in probed(scores)]
    return [*shares, moved.metrics["ssim"].model.value, *accuracies]


def row(scores: Scores) -> list[str]:
    """The cells of one run: speed by stage, shares of the better copy floor, MLP probes."""
    stages = scores.context["run"]["training"]["stages"]
    cells = [" / ".join(f"{stage['images_per_second']:.0f}" for stage in stages)]
    moved = scores.transfer
    if moved is None:
        return [*cells, *["-"] * 8]
    for metric in METRICS:
        ratio = moved.metrics[metric].ratio
        cells.append(f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    cells.append(f"{moved.metrics['ssim'].model.value:.3f}")
    cells += [f"{found.accuracy:.3f} (chance {found.chance:.3f})" for found in probed(scores)]
    return cells


if __name__ == "__main__":
    alone = {"audits": audits, "curve": curve}
    if len(sys.argv) == 2 and sys.argv[1] in alone:
        alone[sys.argv[1]]()
    else:
        main(train, measure, table, RUNS, __doc__, more={"audit": audit})
