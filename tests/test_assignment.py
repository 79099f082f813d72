"""Which code explains a factor, and views of one item: on models whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import unmingle as um
from unmingle.data.edges import edge_maps, with_edges
from unmingle.evaluation import Estimate, ProbeResult, assign, assignment_table, roles_of
from unmingle.evaluation.assignment import _verdict
from unmingle.plots import prepared_codes, save_gif, views

COLOURS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]], np.uint8)


def draw(colour, place):
    """One patch a picture: which of 3 colours, in which of 4 places."""
    images = np.zeros((len(colour), 16, 16, 3), np.uint8)
    for row, (c, p) in enumerate(zip(colour, place, strict=True)):
        top, left = divmod(int(p), 2)
        images[row, 8 * top + 1 : 8 * top + 7, 8 * left + 1 : 8 * left + 7] = COLOURS[int(c)]
    return images


def scenes(rows=120):
    numbers = np.arange(rows)
    colour, place = numbers % 3, numbers // 3 % 4
    random = np.random.default_rng(0).integers(0, 2, rows)
    factors = {"colour": colour, "place": place, "coin": random}
    return um.FactorDataset(images=draw(colour, place), factors=factors, name="scenes")


class Exact:
    """Codes "a" and "b" that hold colour and place; `which` tells what each one decides."""

    def __init__(self, decides, tells_all=False):
        self.decides, self.tells_all = decides, tells_all
        self.code_spaces = {space: SimpleNamespace(factor=None) for space in ("a", "b")}

    def encode(self, images):
        images = np.asarray(images)
        place = np.stack([images[:, y, x].max(1) for y in (4, 12) for x in (4, 12)], 1).argmax(1)
        colour = images.max((1, 2)).argmax(1)
        codes = np.concatenate([np.eye(3)[colour], np.eye(4)[place]], 1).astype(np.float32)
        found = {}
        for space in ("a", "b"):
            own = codes.copy()
            if not self.tells_all:
                own[:, 3:] *= self.decides["place"] == space
                own[:, :3] *= self.decides["colour"] == space
            found[space] = own
        return found

    def decode(self, codes):
        colour = codes[self.decides["colour"]][:, :3].argmax(1)
        place = codes[self.decides["place"]][:, 3:].argmax(1)
        return draw(colour, place)


@pytest.mark.parametrize("first", ["a", "b"])
def test_each_factor_gets_the_code_that_decides_it(first):
    second = "b" if first == "a" else "a"
    found = assign(Exact({"colour": first, "place": second}), scenes(), ["colour", "place"])
    assert [(one.factor, one.space) for one in found] == [("colour", first), ("place", second)]
    assert roles_of(found) == {first: "colour", second: "place"}
    for one in found:
        assert one.judge.accuracy > 0.95
        assert one.decides[one.space].value > 0.95
        other = "b" if one.space == "a" else "a"
        assert one.decides[other].value < 0.05
        assert one.tells[one.space].accuracy > 0.95 > 0.6 > one.tells[other].accuracy
        assert f"the {one.space} code explains it" in one.why
    assert assignment_table(found).splitlines() == [one.why for one in found]
    about = found[0].context
    assert about["test"]["fingerprint"] == scenes().fingerprint()
    assert (about["seed"], about["swaps"]) == (0, 1000) and "numpy" in about["versions"]


def test_what_a_code_decides_counts_and_not_what_it_tells():
    """Both codes tell everything, and a probe could not choose."""
    model = Exact({"colour": "b", "place": "a"}, tells_all=True)
    found = assign(model, scenes(), ["colour", "place"])
    assert [one.space for one in found] == ["b", "a"]
    assert all(min(r.accuracy for r in one.tells.values()) > 0.95 for one in found)


def test_the_sentence_says_how_good_the_judge_is_and_claims_no_more():
    def told(share, chance=0.1):
        return ProbeResult(share, chance, share - 0.01, share + 0.01, 100, 100)

    def decided(content):
        return {"style": Estimate(0.1, 0.09, 0.11), "content": Estimate(content, content, content)}

    space, why = _verdict("pose", decided(0.16), {}, told(0.9))
    assert space == "content"  # ahead it is
    assert why == (
        "pose: of swapped pictures, 16% the content code, 10% the style code has its way (the "
        "judge is right on 90% of true ones, chance 10%): the content code leads, but no code "
        "explains it"
    )
    space, why = _verdict("pose", decided(0.46), {}, told(0.9))
    assert space == "content" and why.endswith(": the content code explains it")
    tells = {"style": told(0.3), "content": told(0.8)}
    space, why = _verdict("pose", decided(0.5), tells, told(0.1))
    assert space == "content" and "do not show it (the judge is right on 10%" in why
    assert why.endswith(": the content code tells most of it")


def test_both_factors_in_one_code_are_crossed():
    found = assign(Exact({"colour": "a", "place": "a"}), scenes(), ["colour", "place"])
    assert roles_of(found) == {"a": "colour,place"}


def test_a_factor_that_no_code_explains_is_said_to_be_in_none():
    (one,) = assign(Exact({"colour": "a", "place": "b"}), scenes(), ["coin"])
    assert one.space is None and "no code is clearly ahead" in one.why
    assert roles_of([one]) == {}
    assert one.judge.low <= one.judge.chance + 0.1


def test_what_cannot_be_assigned_is_refused():
    model, data = Exact({"colour": "a", "place": "b"}), scenes()
    with pytest.raises(um.DataError, match="'colr'"):
        assign(model, data, ["colr"])
    with pytest.raises(um.ConfigError, match="name the factors"):
        assign(model, data, [])
    model.encode = lambda images: {"a": np.ones((len(images), 2), np.float32)}
    with pytest.raises(um.ConfigError, match="single code space"):
        assign(model, data, ["colour"])


# ---------------------------------------------------------------------- views


def test_views_keep_the_item_and_change_one_code():
    model, data = Exact({"colour": "a", "place": "b"}), scenes()
    codes = prepared_codes(model, data, "b", 4, by="place")
    assert codes.shape == (4, 7)
    made = views(model, data.images[:3], codes, "b")
    assert made.shape == (3, 4, 16, 16, 3)
    for row in range(3):
        wanted = draw(np.full(4, data.factors["colour"][row]), np.arange(4))
        assert np.array_equal(made[row], wanted)


def test_a_factors_views_are_thinned_out_evenly():
    model, data = Exact({"colour": "a", "place": "b"}), scenes()
    codes = prepared_codes(model, data, "b", 2, by="place")
    assert codes[:, 3:].argmax(1).tolist() == [0, 3]
    assert len(prepared_codes(model, data, "b", 50, by="place")) == 4


def test_prepared_codes_without_a_factor_are_codes_there_are():
    model, data = Exact({"colour": "a", "place": "b"}), scenes()
    codes = prepared_codes(model, data, "b", 4, seed=1)
    assert sorted(codes[:, 3:].argmax(1).tolist()) == [0, 1, 2, 3]
    assert np.array_equal(codes, prepared_codes(model, data, "b", 4, seed=1))
    assert len(prepared_codes(model, data, "b", 50)) == 4  # no more than there are
    with pytest.raises(um.ConfigError, match="count"):
        prepared_codes(model, data, "b", 0)
    with pytest.raises(um.ConfigError, match="'c'"):
        prepared_codes(model, data, "c")


def test_a_gif_has_all_its_frames(tmp_path):
    frames = draw(np.arange(6) % 3, np.arange(6) % 4)
    file = save_gif(tmp_path / "a.gif", frames, milliseconds=200)
    with Image.open(file) as gif:
        assert gif.n_frames == 6 and gif.info["duration"] == 200 and gif.info["loop"] == 0
        for number in range(6):
            gif.seek(number)
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - frames[number]).max() <= 8
    with pytest.raises(um.RunError, match="exists"):
        save_gif(file, frames)
    with pytest.raises(um.DataError, match="frames"):
        save_gif(tmp_path / "b.gif", frames[0])
    with pytest.raises(um.ConfigError, match="10 ms"):
        save_gif(tmp_path / "b.gif", frames, milliseconds=0)


# ---------------------------------------------------------------------- edges


def test_edges_are_dark_where_the_image_changes():
    images = np.full((2, 20, 24, 3), 250, np.uint8)
    images[:, 6:14, 8:16] = (200, 30, 60)
    lines = edge_maps(images)
    assert lines.shape == images.shape and lines.dtype == np.uint8
    assert (lines[..., 0] == lines[..., 2]).all()
    assert lines[0, 6, 12].max() < 60 and lines[0, 10, 8].max() < 60  # on the outline
    assert lines[0, 10, 12].min() > 150 and lines[0, 1, 1].min() == 255  # inside, outside
    alpha = np.concatenate([images, np.full((2, 20, 24, 1), 9, np.uint8)], 3)
    assert (edge_maps(alpha)[..., 3] == 9).all()
    flat = edge_maps(np.full((1, 16, 16, 1), 80, np.uint8))
    assert (flat == 255).all()
    with pytest.raises(um.ConfigError, match="sigma"):
        edge_maps(images, 0)
    with pytest.raises(um.DataError, match="images"):
        edge_maps(images[0])


def test_pictures_and_edges_are_one_data_set():
    data = scenes(8)
    both = with_edges(data)
    assert len(both) == 16 and both.names("domain") == ("picture", "edges")
    assert both.factors["domain"].tolist() == [0] * 8 + [1] * 8
    assert np.array_equal(both.factors["place"], np.tile(data.factors["place"], 2))
    assert np.array_equal(both.images[:8], data.images)
    assert np.array_equal(both.images[8:], edge_maps(data.images))
    with pytest.raises(um.ConfigError, match="'colour'"):
        with_edges(data, "colour")
    vectors = um.FactorDataset(vectors=np.ones((4, 3)), factors={"a": [0, 0, 1, 1]})
    with pytest.raises(um.DataError, match="vectors"):
        with_edges(vectors)
