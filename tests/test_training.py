"""The loop: budgets, players, resolutions, interruption and resume, run folders, logs."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from training_toy import BATCH, Codes, Stopped, ToyModel, settings, toy, toy_data

from unmingle.errors import ConfigError, DataError, DivergedError, MissingExtraError, RunError
from unmingle.training import budget as budget_module
from unmingle.training import run as run_module
from unmingle.training.budget import Budget
from unmingle.training.checkpoint import Snapshot, load_snapshot, replace_file, save_snapshot
from unmingle.training.images import ImageSource
from unmingle.training.loop import train
from unmingle.training.players import Trainee
from unmingle.training.run import RunFolder, check_room
from unmingle.training.schedules import Constant, Cosine, Linear, Ramp
from unmingle.training.settings import TrainSettings
from unmingle.training.stage import (
    Group,
    Player,
    Progress,
    Stage,
    StepResult,
    View,
    check_stages,
    divisor_at,
)

# ---------------------------------------------------------------------- budgets and schedules


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("90s", 90, "seconds"),
        ("15min", 900, "seconds"),
        ("1.5 h", 5400, "seconds"),
        ("2hours", 7200, "seconds"),
        ("45", 45, "seconds"),
        (30, 30, "seconds"),
        ("5000steps", 5000, "steps"),
        ("1 step", 1, "steps"),
        ("200epochs", 200, "epochs"),
        ("0.5epoch", 0.5, "epochs"),
    ],
)
def test_budget_is_read(text, amount, unit):
    assert Budget.parse(text) == Budget(amount, unit)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize("text", ["", "min", "15 mn", "-3s", "0steps", "2.5steps", "ten", "1e999s"])
def test_bad_budgets_name_the_flag(text):
    with pytest.raises(ConfigError, match="--budget"):
        Budget.parse(text)


def test_steps_and_epochs_are_shared_out():
    steps = Budget.parse("10steps")
    shares = [1.0, 1.0, 1.0]
    parts = [steps.allot(shares, i, 0.0, 7.0).steps for i in range(3)]
    assert sum(parts) == 10 and max(parts) - min(parts) <= 1
    assert steps.allot([1000.0, 1.0], 1, 0.0, 7.0).steps == 1  # never none
    assert Budget.parse("8epochs").allot([3.0, 1.0], 0, 0.0, 2.5).steps == 15


def test_time_goes_on_where_it_was():
    allotment = Budget.parse("100s").allot([1.0, 3.0], 0, 0.0, 1.0)
    assert allotment.fraction(5, 10.0) == pytest.approx(0.4)
    late = Budget.parse("100s").allot([1.0, 1.0, 2.0], 1, began=40.0, epoch_length=1.0)
    assert late.fraction(0, 40.0) == 0 and late.fraction(9, 50.0) == pytest.approx(0.5)
    assert Budget.parse("100s").allot([1.0, 1.0], 1, 120.0, 1.0).fraction(1, 121.0) == 1.0


def test_schedules():
    assert Constant()(0.3, 5) == 1.0
    assert [Linear(2, 5)(f, 0) for f in (0, 0.5, 1)] == [2, 3.5, 5]
    assert Linear(2, 5, until=0.5)(0.75, 0) == 5
    assert Cosine()(0.5, 0) == pytest.approx(0.5) and Cosine()(1, 9) == pytest.approx(0)
    assert Cosine(0.2)(1 / 3, 0) == pytest.approx(0.2 + 0.8 * 0.75)
    assert [Ramp(steps=4)(0.9, s) for s in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1]
    assert Ramp(fraction=0.1)(0.05, 0) == pytest.approx(0.5)
    assert (Cosine() * Ramp(steps=2))(0.5, 0) == pytest.approx(0.25)
    with pytest.raises(ConfigError, match="either steps or fraction"):
        Ramp()


def test_settings_name_the_flag():
    for options, flag in (
        ({"device": "gpu"}, "--device"),
        ({"precision": "fp16"}, "--precision"),
        ({"seed": -1}, "--seed"),
        ({"checkpoint_every": -1.0}, "--checkpoint-every"),
        ({"threads": 0}, "--threads"),
    ):
        with pytest.raises(ConfigError, match=flag):
            TrainSettings(**options)


# ---------------------------------------------------------------------- players


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([2.0]))
        self.b = nn.Parameter(torch.tensor([3.0]))
        self.still = nn.Parameter(torch.tensor([7.0]))


class Game(Stage):
    """a minimises a*b*still, b minimises -a*b: each alone would also move the other."""

    name = "game"

    def __init__(self, model, losses=None):
        self.model, self.losses = model, losses
        self.seen = []

    def players(self):
        return [
            Player("a", [Group([self.model.a], 0.5)]),
            Player("b", [Group([self.model.b], 0.25)]),
        ]

    def sampler(self, context):
        return context.rows(4)

    def step(self, batch, progress):
        m = self.model
        self.seen.append((progress, m.a.requires_grad, m.still.requires_grad))
        product = (m.a * m.b).sum()
        losses = {"a": product * m.still.sum(), "b": -product}
        chosen = self.losses(progress.step) if self.losses else losses
        return StepResult({name: losses[name] for name in chosen})


def test_gradients_reach_their_player_only_and_precede_all_steps():
    model = Pair()
    train(model, [Game(model)], toy_data(), settings("1steps"))
    # Adam's first step moves against the gradient's sign by the learning rate.
    assert model.a.item() == pytest.approx(2.0 - 0.5, abs=1e-6)
    assert model.b.item() == pytest.approx(3.0 + 0.25, abs=1e-6)
    assert model.still.item() == 7.0


def test_gradient_values_are_of_the_state_before_the_step():
    model = Pair()
    adam = {"a": [], "b": []}

    class Spy(Game):
        def after_step(self, progress):
            for name in adam:
                adam[name].append(getattr(self.model, name).item())

    train(model, [Spy(model)], toy_data(), settings("2steps"))

    def reference(first, second):
        value, m, v, seen = first, 0.0, 0.0, []
        for t, (rate, grad) in enumerate(second, 1):
            m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
            value -= rate * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
            seen.append(value)
        return seen

    assert adam["a"] == pytest.approx(reference(2.0, [(0.5, 7 * 3.0), (0.5, 7 * 3.25)]), rel=1e-5)
    assert adam["b"] == pytest.approx(reference(3.0, [(0.25, -2.0), (0.25, -1.5)]), rel=1e-5)


def test_groups_of_one_name_keep_their_own_rates():
    model = Pair()

    class Alone(Game):
        def players(self):
            groups = [Group([p], lr, name="x") for p, lr in ((model.a, 0.5), (model.b, 0.25))]
            return [Player("a", groups)]

    train(model, [Alone(model, lambda step: "a")], toy_data(), settings("1steps"))
    assert (model.a.item(), model.b.item()) == pytest.approx((1.5, 2.75), abs=1e-6)


def test_a_player_without_loss_rests():
    model = Pair()
    train(model, [Game(model, lambda step: "ab"[step % 2])], toy_data(), settings("1steps"))
    assert model.a.item() == pytest.approx(1.5) and model.b.item() == 3.0


def test_frozen_parameters_need_no_gradient_meanwhile_and_get_their_flags_back():
    model = Pair()
    model.b.requires_grad_(False)
    stage = Game(model)
    train(model, [stage], toy_data(), settings("2steps"))
    assert [seen[1:] for seen in stage.seen] == [(True, False)] * 2
    assert model.still.requires_grad and not model.b.requires_grad
    assert model.a.grad is None and not model.training


def test_wrong_stages_are_named():
    model = Pair()

    class Twice(Game):
        def players(self):
            return [*super().players(), Player("c", [Group([self.model.a], 0.1)])]

    with pytest.raises(ConfigError, match="in player a and again in c"):
        train(model, [Twice(model)], toy_data(), settings("1steps"))

    class Unknown(Game):
        def step(self, batch, progress):
            return StepResult({"bb": self.model.a.sum()})

    with pytest.raises(ConfigError, match="no player 'bb'"):
        train(model, [Unknown(model)], toy_data(), settings("1steps"))

    class Detached(Game):
        def step(self, batch, progress):
            return StepResult({"a": self.model.a.detach().sum()})

    with pytest.raises(ConfigError, match="loss of player a does not depend"):
        train(model, [Detached(model)], toy_data(), settings("1steps"))
    with pytest.raises(ConfigError, match="names must differ"):
        check_stages([Game(model), Game(model)])
    with pytest.raises(ConfigError, match="at least one stage"):
        check_stages([])


# ---------------------------------------------------------------------- the loop


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def run_toy(tmp_path=None, resume=False, hook=None, **options):
    """Train the toy; `hook(stage, step)` is called after each step."""
    model, stages = toy()
    for stage in stages:
        stage.hook = lambda progress, s=stage: hook and hook(s.name, progress.step)
    run = RunFolder(tmp_path, resume=resume) if tmp_path is not None else None
    preview = options.pop("preview", None)
    report = train(model, stages, toy_data(), settings(**options), run, preview)
    return state_of(model), report, stages


def test_stages_share_the_budget_and_resolutions_follow():
    _, report, stages = run_toy()
    assert [(s.name, s.steps) for s in report.stages] == [("codes", 20), ("encode", 10)]
    assert report.steps == 30 and not report.resumed
    assert stages[0].sizes == [8] * 10 + [16] * 10
    assert (stages[0].began, stages[0].finished) == (1, 1)
    _, report, _ = run_toy(budget="6epochs")  # 25 rows: 4 and 2 epochs
    assert [s.steps for s in report.stages] == [round(4 * 25 / BATCH), round(2 * 25 / BATCH)]


def test_progress_runs_from_zero_towards_one():
    model = Pair()
    stage = Game(model)
    train(model, [stage], toy_data(), settings("4steps"))
    assert [s[0] for s in stage.seen] == [Progress(i, i / 4, i / 4, 1) for i in range(4)]


def test_a_time_budget_ends_each_stage_in_its_share(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(budget_module.time, "monotonic", lambda: now[0])

    def wait(stage, step):
        now[0] += 1.0

    _, report, _ = run_toy(hook=wait, budget="30s")
    # The time is read within a step, so a stage sees it one step late.
    assert [s.steps for s in report.stages] == [21, 10]
    _, report, _ = run_toy(hook=wait, budget="0.1s")
    assert all(s.steps >= 1 for s in report.stages)


def test_same_seed_same_bits_and_other_seed_other_bits():
    first, second = run_toy()[0], run_toy()[0]
    assert_same(first, second)
    other = run_toy(seed=1)[0]
    assert not torch.equal(first["content.weight"], other["content.weight"])


def test_the_callers_random_states_are_given_back():
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    run_toy(budget="3steps")
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_training_learns_and_leaves_unvisited_tables_alone():
    model, stages = toy()
    start = state_of(model)
    losses = []
    original = stages[0].step

    def spy(batch, progress):
        result = original(batch, progress)
        losses.append(result.losses["maker"].item())
        return result

    stages[0].step = spy
    train(model, stages, toy_data(), settings("150steps"))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert not torch.equal(start["kinds.weight"], model.kinds.weight)
    assert (start["content.weight"] != model.content.weight).any(1).all()


def test_networks_are_compiled_on_demand_and_left_plain(monkeypatch):
    compiled = []

    def fake(module):
        compiled.append(module)
        module._compiled_call_impl = module._call_impl

    monkeypatch.setattr(nn.Module, "compile", fake)
    model, stages = toy()
    train(model, stages, toy_data(), settings("6steps", compile=True))
    assert compiled == [model.generator, model.critic, model.encoder]
    assert all(module._compiled_call_impl is None for module in compiled)
    stages[0].compile_targets = lambda: [model.generator]
    stages[1].compile_targets = lambda: [model.encoder]
    compiled.clear()
    train(model, stages, toy_data(), settings("6steps", compile=True))
    assert compiled == [model.generator, model.encoder]


def test_bf16_autocasts_the_step_and_keeps_codes_and_weights_in_float32():
    model, stages = toy()
    seen = set()
    original = stages[0].step

    def spy(batch, progress):
        seen.add(model.generator[0](torch.zeros(1, 7)).dtype)
        return original(batch, progress)

    stages[0].step = spy
    report = train(model, stages, toy_data(), settings("4steps", precision="bf16"))
    assert report.precision == "bf16" and seen == {torch.bfloat16}
    assert {v.dtype for v in model.state_dict().values()} == {torch.float32}


# ---------------------------------------------------------------------- interruption and resume


@pytest.mark.parametrize(
    ("stage", "step"), [("codes", 3), ("codes", 14), ("codes", 19), ("encode", 0), ("encode", 5)]
)
def test_interrupted_and_resumed_gives_the_same_bits(tmp_path, stage, step):
    straight = run_toy(tmp_path / "straight")[0]

    def interrupt(name, at):
        if (name, at) == (stage, step):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "run", hook=interrupt)
    resumed, report, _ = run_toy(tmp_path / "run", resume=True)
    assert report.resumed and report.steps == 30
    assert_same(straight, resumed)
    steps = [json.loads(line)["total_step"] for line in (tmp_path / "run/metrics.jsonl").open()]
    assert steps == sorted(set(steps)) and steps[-1] == 30


@pytest.mark.parametrize(("clip", "length"), [(0.0, 5.0), (8.0, 5.0), (1.5, 1.5)])
def test_a_gradient_far_longer_than_usual_is_shortened(clip, length):
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), nn.Linear(4, 2)]
    params = [p for layer in layers for p in layer.parameters()]
    groups = [Group(layer.parameters(), 1e-3, betas=(0.5, 0.99)) for layer in layers]
    player = Trainee(Player("p", groups, clip=clip))
    progress = Progress(0, 0.0, 0.0)

    def step(size):  # each number of the gradient is plus or minus `size`
        signs = [torch.randint(0, 2, p.shape) * 2.0 - 1 for p in params]
        loss = sum((p * sign).sum() for p, sign in zip(params, signs, strict=True))
        player.backward(size * loss, retain_graph=False)
        player.step(progress)

    for _ in range(20):
        step(1.0)
    before = torch.cat([player.optimizer.state[p]["exp_avg_sq"].flatten() for p in params])
    step(5.0)
    after = torch.cat([player.optimizer.state[p]["exp_avg_sq"].flatten() for p in params])
    seen = ((after - 0.99 * before) / 0.01).sqrt()
    torch.testing.assert_close(seen, torch.full_like(seen, length), rtol=1e-3, atol=0)
    step(0.1)  # a shorter one is left as it is
    last = torch.cat([player.optimizer.state[p]["exp_avg_sq"].flatten() for p in params])
    seen = ((last - 0.99 * after) / 0.01).clamp_min(0).sqrt()
    torch.testing.assert_close(seen, torch.full_like(seen, 0.1), rtol=0.05, atol=0)


def test_a_gradient_after_none_at_all_is_not_shortened():
    layer = nn.Linear(1, 1)
    player = Trainee(Player("p", [Group(layer.parameters(), 0.1)], clip=1.5))
    start = layer.bias.item()
    for size in (0.0, 0.0, 1.0):
        player.backward(size * layer(torch.ones(1, 1)).sum(), retain_graph=False)
        player.step(Progress(0, 0.0, 0.0))
    assert layer.bias.item() < start


def test_clip_must_be_a_multiple():
    with pytest.raises(ConfigError, match="clip must be 0 or more"):
        Player("p", [Group(nn.Linear(1, 1).parameters(), 0.1)], clip=-1.0)


def test_work_after_the_last_checkpoint_is_done_again(tmp_path):
    straight = run_toy(tmp_path / "straight")[0]

    def die(name, at):  # 20 steps of stage one are in the checkpoint, four more are lost
        if (name, at) == ("encode", 3):
            raise Stopped

    with pytest.raises(Stopped):
        run_toy(tmp_path / "run", hook=die)
    resumed, _, stages = run_toy(tmp_path / "run", resume=True)
    assert_same(straight, resumed)
    assert stages[0].sizes == []


def test_a_finished_run_is_only_loaded(tmp_path):
    straight = run_toy(tmp_path)[0]
    again, report, stages = run_toy(tmp_path, resume=True)
    assert_same(straight, again)
    assert report.stages == [] and stages[0].sizes == []


def test_sigterm_writes_the_checkpoint_and_exits(tmp_path):
    former = signal.getsignal(signal.SIGTERM)

    def stop(name, at):
        if at == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as stopped:
        run_toy(tmp_path, hook=stop)
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == former
    position = load_snapshot(tmp_path / "checkpoint/state.safetensors").meta["position"]
    assert (position["stage"], position["step"]) == (0, 5)


def test_a_killed_program_leaves_a_whole_checkpoint(tmp_path):
    program = [sys.executable, str(Path(__file__).with_name("training_toy.py"))]
    out = tmp_path / "run"
    file = out / "checkpoint/state.safetensors"
    process = subprocess.Popen([*program, "forever", str(out)])
    deadline = time.monotonic() + 120
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(np.random.default_rng().uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    process.wait()
    position = load_snapshot(file).meta["position"]
    assert position["total_step"] >= 1

    model, stages = toy()

    def stop(progress):
        if progress.step == position["step"] + 1:
            os.kill(os.getpid(), signal.SIGINT)

    stages[0].hook = stop
    with pytest.raises(KeyboardInterrupt):
        train(model, stages, toy_data(), settings("100000steps"), RunFolder(out, resume=True))
    assert load_snapshot(file).meta["position"]["step"] == position["step"] + 2
    assert not list(out.rglob("*.tmp"))


def test_damaged_checkpoints_are_refused(tmp_path):
    run_toy(tmp_path, budget="4steps")
    file = tmp_path / "checkpoint/state.safetensors"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for broken in (whole[:-10], whole[:40], b"", bytes(flipped)):
        file.write_bytes(broken)
        with pytest.raises(RunError, match="damaged"):
            run_toy(tmp_path, resume=True, budget="4steps")


def test_resuming_another_run_is_refused(tmp_path):
    run_toy(tmp_path, budget="4steps")
    with pytest.raises(RunError, match="its seed was 0 and is 3 now"):
        run_toy(tmp_path, resume=True, budget="4steps", seed=3)
    with pytest.raises(RunError, match="its budget was '4steps' and is '9steps' now"):
        run_toy(tmp_path, resume=True, budget="9steps")
    model, stages = toy()
    model.extra = nn.Parameter(torch.zeros(2))
    with pytest.raises(RunError, match="another model: extra is absent there"):
        train(model, stages, toy_data(), settings("4steps"), RunFolder(tmp_path, resume=True))


def test_optimizer_state_survives_another_memory_layout():
    images = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)

    def make():
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return conv, Trainee(Player("p", [Group(list(conv.parameters()), 0.1)]))

    def steps(conv, trainee, count):
        for _ in range(count):
            trainee.backward((conv(images) ** 2).mean(), retain_graph=False)
            trainee.step(Progress(0, 0.0, 0.0))

    straight, first, second = make(), make(), make()
    steps(*straight, 4)
    steps(*first, 2)
    second[0].load_state_dict(first[0].state_dict())
    # A file holds tensors in plain order; the fused kernel walks memory, not indices.
    second[1].load_state(
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in first[1].state().items()}
    )
    steps(*second, 2)
    assert torch.equal(straight[0].weight, second[0].weight)


def test_checkpoints_keep_aliases_scalars_and_small_types(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "a": shared,
        "b": shared,
        "t": shared.t(),
        "step": torch.tensor(3.0),
        "flag": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    save_snapshot(tmp_path / "s", Snapshot({"x": [1, "é"]}, tensors))
    loaded = load_snapshot(tmp_path / "s")
    assert loaded.meta["x"] == [1, "é"]
    assert_same(tensors, loaded.tensors)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "f"
    replace_file(file, lambda path: path.write_text("old"))

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(file, fail)
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


# ---------------------------------------------------------------------- divergence


class Exploding(Codes):
    def __init__(self, model, at, what="loss"):
        super().__init__(model)
        self.at, self.what = at, what

    def step(self, batch, progress):
        result = super().step(batch, progress)
        if progress.step == self.at and self.what == "loss":
            result.losses["critic"] = result.losses["critic"] * float("nan")
        return result

    def after_step(self, progress):
        super().after_step(progress)
        if progress.step == self.at and self.what == "model":
            self.model.critic[1].bias.data.fill_(float("inf"))
            os.kill(os.getpid(), signal.SIGINT)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_does_harm(tmp_path):
    model = ToyModel()
    chosen = settings("9steps", checkpoint_every=1e-9)
    with pytest.raises(DivergedError, match=r"player critic became nan in stage codes at step 4;"):
        train(model, [Exploding(model, 4)], toy_data(), chosen, RunFolder(tmp_path))
    assert all(value.isfinite().all() for value in model.state_dict().values())
    kept = load_snapshot(tmp_path / "checkpoint/state.safetensors")
    assert kept.meta["position"]["step"] == 4
    assert torch.equal(kept.tensors["model/critic.1.bias"], model.critic[1].bias)


def test_a_model_that_is_not_finite_never_replaces_a_checkpoint(tmp_path):
    model = ToyModel()
    chosen = settings("9steps", checkpoint_every=1e-9)
    with pytest.raises(DivergedError, match=r"critic\.1\.bias holds .* last good checkpoint"):
        train(model, [Exploding(model, 3, "model")], toy_data(), chosen, RunFolder(tmp_path))
    kept = load_snapshot(tmp_path / "checkpoint/state.safetensors")
    assert kept.meta["position"]["step"] == 3
    assert kept.tensors["model/critic.1.bias"].isfinite().all()


# ---------------------------------------------------------------------- run folders and logs


def test_run_folders_are_not_overwritten_by_accident(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(RunError, match="no checkpoint"):
        load_snapshot(out / "checkpoint/state.safetensors")
    run_toy(out, budget="4steps")
    with pytest.raises(RunError, match="--resume, replace it with --overwrite"):
        RunFolder(out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"no run wrote, such as notes\.txt: nothing was removed"):
        RunFolder(out, overwrite=True)
    assert (out / "metrics.jsonl").exists()
    (out / "notes.txt").unlink()
    RunFolder(out, overwrite=True)
    assert [p for p in out.rglob("*") if p.is_file()] == []


def test_odd_run_folders_are_refused(tmp_path):
    with pytest.raises(RunError, match="exclude each other"):
        RunFolder(tmp_path / "a", resume=True, overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_text("x")
    with pytest.raises(RunError, match="holds no run to continue"):
        RunFolder(tmp_path / "photos", resume=True)
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "photos/cat.jpg")
    new = RunFolder(tmp_path / "new", resume=True)
    assert new.path.is_dir()


def test_too_little_room_is_said_before_training(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    check_room(run, 1000, 0)
    with pytest.raises(RunError, match=r"needs about 300 GB more memory and 2 GB are free"):
        monkeypatch.setattr(run_module, "free_memory", lambda: 2 * 10**9)
        check_room(None, 10**11, 0)
    usage = run_module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(run_module.shutil, "disk_usage", lambda path: usage._replace(free=10**8))
    with pytest.raises(RunError, match=r"writes up to 7.* 100 MB are free"):
        check_room(run, 10**9, 0)


def test_metrics_hold_means_rates_and_logs(tmp_path):
    run_toy(tmp_path, budget="30steps")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    last = {line["stage"]: line for line in lines}
    assert list(last) == ["codes", "encode"]
    codes = last["codes"]
    assert (codes["step"], codes["total_step"]) == (20, 20)
    assert set(codes["losses"]) == {"maker", "critic"} and "spread" in codes["logs"]
    rate = 0.01 * Cosine(0.1)(19 / 20, 19)
    assert codes["lr"] == pytest.approx(
        {"maker.0": rate, "maker.1": 5 * rate, "maker.2": 0.05, "critic": 0.01}
    )
    assert codes["images_per_second"] > 0 and last["encode"]["total_step"] == 30


def test_half_a_line_of_metrics_is_dropped_on_resume(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.metrics.write_text('{"total_step": 3}\n{"total_step": 7}\n{"total_st')
    run.truncate_metrics(5)
    assert run.metrics.read_text() == '{"total_step": 3}\n'


def test_without_a_terminal_lines_are_plain(tmp_path):
    model, stages = toy()
    said = []
    chosen = settings("6steps", quiet=False)
    train(model, stages, toy_data(), chosen, RunFolder(tmp_path), say=said.append)
    assert said[0] == "training on cpu in float32, 25 rows, 6steps"
    assert len(said) == 3 and said[1].startswith("codes step 4  67%  maker ")
    assert "images/s" in said[1] and said[2].endswith("done")


def test_pictures_are_saved_and_disturb_nothing(tmp_path):
    plain = run_toy(budget="6steps")[0]
    states = []

    def preview():
        states.append(torch.is_grad_enabled())
        torch.randn(5)
        np.random.rand()
        return np.full((4, 6, 3), 7, np.uint8)

    shown = run_toy(tmp_path, budget="6steps", preview=preview, sample_every=1e-9)[0]
    assert_same(plain, shown)
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == [f"codes-{i:07d}.png" for i in range(1, 5)] + [
        "encode-0000001.png",
        "encode-0000002.png",
    ]
    picture = np.asarray(Image.open(tmp_path / "samples" / names[0]))
    assert picture.shape == (4, 6, 3) and (picture == 7).all()
    assert not any(states)


# ---------------------------------------------------------------------- batches


def test_images_are_scaled_and_shrunk_by_area():
    pixels = np.zeros((3, 16, 18, 2), np.uint8)
    pixels[1, 0, 0], pixels[1, 1, 1], pixels[2] = 255, 90, 51
    source = ImageSource(pixels)
    full = source.batch(torch.tensor([2, 1]))
    assert full.shape == (2, 2, 16, 18) and full.is_contiguous(memory_format=torch.channels_last)
    assert full[0].unique().tolist() == pytest.approx([0.2])
    half = source.batch(torch.tensor([1]), 2)
    assert half.shape == (1, 2, 8, 9)
    assert half[0, 0, 0, 0].item() == pytest.approx(round((255 + 90) / 4) / 255)
    assert half.count_nonzero() == 2
    # 18 / 4 is not whole: five overlapping windows of 4 or 5 columns.
    assert source.batch(torch.tensor([2]), 4).shape == (1, 2, 4, 5)
    assert source.copy_bytes([1, 2, 4]) == pixels.size // 4 + pixels.size // 16


def test_memory_maps_give_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 17, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "p.npy", pixels)
    mapped, rows = np.load(tmp_path / "p.npy", mmap_mode="r"), torch.tensor([3, 19, 0])
    for divisor in (1, 2, 4):
        memory, disk = (ImageSource(p).batch(rows, divisor) for p in (pixels, mapped))
        assert torch.equal(memory, disk)
    assert ImageSource(mapped).copy_bytes([2]) == 0


def test_vectors_pass_unchanged():
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    source = ImageSource(vectors)
    assert torch.equal(source.batch(torch.tensor([4, 1])), torch.from_numpy(vectors[[4, 1]]))
    with pytest.raises(ConfigError, match="vectors have no lower resolution"):
        source.batch(torch.tensor([0]), 2)


def test_batches_carry_rows_and_factors():
    data, seen = toy_data(), []

    class Look(Game):
        def step(self, batch, progress):
            seen.append(batch["x"])
            return super().step(batch, progress)

    model = Pair()
    train(model, [Look(model)], data, settings("3steps"))
    for view in seen:
        rows = view.rows.numpy()
        assert (view.factors["kind"].numpy() == data.factor("kind")[rows]).all()
        assert np.allclose(view.continuous["angle"], data.continuous["angle"][rows])
        wanted = data.images[rows].transpose(0, 3, 1, 2) / 255
        assert np.allclose(view.images, wanted, atol=1e-6)


def test_noise_is_cut_from_the_whole_batch():
    def view(start, count):
        generator = torch.Generator().manual_seed(3)
        return View(torch.zeros(count, 1), generator=generator, batch=6, start=start)

    whole, left, right = view(0, 6), view(0, 4), view(4, 2)
    for draw in (
        lambda v: v.randn(2, 3),
        lambda v: v.rand(5),
        lambda v: v.permutation(),
        lambda v: v.permutation(others=True),
    ):
        assert torch.equal(draw(whole), torch.cat([draw(left), draw(right)]))


def test_permutation_of_others_pairs_nobody_with_himself():
    view = View(torch.zeros(5, 1), generator=torch.Generator().manual_seed(0))
    for _ in range(50):
        order = view.permutation(others=True)
        assert sorted(order.tolist()) == list(range(5))
        assert (order != torch.arange(5)).all()


def test_divisor_follows_the_plan():
    plan = [(0.6, 4), (0.3, 2), (0.1, 1)]
    found = [divisor_at(plan, f) for f in (0, 0.59, 0.6, 0.89, 0.91, 1.0)]
    assert found == [4, 4, 2, 2, 1, 1]
    model, stages = toy()
    stages[0].resolutions = lambda: [(0.5, 2)]
    with pytest.raises(ConfigError, match="must sum to 1"):
        train(model, stages, toy_data(), settings("2steps"))
    stages[0].resolutions = lambda: [(1.0, 3)]
    with pytest.raises(ConfigError, match="divisors must be 1, 2, 4 or 8"):
        train(model, stages, toy_data(), settings("2steps"))


def test_no_rows_is_an_error():
    class Empty:
        images, vectors, factors, continuous = np.zeros((0, 16, 16, 1), np.uint8), None, {}, {}

        def __len__(self):
            return 0

    model, stages = toy()
    with pytest.raises(DataError, match="no rows"):
        train(model, stages, Empty(), settings("2steps"))


def test_tensorboard_gets_losses_and_logs(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def close(self):
            written.append("closed")

    fake = type(sys)("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    run_toy(tmp_path, budget="6steps", tensorboard=True)
    assert written[-1] == "closed" and ("encode/encoder", 6) in written
    assert {name for name, step in written[:-1] if step == 4} == {
        "codes/maker",
        "codes/critic",
        "codes/spread",
    }
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"unmingle\[tensorboard\]"):
        run_toy(tmp_path / "other", budget="6steps", tensorboard=True)
