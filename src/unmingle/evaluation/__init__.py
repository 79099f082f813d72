"""Scores from codes, images and factors. Nothing here knows a method by name.

Importing the package does not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unmingle.evaluation.assignment import Assignment, assign, assignment_table, roles_of
from unmingle.evaluation.audit import Audit, audit
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.disentanglement import (
    DISENTANGLEMENT,
    Measured,
    Metric,
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    irs,
    measure,
    measure_encoder,
    mig,
    mig_by_space,
    modularity,
    mutual_information_score,
    sap,
    sap_continuous,
    total_correlation,
    udr,
    wasserstein,
)
from unmingle.evaluation.extras import Extras
from unmingle.evaluation.feature_distance import (
    FeatureDistance,
    feature_distance,
    frechet_distance,
)
from unmingle.evaluation.held_out import evaluate
from unmingle.evaluation.image_metrics import mse, ssim
from unmingle.evaluation.judges import Judging, judge
from unmingle.evaluation.known import KnownCodes
from unmingle.evaluation.model import Encoded
from unmingle.evaluation.probes import ProbeResult, cross_probe, probe
from unmingle.evaluation.regression import CodeMeasures, RegressionResult, measure_codes, regress
from unmingle.evaluation.retrieval import nearest, retrieval_precision
from unmingle.evaluation.scores import Scores
from unmingle.evaluation.transfer import (
    image_distances,
    measure_reconstruction,
    measure_transfer,
)

if TYPE_CHECKING:
    from unmingle.evaluation.st_lpips import STLPIPS

__all__ = [
    "DISENTANGLEMENT",
    "STLPIPS",
    "Assignment",
    "Audit",
    "CodeMeasures",
    "Encoded",
    "Estimate",
    "Extras",
    "FeatureDistance",
    "Judging",
    "KnownCodes",
    "Measured",
    "Metric",
    "ProbeResult",
    "RegressionResult",
    "Scores",
    "assign",
    "assignment_table",
    "audit",
    "beta_vae_score",
    "cross_probe",
    "dci",
    "evaluate",
    "explicitness",
    "factor_vae_score",
    "feature_distance",
    "frechet_distance",
    "image_distances",
    "irs",
    "judge",
    "measure",
    "measure_codes",
    "measure_encoder",
    "measure_reconstruction",
    "measure_transfer",
    "mig",
    "mig_by_space",
    "modularity",
    "mse",
    "mutual_information_score",
    "nearest",
    "probe",
    "regress",
    "retrieval_precision",
    "roles_of",
    "sap",
    "sap_continuous",
    "ssim",
    "total_correlation",
    "udr",
    "wasserstein",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "STLPIPS":
            from unmingle.evaluation.st_lpips import STLPIPS

            return STLPIPS
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
