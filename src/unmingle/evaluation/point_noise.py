"""Noise for codes that are points, so that their information can be measured at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from unmingle.errors import ConfigError

LEVELS = (*(m * 10.0**e for e in range(-5, 1) for m in (1, 2, 5)), 10.0)
"""1e-5, 2e-5, 5e-5, 1e-4, … 5, 10."""


def choose_noise(
    settings: Sequence[Callable[[float, float], float]], levels: Sequence[float] = LEVELS
) -> tuple[float, float]:
    """Standard deviations of the noise under which MIG is largest (Xiang et al. 2021, 2.2).

    A code without spread has a value of its own for every row and would tell all factors. So noise
    is added, of one standard deviation for the unknown code and another for the labelled ones: the
    pair out of all under which the mean over the settings is largest. It favours the method that it
    is done for, and is for methods with exact codes only.

    Args:
        settings: of each data set and choice of the unknown factor, a function from both standard
            deviations (unknown, labelled) to the MIG: `mig_by_space` with that noise.
        levels: the candidates.

    Returns:
        (unknown, labelled); of equally good pairs the one with the least noise.

    Raises:
        ConfigError: no setting, or no level.
    """
    if not settings or not levels:
        raise ConfigError("choose_noise needs a setting and a level, at least")
    pairs = sorted(product(levels, levels), key=lambda pair: (pair[0] + pair[1], pair))
    means = {pair: sum(score(*pair) for score in settings) / len(settings) for pair in pairs}
    best = max(means.values())
    return next(pair for pair in pairs if means[pair] == best)
