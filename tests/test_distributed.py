"""Two processes (gloo on CPU, under torchrun) against one with the same global batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_toy import ROWS, Stopped, settings, stop_after, toy, toy_data

import unmingle as um
from unmingle.errors import ConfigError
from unmingle.training.checkpoint import load_snapshot
from unmingle.training.hardware import launched_processes
from unmingle.training.loop import train
from unmingle.training.run import RunFolder

TOY = str(Path(__file__).with_name("training_toy.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of one process that cuts its batches as two would, and runs of two."""
    folder = tmp_path_factory.mktemp("runs")
    one_process(folder / "alone")
    with pytest.raises(Stopped):
        one_process(folder / "continued", hook=stop_after(12))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, TOY, "distributed", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def one_process(out, hook=None, resume=False):
    model, stages = toy()
    stages[0].hook = hook or stages[0].hook
    chosen = settings(shards=2, checkpoint_every=1e-9)
    train(model, stages, toy_data(), chosen, RunFolder(out, resume=resume))
    return model.state_dict()


def assert_like_one_process(folder, state):
    """What one process makes of it, within float tolerance of how far each tensor moved."""
    start = toy()[0].state_dict()
    reference = load_snapshot(folder / "alone/checkpoint/state.safetensors").part("model")
    assert state["content.weight"].shape == (ROWS, 4)
    for name, value in reference.items():
        if "encoder" in name:  # its dropout masks are each process's own
            continue
        moved = float((value - start[name]).abs().max())
        assert moved > 1e-3, name
        assert torch.allclose(state[name], value, atol=2e-3 * moved), name


def losses(run):
    """Mean over a stage's steps, however many records a slow machine made of them."""
    means, done = {}, {}
    for line in map(json.loads, (run / "metrics.jsonl").open()):
        stage, before = line["stage"], done.get(line["stage"], 0)
        done[stage] = line["step"]
        for name, loss in line["losses"].items():
            total = means.get((stage, name), 0.0) * before + loss * (line["step"] - before)
            means[stage, name] = total / line["step"]
    return means


def test_two_processes_do_what_one_does(folder):
    ranks = [torch.load(folder / f"whole-{r}.pt", weights_only=True) for r in range(2)]
    assert_like_one_process(folder, ranks[0])
    for name, value in ranks[0].items():
        assert torch.equal(value, ranks[1][name]), name
    saved = load_snapshot(folder / "whole/checkpoint/state.safetensors")
    assert torch.equal(saved.tensors["model/content.weight"], ranks[0]["content.weight"])
    first, second = losses(folder / "alone"), losses(folder / "whole")
    assert first.keys() == second.keys()
    for player in ("maker", "critic"):
        assert second["codes", player] == pytest.approx(first["codes", player], rel=1e-3)


def test_two_processes_go_on_where_one_stopped(folder):
    assert_like_one_process(folder, torch.load(folder / "continued-0.pt", weights_only=True))


def test_one_process_goes_on_where_two_stopped(folder):
    assert_like_one_process(folder, one_process(folder / "half", resume=True))


def test_processes_are_counted_from_the_launcher(monkeypatch):
    for name in ("LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_NNODES"):
        monkeypatch.delenv(name, raising=False)
    assert launched_processes() == (1, 1)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert launched_processes() == (1, 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert launched_processes() == (8, 2)
    monkeypatch.delenv("LOCAL_RANK")
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "6")
    monkeypatch.setenv("SLURM_NNODES", "3")
    assert launched_processes() == (6, 3)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert launched_processes() == (1, 1)


def test_a_batch_that_does_not_divide_is_refused():
    model, stages = toy()
    with pytest.raises(ConfigError, match="batch size 6 cannot be shared evenly by 4"):
        train(model, stages, toy_data(), settings("2steps", shards=4))


START = """
import sys
import unmingle as um

data = um.load_data("shapes3d", rows=40, size=32, seed=0)
model = um.LORD(
    class_factor="shape", perceptual="none", start="components", content_dim=16,
    half_size=0.0, second_stage=0.0, code_lr=1e-9, batch=16,
)
model.fit(data, budget="1steps", out=sys.argv[1], quiet=True)
"""


def test_codes_of_all_processes_start_from_the_same_components(tmp_path):
    script, found = tmp_path / "start.py", {}
    script.write_text(START)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for name, command in {"alone": [sys.executable], "two": run}.items():
        done = subprocess.run(
            [*command, str(script), str(tmp_path / name)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[name] = um.load(tmp_path / name).network["content"].weight
    assert found["alone"].std() > 0.5  # not the uniform start
    torch.testing.assert_close(found["two"], found["alone"], rtol=1e-4, atol=1e-4)
