"""Rb-VAE and sRb-VAE: equations, signs, who gets whose gradient, the reference set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import ROWS, fit, labelled, refused
from test_vae import laplace
from torch.distributions import Normal

import unmingle as um
from unmingle.cli import main
from unmingle.losses import variational as losses
from unmingle.methods import METHODS
from unmingle.methods.reference_vae import reference_rows
from unmingle.plots import save_png
from unmingle.training.players import Trainee, optimise
from unmingle.training.stage import Context, Progress, View

BOTH = ("reference-vae", "symmetric-reference-vae")


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


def batch(data, seed=3):
    """Four rows of the pool, four of the reference set, one source of noise."""
    generator = torch.Generator().manual_seed(seed)
    kinds = data.factor("kind")
    views = {}
    for role, rows in (
        ("pool", np.flatnonzero(kinds != 1)[:4]),
        ("reference", np.flatnonzero(kinds == 1)[:4]),
    ):
        images = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2) / 255
        views[role] = View(images, torch.from_numpy(rows), generator=generator)
    return views


def q(network, part, seen):
    mean, log_variance = losses.posterior(network[part](seen))
    return Normal(mean, (log_variance / 2).exp())


def nll(made, seen):
    return laplace(made, seen, scale=0.1, halvings=3)


def kl(posterior):
    prior = Normal(torch.zeros_like(posterior.mean), torch.ones_like(posterior.mean))
    return torch.distributions.kl_divergence(posterior, prior).sum(1).mean()


# ---------------------------------------------------------------------- signs, Eq. 7-9


def test_the_regression_of_equation_9_finds_the_ratio_of_equation_7():
    """q = N(1, 1) and p = N(-0.5, 1): log q/p = 1.5 x - 0.375, and it is positive where q is."""
    generator = torch.Generator().manual_seed(0)
    in_q = 1 + torch.randn(400_000, generator=generator)
    in_p = -0.5 + torch.randn(400_000, generator=generator)
    line = torch.zeros(2, requires_grad=True)
    lbfgs = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        loss = losses.log_ratio_regression(line[0] * in_q + line[1], line[0] * in_p + line[1])
        loss.backward()
        return loss

    lbfgs.step(closure)
    torch.testing.assert_close(line.detach(), torch.tensor([1.5, -0.375]), atol=0.02, rtol=0)


def test_equation_8_is_the_symmetric_divergence_of_gaussians():
    generator = torch.Generator().manual_seed(0)
    first, second = Normal(1.0, 1.0), Normal(-0.5, 2.0)
    in_q = 1 + torch.randn(1_000_000, generator=generator)
    in_p = -0.5 + 2 * torch.randn(1_000_000, generator=generator)

    def d(x):
        return first.log_prob(x) - second.log_prob(x)

    kl_divergence = torch.distributions.kl_divergence
    expected = kl_divergence(first, second) + kl_divergence(second, first)
    found = losses.symmetric_divergence(d(in_q), d(in_p))
    assert float(found) == pytest.approx(float(expected), rel=0.01)


def test_descending_equation_8_brings_the_distributions_together():
    generator = torch.Generator().manual_seed(0)
    mean_q, mean_p = torch.tensor(1.0).requires_grad_(), torch.tensor(-0.5).requires_grad_()

    def d(x):  # the ratio as it is now, which a discriminator holds fixed
        return 1.5 * x - 0.375

    noise = torch.randn(2, 100_000, generator=generator)
    losses.symmetric_divergence(d(mean_q + noise[0]), d(mean_p + noise[1])).backward()
    assert float(mean_q.grad) == pytest.approx(1.5)  # down: towards p
    assert float(mean_p.grad) == pytest.approx(-1.5)  # up: towards q


def test_trained_discriminators_are_positive_on_real_items():
    data = labelled()
    _, stage = ready("symmetric-reference-vae", data, discriminator_lr=1e-2, zeroed=0.0)
    trainees = [Trainee(player) for player in stage.players() if player.name == "discriminators"]
    views = batch(data)
    for step in range(60):
        found = stage.step(views, Progress(200 + step, 0.5, 0.5))
        optimise(trainees, {"discriminators": found.losses["discriminators"]}, Progress(200, 0, 0))
    assert found.logs["divergence"] > 1.0  # E_q d - E_p d


# ---------------------------------------------------------------------- the objectives


def test_rb_vae_minimises_equation_3():
    data = labelled()
    model, stage = ready("reference-vae", data)
    views, network = batch(data), model.network
    loss = stage.step(views, Progress(3, 0.5, 0.5)).losses["model"]

    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(4, dim, generator=generator) for dim in (5, 5, 6)]
    x, x_r = (views[role].images * 2 - 1 for role in ("pool", "reference"))
    z, z_r, e = (
        q(network, f"{part}_encoder", seen)
        for part, seen in (("common", x), ("common", x_r), ("target", x))
    )
    drawn = [p.mean + p.stddev * n for p, n in zip((z, z_r, e), noise, strict=True)]
    e_r = network["reference"].value.expand(4, -1)
    made = network["generator"](torch.cat([drawn[0], drawn[2]], 1))
    made_r = network["generator"](torch.cat([drawn[1], e_r], 1))
    expected = kl(z) + kl(e) + nll(made, x) + kl(z_r) + nll(made_r, x_r)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-2)


def test_discriminators_see_generated_images_as_they_are_shown():
    model, _ = ready("symmetric-reference-vae")
    made = torch.tensor([[[[-1.2, 0.3, 1.1]]]], requires_grad=True)
    seen = model.as_seen(made)
    assert torch.equal(seen, torch.tensor([[[[-1.0, 0.3, 1.0]]]]))
    seen.sum().backward()
    assert torch.equal(made.grad, torch.ones(1, 1, 1, 3))
    model.data_shape = (3,)
    assert model.as_seen(made) is made  # vectors have no end


def test_srb_vae_minimises_equations_8_and_10():
    data = labelled()
    settings = {"zeroed": 0.0, "adversarial": 0.7, "code_weight": 0.3}
    model, stage = ready("symmetric-reference-vae", data, **settings)
    views, network = batch(data), model.network
    result = stage.step(views, Progress(3, 0.5, 0.5))

    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(4, dim, generator=generator) for dim in (5, 5, 6, 5, 5, 6)]
    x, x_r = (views[role].images * 2 - 1 for role in ("pool", "reference"))
    inferred = (
        q(network, "common_encoder", x),
        q(network, "common_encoder", x_r),
        q(network, "target_encoder", x),
    )
    z, z_r, e = (p.mean + p.stddev * n for p, n in zip(inferred, noise[3:], strict=True))
    drawn_z, drawn_z_r, drawn_e = noise[:3]
    e_r = network["reference"].value.expand(4, -1)
    g = network["generator"]
    made = g(torch.cat([drawn_z, drawn_e], 1)).clamp(-1, 1)  # as true images are
    made_r = g(torch.cat([drawn_z_r, e_r], 1)).clamp(-1, 1)
    xi, gamma = network["pool_discriminator"], network["reference_discriminator"]
    pool_q, pool_p = xi(x, [z, e]), xi(made, [drawn_z, drawn_e])
    ref_q, ref_p = gamma(x_r, [z_r]), gamma(made_r, [drawn_z_r])
    divergence = pool_q.mean() - pool_p.mean() + ref_q.mean() - ref_p.mean()
    rebuilt = nll(g(torch.cat([z, e], 1)), x) + nll(g(torch.cat([z_r, e_r], 1)), x_r)
    codes = -(
        q(network, "common_encoder", made).log_prob(drawn_z).sum(1).mean()
        + q(network, "target_encoder", made).log_prob(drawn_e).sum(1).mean()
        + q(network, "common_encoder", made_r).log_prob(drawn_z_r).sum(1).mean()
    )
    expected = rebuilt + 0.3 * codes + 0.7 * divergence
    torch.testing.assert_close(result.losses["model"], expected, rtol=1e-5, atol=1e-2)
    ratios = -sum(
        (F.logsigmoid(a).mean() + F.logsigmoid(-b).mean())
        for a, b in ((pool_q, pool_p), (ref_q, ref_p))
    )
    torch.testing.assert_close(result.losses["discriminators"], ratios)


def test_each_players_loss_reaches_its_own_networks_only():
    data = labelled()
    model, stage = ready("symmetric-reference-vae", data)
    players = {player.name: Trainee(player) for player in stage.players()}
    discriminators = {"pool_discriminator", "reference_discriminator"}
    moved = {}
    for name, trainee in players.items():
        for p in model.network.parameters():
            p.grad = None
        trainee.backward(stage.step(batch(data), Progress(3, 0.5, 0.5)).losses[name], False)
        moved[name] = {
            part for part, module in model.network.items()
            if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
        }  # fmt: skip
    assert moved["discriminators"] == discriminators
    assert moved["model"] == set(model.network) - discriminators - {"scaling", "statistics"}


def test_only_reference_items_teach_the_reference_code():
    data = labelled()
    model, stage = ready("reference-vae", data)
    code, views = model.network["reference"].value, batch(data)
    found = stage.infer(views)
    made = stage.generate(found.common.code, found.target.code)
    made[:4].sum().backward(retain_graph=True)
    assert code.grad is None or not code.grad.abs().sum()
    made[4:].sum().backward()
    assert code.grad.abs().sum() > 0


def test_inputs_of_the_discriminators_are_zeroed_with_their_chance_alike_on_both_sides():
    from unmingle.methods.symmetric_vae import log_ratios

    seen = {}

    class Discriminator(torch.nn.Module):
        inputs = 3

        def forward(self, items, codes, keep):
            seen.update(keep=keep, codes=codes)
            return items.flatten(1).sum(1) + codes[0].sum(1)

    rows = 20_000
    view = View(torch.zeros(rows, 1, 1, 1), generator=torch.Generator().manual_seed(0))
    ones = torch.ones(rows, 2)
    in_q = (torch.zeros(rows, 1), [ones, 2 * ones])
    in_p = (torch.full((rows, 1), 10.0), [3 * ones, 4 * ones])
    q, p = log_ratios(Discriminator(), view, 0.25, in_q, in_p)
    assert q.unique().tolist() == [2] and p.unique().tolist() == [16] and len(q) == len(p) == rows
    assert [code[[0, -1], 0].tolist() for code in seen["codes"]] == [[1, 3], [2, 4]]
    keep, again = seen["keep"].chunk(2)
    assert torch.equal(keep, again)
    assert set(keep.unique().tolist()) == {0.0, 1.0} and keep.shape == (rows, 3)
    torch.testing.assert_close(keep.mean(0), torch.full((3,), 0.75), atol=0.02, rtol=0)
    assert np.corrcoef(keep.T).round(1).tolist() == np.eye(3).tolist()


# ---------------------------------------------------------------------- the reference set


def sampled(data, **settings):
    _, stage = ready("reference-vae", data, **settings)
    sampler = stage.sampler(Context(data, 0, 1))
    drawn = [sampler.next() for _ in range(20)]
    return {role: np.unique(np.concatenate([d[role] for d in drawn])) for role in drawn[0]}


def test_pool_and_reference_set_are_the_rows_asked_for():
    data = labelled()
    kinds = data.factor("kind")
    rows = sampled(data)
    assert rows["reference"].tolist() == np.flatnonzero(kinds == 1).tolist()
    assert rows["pool"].tolist() == np.flatnonzero(kinds != 1).tolist()
    rows = sampled(data, pool="all", reference="kind=0,3")
    assert rows["reference"].tolist() == np.flatnonzero(np.isin(kinds, [0, 3])).tolist()
    assert rows["pool"].tolist() == list(range(len(data)))


def test_reference_values_are_names_before_numbers():
    data = labelled()
    named = um.FactorDataset(
        images=data.images,
        factors={"mood": data.factors["kind"]},
        value_names={"mood": ["sad", "0", "neutral", "a,b"]},
    )
    kinds = data.factor("kind")
    for text, codes in (("neutral", [2]), ("0", [1]), ("2", [2]), ("a,b", [3]), ("sad,3", [0, 3])):
        assert (reference_rows(named, f"mood={text}") == np.isin(kinds, codes)).all()


@pytest.mark.parametrize("name", BOTH)
def test_a_reference_set_that_cannot_be_is_refused(name):
    data = labelled()
    for text, words in (
        ("kimd=1", ("'kimd'", "'kind'")),
        ("kind=7", ("'7'", "kind")),
        ("kind=0,1,2,3", ("all 20 rows", "pool")),
    ):
        refused(lambda t=text: fit(name, settings={"reference": t}), *words, kind=um.DataError)
    for text in ("kind", "=1", "kind="):
        refused(lambda t=text: METHODS[name](reference=t), "--reference", kind=um.ConfigError)
    only = data.select(data.factor("kind") != 1)
    refused(lambda: fit(name, only), "kind=1", "no row", kind=um.DataError)


@pytest.mark.parametrize("name", BOTH)
def test_what_the_target_code_knows_is_the_reference_factor(name):
    spaces = METHODS[name](reference="mood=neutral", target_dim=3, common_dim=4).code_spaces
    assert [(s.name, s.dim, s.factor) for s in spaces.values()] == [
        ("target", 3, "mood"), ("common", 4, None)
    ]  # fmt: skip


# ---------------------------------------------------------------------- uses


@pytest.mark.parametrize("name", BOTH)
def test_target_codes_are_drawn_as_those_of_the_pool(name):
    model, data = fit(name), labelled()
    x = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    reference = data.factor("kind") == 1
    for space, rows in (("target", ~reference), ("common", np.ones(len(data), bool))):
        with torch.no_grad():
            posterior = q(model.network, f"{space}_encoder", x[torch.from_numpy(rows)])
        drawn = model.draw(space, 20_000)
        np.testing.assert_allclose(drawn.mean(0), posterior.mean.mean(0), atol=0.06)
        variance = posterior.mean.var(0, unbiased=False) + posterior.variance.mean(0)
        np.testing.assert_allclose(drawn.var(0), variance, rtol=0.05)


@pytest.mark.parametrize("name", BOTH)
def test_conditional_synthesis_keeps_the_common_code(name):
    model, data = fit(name), labelled()
    made = model.synthesise(data.images[:3], 4)
    assert made.shape == (3, 4, 16, 16, 3) and made.dtype == np.uint8
    drawn = model.draw("target", 4)
    common = model.encode(data.images[:3])["common"]
    single = model.decode({"common": common[1:2], "target": drawn})
    assert np.abs(made[1].astype(int) - single).max() <= 1
    assert np.array_equal(made, model.synthesise(data.images[:3], 4))
    assert not np.array_equal(made, model.synthesise(data.images[:3], 4, seed=1))
    whole = model.sample(4, items={"common": data.images[:1]}, seed=0)
    assert np.array_equal(made[0], whole)
    prior = model.synthesise(data.images[:1], 4, prior=True)[0]
    codes = np.random.default_rng([0, 0]).standard_normal((4, 6))  # N(0, I), the paper's
    single = model.decode({"common": common[:1], "target": codes})
    assert np.abs(prior.astype(int) - single).max() <= 1 and not np.array_equal(prior, made[0])
    refused(lambda: model.sample(2, labels={"target": "0"}), "target has no labels")
    neutral = model.to_reference(data.images[:3])
    expected = model.decode({"common": common, "target": model.reference_code})
    assert np.array_equal(neutral, expected) and model.reference_code.shape == (1, 6)
    refused(lambda: METHODS[name]().to_reference(data.images), "not trained", kind=um.RunError)


def test_samples_on_the_command_line(tmp_path, capsys):
    data, run = labelled(), tmp_path / "run"
    fit("reference-vae", out=run)
    picture, out = tmp_path / "x.png", tmp_path / "drawn.png"
    save_png(picture, data.images[0])
    taken = ["--take", f"common={picture}", "--count", "3"]
    assert main(["sample", str(run), *taken, "-o", str(tmp_path / "drawn.npz")]) == 0
    model = um.load(run)
    expected = model.sample(3, items={"common": data.images[:1]})
    with np.load(tmp_path / "drawn.npz") as saved:
        assert np.array_equal(saved["images"], expected)
    assert main(["sample", str(run), "-o", str(out)]) == 0 and out.exists()
    assert main(["sample", str(run), *taken, "--prior", "-o", str(tmp_path / "prior.npz")]) == 0
    with np.load(tmp_path / "prior.npz") as saved:
        prior = model.sample(3, items={"common": data.images[:1]}, prior=True)
        assert np.array_equal(saved["images"], prior) and not np.array_equal(prior, expected)
    assert main(["sample", str(run), "--label", "target=0", "-o", str(out), "--overwrite"]) == 2
    assert "target has no labels" in capsys.readouterr().err


def test_the_paper_preset_has_the_published_values():
    for name in BOTH:
        config = METHODS[name](preset="paper").config
        assert None not in vars(config).values()
        assert (config.target_dim, config.common_dim, config.scale) == (32, 32, 0.01)
        assert (config.lr, config.batch, config.final_lr) == (1e-4, 36, 1.0)
        laptop = METHODS[name]().config
        assert None not in vars(laptop).values() and laptop.widths < config.widths
    assert (config.zeroed, config.discriminator_lr) == (0.25, 1e-4)
    assert (config.adversarial, config.code_weight) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("target_dim", [0, "3"]),
        ("common_dim", [0]),
        ("pool", ["some"]),
        ("scale", [0.0, math.nan]),
        ("batch", [0]),
        ("widths", [(8,)]),
        ("adversarial", [-1.0]),
        ("code_weight", [-1.0]),
        ("zeroed", [1.0]),
        ("discriminator_widths", [(8,), (8, 0)]),
        ("discriminator_hidden", [0]),
        ("discriminator_lr", [0.0]),
    ],
)
def test_bad_values_name_the_flag(setting, values):
    for value in values:
        refused(
            lambda value=value: um.SymmetricReferenceVAE(**{setting: value}),
            "--" + setting.replace("_", "-"),
            kind=um.ConfigError,
        )
