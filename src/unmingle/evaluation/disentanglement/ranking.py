"""UDR: do models trained apart find the same codes? Needs no labels, but several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.disentanglement.tables import Floats, constant, read_codes

Similarity = Literal["lasso", "spearman"]
_SWEEPS = 10_000
_LARGEST_SOLVE = 2**24  # entries of all targets' systems


@dataclass(frozen=True)
class UDR:
    """Unsupervised disentanglement ranking.

    Attributes:
        scores: of each model, the median over the others of its similarity to them; 1 is best.
        pairs: [M][M], entry i, j is the similarity of model j's codes to model i's; 0 for i = j.
        active: number of informative codes of each model.
    """

    scores: tuple[float, ...]
    pairs: tuple[tuple[float, ...], ...]
    active: tuple[int, ...]


def udr(
    models: Sequence[Any],
    *,
    kl: Sequence[Any] | None = None,
    similarity: Similarity = "lasso",
    threshold: float = 0.01,
    alpha: float = 0.1,
) -> UDR:
    """Unsupervised disentanglement ranking (Duan et al. 2020, §4).

    Between two models stands a matrix R of the informative codes of one against those of the
    other: |weights| of a lasso that predicts the one from the other, or |rank correlation|. For
    each code max(R)² / sum(R) is averaged over the codes of one model and of the other, and the
    mean of both averages is the similarity.

    Args:
        models: codes [N,D] of the same rows, one array a model; D may differ.
        kl: for each model the mean divergence [D] of each code from its prior, in nats; without
            it every code that varies is informative.
        similarity: "lasso" or "spearman".
        threshold: codes whose `kl` is not above it are not informative.
        alpha: the lasso's penalty on standardised codes.

    Raises:
        DataError: unusable codes, other rows, fewer than two models, a model without informative
            codes.
        ConfigError: unknown similarity, alpha not positive.
    """
    if similarity not in get_args(Similarity):
        raise ConfigError(
            f"unknown similarity {similarity!r}.{nearest(similarity, get_args(Similarity))}"
        )
    if alpha <= 0:
        raise ConfigError(f"alpha must be above 0, got {alpha}")
    if len(models) < 2:
        raise DataError(f"UDR compares at least 2 models, got {len(models)}")
    if kl is not None and len(kl) != len(models):
        raise DataError(f"{len(models)} models, but kl of {len(kl)}")
    codes: list[Floats] = []
    for number, model in enumerate(models):
        found = read_codes(model, f"codes of model {number}")
        if len(found) != len(codes[0] if codes else found):
            raise DataError(f"model 0 has {len(codes[0])} rows, model {number} {len(found)}")
        divergence = None if kl is None else np.asarray(kl[number])
        codes.append(_informative(found, divergence, threshold, number))
    measure = _lasso if similarity == "lasso" else _rank_correlation
    pairs = np.zeros((len(codes), len(codes)))
    for i, row in enumerate(measure(codes, alpha)):
        for j, matrix in enumerate(row):
            if i != j:
                pairs[i, j] = (_strength(matrix) + _strength(matrix.T)) / 2
    scores = [float(np.median(np.delete(pairs[:, i], i))) for i in range(len(codes))]
    return UDR(
        tuple(scores), tuple(map(tuple, pairs.tolist())), tuple(part.shape[1] for part in codes)
    )


def _informative(codes: Floats, kl: Any, threshold: float, number: int) -> Floats:
    """The informative codes of a model, standardised."""
    kept = ~constant(codes)
    if kl is not None:
        if kl.shape != kept.shape:
            raise DataError(f"kl of model {number} must be [{len(kept)}], got {list(kl.shape)}")
        kept &= kl > threshold
    if not kept.any():
        raise DataError(f"model {number} has no informative code")
    codes = codes[:, kept]
    return np.asarray((codes - codes.mean(0)) / codes.std(0))


def _strength(matrix: Floats) -> float:
    """Mean over columns of max² / sum; 0 for a column of zeros."""
    most, total = matrix.max(0), matrix.sum(0)
    return float(np.divide(most**2, total, out=np.zeros_like(total), where=total > 0).mean())


def _split(matrix: Floats, codes: Sequence[Floats]) -> list[Floats]:
    return np.split(matrix, np.cumsum([part.shape[1] for part in codes])[:-1], axis=1)


def _rank_correlation(codes: Sequence[Floats], _: float) -> list[list[Floats]]:
    """|Spearman correlation| [D_i,D_j] of all pairs of models: one product of ranks."""
    ranks = np.stack([_ranks(code) for code in np.concatenate(codes, 1).T], 1)
    ranks -= ranks.mean(0)
    ranks /= np.linalg.norm(ranks, axis=0)
    parts = _split(ranks, codes)
    return [_split(np.abs(part.T @ ranks), codes) for part in parts]


def _ranks(code: Floats) -> Floats:
    """Rank of each entry [N], the mean rank for equal ones."""
    _, group, counts = np.unique(code, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[group])


def _lasso(codes: Sequence[Floats], alpha: float) -> list[list[Floats]]:
    """|weights| [D_i,D_j] of lassos from the codes of each model to those of each.

    Minimises |y - Xw|² / 2N + alpha |w|₁ from X'X and X'y, all targets of all models at once.
    """
    whole = np.concatenate(codes, 1)
    products = whole.T @ whole / len(whole)
    found, start = [], 0
    for part in codes:
        mine = slice(start, start + part.shape[1])
        weights = _lasso_weights(products[mine, mine], products[mine], alpha)
        found.append(_split(np.abs(weights), codes))
        start = mine.stop
    return found


def _lasso_weights(gram: Floats, target: Floats, alpha: float) -> Floats:
    """Weights [D,T] by coordinate descent, ended early where their signs give the optimum."""
    weights = np.zeros_like(target)
    for sweep in range(1, _SWEEPS + 1):
        before = weights.copy()
        for d in range(len(gram)):
            rest = target[d] - gram[d] @ weights + gram[d, d] * weights[d]
            weights[d] = (rest - rest.clip(-alpha, alpha)) / gram[d, d]
        if np.abs(weights - before).max() < 1e-9:
            break
        if sweep % 5 == 0 and gram.size * target.shape[1] < _LARGEST_SOLVE:
            exact = _with_signs(gram, target, alpha, np.sign(weights))
            if exact is not None:
                return exact
    return weights


def _with_signs(gram: Floats, target: Floats, alpha: float, signs: Floats) -> Floats | None:
    """The optimum [D,T] if its signs are these, else None."""
    on = (signs != 0).T
    systems = np.where(on[:, :, None] & on[:, None, :], gram, np.eye(len(gram)))
    try:
        weights = np.linalg.solve(systems, np.where(on, (target - alpha * signs).T, 0)[..., None])
    except np.linalg.LinAlgError:
        return None
    found = weights[..., 0].T
    slope = target - gram @ found
    right = (np.sign(found) == signs) & (np.abs(slope) <= alpha * (1 + 1e-9))
    return np.asarray(found) if right.all() else None
