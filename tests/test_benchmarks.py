"""The scripts behind published numbers: what they compare with, ask, look at and print."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pytest
import torch
import tyro

import unmingle as um
from unmingle.bench import TABLES
from unmingle.bench.scores import read_words
from unmingle.commands._data import Reading, keep_values
from unmingle.commands.evaluate import Evaluate
from unmingle.evaluation import Audit, Estimate, Scores
from unmingle.evaluation import disentanglement as dis
from unmingle.evaluation.judges import Judging
from unmingle.evaluation.leaks import Leak, LeakProbe
from unmingle.evaluation.probes import ProbeResult
from unmingle.methods.reference_vae import reference_rows
from unmingle.training.stage import Progress

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SHARED = FOLDER.parent.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data sets are not beside the repository"
)
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not there")


@pytest.fixture
def script(monkeypatch):
    """A script of the folder, by name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


# ---------------------------------------------------------------------- disentanglement


def test_loops_and_metrics_agree(script):
    loops = script("disentanglement_loops")
    rng = np.random.default_rng(0)
    factors = rng.integers(0, (3, 4, 5), (300, 3))
    codes = factors @ rng.normal(size=(3, 5)) + rng.normal(size=(300, 5))
    spaces, homes = {"a": codes[:, :2], "b": codes[:, 2:4], "c": codes[:, 4:]}, ("a", "b", "b")
    found = dis.wasserstein(codes)
    for ours, loop in (
        ([dis.total_correlation(codes)], loops.total_correlation(codes, factors, None)),
        ([found.score, found.normalised], loops.wasserstein(codes, factors, None)),
        (
            [dis.mig_by_space(spaces, factors, homes).score],
            loops.mig_by_space(spaces, factors, homes),
        ),
        ([dis.irs(codes, factors).score], loops.irs(codes, factors, None)),
        ([dis.sap_continuous(codes, factors).score], loops.sap_continuous(codes, factors, None)),
    ):
        assert ours == pytest.approx(loop, abs=1e-9)


def test_every_metric_of_one_model_is_compared_and_measured_together(script):
    script = script("disentanglement")
    cases = {name.split()[0] for name in script.cases()}
    assert cases == set(dis.DISENTANGLEMENT)
    assert set(script.HOMES) < set(script.by_space(np.zeros((2, script.CODES))))
    assert len(script.HOMES) == len(script.SIZES)
    assert get_type_hints(script.pair)["return"] == list[float]


# ---------------------------------------------------------------------- audits of LORD's runs


def test_the_audit_of_a_run_is_one_command(script, monkeypatch, tmp_path):
    lord, calls = script("lord_quality"), []
    monkeypatch.setattr(lord, "RESULTS", tmp_path)
    monkeypatch.setattr(lord, "call", lambda folder, *words: calls.append([*map(str, words)]))
    lord.audit("sprites-5min", Path("data"), Path("runs"))
    (words,) = calls
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    parsed = tyro.cli(Evaluate, args=words[1:], config=config)
    assert words[0] == "evaluate" and parsed.run == Path("runs/sprites-5min")
    asked = parsed.scoring
    assert asked.audit and asked.judges and asked.frechet
    assert (asked.metrics, asked.probes) == ("none", "none") and asked.role == ("content=pose",)
    assert parsed.json == tmp_path / "sprites-5min-audit.json"
    parsed.json.touch()
    lord.audit("sprites-5min", Path("data"), Path("runs"))
    assert len(calls) == 1  # what is there stays


def test_the_audits_are_printed_with_what_a_linear_probe_missed(
    script, monkeypatch, tmp_path, capsys
):
    def probe(kind, accuracy, removed=""):
        result = ProbeResult(accuracy, 0.25, accuracy - 0.1, accuracy + 0.1, 35, 25, kind)
        return LeakProbe(result, removed, 0.3, 0.4, 0.004)

    lord = script("lord_quality")
    monkeypatch.setattr(lord, "RESULTS", tmp_path)
    probes = [probe("linear", 0.2), probe("knn", 0.5), probe("linear", 0.6, "pose")]
    leaks = [
        Leak("who", "content", "pose", "leak", probes, 0.01, "all", None, "partial", "it leaks"),
        Leak("pose", "class", "who", "leak", [], 1.0, "", None, "unknown", "one value"),
    ]
    about = {"rows": 25, "fingerprint": "f"}
    audit = Audit(leaks, [], [], {}, [], [], {})
    scores = Scores(None, {"mse": Estimate(1.0, 1.0, 1.0)}, [], [], {"test": about}, audit=audit)
    scores.save(tmp_path / "sprites-5min-audit.json")
    lord.audits()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "| sprites-5min | who | content | 20.0% [10.0%, 30.0%] (chance 30.0%) | 60.0% [50.0%, "
        "70.0%] (chance 30.0%) | linear (pose removed) | 0.010 | partial: it leaks |",
        "| sprites-5min | pose | class | - | - | - | 1.000 | unknown: one value |",
    ]
    assert {line.count("|") for line in lines} == {9}


def test_a_further_step_is_done_alone(script, monkeypatch, tmp_path):
    quality, done = script("_quality"), []
    for name in ("RESULTS", "IMAGES"):
        monkeypatch.setattr(quality, name, tmp_path / name)

    def step(word):
        return lambda name, data, out: done.append((word, name))

    def asked(*words):
        done.clear()
        monkeypatch.setattr(sys, "argv", ["x", *words])
        more = {"audit": step("audit")}
        quality.main(step("train"), step("measure"), lambda: None, ["a", "b"], "", more=more)
        return list(done)

    places = [str(tmp_path), str(tmp_path / "runs")]
    assert asked("audit", *places, "all") == [("audit", "a"), ("audit", "b")]
    assert asked(*places, "b") == [("train", "b"), ("measure", "b")]
    assert asked("train", *places, "b") == [("train", "b")]


# ---------------------------------------------------------------------- quality


def test_the_pose_of_a_chair_is_judged_by_both_angles(script, monkeypatch):
    quality = script("robust_quality")
    asked, found = [], SimpleNamespace(to_dict=dict)

    def judge(*_, probe_factors, angles=(), **__):
        asked.append((probe_factors["pose"], *angles))
        factors = ("model", probe_factors["pose"])
        return Judging("appearance", [SimpleNamespace(factor=f) for f in factors], [], {})

    monkeypatch.setattr("unmingle.evaluation.judges.judge", judge)
    monkeypatch.setattr("unmingle.evaluation.reidentification.reidentify", lambda *_, **__: found)
    for name in ("robust-chairs-15min", "robust-sprites-15min"):
        judged = quality.judged(quality.RUNS[name], None, None, None)["judges"]["judgements"]
        assert len(judged) == (3 if name == "robust-chairs-15min" else 2)
    assert asked == [("azimuth,elevation",), ("azimuth", "azimuth"), ("pose_merged",)]


def test_all_four_stages_of_the_laptop_preset_are_timed(script, monkeypatch):
    steps = script("disunknown_step")
    asked = []

    def made(method, rows, stage, divisor):
        assert stage in [each.name for each in method.stages(rows)]
        asked.append((stage, divisor))

    monkeypatch.setattr(steps, "data", lambda: script("_steps").random_images(20, {"f0": 10}, 16))
    monkeypatch.setattr(steps, "library_step", made)
    monkeypatch.setattr(steps, "timed", lambda *_: {"": 1.0})
    steps.laptop()
    names = ("distil", "classifier", "generator", "encoders")
    assert asked == [(name, divisor) for name in names for divisor in (1, 2)]


def test_snapshots_of_codes_are_a_fixed_number_of_steps_apart(script, monkeypatch):
    tracking = script("disunknown_tracking")
    every = tracking.EVERY
    track = tracking.Track(labelled=("kind",))
    track.watch(SimpleNamespace(take=lambda: np.zeros((3, 2))))
    place = 0.0
    monkeypatch.setattr(track, "_items", torch.from_numpy)
    monkeypatch.setattr(track, "gaussians_of_unknown", lambda _: torch.full((3, 2), place))
    for step in range(2 * every + 1):  # in 50 steps the time is over
        place = step / every
        fraction = min(step / 50, 1.0)
        track._after(Progress(step, fraction, fraction))
    assert [moved["step"] for moved in track.movement] == [every, 2 * every]
    assert [moved["squared"] for moved in track.movement] == pytest.approx([2, 2])
    assert track.moved()["movement"] == track.movement


def test_the_table_shows_all_that_was_measured(script, monkeypatch, capsys):
    quality = script("disunknown_quality")
    short = [{"step": 100, "squared": 4.0}, {"step": 200, "squared": 2.0}]
    stored = {
        "faces": {"tells": {"eyes": {"person": 0.5, "unknown": 0.75, "chance": 0.25}}},
        "standard": {"mse": 0.125, "swaps": {"digit": {"right": 0.875, "real": 1.0}}},
        "fast": {"movement": [*short, {"step": 300, "squared": 1.0}]},
        "slow": {"movement": short},
    }
    monkeypatch.setattr(quality, "results", lambda _: stored)
    quality.table()
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "| factor | person | unknown | chance |",
        "| eyes | 0.500 | 0.750 | 0.250 |",
        "| standard | digit | 0.875 | 1.000 |",
        "standard: mse 0.125",
        "| step | fast | slow |",
        "| 100 | 4 | 4 |",
        "| mean of the later half | 2 | 2 |",
    ):
        assert line in lines
    assert not any(line.startswith("| 300 ") for line in lines)


# ---------------------------------------------------------------------- what runs are told


@functools.cache
def data_of(file):
    return um.load_data(SHARED / file)


def check(runs):
    """Every FACTOR=VALUE of the runs that are on one of the shared files; how many there are."""
    known = [run for run in runs if (SHARED / run.setting.data).is_file()]
    readings = {(run.setting.data, run.setting.reading) for run in known}
    references = {(run.setting.data, run.settings.get("reference", "")) for run in known}
    filters = [(file, read_words(Reading, reading).values) for file, reading in readings]
    for file, values in filters:
        keep_values(data_of(file), values)
    told = [(file, reference) for file, reference in references if reference]
    for file, reference in told:
        reference_rows(data_of(file), reference)
    return sum(len(values) for _, values in filters) + len(told)


@needs_shared
def test_tables_name_values_that_are_in_their_files():
    assert check(run for table in TABLES.values() for run in table.runs())


@needs_shared
@pytest.mark.parametrize("name", ["content_style_quality", "lord_quality", "robust_quality"])
def test_benchmarks_name_values_that_are_in_their_files(name, script):
    assert check(script(name).RUNS.values())


@needs_shared
def test_reference_sets_of_the_benchmarks_are_in_their_file(script):
    runs = script("reference_vae_quality").FACE_RUNS.values()
    references = {run.settings["reference"] for run in runs}
    assert len(references) == 2
    for reference in references:
        chosen = reference_rows(data_of("cmu_faces.npz"), reference)
        assert chosen.any() and not chosen.all()
