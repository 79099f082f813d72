"""MIG of codes that are distributions, as Xiang et al. (ICCV 2021, supplement 2.2) measure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError
from unmingle.evaluation.disentanglement.information import BINS, SpaceMIG, mig_by_space
from unmingle.evaluation.model import space_factors

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Gaps:
    """MIG between code spaces (Eq. 19-21), on one draw from every row's codes.

    Attributes:
        labelled: over the factors that the model was told, as the paper has it.
        every: over all factors that a code space is known for.
    """

    labelled: SpaceMIG
    every: SpaceMIG


def draw_codes(model: Any, items: Any, seed: int = 0) -> dict[str, Array]:
    """A draw from every item's codes: {code space: float [N,d]}.

    Args:
        model: with `posteriors`: items to {code space: (means [N,d], standard deviations [N,d])}.
        items: as the model takes them.
        seed: of the draws.

    Raises:
        ConfigError: the model's codes are points.
    """
    if not hasattr(model, "posteriors"):
        raise ConfigError(
            f"{type(model).__name__} has no posteriors to draw codes from; for codes that are "
            "points see choose_noise"
        )
    random = np.random.default_rng(seed)
    return {
        space: mean + std * random.standard_normal(mean.shape)
        for space, (mean, std) in model.posteriors(items).items()
    }


def labelled_owners(model: Any, owners: Mapping[str, str]) -> dict[str, str]:
    """Of {factor: its code space} what MIG counts: the spaces that name a factor themselves.

    Those are the factors that the model was told. Of a model that was told none, all count.
    """
    told = {space for space, factor in space_factors(model).items() if factor is not None}
    return {factor: space for factor, space in owners.items() if space in told or not told}


def measure_gaps(
    model: Any,
    test: FactorDataset,
    owners: Mapping[str, str] | None = None,
    *,
    bins: int = BINS,
    seed: int = 0,
) -> Gaps:
    """MIG between the code spaces of a model whose codes are Gaussian.

    A mean is a point, of which a histogram tells more than the code does; a draw is not.

    Args:
        model: with `posteriors`, and code spaces of which one or more name their factor.
        test: held-out rows with these factor columns.
        owners: {factor: its code space} of the spaces that name none, such as the unknown's, where
            the data have a column of what was not told.
        bins: equal-width bins of each dimension.
        seed: of the draws.

    Raises:
        ConfigError: the model has no `posteriors`; an unknown code space.
        DataError: unknown or unusable factors, none that was told, fewer than two spaces.
    """
    codes = draw_codes(model, test.items, seed)
    told = {f: space for space, f in space_factors(model).items() if f is not None}
    every = {**told, **(owners or {})}

    def gap(homes: Mapping[str, str]) -> SpaceMIG:
        return mig_by_space(codes, {f: test.factor(f) for f in homes}, homes, bins=bins)

    return Gaps(gap(told), gap(every))
