"""Metrics from mutual information: MIG, modularity, and their estimate by histograms.

Codes are cut into equal-width bins over the range of the sample; information is in nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.disentanglement.tables import (
    Floats,
    Ints,
    constant,
    read_codes,
    read_table,
)

BINS = 20
_CELLS = 2**22  # cells of joint histograms, or entries, held at a time


@dataclass(frozen=True)
class MIG:
    """Mutual information gap.

    Attributes:
        score: mean of the gaps, 0..1, 1 is best.
        gaps: of each factor, between the two most informative codes, by the factor's entropy.
        best: of each factor, the column of the most informative code.
    """

    score: float
    gaps: tuple[float, ...]
    best: tuple[int, ...]


@dataclass(frozen=True)
class SpaceMIG:
    """MIG between whole code spaces.

    Attributes:
        score: mean of the gaps, -1..1, 1 is best.
        gaps: of each factor, its own space's information less that of the best other space.
    """

    score: float
    gaps: tuple[float, ...]


@dataclass(frozen=True)
class Modularity:
    """How far each code knows one factor only.

    Attributes:
        score: mean over the codes that vary, 0..1, 1 is best.
        per_code: NaN for a constant code.
        active: number of codes that vary.
    """

    score: float
    per_code: tuple[float, ...]
    active: int


def mig(codes: Any, factors: Any, *, bins: int = BINS) -> MIG:
    """Mutual information gap (Chen et al. 2018; histograms as in Locatello et al. 2019).

    For each factor v: (I(z_1; v) - I(z_2; v)) / H(v), z_1 and z_2 the two codes that know most
    of it; with a single code I(z_2; v) is 0.

    Args:
        codes: [N,D].
        factors: integers [N,K] or {name: [N]}.
        bins: equal-width bins of each code.

    Raises:
        DataError: unusable codes or factors.
    """
    table = read_table(codes, factors)
    shares = factor_information(table.codes, table.values, bins) / entropies(table.counts)
    ranked = np.sort(np.vstack([shares, np.zeros(len(table.names))]), axis=0)
    gaps = ranked[-1] - ranked[-2]
    return MIG(float(gaps.mean()), tuple(gaps.tolist()), tuple(shares.argmax(0).tolist()))


def mig_by_space(
    spaces: Mapping[str, Any],
    factors: Any,
    owners: Mapping[str, str] | Sequence[str],
    *,
    bins: int = BINS,
    noise: Mapping[str, float] | None = None,
    seed: int = 0,
) -> SpaceMIG:
    """MIG for code spaces that each should carry one factor (Xiang et al. 2021, Eq. 19-21).

    What a space knows of a factor is the largest I(code; factor) / H(factor) over its codes. The
    gap is that of the factor's own space less the largest of all others, averaged over the
    factors given: leave out the one that is unknown, but give its space.

    Args:
        spaces: {code space: [N,d]}, at least two.
        factors: integers [N,K] or {name: [N]}.
        owners: {factor: its space}, or one space a factor.
        noise: {code space: standard deviation} of Gaussian noise added to exact codes, whose
            values would otherwise each be a bin of their own.
        seed: of the noise.

    Raises:
        DataError: unusable codes or factors, fewer than two spaces.
        ConfigError: an unknown space, a factor without one.
    """
    if len(spaces) < 2:
        raise DataError(f"a gap needs at least two code spaces, got {', '.join(spaces) or 'none'}")
    rng = np.random.default_rng(seed)
    known = []
    for space in noise or {}:
        _require_space(space, spaces)
    for space, codes in spaces.items():
        table = read_table(read_codes(codes, f"{space} codes"), factors)
        moved = table.codes
        if noise:
            moved = moved + noise.get(space, 0.0) * rng.normal(size=moved.shape)
        known.append(factor_information(moved, table.values, bins).max(0))
    homes: Sequence[str] = (
        [owners[name] for name in table.names if name in owners]
        if isinstance(owners, Mapping)
        else owners
    )
    if len(homes) != len(table.names):
        raise ConfigError(f"{len(table.names)} factors, but owners for {len(homes)} of them")
    for space in homes:
        _require_space(space, spaces)
    shares = np.stack(known) / entropies(table.counts)
    home = [list(spaces).index(space) for space in homes]
    columns = np.arange(len(home))
    own = shares[home, columns]
    shares[home, columns] = -np.inf
    gaps = own - shares.max(0)
    return SpaceMIG(float(gaps.mean()), tuple(gaps.tolist()))


def modularity(codes: Any, factors: Any, *, bins: int = BINS) -> Modularity:
    """Modularity (Ridgeway & Mozer 2018).

    For each code: 1 - sum over the other factors of I(z; v)² / ((K - 1) max I(z; v)²). Constant
    codes are left out; a code that varies and knows nothing scores 0.

    Raises:
        DataError: unusable codes or factors, fewer than two factors, no code that varies.
    """
    table = read_table(codes, factors, least=2)
    squared = np.square(factor_information(table.codes, table.values, bins))
    most = squared.max(1)
    others = (squared.sum(1) - most) / np.where(most > 0, most, 1) / (len(table.names) - 1)
    found = np.where(most > 0, 1 - others, 0.0)
    found[constant(table.codes)] = np.nan
    active = int(np.isfinite(found).sum())
    if not active:
        raise DataError("no code varies")
    return Modularity(float(np.nanmean(found)), tuple(found.tolist()), active)


def _require_space(space: str, spaces: Mapping[str, Any]) -> None:
    if space not in spaces:
        raise ConfigError(f"no code space {space!r}.{nearest(space, spaces)}")


def discretise(codes: Floats, bins: int = BINS) -> Ints:
    """Bin 0..bins-1 of each code [N,D], as [D,N]; equal widths between minimum and maximum.

    Raises:
        ConfigError: fewer than 2 bins.
    """
    if bins < 2:
        raise ConfigError(f"bins must be at least 2, got {bins}")
    found = np.zeros(codes.shape[::-1], np.int64)
    for column, code in enumerate(codes.T):
        low, high = code.min(), code.max()
        if high > low:  # a bin holds its left edge; the last one both
            edges = np.linspace(low, high, bins + 1)
            found[column] = np.searchsorted(edges[1:-1], code, side="right")
    return found


def entropies(counts: Sequence[Ints]) -> Floats:
    """Entropy in nats of each factor, from the rows of each value."""
    return np.array([_entropy(count[None])[0] for count in counts])


def _entropy(counts: Ints) -> Floats:
    """Entropy in nats of each row of counts [R,C]."""
    shares = counts / counts.sum(1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(1))


def factor_information(codes: Floats, values: Ints, bins: int = BINS) -> Floats:
    """Mutual information in nats [D,K] of each binned code [N,D] with each factor [K,N]."""
    binned = discretise(codes, bins)
    found = np.empty((len(binned), len(values)))
    for column, factor in enumerate(values):
        found[:, column] = _information(binned, bins, factor, int(factor.max()) + 1)
    return found


def code_information(codes: Floats, bins: int = BINS) -> Floats:
    """Mutual information in nats [D,D] of each binned code [N,D] with each; 0 on the diagonal."""
    binned = discretise(codes, bins)
    found = np.zeros((len(binned), len(binned)))
    for column in range(len(binned) - 1):
        rest = slice(column + 1, None)
        found[column, rest] = _information(binned[rest], bins, binned[column], bins)
    return found + found.T


def _information(binned: Ints, bins: int, other: Ints, values: int) -> Floats:
    """Mutual information [R] of each row of bins [R,N] with one more variable [N].

    One count over all rows makes their joint histograms at once. I = H(a) + H(b) - H(a,b) from
    the counts themselves: sum of c·log(c·N / (row·column)) over cells that are not empty.
    """
    count = binned.shape[1]
    found = np.empty(len(binned))
    step = max(1, _CELLS // max(bins * values, count))
    for start in range(0, len(binned), step):
        part = binned[start : start + step]
        rows = len(part)
        cell = part + (other * bins)[None] + (np.arange(rows) * (bins * values))[:, None]
        joint = np.bincount(cell.ravel(), minlength=rows * bins * values)
        joint = joint.reshape(rows, values, bins)
        full = joint > 0
        expected = joint.sum(1, keepdims=True) * joint.sum(2, keepdims=True) / count
        ratio = np.divide(joint, expected, out=np.ones(joint.shape), where=full)
        found[start : start + step] = (joint * np.log(ratio)).sum((1, 2)) / count
    return np.maximum(found, 0)
