"""Batches: every row once an epoch, full batches, the same for one process as for several."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from unmingle.data.samplers import PairSampler, PoolReferenceSampler, RowSampler
from unmingle.errors import ConfigError, DataError


def stream(sampler, batches, role="x"):
    return np.concatenate([sampler.next()[role].numpy() for _ in range(batches)])


def test_each_epoch_is_a_fresh_permutation_and_batches_run_on_across_epochs():
    sampler = RowSampler(10, 4, seed=3)
    rows = stream(sampler, 5)  # two epochs, the third batch astride
    assert sorted(rows[:10]) == list(range(10)) and sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert sampler.epoch_length == 2.5


def test_fewer_rows_than_a_batch_repeat_evenly():
    assert Counter(stream(RowSampler(3, 8), 3).tolist()) == {0: 8, 1: 8, 2: 8}


def test_seed_decides_the_order():
    assert (stream(RowSampler(50, 10, 1), 7) == stream(RowSampler(50, 10, 1), 7)).all()
    assert (stream(RowSampler(50, 10, 1), 7) != stream(RowSampler(50, 10, 2), 7)).any()


def test_some_rows_only():
    assert set(stream(RowSampler(np.array([4, 9, 2]), 3), 4)) == {2, 4, 9}


def test_shards_take_their_own_rows_and_match_separate_samplers():
    whole = RowSampler(11, 6, seed=5, shards=2)
    for _ in range(9):
        rows = whole.next()["x"].numpy()
        assert (rows[:3] % 2 == 0).all() and (rows[3:] % 2 == 1).all()
    even = np.concatenate([b[:3] for b in stream(RowSampler(11, 6, 5, 2), 8).reshape(8, 6)])
    assert Counter(even.tolist()) == dict.fromkeys(range(0, 11, 2), 4)


MAKERS = {
    "rows": lambda: RowSampler(23, 4, seed=9),
    "pairs": lambda: PairSampler(np.arange(23) % 5, 4, seed=9),
    "pool": lambda: PoolReferenceSampler(np.arange(15), np.arange(15, 23), 4, seed=9),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_state_continues_the_stream(kind):
    sampler = MAKERS[kind]()
    for _ in range(7):
        sampler.next()
    state = sampler.state()
    ahead = [sampler.next() for _ in range(9)]
    other = MAKERS[kind]()
    other.load_state(state)
    for batch in ahead:
        again = other.next()
        assert batch.keys() == again.keys()
        assert all((batch[role] == again[role]).all() for role in batch)


def test_pairs_share_their_value_and_differ_in_row():
    column = np.array([7, 0, 7, 3, 0, 7, 0, 7])  # 3 occurs once, and its row never comes
    sampler = PairSampler(column, 7, seed=1)
    assert sampler.epoch_length == 1
    partners: dict[int, set[int]] = {row: set() for row in range(8)}
    for _ in range(40):
        batch = sampler.next()
        a, b = batch["a"].numpy(), batch["b"].numpy()
        assert sorted(a) == [0, 1, 2, 4, 5, 6, 7]
        assert (column[a] == column[b]).all() and (a != b).all()
        for left, right in zip(a, b, strict=True):
            partners[int(left)].add(int(right))
    assert partners == {
        row: set(np.flatnonzero(column == column[row]).tolist()) - {row} for row in range(8)
    }


def test_where_all_rows_have_a_partner_pairs_run_through_them_as_single_rows_do():
    pairs, rows = PairSampler(np.arange(12) % 5, 4, seed=3, shards=2), RowSampler(12, 4, 3, 2)
    assert stream(pairs, 9, "a").tolist() == stream(rows, 9).tolist()


def test_rows_that_are_all_alone_make_no_pairs():
    with pytest.raises(DataError, match="no two rows share a value"):
        PairSampler(np.arange(5), 2)


def test_partners_are_uniform():
    sampler = PairSampler(np.zeros(4, dtype=np.int64), 4, seed=2)
    drawn = Counter()
    for _ in range(900):
        batch = sampler.next()
        drawn.update(b for a, b in zip(*(batch[r].tolist() for r in "ab"), strict=True) if a == 0)
    assert set(drawn) == {1, 2, 3}
    assert all(abs(count - 300) < 5 * (900 * 2 / 9) ** 0.5 for count in drawn.values())


def test_pool_and_reference_come_from_their_sets_independently():
    sampler = PoolReferenceSampler(np.arange(6), np.arange(6, 12), 6, seed=4)
    batches = [sampler.next() for _ in range(5)]
    assert all(set(b["pool"].tolist()) == set(range(6)) for b in batches)
    assert all(set(b["reference"].tolist()) == set(range(6, 12)) for b in batches)
    assert any((b["pool"] != b["reference"] - 6).any() for b in batches)


def test_bad_arguments():
    with pytest.raises(ConfigError, match=r"batch size 5 .* 2 processes: use 4"):
        RowSampler(10, 5, shards=2)
    with pytest.raises(ConfigError, match="at least 1"):
        RowSampler(10, 0)
    with pytest.raises(DataError, match="no rows"):
        RowSampler(0, 4)
    with pytest.raises(DataError, match="too few for 4 processes"):
        RowSampler(3, 4, shards=4)
