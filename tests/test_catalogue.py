"""Data sets by name, the digits, and what the named sets share."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

from unmingle.data import digits, load_data
from unmingle.data.catalogue import CATALOGUE, image_size, named_set, pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.views import project
from unmingle.errors import ConfigError, DataError

EMBEDDED = ("shapes3d", "digits", "digit-style", "dsprites-rendered")


def test_embedded_sets_load_and_keep_their_origin():
    for name in EMBEDDED:
        data = load_data(name, rows=30, size=(16, 20), seed=1)
        assert isinstance(data, FactorDataset) and data.name.startswith(name)
        assert data.origin == name and data.select([1, 2]).origin == name
        assert len(data) == 30 and data.shape[:2] == (16, 20)
        assert set(data.factors) | set(data.continuous) == set(named_set(name).factors)


def test_every_set_says_what_it_is():
    assert len(CATALOGUE) == 30
    for name, entry in CATALOGUE.items():
        found = entry.get()
        assert found.name == name and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert found.embedded == (name in EMBEDDED)
        for text in (found.title, found.summary, found.shape, found.licence, found.paper):
            assert text and "\n" not in text
        assert re.match(r"https?://", found.url) and found.layout.strip() and found.factors
        assert list(inspect.signature(found.read).parameters)[:4] == [
            "folder", "options", "rows", "seed",
        ]  # fmt: skip
        for item in found.downloads:
            digest = item.sha256 or item.md5
            assert re.fullmatch(r"[0-9a-f]{64}" if item.sha256 else r"[0-9a-f]{32}", digest)
        for split in found.splits.values():
            assert split.summary and split.paper


def test_a_set_that_is_not_here_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("UNMINGLE_DATA", str(tmp_path))
    for name in set(CATALOGUE) - set(EMBEDDED):
        with pytest.raises(DataError, match=f"{name}: there is no folder {tmp_path}/{name}; "):
            load_data(name)
        (tmp_path / name).mkdir()
        with pytest.raises(DataError, match=f"{name}: there is no file in {tmp_path}/{name}; "):
            load_data(name)
        (tmp_path / name / "notes.txt").touch()
        with pytest.raises(DataError, match=f"{tmp_path}/{name}"):
            load_data(name)


def test_unknown_names():
    with pytest.raises(DataError, match=r"no data set 'cars'.*'cars3d'"):
        named_set("cars")
    with pytest.raises(DataError, match="'mpi3d-toy'"):
        load_data("mpi3d")


def test_splits_by_name_are_for_named_sets():
    data = load_data("digits", rows=20)
    with pytest.raises(ConfigError, match="digits has no split 'lord'; its named splits: none"):
        data.split(protocol="lord")
    with pytest.raises(ConfigError, match="give it alone"):
        data.split(0.1, protocol="lord")
    arrays = load_data({"images": data.take(), "factor_digit": data.factor("digit")})
    with pytest.raises(ConfigError, match=r"arrays has no split 'lord': .*loaded by name .*cars3d"):
        arrays.split(protocol="lord")
    changed = load_data("digits", rows=20, size=16, channels=3, name="other", factors=["digit"])
    assert changed.origin == "digits" and changed.name == "other"


def test_a_set_that_is_saved_keeps_its_named_splits(tmp_path):
    # Instances 0 to 3 and 5 are of the published testing file.
    instance = np.repeat(np.arange(10), 2)
    data = FactorDataset(
        images=np.zeros((20, 16, 16, 1), np.uint8),
        factors={"instance": instance},
        ids=np.arange(20) + 7,
    )
    data.origin = "smallnorb"
    data.select(np.arange(20)[::-1]).save(tmp_path / "norb.npz")
    saved = load_data(tmp_path / "norb.npz", size=20)
    _, test = saved.split(protocol="smallnorb")
    assert saved.origin == "smallnorb" and test.ids.tolist() == [18, 17, *range(14, 6, -1)]
    for origin in (np.array("nothing known"), np.array(["cars3d"]), np.array(3)):
        np.savez(tmp_path / "x.npz", images=data.take(), origin=origin)
        assert load_data(tmp_path / "x.npz").origin is None


def test_importing_the_catalogue_imports_no_libraries():
    source = (
        "import sys, importlib.util as u; "
        "spec = u.find_spec('unmingle'); path = spec.submodule_search_locations[0]; "
        "spec = u.spec_from_file_location('catalogue', path + '/data/catalogue.py'); "
        "module = u.module_from_spec(spec); sys.modules['catalogue'] = module; "
        "spec.loader.exec_module(module); "
        "print([name for name in ('numpy', 'sklearn', 'PIL', 'torch') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_digits_are_the_real_ones():
    data = digits.load()
    assert len(data) == 1797 and data.shape == (32, 32, 1)
    assert data.take().dtype == np.uint8
    assert data.cardinality("digit") == 10 and data.value_names["digit"][7] == "7"
    # Counts of the digits in the test part of the UCI set.
    assert np.bincount(data.factor("digit")).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip
    assert data.take().min() == 0 and data.take().max() == 255


def cubic_weights(wide: int) -> np.ndarray:
    """Matrix [wide, 8] of cubic interpolation with a = -1/2 (Keys 1981) at pixel centres."""
    place = (np.arange(wide) + 0.5) * 8 / wide - 0.5
    apart = np.abs(place[:, None] - np.arange(8))
    near = 1.5 * apart**3 - 2.5 * apart**2 + 1
    far = -0.5 * apart**3 + 2.5 * apart**2 - 4 * apart + 2
    weights = np.where(apart < 1, near, np.where(apart < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(32, 32), (16, 48)])
def test_digits_are_scaled_up_by_cubic_interpolation(size):
    from sklearn.datasets import load_digits

    small = load_digits().images * 255 / 16
    down, across = (cubic_weights(side) for side in size)
    expected = np.clip(down @ small @ across.T, 0, 255)
    found = digits.load(size=size).take()[..., 0]
    assert np.abs(found - expected).max() < 0.51


def test_digits_rows_keep_their_labels():
    every = digits.load(size=16)
    some = digits.load(size=16, rows=[1000, 5, 1796])
    assert some.ids.tolist() == [1000, 5, 1796]
    np.testing.assert_array_equal(some.take(), every.take([1000, 5, 1796]))
    np.testing.assert_array_equal(some.factor("digit"), every.factor("digit")[[1000, 5, 1796]])
    with pytest.raises(DataError, match="1 to 1797"):
        digits.load(rows=1798)


def test_pick_rows():
    assert pick_rows(None, 4, 0).tolist() == [0, 1, 2, 3]
    assert pick_rows(4, 4, 9).tolist() == [0, 1, 2, 3]
    assert pick_rows([3, 1], 4, 0).tolist() == [3, 1]
    assert pick_rows(np.array([True, False, False, True]), 4, 0).tolist() == [0, 3]
    drawn = pick_rows(100, 1000, 5)
    assert drawn.dtype == np.int64 and (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, pick_rows(100, 1000, 5))
    # A uniform draw without repetition: the mean is 499.5 +- 28 (one standard deviation).
    assert 400 < drawn.mean() < 600


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (0, "rows=0 must be 1 to 10"),
        (11, "rows=11 must be 1 to 10"),
        (True, "bool of shape"),
        (2.5, "float64 of shape"),
        ([], "must be None, a number"),
        ([[1, 2]], r"shape \(1, 2\)"),
        ([1.5, 2.0], "float64"),
        ([0, 10], r"rows\[1\] is 10; rows are 0 to 9"),
        ([-1], r"rows\[0\] is -1"),
        ([4, 2, 4], "rows has 4 more than once"),
        ([True, False], "rows must be whole numbers"),
    ],
)
def test_wrong_rows(rows, message):
    with pytest.raises(DataError, match=message):
        pick_rows(rows, 10, 0)


def test_image_size():
    assert image_size(64) == (64, 64)
    assert image_size((100, 80)) == (100, 80)
    assert image_size([np.int64(16), 17]) == (16, 17)
    with pytest.raises(DataError, match="at least 16"):
        image_size((64, 15))


def test_points_seen_from_all_sides_are_still_of_their_set():
    points = FactorDataset(
        vectors=np.zeros((4, 6), np.float32), factors={"performer": [0, 1, 0, 1]}
    )
    points.origin = "ntu"
    assert project(points, 3).origin == "ntu"
