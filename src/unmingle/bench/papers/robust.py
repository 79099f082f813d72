"""Tables 1 and 2 of robust disentangling (P. Esser, J. Haux and B. Ommer, ICCV 2019)."""

from __future__ import annotations

from dataclasses import replace

from unmingle.bench.plan import Figures, Row, Table
from unmingle.bench.sets import SCENES, SPRITES, published

PAPER = (
    "P. Esser, J. Haux, B. Ommer, Unsupervised Robust Disentangling of Latent Characteristics for "
    "Image Synthesis, ICCV 2019"
)
LABELS = {
    "variational": "a) only variational",
    "adversarial": "b) only adversarial",
    "equal": "c) equal combination",
    "fixed": "d) fixed combination",
    "adaptive": "e) adaptive combination",
    "beta-vae": "bvae (of Fig. 7)",
}
_LONG = "The paper does not say how long it trained; here 100,000 steps."


def _row(variant: str, label: str) -> Row:
    told = {"class_factor": "{identity}", "variant": variant}
    return Row(f"robust-{variant}", label, "robust", told)


_REED = published("reed-sprites", "sprites", "robust-disentangling")

TABLE_1 = Table(
    name="robust-table1",
    title="Estimates of the mutual information under the constraint of 0.125 nats",
    paper=PAPER,
    score="logged",
    measures={"I_T": "I_T", "I_T'": "I_T'", "L_rec": "L_rec ↓"},
    rows=tuple(_row(variant, label) for variant, label in LABELS.items()),
    settings=(replace(SCENES, budget="10min"), replace(SPRITES, budget="10min"), _REED),
    published=Figures(
        "Table 1",
        (("reed-sprites", "I_T"), ("reed-sprites", "I_T'"), ("reed-sprites", "L_rec")),
        {
            "a) only variational": "0.1255 0.1239 3.9350",
            "b) only adversarial": "0.1254 0.8727 2.9818",
            "c) equal combination": "0.0919 0.1247 3.9615",
            "d) fixed combination": "0.1258 0.4096 3.2504",
            "e) adaptive combination": "0.1225 0.1201 3.5279",
        },
    ),
    notes=(
        "Means over the last tenth of the steps. I_T should be at most 0.125, and I_T', which no "
        "encoder plays against, should agree with it. L_rec is on a scale of its own at each size "
        "and preset, and its perceptual distance is not the paper's.",
        _LONG,
    ),
)


TABLE_2 = Table(
    name="robust-table2",
    title="Is the appearance of generated images found again? Mean average precision",
    paper=PAPER,
    score="identity",
    measures={
        "map_reconstruction": "mAP, reconstruction, % ↑",
        "map_transfer": "mAP, transfer, % ↑",
        "map_real": "mAP, real images, %",
    },
    rows=(_row("adversarial", "adversarial"), _row("adaptive", "ours")),
    settings=(
        SCENES,
        SPRITES,
        published("market1501", "market1501", "official"),
        published("deepfashion", "deepfashion", "official"),
    ),
    published=Figures(
        "Table 2",
        (("market1501", "map_reconstruction"), ("market1501", "map_transfer")),
        {"VUNet": "25.3 19.9", "adversarial": "34.8 6.6", "ours": "30.2 25.4"},
    ),
    notes=(
        "The re-identification encoder is trained here on the training rows; the paper's has "
        "other networks, so that its figures and these are not on one scale: compare with the "
        "precision of real images.",
        "The figures are those of the appearance on Market-1501; those on DeepFashion are left "
        "out. Key-point errors need a key-point detector and are not measured.",
        "Images have 128x128 pixels; the paper does not say how many.",
        "DeepFashion: pairs of one appearance show one look, an item in one of its colours, and "
        "it is the look that is found again.",
        _LONG,
    ),
)

TABLES = (TABLE_1, TABLE_2)
