"""The triplet test, on models whose errors are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError, RunError
from unmingle.evaluation.triplets import (
    TripletErrors,
    Triplets,
    find_triplets,
    plot_triplets,
    triplet_errors,
)


def scenes(repeats=1, holes=()):
    """Grey pictures: the left half tells who (0..4), the right half the pose (0..3)."""
    who, pose, _ = (part.ravel() for part in np.indices((5, 4, repeats)))
    kept = np.array([(w, p) not in holes for w, p in zip(who, pose, strict=True)])
    who, pose = who[kept], pose[kept]
    images = np.zeros((len(who), 16, 16, 1), np.uint8)
    images[:, :, :8] = (10 * who).astype(np.uint8)[:, None, None, None]
    images[:, :, 8:] = (20 * pose).astype(np.uint8)[:, None, None, None]
    return FactorDataset(images=images, factors={"who": who, "pose": pose}, name="scenes")


def model(off=0):
    """Reads and paints the halves; `off` is added to every pixel it paints."""

    def encode(images):
        images = np.asarray(images, np.float32)
        return {"who": images[:, 0, :1, 0], "pose": images[:, 0, 15:, 0]}

    def decode(codes):
        images = np.zeros((len(codes["who"]), 16, 16, 1), np.uint8)
        images[:, :, :8] = (codes["who"] + off).astype(np.uint8)[:, :, None, None]
        images[:, :, 8:] = (codes["pose"] + off).astype(np.uint8)[:, :, None, None]
        return images

    return SimpleNamespace(encode=encode, decode=decode)


@pytest.mark.parametrize("repeats", [1, 3])
def test_triplets_share_what_they_should(repeats):
    data = scenes(repeats, holes={(0, 0), (3, 2)})
    found = find_triplets(data, "who", "pose", 3000, seed=1)
    who, pose = data.factors["who"], data.factors["pose"]
    assert len(found) == 3000
    assert (who[found.x1] == who[found.x2]).all() and (pose[found.x3] == pose[found.x2]).all()
    assert (pose[found.x1] != pose[found.x2]).all() and (who[found.x3] != who[found.x2]).all()
    assert set(found.x2) == set(range(len(data)))
    # Each partner that there is, is drawn about as often as the others.
    row = int(found.x2[0])
    of_row = found.x1[found.x2 == row]
    partners = np.flatnonzero((who == who[row]) & (pose != pose[row]))
    assert set(of_row) == set(partners)


def test_triplets_follow_from_the_seed():
    data = scenes()
    first, again, other = (find_triplets(data, "who", "pose", 50, seed=s) for s in (0, 0, 1))
    assert (first.x1 == again.x1).all() and (first.x3 == again.x3).all()
    assert (first.x2 != other.x2).any()


def test_rows_without_partners_are_never_true():
    data = scenes().select(np.array([0, 1, 4, 5, 18]))  # (0,0) (0,1) (1,0) (1,1) and (4,2) alone
    assert 4 not in find_triplets(data, "who", "pose", 200).x2
    with pytest.raises(DataError, match="scenes: no row has both"):
        find_triplets(scenes().select(np.array([0, 5, 10])), "who", "pose")


def test_errors_by_hand():
    data = scenes()
    triplets = Triplets(np.array([0, 5]), np.array([1, 6]), np.array([13, 18]))
    perfect = triplet_errors(model(), data, triplets, "who", "pose")
    assert perfect.errors.tolist() == [0, 0] and perfect.median == 0
    about = perfect.to_dict()["context"]
    assert about["test"]["fingerprint"] == data.fingerprint() and about["triplets"] == 2
    assert about["seed"] is None and "numpy" in about["versions"]
    drawn = triplet_errors(model(), data, find_triplets(data, "who", "pose", 3, 4), "who", "pose")
    assert drawn.context["seed"] == 4
    off = triplet_errors(model(off=51), data, triplets, "who", "pose")
    assert off.errors == pytest.approx([0.04, 0.04])
    # x1 differs from x2 by 20 in the right half, x3 by 30 (rows 13, 18 - 1, 6) in the left half.
    assert perfect.copies == pytest.approx([(20 / 255) ** 2 / 2] * 2)
    swapped = triplet_errors(model(), data, triplets, "pose", "who")
    assert swapped.errors.min() > 0


def test_median_quartiles_and_json():
    found = TripletErrors(np.arange(5.0), np.full(5, 2.0))
    assert found.median == 2 and found.quartiles == (1, 3)
    plain = found.to_dict()
    assert plain["triplets"] == 5 and plain["mean"] == 2 and plain["copy_median"] == 2
    assert plain["quantiles"]["0"] == 0 and plain["quantiles"]["1"] == 4


def test_wrong_triplets_are_refused():
    data = scenes()
    with pytest.raises(DataError, match="poses"):
        find_triplets(data, "who", "poses")
    with pytest.raises(ConfigError, match="twice"):
        find_triplets(data, "who", "who")
    with pytest.raises(ConfigError, match="at least 1"):
        find_triplets(data, "who", "pose", 0)
    triplets = find_triplets(data, "who", "pose", 3)
    with pytest.raises(ConfigError, match="'who'"):
        triplet_errors(model(), data, triplets, "whom", "pose")
    third = SimpleNamespace(
        encode=lambda x: {**model().encode(x), "light": np.zeros((len(x), 1))},
        decode=model().decode,
    )
    with pytest.raises(ConfigError, match="light"):
        triplet_errors(third, data, triplets, "who", "pose")


def test_the_plot_is_a_picture(tmp_path):
    from PIL import Image

    found = {name: TripletErrors(np.random.default_rng(0).random(50), np.ones(50)) for name in "ab"}
    file = plot_triplets(found, tmp_path / "fig7.png")
    assert Image.open(file).size[0] > 200
    with pytest.raises(RunError, match="exists"):
        plot_triplets(found, file)
    with pytest.raises(ConfigError, match="no triplet errors"):
        plot_triplets({}, tmp_path / "none.png")
