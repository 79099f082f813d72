"""Regression trees of one boosting round, all grown at once, exactly or on binned codes.

Each code is cut into bins of about equal numbers of rows. The sums of residuals up to the end of
each bin, for all codes, trees and nodes of a level, are one sparse product; those of right children
are what is left of their parents'. This gives the gain of a split at every bin's end.

"fast" stops there. "exact" goes on by branch and bound: from the sums at both ends of a bin and the
absolute residuals inside follows how much a split inside could gain at most, and only the bins
where that beats the best end are opened and searched row by row. What is found is the best of all
thresholds, as if all had been tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from unmingle.evaluation.disentanglement.boosting import DEPTH
from unmingle.evaluation.disentanglement.tables import Array, Floats, Ints

_BINS, _FAST_BINS, _BIN_ROWS = 200, 64, 40
_SAME = np.float32(1e-7)  # codes no further apart are not split, as in scikit-learn
# gains a row below which a node is a leaf: scikit-learn's, and what is rounding in single precision
_PURE, _PURE_SINGLE = float(np.finfo(np.float64).eps), 1e-9
_SLACK = 1 + 1e-4  # of bounds, which rest on sums in single precision
_CHUNK = 2**16  # rows searched at a time
_CELLS = 2**22  # sums of bins and nodes held at a time


class _Nodes(NamedTuple):
    """Sums over the rows of each node up to the end of each bin, all [D, bins, nodes, C].

    `residual` and `rows` add up over the bins, `mass` is the sum of |residual| inside each bin
    (without meaning unless the search is exact).
    """

    residual: Floats
    rows: Floats
    mass: Floats


class _Splits(NamedTuple):
    """The best split of each node, all [nodes, C]: gain in squared error, code, rows on the left.

    `place` counts all rows in the order of the code, whichever node they are in.
    """

    gain: Floats
    code: Ints
    place: Ints


class Trees:
    """What grows trees on given codes; a `boosting.Grower`.

    Args:
        codes: [N,D] to fit on; in single precision, as scikit-learn's trees hold them.
        tested: [T,D] to test on.
        exact: search inside the bins, too.
        bins: of each code, at most; codes that are equal share a bin. 64 or, exact, so that few
            rows are searched.
    """

    def __init__(
        self, codes: Floats, tested: Floats, exact: bool = True, bins: int | None = None
    ) -> None:
        from scipy.sparse import csr_matrix

        self.exact = exact
        self.pure = _PURE if exact else _PURE_SINGLE
        fitting = min(_BINS, max(8, len(codes) // _BIN_ROWS)) if exact else _FAST_BINS
        self.bins = bins or fitting
        self.codes = np.ascontiguousarray(codes.T, np.float32)
        self.tested = np.ascontiguousarray(tested.T, np.float32)
        width, size = self.codes.shape
        self.order = np.argsort(self.codes, axis=1, kind="stable")
        self.place = np.empty((width, size), np.int32)
        np.put_along_axis(self.place, self.order, np.arange(size, dtype=np.int32)[None], 1)
        new = np.ones((width, size), bool)
        ascending = np.take_along_axis(self.codes, self.order, 1)
        np.greater(np.diff(ascending, axis=1), _SAME, out=new[:, 1:])
        self.group = np.cumsum(new, axis=1, dtype=np.int32) - 1  # equal: never split between
        first = np.maximum.accumulate(np.where(new, np.arange(size), 0), axis=1)
        few = self.group[:, -1:] < self.bins
        bin_ = np.where(few, self.group, first * self.bins // size)
        cells = (bin_ + np.arange(width)[:, None] * self.bins).ravel()
        self.starts = np.searchsorted(cells, np.arange(width * self.bins + 1))
        ends = self.starts[1:] - np.repeat(np.arange(width) * size, self.bins)
        self.ends = ends.reshape(width, self.bins)  # rows up to the end of each bin
        flat = self.group.ravel()
        last = np.maximum(self.starts[1:] - 1, self.starts[:-1]).clip(max=flat.size - 1)
        opened = flat[last] > flat[self.starts[:-1].clip(max=flat.size - 1)]
        self.inside = (opened & (np.diff(self.starts) > 1)).reshape(width, self.bins, 1, 1)
        ones = np.ones(flat.size, np.float32)
        shape = (width * self.bins, size)
        self.single: Any = csr_matrix((ones, self.order.ravel(), self.starts), shape=shape)
        # the search needs sums as exact as those of single rows; bounds do not
        self.table: Any = self.single.astype(np.float64) if exact else self.single

    def grow(self, residuals: Floats) -> tuple[Array, Array, Floats]:
        """One tree for each row of residuals [C,N]; see `boosting.Grower`."""
        step = max(1, _CELLS // (self.ends.size * 2 ** (DEPTH - 1)))
        starts = range(0, len(residuals), step)
        parts = [self._grow(residuals[start : start + step]) for start in starts]
        inner, outer, used = zip(*parts, strict=True)
        return np.concatenate(inner), np.concatenate(outer), np.asarray(np.sum(used, 0))

    def _grow(self, residuals: Floats) -> tuple[Array, Array, Floats]:
        """As `grow`, all trees at once."""
        trees, size = residuals.shape
        inner = np.zeros((trees, size), np.int8)
        outer = np.zeros((trees, self.tested.shape[1]), np.int8)
        used = np.zeros(len(self.codes))
        steps = np.ascontiguousarray(residuals.T, np.float64 if self.exact else np.float32)
        sums = None
        for _ in range(DEPTH):
            sums = self._sums(steps, inner, sums)
            splits = self._best(residuals, inner, sums)
            worth = splits.gain > self.pure * sums.rows[0, -1]
            np.add.at(used, splits.code[worth], splits.gain[worth])
            for tree in range(trees):
                self._route(inner[tree], outer[tree], splits, tree, worth[:, tree])
        return inner, outer, used / size

    def _sums(self, residuals: Array, node: Array, above: _Nodes | None) -> _Nodes:
        """Sums of the nodes of a level, from those of the level above and the left children's.

        Of n nodes the first n / 2 are left children, the others right ones in the same order.

        Args:
            residuals: [N,C].
            node: of each row, [C,N].
        """
        size, trees = residuals.shape
        half = 1 if above is None else above.rows.shape[2]
        left = node.T.copy()[:, None] == np.arange(half, dtype=np.int8)[:, None]
        steps = residuals[:, None] * left  # [N, nodes on the left, C]
        single = np.empty((size, 1 + self.exact, half, trees), np.float32)
        single[:, 0] = left
        if self.exact:
            np.abs(steps, out=single[:, 1], casting="same_kind")
        shape = (*self.ends.shape, -1, half, trees)
        sizes = (self.single @ single.reshape(size, -1)).reshape(shape)
        steps = (self.table @ steps.reshape(size, -1)).reshape(shape)
        parts = []
        for number, part in enumerate((steps[:, :, 0], sizes[:, :, 0], sizes[:, :, -1])):
            if number < 2:
                part = part.cumsum(1, np.float64)
            if above is not None:  # right children: what is left of their parents
                whole = np.empty((*self.ends.shape, 2 * half, trees))
                whole[:, :, :half] = part
                np.subtract(above[number], part, out=whole[:, :, half:])
                part = whole
            parts.append(part)
        return _Nodes(*parts)

    def _best(self, residuals: Floats, node: Array, sums: _Nodes) -> _Splits:
        """The best split of each node.

        With residuals centred on the node's mean, a split after i of n rows whose left sum is S
        gains S² n / (i (n - i)).
        """
        rows, every = sums.rows, sums.rows[:1, -1:]
        mean = sums.residual[:1, -1:] / np.maximum(every, 1)
        moved = sums.residual - rows * mean
        other = rows * (every - rows)
        gain = np.divide(moved**2 * every, other, out=np.zeros_like(moved), where=other > 0.5)
        flat = gain.reshape(-1, *gain.shape[2:])
        best = flat.argmax(0)
        code = best // self.bins
        found = _Splits(
            np.take_along_axis(flat, best[None], 0)[0], code, self.ends.ravel()[best].copy()
        )
        if self.exact:
            opened = self._opened(sums, moved, other, found.gain)
            cells = np.nonzero(np.moveaxis(opened, (2, 3), (1, 0)))
            for part in self._chunks(cells):
                self._search(residuals, node, sums, (moved, mean[0, 0]), part, found)
        return found

    def _opened(self, sums: _Nodes, moved: Floats, other: Floats, gain: Floats) -> Array:
        """Bins [D, bins, nodes, C] inside which a split could gain more than the best end.

        Between the ends the sum S goes from S0 to S1 over a way of length A, so that |S| is at
        most (|S0| + |S1| + A) / 2; i (n - i) is least at one of the ends, and at least n - 1.
        """
        every = sums.rows[0, -1]
        mean = np.abs(sums.residual[0, -1]) / np.maximum(every, 1)
        rows, way = sums.rows.copy(), np.abs(moved)
        rows[:, 1:] -= sums.rows[:, :-1]
        way[:, 1:] += way[:, :-1].copy()
        several = rows > 1.5
        rows *= mean  # centring moves every residual by the mean
        way += rows
        way += sums.mass
        np.square(way, out=way)
        least = np.maximum(other, every - 1)
        least[:, 1:] = np.minimum(least[:, 1:], least[:, :-1])
        least[:, 0] = every - 1
        least *= 4 / _SLACK * gain / np.maximum(every, 1)
        several &= way >= least
        several &= self.inside
        return np.asarray(several)

    def _chunks(self, cells: tuple[Array, ...]) -> Iterator[tuple[Array, ...]]:
        """Cells (tree, node, code, bin) in parts of not too many rows."""
        cell = cells[2] * self.bins + cells[3]
        rows = np.cumsum(self.starts[cell + 1] - self.starts[cell])
        begin = 0
        while begin < len(cell):
            done = rows[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(rows, done + _CHUNK, "right")))
            yield tuple(part[begin:end] for part in cells)
            begin = end

    def _search(
        self,
        residuals: Floats,
        node: Array,
        sums: _Nodes,
        centred: tuple[Floats, Floats],
        cells: tuple[Array, ...],
        found: _Splits,
    ) -> None:
        """Try all thresholds inside some bins; improve `found` in place."""
        tree, branch, code, bin_ = cells
        moved, mean = centred
        size = residuals.shape[1]
        cell = code * self.bins + bin_
        starts, lengths = self.starts[cell], self.starts[cell + 1] - self.starts[cell]
        which = np.repeat(np.arange(len(cell)), lengths)
        position = np.arange(len(which)) + (starts - np.cumsum(lengths) + lengths)[which]
        entry = (tree * size)[which] + self.order.ravel().take(position)
        mine = np.flatnonzero(node.ravel().take(entry) == branch[which])
        which, position, entry = which[mine], position[mine], entry[mine]
        # sums and numbers of rows up to each row of a bin, from those before the bin
        steps = residuals.ravel().take(entry) - mean[branch, tree][which]
        total = np.cumsum(steps)
        begin = np.searchsorted(which, np.arange(len(cell)))
        earlier = np.maximum(bin_ - 1, 0)
        start_sum = np.where(bin_ > 0, moved[code, earlier, branch, tree], 0)
        start_rows = np.where(bin_ > 0, sums.rows[code, earlier, branch, tree], 0)
        left = total + (start_sum - total[begin] + steps[begin])[which]
        rows = np.arange(1, len(which) + 1) + (start_rows - begin)[which]
        every = sums.rows[0, -1, branch, tree][which]
        group = self.group.ravel().take(position)
        split = (which[1:] == which[:-1]) & (group[1:] != group[:-1])
        gain = np.zeros(len(which))
        np.divide(left**2 * every, rows * (every - rows), out=gain, where=np.append(split, False))
        nodes = len(found.gain)
        key = (tree * nodes + branch)[which]
        edges = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), len(key)]
        for low, high in pairwise(edges):
            best = low + int(gain[low:high].argmax())
            where = branch[which[best]], tree[which[best]]
            if gain[best] > found.gain[where]:
                found.gain[where] = gain[best]
                found.code[where] = code[which[best]]
                found.place[where] = position[best] + 1 - code[which[best]] * size

    def _route(self, inner: Array, outer: Array, splits: _Splits, tree: int, worth: Array) -> None:
        """Move the rows of one tree, fitted on [N] and tested on [T], to the nodes below."""
        right, right_outer = np.zeros(len(inner), bool), np.zeros(len(outer), bool)
        for node in np.flatnonzero(worth).tolist():
            code, place = int(splits.code[node, tree]), int(splits.place[node, tree])
            right |= (self.place[code] >= place) & (inner == node)
            order = self.order[code]
            low = float(self.codes[code, _nearest_row(order[place - 1 :: -1], inner, node)])
            high = float(self.codes[code, _nearest_row(order[place:], inner, node)])
            right_outer |= (self.tested[code] > (low + high) / 2) & (outer == node)
        inner += right * np.int8(len(splits.gain))
        outer += right_outer * np.int8(len(splits.gain))


def _nearest_row(order: Array, node: Array, number: int) -> int:
    """The first of some rows that is in a node."""
    start, width = 0, 32
    while True:
        rows = order[start : start + width]
        here = node.take(rows) == number
        first = int(here.argmax())
        if here[first]:
            return int(rows[first])
        start, width = start + width, 4 * width
