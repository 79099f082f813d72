"""A model of one code as a model of several: its dimensions parted by what they tell of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError
from unmingle.evaluation.disentanglement.information import BINS, entropies, factor_information
from unmingle.evaluation.disentanglement.tables import read_table
from unmingle.evaluation.model import Encoded

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Some dimensions of a code, as a code space."""

    name: str
    dim: int
    factor: str | None
    """The factor column it is said to know."""


class SplitCode:
    """A trained model whose one code is taken for several.

    Args:
        model: what encodes and decodes, with a single code.
        dims: {code space: the dimensions of the code it has}; each dimension in one of them.
        factors: {code space: the factor column it is said to know}, of some or all.

    Attributes:
        code_spaces: {code space: its name, size and factor}.
        dims: {code space: int64 [dim]}.

    Raises:
        ConfigError: a dimension in two code spaces or in none.
    """

    def __init__(
        self,
        model: Any,
        dims: Mapping[str, Sequence[int] | Ints],
        factors: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.dims = {space: np.sort(np.asarray(own, np.int64)) for space, own in dims.items()}
        every = np.sort(np.concatenate(list(self.dims.values())))
        if not np.array_equal(every, np.arange(len(every))):
            raise ConfigError(f"each dimension belongs to one code space, not {every.tolist()}")
        known = factors or {}
        self.code_spaces = {
            space: Part(space, len(own), known.get(space)) for space, own in self.dims.items()
        }
        self.run_info = getattr(model, "run_info", None)
        self.data_shape = getattr(model, "data_shape", None)

    def encode(self, items: Any) -> dict[str, Array]:
        """{code space: float [N, its dimensions]} of items as the model takes them.

        Raises:
            ConfigError: the model has several codes, or one of another size.
        """
        _, codes = _single(self.model.encode(items))
        size = sum(map(len, self.dims.values()))
        if codes.shape[1] != size:
            raise ConfigError(f"the model's code has {codes.shape[1]} dimensions, not {size}")
        return {space: codes[:, own] for space, own in self.dims.items()}

    def decode(self, codes: Mapping[str, Any]) -> Array:
        """What the model makes of codes {code space: [N, its dimensions]}; one row goes for all."""
        parts = {space: np.asarray(codes[space], np.float32) for space in self.dims}
        count = max(map(len, parts.values()))
        whole = np.empty((count, sum(map(len, self.dims.values()))), np.float32)
        for space, own in self.dims.items():
            whole[:, own] = parts[space]
        made: Array = self.model.decode({next(iter(self.model.code_spaces)): whole})
        return made


def split_code(
    model: Any, data: FactorDataset, factors: Mapping[str, str], *, bins: int = BINS
) -> SplitCode:
    """Part the dimensions of a code by which factor each tells more of.

    How methods with one code stand beside those with two in Ren et al. (2021), Appendix B: "we
    traverse the latent space to select the dimensions related to pose as content embedding and
    treat the other dimensions as style embedding". Here no one looks: a dimension goes to the
    factor of which it tells the largest share, I(dimension; factor) / H(factor) by histograms, of
    equal shares to the first. A code space that would have none gets the one dimension that speaks
    most for it.

    Args:
        model: what encodes and decodes, with `code_spaces` of one.
        data: training rows with the factors' columns: labels choose, so not the rows to be scored.
        factors: {code space to be: its factor column}; "a,b" crosses two.
        bins: equal-width bins of each dimension.

    Returns:
        The model with these code spaces, which name their factors.

    Raises:
        ConfigError: the model has several codes, or fewer dimensions than there are factors; fewer
            than two factors.
        DataError: no such factor, or one with a single value.
    """
    if len(factors) < 2:
        raise ConfigError(f"two code spaces or more are needed, got {', '.join(factors) or 'none'}")
    columns = {space: data.factor(name) for space, name in factors.items()}
    _, codes = _single(Encoded(model, data.items).codes)
    if codes.shape[1] < len(factors):
        raise ConfigError(f"a code of {codes.shape[1]} dimensions cannot be {len(factors)} codes")
    table = read_table(codes, columns, list(factors.values()))
    shares = factor_information(table.codes, table.values, bins) / entropies(table.counts)
    owners = _owners(shares)
    spaces = list(factors)
    dims = {space: np.flatnonzero(owners == number) for number, space in enumerate(spaces)}
    return SplitCode(model, dims, factors)


def _single(codes: Mapping[str, Any]) -> tuple[str, Array]:
    if len(codes) != 1:
        raise ConfigError(f"a single code is parted, the model has {', '.join(codes)}")
    name, values = next(iter(codes.items()))
    return name, np.asarray(values)


def _owners(shares: Floats) -> Ints:
    """The column [D] each row of shares [D, K] belongs to: its largest, and none without a row."""
    owners: Ints = shares.argmax(1)
    for column in range(shares.shape[1]):
        if not (owners == column).any():
            lost = shares[np.arange(len(shares)), owners] - shares[:, column]
            alone = np.bincount(owners, minlength=shares.shape[1])[owners] == 1
            owners[int(np.where(alone, np.inf, lost).argmin())] = column
    return owners
