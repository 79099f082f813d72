"""How far recombined images are from real ones as a set: a Fréchet distance of features.

Not FID. That is the same distance of InceptionV3's pooled features (Heusel et al. 2017) and its
numbers do not compare with these, which are of ST-LPIPS's AlexNet: a trunk that no method is
trained on, as that would flatter it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.plain import rebuild, to_plain
from unmingle.evaluation.record import context
from unmingle.evaluation.text import aligned, number

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_FEWEST = 8
_HALVINGS = 4
_TAPS = {1: 64, 2: 192, 5: 256}  # channels; taps 3 and 4 have more than the deepest, or as many


@dataclass(frozen=True)
class Spread:
    """Mean, smallest and largest over the halvings."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class FeatureDistance:
    """Fréchet distances between sets of `rows` images each.

    The held-out rows are parted in two halves, several times. Every distance is to one half of real
    images, of the other half, or of images made from the other half; equal sizes, because the
    distance of finite sets grows as they shrink.

    Attributes:
        recombined: images with the codes of one space from one image, all others from another.
        rebuilt: images with all codes from one image.
        real: the other half itself, the floor.
        take: the code space taken; rows: images in a half; features: what was compared.
    """

    recombined: Spread
    rebuilt: Spread
    real: Spread
    take: str
    rows: int
    features: str
    context: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for a number that is not finite."""
        plain = to_plain(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FeatureDistance:
        """The inverse of `to_dict`."""
        return rebuild(cls, plain)

    def lines(self) -> Iterator[str]:
        """The table by lines; it starts with an empty one."""
        yield ""
        yield (
            f"Fréchet distance to {self.rows} real images ({self.features}; not FID; in brackets "
            f"the smallest and largest of {_HALVINGS} halvings)"
        )
        named = {
            f"recombined ({self.take} of another image)": self.recombined,
            "reconstructed": self.rebuilt,
            "real (the floor)": self.real,
        }
        yield from aligned(
            [
                [name, f"{number(s.mean)} [{number(s.low)}, {number(s.high)}]"]
                for name, s in named.items()
            ]
        )


def frechet_distance(a: Array, b: Array) -> float:
    """Squared Fréchet distance of two Gaussians fitted to features [N,d] and [M,d].

    |m_a - m_b|² + tr(A + B - 2 (A B)^½) with means m and covariances A, B (divided by N - 1)
    (Dowson and Landau 1982; Heusel et al. 2017, Eq. 6).

    Raises:
        DataError: fewer than two rows, different d, NaN.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(f"features must be [N,d] and [M,d], got {a.shape} and {b.shape}")
    if min(len(a), len(b)) < 2:
        raise DataError(f"a covariance needs two rows, got {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("features hold NaN or infinity")
    # The trace of (A B)^½ is the sum of the singular values of X_a X_b^T for any X_a^T X_a = A:
    # no root of a nearly singular product is needed.
    roots = [np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1))[1] for x in (a, b)]
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = np.square(a.mean(0) - b.mean(0)).sum()
    return max(0.0, float(apart + sum(np.square(x).sum() for x in roots) - 2 * shared))


def fitting_tap(rows: int) -> int:
    """The deepest tap with at most half as many channels as there are rows; the first if none.

    With fewer rows than channels the covariances are mostly noise, and so is their distance.
    """
    return max((tap for tap, channels in _TAPS.items() if 2 * channels <= rows), default=1)


def feature_distance(
    model: Model,
    test: FactorDataset,
    *,
    take: str | None = None,
    rows: int = 2000,
    seed: int = 0,
    device: str = "cpu",
    encoded: Encoded | None = None,
) -> FeatureDistance:
    """Fréchet distance of recombined to real images, beside that of two halves of real images.

    Args:
        model: see `unmingle.evaluation.model.Model`.
        test: held-out rows; vectors are compared as they are.
        take: the code space taken from another image; the first by default.
        rows: test rows used, at most; chosen by `seed`.
        device: where the features are computed.

    Raises:
        ConfigError: unknown code space, a model that cannot decode.
        DataError: fewer than 8 rows.
    """
    if len(test) < _FEWEST:
        raise DataError(f"{len(test)} rows; two halves of {_FEWEST // 2} are the least")
    encoded = encoded or Encoded(model, test.items)
    take = take or encoded.spaces[0]
    encoded.require(take)
    if len(encoded.spaces) < 2:
        raise ConfigError("with one code space there is nothing to recombine")
    rng = np.random.default_rng(seed)
    half = min(len(test), rows) // 2
    tap = fitting_tap(half)

    def features(items: Array) -> Floats:
        if test.is_images:
            from unmingle.evaluation.st_lpips import st_lpips

            return st_lpips("alex", device).pooled(items, tap)
        return np.asarray(items, np.float64)

    chosen = np.sort(rng.choice(len(test), 2 * half, replace=False))
    real = features(np.asarray(test.items[chosen]))
    rebuilt = features(encoded.combine(dict.fromkeys(encoded.spaces, chosen)))
    found: dict[str, list[float]] = {"recombined": [], "rebuilt": [], "real": []}
    for _ in range(_HALVINGS):
        order = rng.permutation(2 * half)
        one, other = order[:half], order[half:]
        codes = {space: chosen[one] for space in encoded.spaces}
        codes[take] = np.roll(chosen[one], 1)  # the order is random already
        found["recombined"].append(frechet_distance(features(encoded.combine(codes)), real[other]))
        found["rebuilt"].append(frechet_distance(rebuilt[one], real[other]))
        found["real"].append(frechet_distance(real[one], real[other]))
    spreads = {
        name: Spread(float(np.mean(values)), min(values), max(values))
        for name, values in found.items()
    }
    what = "the vectors themselves"
    if test.is_images:
        what = f"{real.shape[1]} pooled features of ST-LPIPS's AlexNet, tap {tap}"
    return FeatureDistance(
        **spreads,
        take=take,
        rows=half,
        features=what,
        context=context(model, test, None, seed, rows=2 * half, halvings=_HALVINGS),
    )
