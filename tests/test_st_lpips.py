"""ST-LPIPS against distances computed by an independent implementation, and on its own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.st_lpips import STLPIPS, st_lpips

SHARED = Path(os.environ.get("UNMINGLE_SHARED", Path(__file__).parents[2] / "shared"))
REFERENCE = SHARED / "reference" / "st_lpips.json"
TRUNKS = ("alex", "vgg")


def _noise(seed, shape=(2, 32, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.skipif(not REFERENCE.is_file(), reason=f"no reference distances at {REFERENCE}")
@pytest.mark.parametrize("trunk", TRUNKS)
def test_reference_distances(trunk):
    rows = json.loads(REFERENCE.read_text())["rows"]
    files = {name: np.load(SHARED / "data" / name)["images"] for name in {r["file"] for r in rows}}
    for row in rows:
        images = files[row["file"]][[row["i"], row["j"]]]
        if "crop" in row:
            top, bottom, left, right = map(int, re.findall(r"\d+", row["crop"]))
            images = images[:, top:bottom, left:right]
        distance = STLPIPS.distance(st_lpips(trunk), images[:1], images[1:])[0]
        assert distance == pytest.approx(row[trunk], rel=1e-4), row


@pytest.mark.parametrize("trunk", TRUNKS)
def test_zero_symmetric_and_growing_with_noise(trunk):
    judge = st_lpips(trunk)
    y, x = np.mgrid[:40, :48]
    image = np.stack([y * 5, x * 5, (x + y) * 2], -1)[None].astype(np.uint8)
    noise = np.random.default_rng(0).normal(size=image.shape)
    noisy = [np.clip(image + s * noise, 0, 255).astype(np.uint8) for s in (0, 5, 20, 60)]
    d = [float(judge.distance(image, other)[0]) for other in noisy]
    assert d[0] == 0
    assert d[0] < d[1] < d[2] < d[3]
    assert judge.distance(noisy[2], image)[0] == pytest.approx(d[2], rel=1e-5)


def test_batches_and_several_others_agree_with_single_pairs():
    judge = st_lpips("alex")
    a, b, c = (_noise(seed, (70, 48, 48, 3)) for seed in range(3))  # 56 images a batch
    together = judge.distances(a, [b, c])
    for row in (0, 55, 56, 69):
        one = slice(row, row + 1)
        assert together[0][row] == pytest.approx(judge.distance(a[one], b[one])[0], rel=1e-4)
        assert together[1][row] == pytest.approx(judge.distance(a[one], c[one])[0], rel=1e-4)
    assert together[0].dtype == np.float32


def test_grey_alpha_and_tiny_images():
    judge = st_lpips("alex")
    a, b = _noise(0), _noise(1)
    colour = judge.distance(a, b)
    opaque = [np.concatenate([x, np.full_like(x[..., :1], 255)], -1) for x in (a, b)]
    np.testing.assert_allclose(judge.distance(*opaque), colour, rtol=1e-6)
    clear = [np.concatenate([x, np.zeros_like(x[..., :1])], -1) for x in (a, b)]
    np.testing.assert_array_equal(judge.distance(*clear), 0)  # both are white
    grey = [np.repeat(x[..., :1], 3, -1) for x in (a, b)]
    np.testing.assert_allclose(judge.distance(a[..., :1], b[..., :1]), judge.distance(*grey))
    small = [x[:, :8, :8] for x in (a, b)]
    large = [np.repeat(np.repeat(x, 3, 1), 3, 2) for x in small]
    np.testing.assert_allclose(judge.distance(*small), judge.distance(*large))
    for trunk in TRUNKS:
        assert st_lpips(trunk).distance(a[:, :24, :24], b[:, :24, :24]).min() > 0


def test_bad_input():
    judge = st_lpips("alex")
    with pytest.raises(DataError, match="differ in shape"):
        judge.distance(_noise(0), _noise(0)[:1])
    with pytest.raises(DataError, match="uint8"):
        judge.distance(_noise(0) / 255.0, _noise(0) / 255.0)
    with pytest.raises(DataError, match="1 to 4 channels"):
        judge.distance(_noise(0, (1, 32, 32, 5)), _noise(1, (1, 32, 32, 5)))
    with pytest.raises(ConfigError, match="'alex'"):
        STLPIPS("alexnet")
    assert st_lpips("alex") is judge
