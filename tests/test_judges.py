"""Recognisers as judges, on pictures whose factors are plain to see."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation import Extras, Judging, Scores, evaluate, judge, recogniser
from unmingle.evaluation.judges import _differing, turns
from unmingle.evaluation.recogniser import fit_recogniser

COLOURS = np.array([[230, 40, 40], [40, 220, 60], [60, 60, 235]], np.uint8)
CORNERS = [(1, 1), (1, 9), (9, 1), (9, 9)]
ROLES = {"class": "colour", "content": "corner"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Enough steps for twelve different pictures."""
    from unmingle.evaluation import recogniser

    monkeypatch.setattr(recogniser, "_STEPS", 40)


def _picture(colour, corner):
    image = np.full((16, 16, 3), 20, np.uint8)
    top, left = CORNERS[corner]
    image[top : top + 6, left : left + 6] = COLOURS[colour]
    return image


def _pictures(repeats=20, seed=0):
    """Coloured squares in corners, with noise."""
    colour, corner = (np.tile(x.ravel(), repeats) for x in np.indices((3, 4)))
    clean = np.stack([_picture(*cell) for cell in zip(colour, corner, strict=True)])
    noise = np.random.default_rng(seed).integers(-15, 16, clean.shape)
    return FactorDataset(
        images=np.clip(clean + noise, 0, 255).astype(np.uint8),
        factors={"colour": colour, "corner": corner},
        name="squares",
    )


class Painter:
    """Reads colour and corner from a picture and paints them; `decode` may be replaced."""

    def __init__(self):
        self.code_spaces = {
            "class": SimpleNamespace(factor="colour"),
            "content": SimpleNamespace(factor=None),
        }

    def encode(self, images):
        images = np.asarray(images).astype(int)
        means = np.stack([images[:, y : y + 6, x : x + 6].mean((1, 2)) for y, x in CORNERS], 1)
        corner = means.sum(2).argmax(1)
        colour = means[np.arange(len(images)), corner].argmax(1)
        return {"class": np.eye(3)[colour], "content": np.eye(4)[corner]}

    def decode(self, codes):
        cells = zip(codes["class"].argmax(1), codes["content"].argmax(1), strict=True)
        return np.stack([_picture(*cell) for cell in cells])


def _both(model, **options):
    data = _pictures()
    train, test = data.split(test=0.3, seed=0)
    found = judge(model, test, train=train, roles=ROLES, **options)
    return found, {one.factor: one for one in found.judgements}, train, test


def test_judges_agree_with_a_model_that_is_right():
    found, by_factor, train, test = _both(Painter())
    assert found.take == "class" and found.notes == []
    for factor, one in by_factor.items():
        assert one.real.value > 0.95 and one.right.value > 0.95 and one.mixed.value < 0.05
        assert one.copied.value > 0.95 and one.rebuilt.value > 0.95
        assert one.real.low < one.real.value <= one.real.high
        count = len(np.unique(test.factor(factor)))
        assert one.chance == pytest.approx(1 / count, abs=0.15)
        assert (one.n_train, one.n_real) == (len(train), len(test))
        assert one.pairs <= len(test)
    assert (by_factor["colour"].source, by_factor["corner"].source) == ("i", "j")
    assert found.context["train"]["fingerprint"] == train.fingerprint()
    lines = "\n".join(found.lines())
    assert "judge on real images" in lines and "trained on training rows" in lines


def test_judges_see_a_code_that_means_another_thing_beside_another_code():
    model = Painter()
    encode, paint = model.encode, model.decode

    def turned(codes, back):  # corners turned by the number of the colour
        turn = codes["class"].argmax(1)
        corner = (codes["content"].argmax(1) + (-turn if back else turn)) % 4
        return {**codes, "content": np.eye(4)[corner]}

    model.encode = lambda images: turned(encode(images), back=False)
    model.decode = lambda codes: paint(turned(codes, back=True))
    found, by_factor, _, _ = _both(model)
    assert by_factor["corner"].rebuilt.value > 0.95 and by_factor["corner"].right.value < 0.6
    assert by_factor["colour"].right.value > 0.95
    assert "by its own codes" in "\n".join(found.lines())


def test_judges_see_whose_factor_it_is():
    model = Painter()
    paint = model.decode
    # the corner is painted from the class code's number: what content says does not count
    model.decode = lambda codes: paint(
        {"class": codes["class"], "content": np.eye(4)[codes["class"].argmax(1)]}
    )
    _, wrong, _, _ = _both(model)
    assert wrong["colour"].right.value > 0.95
    assert wrong["corner"].right.value < 0.6

    class Mixer:
        """Hands back the image whose content was wanted."""

        code_spaces = Painter().code_spaces
        encode = Painter.encode

        def recombine(self, images):
            return images["content"]

    _, mixed, _, _ = _both(Mixer())
    assert mixed["colour"].mixed.value > 0.95 and mixed["colour"].right.value < 0.05
    assert mixed["corner"].right.value > 0.95
    _, other, _, _ = _both(Mixer(), take="content")
    assert other["colour"].source == "j"  # content from i, the class from j
    assert other["corner"].right.value > 0.95 and other["colour"].right.value < 0.05


def test_new_classes_are_learnt_from_half_of_the_test_rows():
    data = _pictures()
    train, test = data.split(by="colour", values=["1", "2"])
    found = judge(Painter(), test, train=train, roles=ROLES)
    by_factor = {one.factor: one for one in found.judgements}
    colour, corner = by_factor["colour"], by_factor["corner"]
    assert colour.how == "trained on half the test rows"
    assert colour.n_train + colour.n_real == len(test)
    assert colour.right.value > 0.95 and colour.chance == pytest.approx(0.5, abs=0.05)
    assert corner.how == "trained on training rows"


def test_what_cannot_be_judged():
    data = _pictures(repeats=3)
    one = data.select(data.factor("colour") == 1)
    found = judge(Painter(), one, roles=ROLES)
    assert [judged.factor for judged in found.judgements] == ["corner"]
    assert "colour: all real images" in found.notes[0]
    with pytest.raises(ConfigError, match="two code spaces"):
        judge(SimpleNamespace(encode=Painter().encode), data)
    with pytest.raises(ConfigError, match="'content'"):
        judge(Painter(), data, roles={"contents": "corner"})
    with pytest.raises(ConfigError, match="'class'"):
        judge(Painter(), data, roles=ROLES, take="klass")
    with pytest.raises(DataError, match="corner"):
        judge(Painter(), data, roles={"content": "corners"})


def test_angles_by_hand():
    true = np.array([0, 0, 0, 11, 5, 6])
    found = np.array([0, 1, 6, 0, 11, 1])  # steps of 30 degrees: 0, 1, 6, 1, 6, 5
    seen = turns(found, true, 12)
    assert seen.error.value == pytest.approx((0 + 30 + 180 + 30 + 180 + 150) / 6)
    assert seen.near.value == pytest.approx(3 / 6) and seen.opposite.value == pytest.approx(3 / 6)
    assert seen == turns(true, found, 12) and seen.error.low < seen.error.value < seen.error.high


def test_a_factor_that_goes_around_is_judged_as_an_angle():
    model = Painter()
    paint = model.decode
    half_a_turn = np.roll(np.eye(4), 2, axis=0)
    model.decode = lambda codes: paint({**codes, "content": codes["content"] @ half_a_turn})
    found, by_factor, _, _ = _both(model, angles=["corner"])
    corner = by_factor["corner"]
    assert corner.off.error.value > 170 and corner.off.opposite.value > 0.95
    assert corner.real_off.error.value < 9 and corner.real_off.near.value > 0.95
    assert corner.rebuilt_off.error.value > 170
    assert by_factor["colour"].off is None and found.context["angles"] == ["corner"]
    assert Judging.from_dict(found.to_dict()) == found
    assert "corner as an angle: 1" in "\n".join(found.lines())
    with pytest.raises(ConfigError, match="angle size: not judged, only colour, corner"):
        _both(model, angles=["size"])
    with pytest.raises(ConfigError, match="3 values are too few"):
        _both(model, angles=["colour"])


def test_a_rare_value_has_its_pairs():
    y = np.zeros(1000, int)
    y[7] = 1
    for seed in range(5):
        i, j = _differing(y, np.arange(1000), 3, seed)
        assert len(set(i.tolist())) == 3 and (y[i] != y[j]).all()
    y, rows = np.array([5, 9, 5, 2, 9, 9]), np.array([0, 1, 2, 4, 5])
    partners = set()
    for seed in range(60):
        i, j = _differing(y, rows, 99, seed)
        assert sorted(i.tolist()) == rows.tolist() and (y[i] != y[j]).all()
        partners |= set(zip(i.tolist(), j.tolist(), strict=True))
    assert partners == {(a, b) for a in rows.tolist() for b in rows.tolist() if y[a] != y[b]}
    with pytest.raises(DataError, match="no two real images"):
        _differing(0 * y, rows, 3, 0)


def test_what_cannot_recombine_is_not_judged():
    with pytest.raises(ConfigError, match="neither decode nor recombine"):
        judge(SimpleNamespace(encode=Painter().encode), _pictures(repeats=3), roles=ROLES)


def test_the_recogniser_repeats_and_leaves_the_random_state(monkeypatch):
    data = _pictures(repeats=4)
    torch.manual_seed(3)
    first = fit_recogniser(data.items, data.factor("corner"), seed=1, steps=3)(data.items)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == after
    recogniser._fitted.clear()
    again = fit_recogniser(data.items, data.factor("corner"), seed=1, steps=3)(data.items)
    np.testing.assert_array_equal(first, again)


def test_the_same_rows_and_values_are_learnt_once():
    data = _pictures(repeats=2)
    items, y = data.items[:], data.factor("corner")
    first = fit_recogniser(items, y, steps=20)
    assert fit_recogniser(items.copy(), y.copy(), steps=20) is first
    other = items.copy()
    other[0, 0, 0, 0] ^= 1
    assert fit_recogniser(other, y, steps=20) is not first
    assert fit_recogniser(items, (y + 1) % 4, steps=20) is not first
    assert fit_recogniser(items, y, seed=1, steps=20) is not first
    for steps in range(21, 21 + recogniser._KEPT):
        assert fit_recogniser(items, y, steps=steps) is not first
    assert len(recogniser._fitted) == recogniser._KEPT


def test_the_recogniser_takes_large_and_narrow_images_and_names_values():
    data = _pictures(repeats=2)
    large = np.kron(data.items[:], np.ones((1, 10, 2, 1), np.uint8))  # 160 x 32
    seen = fit_recogniser(large, 7 + 2 * data.factor("corner"), steps=40)(large)
    assert set(seen) <= {7, 9, 11, 13} and (seen == 7 + 2 * data.factor("corner")).mean() > 0.8
    with pytest.raises(DataError, match="too few"):
        fit_recogniser(large[:1], np.array([1]))


def test_vectors_are_judged_by_the_mlp(monkeypatch):
    monkeypatch.setattr("unmingle.evaluation.mlp._PATIENCE", 2)
    rng = np.random.default_rng(0)
    kind, place = (np.tile(x.ravel(), 25) for x in np.indices((2, 3)))
    vectors = np.stack([kind, place], 1) + 0.05 * rng.normal(size=(150, 2))
    data = FactorDataset(vectors=vectors, factors={"kind": kind, "place": place})
    model = SimpleNamespace(
        encode=lambda x: {"a": x[:, :1], "b": x[:, 1:]},
        decode=lambda codes: np.concatenate([codes["a"], codes["b"]], 1),
    )
    found = judge(model, data, roles={"a": "kind", "b": "place"})
    assert all(one.right.value > 0.9 for one in found.judgements)


def test_judges_survive_a_file(tmp_path):
    data = _pictures(repeats=6)
    train, test = data.split(test=0.4, seed=0)
    scores = evaluate(
        Painter(), test, train=train, roles=ROLES, probes=[], metrics=[],
        extras=Extras(judges=True, angles=["corner"]),
    )  # fmt: skip
    assert isinstance(scores.judges, Judging) and scores.judges.judgements[1].off is not None
    again = Scores.load(scores.save(tmp_path / "scores.json"))
    assert again.judges == scores.judges
    assert "Judges: recognisers" in again.table()
    lonely = evaluate(
        SimpleNamespace(encode=Painter().encode), test, probes=[], metrics=[],
        extras=Extras(judges=True),
    )  # fmt: skip
    assert lonely.judges is None and any("judges left out" in note for note in lonely.notes)
