"""All methods on the same data for the same time: a table of no paper."""

from __future__ import annotations

from dataclasses import replace

from unmingle.bench.plan import Row, Setting, Table
from unmingle.bench.sets import CHAIRS, FACES, SCENES, SPRITES

_TOLD = {"class_factor": "{identity}"}
_ONE = {"reference": "{identity}=0"}
_ONE_CODE = {
    "vae": "VAE",
    "beta-vae": "beta-VAE",
    "dip-vae": "DIP-VAE",
    "factor-vae": "FactorVAE",
    "beta-tcvae": "beta-TCVAE",
    "annealed-vae": "annealed VAE",
    "symmetric-vae": "symmetric VAE",
}
_BUDGET = "5min"
_DIGITS = Setting("digits", "digits", "laptop", _BUDGET, "--size 32", identity="digit")

TABLE = Table(
    name="methods",
    title="All methods on the same data for the same time",
    paper="Each is told what it asks for, and scored on the same images, which it never saw.",
    score="whole",
    measures={
        "share": "error / copy ↓",
        "identity_right": "identity right ↑",
        "identity_judge": "identity judge",
        "rest_right": "rest right ↑",
        "rest_judge": "rest judge",
        "identity_in_identity": "identity known ↑",
        "rest_in_rest": "rest known ↑",
        "identity_in_rest": "identity leaked ↓",
        "rest_in_identity": "rest leaked ↓",
        "rebuilt": "reconstruction ↓",
        "mig": "MIG ↑",
        "modularity": "modularity ↑",
    },
    rows=(
        Row("lord", "LORD", "lord", _TOLD),
        Row("robust", "robust disentangling", "robust", _TOLD),
        Row("disunknown", "DisUnknown", "disunknown", {"labelled": ("{identity}",)}),
        Row(
            "content-style",
            "content-style",
            "content-style",
            by_data={"chairs": {"normalisation": "l2"}},
        ),
        Row("reference-vae", "Rb-VAE", "reference-vae", _ONE),
        Row("symmetric-reference-vae", "sRb-VAE", "symmetric-reference-vae", _ONE),
        *(Row(method, label, method) for method, label in _ONE_CODE.items()),
    ),
    settings=(
        *(replace(setting, budget=_BUDGET) for setting in (SCENES, SPRITES, CHAIRS, FACES)),
        _DIGITS,
    ),
    notes=(
        "LORD and DisUnknown are told whose picture each is, robust disentangling which two are of "
        "one, Rb-VAE and sRb-VAE which pictures are of the first one, content-style and all other "
        "VAEs nothing. The identity is the scene's object, the character, the chair, the person or "
        "the digit; the rest is orientation and wall, pose, direction and elevation, where one "
        "looks, and of digits all else, which has no column.",
        "Error / copy: distance (ST-LPIPS, AlexNet) of a picture made of one image's identity and "
        "another's rest to the true one, as a share of the better of the two as they are. Right: "
        "share of such pictures that a recogniser, trained on real images, takes for what they "
        "should be; judge: how often it is right on real images that it never saw. Known and "
        "leaked: accuracy of a small network (MLP) that guesses the identity or the rest from the "
        "code that should tell it, and from the other. Reconstruction: ST-LPIPS. A tenth of the "
        "images is held out.",
        "The VAEs that are told nothing have one code and so nothing to recombine: known is what "
        "that code tells of each; MIG and modularity say whether single entries of it tell of one "
        "thing.",
        "For content-style the code that carries the identity is found with labels, after training "
        "(`unmingle.evaluation.assign`).",
    ),
)

TABLES = (TABLE,)
