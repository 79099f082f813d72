"""The Fréchet distance of features, against closed forms and an independent formula."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation import Extras, Scores, evaluate, feature_distance, frechet_distance
from unmingle.evaluation.feature_distance import FeatureDistance, fitting_tap
from unmingle.evaluation.st_lpips import st_lpips


def _diagonal(mean, spread):
    """Rows with exactly this mean and these standard deviations (divided by N - 1), axes apart."""
    count = 2 * len(mean)
    rows = np.zeros((count, len(mean)))
    for axis, s in enumerate(spread):
        rows[2 * axis, axis], rows[2 * axis + 1, axis] = s, -s
    return rows * np.sqrt((count - 1) / 2) + mean


def test_axes_apart_by_hand():
    a = _diagonal(np.array([1.0, 2, 3]), [1.0, 2, 0.5])
    b = _diagonal(np.array([1.0, 0, 3]), [3.0, 2, 1])
    # the means differ by 2 on one axis, the deviations by 2, 0 and 1/2
    assert frechet_distance(a, b) == pytest.approx(4 + 4 + 0 + 0.25)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sizes", [(50, 40), (200, 60)])
def test_against_the_root_of_the_product(sizes):
    rng = np.random.default_rng(0)
    turn = rng.normal(size=(6, 6))
    a, b = (
        rng.normal(size=(sizes[0], 6)) @ turn,
        2 + rng.normal(size=(sizes[1], 6)) * [1, 2, 3, 1, 1, 1],
    )
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(
        one + two - 2 * np.real(sqrtm(one @ two))
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


def test_more_features_than_rows():
    # Two rows each: rank one. tr (A B)^(1/2) = |u||v||cos| for A = u u', B = v v'.
    u, v = np.array([3.0, 0, 0, 0]), np.array([2.0, 2, 0, 0])
    a, b = np.stack([u, -u]) / np.sqrt(2), np.stack([v, -v]) / np.sqrt(2)
    assert frechet_distance(a, b) == pytest.approx(9 + 8 - 2 * 6)


def test_features_that_cannot_be_compared():
    good = np.random.default_rng(0).normal(size=(5, 3))
    for a, text in (
        (good[:, :2], r"\(5, 2\)"),
        (good[:1], "two rows"),
        (np.where(good > 0, np.nan, good), "NaN"),
    ):
        with pytest.raises(DataError, match=text):
            frechet_distance(a, good)


def test_features_are_means_of_a_tap():
    import torch.nn.functional as F

    net = st_lpips("alex")
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    assert [net.pooled(images[:2], tap).shape[1] for tap in range(1, 6)] == [64, 192, 384, 256, 256]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    pixels = (pixels - net._weights["scaling_layer.shift"]) / net._weights["scaling_layer.scale"]
    first = F.conv2d(
        pixels, net._weights["net.slice1.0.weight"], net._weights["net.slice1.0.bias"], padding=2
    )
    kernel = torch.tensor([1.0, 2, 1]).outer(torch.tensor([1.0, 2, 1])).div(16)
    padded = F.pad(first, (2, 2, 2, 2), "reflect")
    smooth = F.conv2d(padded, kernel.expand(64, 1, 3, 3), stride=2, groups=64)
    found = net.pooled(images, 1)  # in two batches
    np.testing.assert_allclose(found, F.relu(smooth).mean((2, 3)).numpy(), rtol=1e-4, atol=1e-5)


def test_the_tap_fits_the_rows():
    assert [fitting_tap(rows) for rows in (4, 128, 383, 384, 511, 512)] == [1, 1, 1, 2, 2, 5]


def _pictures(rows=60):
    """Each row a mixture of two grey levels: the left half by `a`, the right by `b`."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, rows))
    images = np.zeros((rows, 16, 16, 1), np.uint8)
    images[:, :, :8] = (60 * a + 20)[:, None, None, None]
    images[:, :, 8:] = (60 * b + 20)[:, None, None, None]
    return FactorDataset(images=images, factors={"a": a, "b": b}, name="halves")


class Halves:
    """Codes are the halves' grey levels; `decode` adds `off` to what it paints."""

    def __init__(self, off=0):
        self.off = off

    def encode(self, images):
        images = np.asarray(images).astype(float)
        return {"left": images[:, 0, :1, 0], "right": images[:, 0, -1:, 0]}

    def decode(self, codes):
        sides = [codes["left"], codes["right"]]
        sides = [np.repeat(side[:, None, :, None], 8, 2).repeat(16, 1) for side in sides]
        return (np.concatenate(sides, 2) + self.off).astype(np.uint8)


def test_a_perfect_model_is_at_the_floor_and_an_imperfect_one_above():
    data = _pictures()
    perfect, off = feature_distance(Halves(), data), feature_distance(Halves(off=15), data)
    assert perfect.rebuilt == perfect.real  # the very images
    # the left and right levels are independent, so recombined images are as real ones
    assert perfect.recombined.mean < 2 * perfect.real.mean
    assert off.real == perfect.real
    assert off.rebuilt.mean > perfect.rebuilt.high
    assert off.recombined.mean > perfect.recombined.mean
    assert (perfect.take, perfect.rows) == ("left", 30)
    assert perfect.features == "64 pooled features of ST-LPIPS's AlexNet, tap 1"
    assert perfect.real.low <= perfect.real.mean <= perfect.real.high
    assert feature_distance(Halves(), data) == perfect
    assert feature_distance(Halves(), data, seed=1).real != perfect.real
    assert "not FID" in "\n".join(perfect.lines())
    assert feature_distance(Halves(), data, rows=21).rows == 10


def test_recombination_takes_one_code_from_another_image():
    # left and right are equal in the data and differ once recombined
    data = _pictures()
    same = np.repeat(data.images[:, :, :8], 2, axis=2)
    found = feature_distance(Halves(), FactorDataset(images=same), take="right")
    assert found.recombined.low > found.real.high
    assert found.rebuilt == found.real


def test_vectors_are_compared_as_they_are():
    vectors = np.random.default_rng(0).normal(size=(400, 2))
    model = SimpleNamespace(
        encode=lambda x: {"a": x[:, :1], "b": x[:, 1:]},
        decode=lambda codes: np.concatenate([codes["a"], codes["b"]], 1) + 3,
    )
    found = feature_distance(model, FactorDataset(vectors=vectors))
    assert found.features == "the vectors themselves"
    assert found.rebuilt.mean == pytest.approx(found.real.mean + 18, rel=0.15)  # 3² on two axes


def test_what_cannot_be_measured():
    data = _pictures()
    with pytest.raises(DataError, match="7 rows"):
        feature_distance(Halves(), data.select(np.arange(7)))
    with pytest.raises(ConfigError, match="'left'"):
        feature_distance(Halves(), data, take="lefd")
    with pytest.raises(ConfigError, match="nothing to recombine"):
        feature_distance(SimpleNamespace(encode=lambda x: {"a": np.zeros((len(x), 1))}), data)


def test_it_survives_a_file_and_missing_rows_are_a_note(tmp_path):
    data = _pictures()
    options = {"probes": [], "metrics": [], "extras": Extras(frechet=True)}
    scores = evaluate(Halves(), data, **options)
    assert isinstance(scores.feature_distance, FeatureDistance)
    again = Scores.load(scores.save(tmp_path / "scores.json"))
    assert again.feature_distance == scores.feature_distance
    assert again.table() == scores.table() and "Fréchet" in scores.table()
    few = evaluate(Halves(), data.select(np.arange(5)), **options)
    assert few.feature_distance is None
    assert any("Fréchet distance left out: 5 rows" in note for note in few.notes)
