"""The disentanglement metrics the straightforward way: one library call a pair, one draw at a time.

What `benchmarks/disentanglement.py` compares with. Written from the formulas in docs/metrics.md;
each returns the numbers that it and the package must agree on.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg
import scipy.stats
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC

warnings.simplefilter("ignore", ConvergenceWarning)


def binned(table):
    """Histogram bins of each column of [N,D]."""
    columns = [np.digitize(column, np.histogram(column, 20)[1][:-1]) for column in table.T]
    return np.stack(columns, 1)


def information(codes, factors):
    bins = binned(codes)
    return np.array([[mutual_info_score(v, z) for v in factors.T] for z in bins.T])


def gap(matrix):
    ranked = np.sort(matrix, axis=0)
    return ranked[-1] - ranked[-2]


def mig(codes, factors, fit):
    entropy = np.array([mutual_info_score(v, v) for v in factors.T])
    return [(gap(information(codes, factors)) / entropy).mean()]


def mig_by_space(spaces, factors, homes):
    most = {space: information(codes, factors).max(0) for space, codes in spaces.items()}
    gaps = []
    for j, home in enumerate(homes):
        others = max(most[space][j] for space in spaces if space != home)
        gaps.append((most[home][j] - others) / mutual_info_score(factors[:, j], factors[:, j]))
    return [np.mean(gaps)]


def modularity(codes, factors, fit):
    squared = information(codes, factors) ** 2
    most = squared.max(1)
    return [(1 - (squared.sum(1) - most) / most / (factors.shape[1] - 1)).mean()]


def sap(codes, factors, fit):
    rest = np.setdiff1d(np.arange(len(codes)), fit)
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for i in range(codes.shape[1]):
        for j in range(factors.shape[1]):
            machine = LinearSVC(C=0.01, class_weight="balanced")
            machine.fit(codes[fit, i : i + 1], factors[fit, j])
            found[i, j] = np.mean(machine.predict(codes[rest, i : i + 1]) == factors[rest, j])
    return [gap(found).mean()]


def sap_continuous(codes, factors, fit):
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for i in range(codes.shape[1]):
        for j in range(factors.shape[1]):
            both = np.cov(codes[:, i], factors[:, j])
            found[i, j] = both[0, 1] ** 2 / (both[0, 0] * both[1, 1])
    return [gap(found).mean()]


def dci(codes, factors, fit):
    rest = np.setdiff1d(np.arange(len(codes)), fit)
    used, train, test = [], [], []
    for v in factors.T:
        model = GradientBoostingClassifier(random_state=0).fit(codes[fit], v[fit])
        used.append(model.feature_importances_)
        train.append(np.mean(model.predict(codes[fit]) == v[fit]))
        test.append(np.mean(model.predict(codes[rest]) == v[rest]))
    used = np.stack(used, 1)
    scores = []
    for table in (used, used.T):
        each = 1 - scipy.stats.entropy(table.T + 1e-11, base=table.shape[1])
        scores.append(np.average(each, weights=table.sum(1)))
    return [*scores, np.mean(test), np.mean(train)]


def explicitness(codes, factors, fit):
    rest = np.setdiff1d(np.arange(len(codes)), fit)
    scaled = (codes - codes[fit].mean(0)) / codes[fit].std(0)
    areas = []
    for v in factors.T:
        model = LogisticRegression(max_iter=1000).fit(scaled[fit], v[fit])
        truth = v[:, None] == model.classes_
        areas.append(
            [roc_auc_score(truth[rows], model.predict_proba(scaled[rows])) for rows in (rest, fit)]
        )
    return list(np.mean(areas, 0))


def rows_of_values(factors):
    return [{v: np.flatnonzero(column == v) for v in np.unique(column)} for column in factors.T]


def factor_vae(codes, factors, fit, draws=(10_000, 5_000), batch=64):
    """With the package's random numbers: factors, anchor rows, then the rows of each vote."""
    rng, rows = np.random.default_rng(0), rows_of_values(factors)
    held = rng.integers(0, factors.shape[1], sum(draws))
    anchor = rng.random(sum(draws))
    spread, votes = codes.var(0, ddof=1), np.zeros((2, factors.shape[1], codes.shape[1]))
    for k in range(sum(draws)):
        value = factors[int(anchor[k] * len(codes)), held[k]]
        same = rows[held[k]][value]
        drawn = codes[same[(rng.random(batch) * len(same)).astype(int)]]
        code = np.argmin(np.var(drawn, axis=0, ddof=1) / spread)
        votes[int(k >= draws[0]), held[k], code] += 1
    stands_for = votes[0].argmax(0)
    hits = [table[stands_for, np.arange(codes.shape[1])].sum() / table.sum() for table in votes]
    return hits[::-1]


def beta_vae(codes, factors, fit, draws=(10_000, 5_000), batch=64):
    """With the package's random numbers: factors, anchor rows, then their partners."""
    rng, rows = np.random.default_rng(0), rows_of_values(factors)
    held = rng.integers(0, factors.shape[1], sum(draws))
    anchor = rng.random((sum(draws), batch))
    points = np.zeros((sum(draws), codes.shape[1]))
    for k in range(sum(draws)):
        first = (anchor[k] * len(codes)).astype(int)
        second = []
        for row, share in zip(first, rng.random(batch), strict=True):
            same = rows[held[k]][factors[row, held[k]]]
            second.append(same[int(share * len(same))])
        points[k] = np.mean(np.abs(codes[first] - codes[second]), axis=0)
    model = LogisticRegression(max_iter=1000).fit(points[: draws[0]], held[: draws[0]])
    hits = model.predict(points) == held
    return [hits[draws[0] :].mean(), hits[: draws[0]].mean()]


def irs(codes, factors, fit):
    largest = np.max(np.abs(codes - codes.mean(0)), axis=0)
    labels = binned(factors)
    moved = np.zeros((codes.shape[1], factors.shape[1]))
    for j in range(factors.shape[1]):
        values = np.unique(labels[:, j])
        for v in values:
            part = codes[labels[:, j] == v]
            apart = np.quantile(np.abs(part - part.mean(0)), 0.99, axis=0)
            moved[:, j] += apart / len(values)
    robust = 1 - moved / largest[:, None]
    return [np.average(robust.max(1), weights=largest)]


def covariances(codes):
    found = np.zeros((codes.shape[1], codes.shape[1]))
    for i in range(codes.shape[1]):
        for j in range(codes.shape[1]):
            found[i, j] = np.cov(codes[:, i], codes[:, j])[0, 1]
    return found


def total_correlation(codes, factors, fit):
    covariance = covariances(codes)
    return [0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])]


def wasserstein(codes, factors, fit):
    covariance = covariances(codes)
    root = scipy.linalg.sqrtm(covariance * np.diag(covariance)[:, None])
    distance = 2 * np.trace(covariance) - 2 * np.trace(root)
    return [distance, distance / np.trace(covariance)]


def mutual_information(codes, factors, fit):
    bins = binned(codes)
    found = np.array([[mutual_info_score(a, b) for b in bins.T] for a in bins.T])
    np.fill_diagonal(found, 0)
    return [found.sum() / (len(found) * (len(found) - 1))]


def udr(models, similarity):
    scaled = [(codes - codes.mean(0)) / codes.std(0) for codes in models]
    pairs = np.zeros((len(models), len(models)))
    for i, source in enumerate(scaled):
        for j, target in enumerate(scaled):
            if i == j:
                continue
            if similarity == "lasso":
                matrix = np.abs(Lasso(alpha=0.1).fit(source, target).coef_.T)
            else:
                matrix = np.array([
                    [abs(scipy.stats.spearmanr(a, b)[0]) for b in target.T] for a in source.T
                ])  # fmt: skip
            pairs[i, j] = (strength(matrix) + strength(matrix.T)) / 2
    return [np.median(np.delete(pairs[:, i], i)) for i in range(len(models))]


def strength(matrix):
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(matrix.max(0) ** 2 / matrix.sum(0)).mean()
