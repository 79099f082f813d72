"""Scores of codes alone: how far their entries depend on each other. 0 is best in all of them.

They say nothing about factors: codes of noise score best. Constant codes depend on nothing and are
left out. The Gaussian scores see linear dependence only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import DataError
from unmingle.evaluation.disentanglement.information import BINS, code_information
from unmingle.evaluation.disentanglement.tables import Floats, constant, read_codes, rounding

_SINGULAR = 1e-12  # smallest eigenvalue of a correlation matrix that is more than rounding


@dataclass(frozen=True)
class Wasserstein:
    """Wasserstein-2 correlation of the Gaussian with the codes' covariance.

    Attributes:
        score: squared distance to the product of its marginals, 0 or more, in squared code units.
        normalised: divided by the total variance, 0..2.
    """

    score: float
    normalised: float


def total_correlation(codes: Any) -> float:
    """Total correlation in nats of the Gaussian with the codes' covariance (Watanabe 1960).

    (sum of log variances - log det covariance) / 2; infinite where one code is a linear function
    of others.

    Args:
        codes: [N,D].

    Raises:
        DataError: unusable codes, none that varies.
    """
    covariance = _covariance(codes)
    scale = np.sqrt(np.diag(covariance))
    spectrum = np.linalg.eigvalsh(covariance / np.outer(scale, scale))
    if spectrum[0] < _SINGULAR * len(spectrum):
        return float("inf")
    return max(0.0, float(-0.5 * np.log(spectrum).sum()))


def wasserstein(codes: Any) -> Wasserstein:
    """Wasserstein-2 correlation of the Gaussian with the codes' covariance C.

    With S the diagonal of C: 2 tr(C) - 2 tr((S^½ C S^½)^½) (Watters et al. 2019 and
    Locatello et al. 2019).

    Raises:
        DataError: unusable codes, none that varies.
    """
    covariance = _covariance(codes)
    scale = np.sqrt(np.diag(covariance))
    spectrum = np.linalg.eigvalsh(covariance * np.outer(scale, scale))
    total = float(np.trace(covariance))
    # the covariance is positive semi-definite: what is below 0 is rounding
    distance = max(0.0, 2 * total - 2 * float(np.sqrt(spectrum.clip(0)).sum()))
    return Wasserstein(distance, distance / total)


def mutual_information_score(codes: Any, *, bins: int = BINS) -> float:
    """Mean mutual information in nats over pairs of different codes that vary.

    Each code is cut into `bins` equal-width bins. 0 with a single code.

    Raises:
        DataError: unusable codes, none that varies.
    """
    found = read_codes(codes)
    active = found[:, ~constant(found)]
    size = active.shape[1]
    if not size:
        raise DataError("no code varies")
    return float(code_information(active, bins).sum() / max(1, size * (size - 1)))


def _covariance(codes: Any) -> Floats:
    """Covariance of the codes that vary."""
    found = read_codes(codes)
    mean = found.mean(0)
    apart = found - mean
    covariance = apart.T @ apart / (len(apart) - 1)
    varies = np.sqrt(np.diag(covariance)) > rounding(mean)
    if not varies.any():
        raise DataError("no code varies")
    return np.asarray(covariance[np.ix_(varies, varies)])
