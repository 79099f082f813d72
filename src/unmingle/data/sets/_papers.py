"""The papers whose splits several sets have."""

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
