"""What can be measured without labels: codes of recombined images, and codes against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import DataError
from unmingle.evaluation.bootstrap import Estimate, mean_interval, ratio_interval, share_interval
from unmingle.evaluation.leaks import Information
from unmingle.evaluation.model import Encoded
from unmingle.evaluation.probes import deal_folds, standardised, validation_rows
from unmingle.evaluation.rows import HeldOut

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_MOST = 1000  # rows whose codes are compared with all others
_FEWEST = 20


@dataclass(frozen=True)
class Swap:
    """Whether a recombined image has the codes it was made from.

    Codes of space `take` come from image i, all others from image j; the result is encoded again.

    Attributes:
        code: the code space that is compared, and `source` ("i" or "j") the image it came from.
        distance: between the code put in and the code found again, as a share of the mean distance
            between codes of two random images: 0 is perfect, 1 is a random image.
        unswapped: the same when all codes come from one image.
        nearer: how often the code found again is nearer to that of its source than to that of the
            other image; 0.5 if it cannot tell. Where the code's factor is known, of the pairs that
            differ in it.
        pairs: how many recombined images.
    """

    take: str
    code: str
    source: str
    distance: Estimate
    unswapped: Estimate
    nearer: Estimate
    pairs: int


@dataclass(frozen=True)
class CodePair:
    """Mutual information of two codes of the same image (T' of Esser et al. 2019), no labels used.

    Independent codes have none; but if the data's factors are related, good codes are as well.
    """

    first: str
    second: str
    information: Information


def random_pairs(count: int, pairs: int, seed: int) -> tuple[Ints, Ints]:
    """At most `pairs` (and at most `count`) pairs of different rows, no row twice the first."""
    rng = np.random.default_rng(seed)
    first = rng.permutation(count)[:pairs]
    return first, (first + rng.integers(1, count, len(first))) % count


def swap_consistency(
    encoded: Encoded,
    labels: Mapping[str, Array] | None = None,
    *,
    pairs: int = 1000,
    seed: int = 0,
) -> list[Swap]:
    """Encode recombined images and compare their codes with those they were made from.

    With two code spaces one swap shows all there is; with more each space is taken in turn.

    Args:
        encoded: the images.
        labels: {code space: values [N] of its factor}, where known: `nearer` then counts only
            pairs whose values differ.
        pairs: recombined images, at most.

    Raises:
        DataError: fewer than two rows or two code spaces.
        ConfigError: the model cannot decode.
    """
    count, spaces = len(encoded.items), encoded.spaces
    if count < 2 or len(spaces) < 2:
        raise DataError(f"swaps need two images and two codes, there are {count} and {len(spaces)}")
    i, j = random_pairs(count, pairs, seed)
    again = Encoded(encoded.model, encoded.combine(dict.fromkeys(spaces, i)))
    apart = {space: _distances(c[i], c[j]) for space, c in encoded.codes.items()}
    found = []
    for take in spaces[:1] if len(spaces) == 2 else spaces:
        rows = {space: i if space == take else j for space in spaces}
        swapped = Encoded(encoded.model, encoded.combine(rows))
        for space in spaces:
            source, other = (i, j) if space == take else (j, i)
            codes, new = encoded.codes[space], swapped.codes[space]
            near, far = _distances(new, codes[source]), _distances(new, codes[other])
            same = _distances(again.codes[space], codes[i])
            y = (labels or {}).get(space)
            differ = np.ones(len(i), bool) if y is None else y[i] != y[j]
            found.append(
                Swap(
                    take,
                    space,
                    "i" if space == take else "j",
                    ratio_interval(near, apart[space], seed=seed),
                    ratio_interval(same, apart[space], seed=seed),
                    _nearer(near[differ], far[differ], seed),
                    len(i),
                )
            )
    return found


def _distances(a: Array, b: Array) -> Array:
    return np.asarray(np.linalg.norm(a.astype(np.float64) - b, axis=1))


def _nearer(near: Array, far: Array, seed: int) -> Estimate:
    """Share of rows that are nearer to their source; ties count half. NaN without rows."""
    if not len(near):
        return Estimate(math.nan, math.nan, math.nan)
    if (near != far).all():
        return share_interval(near < far, seed=seed)
    return mean_interval((near < far) + 0.5 * (near == far), seed=seed)


def code_information(coded: HeldOut, spaces: Sequence[str], *, seed: int = 0) -> list[CodePair]:
    """The T' bound between every two codes, on rows that T' was not fitted on.

    Fitted on training rows and scored on test rows; without training rows fitted on half of the
    test rows. At most 1000 rows are scored: the bound cannot exceed the log of their number.

    Raises:
        DataError: too few rows.
    """
    from unmingle.evaluation.information import contributions, fit_pair_ratio

    codes = coded.test_codes
    count = len(coded.test)
    if coded.train_codes:
        fitted, scored = coded.train_codes, codes
    else:
        half = deal_folds(np.zeros(count, np.int64), None, 2, np.random.default_rng(seed)) == 0
        fitted, scored = ({s: c[rows] for s, c in codes.items()} for rows in (half, ~half))
    n_train, n_test = (len(next(iter(part.values()))) for part in (fitted, scored))
    if min(n_train, n_test) < _FEWEST:
        raise DataError(
            f"information between codes needs {_FEWEST} rows to fit and {_FEWEST} to score, "
            f"there are {n_train} and {n_test}"
        )
    rows = np.random.default_rng(seed).permutation(n_test)[:_MOST]
    held = validation_rows(np.zeros(n_train, np.int64), seed)
    found = []
    for first, second in combinations(spaces, 2):
        standard = {space: standardised(fitted[space]) for space in (first, second)}
        inside = [standard[space](fitted[space]) for space in (first, second)]
        outside = [standard[space](scored[space][rows]) for space in (first, second)]
        ratio = fit_pair_ratio(inside[0], inside[1], held, seed)
        scores = ratio.score(outside[0], outside[1])
        own, prior = np.arange(len(rows)), np.full(len(rows), 1 / len(rows))
        information = Information(
            mean_interval(contributions(scores, own, prior, ratio.tempering), seed=seed),
            float(scores.diagonal().mean()),
            float(np.log(len(rows))),
            n_train,
            len(rows),
        )
        found.append(CodePair(first, second, information))
    return found
