"""Robust disentangling: its equations, who gets whose gradient, its variants and options."""

from __future__ import annotations

import dataclasses
import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import ROWS, assert_same, fit, labelled, refused, state_of
from torch.distributions import MultivariateNormal, kl_divergence

import unmingle as um
from unmingle.losses.latent import gaussian_kl
from unmingle.losses.mutual_information import (
    augmented_lagrangian,
    next_multiplier,
    next_weight,
    pair_classification,
    posterior_kl,
)
from unmingle.methods.robust import Disentangling, Multipliers, Rates, RobustConfig
from unmingle.nn.posterior import own_noise, parameters, posterior
from unmingle.nn.residual import (
    ProductClassifier,
    ResidualConv,
    ResidualEncoder,
    ResidualLinear,
    SubPixel,
    SubPixelDecoder,
    grid_shape,
    pair_logits,
)
from unmingle.plots import swap_grid
from unmingle.training.images import ImageSource
from unmingle.training.players import Trainee
from unmingle.training.stage import Context, Progress, View

TINY = ROWS["robust"].settings
VARIANTS = ("adaptive", "equal", "fixed", "adversarial", "variational", "beta-vae")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scalar(value):
    return torch.tensor(float(value))


# ---------------------------------------------------------------------- the equations


def test_the_classifiers_loss_by_hand():
    assert pair_classification(torch.zeros(3), torch.zeros(5)).item() == pytest.approx(math.log(2))
    found = pair_classification(torch.tensor([2.0, -1.0]), torch.tensor([0.5]))
    joint = -(math.log(1 / (1 + math.exp(-2))) + math.log(1 / (1 + math.exp(1)))) / 2
    shuffled = -math.log(1 - 1 / (1 + math.exp(-0.5)))
    assert found.item() == pytest.approx((joint + shuffled) / 2)


@pytest.mark.parametrize(
    ("estimate", "multiplier", "value", "slope"),
    [
        (0.625, 0.0, 0.05 * 0.25, 0.1 * 0.5),
        (0.625, 2.0, 2 * 0.5 + 0.05 * 0.25, 2 + 0.1 * 0.5),
        (0.025, 2.0, -2 * 0.1 + 0.05 * 0.01, 2 - 0.1 * 0.1),
        (-1.0, 0.05, -(0.05**2) / 0.2, 0.0),
        (0.1, 0.0, 0.0, 0.0),
    ],
)
def test_the_augmented_lagrangian_by_hand(estimate, multiplier, value, slope):
    t = scalar(estimate).requires_grad_()
    loss = augmented_lagrangian(t, 0.125, scalar(multiplier), 0.1)
    assert loss.item() == pytest.approx(value, abs=1e-7)
    loss.backward()
    assert t.grad.item() == pytest.approx(slope, abs=1e-6)


def test_the_augmented_lagrangian_has_no_jump():
    edge = 0.125 - 0.3 / 0.1
    below, above = (
        augmented_lagrangian(scalar(edge + step), 0.125, scalar(0.3), 0.1).item()
        for step in (-1e-4, 1e-4)
    )
    assert below == pytest.approx(above, abs=1e-6) and below == pytest.approx(-0.45)


def test_multiplier_and_weight_move_by_hand():
    assert next_multiplier(scalar(1), scalar(0.625), 0.125, 0.1).item() == pytest.approx(1.05)
    assert next_multiplier(scalar(0.01), scalar(-0.5), 0.125, 0.1).item() == 0
    assert next_weight(scalar(1), scalar(0.5), 0.01).item() == pytest.approx(1.005)
    assert next_weight(scalar(0.001), scalar(-0.5), 0.01).item() == 0


def test_the_kl_is_that_of_torch_for_both_covariances():
    mean, log_std = noise(4, 3), noise(4, 3, seed=1) / 2
    assert posterior_kl(mean, log_std).item() == pytest.approx(
        gaussian_kl(mean, 2 * log_std).item(), rel=1e-5
    )
    q = posterior(noise(4, parameters(3, True), seed=2), 3, True)
    factor = q.below + torch.diag_embed(q.log_diagonal.exp())
    wanted = kl_divergence(
        MultivariateNormal(q.mean, scale_tril=factor),
        MultivariateNormal(torch.zeros(3), torch.eye(3)),
    ).mean()
    assert posterior_kl(q.mean, q.log_diagonal, q.below).item() == pytest.approx(
        wanted.item(), rel=1e-5
    )


def test_a_sample_is_the_mean_plus_the_factor_times_the_noise():
    values = torch.arange(1.0, 10.0)[None] / 10  # 3 means, 3 logarithms, 3 below the diagonal
    q = posterior(values, 3, True)
    factor = torch.tensor([
        [math.exp(0.4), 0, 0],
        [0.7 / math.sqrt(2), math.exp(0.5), 0],
        [0.8 / math.sqrt(3), 0.9 / math.sqrt(3), math.exp(0.6)],
    ])  # fmt: skip
    for column in range(3):
        unit = F.one_hot(torch.tensor([column]), 3).float()
        assert torch.allclose(q.sample(unit)[0], values[0, :3] + factor[:, column])
    plain = posterior(values[:, :6], 3, False)
    assert plain.below is None
    assert torch.allclose(plain.sample(torch.ones(1, 3)), values[:, :3] + values[:, 3:6].exp())
    wild = (
        posterior(torch.tensor([[0.0, -100.0]]), 1, False),
        posterior(torch.tensor([[0.0, 100.0]]), 1, False),
    )
    assert [q.log_diagonal.item() for q in wild] == [-15, 5]


def test_means_may_be_bounded():
    values = torch.tensor([[0.01, -3.0, 1e4, 0.0, 0.0, 0.0]])
    assert posterior(values, 3, False).mean[0].tolist() == pytest.approx([0.01, -3, 1e4])
    found = posterior(values, 3, False, bound=8.0).mean[0].tolist()
    assert found == pytest.approx([0.01, -8 * math.tanh(3 / 8), 8], rel=1e-4)
    values = torch.tensor([[0.0, 0.0, 0.0, -4.0, 0.0, 50.0]]).requires_grad_()
    deviations = posterior(values, 3, False, bound=8.0).log_diagonal.exp()
    wanted = [1 / (1 + math.exp(4)), 0.5, 1.0]
    assert deviations[0].tolist() == pytest.approx(wanted, rel=1e-4)
    model, _, batch = build(bound=0.5)
    with torch.no_grad():
        model.network["pose_encoder"].last[-1].weight.mul_(100)
        means = model.pose(batch()["a"].images).mean
    assert 0.4 < means.abs().max() <= 0.5


def test_with_a_full_covariance_all_deviations_are_bounded():
    def deviations(q):
        factor = q.below + torch.diag_embed(q.log_diagonal.exp())
        return factor.square().sum(2).sqrt()

    # One entry below the diagonal, 3 after the division by the root of its row's length.
    values = torch.tensor([[0.0, 0.0, 0.0, 0.0, 3 * math.sqrt(2)]]).requires_grad_()
    q = posterior(values, 2, True, bound=8.0)
    assert q.below[0, 1, 0].item() == pytest.approx(3 / math.sqrt(10))
    wanted = [0.5, math.sqrt((0.5**2 + 3**2) / 10)]
    assert deviations(q)[0].tolist() == pytest.approx(wanted)
    deviations(q).sum().backward()
    assert values.grad.isfinite().all()
    wild = 20 * noise(6, parameters(4, True))
    assert deviations(posterior(wild, 4, True)).max() > 2
    found = deviations(posterior(wild, 4, True, bound=8.0))
    assert 0.9 < found.max() < 1 + 1e-6
    # Without anything below the diagonal it is the bound of the diagonal covariance.
    wild[:, 8:] = 0
    diagonal = posterior(wild[:, :8], 4, False, bound=8.0).log_diagonal
    assert torch.equal(posterior(wild, 4, True, bound=8.0).log_diagonal, diagonal)


def test_a_trained_classifier_estimates_the_mutual_information():
    """Codes that both name one of four equally frequent classes share ln 4 nats."""
    torch.manual_seed(0)
    codes = torch.eye(4).repeat(8, 1)
    net = ProductClassifier((4,), (4,), 16, 1, 8)
    adam = torch.optim.Adam(net.parameters(), 2e-2)
    for _ in range(150):
        first, second = net(codes, codes)
        everything = first @ second.T  # all pairs: the product of the marginals, exactly
        loss = pair_classification(pair_logits(first, second), everything.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert pair_logits(*net(codes, codes)).mean().item() == pytest.approx(math.log(4), abs=0.1)


# ---------------------------------------------------------------------- networks


@pytest.mark.parametrize("block", [ResidualConv(4), ResidualLinear(4)])
def test_residual_blocks_are_not_linear(block):
    x = noise(2, 4, 5, 5) if isinstance(block, ResidualConv) else noise(2, 4)
    layer = block.conv if isinstance(block, ResidualConv) else block.linear
    assert torch.equal(block(x), x + layer(F.relu(x)))
    zero = block(torch.zeros_like(x))
    with torch.no_grad():
        assert not torch.allclose(block(x) - zero, zero - block(-x), atol=1e-3)


def test_sub_pixels_of_a_position_lie_in_a_square():
    layer = SubPixel(3, 5)
    x = noise(2, 3, 6, 7)
    values, made = layer.conv(x), layer(x)
    assert made.shape == (2, 5, 12, 14)
    for down in (0, 1):
        for across in (0, 1):
            assert torch.equal(made[:, :, down::2, across::2], values[:, 2 * down + across :: 4])
    changed = (layer(x + F.one_hot(torch.tensor(3), 7)) - made).abs().amax((0, 1, 2)) > 0
    assert changed.nonzero().flatten().tolist() == list(range(4, 10))


@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 33, 4), (64, 40, 1)])
@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("spatial", [True, False])
def test_encoders_and_decoders_fit_any_size(shape, patch, spatial):
    height, width, channels = shape
    grid = grid_shape(height, width, 2, patch)
    assert grid == (math.ceil(height / (4 * patch)), math.ceil(width / (4 * patch)))
    code = (3, *grid) if spatial else (3,)
    kinds = {"blocks": 1, "patch": patch, "halves": True}
    encoder = ResidualEncoder(shape, math.prod(code), spatial=spatial, widths=(4, 4, 8), **kinds)
    decoder = SubPixelDecoder((code, (5,)), shape, widths=(8, 4, 4), **kinds)
    for half in (False, True):
        size = (math.ceil(height / (1 + half)), math.ceil(width / (1 + half)))
        codes = encoder(torch.rand(2, channels, *size), half)
        assert codes.shape == (2, math.prod(code)) and codes.dtype == torch.float32
        made = decoder(codes, noise(2, 5), half=half)
        assert made.shape == (2, channels, *size)
        assert made.min() >= -0.01 and made.max() <= 1.01


def test_full_size_goes_on_where_half_size_ended():
    """The finest maps add nothing at first, and learn at once."""
    shape, kinds = (32, 32, 3), {"blocks": 1, "patch": 2, "halves": True}
    encoder = ResidualEncoder(shape, 6, spatial=False, widths=(4, 8, 8), **kinds)
    decoder = SubPixelDecoder([(6,)], shape, widths=(8, 8, 4), **kinds)
    smaller = torch.rand(2, 3, 16, 16)
    repeated = F.interpolate(smaller, (32, 32))
    codes = encoder(repeated)
    assert torch.allclose(codes, encoder(smaller, half=True), atol=1e-6)
    values = []
    decoder.head_half.register_forward_hook(lambda _module, _x, made: values.append(made))
    made = decoder(codes)
    enlarged = F.interpolate(values[0], (32, 32), mode="bilinear")
    assert torch.allclose(made, torch.sigmoid(enlarged) + 1e-3 * enlarged, atol=1e-6)
    made.square().mean().backward()
    for layer in (encoder.downs[0], decoder.head.conv, encoder.first_half):
        assert layer.weight.grad.abs().max() > 0


def test_half_size_does_not_touch_the_finest_maps():
    shape, kinds = (32, 32, 3), {"blocks": 1, "patch": 2, "halves": True}
    encoder = ResidualEncoder(shape, 6, spatial=False, widths=(4, 8, 8), **kinds)
    decoder = SubPixelDecoder([(6,)], shape, widths=(8, 8, 4), **kinds)
    decoder(encoder(torch.rand(2, 3, 16, 16), half=True), half=True).mean().backward()
    for layer in (encoder.first, encoder.residuals[0], encoder.downs[0]):
        assert all(p.grad is None for p in layer.parameters())
    for layer in (decoder.head, decoder.residuals[-1], decoder.ups[-1]):
        assert all(p.grad is None for p in layer.parameters())


def test_pictures_that_became_plain_still_give_a_gradient():
    decoder = SubPixelDecoder([(5,)], (16, 16, 1), widths=(8, 4), blocks=1)
    with torch.no_grad():
        decoder.head.conv.bias.fill_(60)  # one step too long: white for every code
    decoder(noise(2, 5)).square().mean().backward()
    assert decoder.branches[0].enter.weight.grad.abs().max() > 1e-6


def test_decoded_images_are_within_0_and_1():
    model = fit("robust")
    network = model.network
    with torch.no_grad():
        for part in ("decoder", "pose_visualiser", "appearance_visualiser"):
            network[part].head.conv.bias.fill_(60)
    codes = {s: noise(2, space.dim) for s, space in model.code_spaces.items()}
    made = [model.decode_codes(codes), *model.visualise_codes(codes).values()]
    assert len(made) == 3
    for images in made:
        assert images.min() >= 0 and images.max() == 1


def test_a_spatial_code_keeps_places_apart():
    encoder = ResidualEncoder((16, 128, 1), 16 * 2, spatial=True, widths=(8, 8, 8, 8), blocks=0)
    images = torch.zeros(2, 1, 16, 128)
    images[1, :, :, :16] = 1
    changed = (encoder(images).view(2, 1, 2, 16).diff(dim=0)[0, 0].abs() > 0).any(0)
    assert changed[0] and not changed[8:].any()


def test_the_classifier_takes_codes_of_both_kinds():
    for first, second in (((6,), (5,)), ((2, 3, 4), (3, 3, 4)), ((6,), (2, 3, 4))):
        net = ProductClassifier(first, second, 8, 1, 4)
        a, b = net(noise(7, math.prod(first)), noise(7, math.prod(second)))
        assert a.shape == b.shape and len(a) == 7
        assert torch.allclose(pair_logits(a, b), (a @ b.T).diagonal(), atol=1e-6)


# ---------------------------------------------------------------------- who gets whose gradient


def build(data=None, **settings):
    """A model with its networks, not trained, its stage, and a batch that is always the same."""
    data = labelled() if data is None else data
    model = um.RobustDisentangling(**{**TINY, "warm_up": 0, "visualise_every": 1, **settings})
    model.data_shape, model.facts = data.shape, model.check(data)
    torch.manual_seed(0)
    model.network = model.build(data.shape, model.facts)
    (stage,) = model.stages(data)
    stage.setup()
    stage.prepare()
    source = ImageSource(data.items)

    def batch():
        random = torch.Generator().manual_seed(5)
        rows = {"a": torch.arange(8), "b": torch.arange(8, 16)}
        return {k: View(source.batch(r), r, generator=random) for k, r in rows.items()}

    return model, stage, batch


@torch.no_grad()
def set_state(model, multiplier, weight):
    state = model.network["multipliers"]
    state.multiplier.fill_(multiplier)
    state.weight.fill_(weight)


def gradients(stage, batch, wanted):
    """What each part's parameters have in `.grad` after the player `wanted` was trained."""
    result = stage.step(batch(), Progress(3, 0.5, 0.5))
    network = stage.network
    for param in network.parameters():
        param.grad = None
    players = {player.name: player for player in stage.players()}
    assert players.keys() == result.losses.keys()
    Trainee(players[wanted]).backward(result.losses[wanted], retain_graph=False)
    return {
        name: [None if p.grad is None else p.grad.clone() for p in part.parameters()]
        for name, part in network.items()
    }


def none(grads):
    return all(grad is None for grad in grads)


def some(grads):
    return any(grad is not None and grad.abs().max() > 0 for grad in grads)


PARTS = {
    "model": ("pose_encoder", "appearance_encoder", "decoder"),
    "T": ("T",),
    "T'": ("T'",),
    "visualisers": ("pose_visualiser", "appearance_visualiser"),
}


@pytest.mark.parametrize("player", list(PARTS))
def test_each_players_loss_reaches_its_own_networks_only(player):
    model, stage, batch = build()
    set_state(model, 3, 2)
    found = gradients(stage, batch, player)
    for part, grads in found.items():
        assert some(grads) if part in PARTS[player] else none(grads), part


def test_the_second_classifier_and_the_visualisers_give_the_encoders_no_gradient():
    model, stage, batch = build()
    set_state(model, 3, 2)
    losses = stage.step(batch(), Progress(3, 0.5, 0.5)).losses
    encoders = [
        p
        for part in ("pose_encoder", "appearance_encoder")
        for p in model.network[part].parameters()
    ]
    for player in ("T'", "visualisers"):
        found = torch.autograd.grad(losses[player], encoders, retain_graph=True, allow_unused=True)
        assert none(found), player
    theirs = list(model.network["T'"].parameters())
    assert none(torch.autograd.grad(losses["model"], theirs, allow_unused=True))


def test_appearance_encoder_and_decoder_learn_from_the_reconstruction_alone():
    model, stage, batch = build()
    set_state(model, 0, 0)
    stage.config.warm_up = 100  # neither term of Eq. 19 but the first
    alone = gradients(stage, batch, "model")
    stage.config.warm_up = 0
    set_state(model, 3, 2)
    whole = gradients(stage, batch, "model")
    for part in ("appearance_encoder", "decoder"):
        for first, second in zip(alone[part], whole[part], strict=True):
            assert torch.equal(first, second), part
    changed = [
        (first - second).abs().max()
        for first, second in zip(alone["pose_encoder"], whole["pose_encoder"], strict=True)
    ]
    assert min(changed) > 0


@pytest.mark.parametrize(("likelihood", "times"), [("sum", 4.0), ("mean", 1.0)])
def test_the_mean_likelihood_does_not_depend_on_the_size(likelihood, times):
    """Images of two sizes, off by the same everywhere."""
    found = []
    for shape in ((16, 16, 1), (32, 32, 1)):
        _, stage, batch = build(labelled(shape), likelihood=likelihood, perceptual="none")
        x = batch()["a"]
        found.append(float(stage.reconstruction(x.images + 0.1, x, 1)))
    assert found[1] == pytest.approx(times * found[0], rel=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_to_start_from_does_not_give_its_multipliers(variant, tmp_path):
    first = fit("robust", out=tmp_path / "first", settings={"warm_up": 0, "gamma": 0.7})
    assert first.network["multipliers"].total > 0
    seen = {}
    original = Disentangling.prepare

    def look(stage):
        state = stage.network["multipliers"]
        seen.update({k: v.clone() for k, v in state.state_dict().items()})
        original(stage)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Disentangling, "prepare", look)
        second = fit("robust", settings={"variant": variant}, start_from=tmp_path / "first")
    fresh = Multipliers(second.start_weight)
    assert {k: float(v.sum()) for k, v in seen.items()} == {
        k: float(v.sum()) for k, v in fresh.state_dict().items()
    }


@pytest.mark.parametrize("shuffles", ["one", "all"])
def test_the_pose_encoder_learns_from_all_of_eq_19(shuffles):
    model, stage, batch = build(shuffles=shuffles)
    encoder = list(model.network["pose_encoder"].parameters())
    set_state(model, 3, 2)
    found = gradients(stage, batch, "model")["pose_encoder"]
    # The same by autograd on each of the terms, put together from Eq. 19, 21 and 22.
    views = batch()
    x2, x1 = views["a"], views["b"]
    q = model.pose(x2.images)
    pose = q.mean + q.log_diagonal.exp() * x2.randn(4)
    appearance = model.appearance(x1.images)
    made = model.network["decoder"](pose, appearance)
    values = made[0].numel() if stage.config.likelihood == "sum" else 1
    rec = stage.config.rec_scale * values * (2 * made - 2 * x2.images).square().mean()
    kl = gaussian_kl(q.mean, 2 * q.log_diagonal)
    first, second = model.network["T"](pose, appearance)
    t = (first * second).sum(1).mean()
    parts = [torch.autograd.grad(term, encoder, retain_graph=True) for term in (rec, kl, t)]
    slope = 3 + stage.config.mu * (t.item() - stage.config.epsilon)
    for grad, from_rec, from_kl, from_t in zip(found, *parts, strict=True):
        wanted = from_rec + 2 * from_kl + slope * from_t
        assert torch.allclose(grad, wanted, rtol=1e-3, atol=1e-6)


def test_below_the_limit_the_classifier_gives_no_gradient():
    model, stage, batch = build(epsilon=1e6)
    set_state(model, 0, 0)
    within = gradients(stage, batch, "model")["pose_encoder"]
    stage.config.warm_up = 100
    for first, second in zip(within, gradients(stage, batch, "model")["pose_encoder"], strict=True):
        assert torch.equal(first, second)


def test_a_whole_step_moves_every_network():
    before = None
    for steps in (2, 4):
        state = state_of(fit("robust", budget=f"{steps}steps"))
        if before is not None:
            moved = {k.split(".")[0] for k in state if not torch.equal(state[k], before[k])}
            assert {part for parts in PARTS.values() for part in parts} <= moved
        before = state


# ---------------------------------------------------------------------- estimates and multipliers


def estimates(stage, batch):
    """I_T and the loss of T, by hand from the networks."""
    views = batch()
    x2, x1 = views["a"], views["b"]
    model = stage.method
    q = model.pose(x2.images)
    pose = q.sample(x2.randn(4))
    order = x2.permutation(others=True)
    first, second = model.network["T"](pose, model.appearance(x1.images))
    return first @ second.T, order


def test_pairs_are_those_of_the_batch_and_its_shuffles():
    for shuffles in ("one", "all"):
        _, stage, batch = build(shuffles=shuffles)
        logits, order = estimates(stage, batch)
        result = stage.step(batch(), Progress(3, 0.5, 0.5))
        joint = logits.diagonal()
        assert (order != torch.arange(8)).all()
        if shuffles == "one":
            shuffled = torch.stack([logits[i, j] for i, j in enumerate(order)])
        else:
            shuffled = torch.stack([logits[i, j] for i in range(8) for j in range(8) if i != j])
        assert stage.estimates[0].item() == pytest.approx(joint.mean().item(), rel=1e-4)
        wanted = 0.5 * (F.softplus(-joint).mean() + F.softplus(shuffled).mean())
        assert result.losses["T"].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_of_several_processes_each_shuffles_the_whole_batch(monkeypatch):
    """The second half of a batch, whose first half another process has."""
    _, stage, batch = build(shuffles="all")
    logits, _ = estimates(stage, batch)
    whole = batch()
    half = View(whole["a"].images[4:], batch=8, start=4, generator=torch.Generator())
    assert half.places.tolist() == [4, 5, 6, 7]
    net = stage.network["T"]
    model = stage.method
    pose = model.pose(whole["a"].images).sample(whole["a"].randn(4))
    appearance = model.appearance(whole["b"].images)
    second = net(pose, appearance)[1]
    monkeypatch.setattr(View, "gather", lambda view, x: second)
    _, loss = stage.classify("T", pose[4:], appearance[4:], half, torch.tensor([0, 1, 2, 3]))
    mine = logits[4:]
    joint, others = mine[:, 4:].diagonal(), ~F.pad(torch.eye(4), (4, 0)).bool()
    wanted = 0.5 * (F.softplus(-joint).mean() + F.softplus(mine[others]).mean())
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_running_averages_by_hand():
    state = Multipliers(1.0)
    assert state.averages.tolist() == [0, 0]
    for values in ((1.0, 4.0), (2.0, 0.0), (3.0, 2.0)):
        state.observe(torch.tensor(values), 0.9)
    weights = np.array([0.81, 0.9, 1.0]) / 2.71
    assert state.averages.tolist() == pytest.approx([weights @ [1, 2, 3], weights @ [4, 0, 2]])
    state.observe(torch.tensor([7.0, 8.0]), 0.0)
    assert state.averages.tolist() == [7, 8]


MOVES = {  # lambda and gamma after a step with I_T = 0.5 and I_T' = 0.8, from 1 and 2
    "adaptive": (1 + 0.1 * 0.375, 2 + 0.01 * (0.3 - 0.02)),
    "equal": (1 + 0.1 * 0.375, 2 + 0.01 * 0.3),
    "fixed": (1 + 0.1 * 0.375, 2),
    "adversarial": (1 + 0.1 * 0.375, 2),
    "variational": (1, 2 + 0.01 * (0.8 - 0.125)),
    "beta-vae": (1, 2),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variants_multipliers_after_a_step(variant):
    model, stage, _ = build(variant=variant, warm_up=5, l_gamma=0.01, b_gamma=0.02)
    state = model.network["multipliers"]
    stage.estimates = torch.tensor([0.5, 0.8])
    state.observe(stage.estimates, 0.99)
    set_state(model, 1, 2)
    stage.after_step(Progress(4, 0.5, 0.5))
    assert (state.multiplier.item(), state.weight.item()) == (1, 2)  # still warming up
    stage.after_step(Progress(5, 0.5, 0.5))
    assert (state.multiplier.item(), state.weight.item()) == pytest.approx(MOVES[variant])


def test_lambda_takes_the_batch_and_gamma_the_average():
    model, stage, _ = build(average=0.5, l_gamma=0.01, b_gamma=0.0)
    state = model.network["multipliers"]
    state.observe(torch.tensor([0.0, 0.4]), 0.5)
    stage.estimates = torch.tensor([0.5, 0.8])
    state.observe(stage.estimates, 0.5)
    set_state(model, 0, 1)
    stage.after_step(Progress(5, 0.5, 0.5))
    assert state.multiplier.item() == pytest.approx(0.1 * 0.375)
    gap = (0.4 + 2 * 0.8) / 3 - (0 + 2 * 0.5) / 3
    assert state.weight.item() == pytest.approx(1 + 0.01 * gap)


STARTS = {"adversarial": 0.0, "beta-vae": 7.0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variants_terms(variant):
    model, stage, _ = build(variant=variant, gamma=3.0, beta=7.0, warm_up=5)
    state = model.network["multipliers"]
    weight = STARTS.get(variant, 3.0)
    assert state.weight.item() == weight
    state.multiplier.fill_(2.0)
    kl, t = scalar(10), scalar(1.125)
    before = stage.regularisation(kl, t, 4).item()
    after = stage.regularisation(kl, t, 5).item()
    assert before == pytest.approx(10 * weight)
    penalty = 0.0 if variant in ("variational", "beta-vae") else 2 * 1 + 0.05
    assert after == pytest.approx(10 * weight + penalty)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_logs_what_table_1_shows(variant, tmp_path):
    import json

    model = fit("robust", out=tmp_path, settings={"variant": variant})
    logs = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["logs"]
    assert set(logs) == {"I_T", "I_T'", "gamma", "lambda", "L_rec", "KL"}
    assert all(math.isfinite(value) for value in logs.values())
    assert logs["I_T"] == pytest.approx(model.network["multipliers"].averages[0].item())


# ---------------------------------------------------------------------- settings


def test_the_paper_preset_has_the_published_values():
    config = RobustConfig(preset="paper")
    published = {
        "pose_code": "spatial", "appearance_code": "spatial", "pose_dim": 16,
        "appearance_dim": 16, "epsilon": 0.125, "mu": 0.1, "bound": 0.0, "gamma": 1.0,
        "l_gamma": 0.01, "b_gamma": 0.01, "average": 0.99, "warm_up": 1000, "shuffles": "one",
        "lr": 2e-4, "classifier_lr": 4e-4, "encoder_widths": (16, 32, 128, 256, 256),
        "encoder_blocks": 5, "decoder_blocks": 4, "classifier_width": 512, "classifier_blocks": 4,
        "classifier_features": 16, "visualise_every": 1, "half_size": 0.0,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in published} == published
    model = um.RobustDisentangling(config)
    model.data_shape = (64, 64, 3)
    spaces = model.code_spaces
    assert [space.dim for space in spaces.values()] == [16 * 4 * 4, 16 * 4 * 4]
    assert spaces["appearance"].factor == "class" and spaces["pose"].factor is None


@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_the_fixed_combination_has_gamma_1_unless_it_is_told(preset):
    assert RobustConfig(preset=preset, variant="fixed").gamma == 1
    assert RobustConfig(preset=preset, variant="fixed", gamma=0.3).gamma == 0.3
    assert RobustConfig(preset="laptop").gamma == 0.3


def test_the_presets_are_complete_and_the_laptops_networks_small():
    sizes = []
    for preset in ("laptop", "paper"):
        config = RobustConfig(preset=preset)
        assert None not in dataclasses.astuple(config)
        network = um.RobustDisentangling(config).build((64, 64, 3), {"images": True})
        sizes.append(sum(p.numel() for p in network.parameters()))
    assert sizes[0] < sizes[1] / 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variant": "robust"}, ("--variant", "adaptive", "beta-vae")),
        ({"pose_code": "image"}, ("--pose-code", "spatial", "vector")),
        ({"covariance": "full", "pose_code": "spatial"}, ("--covariance", "vector")),
        ({"epsilon": 0.0}, ("--epsilon", "above 0")),
        ({"mu": -1.0}, ("--mu",)),
        ({"gamma": -1.0}, ("--gamma",)),
        ({"average": 1.0}, ("--average", "below 1")),
        ({"half_size": 1.5}, ("--half-size",)),
        ({"warm_up": 2.5}, ("--warm-up", "whole number")),
        ({"patch": 3}, ("--patch", "1 or 2")),
        ({"batch": 1}, ("--batch", "2")),
        ({"encoder_widths": (8,)}, ("--encoder-widths",)),
        ({"encoder_widths": (8, 8)}, ("--encoder-widths", "--decoder-widths")),
        ({"class_factor": ""}, ("--class-factor",)),
    ],
)
def test_wrong_settings_are_named(settings, words):
    refused(lambda: um.RobustDisentangling(**settings), *words, kind=um.ConfigError)


def test_data_without_pairs_are_refused():
    data = labelled(rows=4)
    refused(lambda: fit("robust", data), "noise", "kind", "pairs", kind=um.DataError)
    alone = um.FactorDataset(images=data.images, factors={"kind": np.zeros(4, int)}, name="one")
    refused(lambda: fit("robust", alone), "one", "kind", kind=um.DataError)
    refused(lambda: fit("robust", settings={"class_factor": "kinds"}), "kinds", "'kind'")


def test_items_without_a_partner_are_told_and_left_out():
    data = labelled(rows=5)  # kinds 0, 1, 2, 3, 0
    with pytest.warns(UserWarning, match="noise: 3 of 5 items have no other of the same kind"):
        _, stage, _ = build(data)
    pairs = stage.sampler(Context(data, seed=0, shards=1)).next()
    assert set(pairs["a"].tolist()) == set(pairs["b"].tolist()) == {0, 4}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        um.RobustDisentangling(**TINY).check(labelled())


# ---------------------------------------------------------------------- the ways to use it


@pytest.mark.parametrize(
    "settings",
    [
        {"pose_code": "spatial", "appearance_code": "spatial", "patch": 1},
        {"pose_code": "spatial", "appearance_code": "vector"},
        {"pose_code": "vector", "appearance_code": "spatial", "covariance": "full"},
        {"visualise_every": 0, "shuffles": "one"},
    ],
)
@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 33, 1)])
def test_codes_of_every_kind(settings, shape, tmp_path):
    data = labelled(shape)
    model = fit("robust", data, tmp_path, settings=settings)
    codes = model.encode(data)
    for space, about in model.code_spaces.items():
        assert codes[space].shape == (20, about.dim)
        if settings.get(f"{space}_code") == "spatial":
            channels = TINY[f"{space}_dim"]
            cell = 4 * settings.get("patch", 2)
            cells = math.ceil(shape[0] / cell) * math.ceil(shape[1] / cell)
            assert about.dim == channels * cells
    again = um.load(tmp_path)
    assert_same(state_of(model), state_of(again))
    assert np.array_equal(model.reconstruct(data), again.reconstruct(data))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_encode_gives_a_draw_that_belongs_to_the_item(covariance):
    data = labelled()
    settings = {"pose_code": "vector", "covariance": covariance, "encode_pose": "draw"}
    model = fit("robust", settings=settings)
    drawn = model.encode(data)["pose"]
    assert np.array_equal(drawn, model.encode(data)["pose"])
    assert np.allclose(drawn[5:7], model.encode(data.images[5:7])["pose"], atol=1e-5)
    items = model._items(data.images)
    with torch.no_grad():
        q = model.pose(items)
        wanted = q.sample(own_noise(items, q.mean.shape[1]))
    assert np.allclose(drawn, wanted.numpy(), atol=1e-6)
    assert not np.allclose(drawn, q.mean.numpy(), atol=1e-2)


def test_encode_gives_the_mean_of_entries_above_the_floor():
    model, data = fit("robust", settings={"pose_code": "vector", "pose_floor": 0.5}), labelled()
    with torch.no_grad():
        mean = model.pose(model._items(data.images)).mean.numpy()
    rates = model.network["rates"]
    for tells, kept in (([0.6, 0.4, 0.5, 9.0], [1, 0, 1, 1]), ([0.0] * 4, [0] * 4)):
        rates.sums.copy_(torch.tensor(tells) * rates.total)
        assert np.array_equal(model.encode(data)["pose"], mean * kept)
    model.config.pose_floor = 0.0
    assert np.array_equal(model.encode(data)["pose"], mean)


def test_rates_are_averages_of_each_entrys_kl():
    q = posterior(noise(6, 8), 4, False)
    assert q.rates().shape == (6, 4)
    whole = posterior_kl(q.mean, q.log_diagonal, q.below)
    assert q.rates().sum(1).mean().item() == pytest.approx(whole.item(), rel=1e-5)
    full = posterior(noise(6, parameters(4, True)), 4, True)
    factor = torch.diag_embed(full.log_diagonal.exp()) + full.below
    own = torch.distributions.Normal(
        full.mean, (factor @ factor.mT).diagonal(dim1=1, dim2=2).sqrt()
    )
    wanted = kl_divergence(own, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(full.rates(), wanted, atol=1e-5)
    rates = Rates(2)
    assert rates.above(0.1).tolist() == [1, 1]
    rates.observe(torch.tensor([1.0, 0.0]))
    assert rates.above(0.9).tolist() == [1, 0]
    rates.observe(torch.tensor([0.0, 1.0]))
    assert (rates.sums / rates.total).tolist() == pytest.approx([0.99 / 1.99, 1 / 1.99])


def test_half_of_the_training_may_be_at_half_size(tmp_path):
    data = labelled((32, 40, 3))
    whole = fit("robust", data, settings={"half_size": 0.0})
    half = fit("robust", data, tmp_path, settings={"half_size": 0.5}, sample_every=1e-9)
    assert half._divisor == 1
    state = state_of(half)
    assert any(not torch.equal(v, state[k]) for k, v in state_of(whole).items())
    assert half.reconstruct(data).shape == (20, 32, 40, 3)
    from PIL import Image

    for sample in (tmp_path / "samples").iterdir():  # at half size too
        assert Image.open(sample).size == (7 * 42 - 2, 7 * 34 - 2)
    small = um.RobustDisentangling(**{**TINY, "half_size": 0.5})
    small.data_shape = (16, 16, 3)
    (stage,) = small.stages(labelled())
    assert stage.resolutions() == [(1.0, 1)]


def test_visualisers_show_single_codes():
    model, data = fit("robust"), labelled()
    codes = model.encode(data.images[:5])
    shown = model.visualise(codes)
    assert list(shown) == ["appearance", "pose"]
    for images in shown.values():
        assert images.shape == (5, 16, 16, 3) and images.dtype == np.uint8
    other = {**codes, "pose": codes["pose"][::-1].copy()}
    assert np.array_equal(model.visualise(other)["appearance"], shown["appearance"])
    assert np.array_equal(model.visualise(other)["pose"], shown["pose"][::-1])
    assert fit("robust", settings={"visualise_every": 0}).visualise(codes) == {}
    refused(lambda: model.visualise({"pose": codes["pose"]}), "appearance")


def test_the_grid_shows_what_single_codes_say():
    model, images = fit("robust"), labelled().images
    sheet = swap_grid(model, images[:3], images[3:7], "appearance", "pose", gap=0)
    assert sheet.shape == ((2 + 3) * 16, (2 + 4) * 16, 3)
    cells = sheet.reshape(5, 16, 6, 16, 3).swapaxes(1, 2)
    codes = model.encode(images[:7])
    shown = model.visualise(codes)
    assert np.array_equal(cells[2:, 0], images[:3]) and np.array_equal(cells[0, 2:], images[3:7])
    assert np.array_equal(cells[2:, 1], shown["appearance"][:3])
    assert np.array_equal(cells[1, 2:], shown["pose"][3:7])
    assert (cells[:2, :2] == 255).all()
    made = model.decode({"appearance": codes["appearance"][1:2], "pose": codes["pose"][5:6]})
    assert np.array_equal(cells[3, 4], made[0])
    plain = fit("robust", settings={"visualise_every": 0})
    sheet = swap_grid(plain, images[:3], images[3:7], "appearance", "pose", gap=0)
    assert sheet.shape == ((1 + 3) * 16, (1 + 4) * 16, 3)


def test_activations_keep_their_size_at_the_start():
    torch.manual_seed(0)
    widths = (32, 48, 64, 96)
    encoder = ResidualEncoder((64, 64, 3), 32, spatial=False, widths=widths, blocks=2)
    decoder = SubPixelDecoder([(32,), (32,)], (64, 64, 3), widths=widths[::-1], blocks=2)
    codes = encoder(torch.rand(16, 3, 64, 64))
    assert 0.2 < codes.std() < 2
    logits = torch.logit(decoder(torch.randn(16, 32), torch.randn(16, 32)), eps=1e-6)
    assert 0.3 < logits.std() < 3


def test_vectors_are_standardised_and_come_back_in_their_own_units():
    rng = np.random.default_rng(0)
    kind = np.arange(40) % 4
    vectors = (rng.normal(size=(40, 3)) * [1, 100, 0.01] + [0, 5000, 0]).astype(np.float32)
    vectors = np.concatenate([vectors, np.full((40, 1), 7, np.float32)], 1)  # one constant
    data = um.FactorDataset(vectors=vectors, factors={"kind": kind})
    model, _, _ = build(data)
    scale = model.network["scale"]
    standard = scale(torch.from_numpy(vectors))
    assert torch.allclose(standard[:, :3].mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(standard[:, :3].std(0, correction=0), torch.ones(3), atol=1e-3)
    assert torch.equal(standard[:, 3], torch.zeros(40))
    assert torch.allclose(scale.inverse(standard), torch.from_numpy(vectors), rtol=1e-5)
    trained = fit("robust", data)
    made = trained.decode(trained.encode(data))
    assert made.shape == vectors.shape and made.dtype == np.float32
    assert abs(made[:, 1].mean() - 5000) < 300


def test_a_short_training_learns_to_recombine():
    """Two kinds of brightness, five places of a bar: swaps come nearer to the truth than copies."""
    data = labelled((16, 16, 1), rows=40)
    settings = {
        "pose_dim": 8, "encoder_widths": (8, 16, 16), "decoder_widths": (16, 16, 16),
        "visualise_every": 0, "classifier_width": 32, "rec_scale": 256.0, "lr": 3e-3,
        "gamma": 0.1, "warm_up": 50, "batch": 16,
    }  # fmt: skip
    model = fit("robust", data, settings=settings, budget="200steps")
    kind, pose = data.factors["kind"], data.factors["pose"]
    i, j = np.meshgrid(np.arange(20), np.arange(20, 40), indexing="ij")
    i, j = i.ravel(), j.ravel()
    differ = (kind[i] != kind[j]) & (pose[i] != pose[j])
    i, j = i[differ], j[differ]
    made = model.recombine({"appearance": data.images[i], "pose": data.images[j]})
    means = {
        (k, p): data.images[(kind == k) & (pose == p)].mean(0) for k in range(4) for p in range(5)
    }
    true = np.stack([means[kind[a], pose[b]] for a, b in zip(i, j, strict=True)])

    def error(images):
        return np.abs(images - true).mean()

    copies = min(error(np.stack([means[kind[n], pose[n]] for n in rows])) for rows in (i, j))
    assert error(made.astype(float)) < 0.6 * copies


def test_names_of_the_variants_match_the_page():
    from test_methods import ROOT

    page = (ROOT / "docs" / "robust.md").read_text()
    for variant in VARIANTS:
        assert f"--variant {variant}" in page
    numbers = [int(line.split(".")[0]) for line in page.splitlines() if line[:1].isdigit()]
    details = numbers[numbers.index(1, 1) :] if numbers.count(1) > 1 else numbers
    assert all(after == before + 1 for before, after in pairwise(details))
