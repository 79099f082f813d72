"""Data sets by name, the digits, and what the named sets share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unmingle.data import digits
from unmingle.data.catalogue import CATALOGUE, image_size, pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.errors import DataError


def test_every_entry_loads_and_says_what_it_is():
    assert set(CATALOGUE) == {"shapes3d", "digits", "digit-style"}
    for name, entry in CATALOGUE.items():
        data = entry.load(rows=30, size=(16, 20), seed=1)
        assert isinstance(data, FactorDataset) and data.name.startswith(name)
        assert len(data) == 30 and data.shape[:2] == (16, 20)
        assert data.factors and len(entry.summary) > 20


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
