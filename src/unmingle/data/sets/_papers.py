"""The papers whose splits several sets have, and what they trained on them."""

from __future__ import annotations

from typing import Any

from unmingle.data.sets._base import Experiment

GABBAY_2020 = (
    "A. Gabbay, Y. Hoshen, Demystifying Inter-Class Disentanglement, ICLR 2020, appendix A.2"
)
REN_2021 = (
    "X. Ren et al., Rethinking Content and Style: Exploring Bias for Unsupervised Disentanglement, "
    "ICCVW 2021, appendix B"
)
XIANG_2021 = (
    "S. Xiang et al., DisUnknown: Distilling Unknown Factors for Disentanglement Learning, "
    "ICCV 2021, supplement"
)
ESSER_2019 = (
    "P. Esser, J. Haux, B. Ommer, Unsupervised Robust Disentangling of Latent Characteristics for "
    "Image Synthesis, ICCV 2019"
)
RUIZ_2019 = (
    "A. Ruiz, O. Martinez, X. Binefa, J. Verbeek, Learning Disentangled Representations with "
    "Reference-Based Variational Autoencoders, 2019"
)


def gabbay_2020(identity: str, reading: str = "--size 64") -> Experiment:
    """Class labels and VGG16; 200 epochs for the codes, 200 for the encoders."""
    return Experiment(
        "lord",
        {"class_factor": identity},
        reading,
        downloads={"perceptual": "vgg16"},
        budget="400epochs",
    )


def ren_2021(reading: str = "--size 64", **settings: Any) -> Experiment:
    """No labels, so all images; 200 epochs for the codes, of 400."""
    return Experiment(
        "content-style",
        settings,
        reading,
        {"instances": 0.25, "second_stage": 0.25},
        {"perceptual": "vgg16"},
        "400epochs",
        all_rows=True,
    )


def esser_2019(identity: str, reading: str) -> Experiment:
    """Pairs of the same appearance; the paper does not say how long it trained."""
    return Experiment("robust", {"class_factor": identity}, reading, budget="100000steps")


def xiang_2021(
    labelled: tuple[str, ...], reading: str = "", budget: str = "", **paper: Any
) -> Experiment:
    """Some factors labelled; the iterations of all stages together."""
    return Experiment("disunknown", {"labelled": labelled}, reading, paper, budget=budget)


def ruiz_2019(method: str, reference: str, reading: str) -> Experiment:
    """A reference set and a pool; 20 epochs, as for faces."""
    return Experiment(method, {"reference": reference}, reading, budget="20epochs")
