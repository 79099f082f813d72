"""DisUnknown: its losses, its networks, who gets whose gradient, the switches, its use."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import ROWS, fit, labelled, refused, state_of
from torch.distributions import Normal, kl_divergence

import unmingle as um
from unmingle.cli import main
from unmingle.methods.disunknown import DisUnknownConfig
from unmingle.nn.posterior import own_noise
from unmingle.training.images import ImageSource
from unmingle.training.players import Trainee
from unmingle.training.stage import Context, Progress, View

TINY = ROWS["disunknown"].settings
Q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(data=None, **settings):
    """A model with its networks, not trained, and its stages, ready for a step."""
    data = labelled() if data is None else data
    model = um.DisUnknown(**{**TINY, **settings})
    model.data_shape, model.facts = data.shape, model.check(data)
    torch.manual_seed(0)
    model.network = model.build(data.shape, model.facts)
    stages = {stage.name: stage for stage in model.stages(data)}
    for stage in stages.values():
        stage.setup()
        stage.prepare()
    return model, stages


def view(data, rows=range(8), divisor=1, seed=3):
    rows = torch.as_tensor(list(rows))
    images = ImageSource(data.items).batch(rows, divisor)
    return View(images, rows, generator=torch.Generator().manual_seed(seed))


def step(stage, x, fraction=0.5, divisor=1):
    return stage.step({"x": x}, Progress(3, fraction, fraction, divisor))


def gradient(loss, module):
    """Norm of the loss's gradient in a network; 0 where there is none."""
    grads = torch.autograd.grad(
        loss, list(module.parameters()), retain_graph=True, allow_unused=True
    )
    return sum(float(g.square().sum()) for g in grads if g is not None)


# ---------------------------------------------------------------------- settings


def test_the_paper_preset_has_the_published_values():
    config = DisUnknownConfig(preset="paper")
    published = {
        "classifier": "compound", "adversary": "nlu", "adversarial_to": ("encoder", "dense"),
        "adversarial_weight": 0.5, "unknown_kl": 1e-3, "batch_kl": 0.1, "label_kl": 1e-3,
        "reconstruction_weight": 1.0, "discriminator_weight": 1.0, "recogniser_weight": 1.0,
        "code_weight": 0.1, "keep_unknown": "pair", "recogniser": "adversarial",
        "reconstruction_branch": True, "shares": (200.0, 20.0, 80.0, 40.0), "batch": None,
        "lr": 1e-4, "embedding_lr": 1e-3, "generator_lr": 5e-5, "final_lr": 1.0,
        "features": 512, "code_layers": 4, "code_width": 512, "fixed_std": None,
        "label_starts": ("zero",),
    }  # fmt: skip
    assert {name: getattr(config, name) for name in published} == published
    assert None not in [v for k, v in vars(DisUnknownConfig()).items() if k != "fixed_std"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labelled": ("a", "a")}, ["--labelled"]),
        ({"labelled": ("unknown",)}, ["--labelled", "unknown"]),
        ({"labelled": "a"}, ["--labelled"]),
        ({"labelled": (), "unknown_dim": 0}, ["--unknown-dim"]),
        ({"label_dims": (2, 3)}, ["--label-dims"]),
        ({"label_dims": (0,)}, ["--label-dims"]),
        ({"label_dims": (1,), "label_starts": ("circle",)}, ["circle", "--label-dims"]),
        ({"label_starts": ("spiral",)}, ["--label-starts"]),
        ({"unknown_keep": 0.0}, ["--unknown-keep"]),
        ({"label_keep": (1.5,)}, ["--label-keep"]),
        ({"classifier": "pixels"}, ["--classifier", "compound"]),
        ({"adversary": "gan"}, ["--adversary", "nlu"]),
        ({"adversarial_to": ("dense",)}, ["--adversarial-to", "encoder"]),
        ({"adversarial_ramp": 2.0}, ["--adversarial-ramp"]),
        ({"shares": (0.0, 0.0, 0.0, 1.0)}, ["--shares", "the third"]),
        ({"shares": (1.0, 1.0, 1.0, 0.0)}, ["--shares", "encoders"]),
        ({"shares": (1.0, 0.0, 1.0, 1.0)}, ["--shares", "classifier"]),
        ({"shares": (1.0, 1.0)}, ["--shares"]),
        ({"widths": ()}, ["--widths"]),
        ({"batch": 0}, ["--batch"]),
        ({"lr": math.nan}, ["--lr"]),
        ({"fixed_std": 0.0}, ["--fixed-std"]),
        ({"half_size": 1.0}, ["--half-size"]),
        ({"unknown_kl": -1.0}, ["--unknown-kl"]),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    refused(lambda: DisUnknownConfig(**settings), *words, kind=um.ConfigError)


STAGE_2 = {
    "keep_unknown": "code",
    "recogniser": "frozen",
    "reconstruction_branch": False,
    "discriminator_weight": 0.5,
    "recogniser_weight": 0.5,
    "code_weight": 0.5,
    "generator_lr": 1e-4,
    "shift": 0.1,
}


@pytest.mark.parametrize("name", STAGE_2)
def test_settings_of_stage_2_are_refused_without_it(name):
    flag = name.replace("_", "-")
    if name == "reconstruction_branch":
        flag = f"no-{flag}"
    told = {name: STAGE_2[name]}
    words = (f"--{flag} ", "--shares 60 5 25 10")
    refused(lambda: DisUnknownConfig(**told), *words, kind=um.ConfigError)
    without = (1.0, 0.0, 0.0, 1.0)
    refused(lambda: DisUnknownConfig(preset="paper", shares=without, **told), *words)
    with_it = DisUnknownConfig(shares=(60.0, 5.0, 25.0, 10.0), **told)
    assert getattr(with_it, name) == told[name]
    assert getattr(DisUnknownConfig(preset="paper", **told), name) == told[name]
    # What is told and is so anyway does no harm.
    usual = {name: getattr(DisUnknownConfig(), name)}
    assert DisUnknownConfig(**usual) == DisUnknownConfig()


@pytest.mark.parametrize(
    ("shape", "batch"),
    [((28, 28, 1), 64), ((32, 20, 3), 64), ((64, 64, 3), 32), ((64, 96, 3), 21), ((30,), 64)],
)
def test_the_papers_batch_follows_the_size_of_the_images(shape, batch):
    assert um.DisUnknown(preset="paper").batch_of(shape) == batch
    assert um.DisUnknown(preset="paper", batch=5).batch_of(shape) == 5
    assert um.DisUnknown().batch_of(shape) == 32


def test_batches_are_of_that_size():
    data = labelled((16, 40, 1))
    for settings, size in (({"preset": "paper", "batch": None}, 51), ({"batch": 6}, 6)):
        _, stages = build(data, **settings)
        sampler = stages["distil"].sampler(Context(data, seed=0, shards=1))
        assert len(sampler.next()["x"]) == size


def test_stage_2_alone_needs_a_run_to_start_from():
    refused(
        lambda: fit("disunknown", settings={"shares": (0.0, 1.0, 1.0, 1.0)}),
        "--shares begins with 0", "--start-from",
        kind=um.ConfigError,
    )  # fmt: skip


def test_data_it_cannot_learn_from_is_refused():
    data = um.FactorDataset(
        images=labelled().images,
        factors={"kind": [0] * 20, "pose": list(range(20))},
        continuous={"angle": np.arange(20.0)},
    )
    for column, words in (
        ("kind", ["kind", "pose"]),
        ("pos", ["'pos'", "'pose'"]),
        ("angle", ["angle", "--buckets angle=24"]),
    ):
        refused(lambda c=column: um.DisUnknown(labelled=(c,)).check(data), *words)


# ---------------------------------------------------------------------- stage I


def game(settings, data=None):
    """The model after a forward pass of stage I's game, what E and what C minimises."""
    data = labelled() if data is None else data
    model, stages = build(data, **settings)
    stage, x = stages["distil"], view(data)
    items, labels = stage.of_batch(x)
    unknown, _, _ = stage._unknown(x, items, 1)
    return model.network, *stage._game(x, unknown, labels, 1)


@pytest.mark.parametrize("parts", [(), ("dense",), ("convolutions",), ("embeddings", "dense")])
def test_the_adversarial_gradient_goes_where_it_is_sent(parts):
    network, adversary, _ = game({"adversarial_to": ("encoder", *parts), "classifier": "image"})
    generator = network["generator"]
    with torch.no_grad():  # embeddings that are all alike have no gradient in their means
        assert gradient(adversary, network["encoder"]) > 0
    assert (gradient(adversary, generator.dense) > 0) == ("dense" in parts)
    assert (gradient(adversary, generator.convs) > 0) == ("convolutions" in parts)
    assert (gradient(adversary, network["embeddings"]) > 0) == ("embeddings" in parts)


@pytest.mark.parametrize("kind", ["image", "code", "compound"])
def test_the_classifier_sees_what_it_is_shown(kind):
    network, adversary, likelihood = game({"classifier": kind})
    assert set(network["classifier"]) == ({"image", "code"} if kind == "compound" else {kind})
    for part in network["classifier"].values():
        assert gradient(likelihood, part) > 0
    assert gradient(adversary, network["encoder"]) > 0
    assert (gradient(adversary, network["generator"].dense) > 0) == (kind != "code")


def test_each_player_of_stage_1_gets_its_own_gradient_only():
    data = labelled()
    model, stages = build(data)
    stage, network = stages["distil"], model.network
    losses = step(stage, view(data)).losses
    players = {player.name: Trainee(player) for player in stage.players()}
    assert set(players) == set(losses) == {"model", "classifier"}
    players["classifier"].backward(losses["classifier"], retain_graph=True)
    for name, part in network.items():
        moved = any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
        assert moved == (name == "classifier"), name
    network.zero_grad()
    players["model"].backward(losses["model"], retain_graph=False)
    for name, part in network.items():
        moved = any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
        assert moved == (name in ("encoder", "generator", "embeddings")), name


def test_the_classifier_is_asked_for_the_true_labels_of_images_with_those_of_others(monkeypatch):
    data = labelled()
    _, stages = build(data, labelled=("kind", "pose"), unknown_keep=1.0)
    stage, x = stages["distil"], view(data)
    asked = []
    plain = type(stage).embedded
    monkeypatch.setattr(
        type(stage), "embedded", lambda self, y: asked.append(y.clone()) or plain(self, y)
    )
    step(stage, x)
    own, foreign = asked
    assert torch.equal(own, torch.stack([torch.arange(8) % 4, torch.arange(8) // 4], 1))
    for i in range(2):  # each factor is another sample's, and not of the same other sample
        assert torch.equal(foreign[:, i].sort().values, own[:, i].sort().values)
    assert not torch.equal(foreign, own)


def test_terms_of_stage_1_are_weighted_as_told():
    data = labelled()

    def loss(**settings):
        _, stages = build(data, **settings)
        result = step(stages["distil"], view(data))
        return result.losses["model"].item(), {k: float(v) for k, v in result.logs.items()}

    _, logs = loss()
    keys = {
        "unknown_kl": "unknown_kl", "batch_kl": "batch_kl", "label_kl": "label_kl",
        "adversarial_weight": "adversary", "reconstruction_weight": "reconstruction",
    }  # fmt: skip
    for setting, log in keys.items():
        one, two = (loss(**{setting: weight})[0] for weight in (1.0, 3.0))
        assert two - one == pytest.approx(2 * logs[log], rel=2e-3, abs=1e-5), setting


def test_the_adversary_can_grow():
    data = labelled()
    for fraction, share in ((0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)):
        _, stages = build(data, adversarial_ramp=0.2)
        grown = step(stages["distil"], view(data), fraction)
        _, stages = build(data, adversarial_weight=0.0)
        without = step(stages["distil"], view(data), fraction)
        wanted = 0.5 * share * float(grown.logs["adversary"])
        difference = grown.losses["model"] - without.losses["model"]
        assert difference.item() == pytest.approx(wanted, abs=1e-4)


def test_a_fixed_std_replaces_the_predicted_one():
    data = labelled()
    model, stages = build(data, fixed_std=0.1, unknown_keep=1.0)
    result = step(stages["distil"], view(data))
    assert gradient(result.losses["model"], model.network["generator"].spread) == 0
    assert float(result.logs["reconstruction"]) > 1  # errors of about 1 at 0.1


def test_stage_1_at_half_size():
    data = labelled((32, 32, 3))
    _, stages = build(data, half_size=0.6)
    assert stages["distil"].resolutions() == [(0.6, 2), (0.4, 1)]
    assert torch.isfinite(step(stages["distil"], view(data, divisor=2), divisor=2).losses["model"])
    assert build(labelled(), half_size=0.6)[1]["distil"].resolutions() == [(1.0, 1)]


# ---------------------------------------------------------------------- classifier and stage II


def test_the_classifier_stage_leaves_the_output_for_made_images_alone():
    data = labelled()
    model, stages = build(data, shift=0.0)
    loss = step(stages["classifier"], view(data)).losses["recogniser"]
    bias = model.network["recogniser"].last.bias
    (grad,) = torch.autograd.grad(loss, bias)
    assert grad[:4].abs().max() > 0 and grad[4] == 0
    items = model.normalised(view(data).images)
    (logits,) = model.network["recogniser"](items)
    wanted = F.cross_entropy(logits[:, :4], torch.arange(8) % 4)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_each_player_of_stage_2_gets_its_own_gradient_only():
    data = labelled()
    model, stages = build(data)
    stage, network = stages["generator"], model.network
    losses = step(stage, view(data)).losses
    players = {player.name: Trainee(player) for player in stage.players()}
    own = {
        "generator": {"generator", "embeddings"},
        "discriminator": {"discriminator"},
        "recogniser": {"recogniser"},
    }
    assert set(players) == set(losses) == set(own)
    for player, parts in own.items():
        network.zero_grad()
        players[player].backward(losses[player], retain_graph=True)
        for name, part in network.items():
            moved = any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
            assert moved == (name in parts), (player, name)


def test_stage_2_starts_from_stage_1_and_keeps_it():
    model = fit("disunknown")
    first = fit("disunknown", settings={"shares": (1.0, 0.0, 0.0, 1.0)}, budget="4steps")
    state, plain = state_of(model), state_of(first)
    for key, value in plain.items():
        if key.startswith("generator.") or key.startswith("embeddings."):
            assert torch.equal(state[f"kept_{key}"], value), key
            assert (
                key.endswith("frequencies")
                or not torch.equal(state[key], value)
                or ("convs" not in key)
            ), key
        if key.startswith("encoder."):  # frozen after stage I
            assert torch.equal(state[key], value), key


def test_stage_2_alone_starts_from_the_run_that_did_stage_1(tmp_path):
    first = fit("disunknown", settings={"shares": (1.0, 0.0, 0.0, 1.0)}, out=tmp_path / "first")
    model = fit("disunknown", settings={"shares": (0.0, 1.0, 1.0, 1.0)},
                start_from=tmp_path / "first")  # fmt: skip
    assert [stage.name for stage in model.report.stages] == ["classifier", "generator", "encoders"]
    state, plain = state_of(model), state_of(first)
    for key, value in plain.items():
        if key.startswith(("generator.", "embeddings.")):
            assert torch.equal(state[f"kept_{key}"], value), key
        if key.startswith("encoder."):
            assert torch.equal(state[key], value), key


@pytest.mark.parametrize("keep", ["pair", "code", "none"])
def test_what_keeps_the_unknown(keep):
    data = labelled()
    model, stages = build(data, keep_unknown=keep)
    result = step(stages["generator"], view(data))
    assert ("kept_generator" in model.network) == (keep == "pair")
    assert ("code_distance" in result.logs) == (keep == "code")
    if keep == "code":
        _, others = build(data, keep_unknown="code", code_weight=1.1)
        more = step(others["generator"], view(data)).losses["generator"]
        difference = (more - result.losses["generator"]).item()
        assert difference == pytest.approx(float(result.logs["code_distance"]), rel=1e-3)


def test_the_discriminator_sees_the_kept_images_beside():
    data = labelled()
    model, stages = build(data)
    before = step(stages["generator"], view(data)).losses["discriminator"].item()
    with torch.no_grad():
        for p in model.network["kept_generator"].parameters():
            p.add_(0.5)
    assert step(stages["generator"], view(data)).losses["discriminator"].item() != before


def test_a_frozen_recogniser_is_no_player():
    data = labelled()
    model, stages = build(data, recogniser="frozen")
    assert [p.name for p in stages["generator"].players()] == ["generator", "discriminator"]
    assert set(step(stages["generator"], view(data)).losses) == {"generator", "discriminator"}
    loss = step(stages["generator"], view(data)).losses["generator"]
    assert gradient(loss, model.network["generator"]) > 0


def test_without_reconstruction_branch_only_swaps_are_made():
    data = labelled()
    model, stages = build(data, reconstruction_branch=False)
    result = step(stages["generator"], view(data))
    assert "reconstruction" not in result.logs
    assert gradient(result.losses["generator"], model.network["generator"].spread) == 0


def test_losses_of_stage_2_by_hand():
    """With all judges' answers known: D says d of every image, R is even over its outputs."""
    data = labelled()
    model, stages = build(
        data, label_kl=0.0, reconstruction_weight=1e-9, discriminator_weight=2.0,
        recogniser_weight=3.0,
    )  # fmt: skip
    d = 0.3
    with torch.no_grad():
        for name in ("discriminator", "recogniser"):
            model.network[name].last.length.zero_()
        model.network["discriminator"].last.bias.fill_(d)
    losses = step(stages["generator"], view(data)).losses
    assert losses["discriminator"].item() == pytest.approx((d - 1) ** 2 + (d + 1) ** 2, rel=1e-5)
    wanted = math.log(5) - math.log(1 - 1 / 5)  # four kinds and "made"
    assert losses["recogniser"].item() == pytest.approx(wanted, rel=1e-5)
    assert losses["generator"].item() == pytest.approx(2 * d**2 + 3 * math.log(5), rel=1e-4)


def test_images_for_the_judges_are_moved_and_pairs_alike():
    data = labelled()
    _, stages = build(data)
    stage, x = stages["generator"], view(data, range(16))
    images = x.images * 2 - 1
    first, second = stage.shifted(x, [images, images.flip(1)])
    assert torch.equal(first, second.flip(1)) and first.shape == images.shape
    assert not torch.equal(first, images)
    assert not torch.equal(first[:8] != 0, first[8:] != 0)
    _, stages = build(data, shift=0.0)
    assert torch.equal(stages["generator"].shifted(x, [images])[0], images)


# ---------------------------------------------------------------------- the last stage


def test_labelled_encoders_learn_the_embeddings():
    data = labelled()
    model, stages = build(data)
    result = step(stages["encoders"], view(data))
    network = model.network
    ((mean, std),) = network["label_encoder"](model.normalised(view(data).images))
    table = network["embeddings"][0](torch.arange(8) % 4)
    wanted = kl_divergence(Normal(*table), Normal(mean, std)).sum(1).mean()
    assert result.losses["label_encoder"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert gradient(result.losses["label_encoder"], network["embeddings"]) == 0


# ---------------------------------------------------------------------- all or none labelled


def test_all_factors_labelled():
    model = fit("disunknown", settings={"labelled": ("kind", "pose"), "unknown_dim": 0})
    assert list(model.code_spaces) == ["kind", "pose"]
    assert not {"encoder", "classifier", "unknown_codes"} & set(model.network)
    assert model.sample(3).shape == (3, 16, 16, 3)
    assert model.recombine({"kind": labelled().images[:2], "pose": labelled().images[2:4]}).any()


def test_no_factor_labelled(tmp_path):
    model = fit("disunknown", settings={"labelled": ()}, out=tmp_path, sample_every=1e-9)
    assert list(model.code_spaces) == ["unknown"] and model.code_spaces["unknown"].factor is None
    assert [stage.name for stage in model.report.stages] == ["distil", "generator"]
    assert model.sample(3).shape == (3, 16, 16, 3)
    loaded = um.load(tmp_path)
    assert np.array_equal(loaded.reconstruct(labelled()), model.reconstruct(labelled()))


@pytest.mark.parametrize(
    "settings",
    [
        {"classifier": "code", "adversary": "nll"},
        {"classifier": "image", "adversary": "nll-clamped", "label_starts": ("circle",)},
        {"keep_unknown": "code", "recogniser": "frozen", "reconstruction_branch": False},
        {"keep_unknown": "none", "labelled": ("kind,pose",), "label_starts": ("linear",)},
        {"labelled": ("kind", "pose"), "label_dims": (2, 3), "label_keep": (1.0, 0.5)},
        {"shares": (1.0, 0.0, 0.0, 1.0)},
        {"labelled": (), "keep_unknown": "code", "reconstruction_branch": False},
    ],
)
def test_every_switch_trains_and_loads(settings, tmp_path):
    model = fit("disunknown", settings=settings, out=tmp_path)
    again = um.load(tmp_path)
    for space, codes in model.encode(labelled()).items():
        assert codes.shape == (20, model.code_spaces[space].dim)
        assert np.array_equal(codes, again.encode(labelled())[space])


# ---------------------------------------------------------------------- use


@pytest.fixture(scope="module")
def model():
    return fit("disunknown", settings={"labelled": ("kind", "pose")})


def test_posteriors_are_codes_with_their_spread(model):
    found, codes = model.posteriors(labelled()), model.encode(labelled())
    assert list(found) == list(codes) == ["kind", "pose", "unknown"]
    for space, (mean, std) in found.items():
        assert std.shape == mean.shape and (std > 0).all()
        if space != "unknown":
            assert np.array_equal(mean, codes[space])


def test_unknown_codes_are_draws_that_belong_to_their_items(model):
    images = labelled().images
    (mean, std), codes = model.posteriors(images)["unknown"], model.encode(images)["unknown"]
    noise = (codes - mean) / std
    assert np.abs(noise).max() < 5 and noise.std() == pytest.approx(1, abs=0.3)
    back = model.encode(images[::-1].copy())["unknown"][::-1]
    np.testing.assert_allclose(codes, back, atol=1e-5)
    model.config.unknown_code = "mean"
    try:
        np.testing.assert_array_equal(model.encode(images)["unknown"], mean)
    finally:
        model.config.unknown_code = "draw"


def test_noise_of_an_item_is_standard_normal_and_its_own():
    items = torch.rand(3000, 2, 3, 3)
    noise = own_noise(items, 5)
    assert noise.shape == (3000, 5) and noise.dtype == torch.float32
    torch.testing.assert_close(noise.mean(0), torch.zeros(5), atol=0.1, rtol=0)
    torch.testing.assert_close(noise.T.cov(), torch.eye(5), atol=0.1, rtol=0)
    again = own_noise(items[100:110].contiguous(memory_format=torch.channels_last), 5)
    assert torch.equal(again, noise[100:110])


def test_embeddings_by_name(model):
    mean, std, names = model.embedding("pose")
    assert mean.shape == std.shape == (5, 2) and names == ["0", "1", "2", "3", "4"]
    refused(lambda: model.embedding("pse"), "'pse'", "'pose'", kind=um.ConfigError)


def test_draws_follow_the_data(model):
    mean, _, _ = model.embedding("kind")
    drawn = model.draw("kind", 500, seed=1)
    counts = [int((drawn == row).all(1).sum()) for row in mean]
    assert sum(counts) == 500 and min(counts) > 90
    unknown = model.draw("unknown", 4000)
    mean, std = model.posteriors(labelled())["unknown"]
    np.testing.assert_allclose(unknown.mean(0), mean.mean(0), atol=0.1)
    wanted = np.sqrt(mean.var(0) + np.square(std).mean(0))
    np.testing.assert_allclose(unknown.std(0), wanted, rtol=0.1)
    assert not np.array_equal(model.draw("unknown", 5, seed=1), model.draw("unknown", 5, seed=2))
    prior = model.draw("unknown", 4000, prior=True)  # labelled codes have embeddings, and no prior
    np.testing.assert_allclose(prior.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(prior.std(0), 1, rtol=0.1)
    assert np.array_equal(model.draw("kind", 500, seed=1, prior=True), drawn)
    refused(lambda: model.draw("unknwn", 5), "'unknown'", kind=um.ConfigError)
    refused(lambda: model.draw("unknown", 0), "0", kind=um.ConfigError)


def test_samples_keep_what_is_given(model):
    images = labelled().images
    codes = model.encode(images[:1])
    made = model.sample(4, items={"unknown": images[:1]}, labels={"kind": "2"}, seed=3)
    wanted = {
        "unknown": codes["unknown"],
        "kind": model.embedding("kind")[0][2:3],
        "pose": model.draw("pose", 4, 3),
    }
    assert np.array_equal(made, model.decode(wanted))
    assert np.array_equal(model.sample(2, seed=5), model.sample(2, seed=5))
    for wrong, words in (
        ({"labels": {"kind": "9"}}, ["kind", "'9'"]),
        ({"labels": {"knd": "1"}}, ["'knd'", "'kind'"]),
        ({"labels": {"unknown": "1"}}, ["unknown"]),
        ({"items": {"kind": images[:1]}, "labels": {"kind": "1"}}, ["twice"]),
        ({"items": {"kind": images[:3]}}, ["3", "4"]),
    ):
        refused(lambda w=wrong: model.sample(4, **w), *words)


def test_the_sample_verb(tmp_path, capsys):
    from PIL import Image

    fit("disunknown", out=tmp_path / "run")
    picture = tmp_path / "one.png"
    Image.fromarray(labelled().images[0]).save(picture)
    run, out = str(tmp_path / "run"), str(tmp_path / "sheet.png")
    flags = ["--take", f"unknown={picture}", "--label", "kind=1", "--count", "5", "--columns", "3"]
    assert main(["sample", run, *flags, "-o", out]) == 0
    assert Image.open(out).size == (3 * 18 - 2, 2 * 18 - 2)
    assert main(["sample", run, "-o", out]) == 2
    assert main(["sample", run, "--label", "knd=1", "-o", out, "--overwrite"]) == 2
    assert "kind" in capsys.readouterr().err
    assert main(["sample", run, "-o", str(tmp_path / "made.npz"), "--count", "3"]) == 0
    assert np.load(tmp_path / "made.npz")["images"].shape == (3, 16, 16, 3)
    fit("lord", out=tmp_path / "other")
    assert main(["sample", str(tmp_path / "other"), "-o", str(tmp_path / "x.png")]) == 2
    assert "lord" in capsys.readouterr().err


# ---------------------------------------------------------------------- what is learnt


def points(rows=1200, seed=0):
    """Vectors of two labelled factors and a hidden one, mixed."""
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 3, rows), random.integers(0, 4, rows)
    hidden = random.uniform(-1, 1, rows)
    parts = np.stack(
        [a - 1.0, np.cos(b * np.pi / 2), np.sin(b * np.pi / 2), hidden, hidden * (a - 1), a == 1], 1
    )
    mixed = parts @ np.linalg.qr(np.random.default_rng(9).normal(size=(6, 6)))[0]
    return um.FactorDataset(
        vectors=mixed.astype(np.float32), factors={"a": a, "b": b}, continuous={"hidden": hidden}
    )


def test_vectors_are_taken_apart_and_put_together():
    """A small training through all stages: the unknown knows the hidden factor and nothing else."""
    from sklearn.linear_model import LogisticRegression

    data = points()
    model = um.DisUnknown(
        labelled=("a", "b"), unknown_dim=2, label_dims=(2,), features=48, blocks=2, code_width=48,
        batch=64, lr=3e-3, generator_lr=5e-4, shares=(6.0, 1.0, 1.0, 2.0), unknown_kl=1e-2,
        label_kl=1e-2,
    )  # fmt: skip
    model.fit(data, budget="700steps", device="cpu", precision="float32", threads=1, quiet=True)
    test = points(600, seed=1)
    codes = model.encode(test)
    hidden = test.continuous["hidden"]
    known = max(abs(np.corrcoef(c, hidden)[0, 1]) for c in codes["unknown"].T)
    assert known > 0.9
    for factor in ("a", "b"):
        own = LogisticRegression().fit(codes[factor], test.factor(factor))
        assert own.score(codes[factor], test.factor(factor)) > 0.95
        other = LogisticRegression().fit(codes["unknown"], test.factor(factor))
        assert other.score(codes["unknown"], test.factor(factor)) < 0.8  # 0.33 and 0.25 by chance
    order = np.random.default_rng(3).permutation(600)
    made = model.decode({**codes, "a": codes["a"][order]})
    a, b = test.factor("a")[order], test.factor("b")
    parts = np.stack(
        [a - 1.0, np.cos(b * np.pi / 2), np.sin(b * np.pi / 2), hidden, hidden * (a - 1), a == 1], 1
    )
    true = parts @ np.linalg.qr(np.random.default_rng(9).normal(size=(6, 6)))[0]
    error = np.square(made - true).mean()
    assert error < 0.6 * np.square(test.vectors - true).mean()  # 1: nothing was changed


def test_vectors_are_scaled_by_one_number():
    data = points()
    shifted = um.FactorDataset(vectors=data.vectors * 100 + 7, factors=data.factors)
    model, _ = build(shifted, labelled=("a",))
    scaled = model.normalised(torch.from_numpy(np.asarray(shifted.vectors)))
    assert scaled.mean(0).abs().max() < 1e-4 and scaled.std(0).max().item() == pytest.approx(
        1, 0.01
    )
    back = model.network["scaling"].inverse(scaled)
    np.testing.assert_allclose(back.numpy(), shifted.vectors, rtol=1e-4, atol=1e-3)


def test_mig_of_perfect_codes_on_the_correlated_subset():
    """Supplement 4.1, Eq. 22: two of six labelled hues differ by at most one step."""
    information = pytest.importorskip("unmingle.evaluation.disentanglement.information")
    floor = np.repeat(np.arange(10), 3 * 840)
    wall = (floor + np.tile(np.repeat([-1, 0, 1], 840), 10)) % 10
    rest = np.arange(len(floor))
    factors = {"floor": floor, "wall": wall}
    for number, count in enumerate((7, 8, 3, 5)):
        factors[f"f{number}"] = rest // math.prod((7, 8, 3, 5)[:number]) % count
    spaces = {name: column[:, None].astype(float) for name, column in factors.items()}
    spaces["unknown"] = np.random.default_rng(0).normal(size=(len(floor), 2))
    owners = {name: name for name in factors}
    found = information.mig_by_space(spaces, factors, owners)
    wanted = (2 * (1 - (math.log(10) - math.log(3)) / math.log(10)) + 4) / 6
    assert wanted == pytest.approx(0.8257, abs=1e-4)
    assert found.score == pytest.approx(wanted, abs=2e-3)
