"""Disentanglement metrics on codes [N,D] and integer factors [N,K]: plain functions and a registry.

Formulas and defaults are those of Locatello et al. 2019 (disentanglement_lib), its bugs mended;
docs/metrics.md lists both. Importing loads neither torch nor scikit-learn; none of the metrics
uses either.
"""

from __future__ import annotations

from unmingle.evaluation.disentanglement.areas import Explicitness, explicitness
from unmingle.evaluation.disentanglement.importances import DCI, dci
from unmingle.evaluation.disentanglement.information import (
    MIG,
    Modularity,
    SpaceMIG,
    mig,
    mig_by_space,
    modularity,
)
from unmingle.evaluation.disentanglement.interventions import (
    BetaVAEScore,
    FactorVAEScore,
    beta_vae_score,
    factor_vae_score,
)
from unmingle.evaluation.disentanglement.measuring import (
    Measured,
    measure,
    measure_encoder,
    udr_encoders,
)
from unmingle.evaluation.disentanglement.ranking import UDR, udr
from unmingle.evaluation.disentanglement.registry import DISENTANGLEMENT, Metric
from unmingle.evaluation.disentanglement.robustness import IRS, irs
from unmingle.evaluation.disentanglement.separation import SAP, sap, sap_continuous
from unmingle.evaluation.disentanglement.unsupervised import (
    Wasserstein,
    mutual_information_score,
    total_correlation,
    wasserstein,
)

__all__ = [
    "DCI",
    "DISENTANGLEMENT",
    "IRS",
    "MIG",
    "SAP",
    "UDR",
    "BetaVAEScore",
    "Explicitness",
    "FactorVAEScore",
    "Measured",
    "Metric",
    "Modularity",
    "SpaceMIG",
    "Wasserstein",
    "beta_vae_score",
    "dci",
    "explicitness",
    "factor_vae_score",
    "irs",
    "measure",
    "measure_encoder",
    "mig",
    "mig_by_space",
    "modularity",
    "mutual_information_score",
    "sap",
    "sap_continuous",
    "total_correlation",
    "udr",
    "udr_encoders",
    "wasserstein",
]
