"""Re-identification: loss and average precision by hand, and what it says of known models."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.reidentification import (
    average_precision,
    batch_hard,
    fit_reidentifier,
    reidentify,
)


def test_batch_hard_by_hand():
    codes = torch.tensor([[0.0], [3.0], [1.0], [10.0]])
    found = batch_hard(codes, torch.tensor([7, 7, 2, 5]))
    # Rows 0 and 1: farthest positive 3; nearest negatives 1 and 2. Rows 2 and 3 have no positive.
    wanted = (math.log(1 + math.exp(3 - 1)) + math.log(1 + math.exp(3 - 2))) / 2
    assert found.item() == pytest.approx(wanted, abs=1e-3)


def test_batch_hard_has_a_gradient_where_codes_agree():
    codes = torch.zeros(4, 2, requires_grad=True)
    batch_hard(codes, torch.tensor([0, 0, 1, 1])).backward()
    assert codes.grad.isfinite().all()


def test_average_precision_by_hand():
    gallery = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    identities = np.array([1, 2, 1, 2, 1])
    queries, wanted = np.array([[0.1], [0.1], [0.1], [0.1]]), np.array([1, 2, 1, 9])
    nothing = np.zeros((4, 0), int)
    found = average_precision(queries, wanted, gallery, identities, nothing)
    assert found[:3] == pytest.approx([(1 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 4) / 2, found[0]])
    assert np.isnan(found[3])
    left_out = np.array([[0, 1], [1, 1], [2, 4], [0, 0]])
    found = average_precision(queries, wanted, gallery, identities, left_out)
    assert found[:3] == pytest.approx([(1 + 2 / 3) / 2, 1 / 3, 1.0])


def people(rows=96, seed=0):
    """Six people, each of one colour, somewhere in the picture."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(60, 255, (6, 3))
    who, where = np.arange(rows) % 6, rng.integers(0, 8, rows)
    images = rng.integers(0, 30, (rows, 16, 16, 3)).astype(np.uint8)
    for row in range(rows):
        images[row, :, where[row] : where[row] + 8] = colours[who[row]]
    return FactorDataset(images=images, factors={"who": who, "where": where}, name="people")


def pixels(decode):
    """A model whose two codes are the whole picture; `decode` chooses."""

    def encode(images):
        flat = np.asarray(images, np.float32).reshape(len(images), -1)
        return {"who": flat, "where": flat}

    return SimpleNamespace(
        encode=encode,
        decode=lambda codes: decode(codes).reshape(-1, 16, 16, 3).astype(np.uint8),
    )


def test_the_encoder_finds_the_identity_and_only_that_of_the_source():
    data = people()
    test, train = data.select(np.arange(36)), data.select(np.arange(36, 96))
    same = {"factor": "who", "space": "who", "steps": 60}
    right = reidentify(pixels(lambda codes: codes["who"]), test, train, **same)
    assert right.real.value > 0.9 and right.transfer.value > 0.9
    assert right.reconstruction.value == pytest.approx(right.real.value)
    wrong = reidentify(pixels(lambda codes: codes["where"]), test, train, **same)
    assert wrong.reconstruction.value > 0.9 and wrong.transfer.value < right.chance
    assert 0.05 < right.chance < 0.4
    assert (right.queries, right.gallery) == (36, 36)
    plain = json.loads(json.dumps(right.to_dict()))
    assert plain["transfer"]["value"] == right.transfer.value
    assert plain["context"]["train"]["fingerprint"] == train.fingerprint()
    assert (plain["context"]["seed"], plain["context"]["steps"]) == (0, 60)


def test_the_encoder_follows_from_its_seed_and_leaves_the_random_state():
    data = people(24)
    before = torch.get_rng_state()
    first, again, other = (
        fit_reidentifier(data.images, data.factors["who"], seed=seed, steps=2)(data.images)
        for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert first.shape == (24, 64) and np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bad_input_is_refused():
    data = people(24)
    model = pixels(lambda codes: codes["who"])
    with pytest.raises(DataError, match="needs images"):
        fit_reidentifier(np.zeros((4, 3), np.float32), np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match="two identities"):
        fit_reidentifier(data.images[:4], np.array([0, 0, 0, 1]))
    with pytest.raises(DataError, match="whom"):
        reidentify(model, data, data, factor="whom", space="who", steps=1)
    with pytest.raises(ConfigError, match="'who'"):
        reidentify(model, data, data, factor="who", space="whom", steps=1)
    alone = data.select(np.arange(6))
    with pytest.raises(DataError, match="no who has two test images"):
        reidentify(model, alone, data, factor="who", space="who", steps=1)
    single = SimpleNamespace(encode=lambda x: {"who": model.encode(x)["who"]}, decode=model.decode)
    with pytest.raises(ConfigError, match="second code space"):
        reidentify(single, data, data, factor="who", space="who", steps=1)


@pytest.mark.parametrize(
    "name",
    ["Reidentification", "find_triplets", "plot_triplets", "reidentify", "triplet_errors"],
)
def test_tests_of_models_with_two_codes_are_found_with_the_other_scores(name):
    from unmingle import evaluation

    assert name in evaluation.__all__
    assert getattr(evaluation, name).__module__.startswith("unmingle.evaluation.")
    with pytest.raises(AttributeError, match="no attribute 'reidentifi'"):
        evaluation.reidentifi  # noqa: B018
