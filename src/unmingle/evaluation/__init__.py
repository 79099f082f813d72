"""Scores from codes, images and factors. Nothing here knows a method by name.

Importing the package does not load torch.
"""

from __future__ import annotations

import importlib
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
    udr_encoders,
    wasserstein,
)
from unmingle.evaluation.extras import Extras
from unmingle.evaluation.feature_distance import (
    FeatureDistance,
    feature_distance,
    frechet_distance,
)
from unmingle.evaluation.gaps import Gaps, draw_codes, measure_gaps
from unmingle.evaluation.held_out import evaluate
from unmingle.evaluation.image_metrics import mse, ssim
from unmingle.evaluation.judges import Judging, judge
from unmingle.evaluation.known import KnownCodes
from unmingle.evaluation.model import Encoded
from unmingle.evaluation.point_noise import choose_noise
from unmingle.evaluation.probes import ProbeResult, cross_probe, probe
from unmingle.evaluation.regression import CodeMeasures, RegressionResult, measure_codes, regress
from unmingle.evaluation.retrieval import nearest, retrieval_precision
from unmingle.evaluation.scores import Scores
from unmingle.evaluation.transfer import (
    image_distances,
    measure_reconstruction,
    measure_transfer,
)
from unmingle.evaluation.triplets import (
    TripletErrors,
    Triplets,
    find_triplets,
    plot_triplets,
    triplet_errors,
)

if TYPE_CHECKING:
    from unmingle.evaluation.reidentification import Reidentification, reidentify
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
    "Gaps",
    "Judging",
    "KnownCodes",
    "Measured",
    "Metric",
    "ProbeResult",
    "RegressionResult",
    "Reidentification",
    "Scores",
    "TripletErrors",
    "Triplets",
    "assign",
    "assignment_table",
    "audit",
    "beta_vae_score",
    "choose_noise",
    "cross_probe",
    "dci",
    "draw_codes",
    "evaluate",
    "explicitness",
    "factor_vae_score",
    "feature_distance",
    "find_triplets",
    "frechet_distance",
    "image_distances",
    "irs",
    "judge",
    "measure",
    "measure_codes",
    "measure_encoder",
    "measure_gaps",
    "measure_reconstruction",
    "measure_transfer",
    "mig",
    "mig_by_space",
    "modularity",
    "mse",
    "mutual_information_score",
    "nearest",
    "plot_triplets",
    "probe",
    "regress",
    "reidentify",
    "retrieval_precision",
    "roles_of",
    "sap",
    "sap_continuous",
    "ssim",
    "total_correlation",
    "triplet_errors",
    "udr",
    "udr_encoders",
    "wasserstein",
]

_WITH_TORCH = {
    "STLPIPS": "st_lpips",
    "Reidentification": "reidentification",
    "reidentify": "reidentification",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _WITH_TORCH:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{_WITH_TORCH[name]}", __name__), name)
