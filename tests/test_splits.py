"""The three ways to split: rows, whole values, combinations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_sets import grid, mapped, vectors

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError


def parts(train: FactorDataset, test: FactorDataset, whole: FactorDataset) -> None:
    """Together all rows, none twice, ascending."""
    for part in (train, test):
        assert np.all(np.diff(part.ids) > 0)
    assert sorted([*train.ids, *test.ids]) == sorted(whole.ids)


@pytest.mark.parametrize(("test", "held"), [(0.1, 2), (0.5, 12), (0.001, 1), (0.999, 23), (5, 5)])
def test_a_share_of_the_rows(test: float, held: int) -> None:
    data = grid()
    left, right = data.split(test=test, seed=3)
    parts(left, right, data)
    assert len(right) == held


def test_splits_depend_on_the_seed_alone() -> None:
    data = grid()
    same = [data.split(test=0.3, seed=5)[1].ids.tolist() for _ in range(2)]
    assert same[0] == same[1]
    others = {tuple(data.split(test=0.3, seed=seed)[1].ids.tolist()) for seed in range(8)}
    assert len(others) > 5


def test_every_row_can_be_held_out() -> None:
    data = grid()
    held = np.concatenate([data.split(test=0.25, seed=seed)[1].ids for seed in range(60)])
    counts = np.bincount(held, minlength=24)
    # Each row is drawn with probability 1/4: 15 of 60 on average, standard deviation 3.4.
    assert counts.min() > 0
    assert counts.max() < 35


def test_whole_values_are_held_out() -> None:
    data = grid()
    train, test = data.split(by="a", test=0.34, seed=0)
    parts(train, test, data)
    held = set(test.factors["a"].tolist())
    assert len(held) == 2
    assert not held & set(train.factors["a"].tolist())
    assert train.cardinality("a") == test.cardinality("a") == 6


def test_given_values_are_held_out_by_code_or_name() -> None:
    data = FactorDataset(vectors=vectors(4), factors={"pet": ["dog", "cat", "emu", "dog"]})
    assert data.split(by="pet", values=["dog"])[1].ids.tolist() == [0, 3]
    assert data.split(by="pet", values=[0, 2])[1].ids.tolist() == [1, 2]
    with pytest.raises(DataError, match=r"'dgo' of factor 'pet'. Did you mean 'dog'"):
        data.split(by="pet", values=["dgo"])
    with pytest.raises(DataError, match=r"value 3"):
        data.split(by="pet", values=[3])
    with pytest.raises(DataError, match=r"every value"):
        data.split(by="pet", values=[0, 1, 2])


def test_values_that_occur_alone_are_counted() -> None:
    data = FactorDataset(vectors=vectors(6), factors={"x": [2, 2, 5, 5, 9, 9]})
    train, test = data.split(by="x", test=1)
    assert len(set(test.factors["x"].tolist())) == 1
    assert len(train) == 4


@pytest.mark.parametrize("seed", range(20))
def test_held_out_cells_leave_every_value_a_training_row(seed: int) -> None:
    data = grid(6, 4, repeats=2)
    train, test = data.split(cells=("a", "b"), test=0.4, seed=seed)
    parts(train, test, data)
    seen, held = (set(part.factor("a,b").tolist()) for part in (train, test))
    assert len(held) == 10
    assert not seen & held
    assert set(train.factors["a"].tolist()) == set(range(6))
    assert set(train.factors["b"].tolist()) == set(range(4))


def test_as_many_cells_as_possible_and_no_more() -> None:
    # Both values of a and of b need a training cell, so of the four at most two can go.
    data = grid(2, 2)
    for seed in range(10):
        train, _ = data.split(cells=("a", "b"), test=0.25, seed=seed)
        assert set(train.factors["a"].tolist()) == {0, 1}
    with pytest.raises(DataError, match=r"only [12] of the 3 combinations.*lower test="):
        data.split(cells=("a", "b"), test=0.75)


@pytest.mark.parametrize(
    "arguments",
    [
        {"test": 0},
        {"test": 1.0},
        {"test": -0.1},
        {"test": True},
        {"seed": -1},
        {"by": "a", "cells": ("a", "b")},
        {"values": [1]},
        {"by": "a", "values": [1], "test": 0.2},
        {"cells": "ab"},
    ],
)
def test_contradictory_splits_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        grid().split(**arguments)  # type: ignore[arg-type]


def test_a_split_leaves_something_on_both_sides() -> None:
    with pytest.raises(DataError, match=r"none of the 24 rows"):
        grid().split(test=24)
    with pytest.raises(DataError, match=r"at least two rows"):
        grid(1, 1).split()
    with pytest.raises(DataError, match=r"at least two values"):
        grid(1, 4).split(by="a")


def test_splits_of_mapped_files_stay_on_disk(tmp_path: Path) -> None:
    data = mapped(tmp_path, grid())
    train, test = data.split(test=0.2, seed=0)
    assert isinstance(train.backing()[0], np.memmap)
    np.testing.assert_array_equal(np.asarray(test.images)[:, 0, 0, 0], test.ids)
