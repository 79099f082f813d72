"""Every quality number of docs/lord.md: train, score on held-out images, draw the grid.

    python benchmarks/lord_quality.py DATA_FOLDER RUNS_FOLDER NAME ...   # `all`, or names below
    python benchmarks/lord_quality.py table                              # what was measured so far

DATA_FOLDER holds sprites.npz, chairs.npz and cmu_faces.npz. What is done already is not done again,
and an interrupted training is continued. Scores go to benchmarks/results/NAME.json, grids to
docs/images/NAME.png. The commands that are run are printed, and can be typed as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from _quality import IMAGES, RESULTS, call, main, train_run

from unmingle.evaluation import Scores

SPRITES = "sprites.npz --class-factor character --values character=0:24 --test 0.1"
SPRITES_CONTENT = "--role content=pose --probe-factor content=pose_merged"
CHAIRS = "chairs.npz --class-factor model --values model=0:40 --test 0.1"
CHAIRS_CONTENT = "--role content=azimuth,elevation"
TABLE_3 = {
    "amortised-kl": "--variant amortised --regulariser kl",
    "amortised-noise": "--variant amortised",
    "semi-amortised-kl": "--variant semi-amortised --regulariser kl",
    "semi-amortised-noise": "--variant semi-amortised",
    "without-second-stage": "--second-stage 0",
    "without-regularisation": "--regulariser none",
    "full": "",
}


@dataclass(frozen=True)
class Run:
    """One training with what it is scored by."""

    train: str
    budget: str
    content: str
    seed: int = 0


RUNS = {
    **{f"sprites-15min-{seed}": Run(SPRITES, "15min", SPRITES_CONTENT, seed) for seed in range(3)},
    "sprites-5min": Run(SPRITES, "5min", SPRITES_CONTENT),
    "sprites-45min": Run(SPRITES, "45min", SPRITES_CONTENT),
    "chairs-15min": Run(CHAIRS, "15min", CHAIRS_CONTENT),
    "chairs-45min": Run(CHAIRS, "45min", CHAIRS_CONTENT),
    "faces-15min": Run(
        "cmu_faces.npz --class-factor person --test 0.1", "15min", "--role content=pose"
    ),
    "sprites-new-classes-45min": Run(
        "sprites.npz --class-factor character --test-by character --test-values 80:96",
        "45min",
        SPRITES_CONTENT,
    ),
    **{
        f"table3-{name}": Run(f"{SPRITES} {flags}".strip(), "5min", SPRITES_CONTENT)
        for name, flags in TABLE_3.items()
    },
}


def train(name: str, data: Path, runs: Path) -> None:
    """Train one run, as far as it is not done."""
    run = RUNS[name]
    length = ["--budget", run.budget, "--seed", run.seed]
    train_run(data, runs / name, "lord", *run.train.split(), *length)


def measure(name: str, data: Path, runs: Path) -> None:
    """Score and draw one run, as far as it is not done."""
    run, out = RUNS[name], runs / name
    file = run.train.split()[0]
    scores, grid = RESULTS / f"{name}.json", IMAGES / f"{name}.png"
    if not scores.exists():
        call(data, "evaluate", out, file, *run.content.split(), "--json", scores)
    if not grid.exists():
        call(data, "grid", out, file, "-o", grid)


def table() -> None:
    """Print what was measured, as Markdown."""
    print("| run | images/s | AlexNet | VGG | MSE | SSIM |", end="")
    print(" class←content | class←class | content←content | content←class |")
    print("|" + "---|" * 10)
    for name in RUNS:
        file = RESULTS / f"{name}.json"
        if file.exists():
            print(f"| {name} | " + " | ".join(row(Scores.load(file))) + " |")


def row(scores: Scores) -> list[str]:
    """The cells of one run: speed by stage, shares of the better copy floor, MLP probes."""
    stages = scores.context["run"]["training"]["stages"]
    cells = [" / ".join(f"{stage['images_per_second']:.0f}" for stage in stages)]
    moved = scores.transfer
    if moved is None:
        return [*cells, *["-"] * 8]
    for metric in ("st_lpips_alex", "st_lpips_vgg", "mse"):
        ratio = moved.metrics[metric].ratio
        cells.append(f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    cells.append(f"{moved.metrics['ssim'].model.value:.3f}")
    label, content = moved.roles["class"], moved.roles["content"]
    content = scores.context["probe_factors"].get("content", content)
    for factor, space in product((label, content), ("content", "class")):
        found = scores.probe(factor, space)
        cells.append(f"{found.accuracy:.3f} (chance {found.chance:.3f})")
    return cells


if __name__ == "__main__":
    main(train, measure, table, RUNS, __doc__)
