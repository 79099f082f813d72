"""`FactorDataset`: images or vectors with named factor columns, the one form all data take."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data import columns, splits
from unmingle.data.storage import Items, RowView, select_items
from unmingle.data.summary import describe, fingerprint
from unmingle.errors import ConfigError, DataError

_MOST_CROSSED = 2**20


class FactorDataset:
    """Images or vectors, and what is known about them.

    Args:
        images: uint8 [N,H,W,C] or [N,H,W], C 1 to 4, H and W at least 16; or
        vectors: finite numbers [N,D], kept as float32.
        factors: A column a factor, N whole numbers (codes 0..K-1) or texts (numbered when sorted).
        value_names: The names of a factor's values, at least K; "0", "1", … where not given.
        continuous: Columns of N finite numbers, for factors that are amounts.
        ids: N different whole numbers that stay with their rows; 0..N-1 by default.
        name: What the data set is called.
        files: Where each row came from, N texts.
        skipped: What a reader left out, one "file: reason" each.

    Attributes:
        images: uint8 [N,H,W,C] or None. Rows chosen from a memory-mapped file are a `RowView`,
            which reads when it is indexed; `take` gives plain arrays.
        vectors: float32 [N,D] or None, likewise. One of the two is set.
        factors: int64 [N] a factor.
        value_names: The K names of each factor's values; K does not change when rows are selected.
        continuous: float32 [N] a column.
        ids: int64 [N].
        origin: The catalogue's name of the set, where it was read by one, and in what was saved of
            it; for its named splits.

    Raises:
        DataError: naming the column, row or value that is wrong.
    """

    def __init__(
        self,
        images: Any = None,
        vectors: Any = None,
        factors: Mapping[str, Any] | None = None,
        value_names: Mapping[str, Sequence[str]] | None = None,
        continuous: Mapping[str, Any] | None = None,
        ids: Any = None,
        name: str = "data",
        *,
        files: Any = None,
        skipped: Sequence[str] = (),
    ) -> None:
        if (images is None) == (vectors is None):
            raise DataError(f"{name}: give images or vectors, one of the two")
        given = vectors if images is None else images
        items: Items = given if isinstance(given, (np.ndarray, RowView)) else np.asarray(given)
        if items.ndim == 0 or len(items) == 0:
            raise DataError(f"{name}: there are no rows")
        self.images: Items | None = None if images is None else columns.check_images(items, name)
        self.vectors: Items | None = None if vectors is None else columns.check_vectors(items, name)
        self.name = name
        self.factors: dict[str, NDArray[np.int64]] = {}
        self.value_names: dict[str, tuple[str, ...]] = {}
        count = len(items)
        named = dict(value_names or {})
        for factor, values in (factors or {}).items():
            self.factors[factor], self.value_names[factor] = columns.factor_column(
                factor, values, count, named.pop(factor, None), name
            )
        if named:
            first = next(iter(named))
            hint = columns.nearest_or_all(first, list(self.factors))
            raise DataError(f"{name}: value_names for {first!r}, which is no factor.{hint}")
        self.continuous: dict[str, NDArray[np.float32]] = {
            column: columns.continuous_column(column, values, count, name)
            for column, values in (continuous or {}).items()
        }
        self.ids: NDArray[np.int64] = (
            np.arange(count) if ids is None else columns.row_ids(ids, count, name)
        )
        self.files: NDArray[np.str_] | None = (
            None if files is None else np.asarray(files, dtype=np.str_)
        )
        if self.files is not None and self.files.shape != (count,):
            raise DataError(f"{name}: {len(self.files)} file names for {count} rows")
        self.skipped = tuple(skipped)
        self.origin: str | None = None
        self._fingerprint: str | None = None

    @classmethod
    def from_arrays(
        cls,
        images: Any = None,
        vectors: Any = None,
        factors: Mapping[str, Any] | None = None,
        value_names: Mapping[str, Sequence[str]] | None = None,
        continuous: Mapping[str, Any] | None = None,
        ids: Any = None,
        name: str = "arrays",
    ) -> FactorDataset:
        """The constructor under a name that says what it takes; arguments as there."""
        return cls(images, vectors, factors, value_names, continuous, ids, name)

    # What there is

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        kind = "images" if self.is_images else "vectors"
        shape = "x".join(map(str, self.shape))
        factors = ", ".join(f"{name} {self.cardinality(name)}" for name in self.factors)
        return (
            f"FactorDataset({self.name!r}, {len(self):,} {kind} {shape}; {factors or 'no factors'})"
        )

    @property
    def is_images(self) -> bool:
        return self.images is not None

    @property
    def items(self) -> Items:
        """The images or the vectors, whichever there are."""
        items = self.vectors if self.images is None else self.images
        assert items is not None
        return items

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C) of an image, or (D,) of a vector."""
        return self.items.shape[1:]

    def backing(self) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """The whole array the rows are taken from, and which of its rows they are (None: all).

        `array[rows][batch]` is `items[batch]`; for loops that index tensors of their own.
        """
        items = self.items
        return (items.base, items.rows) if isinstance(items, RowView) else (items, None)

    def take(self, rows: Any = None) -> NDArray[Any]:
        """The items of `rows` (all by default) as a plain array in memory."""
        items = self.items
        return np.array(items[self._rows(rows)]) if rows is not None else np.asarray(items)

    # Factors

    def factor(self, name: str) -> NDArray[np.int64]:
        """Codes int64 [N]; "a,b" is the factors a and b crossed into one.

        Raises:
            DataError: if there is no such factor, with the nearest names.
        """
        if name in self.factors:
            return self.factors[name]
        parts = self._parts(name)
        codes = np.zeros(len(self), np.int64)
        for part in parts:
            codes = codes * self.cardinality(part) + self.factors[part]
        return codes

    def cardinality(self, name: str) -> int:
        """How many values the factor has, those included that no row here has.

        Raises:
            DataError: if there is no such factor.
        """
        if name in self.factors:
            return len(self.value_names[name])
        return math.prod(len(self.value_names[part]) for part in self._parts(name))

    def names(self, name: str) -> tuple[str, ...]:
        """The value names of a factor, crossed ones too: "left,happy".

        Raises:
            DataError: if there is no such factor or it has too many values to name.
        """
        if name in self.factors:
            return self.value_names[name]
        if self.cardinality(name) > _MOST_CROSSED:
            raise DataError(
                f"{self.name}: {name} has {self.cardinality(name):,} combinations, "
                f"at most {_MOST_CROSSED:,} can be named"
            )
        crossed: list[str] = [""]
        for position, part in enumerate(self._parts(name)):
            comma = "," if position else ""
            crossed = [before + comma + value for before in crossed for value in self.names(part)]
        return tuple(crossed)

    def _parts(self, name: str) -> list[str]:
        parts = name.split(",") if "," in name else [name]
        for part in parts:
            if part in self.continuous and part not in self.factors:
                raise DataError(f"{self.name}: {part!r} is a continuous column, not a factor")
            if part not in self.factors:
                hint = columns.nearest_or_all(part, list(self.factors))
                raise DataError(f"{self.name}: there is no factor {part!r}.{hint}")
        if len(set(parts)) < len(parts):
            raise DataError(f"{self.name}: {name!r} names a factor twice")
        return parts

    def class_factor(self, name: str) -> NDArray[np.int64]:
        """`factor(name)` for use as the class: at least two of its values must occur.

        Raises:
            DataError: if there is no such factor, or all rows are of one class.
        """
        codes = self.factor(name)
        if codes.min() == codes.max():
            others = [other for other, column in self.factors.items() if len(np.unique(column)) > 1]
            hint = f"; factors with more: {', '.join(others)}" if others else ""
            value = self.names(name)[codes[0]]
            raise DataError(
                f"{self.name}: all {len(self)} rows have the same {name} ({value!r}); a class "
                f"factor needs at least two values, such as two folders of images{hint}"
            )
        return codes

    def cross(self, names: Sequence[str], name: str | None = None) -> FactorDataset:
        """This data set with one more factor, the combinations of several; "a,b" if not named.

        Codes count through the last factor first: code = a * cardinality(b) + b. They do not depend
        on which rows there are, so that a train and a test set agree.

        Raises:
            DataError: for an unknown factor, or a name that is taken.
        """
        parts = names.split(",") if isinstance(names, str) else list(names)
        if len(parts) < 2:
            raise DataError(f"{self.name}: cross needs two factors or more, got {parts}")
        joined = ",".join(parts)
        new = joined if name is None else name
        if new in self.factors or new in self.continuous:
            raise DataError(f"{self.name}: there already is a column {new!r}")
        result = self._derive()
        result.factors = {**self.factors, new: self.factor(joined)}
        result.value_names = {**self.value_names, new: self.names(joined)}
        return result

    def with_factors(
        self, factors: Mapping[str, Any], value_names: Mapping[str, Sequence[str]] | None = None
    ) -> FactorDataset:
        """This data set with other factor columns; items, ids and the rest stay.

        Raises:
            DataError: as the constructor.
        """
        result, named = self._derive(), dict(value_names or {})
        result.factors, result.value_names = {}, {}
        for name, values in factors.items():
            result.factors[name], result.value_names[name] = columns.factor_column(
                name, values, len(self), named.get(name), self.name
            )
        return result

    # Rows

    def _rows(self, rows: Any) -> NDArray[np.int64]:
        try:
            chosen: NDArray[np.int64] = np.arange(len(self))[rows]
        except IndexError as error:
            if np.size(rows) > 0:
                raise DataError(
                    f"{self.name}: rows do not fit the {len(self)} there are ({error})"
                ) from error
            chosen = np.empty(0, np.int64)
        if chosen.ndim != 1 or len(chosen) == 0:
            raise DataError(
                f"{self.name}: rows={rows!r} chooses none; give row numbers, a bool mask or a slice"
            )
        return chosen

    def _derive(self) -> FactorDataset:
        result = copy.copy(self)
        result._fingerprint = None
        return result

    def select(self, rows: Any) -> FactorDataset:
        """Chosen rows, in the order given; memory-mapped items are not read.

        Args:
            rows: Row positions, a bool mask [N], or a slice.

        Raises:
            DataError: if no row is chosen or a position does not exist.
        """
        chosen = self._rows(rows)
        result = self._derive()
        if self.images is not None:
            result.images = select_items(self.images, chosen)
        if self.vectors is not None:
            result.vectors = select_items(self.vectors, chosen)
        result.factors = {name: column[chosen] for name, column in self.factors.items()}
        result.continuous = {name: column[chosen] for name, column in self.continuous.items()}
        result.ids = self.ids[chosen]
        result.files = None if self.files is None else self.files[chosen]
        return result

    def split(
        self,
        test: float | None = None,
        seed: int = 0,
        *,
        by: str | None = None,
        values: Sequence[Any] | None = None,
        cells: tuple[str, str] | None = None,
        protocol: str | None = None,
    ) -> tuple[FactorDataset, FactorDataset]:
        """(train, test): every row in exactly one of them, neither empty, rows in ascending order.

        - `split(test=0.1, seed=0)`: a share of the rows.
        - `split(by="character", test=0.2)` or `split(by="character", values=[…])`: all rows of
          some of the values (codes or names), so that no test class was seen in training.
        - `split(cells=("character", "pose"), test=0.1)`: all rows of some combinations; no test
          combination was seen in training, and each value of both factors keeps a training row.
        - `split(protocol="lord")`: as a paper did, for sets of the catalogue that have such named
          splits (`unmingle data describe NAME`); some leave rows out of both parts.

        The same seed and rows give the same split.

        Args:
            test: A share in (0, 1), rounded, or a whole number, of rows, values or combinations;
                0.1 by default.

        Raises:
            DataError: for unknown factors and values, and shares that cannot be held out.
            ConfigError: for arguments that contradict each other, and unknown protocols.
        """
        if protocol is not None:
            if any(given is not None for given in (test, by, values, cells)):
                raise ConfigError("split(protocol=) says itself what is held out; give it alone")
            return self._named_split(protocol)
        if by is not None and cells is not None:
            raise ConfigError("split takes by= or cells=, not both")
        if values is not None and (by is None or test is not None):
            raise ConfigError("split(values=) needs by=, the factor, and no test=")
        share = 0.1 if test is None else test
        if cells is not None:
            if isinstance(cells, str) or len(cells) != 2:
                raise ConfigError(f"cells={cells!r}: a pair of factors")
            mask = splits.hold_cells(self.factor(cells[0]), self.factor(cells[1]), share, seed)
        elif by is not None and values is not None:
            mask = splits.hold_given_values(self.factor(by), by, self.names(by), values)
        elif by is not None:
            mask = splits.hold_values(self.factor(by), share, seed)
        else:
            mask = splits.hold_rows(len(self), share, seed)
        return self.select(~mask), self.select(mask)

    def _named_split(self, protocol: str) -> tuple[FactorDataset, FactorDataset]:
        from unmingle.data.catalogue import CATALOGUE, named_set

        if self.origin is None:
            raise ConfigError(
                f"{self.name} has no split {protocol!r}: named splits are for the sets of the "
                f"catalogue, loaded by name ({', '.join(CATALOGUE)})"
            )
        return named_set(self.origin).split(self, protocol)

    # Out

    def describe(self) -> str:
        """Several lines: size, and for each column its values and how evenly they occur."""
        return describe(self)

    def save(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, compress: bool = True
    ) -> None:
        """Write an .npz that `load_data` reads, in one step.

        Keys: `images` or `vectors`, `factor_<name>`, `<name>_names`, `continuous_<name>`, `row_ids`
        and, where known, `files` and `origin`.

        Raises:
            DataError: if the file exists and `overwrite` is not set, or it does not end in .npz.
        """
        from unmingle.data.files import write_npz

        write_npz(self, path, overwrite=overwrite, compress=compress)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the shape, items, columns and value names; not of ids and name."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self)
        return self._fingerprint
