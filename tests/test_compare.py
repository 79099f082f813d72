"""Comparisons whose right answer is known, and `unmingle compare` on models of a few steps."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_cli import TRAIN, failure

import unmingle as um
from unmingle.cli import main
from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation import Estimate, Scores, evaluate
from unmingle.evaluation.audit import Audit
from unmingle.evaluation.compare import Entry, compare, paired_interval
from unmingle.evaluation.feature_distance import FeatureDistance, Spread
from unmingle.evaluation.judges import Judgement, Judging
from unmingle.evaluation.measures import RowValues, measures, row_values
from unmingle.evaluation.probes import ProbeResult
from unmingle.evaluation.scores import ProbeRow

MSE, SSIM = ("Reconstruction", "MSE ↓"), ("Reconstruction", "SSIM ↑")


def scores(mse=0.1, width=0.05, seed=0, run=None, probes=(), **context):
    """Scores with one reconstruction, mse ± width."""
    about = {"name": "cells", "rows": 50, "shape": [4, 4, 3], "fingerprint": "f" * 64}
    context = {
        "seed": 0, "pairs": 100, "probe_rows": 10, "roles": {}, "probe_factors": {}, "test": about,
        "train": None, "model": "Any", "versions": {},
        "run": {"method": "m", "settings": {"a": 1}, "seed": seed, **(run or {})}, **context,
    }  # fmt: skip
    rebuilt = {"mse": Estimate(mse, mse - width, mse + width)}
    return Scores(None, rebuilt, list(probes), [], context)


def probed(accuracy, low, high, purpose="leak", chance=0.25):
    return ProbeRow("code", "factor", purpose, ProbeResult(accuracy, chance, low, high, 10, 10))


def row(found, label="MSE ↓"):
    return next(r for r in found.rows if r.label == label)


# ---------------------------------------------------------------------- resampling


def test_the_paired_interval_of_single_rows_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    differences = rng.normal(0.1, 1, 400)
    low, high = paired_interval(differences, np.arange(400)[:, None], draws=4000)
    error = 1.96 * differences.std() / math.sqrt(400)
    assert (low, high) == pytest.approx(
        (differences.mean() - error, differences.mean() + error), abs=0.15 * error
    )


def test_images_are_resampled_and_not_pairs():
    # 30 images, all 870 pairs; the difference rests on the first image alone, so there are 30
    # independent numbers and not 870.
    effect = np.random.default_rng(1).normal(size=30)
    units = np.array([(i, j) for i in range(30) for j in range(30) if i != j])
    low, high = paired_interval(effect[units[:, 0]], units, draws=4000)
    true, naive = (2 * 1.96 * effect.std() / math.sqrt(n) for n in (30, 870))
    assert high - low == pytest.approx(true, rel=0.15)
    assert high - low > 4 * naive


def test_paired_interval_refuses_what_does_not_fit():
    with pytest.raises(DataError, match=r"3 differences but units \(2, 1\)"):
        paired_interval(np.zeros(3), np.zeros((2, 1), int))
    with pytest.raises(DataError, match=r"\[P,U\]"):
        paired_interval(np.zeros(0), np.zeros((0, 1), int))


# ---------------------------------------------------------------------- verdicts


def test_intervals_that_overlap_tell_nothing_and_others_do():
    found = compare([Entry("a", scores(0.10)), Entry("b", scores(0.15)), Entry("c", scores(0.30))])
    assert row(found).best == ("a", "b") and row(found).how == "intervals"
    assert row(found).verdict() == "a or b"
    pair = compare([Entry("a", scores(0.10)), Entry("b", scores(0.15))])
    assert row(pair).verdict() == "not told apart"
    assert "a" in row(compare([Entry("a", scores(0.1)), Entry("b", scores(0.3))])).best


def test_rows_tell_apart_what_intervals_cannot():
    rng = np.random.default_rng(0)
    hard = rng.normal(0.1, 0.05, 100)
    units = np.arange(100)[:, None]
    entries = [
        Entry("a", scores(0.10), {MSE: RowValues(hard, units)}),
        Entry("b", scores(0.11), {MSE: RowValues(hard + 0.01, units)}),
    ]
    assert row(compare(entries)).best == ("a",) and row(compare(entries)).how == "paired"
    noisy = Entry("b", scores(0.101), {MSE: RowValues(rng.normal(0.101, 0.05, 100), units)})
    assert row(compare([entries[0], noisy])).verdict() == "not told apart"
    elsewhere = Entry("b", scores(0.11), {MSE: RowValues(hard + 0.01, units[::-1])})
    assert row(compare([entries[0], elsewhere])).how == "intervals"  # not the same rows


def test_higher_is_better_where_it_is():
    better, worse = scores(), scores()
    better.reconstruction["ssim"] = Estimate(0.9, 0.88, 0.92)
    worse.reconstruction["ssim"] = Estimate(0.5, 0.48, 0.52)
    found = compare([Entry("a", worse), Entry("b", better)])
    assert row(found, "SSIM ↑").best == ("b",)


def test_a_leak_below_chance_is_no_better_than_chance():
    a = scores(probes=[probed(0.0, 0.0, 0.02)])
    b = scores(probes=[probed(0.24, 0.20, 0.28)])
    c = scores(probes=[probed(0.9, 0.85, 0.95)])
    label = "factor from code, linear (leak)"
    found = row(compare([Entry("a", a), Entry("b", b), Entry("c", c)]), label)
    assert found.best == ("a", "b") and found.floor == 0.25
    known = [scores(probes=[probed(v, v - 0.02, v + 0.02, "knows")]) for v in (0.1, 0.2)]
    found = row(compare([Entry("a", known[0]), Entry("b", known[1])]),
                "factor from code, linear (should know)")  # fmt: skip
    assert found.best == ("b",)
    neither = [scores(probes=[probed(v, v, v, "other")]) for v in (0.1, 0.9)]
    found = row(compare([Entry("a", neither[0]), Entry("b", neither[1])]),
                "factor from code, linear")  # fmt: skip
    assert found.better is None and found.verdict() == ""


def test_a_number_that_one_of_them_lacks():
    more = scores(probes=[probed(0.3, 0.2, 0.4)])
    found = compare([Entry("a", scores()), Entry("b", more)])
    lonely = row(found, "factor from code, linear (leak)")
    assert lonely.cells["a"] is None and lonely.verdict() == ""
    assert "–" in found.table()


def test_metrics_without_intervals_are_told_apart_by_seeds_alone():
    def entry(name, mig, correlation, seed, **run):
        found = {"mig": {"score": mig, "x": 9.0}, "total_correlation": {"score": correlation}}
        return Entry(name, replace(scores(seed=seed, run=run), disentanglement=found))

    a, b = entry("a", 0.2, 0.5, 0), entry("b", 0.7, 0.9, 0)
    found = compare([a, b])
    assert row(found, "mig: score").cells["b"].value == 0.7
    assert row(found, "mig: score").verdict() == "no interval"
    assert row(found, "mig: x").verdict() == ""
    others = [entry("c", 0.71, 0.9, 0, budget="9min"), entry("d", 0.69, 0.8, 1, budget="9min")]
    found = compare([a, *others], group=True)
    # 0.5 apart, and t(1) = 12.71 times 0.01414 * sqrt(1 + 1/2) = 0.2201 is needed.
    assert row(found, "mig: score").best == ("c",)
    assert row(found, "mig: score").how == "seeds"
    # 0.35 apart, and 12.71 * 0.0707 * sqrt(1.5) = 1.1 is needed; lower would be better.
    assert row(found, "total_correlation: score").verdict() == "not told apart"
    assert row(found, "total_correlation: score").better == "lower"


def test_the_range_over_halvings_is_no_interval():
    def entry(name, mean):
        swaps, real = Spread(mean, mean - 0.01, mean + 0.01), Spread(0.5, 0.4, 0.6)
        distance = FeatureDistance(swaps, swaps, real, "class", 12, "features", {})
        return Entry(name, replace(scores(), feature_distance=distance))

    found = compare([entry("a", 1.0), entry("b", 5.0)])
    for label in ("swaps", "rebuilt"):
        assert row(found, label).verdict() == "no interval"
        assert row(found, label).cells["b"].value == 5 and row(found, label).floor == 0.5
    assert "[4.99" not in found.table()


def test_a_judges_own_accuracy_stands_below_what_it_says():
    def entry(name, right):
        told, real = Estimate(right, right - 0.01, right + 0.01), Estimate(0.8, 0.7, 0.9)
        judged = Judgement(
            "kind", "class", "i", told, told, told, real, 0.25, 35, 25, 66, "", rebuilt=real
        )
        return Entry(name, replace(scores(), judges=Judging("class", [judged], [], {})))

    found = compare([entry("a", 0.3), entry("b", 0.7)])
    beside = row(found, "kind, judge on real images")
    assert beside.cells["a"].value == 0.8 and beside.floor == 0.25
    assert beside.verdict() == "" and row(found, "kind, as its source").best == ("b",)
    assert row(found, "kind, made of its own codes").cells["a"].value == 0.8


def test_an_audit_that_looked_closer_is_told():
    def entry(name, quick):
        audit = Audit([], [], [], {}, [], [], {"quick": quick})
        return Entry(name, replace(scores(), audit=audit))

    notes = compare([entry("a", False), entry("b", True)]).notes
    assert notes == ["b and a: one audit is the quick one, the other looked closer"]
    assert compare([entry("a", True), entry("b", True)]).notes == []


# ---------------------------------------------------------------------- seeds


def test_seeds_of_one_kind_are_one_column():
    other = {"settings": {"a": 2}}
    entries = [
        Entry("plain-0", scores(0.10, 0.001, 0)), Entry("wide-0", scores(0.20, 0.001, 0, other)),
        Entry("plain-1", scores(0.12, 0.001, 1)), Entry("wide-1", scores(0.22, 0.001, 1, other)),
    ]  # fmt: skip
    found = compare(entries, group=True)
    assert found.columns == {"plain": ["plain-0", "plain-1"], "wide": ["wide-0", "wide-1"]}
    cell = row(found).cells["plain"]
    assert (cell.value, cell.spread, cell.runs) == pytest.approx((0.11, math.sqrt(2) * 0.01, 2))
    # Difference 0.1; standard error sqrt((2e-4 + 2e-4)/2 * (1/2 + 1/2)) = 0.01414; t(2) = 4.303.
    assert row(found).best == ("plain",) and row(found).how == "intervals, seeds"
    assert "0.1100 ± 0.0141" in found.table() and "plain (2 seeds)" in found.table()


def test_a_difference_within_the_spread_of_seeds_is_none():
    other = {"settings": {"a": 2}}
    # 0.05 apart, and 4.303 * 0.01414 = 0.0608 is needed; the intervals over rows do not overlap.
    entries = [Entry(f"a{s}", scores(0.10 + 0.02 * s, 0.001, s)) for s in (0, 1)]
    entries += [Entry(f"b{s}", scores(0.15 + 0.02 * s, 0.001, s, other)) for s in (0, 1)]
    assert row(compare(entries, group=True)).verdict() == "not told apart"
    # A single run has no variance of its own: that of the others is used, and t(1) = 12.7.
    assert row(compare(entries[:3], group=True)).verdict() == "not told apart"
    far = Entry("b0", scores(0.50, 0.001, 0, other))
    assert row(compare([*entries[:2], far], group=True)).best == ("a",)


def test_runs_of_one_kind_alone_cannot_be_compared_as_a_group():
    with pytest.raises(ConfigError, match="only run"):
        compare([Entry(f"run-{s}", scores(seed=s)) for s in (0, 1)], group=True)


# ---------------------------------------------------------------------- the same rows


def test_scores_of_other_rows_are_refused_and_other_settings_are_told():
    about = {"name": "cells", "rows": 40, "shape": [4, 4, 3], "fingerprint": "e" * 64}
    with pytest.raises(ConfigError, match=r"a and b .* different test rows .*eeeeeeee"):
        compare([Entry("a", scores()), Entry("b", scores(test=about))])
    other = scores(pairs=30, train=about, roles={"x": "y"})
    other.context["seed"] = 4
    notes = "\n".join(compare([Entry("a", scores()), Entry("b", other)]).notes)
    for part in ("seeds 4 and 0", "30 and 100 pairs", "in, other rows", "roles: {'x': 'y'} and {}"):
        assert part in notes
    assert compare([Entry("a", scores()), Entry("b", scores())]).notes == []
    with pytest.raises(ConfigError, match="names must differ"):
        compare([Entry("a", scores()), Entry("a", scores())])


class Noisy:
    """Codes are the cell's numbers; what is decoded is the true image plus a pattern."""

    def __init__(self, table, noise):
        self.table, self.noise = table, noise
        self.code_spaces = {n: SimpleNamespace(factor=n) for n in ("kind", "pose")}

    def encode(self, images):
        flat = self.table.reshape(-1, self.table[0, 0].size).astype(int)
        cell = [np.abs(flat - image.ravel()).sum(1).argmin() for image in np.asarray(images)]
        kind, pose = np.divmod(np.array(cell), self.table.shape[1])
        return {"kind": kind[:, None].astype(float), "pose": pose[:, None].astype(float)}

    def decode(self, codes):
        kind, pose = (codes[name][:, 0].astype(int) for name in ("kind", "pose"))
        shift = self.noise * (1 + kind)[:, None, None, None]
        return np.clip(self.table[kind, pose].astype(int) + shift, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cells():
    """(images of every cell, test rows, training rows)."""
    rng = np.random.default_rng(0)
    table = rng.integers(0, 200, (4, 5, 16, 16, 3), dtype=np.uint8)
    kind, pose = (part.ravel() for part in np.indices((4, 5)))
    whole = FactorDataset(images=table[kind, pose], factors={"kind": kind, "pose": pose})
    rows = rng.permutation(20)
    return table, whole.select(rows[:9]), whole.select(rows[9:])


def test_row_values_are_those_behind_the_scores(cells):
    table, test, train = cells
    options = {"train": train, "metrics": ("mse", "ssim"), "probes": (), "seed": 3}
    entries = []
    for name, noise in (("good", 2), ("bad", 12)):
        model = Noisy(table, noise)
        found = evaluate(model, test, pairs=7, **options)
        rows = row_values(model, test, found, truth=[train])
        assert len(rows) == 4  # transfer and reconstruction, two metrics each
        for measure in measures(found):
            assert rows[measure.key].values.mean() == pytest.approx(measure.estimate.value)
        entries.append(Entry(name, found, rows))
    shapes = sorted(value.units.shape for value in entries[0].rows.values())
    assert shapes == [(7, 1), (7, 1), (7, 2), (7, 2)]
    result = compare(entries)
    assert {r.best for r in result.rows} == {("good",)} and {r.how for r in result.rows} == {
        "paired"
    }
    shifted = replace(found, reconstruction={"mse": Estimate(9.0, 8.0, 10.0)}, transfer=None)
    assert row_values(model, test, shifted, truth=[train]) == {}  # not what stands behind 9.0


def test_a_table_as_markdown_and_json(tmp_path):
    a, b = scores(probes=[probed(0.3, 0.2, 0.4)]), scores(math.nan, math.nan)
    found = compare([Entry("a|<b>", a), Entry("_c_", b)])
    text = found.markdown()
    assert r"| a\|\<b> | \_c\_ |" in text
    for line in text.replace(r"\|", "").splitlines():
        assert not line.startswith("|") or line.count("|") in (6, 7)  # with and without chance
    file = found.save(tmp_path / "x.json")
    plain = json.loads(file.read_text())
    assert plain["rows"][0]["cells"]["_c_"]["value"] is None
    assert plain["columns"] == {"a|<b>": ["a|<b>"], "_c_": ["_c_"]}


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a few steps on digits: a-0, a-1 (another seed), split (other rows held out)."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        assert main([*TRAIN.split(), "--seed", seed, "--out", str(folder / f"a-{seed}")]) == 0
    shutil.copytree(folder / "a-0", folder / "split")
    config = folder / "split" / "config.json"
    info = json.loads(config.read_text())
    info["recipe"]["splitting"]["split_seed"] = 4
    config.write_text(json.dumps(info))
    return folder


QUICK = ["--metrics", "mse", "--probes", "none", "--pairs", "20", "--device", "cpu"]


def test_compare_runs(runs, tmp_path, capsys):
    line = ["compare", runs / "a-0", runs / "a-1", *QUICK]
    out = [tmp_path / "x.json", tmp_path / "x.md"]
    assert main([*map(str, line), "--json", str(out[0]), "-o", str(out[1])]) == 0
    table = capsys.readouterr().out
    assert "15 test rows of digits" in table and "MSE ↓" in table and "paired" in table
    plain = json.loads(out[0].read_text())
    test = um.load_data("digits", rows=60, size=32).split(0.25, 3)[1]
    assert plain["context"]["test"]["fingerprint"] == test.fingerprint()
    assert list(plain["columns"]) == ["a-0", "a-1"]
    lines = [line for line in out[1].read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 3 and {line.count("|") for line in lines} == {6}
    assert "--overwrite" in failure(capsys, *line, "--json", out[0])


def test_runs_that_held_out_other_rows_are_scored_on_those_in_common(runs, capsys):
    assert main([*map(str, ["compare", runs / "a-0", runs / "split", *QUICK])]) == 0
    out, err = capsys.readouterr()
    digits = um.load_data("digits", rows=60, size=32)
    common = set(digits.split(0.25, 3)[1].ids) & set(digits.split(0.25, 4)[1].ids)
    assert 0 < len(common) < 15
    assert f"{len(common)} test rows" in out and f"{len(common)} rows are scored" in err


def test_compare_stored_scores(runs, tmp_path, capsys):
    files = []
    for name, flags in (("a-0", []), ("a-1", []), ("split", [])):
        files.append(tmp_path / f"{name}.json")
        line = ["evaluate", runs / name, "digits", "--draw", "60", *flags, *QUICK]
        assert main([*map(str, line), "--json", str(files[-1])]) == 0
    capsys.readouterr()
    assert main(["compare", *map(str, files[:2])]) == 0
    out = capsys.readouterr().out
    assert "intervals" in out.partition("\n\nReconstruction")[2].splitlines()[2]
    assert "different test rows" in failure(capsys, "compare", files[0], files[2])
    # A run beside stored scores is scored on its own held-out rows, which are the same.
    assert main(["compare", str(files[0]), str(runs / "a-1"), *QUICK]) == 0


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("compare x", "two runs or more"),
        ("compare x x", "given twice"),
        ("compare x y", "x is no run folder"),
        ("compare x.json y.json", "x.json cannot be read"),
        ("compare x y --json z.txt", "--json z.txt"),
        ("compare x y -o z.html", "must end in .md"),
        ("compare x y --pairs 0", "--pairs 0: at least 1"),
        ("compare x y --seed -1", "--seed -1: 0 or more"),
        ("compare x.json y.json --audit", "--audit says how runs are scored"),
        ("compare x.json y.json --role content=pose", "--role says how"),
        ("compare x.json y.json --metrics mse", "--metrics says how"),
        ("compare x.json y.json --pairs 3", "--pairs says how"),
        ("compare x.json y.json --data z.npz", "--data says how"),
        ("compare x.json y.json --values a=1", "--values says how"),
        ("compare x.json y.json --device cpu", "--device says how"),
    ],
)
def test_mistakes(line, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert part in failure(capsys, *line.split())
