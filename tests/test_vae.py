"""The VAEs: losses against closed forms and enumeration, networks, who gets whose gradient."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import ROWS, fit, labelled, refused
from torch.distributions import Independent, Laplace, MultivariateNormal, Normal, kl_divergence

import unmingle as um
from unmingle.losses import variational as losses
from unmingle.losses.latent import gaussian_kl
from unmingle.methods import METHODS
from unmingle.nn.discriminators import CodeDiscriminator, JointDiscriminator
from unmingle.nn.pyramid import (
    DownConv,
    PyramidEncoder,
    PyramidGenerator,
    leaky_pixel_norm,
    make_encoder,
    make_generator,
)
from unmingle.nn.scaling import Scaling
from unmingle.training.stage import Progress, View

VAES = [name for name in METHODS if name.endswith("vae") and "reference" not in name]


def posteriors(rows=6, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, dim, generator=generator)
    log_variance = 0.5 * torch.randn(rows, dim, generator=generator)
    return mean, log_variance


# ---------------------------------------------------------------------- densities


def test_divergence_and_densities_are_those_of_torch():
    mean, log_variance = posteriors()
    q = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    assert gaussian_kl(mean, log_variance) == pytest.approx(float(kl_divergence(q, prior).mean()))
    codes = torch.randn(6, 3)
    found = losses.gaussian_nll(codes, mean, log_variance)
    assert float(found) == pytest.approx(-float(q.log_prob(codes).mean()), rel=1e-5)
    images, made = torch.rand(4, 3, 5, 5), torch.rand(4, 3, 5, 5)
    expected = -Laplace(made, 0.01).log_prob(images).sum((1, 2, 3)).mean()
    assert float(losses.laplace_nll(made, images, 0.01)) == pytest.approx(float(expected), rel=1e-5)


def halved(images):
    """The means of 2x2 pixels."""
    batch, channels, height, width = images.shape
    return images.reshape(batch, channels, height // 2, 2, width // 2, 2).mean((3, 5))


def laplace(made, seen, scale, halvings):
    """-log p of images whose log density per pixel is averaged over several sizes."""
    size, levels = made[0].numel(), []
    for _ in range(halvings + 1):
        levels.append(-Laplace(made, scale).log_prob(seen).mean())
        made, seen = halved(made), halved(seen)
    return size * torch.stack(levels).mean()


def test_the_likelihood_is_averaged_over_halvings():
    images, made = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)
    for halvings in (0, 1, 3):
        expected = float(laplace(made, images, 0.1, halvings))
        found = losses.laplace_nll(made, images, 0.1, halvings)
        assert float(found) == pytest.approx(expected, abs=0.01)
    # No smaller than a pixel, and vectors have no sizes.
    every = losses.laplace_nll(made, images, 0.1, 4)
    assert float(losses.laplace_nll(made, images, 0.1, 9)) == pytest.approx(float(every))
    rows, others = torch.rand(4, 6), torch.rand(4, 6)
    assert losses.laplace_nll(rows, others, 0.1, 3) == losses.laplace_nll(rows, others, 0.1)


def test_a_line_in_an_unknown_place_is_found_by_its_halvings():
    """One of four columns is white, which one is not known: black is likeliest pixel by pixel."""
    seen = torch.full((4, 1, 16, 16), -1.0)
    for row in range(4):
        seen[row, :, :, row::4] = 1
    made = torch.full((4, 1, 16, 16), -0.9, requires_grad=True)
    losses.laplace_nll(made, seen, 0.1).backward()
    assert made.grad.sum() > 0  # darker
    made.grad = None
    losses.laplace_nll(made, seen, 0.1, 3).backward()
    assert made.grad.sum() < 0  # brighter


def test_a_sample_has_the_posteriors_moments_and_its_gradient():
    mean = torch.tensor([[1.0, -2.0]]).requires_grad_()
    log_variance = torch.tensor([[0.0, math.log(4.0)]]).requires_grad_()
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    drawn = losses.sample(mean, log_variance, noise)
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.tensor([1.0, 2.0]), atol=0.02, rtol=0)
    one = losses.sample(mean, log_variance, torch.tensor([[0.5, 3.0]]))
    one.sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones(1, 2))
    torch.testing.assert_close(log_variance.grad, torch.tensor([[0.25, 3.0]]))  # noise * std / 2


def test_log_variances_are_bounded_and_nearly_unchanged_in_the_middle():
    raw = torch.tensor([[0.0, 0.0, 0.5, 1e4]])
    mean, log_variance = losses.posterior(raw.bfloat16())
    assert mean.dtype == torch.float32 and mean.tolist() == [[0.0, 0.0]]
    assert log_variance[0, 0] == pytest.approx(0.5, abs=1e-3) and log_variance[0, 1] == 8.0


# ---------------------------------------------------------------------- penalties by hand


def test_the_covariance_of_dip_vae_by_hand():
    mean = torch.tensor([[1.0, 0.0], [-1.0, 2.0]])
    log_variance = torch.tensor([[0.0, math.log(3.0)], [math.log(2.0), 0.0]])
    # Means over the batch: (0, 1); centred rows (1, -1) and (-1, 1).
    first = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    torch.testing.assert_close(losses.aggregate_covariance(mean, log_variance, "i"), first)
    second = first + torch.diag(torch.tensor([1.5, 2.0]))
    torch.testing.assert_close(losses.aggregate_covariance(mean, log_variance, "ii"), second)


def test_variant_ii_is_the_covariance_of_samples():
    mean, log_variance = posteriors(rows=5)
    noise = torch.randn(200_000, 5, 3, generator=torch.Generator().manual_seed(1))
    drawn = losses.sample(mean, log_variance, noise).flatten(0, 1)
    expected = torch.cov(drawn.T, correction=0)
    found = losses.aggregate_covariance(mean, log_variance, "ii")
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_the_covariance_penalty_by_hand():
    covariance = torch.tensor([[3.0, 0.5], [0.5, 0.0]])
    # off-diagonal: 2 * 0.25; diagonal: (3 - 1)^2 + (0 - 1)^2
    assert float(losses.covariance_penalty(covariance, 10.0, 0.0)) == pytest.approx(5.0)
    assert float(losses.covariance_penalty(covariance, 0.0, 2.0)) == pytest.approx(10.0)
    assert float(losses.covariance_penalty(torch.eye(4), 7.0, 7.0)) == 0.0


def test_the_capacity_penalty_pulls_from_both_sides():
    for divergence, slope in ((3.0, -2.0), (7.0, 2.0)):
        value = torch.tensor(divergence).requires_grad_()
        found = losses.capacity_penalty(value, 5.0, 2.0)
        found.backward()
        assert found.item() == 4.0 and float(value.grad) == slope


# ---------------------------------------------------------------------- total correlation


def log_mixture(codes, mean, log_variance):
    """log q(z) of a mixture with equal weights, exactly: log 1/N sum_n N(z | n)."""
    q = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    each = q.log_prob(codes[:, None])
    return torch.logsumexp(each, 1) - math.log(len(mean))


def batches(size, batch):
    """All ordered choices of a batch out of `size` rows."""
    return torch.tensor(list(itertools.permutations(range(size), batch)))


@pytest.mark.parametrize("batch", [2, 3, 4, 5])
def test_the_stratified_estimate_of_q_is_exact_on_average(batch):
    mean, log_variance = posteriors(rows=5, dim=2, seed=3)
    code = torch.tensor([[0.3, -0.4]])
    q = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    density = q.log_prob(code).exp()  # q(z|n) of all five rows
    weights = losses.stratified_weights(batch, 5).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(batch))
    for own in range(5):
        chosen = [rows for rows in batches(5, batch) if rows[0] == own]
        estimates = torch.stack([weights[0] @ density[rows] for rows in chosen])
        assert float(estimates.mean()) == pytest.approx(float(density.mean()), rel=1e-5)
        assert batch in (2, 5) or estimates.std() > 0


def test_the_weighted_estimate_is_the_papers_sum():
    mean, log_variance = posteriors(rows=4, dim=2, seed=4)
    codes = losses.sample(mean, log_variance, torch.randn(4, 2))
    found = losses.decomposed_kl(codes, (mean, log_variance), (mean, log_variance), 50)
    q = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    each = Normal(mean, (log_variance / 2).exp()).log_prob(codes[:, None])  # [4, 4, 2]
    log_q = torch.stack([(each[i].sum(1).exp().sum() / 200).log() for i in range(4)])
    log_marginals = torch.stack(
        [(each[i, :, d].exp().sum() / 200).log() for i in range(4) for d in range(2)]
    ).view(4, 2)
    log_prior = Normal(0, 1).log_prob(codes).sum(1)
    expected = (
        (q.log_prob(codes) - log_q).mean(),
        (log_q - log_marginals.sum(1)).mean(),
        (log_marginals.sum(1) - log_prior).mean(),
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def weighted_estimate(code, mean, log_variance, rows, size):
    """The library's q_hat of a code [1, dim] of the first of `rows`: their mutual information is
    log q(z|x) - log q_hat."""
    own = (mean[rows[:1]], log_variance[rows[:1]])
    mutual, _, _ = losses.decomposed_kl(code, own, (mean[rows], log_variance[rows]), size)
    log_own = Independent(Normal(own[0], (own[1] / 2).exp()), 1).log_prob(code)
    return (log_own - mutual).exp().squeeze()


def test_the_weighted_estimate_from_all_rows_is_a_share_of_q():
    """With B = N the sum over the batch is that of the mixture: q_hat = q / N."""
    mean, log_variance = posteriors(rows=6, dim=2, seed=7)
    codes = losses.sample(mean, log_variance, torch.randn(6, 2))
    exact = log_mixture(codes, mean, log_variance)
    for row in range(6):
        rows = torch.tensor([row, *(other for other in range(6) if other != row)])
        found = weighted_estimate(codes[row : row + 1], mean, log_variance, rows, 6)
        assert float(found.log()) + math.log(6) == pytest.approx(float(exact[row]), abs=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_the_weighted_estimate_on_average_over_all_batches(batch):
    """A batch with the row i that z_i came from has it for sure, and each other row at random:

    E q_hat(z_i) = (q(z_i|i) + (M - 1) mean_{n != i} q(z_i|n)) / (N M).
    """
    mean, log_variance = posteriors(rows=5, dim=2, seed=3)
    code = torch.tensor([[0.3, -0.4]])
    density = Independent(Normal(mean, (log_variance / 2).exp()), 1).log_prob(code).exp()
    for own in range(5):
        estimates = torch.stack(
            [
                weighted_estimate(code, mean, log_variance, rows, 5)
                for rows in batches(5, batch)
                if rows[0] == own
            ]
        )
        others = (density.sum() - density[own]) / 4
        expected = (density[own] + (batch - 1) * others) / (5 * batch)
        assert float(estimates.mean()) == pytest.approx(float(expected), rel=1e-4)
        assert batch in (1, 5) or estimates.std() > 0


def test_a_stratified_estimate_from_more_rows_than_there_are_is_refused():
    data, settings = labelled(), {"estimator": "stratified", "batch": 32}
    refused(
        lambda: fit("beta-tcvae", data, settings=settings),
        "--batch 32", "20 rows", "--estimator", kind=um.ConfigError,
    )  # fmt: skip
    refused(
        lambda: METHODS["beta-tcvae"](estimator="stratified", batch=1),
        "--batch 1", "--estimator stratified", kind=um.ConfigError,
    )  # fmt: skip
    fit("beta-tcvae", data, settings={**settings, "batch": 20}, budget="1steps")
    for batch in (1, 6):
        refused(lambda batch=batch: losses.stratified_weights(batch, 5), f"not {batch}")


@pytest.mark.parametrize("estimator", ["weighted", "stratified"])
def test_the_three_parts_add_up_to_the_divergence(estimator):
    mean, log_variance = posteriors(rows=8, dim=4, seed=5)
    codes = losses.sample(mean, log_variance, torch.randn(8, 4))
    own = (mean, log_variance)
    parts = losses.decomposed_kl(codes, own, own, 100, estimator=estimator)
    log_q = Independent(Normal(mean, (log_variance / 2).exp()), 1).log_prob(codes)
    expected = (log_q - Normal(0, 1).log_prob(codes).sum(1)).mean()
    assert float(sum(parts)) == pytest.approx(float(expected), abs=1e-4)


def test_a_process_sees_its_rows_of_the_whole_batchs_estimate():
    mean, log_variance = posteriors(rows=6, dim=2, seed=6)
    codes = losses.sample(mean, log_variance, torch.randn(6, 2))
    whole = (mean, log_variance)
    for estimator in ("weighted", "stratified"):
        full = losses.decomposed_kl(codes, whole, whole, 90, estimator=estimator)
        halves = [
            losses.decomposed_kl(
                codes[at : at + 3],
                (mean[at : at + 3], log_variance[at : at + 3]),
                whole,
                90,
                estimator=estimator,
                start=at,
            )
            for at in (0, 3)
        ]
        for one, two, both in zip(*halves, full, strict=True):
            torch.testing.assert_close((one + two) / 2, both)


def test_total_correlation_of_a_correlated_gaussian():
    """q(z) = N(0, [1 r; r 1]) has the total correlation -log(1 - r^2) / 2.

    As a mixture of many narrow posteriors whose means are drawn from it. The marginals and the
    joint are then estimated from all of them; stratified weights keep the constant right.
    """
    r, width = 0.8, 0.3
    covariance = torch.tensor([[1.0, r], [r, 1.0]])
    centres = MultivariateNormal(torch.zeros(2), covariance - width**2 * torch.eye(2))
    torch.manual_seed(0)
    mean = centres.sample((2000,))
    log_variance = torch.full_like(mean, 2 * math.log(width))
    codes = losses.sample(mean, log_variance, torch.randn_like(mean))
    own = (mean, log_variance)
    _, found, _ = losses.decomposed_kl(codes, own, own, 2000, estimator="stratified")
    assert float(found) == pytest.approx(-math.log(1 - r**2) / 2, abs=0.05)
    joint = log_mixture(codes[:500], mean, log_variance)
    exact = MultivariateNormal(torch.zeros(2), covariance).log_prob(codes[:500])
    assert float((joint - exact).mean()) == pytest.approx(0.0, abs=0.05)


def test_factor_vaes_ratio_is_the_total_correlation_of_a_gaussian():
    """The best discriminator's mean logit is the total correlation, here of a known Gaussian."""
    r = 0.8
    torch.manual_seed(0)
    joint = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, r], [r, 1.0]]))
    codes = joint.sample((200_000,))
    shuffled = torch.stack([codes[torch.randperm(len(codes)), d] for d in range(2)], dim=1)
    independent = MultivariateNormal(torch.zeros(2), torch.eye(2))
    # log N(z; 0, C) - log N(z; 0, I) is a quadratic form: fit one by the library's loss.
    weight = torch.zeros(4, requires_grad=True)

    def score(z):
        return (
            torch.stack([z[:, 0] ** 2, z[:, 1] ** 2, z[:, 0] * z[:, 1], z[:, 0] * 0 + 1], 1)
            @ weight
        )

    lbfgs = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        loss = losses.log_ratio_regression(score(codes), score(shuffled))
        loss.backward()
        return loss

    lbfgs.step(closure)
    assert float(score(codes).mean()) == pytest.approx(-math.log(1 - r**2) / 2, abs=0.02)
    true = joint.log_prob(codes[:100]) - independent.log_prob(codes[:100])
    torch.testing.assert_close(score(codes[:100]).detach(), true, atol=0.1, rtol=0.1)


# ---------------------------------------------------------------------- networks


def test_pixel_norm_and_its_gradient():
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    y = F.leaky_relu(x, 0.2)
    expected = y / (y.square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(leaky_pixel_norm(x).float(), expected.float())
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    plain = x.detach().clone().requires_grad_()
    weight = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    (leaky_pixel_norm(x) * weight).sum().backward()
    y = F.leaky_relu(plain, 0.2)
    (y / (y.square().mean(1, keepdim=True) + 1e-8).sqrt() * weight).sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (2, 3), (1, 4), (1, 1)])
def test_convolution_and_pooling_in_one_are_the_two_in_turn(shape):
    down = DownConv(3, 5)
    x = torch.randn(2, 3, *shape)
    pooled = F.avg_pool2d(down.conv(x), [min(side, 2) for side in shape])
    torch.testing.assert_close(down(x), pooled, rtol=1e-4, atol=1e-5)


def test_encoder_and_generator_are_the_published_blocks():
    encoder = PyramidEncoder((12, 8, 3), 7, (4, 6, 8))
    x = torch.randn(2, 3, 12, 8)

    def active(y):
        y = F.leaky_relu(y, 0.2)
        return y / (y.square().mean(1, keepdim=True) + 1e-8).sqrt()

    y = active(encoder.first(x))
    for down in encoder.downs:
        y = active(F.avg_pool2d(down.conv(y), 2))
    torch.testing.assert_close(encoder(x), encoder.last(y.flatten(1)), rtol=1e-4, atol=1e-5)
    generator = PyramidGenerator(5, (12, 10, 3), (8, 6, 4))
    codes = torch.randn(2, 5)
    y = active(generator.first(codes).view(2, 8, 3, 3))
    for up in generator.ups:
        y = active(up.conv(F.interpolate(y, scale_factor=2)))
    expected = torch.tanh(generator.last(y))[..., 1:11]
    made = generator(codes)
    assert made.shape == (2, 3, 12, 10) and made.abs().max() <= 1
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64, 3), (17, 30, 1), (16, 33, 4)])
def test_networks_in_patches_take_and_make_any_size(shape):
    encoder, generator = (
        make_encoder(shape, 7, (4, 6), patch=2),
        make_generator(5, shape, (6, 4), 2),
    )
    images = torch.randn(2, shape[2], *shape[:2])
    assert encoder(images).shape == (2, 7)
    assert generator(torch.randn(2, 5)).shape == images.shape
    assert encoder.first.stride == (2, 2)


def test_an_input_that_is_zeroed_changes_nothing():
    network = JointDiscriminator((16, 16, 3), [4, 5], (4, 6), 8)
    images, z, e = torch.randn(3, 3, 16, 16), torch.randn(3, 4), torch.randn(3, 5)
    assert network.inputs == 3
    everything = network(images, [z, e])
    torch.testing.assert_close(network(images, [z, e], torch.ones(3, 3)), everything)
    for place, other in enumerate(
        [(images + 1, [z, e]), (images, [z + 1, e]), (images, [z, e + 1])]
    ):
        keep = torch.ones(3, 3)
        keep[1, place] = 0
        before, after = network(images, [z, e], keep), network(*other, keep)
        assert before[1] == after[1] and (before[[0, 2]] != after[[0, 2]]).all()
    assert network(images, [z, e]).dtype == torch.float32


def test_vectors_are_seen_with_mean_zero_and_variance_one():
    scaling = Scaling((3,))
    items = np.random.default_rng(0).normal([5, 0, 2], [10, 0.1, 0], (500, 3)).astype(np.float32)
    scaling.fit(items)
    seen = scaling(torch.from_numpy(items))
    torch.testing.assert_close(seen.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen[:, :2].std(0), torch.ones(2), atol=0.01, rtol=0)
    assert torch.isfinite(seen).all()
    torch.testing.assert_close(scaling.inverse(seen), torch.from_numpy(items), rtol=1e-4, atol=1e-4)
    images = Scaling((16, 16, 3))
    images.fit(np.zeros((2, 16, 16, 3), np.uint8))
    assert images(torch.tensor([0.0, 1.0])).tolist() == [-1.0, 1.0]


# ---------------------------------------------------------------------- the methods


def ready(name, data=None, **settings):
    data = labelled() if data is None else data
    model = METHODS[name](**{**ROWS[name].settings, **settings})
    model.data_shape, model.facts = data.shape, model.check(data)
    torch.manual_seed(0)
    model.network = model.build(data.shape, model.facts)
    (stage,) = model.stages(data)
    stage.setup()
    stage.prepare()
    return model, stage


def view(data, rows=8, seed=3):
    images = torch.from_numpy(data.images[:rows]).permute(0, 3, 1, 2) / 255
    generator = torch.Generator().manual_seed(seed)
    return View(images, torch.arange(rows), generator=generator)


def expected_parts(model, x, dim=6):
    seen = x.images * 2 - 1
    noise = torch.randn(len(x), dim, generator=torch.Generator().manual_seed(3))
    mean, log_variance = losses.posterior(model.network["encoder"](seen))
    z = mean + (log_variance / 2).exp() * noise
    made = model.network["generator"](z)
    rebuilt = laplace(made, seen, model.config.scale, model.config.halvings)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return rebuilt, kl, mean, log_variance, z


@pytest.mark.parametrize("name", ["vae", "beta-vae", "dip-vae", "beta-tcvae", "annealed-vae"])
def test_the_objective_is_the_papers(name):
    data = labelled()
    model, stage = ready(name, data)
    x = view(data)
    loss = stage.step({"x": x}, Progress(3, 0.4, 0.4)).losses["model"]
    rebuilt, kl, mean, log_variance, z = expected_parts(model, x)
    penalty = {
        "vae": lambda: kl,
        "beta-vae": lambda: 4 * kl,
        "dip-vae": lambda: kl + losses.covariance_penalty(torch.cov(mean.T, correction=0), 10, 100),
        "beta-tcvae": lambda: (
            kl + 5 * losses.decomposed_kl(z, (mean, log_variance), (mean, log_variance), 20)[1]
        ),
        "annealed-vae": lambda: 1000 * (kl - 25).abs(),
    }[name]()
    torch.testing.assert_close(loss, rebuilt + penalty, rtol=1e-5, atol=1e-2)


def test_dip_vae_two_takes_the_covariance_of_samples():
    data = labelled()
    model, stage = ready("dip-vae", data, variant="ii")
    assert (model.config.off_diagonal, model.config.diagonal) == (10.0, 10.0)
    x = view(data)
    loss = stage.step({"x": x}, Progress(3, 0.4, 0.4)).losses["model"]
    rebuilt, kl, mean, log_variance, _ = expected_parts(model, x)
    covariance = torch.cov(mean.T, correction=0) + torch.diag(log_variance.exp().mean(0))
    penalty = losses.covariance_penalty(covariance, 10.0, 10.0)
    torch.testing.assert_close(loss, rebuilt + kl + penalty, rtol=1e-5, atol=1e-2)


def test_capacity_grows_to_its_value_and_stays():
    data = labelled()
    _, stage = ready("annealed-vae", data, capacity=20.0, growth=0.5)
    found = [
        stage.step({"x": view(data)}, Progress(1, fraction, fraction)).logs["capacity"]
        for fraction in (0.0, 0.25, 0.5, 1.0)
    ]
    assert found == [0.0, 10.0, 20.0, 20.0]


def gradients(losses_, model, name):
    """Parts of the network that a loss reaches."""
    for p in model.network.parameters():
        p.grad = None
    losses_[name].backward(retain_graph=True)
    return {
        part
        for part, module in model.network.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    }


def test_factor_vae_shuffles_each_dimension_for_its_discriminator():
    data = labelled()
    model, stage = ready("factor-vae", data, gamma=3.0)
    seen = []
    network = model.network["discriminator"]
    network.register_forward_hook(lambda module, given, made: seen.append((given[0], made)))
    x = view(data)
    result = stage.step({"x": x}, Progress(3, 0.4, 0.4))
    rebuilt, kl, *_, z = expected_parts(model, x)
    (_, first), (codes, in_q), (shuffled, in_p) = seen
    torch.testing.assert_close(codes, z)
    expected = rebuilt + kl + 3 * first.mean()
    torch.testing.assert_close(result.losses["model"], expected, rtol=1e-5, atol=1e-2)
    expected = -(F.logsigmoid(in_q).mean() + F.logsigmoid(-in_p).mean()) / 2
    torch.testing.assert_close(result.losses["discriminator"], expected)
    torch.testing.assert_close(shuffled.sort(0).values, codes.sort(0).values)
    moved = (shuffled != codes).any(0)
    assert moved.all() and not any(
        torch.equal(shuffled[:, 0].argsort(), shuffled[:, d].argsort()) for d in range(1, 6)
    )
    assert gradients(result.losses, model, "discriminator") == {"discriminator"}
    players = {p.name: {id(q) for g in p.groups for q in g.params} for p in stage.players()}
    own = {id(p) for p in network.parameters()}
    assert players["discriminator"] == own and not players["model"] & own


def test_the_symmetric_vae_by_its_equations():
    data = labelled()
    settings = {"zeroed": 0.0, "adversarial": 0.7, "code_weight": 0.3}
    model, stage = ready("symmetric-vae", data, **settings)
    x = view(data)
    result = stage.step({"x": x}, Progress(3, 0.4, 0.4))
    rebuilt, _, _, _, z = expected_parts(model, x)
    generator = torch.Generator().manual_seed(3)
    torch.randn(8, 6, generator=generator)
    drawn = torch.randn(8, 6, generator=generator)
    network = model.network
    made = network["generator"](drawn).clamp(-1, 1)  # as true images are
    in_q = network["discriminator"](x.images * 2 - 1, [z])
    in_p = network["discriminator"](made, [drawn])
    mean, log_variance = losses.posterior(network["encoder"](made))
    codes = -Normal(mean, (log_variance / 2).exp()).log_prob(drawn).sum(1).mean()
    model_loss = rebuilt + 0.3 * codes + 0.7 * (in_q.mean() - in_p.mean())
    torch.testing.assert_close(result.losses["model"], model_loss, rtol=1e-5, atol=1e-2)
    expected = -(F.logsigmoid(in_q).mean() + F.logsigmoid(-in_p).mean())
    torch.testing.assert_close(result.losses["discriminator"], expected)


@pytest.mark.parametrize("name", VAES)
def test_new_items_have_codes_like_those_of_the_training_data(name):
    model, data = fit(name), labelled()
    statistics = model.network["statistics"]["latent"]
    x = torch.from_numpy(data.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        mean, log_variance = losses.posterior(model.network["encoder"](x * 2 - 1))
    torch.testing.assert_close(statistics.mean, mean.mean(0), rtol=1e-3, atol=1e-4)
    whole = torch.cov(mean.T, correction=0) + torch.diag(log_variance.exp().mean(0))
    torch.testing.assert_close(statistics.root @ statistics.root.T, whole, rtol=1e-3, atol=1e-4)
    drawn = model.draw("latent", 20_000)
    np.testing.assert_allclose(drawn.mean(0), statistics.mean, atol=0.06)
    np.testing.assert_allclose(drawn.var(0), whole.diagonal(), rtol=0.05)
    made = model.decode({"latent": model.draw("latent", 3)})
    assert np.array_equal(model.sample(3), made)
    first, again, other = model.sample(3), model.sample(3), model.sample(3, seed=1)
    assert first.shape == (3, 16, 16, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    refused(lambda: METHODS[name]().sample(2), "not trained", kind=um.RunError)
    prior = model.draw("latent", 20_000, prior=True)
    assert prior.dtype == np.float32 and prior.shape == (20_000, 6)
    np.testing.assert_allclose(prior.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(prior.T), np.eye(6), atol=0.05)
    made = model.decode({"latent": model.draw("latent", 3, seed=2, prior=True)})
    assert np.array_equal(model.sample(3, seed=2, prior=True), made)


def test_a_vae_learns_to_rebuild_vectors():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2)).astype(np.float32)
    items = (hidden @ rng.normal(size=(2, 8)) * 3 + 5).astype(np.float32)
    data = um.FactorDataset(vectors=items, name="plane")
    settings = {"latent_dim": 4, "widths": (32, 32), "scale": 0.1, "batch": 50, "lr": 5e-3}
    model = um.VAE(**settings).fit(data, budget="400steps", device="cpu", threads=1, quiet=True)
    error = np.abs(model.reconstruct(items) - items).mean()
    assert error < 0.3 * np.abs(items - items.mean(0)).mean()


@pytest.mark.parametrize(
    ("name", "setting", "values"),
    [
        ("vae", "latent_dim", [0, 2.5, "6"]),
        ("vae", "scale", [0.0, -1.0, math.nan]),
        ("vae", "batch", [0]),
        ("vae", "widths", [(8,), (8, 0), ()]),
        ("vae", "lr", [0.0]),
        ("vae", "final_lr", [0.0]),
        ("vae", "preset", ["huge"]),
        ("beta-vae", "beta", [-1.0, math.nan]),
        ("dip-vae", "variant", ["iii", 1]),
        ("dip-vae", "off_diagonal", [-1.0]),
        ("dip-vae", "diagonal", [-1.0]),
        ("beta-tcvae", "beta", [-0.5]),
        ("beta-tcvae", "estimator", ["exact"]),
        ("annealed-vae", "gamma", [-1.0]),
        ("annealed-vae", "capacity", [-1.0]),
        ("annealed-vae", "growth", [0.0, 1.5]),
        ("factor-vae", "gamma", [-1.0]),
        ("factor-vae", "discriminator_width", [0]),
        ("factor-vae", "discriminator_lr", [0.0]),
        ("symmetric-vae", "adversarial", [-1.0]),
        ("symmetric-vae", "code_weight", [-1.0]),
        ("symmetric-vae", "zeroed", [1.0, -0.1]),
        ("symmetric-vae", "discriminator_hidden", [0]),
        ("symmetric-vae", "discriminator_lr", [0.0]),
        ("symmetric-vae", "discriminator_widths", [(4,), (8, 0)]),
    ],
)
def test_bad_values_name_the_flag(name, setting, values):
    for value in values:
        refused(
            lambda value=value: METHODS[name](**{setting: value}),
            "--" + setting.replace("_", "-"),
            kind=um.ConfigError,
        )


@pytest.mark.parametrize("name", VAES)
def test_presets_are_complete_and_the_papers_rates_are_published(name):
    paper, laptop = METHODS[name](preset="paper").config, METHODS[name]().config
    for config in (paper, laptop):
        assert None not in vars(config).values()
    assert (paper.lr, paper.batch, paper.scale, paper.latent_dim) == (1e-4, 36, 0.01, 32)
    assert paper.final_lr == 1.0 and laptop.widths < paper.widths
    model = METHODS[name](paper)
    model.network = model.build((64, 64, 3), {"rows": 5})
    groups = [g for p in model.stages(labelled())[0].players() for g in p.groups]
    assert {g.betas for g in groups} == {(0.5, 0.99)} and {g.eps for g in groups} == {1e-8}


def test_the_code_discriminator_has_six_layers():
    network = CodeDiscriminator(4, 10)
    assert len(list(network.parameters())) == 12
    assert network(torch.randn(3, 4)).shape == (3,)
