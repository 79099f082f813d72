"""A single code as two: which dimension goes where, and that nothing else of the model changes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from test_methods import refused

import unmingle as um
from unmingle.bench.scores import seen_codes
from unmingle.evaluation import evaluate
from unmingle.evaluation.model import space_factors
from unmingle.evaluation.split_code import SplitCode, _owners, split_code

FACTORS = {"style": "colour", "content": "place"}


def scenes(rows=240):
    """Every colour (of 3) in every place (of 4), as brightness and column of a bar."""
    numbers = np.arange(rows)
    colour, place = numbers % 3, numbers // 3 % 4
    images = np.zeros((rows, 16, 16, 1), np.uint8)
    for row in range(rows):
        images[row, :, 4 * place[row] : 4 * place[row] + 2] = 80 * (colour[row] + 1)
    return um.FactorDataset(images=images, factors={"colour": colour, "place": place}, name="bars")


class OneCode:
    """Its code: place, colour, a bit of both that is more of the colour, nothing, and place."""

    code_spaces = {"latent": SimpleNamespace(name="latent", dim=5, factor=None)}  # noqa: RUF012
    run_info = {"seed": 7}  # noqa: RUF012

    def encode(self, items):
        images = np.asarray(items, np.float32)
        place = images.max((1, 3)).argmax(1) / 4
        colour = images.max((1, 2, 3)) / 80 - 1
        mixed = 10 * colour + (place > 1)
        codes = [place, colour, mixed, 0 * place, -2 * place]
        return {"latent": np.stack(codes, axis=1).astype(np.float32)}

    def decode(self, codes):
        (code,) = codes.values()
        images = np.zeros((len(code), 16, 16, 1), np.uint8)
        for image, (place, colour, *_) in zip(images, code, strict=True):
            left = 4 * round(float(place))
            image[:, left : left + 2] = 80 * (round(float(colour)) + 1)
        return images


def test_a_dimension_goes_to_the_factor_it_tells_more_of():
    data = scenes()
    split = split_code(OneCode(), data, FACTORS)
    assert {space: dims.tolist() for space, dims in split.dims.items()} == {
        "style": [1, 2, 3],  # what tells of nothing goes to the first
        "content": [0, 4],
    }
    assert space_factors(split) == FACTORS and split.run_info == {"seed": 7}
    assert {space: part.dim for space, part in split.code_spaces.items()} == {
        "style": 3,
        "content": 2,
    }
    # The first is another one now.
    turned = split_code(OneCode(), data, {"a": "place", "b": "colour"})
    assert turned.dims["a"].tolist() == [0, 3, 4] and turned.dims["b"].tolist() == [1, 2]


def test_the_share_counts_and_not_the_amount():
    """A dimension tells log 4 of the log 8 of the place, and of the colour all there is, log 2."""
    place, colour = np.arange(64) % 8, np.arange(64) // 8 % 2
    images = np.zeros((64, 16, 16, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(64)
    data = um.FactorDataset(images=images, factors={"colour": colour, "place": place})
    codes = np.stack([2 * (place // 2) + colour, place], axis=1).astype(np.float32)
    model = SimpleNamespace(
        code_spaces={"latent": None},
        encode=lambda items: {"latent": codes[np.asarray(items)[:, 0, 0, 0]]},
    )
    split = split_code(model, data, FACTORS)
    assert split.dims["style"].tolist() == [0] and split.dims["content"].tolist() == [1]


def test_no_code_space_is_left_without_a_dimension():
    # The second column is nowhere ahead, and least behind in the second row.
    assert _owners(np.array([[0.9, 0.1], [0.5, 0.4], [0.3, 0.1]])).tolist() == [0, 1, 0]
    assert _owners(np.array([[0.0, 0.0], [0.0, 0.0]])).tolist() == [1, 0]
    three = _owners(np.array([[0.1, 0.9, 0.2], [0.1, 0.8, 0.3], [0.2, 0.9, 0.1]]))
    assert sorted(three.tolist()) == [0, 1, 2]


def test_codes_are_parted_and_put_together_again():
    model, data = OneCode(), scenes(24)
    split = SplitCode(model, {"b": [4, 1], "a": [0, 2, 3]}, {"a": "place"})
    whole, parts = model.encode(data.images)["latent"], split.encode(data.images)
    assert np.array_equal(parts["b"], whole[:, [1, 4]])
    assert np.array_equal(parts["a"], whole[:, [0, 2, 3]])
    assert np.array_equal(split.decode(parts), data.images)
    one = split.decode({"a": parts["a"][:1], "b": parts["b"]})  # the first one's place for all
    assert np.array_equal(one[7], data.images[int(data.factor("colour")[7])])
    assert space_factors(split) == {"b": None, "a": "place"}


def test_it_is_scored_like_a_model_of_two_codes():
    data = scenes()
    split = split_code(OneCode(), data, FACTORS)
    scores = evaluate(split, data, probes=("linear",), metrics=("mse",), pairs=50)
    assert scores.transfer.metrics["mse"].model.value == 0
    assert scores.probe("colour", "style", "linear").accuracy > 0.95
    assert scores.probe("colour", "content", "linear").accuracy < 0.5
    model = OneCode()
    assert seen_codes(model, data) is model  # it optimises no codes


def test_what_cannot_be_parted_is_refused():
    data, model = scenes(24), OneCode()
    refused(lambda: split_code(model, data, {"a": "colour"}), "two code spaces")
    refused(lambda: split_code(model, data, {"a": "colour", "b": "pose"}), "'pose'")
    six = {str(number): "colour" for number in range(6)}
    refused(lambda: split_code(model, data, six), "5 dimensions", "6")
    alike = data.select(data.factor("place") == 1)
    refused(lambda: split_code(model, alike, FACTORS), "place", "one value", kind=um.DataError)
    split = SplitCode(model, {"a": [0, 1], "b": [2, 3, 4]})
    refused(lambda: split_code(split, data, FACTORS), "single code", "a, b", kind=um.ConfigError)
    for dims in ({"a": [0, 1], "b": [1, 2]}, {"a": [0], "b": [2]}):
        with pytest.raises(um.ConfigError, match="one code space"):
            SplitCode(model, dims)
    short = SplitCode(model, {"a": [0], "b": [1]})
    refused(lambda: short.encode(data.images), "5 dimensions", "2", kind=um.ConfigError)
