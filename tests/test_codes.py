"""What codes tell: linear regressions, traversals, and codes as scikit-learn features."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from test_methods import ROWS, fit, labelled, refused

import unmingle as um
from unmingle.cli import main
from unmingle.evaluation import measure_codes, regress
from unmingle.plots import Traversal, save_gif
from unmingle.sklearn import CodeTransformer

# ---------------------------------------------------------------------- regression


def test_a_linear_amount_is_told_exactly_and_its_error_is_that_of_the_noise():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(4000, 5)) * [1, 100, 1e-3, 0, 1] + [0, 50, 0, 7, 0]
    amount = 2 * codes[:, 0] - 0.03 * codes[:, 1] + 500 * codes[:, 2] + 4
    exact = regress(codes[:2000], amount[:2000], codes[2000:], amount[2000:])
    assert exact.mae < 1e-8 and exact.r2 == pytest.approx(1.0)
    noise = rng.normal(size=4000)
    noisy = amount + noise
    found = regress(codes[:2000], noisy[:2000], codes[2000:], noisy[2000:])
    assert found.mae == pytest.approx(np.sqrt(2 / np.pi), rel=0.05)  # E|N(0, 1)|
    assert found.r2 == pytest.approx(1 - 1 / noisy.var(), abs=0.01)
    assert found.low < found.mae < found.high < found.baseline
    assert (found.n_train, found.n_test) == (2000, 2000)


def test_codes_that_know_nothing_are_no_better_than_the_median():
    rng = np.random.default_rng(1)
    codes, amount = rng.normal(size=(3000, 4)), rng.uniform(size=3000)
    found = regress(codes[:1500], amount[:1500], codes[1500:], amount[1500:])
    assert found.baseline == pytest.approx(0.25, abs=0.01) and abs(found.r2) < 0.02
    assert found.mae == pytest.approx(found.baseline, rel=0.02)


def test_regressions_that_cannot_be_are_refused():
    x, y = np.random.default_rng(0).normal(size=(2, 10, 3))[0], np.arange(10.0)
    for args, words in (
        ((x, y[:9], x, y), ("training", "(9,)")),
        ((x, y, x[:, :2], y), ("3 entries", "2")),
        ((x, y * 0, x, y), ("same in all rows",)),
        ((x * np.nan, y, x, y), ("NaN",)),
        ((x, y, x[:0], y[:0]), ("test",)),
    ):
        refused(lambda a=args: regress(*a), *words, kind=um.DataError)


class Known:
    """A model whose codes are known: `amount` sees the brightness, `place` the rest."""

    def encode(self, items):
        images = np.asarray(items, np.float32)
        bright = images.max((1, 2, 3))[:, None] / 255
        place = images.argmax(2).mean((1, 2))[:, None]
        return {"amount": np.concatenate([bright, 0 * bright], 1), "place": place}

    def decode(self, codes):
        made = np.zeros((len(codes["amount"]), 16, 16, 1), np.uint8)
        for image, bright, place in zip(made, codes["amount"][:, 0], codes["place"], strict=True):
            image[:, int(np.clip(place[0], 0, 15))] = np.clip(255 * bright, 0, 255)
        return made


def bars(count=200, seed=0):
    rng = np.random.default_rng(seed)
    bright, place = rng.uniform(0.2, 1, count), rng.integers(0, 16, count)
    codes = {"amount": bright[:, None], "place": place[:, None]}
    return um.FactorDataset(
        images=Known().decode(codes),
        factors={"half": place // 8, "same": place * 0},
        continuous={"bright": bright * 10, "constant": bright * 0},
    )


def test_every_code_is_measured_on_every_column_that_varies():
    found = measure_codes(Known(), bars(), bars(seed=1), units={"bright": 10})
    assert list(found.amounts) == ["amount", "place"] and list(found.amounts["place"]) == ["bright"]
    assert list(found.factors["amount"]) == ["half"]
    told, control = found.amounts["amount"]["bright"], found.amounts["place"]["bright"]
    assert told.r2 > 0.999 and told.mae < 0.005 and control.r2 < 0.1
    assert control.baseline == pytest.approx(0.2, abs=0.02)  # in units: of U(0.2, 1)
    assert found.factors["place"]["half"].accuracy > 0.95
    assert found.factors["amount"]["half"].accuracy < 0.7
    assert found.mean_error("amount") == told.mae
    lines = found.table().splitlines()
    assert lines[0] == "| code | bright | half |" and lines[2].startswith("| amount | 0.00")
    assert found.as_dict()["amounts"]["amount"]["bright"]["mae"] == told.mae
    about = found.as_dict()["context"]
    assert about["test"]["fingerprint"] == bars(seed=1).fingerprint() and about["seed"] == 0
    assert about["units"] == {"bright": 10} and "numpy" in about["versions"]
    only = measure_codes(Known(), bars(), bars(seed=1), continuous=["bright"], factors=[])
    assert only.factors == {"amount": {}, "place": {}}


def test_columns_that_are_not_there_are_named():
    refused(lambda: measure_codes(Known(), bars(), bars(), continuous=["brigt"]), "'brigt'")
    refused(lambda: measure_codes(Known(), bars(), bars(), factors=["hlaf"]), "'hlaf'")
    plain = um.FactorDataset(images=bars().images)
    refused(lambda: measure_codes(Known(), plain, plain), "no column", kind=um.DataError)


def test_values_that_the_linear_model_never_saw_are_left_out():
    train, test = bars(), bars(seed=1)
    train = train.select(train.factor("half") == 0)
    test.factors["digit"] = test.factor("half") + 1
    train.factors["digit"] = np.where(np.arange(len(train)) % 2, 1, 3)
    found = measure_codes(Known(), train, test, factors=["digit"], continuous=[])
    assert found.notes and "unseen" in found.notes[0]


# ---------------------------------------------------------------------- traversals


def test_directions_are_ordered_by_what_they_explain():
    found = Traversal(Known(), bars().images)
    labels = [direction.label for direction in found.directions]
    assert labels == ["place 0", "amount 0", "amount 1"]
    place, bright, nothing = (direction.explained for direction in found.directions)
    assert place > bright > nothing == 0.0
    values = found.directions[0].values
    assert len(values) == 9 and (np.diff(values) > 0).all() and values[0] < 1 and values[-1] > 14


def test_a_traversal_moves_its_direction_and_nothing_else():
    data = bars()
    image = data.images[3]
    found = Traversal(Known(), data.images, steps=5)
    made = found.images(image, count=2)
    assert made.shape == (2, 5, 16, 16, 1)
    own = Known().encode(image[None])
    codes = Known().encode(made[0])
    np.testing.assert_allclose(codes["amount"][:, 0], own["amount"][0, 0], atol=0.005)
    np.testing.assert_allclose(codes["place"][:, 0], found.directions[0].values, atol=1.0)
    codes = Known().encode(made[1])
    np.testing.assert_allclose(codes["place"], np.repeat(own["place"], 5, 0))
    np.testing.assert_allclose(codes["amount"][:, 0], found.directions[1].values, atol=0.005)
    one = Traversal(Known(), data.images, space="amount")
    assert {direction.space for direction in one.directions} == {"amount"}
    grid = found.grid(image, count=2)
    assert grid.shape == (2 * 18 - 2, 6 * 18 - 2, 3)


def test_principal_axes_find_what_dimensions_mix():
    class Turned(Known):
        turn = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)

        def encode(self, items):
            codes = super().encode(items)
            both = np.concatenate([10 * codes["amount"][:, :1], codes["place"]], 1)
            return {"both": both @ self.turn.T}

        def decode(self, codes):
            both = codes["both"] @ self.turn
            return super().decode({"amount": both[:, :1] / 10, "place": both[:, 1:]})

    data = bars()
    found = Traversal(Turned(), data.images, axes="principal")
    along = np.abs(found.directions[0].vector @ Turned.turn)
    assert along[1] > 0.99  # the place
    mixed = Traversal(Turned(), data.images)
    assert np.abs(mixed.directions[0].vector @ Turned.turn)[1] < 0.9


def test_an_animation_goes_there_and_back(tmp_path):
    data = bars()
    found = Traversal(Known(), data.images, steps=5)
    frames = found.frames(data.images[:3], count=2)
    assert len(frames) == 8 and frames[0].shape == (3 * 18 - 2, 2 * 18 - 2, 3)
    assert np.array_equal(frames[1], frames[7]) and not np.array_equal(frames[0], frames[4])
    file = save_gif(tmp_path / "a.gif", frames)
    with Image.open(file) as gif:
        assert gif.n_frames == 8 and gif.info["loop"] == 0
        gif.seek(4)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - frames[4]).max() < 20
    refused(lambda: save_gif(file, frames), "a.gif", kind=um.RunError)
    refused(lambda: save_gif(tmp_path / "b.gif", []), "at least one", kind=um.DataError)


def test_traversals_that_cannot_be_are_refused():
    images = bars().images
    for options, words in (
        ({"axes": "diagonal"}, ("diagonal", "principal")),
        ({"steps": 1}, ("steps",)),
        ({"bases": 0}, ("bases",)),
        ({"space": "plac"}, ("'plac'", "'place'")),
    ):
        refused(lambda o=options: Traversal(Known(), images, **o), *words, kind=um.ConfigError)
    refused(lambda: Traversal(Known(), images[:1]), "two items", kind=um.DataError)
    refused(lambda: Traversal(Known(), images).images(images[0], 0), "count", kind=um.ConfigError)


@pytest.mark.parametrize("name", ["vae", "reference-vae", "lord"])
def test_the_command_line_draws_traversals(name, tmp_path, capsys):
    data = labelled()
    data.save(tmp_path / "noise.npz")
    fit(name, out=tmp_path / "run")
    args = ["traverse", str(tmp_path / "run"), str(tmp_path / "noise.npz"), "--count", "3"]
    assert main([*args, "-o", str(tmp_path / "t.png"), "--steps", "4"]) == 0
    with Image.open(tmp_path / "t.png") as picture:
        assert picture.size == (5 * 18 - 2, 3 * 18 - 2)
    assert capsys.readouterr().err.count("% of the variance") == 3
    assert main([*args, "-o", str(tmp_path / "t.gif"), "--images", "2"]) == 0
    with Image.open(tmp_path / "t.gif") as gif:
        assert gif.size == (3 * 18 - 2, 2 * 18 - 2)
    for wrong, word in (
        (["-o", str(tmp_path / "t.png")], "--overwrite"),
        (["-o", str(tmp_path / "t.jpg")], ".png or .gif"),
        (["-o", str(tmp_path / "u.png"), "--steps", "1"], "--steps"),
        (["-o", str(tmp_path / "u.png"), "--space", "colour"], "--space"),
    ):
        assert main([*args, *wrong]) == 2
        assert word in capsys.readouterr().err


# ---------------------------------------------------------------------- scikit-learn

TINY = {"method": "vae", "settings": ROWS["vae"].settings, "budget": "4steps", "device": "cpu"}


def test_a_transformer_trains_a_method_inside_a_pipeline():
    data = labelled()
    x, y = data.images, data.factor("kind")
    pipeline = make_pipeline(CodeTransformer(**TINY), LogisticRegression())
    assert pipeline.fit(x, y).predict(x).shape == (20,)
    transformer = pipeline[0]
    codes = transformer.transform(x)
    assert codes.shape == (20, 6) and codes.dtype == np.float32
    assert np.array_equal(codes, transformer.model_.encode(x)["latent"])
    assert transformer.get_feature_names_out().tolist() == [f"latent{i}" for i in range(6)]
    assert np.array_equal(CodeTransformer(**TINY).fit_transform(x), codes)


def test_it_uses_a_run_and_the_spaces_asked_for(tmp_path):
    model = fit("reference-vae", out=tmp_path)
    images = labelled().images
    codes = model.encode(images)
    both = CodeTransformer(run=tmp_path).fit(images).transform(images)
    assert np.array_equal(both, np.concatenate([codes["target"], codes["common"]], axis=1))
    one = CodeTransformer(run=tmp_path, spaces=("common",)).fit(images)
    assert np.array_equal(one.transform(images), codes["common"])
    assert one.get_feature_names_out()[0] == "common0"
    assert np.array_equal(one.transform(labelled()), codes["common"])


def test_labels_become_the_column_that_a_method_must_be_told():
    data = labelled()
    settings = {**ROWS["reference-vae"].settings, "reference": "mood=calm"}
    mood = np.where(data.factor("kind") == 1, "calm", "wild")
    made = CodeTransformer("reference-vae", settings, label="mood", budget="3steps", device="cpu")
    made.fit(data.images, mood)
    assert made.model_.facts["reference_rows"] == 5


def test_flattened_images_and_vectors_are_taken():
    images = labelled((16, 18, 1)).images
    flat = images.reshape(20, -1)
    made = CodeTransformer(**TINY, image_shape=(16, 18)).fit(flat)
    assert made.n_features_in_ == 288
    codes = made.transform(flat)
    assert np.array_equal(made.transform(flat.astype(np.float64)), codes)
    assert np.array_equal(made.transform(images), codes)
    refused(lambda: made.transform(flat[:, :100]), "100", "288", kind=um.DataError)
    refused(lambda: made.transform(flat * -1.0), "0 to 255", kind=um.DataError)
    vectors = np.random.default_rng(0).normal(size=(30, 5))
    assert CodeTransformer(**TINY).fit_transform(vectors).shape == (30, 6)


def test_pixels_are_whole_numbers_or_floats_in_the_unit_of_fit():
    images = labelled((16, 18, 1)).images
    whole = CodeTransformer(**TINY).fit(images)
    codes = whole.transform(images)
    assert whole.scale_ == 1 and codes.std() > 1e-3
    for kind in (np.int16, np.int64, np.uint32, np.float32):
        assert np.array_equal(whole.transform(images.astype(kind)), codes)
    for kind in (np.float32, np.float64):
        share = (images / 255).astype(kind)
        unit = CodeTransformer(**TINY).fit(share)
        assert unit.scale_ == 255 and np.array_equal(unit.transform(share), codes)
        assert np.array_equal(unit.transform(images.astype(np.int32)), codes)
        # The unit is that of fit, however dark these pictures are.
        dark = (images // 100).astype(np.uint8)
        assert np.array_equal(unit.transform((dark / 255).astype(kind)), whole.transform(dark))
        refused(lambda u=unit: u.transform(images * 1.0), "from 0 to 1", "fit", kind=um.DataError)
    refused(lambda: whole.transform(images / 255), "0 to 1", "0 to 255", kind=um.DataError)
    for wrong in (images.astype(int) - 300, images.astype(int) + 200, images * np.nan):
        refused(lambda w=wrong: whole.transform(w), "0 to 255", kind=um.DataError)
    refused(lambda: whole.transform(images > 5), "bool", kind=um.DataError)
    flat = CodeTransformer(**TINY, image_shape=(16, 18)).fit(images.reshape(20, -1) / 255)
    assert flat.scale_ == 255
    assert np.array_equal(flat.transform(images.reshape(20, -1) / 255), codes)


def test_it_keeps_to_scikit_learns_contract():
    transformer = CodeTransformer(**TINY, spaces=("latent",), seed=3)
    copy = clone(transformer)
    assert copy.get_params() == transformer.get_params() and copy is not transformer
    assert copy.set_params(seed=4).seed == 4 and transformer.seed == 3
    images = labelled().images
    with pytest.raises(NotFittedError):
        copy.transform(images)
    assert copy.fit(images) is copy and vars(transformer).keys() == transformer.get_params().keys()
    wrong = CodeTransformer(**{**TINY, "spaces": ("latnet",)})
    refused(lambda: wrong.fit(images), "'latnet'", "'latent'", kind=um.ConfigError)
    refused(lambda: CodeTransformer().fit(images), "method=", "run=", kind=um.ConfigError)
    refused(lambda: CodeTransformer("vea").fit(images), "'vea'", "'vae'", kind=um.ConfigError)
