"""What every method keeps to: one contract, run over all of `METHODS`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import signal
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from data_sets import mapped
from PIL import Image
from safetensors import safe_open

import unmingle as um
from unmingle.methods import METHODS, base
from unmingle.nn.latent import LatentTable
from unmingle.training import logs

ROOT = Path(__file__).parent.parent
STEPS = 8


def labelled(shape=(16, 16, 3), rows=20):
    """Coloured noise: 4 kinds that differ in brightness, 5 poses of each that differ in place."""
    random = np.random.default_rng(0)
    kind, pose = np.arange(rows) % 4, np.arange(rows) // 4 % 5
    images = random.integers(0, 60, (rows, *shape), dtype=np.uint8)
    images += (40 * kind).astype(np.uint8)[:, None, None, None]
    for row in range(rows):
        images[row, 3 * pose[row] : 3 * pose[row] + 4] += 60
    return um.FactorDataset(images=images, factors={"kind": kind, "pose": pose}, name="noise")


@dataclasses.dataclass(frozen=True)
class Row:
    """How a method is tried: settings that make it tiny, data it can learn from, its stages."""

    settings: dict
    stages: tuple
    other: tuple  # a setting and another value, refused on resume
    data: object = labelled
    vectors: bool = False  # whether it learns from vectors too


DISCRIMINATOR = {"discriminator_widths": (4, 8, 8), "discriminator_hidden": 6}
REFERENCE = {
    "reference": "kind=1",
    "target_dim": 6,
    "common_dim": 5,
    "widths": (4, 8, 8),
    "batch": 4,
}
ROWS = {
    "lord": Row(
        {
            "class_factor": "kind",
            "content_dim": 6,
            "class_dim": 5,
            "generator_widths": (8, 8, 8),
            "head_width": 4,
            "encoder_widths": (4, 8, 8),
            "perceptual": "none",
            "start": "uniform",
            "batch": 8,
        },
        stages=("latent", "amortisation"),
        other=("alpha", 3.5),
    ),
    "robust": Row(
        {
            "class_factor": "kind",
            "pose_dim": 4,
            "appearance_dim": 5,
            "encoder_widths": (4, 8, 8),
            "decoder_widths": (8, 8, 4),
            "visualiser_widths": (4, 4, 4),
            "classifier_width": 8,
            "classifier_blocks": 1,
            "classifier_features": 4,
            "perceptual": "none",
            "warm_up": 2,
            "visualise_every": 2,
            "batch": 8,
        },
        stages=("disentangling",),
        other=("mu", 0.2),
        vectors=True,
    ),
    "disunknown": Row(
        {
            "labelled": ("kind",),
            "unknown_dim": 3,
            "label_dims": (2,),
            "unknown_keep": 0.5,
            "shares": (1.0, 1.0, 1.0, 1.0),
            "widths": (4, 8),
            "features": 8,
            "blocks": 1,
            "code_width": 8,
            "batch": 8,
        },
        stages=("distil", "classifier", "generator", "encoders"),
        other=("adversarial_weight", 0.7),
        vectors=True,
    ),
    "reference-vae": Row({**REFERENCE}, stages=("reference",), other=("scale", 0.5), vectors=True),
    "symmetric-reference-vae": Row(
        {**REFERENCE, **DISCRIMINATOR},
        stages=("symmetric",),
        other=("adversarial", 0.5),
        vectors=True,
    ),
    **{
        name: Row(
            {"latent_dim": 6, "widths": (4, 8, 8), "batch": 8, **more},
            stages=("symmetric" if name == "symmetric-vae" else "variational",),
            other=("scale", 0.5),
            vectors=True,
        )
        for name, more in {
            "vae": {},
            "beta-vae": {},
            "dip-vae": {},
            "factor-vae": {"discriminator_width": 8},
            "beta-tcvae": {},
            "annealed-vae": {},
            "symmetric-vae": DISCRIMINATOR,
        }.items()
    },
    "content-style": Row(
        {
            "content_dim": 6,
            "style_dim": 5,
            "generator_widths": (8, 8, 8),
            "head_width": 4,
            "encoder_widths": (4, 8, 8),
            "discriminator_widths": (8, 8, 16, 16),
            "discrimination_weight": 1.0,
            "instances": 0.25,
            "second_stage": 0.25,
            "perceptual": "none",
            "start": "uniform",
            "batch": 8,
        },
        stages=("instances", "latent", "encoders"),
        other=("style_gamma", 0.25),
    ),
}

every_method = pytest.mark.parametrize("name", list(METHODS))
in_every_stage = pytest.mark.parametrize(
    ("name", "stage"), [(n, s) for n in METHODS for s in (ROWS[n].stages if n in ROWS else ())]
)


def make(name, **settings):
    return METHODS[name](**{**ROWS[name].settings, **settings})


def fit(name, data=None, out=None, *, settings=None, **options):
    options = {"budget": f"{STEPS}steps", "precision": "float32", "threads": 1, **options}
    data = ROWS[name].data() if data is None else data
    return make(name, **(settings or {})).fit(data, out=out, device="cpu", quiet=True, **options)


@pytest.fixture(scope="module")
def trained():
    """One trained model a method, for tests that change nothing."""
    models = {}
    return lambda name: models.get(name) or models.setdefault(name, fit(name))


def state_of(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def assert_same_codes(first, second):
    assert first.keys() == second.keys()
    for space in first:
        assert first[space].dtype == np.float32
        assert np.array_equal(first[space], second[space]), space


def refused(call, *words, kind=um.UnmingleError):
    """The call raises one of the library's errors, in one line with these words."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, um.UnmingleError) and "\n" not in message
    for word in words:
        assert word in message, message


# ---------------------------------------------------------------------- the register


def test_every_method_has_a_row_here():
    assert ROWS.keys() == METHODS.keys()


@every_method
def test_the_register_holds_the_methods_by_their_names(name):
    kind = METHODS[name]
    assert kind.name == name and issubclass(kind, um.Method)
    assert getattr(um, kind.__name__) is kind and kind.__name__ in um.__all__
    assert kind.__doc__ and len(kind.__doc__) > 200


@every_method
def test_every_setting_has_a_docstring_and_is_in_the_docs(name):
    config = METHODS[name].Config
    documented = set()
    for kind in config.__mro__[:-1]:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
        for statement, following in pairwise(body):
            if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
                assert isinstance(following.value.value, str) and following.value.value.strip()
                documented.add(statement.target.id)
    fields = {field.name for field in dataclasses.fields(config)}
    assert fields - documented == set()
    text = page_of(name)
    missing = [f for f in fields if f not in text and f"--{f.replace('_', '-')}" not in text]
    assert sorted(missing) == []


def page_of(name):
    """A method's docs page; relatives of one paper share one, which names them all."""
    pages = [ROOT / "docs" / f"{stem}.md" for stem in (name, "reference-vae", "vae")]
    texts = [page.read_text() for page in pages if page.exists()]
    return next(text for text in texts if f"`{name}`" in text or f"train {name} " in text)


def imported_modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def identifiers(tree):
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield value


@pytest.mark.parametrize(
    "part", ["bench", "data", "evaluation", "losses", "nn", "plots", "training"]
)
def test_nothing_beneath_the_methods_knows_one(part):
    names = {n.replace("-", "") for n in METHODS} | {k.__name__.lower() for k in METHODS.values()}
    files = sorted((ROOT / "src/unmingle" / part).rglob("*.py"))
    if part == "bench":  # but for the papers' declarations and their register
        files = [f for f in files if f.parent.name == part and f.name != "__init__.py"]
    assert files
    for file in files:
        tree = ast.parse(file.read_text())
        assert not any("methods" in m.split(".") for m in imported_modules(tree)), file
        if part not in ("losses", "nn"):
            used = {identifier.lower().replace("_", "") for identifier in identifiers(tree)}
            assert not used & names, file


# ---------------------------------------------------------------------- what goes in and comes out


@every_method
@pytest.mark.parametrize("shape", [(16, 16, 3), (24, 20, 1), (17, 33, 4), (19, 16, 2)])
def test_images_of_any_size_and_channels(name, shape, tmp_path):
    data = ROWS[name].data(shape)
    model = fit(name, data, tmp_path, sample_every=1e-9)
    codes = model.encode(data.images[:5])
    assert list(codes) == list(model.code_spaces)
    for space, code in codes.items():
        assert code.shape == (5, model.code_spaces[space].dim) and code.dtype == np.float32
        assert np.isfinite(code).all() and code.std(0).max() > 0
    for images in (model.decode(codes), model.reconstruct(data.images[:5])):
        assert images.shape == (5, *shape) and images.dtype == np.uint8
    height, width, _ = shape
    for sample in (tmp_path / "samples").iterdir():
        assert Image.open(sample).size == (7 * (width + 2) - 2, 7 * (height + 2) - 2)


@every_method
def test_code_spaces_say_what_they_know(name, trained):
    model, data = trained(name), ROWS[name].data()
    for space, about in model.code_spaces.items():
        assert about.name == space and about.dim >= 1
        assert about.factor is None or len(data.factor(about.factor)) == len(data)


@every_method
def test_items_may_come_in_many_forms(name, trained):
    model, images = trained(name), ROWS[name].data().images[:6]
    codes = model.encode(images)
    some = ROWS[name].data().select(np.arange(6))
    for items in (torch.from_numpy(images), list(images), some, images[::-1][::-1]):
        assert_same_codes(codes, model.encode(items))


@every_method
def test_grey_images_need_no_channel_axis(name):
    data = ROWS[name].data((16, 18, 1))
    model = fit(name, data)
    assert_same_codes(model.encode(data.images), model.encode(data.images[..., 0]))


@every_method
def test_recombining_is_decoding_codes_of_different_images(name, trained):
    model, images = trained(name), ROWS[name].data().images
    spaces = list(model.code_spaces)
    sources = {space: images[i : i + 4] for i, space in enumerate(spaces)}
    codes = {space: model.encode(sources[space])[space] for space in spaces}
    swapped = model.recombine(sources)
    assert np.array_equal(swapped, model.decode(codes))
    assert swapped.shape == (4, *model.data_shape) and swapped.dtype == np.uint8
    if len(spaces) == 1:
        return
    # A single image goes with all of the others.
    one = model.recombine({**sources, spaces[0]: images[:1]})
    assert np.array_equal(one[0], swapped[0])
    every = {**codes, spaces[0]: np.repeat(codes[spaces[0]][:1], 4, axis=0)}
    assert np.array_equal(one, model.decode(every))


@every_method
def test_many_items_are_handled_in_blocks(name, trained):
    model, images = trained(name), ROWS[name].data().images
    many = np.concatenate([images] * 14)  # 280 rows, more than a block
    codes = model.encode(many)
    for space, few in model.encode(images).items():
        np.testing.assert_allclose(codes[space][-len(few) :], few, rtol=1e-3, atol=1e-4)
    made = model.decode(codes)
    assert made.shape == many.shape
    assert np.abs(made[-20:].astype(int) - made[:20]).max() <= 1


@every_method
def test_use_is_repeatable_and_leaves_the_random_state_alone(name, trained):
    model, images = trained(name), ROWS[name].data().images[:4]
    before = torch.get_rng_state()
    assert_same_codes(model.encode(images), model.encode(images))
    assert np.array_equal(model.reconstruct(images), model.reconstruct(images))
    assert torch.equal(before, torch.get_rng_state())
    assert not model.network.training
    assert all(p.grad is None for p in model.network.parameters())


@every_method
def test_training_moves_all_networks_and_leaves_the_random_state_alone(name):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    short, longer = fit(name, budget="2steps"), fit(name)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    first, second = state_of(short), state_of(longer)
    moved = {k.split(".")[0] for k in first if not torch.equal(first[k], second[k])}
    for part, module in longer.network.named_children():
        learns = isinstance(module, LatentTable) or any(True for _ in module.parameters())
        assert part in moved or not learns, part
    assert tuple(stage.name for stage in longer.report.stages) == ROWS[name].stages
    assert longer.report.steps == STEPS


# ---------------------------------------------------------------------- same seed, same bits


@every_method
def test_same_seed_same_bits_and_other_seed_other_bits(name):
    first, second, other = fit(name), fit(name), fit(name, seed=1)
    assert_same(state_of(first), state_of(second))
    differs = [k for k, v in state_of(first).items() if not torch.equal(v, state_of(other)[k])]
    assert len(differs) > len(state_of(first)) / 2
    images = ROWS[name].data().images[:4]
    assert_same_codes(first.encode(images), second.encode(images))


@every_method
def test_what_training_starts_from_follows_from_the_seed(name, monkeypatch):
    states = []

    def stop(model, *args, **named):
        states.append({k: v.clone() for k, v in model.state_dict().items()})
        raise Killed

    monkeypatch.setattr(base, "train", stop)
    for seed in (0, 0, 1):
        with pytest.raises(Killed):
            fit(name, seed=seed)
    assert_same(*states[:2])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@every_method
def test_writing_a_run_and_looking_at_it_change_no_bits(name, tmp_path):
    plain = fit(name)
    written = fit(name, out=tmp_path, sample_every=1e-9, checkpoint_every=1e-9)
    assert_same(state_of(plain), state_of(written))


@every_method
def test_memory_mapped_data_give_the_same_bits(name, tmp_path):
    data = ROWS[name].data()
    assert_same(state_of(fit(name, data)), state_of(fit(name, mapped(tmp_path, data))))


@every_method
def test_bfloat16_keeps_codes_and_weights_in_float32(name):
    model = fit(name, precision="bf16")
    assert {v.dtype for v in state_of(model).values() if v.is_floating_point()} == {torch.float32}
    assert {v.dtype for v in model.encode(ROWS[name].data()).values()} == {np.dtype(np.float32)}


# ---------------------------------------------------------------------- stopped and continued


class Killed(BaseException):
    """Ends a run without giving it a chance to tidy up."""


def stopping(monkeypatch, stage, step, stop):
    """Call `stop` after a step of a stage."""
    train = base.train

    def interrupted(model, stages, *args, **named):
        (chosen,) = (s for s in stages if s.name == stage)
        after = chosen.after_step

        def hook(progress):
            after(progress)
            if progress.step == step:
                stop()

        chosen.after_step = hook
        return train(model, stages, *args, **named)

    monkeypatch.setattr(base, "train", interrupted)


def kill():
    raise Killed


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@in_every_stage
@pytest.mark.parametrize(
    ("stop", "error", "every"),
    [(interrupt, KeyboardInterrupt, 5.0), (kill, Killed, 1e-9), (kill, Killed, 5.0)],
    ids=["interrupted", "killed", "killed long after the last checkpoint"],
)
def test_stopped_and_resumed_is_never_stopped(
    name, stage, stop, error, every, tmp_path, monkeypatch
):
    monkeypatch.setattr(logs, "_RECORD_SECONDS", 0.0)  # every step
    straight = fit(name, out=tmp_path / "straight")
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(error):
        stopping(patch, stage, 1, stop)
        fit(name, out=run, checkpoint_every=every)
    refused(lambda: um.load(run), str(run), "--resume")
    resumed = fit(name, out=run, checkpoint_every=every, resume=True)
    assert_same(state_of(straight), state_of(resumed))
    assert resumed.report.steps == STEPS
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert [line["total_step"] for line in lines] == list(range(1, STEPS + 1))
    whole = [json.loads(line) for line in (tmp_path / "straight/metrics.jsonl").open()]
    for one, other in zip(lines, whole, strict=True):
        for key in ("stage", "step", "lr", "losses", "logs"):
            assert one[key] == other[key]
    assert not list(run.rglob("*.tmp"))
    assert_same(state_of(straight), state_of(um.load(run)))


def test_starts_from_a_trained_model(tmp_path, monkeypatch):
    first, seen = fit("vae", out=tmp_path / "a"), {}

    def stopped(network, *args, **options):
        seen.update(network.state_dict())
        raise KeyboardInterrupt

    monkeypatch.setattr(base, "train", stopped)
    with pytest.raises(KeyboardInterrupt):  # beta-VAE has the same networks
        fit("beta-vae", start_from=tmp_path / "a")
    assert_same(seen, state_of(first))
    refused(lambda: fit("vae", start_from=tmp_path), "--start-from", "no trained model")
    refused(lambda: fit("vae", settings={"latent_dim": 3}, start_from=tmp_path / "a"),
            "data and sizes must be the same")  # fmt: skip
    refused(lambda: fit("lord", out=tmp_path / "a", overwrite=True, start_from=tmp_path / "a"),
            "no part that this one has")  # fmt: skip
    assert_same(state_of(um.load(tmp_path / "a")), state_of(first))  # nothing was removed


@every_method
def test_a_finished_run_is_only_loaded(name, tmp_path):
    straight = fit(name, out=tmp_path)
    again = fit(name, out=tmp_path, resume=True)
    assert_same(state_of(straight), state_of(again))
    assert again.report.stages == [] and again.report.resumed


@every_method
def test_another_run_is_not_continued_and_stays_as_it_is(name, tmp_path):
    model = fit(name, out=tmp_path)
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    setting, value = ROWS[name].other
    known = getattr(model.config, setting)
    other = ROWS[name].data()
    other.images[0, 0, 0] ^= 255
    again = {"out": tmp_path, "resume": True}
    refused(
        lambda: fit(name, settings={setting: value}, **again),
        str(tmp_path), f"its setting {setting} was {known!r} and is {value!r} now",
    )  # fmt: skip
    refused(lambda: fit(name, seed=4, **again), "its seed was 0 and is 4 now")
    refused(lambda: fit(name, budget="9steps", **again), "budget was '8steps' and is '9steps'")
    refused(lambda: fit(name, other, **again), str(tmp_path), "its data was")
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before
    assert_same(state_of(model), state_of(um.load(tmp_path)))


@every_method
def test_a_folder_that_holds_something_is_not_taken(name, tmp_path):
    (tmp_path / "holiday.jpg").write_text("mine")
    refused(lambda: fit(name, out=tmp_path), str(tmp_path), "holiday.jpg", "--overwrite")
    refused(lambda: fit(name, out=tmp_path, overwrite=True), "holiday.jpg", "nothing was removed")
    refused(lambda: fit(name, out=tmp_path, resume=True), "no run to continue")
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.jpg"]
    refused(lambda: fit(name, resume=True), "out", kind=um.ConfigError)


@every_method
def test_a_run_can_be_replaced(name, tmp_path):
    fit(name, out=tmp_path, settings=dict([ROWS[name].other]))
    fit(name, out=tmp_path, overwrite=True, seed=3)
    assert_same(state_of(fit(name, seed=3)), state_of(um.load(tmp_path)))


# ---------------------------------------------------------------------- saved and loaded


@every_method
def test_a_loaded_model_has_the_same_bits(name, tmp_path, trained):
    model, data = trained(name), ROWS[name].data()
    model.save(tmp_path / "new/folder")
    assert {f.name for f in (tmp_path / "new/folder").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    before = torch.get_rng_state()
    loaded = um.load(tmp_path / "new/folder")
    assert torch.equal(before, torch.get_rng_state())
    assert not loaded.network.training
    assert type(loaded) is METHODS[name] and loaded.config == model.config
    assert loaded.code_spaces == model.code_spaces and loaded.data_shape == model.data_shape
    assert_same(state_of(model), state_of(loaded))
    assert_same_codes(model.encode(data), loaded.encode(data))
    assert np.array_equal(model.reconstruct(data), loaded.reconstruct(data))
    # And once more, from the loaded one.
    loaded.save(tmp_path / "again")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (
            tmp_path / "new/folder" / file
        ).read_bytes()


@every_method
def test_a_run_holds_tensors_json_and_pictures_only(name, tmp_path, monkeypatch):
    data = ROWS[name].data()
    model = fit(name, data, tmp_path, sample_every=1e-9, info={"split": {"test": 0.1}})
    for file in tmp_path.rglob("*"):
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".jsonl":
            assert all(json.loads(line) for line in file.open())
        elif file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as tensors:
                assert len(tensors.keys()) > 0
        else:
            assert file.is_dir() or file.suffix == ".png"
    info = json.loads((tmp_path / "config.json").read_text())
    assert info["method"] == name and info["split"] == {"test": 0.1} and info["seed"] == 0
    assert info["data"]["fingerprint"] == data.fingerprint() and info["data"]["rows"] == len(data)
    assert info["shape"] == list(data.shape) and info["budget"] == f"{STEPS}steps"
    assert set(info["settings"]) == {f.name for f in dataclasses.fields(model.Config)}

    def unpickle(*args, **named):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(torch, "load", unpickle)
    monkeypatch.setattr("pickle.Unpickler", unpickle)
    monkeypatch.setattr("pickle.loads", unpickle)
    assert um.load(tmp_path).run_info == info == model.run_info


@every_method
def test_damaged_models_are_refused(name, tmp_path, trained):
    refused(lambda: um.load(tmp_path), str(tmp_path), "config.json", kind=um.RunError)
    refused(lambda: um.load(tmp_path / "nothing"), "nothing", "config.json", kind=um.RunError)
    trained(name).save(tmp_path)
    config, tensors = tmp_path / "config.json", tmp_path / "model.safetensors"
    text, whole = config.read_text(), tensors.read_bytes()
    info = json.loads(text)
    for broken in (b"", whole[:40], whole[:-8], b"\x80\x04K\x01."):
        tensors.write_bytes(broken)
        refused(lambda: um.load(tmp_path), str(tensors), "damaged", kind=um.RunError)
    tensors.unlink()
    refused(lambda: um.load(tmp_path), str(tmp_path), "model.safetensors", kind=um.RunError)
    tensors.write_bytes(whole)
    for broken in (b"", text[: len(text) // 2].encode(), b"[1]", b"null", b"\xff\xfe{}"):
        config.write_bytes(broken)
        refused(lambda: um.load(tmp_path), str(config), "damaged", kind=um.RunError)
    for key, value in (
        ("format", 99),
        ("method", "no such method"),
        ("method", None),
        ("settings", None),
        ("settings", [1, 2]),
        ("settings", {"no_such_setting": 1}),
        ("shape", None),
        ("shape", []),
        ("shape", ["16", "16"]),
        ("shape", [16, 16, 999]),
        ("facts", None),
        ("facts", []),
    ):
        config.write_text(json.dumps({**info, key: value}))
        refused(lambda: um.load(tmp_path), str(tmp_path), kind=um.RunError)
    config.write_text(text)
    assert_same(state_of(trained(name)), state_of(um.load(tmp_path)))


# ---------------------------------------------------------------------- refused


@every_method
def test_wrong_settings_are_refused(name):
    settings = ROWS[name].settings
    field = sorted(settings)[0]
    wrong = {**settings, field[:-1] + "x": settings[field]}
    refused(lambda: METHODS[name](**wrong), field[:-1] + "x", repr(field), kind=um.ConfigError)
    config = METHODS[name].Config(**settings)
    assert METHODS[name](config).config == make(name).config
    refused(lambda: METHODS[name](config, **settings), "config", kind=um.ConfigError)


@every_method
def test_networks_that_do_not_fit_in_memory_are_refused_before_they_are_built(name, monkeypatch):
    build, devices = METHODS[name].build, []

    def spy(*args):
        devices.append(torch.get_default_device().type)
        return build(*args)

    monkeypatch.setattr(METHODS[name], "build", spy)
    monkeypatch.setattr("unmingle.training.run.free_memory", lambda: 1000)
    refused(lambda: fit(name), "more memory and 1 kB are free", kind=um.RunError)
    assert devices == ["meta"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("seed", "1"), ("seed", None), ("seed", 0.5), ("threads", "2"), ("sample_every", "2"),
     ("device", 0), ("precision", None)],
)  # fmt: skip
def test_options_of_the_wrong_type_name_the_flag(option, value):
    model = make("lord")
    refused(
        lambda: model.fit(ROWS["lord"].data(), **{option: value}),
        f"--{option.replace('_', '-')}",
        kind=um.ConfigError,
    )


@every_method
def test_wrong_options_of_fit_are_refused(name):
    refused(lambda: fit(name, checkpoint_evry=1), "checkpoint_evry", "'checkpoint_every'")
    refused(lambda: fit(name, budget="soon"), "--budget")
    refused(lambda: fit(name, data="no/such/place"), "no/such/place")


@every_method
def test_wrong_items_are_refused(name, trained):
    model, images = trained(name), ROWS[name].data().images
    takes = "Nx16x16x3"
    for wrong, words in (
        (images[0, :15], (takes, "15x16x3")),
        (images[:, :15], (takes, "20x15x16x3")),
        (images[:, :, :, :2], (takes, "20x16x16x2")),
        (images[..., 0], (takes, "20x16x16")),
        (images[:0], (takes,)),
        (images.transpose(0, 3, 1, 2), (takes, "20x3x16x16")),
        (images.astype(np.float32) / 255, ("uint8", "float32")),
        (torch.rand(2, 16, 16, 3), ("uint8", "float32")),
        (images.astype(np.int64), ("uint8", "int64")),
        ([images[0], images[1].astype(np.float64)], ("uint8", "float64")),
        ([images[0], images[1][:15]], ("one size", "15x16x3", "16x16x3")),
        (np.zeros((3, 8), np.float32), (takes, "3x8")),
        (None, (takes,)),
        (ROWS[name].data((24, 20, 3)), (takes, "20x24x20x3")),
    ):
        refused(lambda wrong=wrong: model.encode(wrong), *words, kind=um.DataError)


@every_method
def test_a_single_item_is_one(name, trained):
    model, images = trained(name), ROWS[name].data().images
    assert_same_codes(model.encode(images[7]), model.encode(images[7:8]))
    sources = {space: images[place] for place, space in enumerate(model.code_spaces)}
    several = {space: image[None] for space, image in sources.items()}
    assert np.array_equal(model.recombine(sources), model.recombine(several))


@every_method
def test_wrong_codes_are_refused(name, trained):
    model = trained(name)
    codes = model.encode(ROWS[name].data().images[:3])
    for space, about in model.code_spaces.items():
        others = {s: c for s, c in codes.items() if s != space}
        refused(lambda o=others: model.decode(o), repr(space), "missing", kind=um.ConfigError)
        refused(lambda o=others: model.recombine(o), repr(space), "missing", kind=um.ConfigError)
        misspelt = {**others, space + "s": codes[space]}
        refused(lambda m=misspelt: model.decode(m), f"'{space}s'", repr(space))
        for wrong in (
            codes[space][:, :-1],
            codes[space][0],
            codes[space][:0],
            codes[space][None],
            3.0,
        ):
            changed = {**codes, space: wrong}
            refused(lambda c=changed: model.decode(c), space, str(about.dim), kind=um.DataError)
        for wrong in (np.full((3, about.dim), "a"), [[1.0] * about.dim, [1.0]]):
            changed = {**codes, space: wrong}
            refused(lambda c=changed: model.decode(c), space, kind=um.DataError)
        changed = {**codes, space: codes[space][:2]}
        if not others:
            continue
        refused(lambda c=changed: model.decode(c), "2", "3", kind=um.DataError)


@every_method
def test_an_untrained_model_is_refused(name, tmp_path):
    model, images = make(name), ROWS[name].data().images[:2]
    for call in (
        lambda: model.encode(images),
        lambda: model.decode({}),
        lambda: model.recombine({space: images for space in model.code_spaces}),
        lambda: model.reconstruct(images),
        lambda: model.save(tmp_path / "x"),
    ):
        refused(call, "not trained", kind=um.RunError)
    assert not (tmp_path / "x").exists()


@every_method
def test_vectors_are_taken_or_refused(name):
    data = ROWS[name].data()
    vectors = um.FactorDataset(
        vectors=data.images[:, 0, :4, 0].astype(np.float32), factors=data.factors, name="points"
    )
    if not ROWS[name].vectors:
        refused(lambda: fit(name, vectors), "points", "images", "vectors", kind=um.DataError)
        return
    model = fit(name, vectors)
    codes = model.encode(vectors)
    made = model.decode(codes)
    assert made.shape == vectors.vectors.shape and made.dtype == np.float32
    refused(lambda: model.encode(vectors.vectors[:, :3]), "Nx4", kind=um.DataError)
