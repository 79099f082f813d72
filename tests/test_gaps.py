"""MIG of codes that are distributions, on models whose codes are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation import Extras, draw_codes, evaluate, measure_gaps
from unmingle.evaluation.gaps import labelled_owners

ROWS = 1200


def kinds():
    """Vectors that hold one of four kinds and one of three poses."""
    kind, pose = np.arange(ROWS) % 4, np.arange(ROWS) // 4 % 3
    vectors = np.stack([kind, pose], 1).astype(np.float32)
    return FactorDataset(vectors=vectors, factors={"kind": kind, "pose": pose}, name="kinds")


class Gaussian:
    """The means of its unknown code tell kind and pose, the code itself neither."""

    def __init__(self, told=("kind", None)):
        self.code_spaces = {
            space: SimpleNamespace(factor=factor)
            for space, factor in zip(("kind", "unknown"), told, strict=True)
        }

    def posteriors(self, items):
        items = np.asarray(items, np.float32)
        kind, unknown = items[:, :1], items * 1e-3
        return {
            "kind": (kind, np.full_like(kind, 0.01)),
            "unknown": (unknown, np.full_like(unknown, 1.0)),
        }

    def encode(self, items):
        return {space: mean for space, (mean, _) in self.posteriors(items).items()}


def test_draws_have_the_moments_of_the_posteriors_and_follow_from_the_seed():
    data = kinds()
    found = draw_codes(Gaussian(), data.items)
    assert {space: codes.shape for space, codes in found.items()} == {
        "kind": (ROWS, 1),
        "unknown": (ROWS, 2),
    }
    off = found["kind"] - data.vectors[:, :1]
    assert off.std() == pytest.approx(0.01, rel=0.1)
    assert found["unknown"].std() == pytest.approx(1, rel=0.1)
    assert np.array_equal(found["kind"], draw_codes(Gaussian(), data.items)["kind"])
    assert not np.array_equal(found["kind"], draw_codes(Gaussian(), data.items, 1)["kind"])
    with pytest.raises(ConfigError, match=r"posteriors.*choose_noise"):
        draw_codes(SimpleNamespace(encode=Gaussian().encode), data.items)


def test_gaps_are_those_of_draws_and_of_labelled_factors():
    data = kinds()
    found = measure_gaps(Gaussian(), data, {"pose": "unknown"})
    # Nothing but the kind's own code tells the kind, and nothing at all the pose.
    assert found.labelled.score == pytest.approx(1, abs=0.1)
    assert found.every.gaps == pytest.approx([1, 0], abs=0.1)
    assert found.every.score == pytest.approx(np.mean(found.every.gaps))
    assert measure_gaps(Gaussian(), data).every == found.labelled
    with pytest.raises(DataError, match="no factors"):
        measure_gaps(Gaussian((None, None)), data, {"pose": "unknown"})
    with pytest.raises(ConfigError, match="'unknown'"):
        measure_gaps(Gaussian(), data, {"pose": "unknwn"})


def test_which_factors_count():
    owners = {"kind": "kind", "pose": "unknown"}
    assert labelled_owners(Gaussian(), owners) == {"kind": "kind"}
    assert labelled_owners(Gaussian((None, None)), owners) == owners


def test_evaluate_measures_mig_by_space_on_draws_where_there_are_some():
    data = kinds()
    roles, extras = {"unknown": "pose"}, Extras(disentanglement=["mig_by_space"])

    def score(model):
        scores = evaluate(model, data, roles=roles, probes=[], metrics=[], extras=extras)
        return scores.disentanglement["mig_by_space"]["score"]

    assert score(Gaussian()) == pytest.approx(measure_gaps(Gaussian(), data).labelled.score)
    points = SimpleNamespace(encode=Gaussian().encode, code_spaces=Gaussian().code_spaces)
    assert score(points) == pytest.approx(0, abs=1e-6)  # its unknown code's points tell the kind
