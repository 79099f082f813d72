"""Content-style: its settings, its equations, what each stage moves, the ablations, its uses."""

from __future__ import annotations

import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import ROWS, Killed, assert_same, fit, kill, labelled, refused, state_of, stopping

import unmingle as um
from unmingle.evaluation import KnownCodes
from unmingle.losses.bottleneck import capacity_gap, mean_absolute_codes
from unmingle.losses.instance import instance_softmax, swap_consistency
from unmingle.methods.content_style import Codings, ContentStyleConfig, Encoders
from unmingle.nn.augment import NOISE, augment
from unmingle.nn.fusion import FusionBlock, FusionGenerator, normalise_codes
from unmingle.nn.perceptual import EfficientNetLite0
from unmingle.nn.resnet import MemoryBank, ResNet18
from unmingle.nn.starts import Vectors, _parted, layout_and_statistics
from unmingle.training.images import ImageSource
from unmingle.training.stage import Progress, View

TINY = ROWS["content-style"].settings
PLAIN = {
    "discrimination_weight": 0.0,
    "bottleneck_weight": 0.0,
    "noise": 0.0,
    "reconstruction_weight": 1.0,
    "recombined": 0.0,
}


def build(data, **settings):
    """A model with its networks, not trained, and its stages by name, ready for a step."""
    model = um.ContentStyle(**{**TINY, **settings})
    model.data_shape, model.facts = data.shape, model.check(data)
    torch.manual_seed(0)
    model.network = model.build(data.shape, model.facts)
    stages = {stage.name: stage for stage in model.stages(data)}
    for stage in stages.values():
        stage.prepare()
    return model, stages


@torch.no_grad()
def build_large(data, **settings):
    """The same with codes as large as trained ones, so that each of them shows in the image."""
    model, stages = build(data, **settings)
    for name in ("style", "content", "domain"):
        if name in model.network:
            model.network[name].weight.mul_(30)
    for block in model.network["generator"].modules():
        if hasattr(block, "affine"):
            block.affine.weight.mul_(2)
    return model, stages


def view(data, rows, divisor=1, seed=3):
    rows = torch.as_tensor(rows)
    images = ImageSource(data.images).batch(rows, divisor)
    return View(images, rows, generator=torch.Generator().manual_seed(seed))


def take_step(stage, x, fraction=0.5, step=3, divisor=1):
    return stage.step({"x": x}, Progress(step, fraction, fraction, divisor)).losses


def train(data=None, **options):
    names = {field.name for field in dataclasses.fields(ContentStyleConfig)}
    settings = {k: options.pop(k) for k in list(options) if k in names}
    return fit("content-style", data, settings=settings, **options)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- settings


def test_the_paper_preset_has_the_published_values():
    config = ContentStyleConfig(preset="paper")
    published = {
        "style_dim": 256,
        "content_dim": 128,
        "fusion": "multiple",
        "reconstruction_weight": 5.0,
        "bottleneck_weight": 1.0,
        "discrimination_weight": 1.0,
        "content_gamma": 1.0,
        "style_gamma": 0.0,
        "content_capacity": (2.0, 5.0),
        "capacity_steps": 140_000,
        "noise": 1.0,
        "temperature": 0.07,
        "generator_lr": 3e-4,
        "code_lr": 3e-3,
        "generator_widths": (256,) * 5,
        "discriminator_widths": (64, 128, 256, 512),
        "start": "uniform",
        "half_size": 0.0,
        "recombined": 0.0,
        "floor": 0.0,
    }
    assert {name: getattr(config, name) for name in published} == published


def test_the_paper_preset_makes_the_papers_model():
    data = labelled((64, 64, 3), rows=4)
    model = um.ContentStyle(preset="paper", perceptual="none")
    model.network = model.build(data.shape, model.check(data))
    for name, dim in (("style", 256), ("content", 128)):
        assert model.network[name].weight.shape == (4, dim)
        assert model.network[name].weight.abs().max() <= 0.05
    # torchvision's resnet18 has 11,689,512 parameters, 513,000 of them in its classifier.
    phi = model.network["discriminator"]
    count = sum(p.numel() for p in phi.parameters()) - sum(p.numel() for p in phi.head.parameters())
    assert count == 11_689_512 - 513_000
    instances, latent, encoders = model.stages(data)
    assert [stage.share for stage in (instances, latent, encoders)] == pytest.approx(
        [0.2, 0.6, 0.2]
    )
    assert [group.lr for group in latent.players()[0].groups] == [3e-4, 3e-3, 3e-3]
    assert all(g.betas == (0.9, 0.999) for g in latent.players()[0].groups)
    assert latent.resolutions() == [(1.0, 1)]


def test_the_laptop_preset_is_small_and_complete():
    laptop, paper = ContentStyleConfig(), ContentStyleConfig(preset="paper")
    for config, more in ((laptop, []), (paper, ["capacity_share"])):
        unset = [f.name for f in dataclasses.fields(config) if getattr(config, f.name) is None]
        assert sorted(unset) == sorted(["domain_factor", "discriminator_from", *more])
    facts = {"rows": 5, "domains": []}
    sizes = [
        sum(p.numel() for p in um.ContentStyle(config).build((64, 64, 3), facts).parameters())
        for config in (laptop, paper)
    ]
    assert sizes[0] < sizes[1] / 3


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("preset", ["huge", None]),
        ("fusion", ["double"]),
        ("normalisation", ["batch", None]),
        ("variant", ["amortized"]),
        ("start", ["zero"]),
        ("domain_factor", ["", 3]),
        ("discriminator_from", ["runs/a", 3]),  # laptop has no instance discrimination
        ("noise", [-1.0, "1"]),
        ("style_dim", [0, 2.5]),
        ("content_dim", [0]),
        ("swapped", [0]),
        ("negatives", [0]),
        ("temperature", [0.0, math.nan]),
        ("code_lr", [0, -1]),
        ("discrimination_weight", [-1.0]),
        ("half_size", [-0.1, 1.0]),
        ("instances", [0.0, 1.0]),
        ("second_stage", [0.0, 1.0]),
        ("capacity_share", [0.0, 1.5, math.nan]),
        ("content_capacity", [(2.0,), (-1.0, 5.0), (1.0, math.nan), 5.0]),
        ("style_capacity", [(0.0, math.inf)]),
        ("generator_widths", [(8,), (8, 0)]),
        ("discriminator_widths", [(4, 4, 8), (4, 4, 8, 0)]),
        ("discriminator_stem", [4, 0]),
        ("head_kernels", [(3, 4)]),
    ],
)
def test_bad_values_name_the_flag(setting, values):
    for value in values:
        refused(
            lambda value=value: ContentStyleConfig(**{setting: value}),
            "--" + setting.replace("_", "-"),
            kind=um.ConfigError,
        )


def test_shares_must_leave_something_for_the_codes():
    shares = {"instances": 0.5, "second_stage": 0.5}
    refused(lambda: ContentStyleConfig(discrimination_weight=1.0, **shares), "--instances")
    ContentStyleConfig(discrimination_weight=0.0, **shares)


def test_a_share_of_the_stage_beside_a_number_of_steps_is_refused():
    words = ("--capacity-share", "--capacity-steps")
    for settings in ({"preset": "paper"}, {"capacity_steps": 9}):
        for share in (0.3, 0.5):
            refused(
                lambda settings=settings, share=share: ContentStyleConfig(
                    capacity_share=share, **settings
                ),
                *words,
                kind=um.ConfigError,
            )
    assert ContentStyleConfig(preset="paper", capacity_steps=0).capacity_share == 0.5
    for preset in ("paper", "laptop"):  # as a run's settings are read again
        config = ContentStyleConfig(preset=preset)
        assert ContentStyleConfig(**dataclasses.asdict(config)) == config


def test_instance_discrimination_needs_two_images():
    words = ("--batch 1", "--discrimination-weight 0")
    refused(lambda: ContentStyleConfig(batch=1, discrimination_weight=1.0), *words)
    assert ContentStyleConfig(batch=1).batch == 1


# ---------------------------------------------------------------------- fusion, Eq. 3


def test_instance_normalisation_is_over_the_entries_of_a_code():
    code = torch.tensor([[1.0, 2.0, 3.0, 6.0]])  # mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5
    wanted = (code - 3) / math.sqrt(3.5)
    torch.testing.assert_close(normalise_codes(code, "instance"), wanted, rtol=1e-4, atol=1e-4)
    rows = normalise_codes(5 + 3 * noise(7, 40), "instance")
    torch.testing.assert_close(rows.mean(1), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(1, correction=0), torch.ones(7), atol=1e-4, rtol=0)


def test_l2_normalisation_is_the_direction_alone():
    code = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    # Length sqrt(4) = 2.
    torch.testing.assert_close(normalise_codes(code, "l2"), 2 * code / 5, rtol=1e-4, atol=1e-4)
    rows = noise(5, 9)
    torch.testing.assert_close(normalise_codes(7 * rows, "l2"), normalise_codes(rows, "l2"),
                               rtol=1e-3, atol=1e-3)  # fmt: skip
    assert torch.equal(normalise_codes(rows, "none"), rows)


@pytest.mark.parametrize("kind", ["instance", "l2"])
def test_a_clean_code_comes_out_as_the_mean_over_the_noise(kind):
    code = 0.7 * noise(1, 64)
    noisy = code + noise(20_000, 64, seed=1)
    mean = normalise_codes(noisy, kind).mean(0, keepdim=True)
    clean = normalise_codes(code, kind, missing=1.0)
    assert (mean - clean).abs().max() < 0.05
    # Without it a code of that length would come out nearly twice as long.
    assert normalise_codes(code, kind).norm() > 1.5 * mean.norm()
    assert normalise_codes(torch.zeros(1, 64), kind, missing=1.0).abs().max() == 0


def test_a_fusion_block_is_equation_3():
    block = FusionBlock(3, 4, "instance")
    style, content = noise(5, 3, seed=1), noise(5, 4, seed=2)
    weight, bias = block.affine.weight, block.affine.bias
    sigma = style @ weight[:4].T + bias[:4]
    mu = style @ weight[4:].T + bias[4:]
    normal = (content - content.mean(1, keepdim=True)) / content.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(block(content, style), sigma * normal + mu, rtol=1e-3, atol=1e-4)


def generator(**options):
    torch.manual_seed(0)
    made = FusionGenerator(6, 5, (16, 16, 3), (8, 8, 8), 4, (3, 3), **options)
    with torch.no_grad():
        for module in made.modules():
            if hasattr(module, "affine"):
                module.affine.weight.mul_(5)
    return made


@pytest.mark.parametrize("fusion", ["multiple", "single", "concat"])
def test_both_codes_reach_the_picture(fusion):
    made, content, style = generator(fusion=fusion), noise(2, 6), noise(2, 5, seed=1)
    images = made(content, style)
    assert images.shape == (2, 3, 16, 16)
    assert made(content, style, 2).shape == (2, 3, 8, 8)
    for other in ((content.flip(0), style), (content, style.flip(0))):
        assert (made(*other) - images).abs().max() > 1e-3
    styled = sum(p.numel() for n, p in made.named_parameters() if "affine" in n)
    # A block of 12 outputs on the code; two of 16 on the feature maps.
    assert styled == {"multiple": 12 * 6 + 2 * 16 * 6, "single": 12 * 6, "concat": 0}[fusion]


def test_without_normalisation_nothing_is_normalised():
    plain, normal = generator(normalisation="none"), generator()
    content, style = noise(3, 6), noise(3, 5, seed=1)
    # Normalised: a longer content code is the same picture.
    assert (normal(10 * content, style) - normal(content, style)).abs().max() < 1e-3
    assert (plain(10 * content, style) - plain(content, style)).abs().max() > 1e-2
    maps = []
    block = plain.synthesis.blocks[0]
    block.adain.register_forward_hook(lambda m, given, out: maps.append((*given, out)))
    plain(content, style)
    x, code, out = maps[0]
    scale, shift = block.adain.affine(code)[..., None, None].chunk(2, 1)
    torch.testing.assert_close(out, x * scale + shift)


def test_the_fine_style_is_that_of_the_last_blocks():
    made, content, style, fine = generator(), noise(2, 6), noise(2, 5, seed=1), noise(2, 5, seed=2)
    seen = []
    for block in made.synthesis.blocks:
        block.adain.register_forward_hook(lambda m, given, out: seen.append(given[1]))
    made(content, style, fine=fine)
    assert torch.equal(seen[0], style) and torch.equal(seen[1], fine)
    assert torch.equal(made(content, style, fine=style), made(content, style))


# ---------------------------------------------------------------------- losses


def test_the_capacity_gap_is_equation_8():
    codes = torch.tensor([[1.0, 2.0, 2.0], [0.0, 1.0, 0.0]], requires_grad=True)  # 9 and 1
    loss = capacity_gap(codes, 5.0)
    assert loss.item() == pytest.approx((4 + 4) / 2)
    loss.backward()
    # d|9 - 5| = 2c, d|1 - 5| = -2c, halved by the mean: long codes shrink and short ones grow.
    torch.testing.assert_close(codes.grad, torch.tensor([[1.0, 2.0, 2.0], [0.0, -1.0, 0.0]]))
    assert capacity_gap(codes, 0.0).item() == pytest.approx(5.0)
    assert capacity_gap(codes.detach().bfloat16(), 5.0).dtype == torch.float32


def test_the_encoders_error_is_equation_6():
    codes, target = torch.tensor([[1.0, 3.0]], requires_grad=True), torch.zeros(1, 2)
    target.requires_grad_()
    loss = mean_absolute_codes(codes, target)
    assert loss.item() == pytest.approx(2.0)
    loss.backward()
    assert target.grad is None and codes.grad.tolist() == [[0.5, 0.5]]


def test_the_softmax_over_instances_by_hand():
    bank = torch.eye(3)
    v = torch.tensor([[0.6, 0.8, 0.0]])
    logits = [0.6 / 0.5, 0.8 / 0.5, 0.0]
    wanted = -logits[1] + math.log(sum(map(math.exp, logits)))
    rows = torch.tensor([1])
    assert instance_softmax(v, bank, rows, 0.5).item() == pytest.approx(wanted, rel=1e-5)
    # Negatives drawn: each stands for (N - 1) / m of the other rows; the own row does not count.
    wanted = -logits[1] + math.log(math.exp(logits[1]) + 2 / 1 * math.exp(logits[0]))
    found = instance_softmax(v, bank, rows, 0.5, torch.tensor([0, 1]))
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_all_rows_as_negatives_are_the_full_softmax():
    bank, v = F.normalize(noise(9, 4), dim=1), F.normalize(noise(5, 4, seed=1), dim=1)
    rows = torch.tensor([0, 8, 3, 3, 5])
    full = instance_softmax(v, bank, rows)
    assert instance_softmax(v, bank, rows, negatives=torch.arange(9)).item() == pytest.approx(
        full.item(), rel=1e-5
    )


def test_swap_consistency_by_hand_and_with_both_gradients():
    u = [torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[5.0]], requires_grad=True)]
    x = [torch.zeros(1, 2, requires_grad=True), torch.tensor([[1.0]], requires_grad=True)]
    loss = swap_consistency(u, x)
    assert loss.item() == pytest.approx(1.5 + 4)
    assert swap_consistency(u, x, [2.0, 0.5]).item() == pytest.approx(3 + 2)
    loss.backward()
    assert x[0].grad.tolist() == [[-0.5, -0.5]] and u[1].grad.tolist() == [[1.0]]


# ---------------------------------------------------------------------- instance discrimination


def test_the_resnet_has_five_levels_and_unit_embeddings():
    net = ResNet18(3, (4, 8, 8, 16), 12, stem=7)
    layers = net.features(torch.rand(2, 3, 64, 64))
    assert [tuple(layer.shape[1:]) for layer in layers] == [
        (4, 32, 32), (4, 16, 16), (8, 8, 8), (8, 4, 4), (16, 2, 2)
    ]  # fmt: skip
    embedded = net(torch.rand(5, 3, 33, 47))
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(5))


def test_a_residual_block_adds_its_input():
    net = ResNet18(3, (4, 8, 8, 16)).eval()
    block, x = net.groups[0][0], torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        block.conv2.weight.zero_()
        torch.testing.assert_close(block(x), x)
        assert not torch.allclose(net.groups[1][0](x), x[:, :, ::2, ::2].repeat(1, 2, 1, 1))


def test_the_memory_bank_moves_the_rows_it_is_given():
    torch.manual_seed(0)
    bank = MemoryBank(4, 2, momentum=0.5)
    torch.testing.assert_close(bank.entries.norm(dim=1), torch.ones(4))
    bank.entries[1] = torch.tensor([1.0, 0.0])
    before = bank.entries.clone()
    bank.update(torch.tensor([1]), torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(bank.entries[1], torch.full((2,), 0.5**0.5))
    assert torch.equal(bank.entries[[0, 2, 3]], before[[0, 2, 3]])


def test_augmenting_with_the_middle_of_the_noise_changes_nothing():
    images = torch.rand(2, 4, 16, 20)
    middle = torch.full((2, NOISE), 0.5)
    middle[:, 0] = 0.0  # the size of the crop: all of it
    torch.testing.assert_close(augment(images, middle), images, rtol=1e-3, atol=1e-3)
    flipped = middle.clone()
    flipped[0, 3] = 0.1
    made = augment(images, flipped)
    torch.testing.assert_close(made[0], images[0].flip(2), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(made[1], images[1], rtol=1e-3, atol=1e-3)
    bright = middle.clone()
    bright[:, 4] = 0.75
    made = augment(0.5 * images, bright)
    torch.testing.assert_close(made[:, :3], 0.6 * images[:, :3], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(made[:, 3:], 0.5 * images[:, 3:], rtol=1e-3, atol=1e-3)


def test_the_first_stage_is_the_softmax_and_moves_network_and_bank():
    data = labelled()
    model, stages = build(data)
    stage, rows = stages["instances"], torch.tensor([3, 17, 6, 8])
    before = model.network["bank"].entries.clone()
    x = view(data, rows)
    loss = take_step(stage, x)["discriminator"]
    assert torch.equal(before, model.network["bank"].entries)
    stage.after_step(Progress(3, 0.5, 0.5))
    net = model.network["discriminator"]
    drawn = view(data, rows).rand(NOISE)
    embedded = net(augment(x.images, drawn))
    wanted = F.cross_entropy(embedded @ before.T / 0.07, rows)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    moved = F.normalize(0.5 * before[rows] + 0.5 * embedded, dim=1)
    torch.testing.assert_close(model.network["bank"].entries[rows], moved, rtol=1e-4, atol=1e-5)
    rest = [row for row in range(20) if row not in rows.tolist()]
    assert torch.equal(model.network["bank"].entries[rest], before[rest])
    (player,) = stage.players()
    assert {id(p) for p in player.groups[0].params} == {id(p) for p in net.parameters()}


def test_few_negatives_are_drawn_from_the_view():
    data = labelled()
    model, stages = build(data, negatives=6)
    rows = torch.tensor([3, 17, 6, 8])
    loss = take_step(stages["instances"], view(data, rows))["discriminator"]
    x = view(data, rows)
    embedded = model.network["discriminator"](augment(x.images, x.rand(NOISE)))
    negatives = (x.rand(2).flatten()[:6] * 20).long()
    wanted = instance_softmax(embedded, model.network["bank"].entries, rows, 0.07, negatives)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_instances_become_known():
    """Four colours that no change of colour turns into each other."""
    images = np.zeros((4, 16, 16, 3), np.uint8)
    for row, colour in enumerate([(200, 20, 20), (20, 200, 20), (20, 20, 200), (200, 200, 200)]):
        images[row] = colour
    data = um.FactorDataset(images=images)
    model = train(
        data, budget="100steps", batch=4, instances=0.9, second_stage=0.05,
        discriminator_lr=1e-2, discriminator_widths=(8, 8, 8, 8),
    )  # fmt: skip
    net = model.network["discriminator"]
    with torch.no_grad():
        embedded = net(ImageSource(images).batch(torch.arange(4)))
    found = (embedded @ model.network["bank"].entries.T).argmax(1)
    assert found.tolist() == [0, 1, 2, 3]


def test_instance_discrimination_is_taken_from_another_run(tmp_path, monkeypatch):
    data, lender = labelled(), tmp_path / "lender"
    first = train(data, budget="12steps", out=lender)
    taken = {n: v for n, v in state_of(first).items() if n.startswith(("discriminator.", "bank."))}
    states, second = stages_apart(
        monkeypatch, data=data, budget="12steps", discriminator_from=str(lender),
        out=tmp_path / "b",
    )  # fmt: skip
    assert list(states) == ["latent", "encoders"] and second.config.discriminates == 0
    assert taken and all(torch.equal(state_of(second)[name], v) for name, v in taken.items())
    assert not torch.equal(state_of(first)["style.weight"], state_of(second)["style.weight"])
    shutil.rmtree(lender)  # a trained model has what it needs
    assert um.load(tmp_path / "b").encode(data.images[:2])["style"].shape == (2, 5)


def test_instance_discrimination_of_other_rows_or_sizes_is_refused(tmp_path):
    data, lender = labelled(), tmp_path / "lender"
    train(data, budget="4steps", out=lender)
    flag = f"--discriminator-from {lender}"
    fewer, other = data.select(np.arange(16)), labelled()
    other.images[0, 0, 0] ^= 255
    for rows in (fewer, other):
        refused(
            lambda rows=rows: train(rows, discriminator_from=str(lender)),
            flag, "20 rows", f"{len(rows)} rows", kind=um.DataError,
        )  # fmt: skip
    refused(
        lambda: train(data, discriminator_from=str(lender), discriminator_widths=(4, 4, 4, 8)),
        flag, "--discriminator-widths", "(8, 8, 16, 16)", "(4, 4, 4, 8)", kind=um.ConfigError,
    )  # fmt: skip
    fit("factor-vae", out=tmp_path / "vae")
    train(data, budget="4steps", out=tmp_path / "without", discrimination_weight=0.0)
    for name in ("vae", "without"):
        folder = str(tmp_path / name)
        refused(
            lambda folder=folder: train(data, discriminator_from=folder),
            folder, "no instance discrimination", kind=um.ConfigError,
        )  # fmt: skip
    nothing = str(tmp_path / "nothing")
    refused(
        lambda: train(data, discriminator_from=nothing),
        f"--discriminator-from {nothing}", "config.json", kind=um.ConfigError,
    )  # fmt: skip


# ---------------------------------------------------------------------- Eq. 5, 7, 8


def true_images(data, rows):
    return torch.from_numpy(data.images)[rows].permute(0, 3, 1, 2) / 255


def test_the_objective_is_equation_5():
    data, rows = labelled(), torch.tensor([3, 17, 3, 8])
    model, stages = build_large(
        data, noise=0.7, discrimination_weight=0.4, reconstruction_weight=5.0, swapped=3,
        bottleneck_weight=0.3, content_gamma=0.9, style_gamma=0.2, capacity_steps=0,
        content_capacity=(2.0, 6.0), style_capacity=(1.0, 3.0), capacity_share=0.8,
    )  # fmt: skip
    network = model.network
    loss = take_step(stages["latent"], view(data, rows), fraction=0.4)["model"]

    draws = torch.Generator().manual_seed(3)
    style, content = network["style"].weight[rows], network["content"].weight[rows]
    style_seen = style + 0.7 * torch.randn(4, 5, generator=draws)
    content_seen = content + 0.7 * torch.randn(4, 6, generator=draws)
    images = network["generator"](content_seen, style_seen)
    reconstruction = (images - true_images(data, rows)).abs().mean()
    # Half of the way up: C_c = 4, C_s = 2.
    bottleneck = 0.9 * (content.pow(2).sum(1) - 4).abs().mean()
    bottleneck = bottleneck + 0.2 * (style.pow(2).sum(1) - 2).abs().mean()
    order = torch.randperm(4, generator=draws)
    others = torch.empty_like(order)
    others[order] = order.roll(-1)
    swapped = network["generator"](content_seen[others], style_seen)[:3]
    phi = network["discriminator"].features
    # Eq. 7 has a term for each of the two swaps of a pair.
    discrimination = 2 * sum(
        (one - other).abs().mean() for one, other in zip(phi(swapped), phi(images[:3]), strict=True)
    )
    wanted = 5 * reconstruction + 0.3 * bottleneck + 0.4 * discrimination
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert min(reconstruction, bottleneck, discrimination) > 1e-3


@pytest.mark.parametrize("perceptual", ["none", "efficientnet-lite0"])
@pytest.mark.parametrize("divisor", [1, 2])
def test_the_distance_is_pixels_and_relative_features(perceptual, divisor):
    data = labelled((32, 36, 3), rows=12)
    model, stages = build_large(data, perceptual=perceptual, perceptual_weight=0.3, **PLAIN)
    rows = torch.tensor([5, 1, 5])
    loss = take_step(stages["latent"], view(data, rows, divisor), divisor=divisor)["model"]
    images = model.network["generator"](
        model.network["content"].weight[rows], model.network["style"].weight[rows], divisor
    )
    every = F.avg_pool2d(torch.from_numpy(data.images).permute(0, 3, 1, 2).float(), divisor)
    every = every.round() / 255
    wanted = (images - every[rows]).abs().mean()
    if perceptual != "none":
        net = EfficientNetLite0()
        for made, true in zip(net(images), net(every), strict=True):
            wanted = wanted + 0.3 * (made - true[rows]).abs().mean() / true.abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-3)


def test_capacities_grow_by_steps_or_by_shares():
    data = labelled()
    settings = {"content_capacity": (2.0, 5.0), "style_capacity": (4.0, 4.0)}
    _, stages = build(data, capacity_steps=100, **settings)
    latent = stages["latent"]
    for step, wanted in ((0, 2.0), (50, 3.5), (100, 5.0), (900, 5.0)):
        assert latent.capacity("content", Progress(step, 0.9, 0.9)) == pytest.approx(wanted)
    assert latent.capacity("style", Progress(7, 0.1, 0.1)) == 4.0
    _, stages = build(data, capacity_steps=0, capacity_share=0.5, **settings)
    for fraction, wanted in ((0.0, 2.0), (0.25, 3.5), (0.5, 5.0), (1.0, 5.0)):
        found = stages["latent"].capacity("content", Progress(900, fraction, fraction))
        assert found == pytest.approx(wanted)


def test_the_bottleneck_holds_the_content_to_its_capacity():
    data = labelled()
    lengths = []
    for weight in (1.0, 0.0):
        model = train(
            data, budget="200steps", bottleneck_weight=weight, content_capacity=(9.0, 9.0),
            content_gamma=1.0,
            discrimination_weight=0.0, code_lr=0.05,
        )  # fmt: skip
        lengths.append(model.network["content"].weight.pow(2).sum(1))
    assert (lengths[0] - 9).abs().mean() < 1.5 < (lengths[1] - 9).abs().mean()


def test_without_its_weight_a_term_costs_nothing():
    data = labelled()
    model, stages = build(data, discrimination_weight=0.0, bottleneck_weight=0.0)
    assert "discriminator" not in model.network and "bank" not in model.network
    assert list(stages) == ["latent", "encoders"]
    assert [stage.share for stage in stages.values()] == [0.75, 0.25]
    result = stages["latent"].step({"x": view(data, [1, 2])}, Progress(3, 0.5, 0.5))
    assert "discrimination" not in result.logs and "bottleneck" not in result.logs


def test_gradients_reach_codes_and_generator_and_not_phi():
    data = labelled()
    model, stages = build(data)
    for table in ("content", "style"):
        model.network[table].begin_training()
    (player,) = stages["latent"].players()
    trained = {id(p) for g in player.groups[:1] for p in g.params}
    assert trained == {id(p) for p in model.network["generator"].parameters()}
    assert [g.params for g in player.groups[1:]] == [
        model.network["style"],
        model.network["content"],
    ]
    assert not model.network["discriminator"].training
    take_step(stages["latent"], view(data, [3, 17, 3, 8]))["model"].backward()
    for table in ("content", "style"):
        (leaf,) = model.network[table].leaves()
        assert leaf.shape[0] == 3 and leaf.grad.abs().sum(1).min() > 0
    assert all(p.grad is not None for p in model.network["generator"].parameters())


def stages_apart(monkeypatch, **options):
    """The states at the end of each stage."""
    from unmingle.methods import content_style

    states = {}
    for kind in (content_style.InstanceDiscrimination, Codings, Encoders):
        finish = kind.finish

        def spy(self, finish=finish):
            finish(self)
            states[self.name] = state_of(self.method)

        monkeypatch.setattr(kind, "finish", spy)
    model = train(**options)
    return states, model


def changed(first, second):
    parts = {name.split(".")[0] for name in first if "_subspace" not in name}
    return {
        part
        for part in parts
        if any(not torch.equal(first[n], second[n]) for n in first if n.startswith(part + "."))
    }


def test_each_stage_moves_its_own(monkeypatch):
    start = state_of(build(labelled())[0])
    states, _ = stages_apart(monkeypatch, budget="12steps")
    assert list(states) == ["instances", "latent", "encoders"]
    assert changed(start, states["instances"]) == {"discriminator", "bank"}
    assert changed(states["instances"], states["latent"]) == {"generator", "style", "content"}
    moved = changed(states["latent"], states["encoders"])
    assert moved == {"style_encoder", "content_encoder"}


def test_the_codes_learn(monkeypatch):
    data = labelled()
    model = train(
        data, budget="300steps", second_stage=0.05, code_lr=0.05, generator_lr=3e-3,
        discrimination_weight=0.0,
    )  # fmt: skip
    made = model.decode(model.optimised_codes(data)) / 255.0
    true = data.images / 255.0
    flat = np.abs(true - true.mean((0, 1, 2))).mean()
    assert np.abs(made - true).mean() < 0.8 * flat


@pytest.mark.parametrize("step", [1, 4])  # at half size, at full size
def test_a_run_killed_at_half_size_is_resumed_to_the_same_bits(step, tmp_path, monkeypatch):
    data = labelled((32, 32, 3), rows=12)
    options = {
        "half_size": 0.6, "start": "components", "perceptual": "efficientnet-lite0",
        "budget": "9steps", "checkpoint_every": 1e-9, "domain_factor": "kind",
    }  # fmt: skip
    straight = train(data, **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stopping(patch, "latent", step, kill)
        train(data, out=tmp_path, **options)
    resumed = train(data, out=tmp_path, resume=True, **options)
    assert_same(state_of(straight), state_of(resumed))


# ---------------------------------------------------------------------- encoders, Eq. 6


def test_the_encoders_objective_is_equation_6():
    data, rows = labelled(), torch.tensor([3, 17, 3, 8])
    model, stages = build_large(data, recombined=0.0)
    loss = take_step(stages["encoders"], view(data, rows))["model"]
    network, x = model.network, view(data, rows).images
    wanted = (network["style_encoder"](x) - network["style"].weight[rows]).abs().mean()
    wanted = wanted + (network["content_encoder"](x) - network["content"].weight[rows]).abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_recombined_images_have_to_give_back_their_codes():
    data, rows = labelled(), torch.tensor([3, 17, 6, 8])
    model, stages = build_large(data, recombined=2.0)
    loss = take_step(stages["encoders"], view(data, rows))["model"]
    model.config.recombined = 0.0
    plain = take_step(stages["encoders"], view(data, rows))["model"]
    network = model.network
    others = view(data, rows).permutation(others=True)
    style, content = network["style"].weight[rows], network["content"].weight[rows][others]
    images = model.decode_codes({"style": style, "content": content})
    wanted = (network["style_encoder"](images) - style).abs().mean()
    wanted = wanted + (network["content_encoder"](images) - content).abs().mean()
    assert (loss - plain).item() == pytest.approx(2 * wanted.item(), rel=1e-3)


def test_decoding_makes_up_for_the_noise_that_is_not_there():
    data = labelled()
    model, _ = build_large(data, noise=2.0)
    codes = {s: model.network[s].weight[:3] for s in ("style", "content")}
    wanted = model.network["generator"](codes["content"], codes["style"], missing=4.0)
    assert torch.equal(model.decode_codes(codes), wanted)
    plain = model.network["generator"](codes["content"], codes["style"])
    assert (plain - wanted).abs().max() > 1e-3


# ---------------------------------------------------------------------- ablations


@pytest.mark.parametrize(
    "settings",
    [
        {"fusion": "single"},
        {"fusion": "concat"},
        {"normalisation": "none"},
        {"normalisation": "l2"},
        {"noise": 0.0},
        {"bottleneck_weight": 0.0},
        {"discrimination_weight": 0.0},
        {"style_dim": 6, "content_dim": 8},
    ],
    ids=str,
)
def test_every_ablation_trains_and_encodes(settings, tmp_path):
    data = labelled()
    model = train(data, out=tmp_path, **settings)
    loaded = um.load(tmp_path)
    codes, again = model.encode(data.images[:3]), loaded.encode(data.images[:3])
    for space in ("style", "content"):
        assert np.isfinite(codes[space]).all() and np.array_equal(codes[space], again[space])
    assert loaded.decode(codes).shape == (3, 16, 16, 3)


def test_amortised_has_encoders_from_the_start(tmp_path):
    data = labelled()
    start, stages = build(data, variant="amortised", discrimination_weight=0.0)
    assert list(stages) == ["latent"] and stages["latent"].share == 1
    assert "style" not in start.network and "content" not in start.network
    before = state_of(start)
    x = view(data, [3, 5])
    codes = {s: start.network[f"{s}_encoder"](x.images) for s in ("style", "content")}
    start.config.noise = start.config.bottleneck_weight = 0.0
    images = start.network["generator"](codes["content"], codes["style"])
    loss = take_step(stages["latent"], x)["model"]
    wanted = 5 * (images - x.images).abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    model = train(data, variant="amortised", discrimination_weight=0.0, out=tmp_path)
    assert changed(before, state_of(model)) == {"generator", "style_encoder", "content_encoder"}
    assert um.load(tmp_path).encode(data.images[:2])["style"].shape == (2, 5)
    refused(lambda: model.optimised_codes(data), "amortised", kind=um.ConfigError)


def test_with_encoders_from_the_start_domains_have_their_codes_too():
    data, rows = labelled(), torch.tensor([3, 5])
    settings = {
        "variant": "amortised", "domain_factor": "kind", "domain_dim": 3,
        "discrimination_weight": 0.0,
    }  # fmt: skip
    start, stages = build(data, **settings)
    before, network, x = state_of(start), start.network, view(data, rows)
    start.config.noise = start.config.bottleneck_weight = 0.0
    kind = torch.from_numpy(data.factors["kind"])[rows]
    style, content, told = (
        network[f"{space}_encoder"](x.images) for space in ("style", "content", "domain")
    )
    domain = network["domain"].weight[kind]
    images = network["generator"](content, torch.cat([style, domain], dim=1))
    loss = take_step(stages["latent"], x)["model"]
    wanted = 5 * (images - x.images).abs().mean() + (told - domain).abs().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    model = train(data, budget="12steps", **settings)
    assert changed(before, state_of(model)) == {
        "generator", "style_encoder", "content_encoder", "domain", "domain_encoder",
    }  # fmt: skip
    moved = torch.from_numpy(np.concatenate(list(model.domain_codes.values())))
    assert (moved != before["domain.weight"]).any(1).all()


# ---------------------------------------------------------------------- where codes start


def test_layouts_and_statistics_part_what_from_where():
    """Two colours and four places: statistics tell the colour, layouts the place."""
    random = np.random.default_rng(0)
    rows = 160
    colour, place = np.arange(rows) % 2, np.arange(rows) // 2 % 4
    images = random.integers(0, 20, (rows, 32, 32, 3), dtype=np.uint8)
    tones = np.array([[230, 40, 30], [30, 60, 220]])
    for row in range(rows):
        top, left = divmod(place[row], 2)
        patch = images[row, 16 * top + 3 : 16 * top + 13, 16 * left + 3 : 16 * left + 13]
        patch[:] = tones[colour[row]]
    layout, statistics = layout_and_statistics(ImageSource(images).batch, rows)
    torch.manual_seed(0)
    content, style = layout.components(3, 8, 2.0), statistics.components(2, 8, 4.0)
    assert content.shape == style.shape == (rows, 8)
    assert content.square().sum(1).mean().sqrt().item() == pytest.approx(2.0, rel=1e-3)

    def told(codes, column):
        total = ((codes - codes.mean(0)) ** 2).sum()
        groups = [codes[torch.from_numpy(column == v)] for v in np.unique(column)]
        return sum(len(g) * ((g.mean(0) - codes.mean(0)) ** 2).sum() for g in groups) / total

    assert told(content, place) > 0.8 and told(content, colour) < 0.05
    assert told(style, colour) > 0.8 and told(style, place) < 0.1


def test_codes_start_from_components_or_as_they_are():
    data = labelled()
    model, stages = build(data, start="uniform")
    before = state_of(model)
    stages["latent"].setup()
    assert_same(before, state_of(model))
    model, stages = build(data, start="components", content_capacity=(2.0, 9.0))
    before = state_of(model)
    stages["latent"].setup()
    added = model.network["content"].weight - before["content.weight"]
    assert added.square().sum(1).mean().sqrt().item() == pytest.approx(3.0, rel=1e-3)
    assert (model.network["style"].weight - before["style.weight"]).abs().max() > 0.5


def test_a_start_leaves_codes_that_were_taken_over():
    data = labelled()
    model, stages = build(data, start="components")
    model.network["content"].weight.copy_(noise(20, 6))
    before = state_of(model)
    stages["latent"].setup()
    assert torch.equal(model.network["content"].weight, before["content.weight"])
    assert (model.network["style"].weight - before["style.weight"]).abs().max() > 0.5
    before = state_of(model)
    stages["latent"].setup()
    assert_same(before, state_of(model))


def test_a_style_is_that_of_similar_images_in_a_small_set_too():
    """16 rows of two looks: the neighbours of each are of its own look, all 16 would be of both."""
    look = (torch.arange(16) % 2).float()
    statistics = torch.stack([look, 3 - look], dim=1)
    torch.manual_seed(0)
    _, usual = _parted(noise(16, 5).half(), statistics)
    torch.testing.assert_close(usual.values, statistics)
    starts = usual.components(12, 12, 2.0)
    # Two looks as far from their mean on either side: +-2.
    torch.testing.assert_close(starts[look == 0], -starts[look == 1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(starts.norm(dim=1), torch.full((16,), 2.0), rtol=1e-3, atol=1e-3)


def test_rounding_errors_are_no_start():
    values = 3 + 1e-6 * noise(40, 6)
    assert Vectors(values).components(2, 4, 8.0).abs().max() > 1
    length = 3 * math.sqrt(6)
    assert not Vectors(values, 1e-5 * length).components(2, 4, 8.0).any()
    torch.manual_seed(0)
    for found in _parted(torch.ones(40, 5).half(), values):
        assert not found.components(12, 12, 8.0).any()


# ---------------------------------------------------------------------- domains


def test_a_domain_has_one_code_beside_the_style():
    data = labelled()
    model = train(data, domain_factor="kind", domain_dim=3, budget="12steps")
    assert list(model.code_spaces) == ["style", "content", "domain"]
    assert model.code_spaces["domain"].factor == "kind"
    table = model.network["domain"].weight
    assert table.shape == (4, 3)
    codes = model.optimised_codes(data)
    kind = data.factors["kind"]
    assert np.array_equal(codes["domain"], table.numpy()[kind])
    assert model.network["generator"].block.affine.in_features == 5 + 3
    found = model.domain_codes
    assert list(found) == ["0", "1", "2", "3"] and np.array_equal(found["2"][0], table[2].numpy())
    made = model.decode({**model.encode(data.images[:3]), "domain": found["1"]})
    assert made.shape == (3, 16, 16, 3)
    start = build(data, domain_factor="kind", domain_dim=3)[0]
    assert (start.network["domain"].weight != table).any(1).all()


def test_a_domains_code_gets_no_noise():
    data = labelled()
    model, stages = build_large(data, domain_factor="kind", domain_dim=3)
    seen = []
    generate = model.generate
    model.generate = lambda codes, *a, **k: seen.append(codes) or generate(codes, *a, **k)
    rows = torch.tensor([3, 17, 6, 8])
    take_step(stages["latent"], view(data, rows))
    kind = torch.from_numpy(data.factors["kind"])[rows]
    assert torch.equal(seen[0]["domain"], model.network["domain"].weight[kind])
    assert not torch.equal(seen[0]["style"], model.network["style"].weight[rows])
    # A swap for instance discrimination takes another's content and nothing else.
    assert torch.equal(seen[1]["domain"], seen[0]["domain"])
    assert torch.equal(seen[1]["style"], seen[0]["style"])


def test_domains_that_are_none_are_refused(trained):
    data = labelled()
    refused(lambda: train(data, domain_factor="knid"), "'knid'", "'kind'", kind=um.DataError)
    same = data.select(data.factors["kind"] == 2)
    refused(lambda: train(same, domain_factor="kind"), "at least two values", kind=um.DataError)
    refused(lambda: trained.domain_codes, "--domain-factor", kind=um.ConfigError)


# ---------------------------------------------------------------------- uses


@pytest.fixture(scope="module")
def trained():
    return train()


def test_canonical_and_mean_images_have_a_zero_code(trained):
    images = labelled().images[:4]
    codes = trained.encode(images)
    for made, space in (
        (trained.canonical(images), "content"),
        (trained.mean_style(images), "style"),
    ):
        zero = {**codes, space: np.zeros_like(codes[space])}
        assert np.array_equal(made, trained.decode(zero))


def test_exchanging_the_fine_style(trained):
    data = labelled()
    images, others = data.images[:4], data.images[4:8]
    assert np.array_equal(trained.exchange_fine_style(images, images), trained.reconstruct(images))
    made = trained.exchange_fine_style(images, others)
    assert made.shape == images.shape and made.dtype == np.uint8
    one = trained.exchange_fine_style(images, others[:1])
    assert np.array_equal(one[0], made[0])
    refused(lambda: trained.exchange_fine_style(images, others, 2), "blocks", "1", "2")
    refused(lambda: trained.exchange_fine_style(images, others[:2]), "2", "4", kind=um.DataError)
    single = train(fusion="single")
    refused(lambda: single.exchange_fine_style(images, others), "multiple", kind=um.ConfigError)


def test_optimised_codes_are_those_of_the_training_rows(trained):
    data = labelled()
    codes = trained.optimised_codes(data)
    assert np.array_equal(codes["style"], trained.network["style"].weight.numpy())
    assert np.array_equal(codes["content"], trained.network["content"].weight.numpy())
    refused(lambda: trained.optimised_codes(data.select(np.arange(5))), "row", kind=um.DataError)
    known = KnownCodes(trained, data, codes)
    found = known.encode(data.images[[7, 2]])
    assert np.array_equal(found["content"], codes["content"][[7, 2]])
    assert known.decode(found).shape == (2, 16, 16, 3)
    refused(lambda: known.encode(255 - data.images[:1]), "item 0", kind=um.DataError)
    refused(lambda: KnownCodes(trained, data.images[:3], codes), "20", "3", kind=um.DataError)
