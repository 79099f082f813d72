"""Weight-normalised networks, embeddings, noise and the losses that go with them, by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from unmingle.errors import ConfigError
from unmingle.evaluation.point_noise import LEVELS, choose_noise
from unmingle.losses.gaussian import (
    aggregated_kl,
    embeddings_kl,
    gaussian_nll,
    kl_between,
    kl_to_normal,
    scaled_distance,
)
from unmingle.losses.unlikelihood import (
    adversary_loss,
    clamped_log_likelihood,
    least_squares,
    negative_log_likelihood,
    negative_log_unlikelihood,
)
from unmingle.nn.code_statistics import CodeStatistics
from unmingle.nn.embedding import LabelEmbedding, draw, keep_probabilities, nested_mask
from unmingle.nn.gaussian import GaussianEncoder, Generator, Heads
from unmingle.nn.halving import conv_double, conv_half
from unmingle.nn.weight_norm import (
    FirstConv,
    LastConv,
    NormConv,
    NormLinear,
    NormUpConv,
    shared_weights,
)
from unmingle.training.stage import View

Q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradient(loss, module):
    """Norm of the loss's gradient in a network; 0 where there is none."""
    grads = torch.autograd.grad(
        loss, list(module.parameters()), retain_graph=True, allow_unused=True
    )
    return sum(float(g.square().sum()) for g in grads if g is not None)


# ---------------------------------------------------------------------- unlikelihood, Eq. 1-18


def expected(loss, t):
    """Sum over the labels k of q_k times the loss of (Sm(t), k)."""
    log_p = F.log_softmax(t, 0)[None]
    return sum(Q[k] * loss(log_p, torch.tensor([k])) for k in range(4))


def nlu(log_p, k):
    return negative_log_unlikelihood(log_p, k, Q)


def test_nlu_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    labels = torch.tensor([0, 1])
    plain = -(math.log(0.5) + math.log(0.2)) / 2
    assert negative_log_unlikelihood(p.log(), labels).item() == pytest.approx(plain, rel=1e-5)
    q = torch.tensor([0.25, 0.5, 0.25])
    weighted = -(3 * math.log(0.5) + 1 * math.log(0.2)) / 2  # (1 - q) / q is 3 and 1
    assert negative_log_unlikelihood(p.log(), labels, q).item() == pytest.approx(weighted, rel=1e-5)
    assert negative_log_likelihood(p.log(), labels).item() == pytest.approx(
        -(math.log(0.5) + math.log(0.8)) / 2
    )


@pytest.mark.parametrize("k", range(4))
def test_gradient_of_nlu_is_that_of_equations_9_and_10(k):
    t = noise(4, seed=k).double().requires_grad_()
    negative_log_unlikelihood(F.log_softmax(t, 0)[None], torch.tensor([k])).backward()
    s = F.softmax(t.detach(), 0)
    wanted = -s[k] * s / (1 - s[k])
    wanted[k] = s[k]
    torch.testing.assert_close(t.grad, wanted)


@pytest.mark.parametrize("k", range(4))
def test_length_of_the_gradient_is_that_of_equation_15(k):
    t = noise(4, seed=10 + k).double().requires_grad_()
    nlu(F.log_softmax(t, 0)[None], torch.tensor([k])).backward()
    p = F.softmax(t.detach(), 0)[k]
    assert t.grad.abs().sum().item() == pytest.approx(float(2 * (1 - Q[k]) / Q[k] * p))
    # At the equilibrium it is that of the NLL (Eq. 4).
    t = Q.log().requires_grad_()
    nlu(F.log_softmax(t, 0)[None], torch.tensor([k])).backward()
    assert t.grad.abs().sum().item() == pytest.approx(float(2 - 2 * Q[k]))


def weight(k):
    return (1 - Q[k]) / Q[k]


def other_second_derivative(k, i):
    """Eq. 17 with the term -q_k q_i that is missing in it; differentiate Eq. 10 to see it."""
    return Q[k] * Q[i] * (2 * Q[i] + Q[k] - 1 - Q[k] * Q[i]) / (1 - Q[k]) ** 2


def test_nlu_is_stationary_and_smallest_at_the_class_frequencies():
    t = (Q.log() + 1.7).requires_grad_()
    (grad,) = torch.autograd.grad(expected(nlu, t), t)  # Eq. 14
    torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-12, rtol=0)
    second = torch.autograd.functional.hessian(lambda t: expected(nlu, t), Q.log()).diagonal()
    for i in range(4):  # Eq. 18, its first line, with Eq. 17 as below
        rest = sum(weight(k) * Q[k] * other_second_derivative(k, i) for k in range(4) if k != i)
        own = weight(i) * Q[i] * Q[i] * (1 - Q[i])
        assert second[i].item() == pytest.approx(float(own + rest))
        assert second[i] > Q[i] ** 2 * (1 - Q[i]) > 0  # its last line
    at_q = expected(nlu, Q.log())
    for seed in range(5):
        assert expected(nlu, Q.log() + 0.1 * noise(4, seed=seed).double()) > at_q


def test_without_weights_the_frequencies_are_not_stationary():
    t = Q.log().requires_grad_()
    (grad,) = torch.autograd.grad(expected(negative_log_unlikelihood, t), t)
    assert grad.abs().max() > 1e-3


def test_second_derivatives_of_plain_nlu_are_those_of_equations_16_and_17():
    def loss(t):
        return negative_log_unlikelihood(F.log_softmax(t, 0)[None], torch.tensor([1]))

    found = torch.autograd.functional.hessian(loss, Q.log()).diagonal()
    for i in range(4):
        wanted = Q[1] * (1 - Q[1]) if i == 1 else other_second_derivative(1, i)
        assert found[i].item() == pytest.approx(float(wanted))


def test_maximised_nll_flees_from_the_equilibrium():
    def loss(log_p, k):
        return adversary_loss("nll", log_p, k, Q)

    t = Q.log().requires_grad_()
    (grad,) = torch.autograd.grad(expected(loss, t), t)
    torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-12, rtol=0)
    second = torch.autograd.functional.hessian(lambda t: expected(loss, t), Q.log()).diagonal()
    torch.testing.assert_close(second, -Q * (1 - Q))  # Eq. 3, turned around


@pytest.mark.parametrize("gap", [-80.0, -20.0, -1.0, 0.5, 1.0, 16.0, 17.0, 25.0, 80.0])
def test_gradient_of_nlu_in_float32_has_all_digits_at_both_ends(gap):
    t = torch.tensor([[gap, 0.0, -0.5]], requires_grad=True)
    negative_log_unlikelihood(F.log_softmax(t, 1), torch.tensor([0])).backward()
    s = F.softmax(t.detach().double(), 1)[0]
    others = -s[0] * s[1:] / s[1:].sum()  # Eq. 9 and 10
    wanted = torch.cat([s[:1], others])
    torch.testing.assert_close(t.grad[0].double(), wanted, rtol=1e-4, atol=0)


def test_unlikelihood_is_largest_where_the_classifier_is_sure_and_fades_where_it_errs():
    t = torch.tensor([[60.0, 0.0, 0.0], [-60.0, 0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0])
    loss = adversary_loss("nlu", F.log_softmax(t, 1), labels, torch.tensor([0.2, 0.4, 0.4]))
    loss.backward()
    # The weight (1 - q) / q is 4; 1 - p is 2 exp(-60) in the first row, 1 in the second.
    assert loss.item() == pytest.approx(4 * (60 - math.log(2)) / 2, rel=1e-5)
    sure, wrong = t.grad.abs().sum(1).tolist()  # Eq. 15, of a mean over two rows
    assert sure == pytest.approx(2 * 4 / 2, rel=1e-5)
    assert wrong == pytest.approx(2 * 4 * math.exp(-60) / 2 / 2, rel=1e-4)


def test_clamped_nll_stops_at_chance():
    t = torch.tensor([[2.0, 0.0, 0.0], [-5.0, 0.0, 0.0]], requires_grad=True)
    q = torch.tensor([0.2, 0.4, 0.4])
    loss = clamped_log_likelihood(F.log_softmax(t, 1), torch.tensor([0, 0]), q)
    p = F.softmax(t.detach(), 1)[:, 0]
    assert loss.item() == pytest.approx((math.log(p[0]) + math.log(0.2)) / 2, rel=1e-5)
    loss.backward()
    assert t.grad[0].abs().max() > 0.01 and t.grad[1].abs().max() == 0
    assert torch.equal(
        adversary_loss("nll-clamped", F.log_softmax(t, 1), torch.tensor([0, 0]), q), loss
    )


# ---------------------------------------------------------------------- Gaussians


def test_gaussian_nll_is_that_of_a_typical_pixel():
    made, true = noise(3, 2, 4, 5), noise(3, 2, 4, 5, seed=1)
    std = torch.tensor([0.5, 1.0, 2.0])
    wanted = torch.stack(
        [-Normal(m, s).log_prob(t).mean() for m, s, t in zip(made, std, true, strict=True)]
    )
    assert gaussian_nll(made, true, std).item() == pytest.approx(wanted.mean().item(), rel=1e-5)


def test_kl_divergences_are_torchs():
    mean, std = noise(5, 3), noise(5, 3, seed=1).exp()
    other, wide = noise(5, 3, seed=2), noise(5, 3, seed=3).exp()
    torch.testing.assert_close(
        kl_to_normal(mean, std), kl_divergence(Normal(mean, std), Normal(0.0, 1.0))
    )
    wanted = kl_divergence(Normal(mean, std), Normal(other, wide)).sum(1).mean()
    torch.testing.assert_close(kl_between(mean, std, other, wide), wanted)


def test_aggregated_kl_by_hand():
    mean = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    std = torch.tensor([[1.0, 0.5], [2.0, 0.5]])
    found = aggregated_kl(mean, std, lambda x: x.mean(0))
    for i, (centre, variance) in enumerate([(2.0, 1.0 + 2.5), (2.0, 0.25)]):
        wanted = kl_divergence(Normal(centre, variance**0.5), Normal(0.0, 1.0))
        assert found[i].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_code_distance_and_least_squares_by_hand():
    codes = torch.tensor([[1.0, 4.0], [0.0, 0.0]], requires_grad=True)
    target = torch.zeros(2, 2, requires_grad=True)
    loss = scaled_distance(codes, target, torch.tensor([1.0, 2.0]))
    assert loss.item() == (1 + 4) / 2
    loss.backward()
    assert codes.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]] and target.grad is None
    assert least_squares(torch.tensor([[1.0], [-2.0]]), -1.0).item() == (4 + 1) / 2


# ---------------------------------------------------------------------- embeddings, dropout, noise


@pytest.mark.parametrize("start", ["zero", "random", "linear", "circle"])
def test_embeddings_have_mean_0_and_variance_1_over_the_data(start):
    q = torch.tensor([0.1, 0.2, 0.3, 0.4])
    table = LabelEmbedding(q, 3, start)
    with torch.no_grad():
        table.mean.add_(noise(4, 3) + 5)
        table.log_std.add_(noise(4, 3, seed=1))
    mean, std = table.table()
    torch.testing.assert_close(q @ mean, torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(q @ (mean.square() + std.square()), torch.ones(3))
    wanted = q @ kl_divergence(Normal(mean, std), Normal(0.0, 1.0))
    torch.testing.assert_close(embeddings_kl(mean, std, q), wanted)
    labels = torch.tensor([3, 0, 3])
    assert torch.equal(table(labels)[0], mean[labels])
    assert torch.equal(table(labels)[1], std[labels])


def test_starts_of_embeddings():
    even = torch.full((6,), 1 / 6)
    mean, std = LabelEmbedding(even, 3, "linear").table()
    steps = mean[1:, 0] - mean[:-1, 0]
    torch.testing.assert_close(steps, steps[:1].expand(5))
    torch.testing.assert_close(std[:, 0], steps[:1].expand(6) / 2)
    mean, std = LabelEmbedding(even, 3, "circle").table()
    around = torch.linalg.vector_norm(mean[:, :2] - mean[:, :2].roll(1, 0), dim=1)
    torch.testing.assert_close(around, around[:1].expand(6))
    torch.testing.assert_close(std[:, 0], around / 2)
    for kind in ("linear", "circle"):
        mean, std = LabelEmbedding(even, 3, kind).table()
        assert (mean[:, 2] == 0).all() and (std[:, 2] == 1).all()
    assert (LabelEmbedding(even, 3).table()[0] == 0).all()
    with pytest.raises(ValueError, match="two"):
        LabelEmbedding(even, 1, "circle")


def test_keep_probabilities_fall_from_1_to_the_last():
    torch.testing.assert_close(keep_probabilities(3, 0.25), torch.tensor([1.0, 0.5, 0.25]))
    assert keep_probabilities(4, 1.0).tolist() == [1.0] * 4
    assert keep_probabilities(1, 0.2).tolist() == [1.0]


def test_nested_masks_keep_a_first_part_as_often_as_asked():
    keep = keep_probabilities(5, 0.2)
    mask = nested_mask(keep, torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    assert (mask[:, 0] == 1).all() and (mask[:, 1:] <= mask[:, :-1]).all()
    torch.testing.assert_close(mask.mean(0), keep, atol=0.02, rtol=0)


def test_a_dropped_dimension_is_noise():
    mean, std, eps = noise(4, 2), torch.full((4, 2), 0.5), noise(4, 2, seed=1)
    mask = torch.tensor([[1.0, 0.0]] * 4)
    code = draw(mean, std, mask, eps)
    torch.testing.assert_close(code[:, 0], mean[:, 0] + 0.5 * eps[:, 0])
    assert torch.equal(code[:, 1], eps[:, 1])


def test_stratified_noise_fills_every_slice_once():
    x = View(torch.zeros(16, 1), generator=torch.Generator().manual_seed(1))
    found = x.stratified(3)
    level = Normal(0.0, 1.0).cdf(found)
    slices = (level * 16).floor().long().sort(0).values
    assert torch.equal(slices, torch.arange(16)[:, None].expand(16, 3))
    assert not torch.equal(found[:, 0].argsort(), found[:, 1].argsort())
    # Two processes see the numbers that one sees.
    halves = [
        View(
            torch.zeros(8, 1), generator=torch.Generator().manual_seed(1), batch=16, start=start
        ).stratified(3)
        for start in (0, 8)
    ]
    assert torch.equal(torch.cat(halves), found)


def test_statistics_of_codes_give_draws_with_their_moments():
    mean = noise(4000, 3) @ torch.tensor([[1.0, 0.5, 0], [0, 0.3, 0], [0, 0, 2.0]]) + 1
    std = torch.full_like(mean, 0.2)
    found = CodeStatistics(3)
    assert torch.equal(found.draw(torch.eye(3)), torch.eye(3))
    found.fit(mean, std)
    drawn = found.draw(noise(40000, 3, seed=5))
    torch.testing.assert_close(drawn.mean(0), mean.mean(0), atol=0.03, rtol=0)
    wanted = mean.T.cov(correction=0) + 0.04 * torch.eye(3)
    torch.testing.assert_close(drawn.T.cov(), wanted, atol=0.08, rtol=0)
    torch.testing.assert_close(found.std, wanted.diagonal().sqrt())


# ---------------------------------------------------------------------- networks


def test_weights_are_normalised():
    layer = NormLinear(5, 3, gain=2.0)
    weight, _ = layer.weights(False)
    torch.testing.assert_close(weight.norm(dim=1), torch.full((3,), 2.0))
    x, before = noise(4, 5), layer(noise(4, 5))
    with torch.no_grad():
        layer.direction.mul_(7)
    torch.testing.assert_close(layer(x), before)


@pytest.mark.parametrize("kind", [NormConv, NormUpConv])
def test_gradients_of_normalised_weights_are_those_of_the_formula(kind):
    torch.manual_seed(0)
    layer, factor = kind(3, 5, 4).double(), torch.randn(5, 3, 4, 4, dtype=torch.float64)
    layer.to(memory_format=torch.channels_last)
    factor = factor.transpose(0, layer.output)
    (layer.weights(False)[0] * factor).sum().backward()
    direction = layer.direction.detach().clone().requires_grad_()
    length = layer.length.detach().clone().requires_grad_()
    rows = direction.transpose(0, layer.output)
    unit = rows / rows.square().sum((1, 2, 3), keepdim=True).sqrt()
    ((length.view(-1, 1, 1, 1) * unit).transpose(0, layer.output) * factor).sum().backward()
    torch.testing.assert_close(layer.direction.grad, direction.grad)
    torch.testing.assert_close(layer.length.grad, length.grad)


@pytest.mark.parametrize("sides", [(2, 2), (4, 4), (2, 8), (3, 5), (16, 16)])
def test_halving_and_doubling_are_the_convolutions(sides):
    x, weight, bias = noise(2, 5, *sides), noise(3, 5, 4, 4, seed=1), noise(3, seed=2)
    torch.testing.assert_close(
        conv_half(x, weight, bias), F.conv2d(x, weight, bias, 2, 1), rtol=1e-4, atol=1e-4
    )
    weight = weight.transpose(0, 1)
    torch.testing.assert_close(
        conv_double(x, weight, bias),
        F.conv_transpose2d(x, weight, bias, 2, 1),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(("kind", "side"), [(NormConv, 2), (NormUpConv, 1)])
def test_layers_on_the_smallest_maps_need_the_middle_of_their_kernels_alone(kind, side):
    torch.manual_seed(0)
    settings = (2,) if kind is NormConv else ()
    layer, x = (
        kind(3, 5, 4, *settings).to(memory_format=torch.channels_last),
        noise(2, 3, side, side),
    )
    (small,) = torch.autograd.grad(layer(x).square().sum(), layer.direction)
    weight, bias = layer.weights(False)
    whole = (F.conv2d if kind is NormConv else F.conv_transpose2d)(x, weight, bias, 2, 1)
    torch.testing.assert_close(layer(x), whole)
    (large,) = torch.autograd.grad(whole.square().sum(), layer.direction)
    torch.testing.assert_close(small, large)


def test_shared_weights_are_made_once_and_collect_both_gradients():
    layer, x, y = NormLinear(5, 3), noise(4, 5), noise(4, 5, seed=1)
    (layer(x) + layer(y, frozen=True)).sum().backward()
    apart = layer.direction.grad.clone()
    layer.zero_grad()
    with shared_weights(layer):
        assert layer.weights(False)[0] is layer.weights(False)[0]
        (layer(x) + layer(y, frozen=True)).sum().backward()
    torch.testing.assert_close(layer.direction.grad, apart)
    assert not layer.kept and not layer.keeps


def test_at_half_size_the_first_layer_sees_repeated_pixels():
    torch.manual_seed(0)
    layer, half = FirstConv(3, 4), noise(2, 3, 8, 6)
    whole = F.interpolate(half, scale_factor=2)
    torch.testing.assert_close(layer(half, half=True), layer(whole), atol=1e-5, rtol=1e-5)


def test_at_half_size_the_last_layer_makes_the_mean_of_four_pixels():
    torch.manual_seed(0)
    layer, x = LastConv(4, 3), noise(2, 4, 5, 6)
    torch.testing.assert_close(layer(x, half=True), F.avg_pool2d(layer(x), 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(32, 32, 3), (33, 48, 1), (16, 20, 4), (7,)])
def test_networks_take_and_make_any_shape(shape):
    items = noise(2, 7) if len(shape) == 1 else noise(2, shape[2], shape[0], shape[1])
    size = ((4, 6, 8), 10, 1)
    ((mean, std), (other, _)) = GaussianEncoder(shape, *size, [3, 2])(items)
    assert mean.shape == std.shape == (2, 3) and other.shape == (2, 2) and (std > 0).all()
    assert [h.shape for h in Heads(shape, *size, [5, 1])(items)] == [(2, 5), (2, 1)]
    generator = Generator(6, shape, *size)
    made, std = generator(noise(2, 6))
    assert made.shape == items.shape and std.shape == (2,) and (std > 0).all()
    if len(shape) == 3:
        small, _ = generator(noise(2, 6), 2)
        assert small.shape[2:] == (-(-shape[0] // 2), -(-shape[1] // 2))


def test_frozen_parts_pass_gradients_and_take_none():
    generator = Generator(6, (16, 16, 3), (4, 6), 8, 1)
    for dense, convs in ((True, False), (False, True), (True, True), (False, False)):
        codes = noise(2, 6).requires_grad_()
        made, _ = generator(codes, frozen_dense=dense, frozen_convs=convs)
        loss = made.square().sum()
        assert (gradient(loss, generator.dense) == 0) == dense
        assert (gradient(loss, generator.convs) == 0) == convs
        (grad,) = torch.autograd.grad(loss, codes, allow_unused=True)
        assert grad.abs().max() > 0


# ---------------------------------------------------------------------- noise for point codes


def test_noise_for_points_is_the_best_of_all_pairs_on_average():
    assert len(LEVELS) == 19 and LEVELS[:4] == pytest.approx((1e-5, 2e-5, 5e-5, 1e-4))
    assert LEVELS[-2:] == (5.0, 10.0)

    def peak(u, label):
        return lambda a, b: -abs(math.log(a / u)) - abs(math.log(b / label))

    assert choose_noise([peak(0.05, 0.02)]) == (pytest.approx(0.05), pytest.approx(0.02))
    # One that is good on average, though each setting has a better one.
    pair = choose_noise([peak(0.1, 1.0), peak(0.1, 1.0), peak(1.0, 1.0)])
    assert pair == (pytest.approx(0.1), pytest.approx(1.0))
    assert choose_noise([lambda a, b: 0.5]) == (1e-5, 1e-5)
    with pytest.raises(ConfigError):
        choose_noise([])
