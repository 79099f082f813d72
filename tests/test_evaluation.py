"""Scores on data and models whose right answers are known."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError, RunError
from unmingle.evaluation import (
    Encoded,
    Scores,
    audit,
    cross_probe,
    evaluate,
    judge,
    measure_reconstruction,
    measure_transfer,
    mse,
    nearest,
    probe,
    retrieval_precision,
    ssim,
)
from unmingle.evaluation.bootstrap import (
    Estimate,
    mean_interval,
    ratio_interval,
    share_interval,
)
from unmingle.evaluation.image_metrics import to_rgb
from unmingle.evaluation.transfer import find_pairs

KINDS, POSES = 5, 6


def _table(kinds=KINDS, poses=POSES, size=16):
    """One image a cell [kinds, poses, size, size, 3], all different."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (kinds, poses, 4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 1, size // 4, size // 4, 1), np.uint8))


def _dataset(table, kind, pose):
    factors = {"kind": kind, "pose": pose, "parity": pose % 2}
    return FactorDataset(images=table[kind, pose], factors=factors, name="cells")


def _grid(table, repeats=1):
    kind, pose = (np.tile(x.ravel(), repeats) for x in np.indices(table.shape[:2]))
    return _dataset(table, kind, pose)


class LookUp:
    """Knows the table: codes are one-hot, decoding is exact. `leak` adds the class to content."""

    def __init__(self, table, leak=0.0, factors=("kind", None)):
        self.table, self.leak, self.encoded = table, leak, 0
        names = ("class", "content")
        self.code_spaces = {
            name: SimpleNamespace(factor=factor)
            for name, factor in zip(names, factors, strict=True)
        }
        self.run_info = {"data": "cells"}

    def encode(self, images):
        self.encoded += len(images)
        kinds, poses = self.table.shape[:2]
        flat = self.table.reshape(kinds * poses, -1).astype(np.int64)
        items = np.asarray(images).reshape(len(images), -1)
        cell = np.array([np.abs(flat - row).sum(1).argmin() for row in items])
        kind, pose = np.divmod(cell, poses)
        content = np.concatenate([np.eye(poses)[pose], self.leak * np.eye(kinds)[kind]], 1)
        return {"class": np.eye(kinds, dtype=np.float32)[kind], "content": content}

    def decode(self, codes):
        kind = codes["class"].argmax(1)
        return self.table[kind, codes["content"][:, : self.table.shape[1]].argmax(1)]


class CopyContent:
    """Has no decoder; hands back the image whose content is wanted."""

    def encode(self, images):
        mean = np.asarray(images).mean((1, 2, 3))[:, None]
        return {"class": mean, "content": mean}

    def recombine(self, images):
        return images["content"]


# Images


def test_mse_by_hand():
    a = np.zeros((2, 2, 2, 1), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 255  # one of four pixels fully wrong
    b[1] = 51  # all wrong by a fifth
    np.testing.assert_allclose(mse(a, b), [0.25, 0.04])
    np.testing.assert_allclose(mse(np.array([[1.0, 2.0]]), np.array([[1.0, 5.0]])), [4.5])
    with pytest.raises(DataError, match="differ in shape"):
        mse(a, b[:1])


def test_ssim_of_constant_images_is_the_luminance_term():
    a, b = np.full((1, 16, 20, 3), 0.3), np.full((1, 16, 20, 3), 0.8)
    expected = (2 * 0.3 * 0.8 + 1e-4) / (0.3**2 + 0.8**2 + 1e-4)
    np.testing.assert_allclose(ssim(a, b), [expected])
    np.testing.assert_allclose(ssim(a, a), [1])


def test_ssim_against_its_definition_window_by_window():
    rng = np.random.default_rng(0)
    a = rng.random((1, 13, 12, 2))
    b = np.clip(a + 0.2 * rng.normal(size=a.shape), 0, 1)
    y, x = np.mgrid[-5:6, -5:6]
    w = np.exp(-(x**2 + y**2) / 4.5)
    w /= w.sum()
    values = []
    for top, left, c in itertools.product(range(3), range(2), range(2)):
        p, q = (z[0, top : top + 11, left : left + 11, c] for z in (a, b))
        mp, mq = (w * p).sum(), (w * q).sum()
        vp, vq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum()
        cov = (w * (p - mp) * (q - mq)).sum()
        c1, c2 = 1e-4, 9e-4
        values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    np.testing.assert_allclose(ssim(a, b), [np.mean(values)], rtol=1e-9)
    with pytest.raises(DataError, match="11x11"):
        ssim(a[:, :10], b[:, :10])


def test_rgb_of_grey_and_transparent_images():
    assert to_rgb(np.array([[7]], np.uint8)).tolist() == [[7, 7, 7]]
    half = np.array([[100, 0, 200, 51]], np.uint8)  # a fifth opaque on white
    assert to_rgb(half).tolist() == [[224, 204, 244]]
    assert to_rgb(np.array([[100, 255]], np.uint8)).tolist() == [[100, 100, 100]]


# Intervals


def test_intervals_agree_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = mean_interval(values)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)

    hits = np.arange(400) < 100
    share = share_interval(hits)
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert (share.value, share.low) == (0.25, pytest.approx(0.25 - half, abs=0.1 * half))
    # four copies of a row carry no more than one: twice as wide
    grouped = share_interval(np.repeat(hits[::4], 4), np.repeat(np.arange(100), 4))
    assert grouped.high - grouped.low == pytest.approx(4 * half, rel=0.15)


def test_intervals_at_the_ends_and_of_ratios():
    reach = 3.841458820694124 / (20 + 3.841458820694124)  # Wilson
    none, full = share_interval(np.zeros(20, bool)), share_interval(np.ones(20, bool))
    assert (none.low, none.high) == (0, pytest.approx(reach))
    assert (full.low, full.high) == (pytest.approx(1 - reach), 1)
    below = np.random.default_rng(0).random(50)
    assert ratio_interval(0.5 * below, below) == Estimate(*[pytest.approx(0.5)] * 3)
    assert np.isinf(ratio_interval(below, 0 * below).value)


# Probes


@pytest.fixture
def quick(monkeypatch):
    """One setting, soon stopped, where the MLP's strength is not what is tested."""
    from unmingle.evaluation import mlp

    monkeypatch.setattr(mlp, "_SETTINGS", mlp._SETTINGS[1:2])
    monkeypatch.setattr(mlp, "_PATIENCE", 2)


def _visible(rng, count, values, share):
    """One-hot codes that show the true value with this probability, else a random one."""
    y = rng.integers(0, values, count)
    shown = np.where(rng.random(count) < share, y, rng.integers(0, values, count))
    return np.eye(values)[shown], y


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_probe_reaches_the_known_accuracy(kind, quick):
    rng = np.random.default_rng(0)
    codes, y = _visible(rng, 1000, 5, 0.6)
    codes = np.concatenate([codes, np.ones((1000, 1)), rng.normal(1e6, 1, (1000, 3))], 1)
    found = probe(codes[:500], y[:500], codes[500:], y[500:], kind)
    assert found.low < 0.6 + 0.4 / 5 < found.high
    assert found.low < found.accuracy < found.high
    assert 0.2 <= found.chance < 0.26
    assert (found.n_train, found.n_test, found.kind) == (500, 500, kind)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_probe_of_noise_is_at_chance_and_chance_counts_the_common_value(kind, quick):
    rng = np.random.default_rng(0)
    codes, y = rng.normal(size=(800, 8)), (rng.random(800) < 0.25).astype(int)
    found = probe(codes[:400], y[:400], codes[400:], y[400:], kind)
    assert found.chance == (y[400:] == 0).mean()
    assert found.low < found.chance + 0.02


def test_only_the_mlp_finds_what_is_not_linear_and_hides_in_small_variance(monkeypatch):
    monkeypatch.setattr("unmingle.evaluation.mlp._PATIENCE", 3)
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], (900, 2))
    y = (signs.prod(1) > 0).astype(int)
    wide = rng.normal(size=(900, 6))
    codes = np.concatenate([0.02 * (signs + 0.2 * rng.normal(size=signs.shape)), wide], 1)
    codes = codes @ np.linalg.qr(rng.normal(size=(8, 8)))[0]  # the axes do not show it
    parts = (codes[:600], y[:600], codes[600:], y[600:])
    assert probe(*parts, "linear").accuracy < 0.6
    assert probe(*parts, "mlp").accuracy > 0.95


def test_probes_keep_the_random_state_and_repeat(quick):
    import torch

    rng = np.random.default_rng(0)
    codes, y = _visible(rng, 120, 3, 0.5)
    torch.manual_seed(5)
    first = probe(codes[:60], y[:60], codes[60:], y[60:], "mlp", seed=1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    assert first == probe(codes[:60], y[:60], codes[60:], y[60:], "mlp", seed=1)


def test_cross_probe_scores_every_row_that_can_be():
    rng = np.random.default_rng(0)
    codes, y = _visible(rng, 600, 4, 0.7)
    found = cross_probe(codes, y, 5)
    assert found.low < 0.7 + 0.3 / 4 < found.high
    assert (found.n_train, found.n_test) == (480, 600)
    assert "5-fold" in found.how
    lonely = y.copy()
    lonely[0] = 9  # one row: no other fold knows the value
    assert cross_probe(codes, lonely, 5).n_test == 599


def test_groups_are_not_split_between_folds():
    # Codes name the group and nothing else: only a split group can be guessed.
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 6)
    y = rng.integers(0, 4, 40)[group]
    codes = np.eye(40)[group]
    assert cross_probe(codes, y, 4).accuracy == 1
    assert cross_probe(codes, y, 4, groups=group).accuracy < 0.5


def test_probe_refuses_bad_input():
    codes, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    spoilt = codes.copy()
    spoilt[7, 1] = np.nan
    for bad, text in (
        ((codes[:9], y, codes, y), "9 training codes but 20 values"),
        ((spoilt, y, codes, y), "first in row 7"),
        ((codes, y, codes[:, :2], y), "3 entries, test codes 2"),
        ((codes, 0 * y, codes, 0 * y), "all rows have the value 0"),
        ((codes, y, codes, y + 1), r"value\(s\) \[2\]"),
        ((codes, y / 2, codes, y), "integers, got float64"),
        ((codes[:0], y[:0], codes, y), "no training rows"),
    ):
        with pytest.raises(DataError, match=text):
            probe(*bad)
    with pytest.raises(ConfigError, match="'mlp'"):
        probe(codes, y, codes, y, "mlpp")
    with pytest.raises(ConfigError, match="2 to 20"):
        cross_probe(codes, y, 30)
    with pytest.raises(DataError, match="one row"):
        cross_probe(codes, np.arange(20), 5)


# Transfer


def test_pairs_are_all_those_with_a_true_image():
    table = _table()
    whole = _grid(table)
    rows = np.random.default_rng(0).permutation(len(whole))
    test, train = whole.select(rows[:12]), whole.select(rows[12:20])
    sets = [test, train]
    there = {(k, p) for d in sets for k, p in zip(*map(d.factor, ("kind", "pose")), strict=True)}
    cells = list(zip(test.factor("kind"), test.factor("pose"), strict=True))
    expected = {
        (i, j)
        for i, j in itertools.permutations(range(12), 2)
        if cells[i][0] != cells[j][0]
        and cells[i][1] != cells[j][1]
        and (cells[i][0], cells[j][1]) in there
    }
    found = find_pairs(test, sets, "kind", ["pose"], pairs=1000)
    assert set(zip(found.taken, found.kept, strict=True)) == expected
    assert found.possible == len(expected)
    for i, j, source, row in zip(found.taken, found.kept, found.source, found.truth, strict=True):
        true = sets[source].factor("kind")[row], sets[source].factor("pose")[row]
        assert true == (cells[i][0], cells[j][1])

    some = [find_pairs(test, sets, "kind", ["pose"], pairs=5, seed=s) for s in (0, 0, 1)]
    assert len(some[0].taken) == 5
    np.testing.assert_array_equal(some[0].taken, some[1].taken)
    assert not np.array_equal(some[0].taken * 12 + some[0].kept, some[2].taken * 12 + some[2].kept)


def test_pairs_among_many_rows_and_several_factors():
    table = _table()
    data = _grid(table, repeats=80)  # 2400 rows, above the number whose pairs are all listed
    found = find_pairs(data, [data], "kind", ["pose", "parity"], pairs=50)
    assert len(found.taken) == 50
    kind, pose = data.factor("kind"), data.factor("pose")
    np.testing.assert_array_equal(kind[found.truth], kind[found.taken])
    np.testing.assert_array_equal(pose[found.truth], pose[found.kept])
    assert len(np.unique(found.truth)) > 25  # not always the first row of a cell
    with pytest.raises(DataError, match="train="):
        find_pairs(data.select([0, 7]), [data.select([0, 7])], "kind", ["pose"])


def test_perfect_transfer_and_the_copy_floors():
    table = _table(4, 4)
    whole = _grid(table)
    test, train = whole.split(test=0.4, seed=3)
    roles = {"class": "kind", "content": "pose"}
    found = measure_transfer(LookUp(table), test, roles, truth=[train])
    assert set(found.metrics) == {"st_lpips_alex", "st_lpips_vgg", "mse", "ssim"}
    assert (found.take, found.pairs) == ("class", found.possible)
    for name, metric in found.metrics.items():
        assert metric.model.value == pytest.approx(1 if name == "ssim" else 0, abs=1e-6)
        assert metric.ratio == Estimate(*[pytest.approx(0, abs=1e-6)] * 3)

    cells = list(zip(test.factor("kind"), test.factor("pose"), strict=True))
    floors = {"class": [], "content": []}
    for (a, p), (b, q) in itertools.permutations(cells, 2):
        if a != b and p != q:  # the whole table is there, so every such pair counts
            true = table[a, q] / 255
            floors["class"].append(np.square(table[a, p] / 255 - true).mean())
            floors["content"].append(np.square(table[b, q] / 255 - true).mean())
    assert found.pairs == len(floors["class"])
    metric = found.metrics["mse"]
    for space, values in floors.items():
        assert metric.copies[space].value == pytest.approx(np.mean(values))
    assert metric.floor == min(floors, key=lambda space: np.mean(floors[space]))
    assert found.metrics["ssim"].floor == max(
        floors, key=lambda space: found.metrics["ssim"].copies[space].value
    )


def test_copying_scores_as_its_floor():
    whole = _grid(_table())
    found = measure_transfer(
        CopyContent(), whole, {"class": "kind", "content": "pose"}, metrics=["mse"]
    )
    metric = found.metrics["mse"]
    assert metric.model == metric.copies["content"]
    better = min(metric.copies.values(), key=lambda copy: copy.value)
    assert metric.ratio.value == pytest.approx(metric.model.value / better.value)
    exact = measure_reconstruction(CopyContent(), whole, metrics=["mse", "ssim"], rows=7)
    assert exact == {"mse": Estimate(0, 0, 0), "ssim": Estimate(*[pytest.approx(1)] * 3)}


def test_transfer_refuses_what_it_cannot_measure():
    table = _table()
    data, model = _grid(table), LookUp(table)
    roles = {"class": "kind", "content": "pose"}
    for change, text in (
        ({"roles": {"klass": "kind", "content": "pose"}}, "'class'"),
        ({"roles": {"class": "kind"}}, "two code spaces"),
        ({"roles": {"class": "kind", "content": "kind"}}, "two code spaces"),
        ({"take": "contents"}, "'content'"),
        ({"metrics": ["lpips"]}, "st_lpips_alex"),
        ({"pairs": 0}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=text):
            measure_transfer(model, data, **{"roles": roles, **change})
    with pytest.raises(DataError, match="pose"):
        measure_transfer(model, data, {"class": "kind", "content": "posed"})


# All together


def _evaluate(model, *args, **kwargs):
    return evaluate(model, *args, **{"metrics": ["mse", "ssim"], "pairs": 50, **kwargs})


@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_evaluate_finds_the_leak_that_is_there(leak, quick):
    table = _table()
    test, train = _grid(table, 6).split(test=0.5, seed=0)
    model = LookUp(table, leak)
    scores = _evaluate(model, test, train=train, roles={"content": "pose"})
    assert model.encoded == len(test) + len(train)
    for kind in ("linear", "mlp"):
        assert scores.probe("kind", "class", kind).accuracy == 1
        assert scores.probe("pose", "content", kind).accuracy == 1
        pose_from_class = scores.probe("pose", "class", kind)
        assert pose_from_class.low < 1 / POSES + 0.06
        leaked = scores.probe("kind", "content", kind)
        assert leaked.accuracy == 1 if leak else leaked.accuracy < 0.4
        assert leaked.n_test == len(test)
    purposes = {(row.factor, row.space): row.purpose for row in scores.probes}
    assert purposes == {
        ("kind", "class"): "knows",
        ("kind", "content"): "leak",
        ("pose", "class"): "leak",
        ("pose", "content"): "knows",
    }
    assert scores.transfer.metrics["mse"].ratio.value == 0
    assert scores.reconstruction["mse"].value == 0
    assert scores.context["test"]["fingerprint"] == test.fingerprint()
    assert scores.context["run"] == {"data": "cells"}


def test_evaluate_says_what_it_needs():
    table = _table()
    data = _grid(table, 2)
    lines = []
    scores = _evaluate(LookUp(table), data, probes=["linear"], say=lines.append)
    assert scores.transfer is None
    assert [(row.factor, row.space) for row in scores.probes] == [
        ("kind", "class"),
        ("kind", "content"),
    ]
    assert any("content" in note and "--role content=" in note for note in scores.notes)
    assert "--role content=" in scores.table()
    assert any("kind from the content code" in line for line in lines)
    renamed = _evaluate(LookUp(table, factors=("sort", None)), data, probes=[])
    assert any("'sort'" in note for note in renamed.notes)
    with pytest.raises(DataError, match="pose"):
        _evaluate(LookUp(table), data, roles={"content": "poses"})
    with pytest.raises(ConfigError, match="content"):
        _evaluate(LookUp(table), data, roles={"contents": "pose"})
    with pytest.raises(ConfigError, match="linear"):
        _evaluate(LookUp(table), data, probes=["lineal"])


def test_a_model_that_only_encodes_is_scored_by_its_codes():
    table = _table()
    known = LookUp(table)
    model = SimpleNamespace(encode=known.encode, code_spaces=known.code_spaces)
    scores = _evaluate(model, _grid(table, 2), roles={"content": "pose"}, probes=["linear"])
    assert scores.transfer is None and scores.reconstruction == {}
    assert any("neither decode nor recombine" in note for note in scores.notes)
    assert scores.probe("kind", "class", "linear").accuracy == 1


@pytest.mark.parametrize("measure", [evaluate, audit, judge])
def test_what_nothing_can_be_drawn_with_is_refused_before_any_work(measure):
    table = _table()
    model, data = LookUp(table), _grid(table)
    for wrong, text in (
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
        ({"pairs": -5}, "pairs must be at least 1, got -5"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ):
        with pytest.raises(ConfigError, match=text):
            measure(model, data, roles={"content": "pose"}, **wrong)
    assert model.encoded == 0


def test_evaluate_of_new_classes_and_other_probe_factors():
    table = _table()
    whole = _grid(table, 6)
    train, test = whole.split(by="kind", values=["3", "4"])
    scores = _evaluate(
        LookUp(table),
        test,
        train=train,
        roles={"content": "pose"},
        probe_factors={"content": "parity"},
        factors=["pose"],
        probes=["linear"],
    )
    new, old = scores.probe("kind", "class", "linear"), scores.probe("parity", "content", "linear")
    assert "5-fold" in new.how
    assert "train rows" in old.how
    assert (new.accuracy, new.chance, old.accuracy) == (1, 0.5, 1)
    assert {row.purpose for row in scores.probes if row.factor == "pose"} == {"other"}
    assert scores.transfer.roles["content"] == "pose"

    lone = _evaluate(
        LookUp(table),
        test.select(test.factor("kind") == 3),
        roles={"content": "pose"},
        probes=["linear"],
    )
    assert any("kind from the class code is not probed" in note for note in lone.notes)
    assert any("content transfer left out" in note for note in lone.notes)


def test_evaluate_is_seeded_and_vectors_work():
    rng = np.random.default_rng(0)
    kind, pose = (x.ravel() for x in np.indices((4, 5)))
    vectors = np.stack([kind, pose], 1).astype(np.float32)
    data = FactorDataset(vectors=vectors, factors={"kind": kind, "pose": pose})
    noise = rng.normal(size=(20, 1)).astype(np.float32)
    model = SimpleNamespace(
        code_spaces={"class": SimpleNamespace(factor="kind")},
        encode=lambda x: {"class": x[:, :1], "content": x[:, 1:] + 0.1 * noise[: len(x)]},
        decode=lambda codes: np.concatenate([codes["class"], codes["content"]], 1),
    )
    runs = [
        evaluate(model, data, roles={"content": "pose"}, pairs=30, probes=["linear"], seed=s)
        for s in (0, 0, 1)
    ]
    assert list(runs[0].transfer.metrics) == ["mse"]
    assert runs[0].to_dict() == runs[1].to_dict()
    assert runs[0].transfer != runs[2].transfer
    expected = 0.01 * np.square(noise).mean() / 2  # only content is off
    assert runs[0].reconstruction["mse"].value == pytest.approx(expected, rel=1e-4)


def test_scores_survive_a_file(tmp_path):
    table = _table()
    data = _grid(table, 2)
    scores = _evaluate(LookUp(table), data, roles={"content": "pose"}, probes=["linear"])
    path = scores.save(tmp_path / "deep" / "scores.json")
    again = Scores.load(path)
    assert again.to_dict() == scores.to_dict()
    assert again.table() == scores.table()
    with pytest.raises(RunError, match="overwrite"):
        scores.save(path)
    scores.save(path, overwrite=True)
    assert [entry.name for entry in path.parent.iterdir()] == ["scores.json"]
    with pytest.raises(RunError, match="cannot be read"):
        Scores.load(tmp_path / "none.json")
    path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(RunError, match="does not hold scores"):
        Scores.load(path)

    lines = scores.table().splitlines()
    header = next(line for line in lines if "accuracy" in line)
    row = next(line for line in lines if line.strip().startswith("kind"))
    assert row.index("100.0%") <= header.index("accuracy") + 1
    assert "copy class image" in scores.table()


def test_scores_that_are_not_finite_are_still_json(tmp_path):
    flat = np.zeros((4, 16, 16, 3), np.uint8)  # all images alike: every floor is 0
    factors = {"kind": [0, 0, 1, 1], "pose": [0, 1, 0, 1]}
    data = FactorDataset(images=flat, factors=factors)
    model = LookUp(np.zeros((2, 2, 16, 16, 3), np.uint8))
    scores = _evaluate(model, data, roles={"content": "pose"}, probes=[])
    assert scores.to_dict()["transfer"]["metrics"]["mse"]["ratio"]["value"] is None
    assert np.isnan(Scores.load(scores.save(tmp_path / "s.json")).transfer.metrics["mse"].ratio.low)


def test_encoded_checks_what_the_model_returns():
    images = _grid(_table()).images
    with pytest.raises(DataError, match="NaN"):
        Encoded(SimpleNamespace(encode=lambda x: {"class": np.full((len(x), 2), np.nan)}), images)
    with pytest.raises(DataError, match="shape"):
        Encoded(SimpleNamespace(encode=lambda x: {"class": np.zeros(3)}), images)
    only = Encoded(SimpleNamespace(encode=lambda x: {"class": np.zeros((len(x), 2))}), images)
    with pytest.raises(ConfigError, match="neither decode nor recombine"):
        only.combine({"class": [0]})
    with pytest.raises(ConfigError, match="code spaces are class"):
        only.combine({"content": [0]})


# Retrieval


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_nearest_against_all_distances(metric, monkeypatch):
    rng = np.random.default_rng(0)
    query, base = rng.normal(5, 1, (30, 4)), rng.normal(5, 1, (50, 4))
    monkeypatch.setattr("unmingle.evaluation.retrieval._CELLS", 7 * 50)  # several blocks
    rows, distances = nearest(query, base, 6, metric)
    if metric == "euclidean":
        every = np.linalg.norm(query[:, None] - base[None], axis=2)
    else:
        unit_q, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, base))
        every = 1 - unit_q @ unit_b.T
    np.testing.assert_array_equal(rows, np.argsort(every, 1)[:, :6])
    np.testing.assert_allclose(distances, np.sort(every, 1)[:, :6], rtol=1e-4, atol=1e-6)


def test_nearest_breaks_ties_by_row_and_bears_zero_vectors():
    base = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0], [0, 0]])
    rows, distances = nearest(base[:1], base, 4)
    assert rows.tolist() == [[0, 2, 3, 1]]
    np.testing.assert_allclose(distances, [[0, 0, 0, 1]], atol=1e-6)
    assert nearest(base[:1], base, 2, "euclidean")[0].tolist() == [[0, 2]]
    for k in (0, 6):
        with pytest.raises(ConfigError, match="1 to 5"):
            nearest(base, base, k)
    with pytest.raises(ConfigError, match="cosine"):
        nearest(base, base, 1, "cosin")
    with pytest.raises(DataError, match="3 entries, base codes 2"):
        nearest(np.ones((1, 3)), base, 1)


def test_retrieval_precision_by_hand():
    # Two pairs of equal codes far apart: the nearest other row is the partner.
    codes = np.array([[0.0, 1], [0, 1], [1, 0], [1, 0]])
    factors = {"same": np.array([0, 0, 1, 1]), "cross": np.array([0, 1, 0, 1])}
    found = retrieval_precision(codes, factors)
    assert (found["same"].precision, found["cross"].precision) == (1, 0)
    assert found["same"].chance == pytest.approx(1 / 3)  # one of the three others
    assert retrieval_precision(codes, factors, k=3)["same"].precision == pytest.approx(1 / 3)
    about = found["same"].context
    assert (about["seed"], about["codes"]["rows"], about["codes"]["entries"]) == (0, 4, 2)
    assert about["codes"] != retrieval_precision(codes[::-1], factors)["same"].context["codes"]
    with pytest.raises(ConfigError, match="1 to 3"):
        retrieval_precision(codes, factors, k=4)
    with pytest.raises(DataError, match="values of same"):
        retrieval_precision(codes[:3], factors)


def test_importing_evaluation_and_plots_loads_no_heavy_library():
    code = (
        "import sys, unmingle.evaluation, unmingle.plots;"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
