"""Which rows make up each batch. A sampler is a pure function of (seed, number of batches drawn).

A batch is a dict from role to row numbers (int64). Every batch is full: the stream of rows runs on
from one epoch's permutation into the next, so within an epoch each row comes exactly once (where
two epochs meet inside a batch a row can come twice in it).

With `shards=s` the global batch is the concatenation of s equal parts, part k drawn from the rows
with row % s == k. One process with `shards=s` therefore sees the very batches that s processes
see between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError, DataError

Rows = NDArray[np.int64]


class Sampler(Protocol):
    """Draws batches of row numbers."""

    @property
    def batch(self) -> int:
        """Rows of one role in a global batch."""

    @property
    def epoch_length(self) -> float:
        """Batches in one pass over the rows (not necessarily whole)."""

    def next(self) -> dict[str, Tensor]:
        """The next global batch: role -> rows, int64 [batch]."""

    def state(self) -> dict[str, int]:
        """What `load_state` needs to continue here (JSON)."""

    def load_state(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken."""


class _Stream:
    """An endless stream over some rows: one seeded permutation after the other."""

    def __init__(self, rows: Rows, key: Sequence[int]) -> None:
        self.rows, self.key = rows, list(key)
        self._epochs: dict[int, Rows] = {}

    def _order(self, epoch: int) -> Rows:
        if epoch not in self._epochs:
            self._epochs = {e: order for e, order in self._epochs.items() if e == epoch - 1}
            generator = np.random.default_rng([*self.key, epoch])
            self._epochs[epoch] = self.rows[generator.permutation(len(self.rows))]
        return self._epochs[epoch]

    def take(self, start: int, count: int) -> Rows:
        """The stream's entries number start to start + count."""
        parts = []
        while count:
            epoch, place = divmod(start, len(self.rows))
            parts.append(self._order(epoch)[place : place + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)


def _parts(rows: Rows, batch: int, shards: int, what: str) -> list[Rows]:
    if batch < 1 or shards < 1:
        raise ConfigError(f"batch size and shards must be at least 1, not {batch} and {shards}")
    if batch % shards:
        raise ConfigError(
            f"the batch size {batch} cannot be shared evenly by {shards} processes: "
            f"use {max(batch // shards, 1) * shards}"
        )
    if len(rows) == 0:
        raise DataError(f"there are no {what} to train on")
    parts = [rows[rows % shards == k] for k in range(shards)]
    if min(len(part) for part in parts) == 0:
        raise DataError(f"{len(rows)} {what} are too few for {shards} processes")
    return parts


class RowSampler:
    """Single rows, role "x" (or `role`)."""

    def __init__(
        self, rows: int | Rows, batch: int, seed: int = 0, shards: int = 1, role: str = "x"
    ) -> None:
        """Sample from `rows` (their numbers, or how many) in global batches of `batch`.

        Raises:
            ConfigError: batch not a positive multiple of shards.
            DataError: no rows, or a shard without any.
        """
        numbers = np.arange(rows) if isinstance(rows, int) else np.asarray(rows, dtype=np.int64)
        parts = _parts(numbers, batch, shards, "rows")
        self.batch, self.role = batch, role
        self._share = batch // shards
        self._streams = [_Stream(part, (seed, k)) for k, part in enumerate(parts)]
        self._size, self._drawn = len(numbers), 0

    @property
    def epoch_length(self) -> float:
        """Batches in one pass over the rows."""
        return self._size / self.batch

    def next(self) -> dict[str, Tensor]:
        """The next global batch."""
        start = self._drawn * self._share
        self._drawn += 1
        rows = np.concatenate([stream.take(start, self._share) for stream in self._streams])
        return {self.role: torch.from_numpy(rows)}

    def state(self) -> dict[str, int]:
        """Number of batches drawn."""
        return {"batches": self._drawn}

    def load_state(self, state: dict[str, int]) -> None:
        """Continue after `state`."""
        self._drawn = int(state["batches"])


class PairSampler:
    """Two different rows with the same value of a factor: roles "a" and "b".

    "a" runs, as in RowSampler, through the rows that share their value with another; "b" is drawn
    uniformly from the other rows with its value, from any shard. Rows without a partner never come.
    """

    def __init__(self, column: Rows, batch: int, seed: int = 0, shards: int = 1) -> None:
        """Pair rows by `column`, integer [N].

        Raises:
            ConfigError: batch not a positive multiple of shards.
            DataError: no two rows share a value, or a shard has no row with a partner.
        """
        column = np.asarray(column)
        _, group, counts = np.unique(column, return_inverse=True, return_counts=True)
        paired = np.flatnonzero(counts[group] > 1)
        if len(paired) == 0:
            raise DataError("no two rows share a value: there are no pairs to train on")
        self._rows = RowSampler(paired, batch, seed, shards, role="a")
        self.batch, self._seed = batch, seed
        self._order = np.argsort(column, kind="stable")
        self._start = (np.cumsum(counts) - counts)[group]  # where each row's group begins in order
        self._count = counts[group]
        self._place = np.empty(len(column), dtype=np.int64)
        self._place[self._order] = np.arange(len(column))
        self._place -= self._start  # each row's place within its group

    @property
    def epoch_length(self) -> float:
        """Batches in one pass over the rows that have a partner."""
        return self._rows.epoch_length

    def next(self) -> dict[str, Tensor]:
        """The next global batch of pairs."""
        drawn = self._rows.state()["batches"]
        a = self._rows.next()["a"].numpy()
        # A key of another length than the streams' keeps the two sources of chance apart.
        chance = np.random.default_rng([self._seed, 1, 1, drawn]).random(len(a))
        jump = 1 + np.floor(chance * (self._count[a] - 1)).astype(np.int64)
        b = self._order[self._start[a] + (self._place[a] + jump) % self._count[a]]
        return {"a": torch.from_numpy(a), "b": torch.from_numpy(b)}

    def state(self) -> dict[str, int]:
        """Number of batches drawn."""
        return self._rows.state()

    def load_state(self, state: dict[str, int]) -> None:
        """Continue after `state`."""
        self._rows.load_state(state)


class PoolReferenceSampler:
    """Rows of an unlabelled pool and of a reference set, independently: "pool" and "reference"."""

    def __init__(
        self, pool: Rows, reference: Rows, batch: int, seed: int = 0, shards: int = 1
    ) -> None:
        """Sample `batch` rows from each set; an epoch is one pass over the pool."""
        self.batch = batch
        self._pool = RowSampler(np.asarray(pool), batch, seed, shards, role="pool")
        # The streams are keyed by (seed, shard): another seed keeps equal-sized sets independent.
        other = int(np.random.default_rng([seed, 2, 2]).integers(2**62))
        self._reference = RowSampler(np.asarray(reference), batch, other, shards, role="reference")

    @property
    def epoch_length(self) -> float:
        """Batches in one pass over the pool."""
        return self._pool.epoch_length

    def next(self) -> dict[str, Tensor]:
        """The next global batch."""
        return {**self._pool.next(), **self._reference.next()}

    def state(self) -> dict[str, int]:
        """Number of batches drawn."""
        return self._pool.state()

    def load_state(self, state: dict[str, int]) -> None:
        """Continue after `state`."""
        self._pool.load_state(state)
        self._reference.load_state(state)
