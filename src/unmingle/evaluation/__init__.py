"""Scores from codes, images and factors. Nothing here knows a method by name.

Importing the package does not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unmingle.evaluation.assignment import Assignment, assign, assignment_table, roles_of
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.held_out import evaluate
from unmingle.evaluation.image_metrics import mse, ssim
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
    "STLPIPS",
    "Assignment",
    "CodeMeasures",
    "Encoded",
    "Estimate",
    "KnownCodes",
    "ProbeResult",
    "RegressionResult",
    "Scores",
    "assign",
    "assignment_table",
    "cross_probe",
    "evaluate",
    "image_distances",
    "measure_codes",
    "measure_reconstruction",
    "measure_transfer",
    "mse",
    "nearest",
    "probe",
    "regress",
    "retrieval_precision",
    "roles_of",
    "ssim",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "STLPIPS":
            from unmingle.evaluation.st_lpips import STLPIPS

            return STLPIPS
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
