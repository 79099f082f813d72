"""LORD: its settings, its equations, what each stage moves, the ablations, style clusters."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import ROWS, Killed, assert_same, fit, kill, labelled, refused, state_of, stopping

import unmingle as um
from unmingle.data import shapes3d
from unmingle.methods import lord
from unmingle.methods.distance import distance_to, image_distance, layer_weight, stored_bytes
from unmingle.methods.lord import LORDConfig, style_clusters
from unmingle.nn.perceptual import VGG16, EfficientNetLite0
from unmingle.training.images import ImageSource
from unmingle.training.stage import Progress, View

TINY = ROWS["lord"].settings


def build(data, **settings):
    """A model with its networks, not trained, and its stages, ready for a step."""
    model = um.LORD(**{**TINY, **settings})
    model.data_shape, model.facts = data.shape, model.check(data)
    torch.manual_seed(0)
    model.network = model.build(data.shape, model.facts)
    stages = model.stages(data)
    for stage in stages:
        stage.prepare()
    return model, stages


@torch.no_grad()
def build_large(data, **settings):
    """The same with codes as large as trained ones, so that each of them shows in the image."""
    model, stages = build(data, **settings)
    for name, part in model.network.items():
        if name in ("classes", "content"):
            part.weight.mul_(20)
        elif name.endswith("_encoder"):
            part.fc[-1].weight.mul_(30)
    return model, stages


def view(data, rows, divisor=1, seed=3):
    rows = torch.as_tensor(rows)
    images = ImageSource(data.images).batch(rows, divisor)
    return View(images, rows, generator=torch.Generator().manual_seed(seed))


def take_step(stage, x, fraction=0.5, divisor=1):
    return stage.step({"x": x}, Progress(3, fraction, fraction, divisor)).losses["model"]


def train(data=None, **options):
    names = {field.name for field in dataclasses.fields(LORDConfig)}
    settings = {k: options.pop(k) for k in list(options) if k in names}
    return fit("lord", data, settings=settings, **options)


# ---------------------------------------------------------------------- settings


def test_the_paper_preset_has_the_published_values():
    config = LORDConfig(preset="paper")
    published = {
        "content_dim": 128,
        "class_dim": 256,
        "noise": 1.0,
        "decay": 1e-3,
        "alpha": 10.0,
        "generator_widths": (256, 256, 256, 256, 256),
        "head_width": 64,
        "head_kernels": (5, 7),
        "encoder_widths": (64, 128, 256, 256, 256),
        "encoder_stride": 1,
        "generator_lr": 1e-4,
        "code_lr": 1e-3,
        "encoder_lr": 1e-4,
        "joint_generator_lr": 1e-4,
        "final_lr": 0.1,
        "start": "uniform",
        "half_size": 0.0,
        "codes_first": 0.0,
        "recombined": 0.0,
        "floor": 0.0,
        "class_error": "plain",
        "encoder_input": "plain",
        "encoder_beta": 0.5,
    }
    assert {name: getattr(config, name) for name in published} == published


def test_the_paper_preset_makes_the_papers_model():
    data = labelled((64, 64, 3), rows=4)
    model = um.LORD(class_factor="kind", preset="paper", perceptual="none")
    network = model.build(data.shape, model.check(data))
    assert sum(p.numel() for p in network["generator"].parameters()) == 8_095_491
    for name, shape in (("classes", (4, 256)), ("content", (4, 128))):
        codes = network[name].weight
        assert codes.shape == shape and 0.04 < codes.abs().max() <= 0.05
    model.network = network
    first, second = model.stages(data)
    assert [group.lr for group in first.players()[0].groups] == [1e-4, 1e-3, 1e-3]
    assert [group.lr for group in second.players()[0].groups] == [1e-4, 1e-4]
    for stage in (first, second):
        for group in stage.players()[0].groups:
            assert group.betas == (0.5, 0.999)
            assert group.schedule(1.0, 10**6) == pytest.approx(0.1)
            assert group.schedule(0.0, 10**6) == 1.0
    assert first.resolutions() == [(1.0, 1)] and first.share == second.share


def test_the_laptop_preset_is_small_and_complete():
    laptop, paper = LORDConfig(), LORDConfig(preset="paper")
    assert laptop.preset == "laptop" and None not in dataclasses.astuple(laptop)
    assert None not in dataclasses.astuple(paper)
    facts = {"rows": 5, "class_names": ["a", "b"]}
    sizes = [
        sum(p.numel() for p in um.LORD(config).build((64, 64, 3), facts).parameters())
        for config in (laptop, paper)
    ]
    assert sizes[0] < sizes[1] / 3
    assert laptop.half_size > 0 and laptop.code_lr > paper.code_lr


def test_a_setting_stands_above_its_preset():
    config = LORDConfig(preset="paper", generator_lr=0.5, head_kernels=(3, 5))
    rest = dataclasses.asdict(LORDConfig(preset="paper"))
    assert dataclasses.asdict(config) == {**rest, "generator_lr": 0.5, "head_kernels": (3, 5)}
    assert LORDConfig(half_size=0.0, codes_first=0.0, second_stage=0.0).half_size == 0.0


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("preset", ["huge", None]),
        ("variant", ["amortized", ""]),
        ("regulariser", ["KL", None]),
        ("perceptual", ["alexnet"]),
        ("start", ["zero"]),
        ("class_factor", ["", 3, None]),
        ("class_error", ["white"]),
        ("content_dim", ["64", 64.0, True]),
        ("noise", ["1", None]),
        *(
            (name, [0, -1, math.nan])
            for name in (
                "content_dim", "class_dim", "batch", "head_width", "encoder_stride",
                "generator_lr", "code_lr", "encoder_lr", "joint_generator_lr", "final_lr",
            )
        ),
        *(
            (name, [-0.1, math.nan])
            for name in (
                "noise", "decay", "kl_weight", "alpha", "perceptual_weight", "recombined", "floor",
            )
        ),
        ("encoder_input", ["raw"]),
        *(
            (name, [-0.1, 1.0, math.nan])
            for name in ("second_stage", "codes_first", "half_size", "encoder_beta")
        ),
        ("generator_widths", [(8,), (8, 0), (), 8, (8.5, 8), "88"]),
        ("encoder_widths", [(8,), (8, -1), ()]),
        ("head_kernels", [(3, 4), (0, 3), (-1, 3), (3,), (3, 3, 3), ()]),
    ],
)  # fmt: skip
def test_bad_values_name_the_flag(setting, values):
    for value in values:
        refused(
            lambda value=value: LORDConfig(**{setting: value}),
            "--" + setting.replace("_", "-"),
            kind=um.ConfigError,
        )


def test_data_without_two_classes_are_refused():
    data = labelled()
    refused(lambda: train(data, class_factor="knid"), "noise", "'knid'", "'kind'")
    refused(lambda: train(data.select(data.factors["kind"] == 2)), "kind", "at least two values")
    refused(lambda: train(data, class_factor="kind,"), "noise", "''")


# ---------------------------------------------------------------------- stage 1, Eq. 5-7


@pytest.mark.parametrize("regulariser", ["noise", "kl", "none"])
def test_the_objective_of_stage_one_is_equation_6(regulariser):
    data = labelled()
    model, stages = build_large(
        data, regulariser=regulariser, noise=0.7, decay=0.3, kl_weight=0.2, content_dim=6
    )
    network, rows = model.network, torch.tensor([3, 17, 3, 8])
    loss = take_step(stages[0], view(data, rows))

    eps = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    codes = network["content"].weight[rows]
    if regulariser == "noise":
        seen, penalty = codes + 0.7 * eps, 0.3 * codes.pow(2).sum(1).mean()
    elif regulariser == "kl":
        mean, log_variance = codes[:, :6], codes[:, 6:]
        seen = mean + log_variance.mul(0.5).exp() * eps
        each = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        penalty = 0.2 * each.mean()
    else:
        seen, penalty = codes, 0.0
    kind = torch.from_numpy(data.factors["kind"])[rows]
    images = network["generator"](seen, network["classes"].weight[kind])
    true = torch.from_numpy(data.images)[rows].permute(0, 3, 1, 2) / 255
    wanted = (images - true).abs().mean() + penalty
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert regulariser == "none" or penalty > 0.01


@pytest.mark.parametrize("divisor", [1, 2])
def test_the_distance_is_pixels_and_relative_features(divisor):
    data = labelled((32, 36, 3), rows=12)
    model, stages = build_large(
        data, perceptual="efficientnet-lite0", perceptual_weight=0.3, decay=0.0, noise=0.0
    )
    rows = torch.tensor([5, 1, 5])
    loss = take_step(stages[0], view(data, rows, divisor), divisor=divisor)
    images = model.generate(
        model.network["content"].weight[rows],
        model.network["classes"].weight[torch.from_numpy(data.factors["kind"])[rows]],
        divisor,
    )
    assert images.shape == (3, 3, 32 // divisor, 36 // divisor)
    every = torch.from_numpy(data.images).permute(0, 3, 1, 2).float()
    every = F.avg_pool2d(every, divisor).round() / 255
    net = EfficientNetLite0()
    wanted = (images - every[rows]).abs().mean()
    for made, true in zip(net(images), net(every), strict=True):
        wanted = wanted + 0.3 * (made - true[rows]).abs().mean() / true.abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-3)


def test_vggs_layers_count_one_each():
    data = labelled((16, 16, 3), rows=3)
    torch.manual_seed(1)
    net = VGG16(None)
    true, made = view(data, [0, 1]).images, view(data, [2, 1]).images
    wanted = (made - true).abs().mean()
    for one, other in zip(net(made), net(true), strict=True):
        wanted = wanted + (one - other).abs().mean()
    assert layer_weight("vgg16", 0.3) is None
    found = image_distance(made, true, net, net(true))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_images_outside_the_training_set_have_their_own_scales():
    data = labelled((32, 32, 3), rows=4)
    true, made = view(data, [0, 1]).images, view(data, [2, 3]).images
    net = EfficientNetLite0()
    wanted = (made - true).abs().mean()
    for one, other in zip(net(made), net(true), strict=True):
        each = (one - other).abs().mean((1, 2, 3)) / other.abs().mean((1, 2, 3))
        wanted = wanted + 0.3 * each.mean()
    found = distance_to(true, "efficientnet-lite0", 0.3)(made)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    alone = [distance_to(true[[i]], "efficientnet-lite0", 0.3)(made[[i]]) for i in (0, 1)]
    assert (alone[0] + alone[1]).item() / 2 == pytest.approx(found.item(), rel=1e-4)


def test_the_memory_for_stored_features_is_known_beforehand():
    data = labelled((32, 36, 3), rows=12)
    _, stages = build(data, perceptual="efficientnet-lite0")
    take_step(stages[0], view(data, [0, 1]))
    stored = stages[0].distance._targets._stored
    assert stages[0].memory() == sum(t.numel() * t.element_size() for t in stored) > 0
    assert stored_bytes(data.images, "none") == 0


def test_a_step_moves_the_generator_and_the_rows_of_its_batch():
    data = labelled()
    settings = {"class_factor": "kind,pose", "second_stage": 0.0, "batch": 4}
    start = state_of(build(data, **settings)[0])
    seen = []
    original = lord.LatentOptimisation.step

    def spy(self, batch, progress):
        seen.append(batch["x"].rows.tolist())
        return original(self, batch, progress)

    for steps in (1, 2):
        seen.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lord.LatentOptimisation, "step", spy)
            state = state_of(train(data, budget=f"{steps}steps", **settings))
        visited = {row for rows in seen for row in rows}
        assert len(seen) == steps and len(visited) == 4 * steps

        def moved(name, state=state):
            return set((state[name] != start[name]).any(1).nonzero().flatten().tolist())

        assert moved("content.weight") == visited
        # The 20 rows are the 20 combinations of kind and pose, one of each.
        kind, pose = data.factors["kind"], data.factors["pose"]
        assert moved("classes.weight") == {5 * kind[row] + pose[row] for row in visited}
        weights = [name for name in start if name.startswith("generator.")]
        assert all(not torch.equal(state[name], start[name]) for name in weights)


def test_gradients_reach_the_codes_only_where_they_were_read():
    data = labelled()
    model, stages = build(data)
    for table in ("content", "classes"):
        model.network[table].begin_training()
    rows = torch.tensor([3, 17, 3, 8])  # of kinds 3, 1, 3, 0
    take_step(stages[0], view(data, rows)).backward()
    for table, count in (("content", 3), ("classes", 3)):
        (leaf,) = model.network[table].leaves()
        assert leaf.shape[0] == count and leaf.grad.abs().sum(1).min() > 0
    assert all(p.grad is not None for p in model.network["generator"].parameters())
    for space in ("class", "content"):
        assert all(p.grad is None for p in model.network[f"{space}_encoder"].parameters())


def test_stage_one_leaves_the_encoders_and_learns():
    data = labelled()
    start = build(data)[0]
    model = train(data, budget="160steps", second_stage=0.2, code_lr=0.05, generator_lr=3e-3)
    rows = torch.arange(20)
    model._labels, model._previewed = torch.from_numpy(data.factors["kind"]), data.images

    def error(codes, of):
        images = of.decode_codes(codes)
        return (images - view(data, rows).images).abs().mean().item()

    with torch.no_grad():
        start._labels, start._previewed = model._labels, model._previewed
        before = error(start.training_codes(rows), start)
        after = error(model.training_codes(rows), model)
        constant = data.images.mean((0, 1, 2)) / 255
        flat = np.abs(data.images / 255 - constant).mean()
    assert after < 0.8 * flat and after < 0.5 * before


# ---------------------------------------------------------------------- half size


def test_half_size_is_for_images_of_32_pixels_or_more():
    plans = {
        shape: build(labelled((*shape, 1)), half_size=0.6)[1][0].resolutions()
        for shape in ((16, 16), (31, 64), (32, 32), (33, 47))
    }
    small, large = [(1.0, 1)], [(0.6, 2), (0.4, 1)]
    assert list(plans.values()) == [small, small, large, large]
    assert build(labelled((32, 32, 1)), half_size=0.0)[1][0].resolutions() == small
    assert build(labelled((32, 32, 1)), half_size=0.6)[1][1].resolutions() == small


@pytest.mark.parametrize("variant", ["semi-amortised", "amortised"])
def test_encoders_see_full_size_in_the_half_size_phase(variant):
    data = labelled((33, 47, 1))
    for stride in (1, 2, 3):
        model = train(data, variant=variant, half_size=0.6, encoder_stride=stride)
        assert model.encode(data)["content"].shape == (20, 6)


def test_large_images_are_halved_in_the_second_stage_too():
    data = labelled((96, 96, 1))
    model, (_, stage) = build(data, half_size=0.6, codes_first=0.0, recombined=1.0)
    assert stage.resolutions() == [(0.6, 2), (0.4, 1)]
    sizes = {"generator": [], "class_encoder": []}
    network = model.network
    network["generator"].register_forward_hook(
        lambda _, __, made: sizes["generator"].append(made.shape[2])
    )
    network["class_encoder"].register_forward_pre_hook(
        lambda _, seen: sizes["class_encoder"].append(seen[0].shape[2])
    )
    take_step(stage, view(data, [3, 17, 6], divisor=2), divisor=2)
    assert sizes == {"generator": [48, 48], "class_encoder": [96, 96]}  # of swaps, and of images
    take_step(stage, view(data, [3, 17, 6]))
    assert sizes == {"generator": [48, 48, 96, 96], "class_encoder": [96] * 4}


@pytest.mark.parametrize("step", [1, 4])  # at half size, at full size
def test_a_run_killed_at_half_size_is_resumed_to_the_same_bits(step, tmp_path, monkeypatch):
    data = labelled((32, 32, 3), rows=12)
    options = {
        "half_size": 0.6, "start": "components", "perceptual": "efficientnet-lite0",
        "second_stage": 0.25, "checkpoint_every": 1e-9,
    }  # fmt: skip
    straight = train(data, **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stopping(patch, "latent", step, kill)
        train(data, out=tmp_path, **options)
    resumed = train(data, out=tmp_path, resume=True, **options)
    assert_same(state_of(straight), state_of(resumed))
    assert np.array_equal(straight.reconstruct(data), um.load(tmp_path).reconstruct(data))


# ---------------------------------------------------------------------- where codes start


def test_components_put_images_of_the_same_content_together():
    random = np.random.default_rng(0)
    contents = np.stack([random.integers(0, k, 12) for k in (10, 10, 8, 4, 15)], 1)
    factors = [
        (floor, wall, hue, scale, shape, turn)
        for floor, wall, scale, shape, turn in contents
        for hue in (0, 2, 4, 6, 8)
    ]
    data = um.load_data("shapes3d", rows=shapes3d.factors_to_index(factors), size=32)
    model, (stage, _) = build(
        data, class_factor="object_hue", start="components", content_dim=32, class_dim=16
    )
    before = state_of(model)
    stage.setup()
    codes = model.network["content"].weight
    far = torch.cdist(codes, codes) + torch.eye(60) * 1e9
    same = far.argmin(1) // 5 == torch.arange(60) // 5
    assert same.float().mean() > 0.7  # 4 of 59 by chance
    alike = torch.arange(60)[:, None] // 5 == torch.arange(60) // 5
    distances = torch.cdist(codes, codes)
    assert distances[alike].sum() / (60 * 4) < 0.6 * distances[~alike].mean()
    # The start is added to the uniform one, at a norm of 8; class codes likewise.
    for table, name in ((codes, "content.weight"), (model.network["classes"].weight, None)):
        added = table - before[name or "classes.weight"]
        assert added.square().sum(1).mean().sqrt().item() == pytest.approx(8.0, rel=1e-3)
    classes = model.network["classes"].weight
    assert classes.shape == (5, 16) and torch.pdist(classes).min() > 1


def test_a_uniform_start_is_left_as_it_is():
    model, (stage, _) = build(labelled(), start="uniform")
    before = state_of(model)
    stage.setup()
    assert_same(before, state_of(model))


def test_trained_codes_are_kept_by_a_run_that_starts_from_them(tmp_path):
    data, options = labelled(), {"start": "components", "second_stage": 0.0}
    first = train(data, out=tmp_path / "first", **options)
    second = train(
        data, start_from=tmp_path / "first", budget="1steps", code_lr=1e-9, generator_lr=1e-9,
        **options,
    )  # fmt: skip
    for name in ("content.weight", "classes.weight"):
        torch.testing.assert_close(state_of(second)[name], state_of(first)[name])


def test_components_of_a_posterior_are_its_means():
    model, (stage, _) = build(labelled(), start="components", regulariser="kl")
    stage.setup()
    table = model.network["content"].weight
    assert table[:, :6].abs().max() > 1 and table[:, 6:].abs().max() <= 0.05


# ---------------------------------------------------------------------- stage 2, Eq. 8


def squared(one, other):
    return (one - other).pow(2).mean()


@pytest.mark.parametrize("regulariser", ["noise", "kl"])
@pytest.mark.parametrize("fraction", [0.2, 0.6])
def test_the_objective_of_stage_two_is_equation_8(fraction, regulariser):
    data = labelled()
    model, (_, stage) = build_large(
        data, alpha=3.0, codes_first=0.4, recombined=0.0, regulariser=regulariser
    )
    network, rows = model.network, torch.tensor([3, 17, 3, 8])
    loss = take_step(stage, view(data, rows), fraction)
    x = view(data, rows).images
    kind = torch.from_numpy(data.factors["kind"])[rows]
    classes, content = network["class_encoder"](x), network["content_encoder"](x)
    wanted = 3 * squared(classes, network["classes"].weight[kind])
    wanted = wanted + 3 * squared(content, network["content"].weight[rows])
    if fraction > 0.4:
        wanted = wanted + (network["generator"](content[:, :6], classes) - x).abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_recombined_images_have_to_give_back_their_codes():
    data = labelled()
    model, (_, stage) = build_large(data, alpha=3.0, codes_first=0.9, recombined=2.0)
    network, rows = model.network, torch.tensor([3, 17, 6, 8])
    loss = take_step(stage, view(data, rows), 0.1)
    model.config.recombined = 0.0
    plain = take_step(stage, view(data, rows), 0.1)
    others = view(data, rows).permutation(others=True)
    assert (others != torch.arange(4)).all()
    kind = torch.from_numpy(data.factors["kind"])[rows]
    classes, content = network["classes"].weight[kind][others], network["content"].weight[rows]
    images = network["generator"](content, classes)
    wanted = squared(network["class_encoder"](images), classes)
    wanted = wanted + squared(network["content_encoder"](images), content)
    assert (loss - plain).item() == pytest.approx(2 * 3 * wanted.item(), rel=1e-3)


def test_the_whitened_class_error_counts_every_axis_alike():
    data = labelled()
    model, (_, stage) = build_large(data, alpha=3.0, recombined=0.0, class_error="whitened")
    stage.setup()
    network, rows = model.network, torch.tensor([3, 17, 6, 8])
    loss = take_step(stage, view(data, rows), 0.1)
    x, kind = view(data, rows).images, torch.from_numpy(data.factors["kind"])[rows]
    table = network["classes"].weight
    off = (network["class_encoder"](x) - table[kind]).detach().numpy()
    _, values, axes = np.linalg.svd((table - table.mean(0)).numpy(), full_matrices=False)
    variances = values[:3] ** 2 / 4  # 4 classes span 3 axes
    weights = variances.mean() / (variances + 0.05 * variances.mean())
    wanted = 3 * ((off @ axes[:3].T) ** 2 * weights).sum(1).mean() / off.shape[1]
    content = network["content_subspace"](network["content_encoder"](x))
    wanted += 3 * squared(content, network["content"].weight[rows]).item()
    assert loss.item() == pytest.approx(wanted, rel=1e-4)


def stage_two(monkeypatch, **options):
    """State at the end of stage 1, and at the end."""
    between = {}
    finish = lord.LatentOptimisation.finish

    def spy(self):
        finish(self)
        between.update(state_of(self.method))

    monkeypatch.setattr(lord.LatentOptimisation, "finish", spy)
    model = train(second_stage=0.5, **options)
    return between, state_of(model), model


def changed(first, second):
    """Networks and tables that differ."""
    parts = {name.split(".")[0] for name in first if "_subspace" not in name}
    return {
        part
        for part in parts
        if any(not torch.equal(first[n], second[n]) for n in first if n.startswith(part + "."))
    }


@pytest.mark.parametrize("recombined", [0.0, 1.0])
def test_stage_two_moves_encoders_and_generator_and_no_table(monkeypatch, recombined):
    before, after, _ = stage_two(monkeypatch, codes_first=0.4, recombined=recombined)
    assert changed(before, after) == {"generator", "class_encoder", "content_encoder"}


@pytest.mark.parametrize("recombined", [0.0, 1.0])
def test_the_generator_rests_while_the_codes_are_learnt(monkeypatch, recombined):
    before, after, _ = stage_two(monkeypatch, codes_first=0.9, recombined=recombined)
    assert changed(before, after) == {"class_encoder", "content_encoder"}


def test_a_content_encoder_of_stage_one_rests_in_stage_two(monkeypatch):
    """Nothing in Eq. 8 would keep the class out of what it says."""
    before, after, _ = stage_two(monkeypatch, variant="semi-amortised", recombined=1.0)
    assert changed(before, after) == {"generator", "class_encoder"}


def test_encoders_keep_to_the_directions_of_the_codes(monkeypatch):
    data, options = labelled(), {"start": "components", "class_dim": 7, "noise": 0.5}
    _, state, model = stage_two(monkeypatch, floor=20.0, **options)
    codes = model.encode(data)
    # 4 class codes span 3 directions around their mean.
    classes = state["classes.weight"].numpy()
    off = codes["class"] - classes.mean(0)
    axes = np.linalg.svd(classes - classes.mean(0))[2]
    assert np.abs(off @ axes[3:].T).max() < 1e-4 < 1e-3 < np.abs(off @ axes[:3].T).max()
    content = state["content.weight"].numpy()
    _, values, axes = np.linalg.svd(content - content.mean(0))
    kept = int((values**2 / 20 > 20 * 0.5**2).sum())
    off = codes["content"] - content.mean(0)
    assert 0 < kept < 6 and np.abs(off @ axes[kept:].T).max() < 1e-4
    _, state, _ = stage_two(monkeypatch, floor=0.0, class_error="plain", **options)
    for space, dim in (("class", 7), ("content", 6)):
        assert torch.equal(state[f"{space}_subspace.projector"], torch.eye(dim))


def test_encoders_learn_the_codes(monkeypatch):
    _, state, model = stage_two(monkeypatch, budget="240steps", start="components", encoder_lr=3e-3)
    data = labelled()
    codes = model.encode(data)
    for space, wanted in (
        ("class", state["classes.weight"][torch.from_numpy(data.factors["kind"])]),
        ("content", state["content.weight"]),
    ):
        error = squared(torch.from_numpy(codes[space]), wanted)
        assert error < 0.5 * wanted.var(0, correction=0).mean(), space


# ---------------------------------------------------------------------- the ablations of Table 3


TABLE_3 = {
    "amortised, kl": {"variant": "amortised", "regulariser": "kl"},
    "amortised, noise": {"variant": "amortised"},
    "semi-amortised, kl": {"variant": "semi-amortised", "regulariser": "kl"},
    "semi-amortised, noise": {"variant": "semi-amortised"},
    "without second stage": {"second_stage": 0.0},
    "without regularisation": {"regulariser": "none"},
    "lord": {},
}
PARTS = {
    "amortised": {"class_encoder", "content_encoder"},
    "semi-amortised": {"classes", "class_encoder", "content_encoder"},
    "without": {"classes", "content"},
    "lord": {"classes", "content", "class_encoder", "content_encoder"},
}


@pytest.mark.parametrize("variant", TABLE_3)
def test_every_variant_trains_and_encodes(variant, tmp_path):
    data, settings = labelled(), TABLE_3[variant]
    parts = PARTS[variant.partition(",")[0].partition(" second")[0].partition(" reg")[0]]
    parts = PARTS["lord"] if "regular" in variant else parts
    start = state_of(build(data, **settings)[0])
    model = train(data, budget="4steps", out=tmp_path, **settings)
    there = {name for name, _ in model.network.named_children() if "_subspace" not in name}
    assert there == parts | {"generator"}
    assert changed(start, state_of(model)) == parts | {"generator"}
    posterior = 2 if settings.get("regulariser") == "kl" else 1
    assert model.network["generator"].fc[0].in_features == 6
    if "content" in parts:
        assert model.network["content"].dim == 6 * posterior
    loaded = um.load(tmp_path)
    codes, again = model.encode(data.images[:3]), loaded.encode(data.images[:3])
    for space, dim in (("class", 5), ("content", 6)):
        assert codes[space].shape == (3, dim) and np.isfinite(codes[space]).all()
        assert np.array_equal(codes[space], again[space])
    assert loaded.decode(codes).shape == (3, 16, 16, 3)


def test_semi_amortised_without_second_stage_could_not_encode():
    refused(
        lambda: LORDConfig(variant="semi-amortised", second_stage=0.0),
        "--second-stage 0", "semi-amortised", kind=um.ConfigError,
    )  # fmt: skip
    assert LORDConfig(variant="amortised", second_stage=0.0).second_stage == 0


def test_a_whitened_class_error_without_subspaces_would_be_the_plain_one():
    refused(lambda: LORDConfig(floor=0.0), "--floor", "--class-error plain", kind=um.ConfigError)
    assert LORDConfig(floor=0.0, class_error="plain").floor == 0


def test_the_amortised_class_code_is_the_mean_of_its_class_in_the_batch():
    data = labelled()
    model, (stage,) = build_large(data, variant="amortised", decay=0.0, noise=0.0)
    rows = [0, 4, 5, 8, 2]  # kinds 0, 0, 1, 0, 2
    x = view(data, rows)
    codes = model.network["class_encoder"](x.images)
    mean = (codes[0] + codes[1] + codes[3]) / 3
    classes = torch.stack([mean, mean, codes[2], mean, codes[4]])
    content = model.network["content_encoder"](x.images)
    generate, seen = model.generate, []
    model.generate = lambda *given: seen.append(given) or generate(*given)
    loss = take_step(stage, x)
    torch.testing.assert_close(seen[0][:2], (content, classes))
    wanted = (generate(content, classes) - x.images).abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    loss.backward()
    encoders = [model.network["class_encoder"], model.network["content_encoder"]]
    assert all(p.grad.abs().sum() > 0 for net in encoders for p in net.parameters())


def test_the_amortised_class_code_is_a_mean_over_the_batches_of_all_processes():
    data = labelled()
    _, (stage,) = build_large(data, variant="amortised")
    rows = torch.tensor([0, 4, 8, 5])  # kinds 0, 0, 0, 1
    images, labels = view(data, rows).images, torch.tensor([0, 0, 0, 1])
    codes = stage.network["class_encoder"](images).detach()
    part = View(images[:2], rows[:2], batch=4)
    others = {torch.float32: codes[2:], torch.int64: labels[2:]}
    part.gather = lambda own: torch.cat([own, others[own.dtype]])
    mean = codes[:3].mean(0)
    torch.testing.assert_close(stage._classes(part), torch.stack([mean, mean]))


def test_the_semi_amortised_class_code_is_the_tables():
    data = labelled()
    model, (stage, _) = build_large(data, variant="semi-amortised", decay=0.0, noise=0.0)
    rows = torch.tensor([0, 4, 5, 2])
    x = view(data, rows)
    content = model.network["content_encoder"](x.images)
    classes = model.network["classes"].weight[torch.tensor([0, 0, 1, 2])]
    wanted = (model.network["generator"](content, classes) - x.images).abs().mean()
    assert take_step(stage, x).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_posteriors_code_is_its_mean():
    model = train(regulariser="kl")
    data = labelled()
    raw = model.network["content_encoder"](view(data, [0, 1]).images)
    assert raw.shape == (2, 12)
    codes = model.encode(data.images[:2])["content"]
    np.testing.assert_allclose(codes, raw[:, :6].detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("regulariser", ["noise", "kl"])
def test_codes_found_by_optimisation_fit_the_images(regulariser):
    data = labelled()
    model = train(
        data, budget="100steps", second_stage=0.0, regulariser=regulariser,
        code_lr=0.05, generator_lr=3e-3, decay=1e-3,
    )  # fmt: skip
    before = state_of(model)
    images = data.images[:6]
    codes = model.encode(images)
    start = {
        "class": before["classes.weight"].mean(0, keepdim=True).numpy(),
        "content": np.zeros((6, 6), np.float32),
    }
    found, first = model.decode(codes) / 255.0, model.decode(start) / 255.0
    assert np.abs(found - images / 255).mean() < 0.8 * np.abs(first - images / 255).mean()
    assert_same(before, state_of(model))
    assert all(p.grad is None for p in model.network.parameters())


def test_codes_found_by_optimisation_do_not_depend_on_the_images_beside_them():
    data = labelled()
    model = train(data, budget="20steps", second_stage=0.0, decay=1.0)
    items = view(data, range(6)).images
    # Few steps: Adam makes more of the last digits, which go by the batch's size, with every one.
    beside, alone = (model.optimise_codes(x, steps=10) for x in (items, items[1:3]))
    for space in ("class", "content"):
        torch.testing.assert_close(alone[space], beside[space][1:3], rtol=1e-3, atol=1e-3)


def test_an_amortised_model_has_no_start_for_optimisation():
    model = train(variant="amortised", second_stage=0.0)
    items = torch.zeros(2, 3, 16, 16)
    refused(lambda: model.optimise_codes(items), "amortised", kind=um.ConfigError)


# ---------------------------------------------------------------------- classes


def test_two_columns_crossed_are_a_class_factor():
    data = labelled()
    model = train(data, class_factor="kind,pose")
    assert model.network["classes"].rows == 20
    assert model.code_spaces["class"].factor == "kind,pose"
    assert model.facts["class_names"][:6] == ["0,0", "0,1", "0,2", "0,3", "0,4", "1,0"]


def test_classes_without_rows_take_no_code():
    data = labelled()
    data = data.select(data.factors["kind"] != 1)
    model, (stage, _) = build(data)
    assert model.network["classes"].rows == 3 and model.facts["class_names"] == ["0", "2", "3"]
    row = int(np.flatnonzero(data.factors["kind"] == 2)[0])
    assert stage.labels[row] == 1


def test_class_codes_have_their_names(trained_lord):
    data = labelled()
    codes = trained_lord.class_codes
    assert list(codes) == ["0", "1", "2", "3"]
    content = trained_lord.encode(data.images[:3])["content"]
    for row, code in enumerate(codes.values()):
        assert code.shape == (1, 5)
        assert np.array_equal(code[0], trained_lord.network["classes"].weight[row].numpy())
        made = trained_lord.decode({"class": code, "content": content})
        assert made.shape == (3, 16, 16, 3)
    model = train(variant="amortised")
    refused(lambda: model.class_codes, "amortised", kind=um.ConfigError)


@pytest.fixture(scope="module")
def trained_lord():
    return train()


# ---------------------------------------------------------------------- collapse (Fig. 6)


def test_content_statistics_are_of_the_posterior():
    model, data = train(regulariser="kl"), labelled()
    mean, std = model.content_statistics(data)
    with torch.no_grad():
        raw = model.network["content_encoder"](view(data, range(20)).images).numpy()
    assert mean.shape == std.shape == (6,)
    np.testing.assert_allclose(mean, np.abs(raw[:, :6]).mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(std, np.exp(raw[:, 6:] / 2).mean(0), rtol=1e-3, atol=1e-5)


def test_content_statistics_need_a_posterior_and_an_encoder(trained_lord):
    data = labelled()
    refused(lambda: trained_lord.content_statistics(data), "--regulariser kl")
    model = train(regulariser="kl", second_stage=0.0)
    refused(lambda: model.content_statistics(data), "encoder", kind=um.ConfigError)


# ---------------------------------------------------------------------- style clusters (section 4)


def drawings():
    """Domains "ink" and "paint", 12 pictures each: half of them striped, half of them smooth."""
    random = np.random.default_rng(0)
    domain, striped = np.arange(24) // 12, np.arange(24) % 2
    images = np.zeros((24, 32, 32, 3), np.uint8)
    stripes = np.arange(32) // 2 % 2
    for row in range(24):
        images[row] = 60 + 100 * domain[row] + random.integers(0, 30, (1, 1, 3))
        if striped[row]:
            shifted = np.roll(stripes, random.integers(0, 4))
            images[row] -= (50 * shifted).astype(np.uint8)[None, :, None]
    return um.FactorDataset(
        images=images,
        factors={"domain": domain, "striped": striped},
        value_names={"domain": ["ink", "paint"]},
        continuous={"size": np.linspace(0, 1, 24)},
        ids=np.arange(100, 124),
        name="drawings",
        files=[f"{row}.png" for row in range(24)],
    )


def test_styles_are_found_within_domains():
    data = drawings()
    found = style_clusters(data, "domain", clusters=2)
    style = found.factors["style"]
    assert found.value_names["style"] == ("ink 0", "ink 1", "paint 0", "paint 1")
    for value in range(4):
        rows = style == value
        assert len(np.unique(data.factors["domain"][rows])) == 1
        assert len(np.unique(data.factors["striped"][rows])) == 1
        assert rows.sum() == 6
        name = found.value_names["style"][value]
        assert name.split()[0] == ("ink", "paint")[data.factors["domain"][rows][0]]
    # All else is as it was.
    assert np.array_equal(found.images, data.images) and np.array_equal(found.ids, data.ids)
    assert np.array_equal(found.continuous["size"], data.continuous["size"])
    assert np.array_equal(found.files, data.files)
    assert "style" not in data.factors
    assert um.LORD(class_factor="style").check(found)["class_names"][0] == "ink 0"


def test_style_clusters_are_seeded_and_named():
    first, second = (style_clusters(drawings(), "domain", 5, seed=1) for _ in range(2))
    assert np.array_equal(first.factors["style"], second.factors["style"])
    others = [style_clusters(drawings(), "domain", 5, seed=s).factors["style"] for s in (2, 3, 4)]
    assert any(not np.array_equal(first.factors["style"], other) for other in others)
    named = style_clusters(drawings(), "domain", 2, name="hand")
    assert "hand" in named.factors and named.cardinality("hand") == 4


def test_there_are_no_more_styles_than_images():
    found = style_clusters(drawings(), "domain", clusters=100)
    assert found.cardinality("style") <= 24
    one = style_clusters(drawings(), "domain", clusters=1)
    assert np.array_equal(one.factors["style"], one.factors["domain"])


def test_what_cannot_be_clustered_is_refused():
    data = drawings()
    refused(lambda: style_clusters(data, "domian"), "'domian'", "'domain'", kind=um.DataError)
    refused(lambda: style_clusters(data, "domain", 0), "clusters", "0", kind=um.ConfigError)
    refused(lambda: style_clusters(data, "domain", name="striped"), "'striped'")
    vectors = um.FactorDataset(vectors=np.ones((4, 3)), factors={"domain": [0, 0, 1, 1]})
    refused(lambda: style_clusters(vectors, "domain"), "images", "vectors", kind=um.DataError)
