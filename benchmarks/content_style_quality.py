"""Every quality number of docs/content-style.md: train, score, draw.

    python benchmarks/content_style_quality.py DATA_FOLDER RUNS_FOLDER NAME ...   # `all`, or names
    python benchmarks/content_style_quality.py train DATA_FOLDER RUNS_FOLDER NAME ...   # no scoring
    python benchmarks/content_style_quality.py table                              # what is there

DATA_FOLDER holds sprites.npz, chairs.npz and cmu_faces.npz. What is done already is not done again,
and an interrupted training is continued. Scores go to benchmarks/results/NAME.json, pictures to
docs/images/. LORD's row of the table is made by `lord_quality.py DATA RUNS chairs-15min`.

Protocols. "seen": trained on all images, as the paper does, and scored by the codes that training
found, on the tenth of the images that the same split would have held out. "held-out": trained
without that tenth, scored by the encoders' codes. Roles are found by
`unmingle.evaluation.assign`, which sees labels only after training; what it says is in the JSON.
FactorVAE has the same budget and a single code, whose dimensions are parted by what they tell of in
the other nine tenths (`unmingle.evaluation.split_code`).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from _quality import IMAGES, RESULTS, main, train_run

import unmingle as um
from unmingle.bench import Row, Run, Setting
from unmingle.bench.papers.content_style import CHAIRS, FACTOR_VAE, ROW, TABLE_3, TABLE_4
from unmingle.bench.scores import find_spaces, seen_codes
from unmingle.bench.sets import FACES, SPRITES
from unmingle.commands._data import keep_values
from unmingle.data.edges import with_edges
from unmingle.evaluation import KnownCodes, Scores, evaluate
from unmingle.evaluation.model import Encoded, space_factors
from unmingle.evaluation.split_code import split_code
from unmingle.plots import prepared_codes, save_gif, save_png, swap_grid, tile, views

LORD_CHAIRS = "chairs-15min"  # of lord_quality.py
EDGES = replace(CHAIRS, name="edges", data="chairs_edges.npz")


def _row(**settings: object) -> Row:
    return replace(ROW, settings=settings)


ABLATIONS = {
    "full": ROW,
    "table3-without-bottleneck": TABLE_3.row("content-style-without-bottleneck"),
    "table4-with-discrimination": TABLE_4.row("content-style-with-discrimination"),
    "fig2-concat": _row(fusion="concat"),
    "fig2-no-normalisation": _row(normalisation="none"),
    "fig2-single": _row(fusion="single"),
    "fig4-instance": _row(normalisation="instance"),
    "fig12-amortised": _row(variant="amortised"),
    "fig12-without-noise": _row(noise=0),
    "fig18-128-256": _row(style_dim=128, content_dim=256),
    "fig18-256-256": _row(style_dim=256, content_dim=256),
    "uniform-start": _row(start="uniform"),
}


def _run(setting: Setting, budget: str, seed: int = 0, row: Row = ROW) -> Run:
    return Run(row, replace(setting, budget=budget), seed)


RUNS = {
    **{f"cs-chairs-15min-{seed}": _run(CHAIRS, "15min", seed) for seed in range(3)},
    "cs-chairs-held-out-15min": _run(CHAIRS, "15min", row=replace(ROW, split="--test 0.1")),
    "cs-sprites-15min": _run(SPRITES, "15min"),
    "cs-faces-15min": _run(FACES, "15min"),
    "cs-factor-vae-chairs-15min": _run(CHAIRS, "15min", row=FACTOR_VAE),
    "cs-edges-8min": _run(EDGES, "8min"),
    **{f"cs-{name}-6min": _run(CHAIRS, "6min", row=row) for name, row in ABLATIONS.items()},
}


def is_seen(run: Run) -> bool:
    """Whether it is trained on all images."""
    return run.row.split == ROW.split


def file_of(run: Run, data: Path, runs: Path) -> Path:
    """The data of a run; images with their edges are made from the chairs, beside the runs."""
    name = run.setting.data
    file = data / name
    if name != EDGES.data or file.exists():
        return file
    file = runs / name
    if not file.exists():
        with_edges(um.load_data(data / CHAIRS.data)).save(file)
    return file


def train(name: str, data: Path, runs: Path) -> None:
    """Train one run, as far as it is not done."""
    run = RUNS[name]
    train_run(file_of(run, data, runs).parent, runs / name, *run.words())


def measure(name: str, data: Path, runs: Path) -> None:
    """Score and draw one run, as far as it is not done."""
    run = RUNS[name]
    if (RESULTS / f"{name}.json").exists() and (IMAGES / f"{name}.png").exists():
        return
    with contextlib.chdir(file_of(run, data, runs).parent):  # so that no result names a path
        score(name, run, um.load(runs / name))


def score(name: str, run: Run, model: um.Method) -> None:
    known, seen = run.setting, is_seen(run)
    _, *filters = known.reading.split() or [""]
    data = keep_values(um.load_data(known.data), filters)
    rest, test = data.split(0.1, 0)
    if known.data == EDGES.data:
        draw_edges(name, model, data)
    judged = seen_codes(model, data) if seen else model
    if len(model.code_spaces) == 1:
        judged = split_code(model, rest, {"style": known.identity, "content": known.rest})
        roles, found, assumed = space_factors(judged), [], False
    else:
        roles, found, assumed = find_spaces(judged, data, known.identity, known.rest)
    look, layout = roles
    scores = evaluate(
        judged, test, train=rest, roles=roles, take=look,
        probe_factors={layout: known.judged} if known.judged else {},
    )  # fmt: skip
    scores.context["protocol"] = "seen" if seen else "held-out"
    scores.context["codes"] = "optimised" if isinstance(judged, KnownCodes) else "encoders'"
    scores.context["assignment"] = [one.why for one in found]
    scores.context["roles_assumed"] = assumed
    print(scores.table(), flush=True)
    scores.save(RESULTS / f"{name}.json", overwrite=True)
    draw(name, judged, data if seen else test, known, look, layout)


def draw(
    name: str, model: object, data: um.FactorDataset, known: Setting, look: str, layout: str
) -> None:
    """The analogy grid: rows keep the code of the look; and one item in many views."""
    rng = np.random.default_rng(0)

    def different(factor: str, count: int) -> np.ndarray:
        column = data.factor(factor)
        values = rng.permutation(np.unique(column))[:count]
        return np.array([rng.choice(np.flatnonzero(column == value)) for value in values])

    down, across = different(known.identity, 8), different(known.rest, 10)
    grid = swap_grid(model, data.take(down), data.take(across), look, layout)
    save_png(IMAGES / f"{name}.png", grid, overwrite=True)
    if "15min" not in name:
        return
    encoded = Encoded(model, data.items)
    codes = prepared_codes(model, data, layout, 24, by=known.rest.split(",")[0], encoded=encoded)
    frames = views(model, data.take(down[:4]), codes, layout)
    sheets = [tile(frames[:, number : number + 1]) for number in range(len(codes))]
    save_gif(IMAGES / f"{name}-views.gif", sheets, overwrite=True)


def draw_edges(name: str, model: um.Method, data: um.FactorDataset) -> None:
    """Edge maps in the look of pictures, and pictures in that of edge maps."""
    encoded = Encoded(
        KnownCodes(model, data, model.optimised_codes(data)),  # type: ignore[attr-defined]
        data.items,
    )
    rng, half = np.random.default_rng(0), len(data) // 2
    pictures, drawn = rng.integers(0, half, 8), half + rng.integers(0, half, 8)
    for word, contents, styles in (
        ("painted", drawn, pictures), ("drawn", pictures, drawn)
    ):  # fmt: skip
        made = encoded.combine({"style": styles, "content": contents})
        sheet = np.stack([data.take(contents), data.take(styles), made])
        save_png(IMAGES / f"{name}-{word}.png", tile(sheet), overwrite=True)


def table() -> None:
    """Print what was measured, as Markdown."""
    print(
        "| run | protocol | images/s | AlexNet | AlexNet, share of floor | VGG16, share |", end=""
    )
    print(" MSE, share | look | layout | look←style | look←content | layout←style |", end="")
    print(" layout←content |")
    print("|" + "---|" * 13)
    for name in [LORD_CHAIRS, *RUNS]:
        file = RESULTS / f"{name}.json"
        if file.exists():
            print(f"| {name} | " + " | ".join(row(Scores.load(file))) + " |")


def row(scores: Scores) -> list[str]:
    """The cells of one run; probes are MLPs."""
    context = scores.context
    stages = context["run"]["training"]["stages"]
    speed = " / ".join(f"{s['name']} {s['images_per_second']:.0f}" for s in stages)
    cells = [f"{context.get('protocol', 'held-out')}", speed]
    moved = scores.transfer
    if moved is None:
        return [*cells, *["-"] * 10]
    cells.append(f"{moved.metrics['st_lpips_alex'].model.value:.4f}")
    for metric in ("st_lpips_alex", "st_lpips_vgg", "mse"):
        ratio = moved.metrics[metric].ratio
        cells.append(f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    look, layout = moved.take, next(space for space in moved.roles if space != moved.take)
    told = " (assumed)" if context.get("roles_assumed") else ""
    cells += [f"{look}{told}", f"{layout}{told}"]
    probed = {**moved.roles, **context["probe_factors"]}
    for factor in (probed[look], probed[layout]):
        for space in sorted(moved.roles, key=lambda name: name == "content"):
            try:
                found = scores.probe(factor, space)
                cells.append(f"{found.accuracy:.3f} (chance {found.chance:.3f})")
            except KeyError:
                cells.append("-")
    return cells


if __name__ == "__main__":
    main(train, measure, table, RUNS, __doc__)
