"""The disentanglement metrics beside straightforward loops: equal numbers, and how much faster.

    python benchmarks/disentanglement.py [--runs 5] [--only mig dci] [--save]

10,000 rows, 10 codes, 6 factors of 10, 10, 10, 8, 4 and 15 values; fitted on 7,500 rows. For UDR, 5
models. Both versions run in turn in one process; medians of several runs, fewer for DCI, whose loop
takes minutes. Prints Markdown; --save keeps the numbers in results/disentanglement.json. The loops
are in disentanglement_loops.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import disentanglement_loops as loops
import numpy as np

from unmingle.evaluation import disentanglement as dis
from unmingle.evaluation.record import machine

ROWS, SIZES, CODES = 10_000, (10, 10, 10, 8, 4, 15), 10
HOMES = ("first",) * 3 + ("second",) * 3  # the code space of each factor
RESULTS = Path(__file__).parent / "results" / "disentanglement.json"
SLOW = {"dci", "dci fast"}
Case = tuple[Callable[[], object], Callable[[], list[float]]]


def table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes that mix the factors, the factors, and the rows to fit on."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, SIZES, (ROWS, len(SIZES)))
    mixing = 0.2 * rng.normal(size=(len(SIZES), CODES))
    mixing[np.arange(len(SIZES)), np.arange(len(SIZES))] += 1
    codes = 3 * factors / np.array(SIZES) @ mixing + 0.3 * rng.normal(size=(ROWS, CODES))
    return codes, factors, np.sort(rng.permutation(ROWS)[: 3 * ROWS // 4])


def cases() -> dict[str, Case]:
    """The package's version and the loop's of each metric."""
    codes, factors, fit = table()
    turns = [np.random.default_rng(seed).normal(size=(CODES, CODES)) for seed in range(5)]
    models = [codes @ (0.3 * turn + np.eye(CODES)) for turn in turns]
    spaces = by_space(codes)

    def both(ours: Callable[[], object], loop: Callable[..., list[float]]) -> Case:
        return ours, lambda: loop(codes, factors, fit)

    return {
        "mig": both(lambda: [dis.mig(codes, factors).score], loops.mig),
        "mig_by_space": (
            lambda: [dis.mig_by_space(spaces, factors, HOMES).score],
            lambda: loops.mig_by_space(spaces, factors, HOMES),
        ),
        "modularity": both(lambda: [dis.modularity(codes, factors).score], loops.modularity),
        "dci": both(lambda: dci(codes, factors, fit, "exact"), loops.dci),
        "dci fast": both(lambda: dci(codes, factors, fit, "fast"), loops.dci),
        "sap": both(lambda: [dis.sap(codes, factors, train=fit).score], loops.sap),
        "sap_continuous": both(
            lambda: [dis.sap_continuous(codes, factors).score], loops.sap_continuous
        ),
        "explicitness": both(
            lambda: pair(dis.explicitness(codes, factors, train=fit)), loops.explicitness
        ),
        "factor_vae": both(lambda: pair(dis.factor_vae_score(codes, factors)), loops.factor_vae),
        "beta_vae": both(lambda: pair(dis.beta_vae_score(codes, factors)), loops.beta_vae),
        "irs": both(lambda: [dis.irs(codes, factors).score], loops.irs),
        "total_correlation": both(lambda: [dis.total_correlation(codes)], loops.total_correlation),
        "wasserstein": both(lambda: normalised(dis.wasserstein(codes)), loops.wasserstein),
        "mutual_information": both(
            lambda: [dis.mutual_information_score(codes)], loops.mutual_information
        ),
        "udr lasso": (lambda: dis.udr(models).scores, lambda: loops.udr(models, "lasso")),
        "udr spearman": (
            lambda: dis.udr(models, similarity="spearman").scores,
            lambda: loops.udr(models, "spearman"),
        ),
    }


def by_space(codes: np.ndarray) -> dict[str, np.ndarray]:
    """The codes in three spaces, of which two carry three factors each."""
    return {"first": codes[:, :3], "second": codes[:, 3:6], "rest": codes[:, 6:]}


def dci(codes: np.ndarray, factors: np.ndarray, fit: np.ndarray, boosting: str) -> list[float]:
    found = dis.dci(codes, factors, train=fit, boosting=boosting)
    return [
        found.disentanglement,
        found.completeness,
        found.informativeness,
        found.informativeness_train,
    ]


def pair(found: dis.Explicitness | dis.FactorVAEScore | dis.BetaVAEScore) -> list[float]:
    return [found.score, found.train]


def normalised(found: dis.Wasserstein) -> list[float]:
    return [found.score, found.normalised]


def timed(call: Callable[[], object]) -> tuple[float, list[float]]:
    began = time.perf_counter()
    found = call()
    return time.perf_counter() - began, [float(number) for number in found]


def compare(name: str, case: Case, runs: int) -> dict[str, object]:
    """Median seconds of both, what both found, and the ratio."""
    ours, loop = [], []
    timed(case[0])  # imports, caches
    for _ in range(runs):
        seconds, found = timed(case[0])
        ours.append(seconds)
        seconds, expected = timed(case[1])
        loop.append(seconds)
    return {
        "metric": name,
        "runs": runs,
        "seconds": median(ours),
        "loop_seconds": median(loop),
        "ratio": median(loop) / median(ours),
        "values": found,
        "loop_values": expected,
        "difference": float(np.abs(np.subtract(found, expected)).max()),
    }


def together(boosting: str, runs: int) -> float:
    """Median seconds of `measure` with all metrics on the table."""
    codes, factors, fit = table()
    owners = {str(column): home for column, home in enumerate(HOMES)}

    def measured() -> list[int]:
        settings = {"train": fit, "owners": owners, "boosting": boosting}
        return [len(dis.measure(by_space(codes), factors, **settings))]

    return median(timed(measured)[0] for _ in range(runs))


def line(row: dict[str, object]) -> str:
    seconds = f"{row['seconds']:.4g} | {row['loop_seconds']:.4g} | {row['ratio']:.1f}"
    values = ", ".join(f"{number:.6f}" for number in row["values"][:2])
    return f"| {row['metric']} | {seconds} | {values} | {row['difference']:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--slow-runs", type=int, default=1, help="of DCI")
    parser.add_argument("--only", nargs="+", metavar="METRIC")
    parser.add_argument("--save", action="store_true", help=f"write results/{RESULTS.name}")
    settings = parser.parse_args()
    about = machine("numpy", "scipy", "scikit-learn")
    print(f"{about}\n")
    print("| metric | seconds | loop, seconds | ratio | values | largest difference |")
    print("|---|---|---|---|---|---|")
    rows = []
    for name, case in cases().items():
        if settings.only is None or name in settings.only:
            runs = settings.slow_runs if name in SLOW else settings.runs
            rows.append(compare(name, case, runs))
            print(line(rows[-1]), flush=True)
    kept: dict[str, object] = {"machine": about, "rows": ROWS, "codes": CODES, "sizes": SIZES}
    kept["metrics"] = rows
    if settings.only is None:
        for boosting in ("exact", "fast"):
            kept[f"together_{boosting}"] = seconds = together(boosting, settings.slow_runs)
            print(f"\nall together, {boosting} boosting: {seconds:.1f} s", flush=True)
    if settings.save:
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
