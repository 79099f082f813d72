"""All metrics by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unmingle.evaluation.disentanglement.areas import explicitness
from unmingle.evaluation.disentanglement.importances import dci
from unmingle.evaluation.disentanglement.information import mig, mig_by_space, modularity
from unmingle.evaluation.disentanglement.interventions import beta_vae_score, factor_vae_score
from unmingle.evaluation.disentanglement.ranking import udr
from unmingle.evaluation.disentanglement.robustness import irs
from unmingle.evaluation.disentanglement.separation import sap, sap_continuous
from unmingle.evaluation.disentanglement.unsupervised import (
    mutual_information_score,
    total_correlation,
    wasserstein,
)


@dataclass(frozen=True)
class Metric:
    """A metric of the registry.

    Attributes:
        name: its key.
        summary: what it asks, one line.
        needs: of "codes", "factors", "amounts" (any numbers; factors will do), "rows" (rows to fit
            and rows to test on), "spaces" (codes as {space: [N,d]} and owners) and "models" (codes
            of several models).
        function: measures it; codes first, then factors or amounts if they are needed.
        best: "high" or "low".
    """

    name: str
    summary: str
    needs: frozenset[str]
    function: Callable[..., Any]
    best: str = "high"

    def __post_init__(self) -> None:
        known = {"codes", "factors", "amounts", "rows", "spaces", "models"}
        assert self.needs <= known and self.best in ("high", "low"), self.name


def _metric(name: str, needs: str, summary: str, function: Any, best: str = "high") -> Metric:
    return Metric(name, summary, frozenset(needs.split()), function, best)


DISENTANGLEMENT: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric(
            "mig",
            "codes factors",
            "does one code know much more of a factor than any other?",
            mig,
        ),
        _metric(
            "mig_by_space",
            "codes factors spaces",
            "does a factor's own code space know much more of it than any other?",
            mig_by_space,
        ),
        _metric(
            "modularity",
            "codes factors",
            "does each code know one factor only?",
            modularity,
        ),
        _metric(
            "dci",
            "codes factors rows",
            "do boosted trees use each code for one factor, one code for each factor?",
            dci,
        ),
        _metric(
            "sap",
            "codes factors rows",
            "does one code predict a factor much better than any other (by a line)?",
            sap,
        ),
        _metric(
            "sap_continuous",
            "codes amounts rows",
            "does one code correlate with a factor much more than any other?",
            sap_continuous,
        ),
        _metric(
            "explicitness",
            "codes factors rows",
            "does a linear classifier tell each value of a factor from all codes?",
            explicitness,
        ),
        _metric(
            "factor_vae",
            "codes factors",
            "does the code that varies least tell which factor is held?",
            factor_vae_score,
        ),
        _metric(
            "beta_vae",
            "codes factors",
            "do differences of codes tell which factor a pair shares?",
            beta_vae_score,
        ),
        _metric(
            "irs",
            "codes factors",
            "does a code stay where it is while its factor does?",
            irs,
        ),
        _metric(
            "total_correlation",
            "codes",
            "how far are the codes from independent (Gaussian, nats)?",
            total_correlation,
            "low",
        ),
        _metric(
            "wasserstein",
            "codes",
            "how far are the codes from independent (Gaussian, squared distance)?",
            wasserstein,
            "low",
        ),
        _metric(
            "mutual_information",
            "codes",
            "how much does a code know of another (nats)?",
            mutual_information_score,
            "low",
        ),
        _metric(
            "udr",
            "models",
            "do models trained apart find the same codes?",
            udr,
        ),
    )
}

QUICK = (
    *("mig", "mig_by_space", "modularity", "sap_continuous", "irs"),
    *("total_correlation", "wasserstein"),
)
"""Formulas that take a fraction of a second, also of codes of hundreds of entries: nothing is
fitted or drawn, and entries are not compared in pairs."""
