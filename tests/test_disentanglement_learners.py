"""The classifiers behind the disentanglement metrics, against the ones they stand in for."""

from __future__ import annotations

import numpy as np
import pytest

from unmingle.evaluation.disentanglement import logistic
from unmingle.evaluation.disentanglement.areas import _area
from unmingle.evaluation.disentanglement.boosting import boost
from unmingle.evaluation.disentanglement.line_svm import fit_lines
from unmingle.evaluation.disentanglement.trees import Trees


@pytest.fixture(scope="module")
def golden():
    """Codes and factors whose scores by the reference formulas are known."""
    factors = np.random.RandomState(0).randint(0, [3, 4, 5], (2000, 3))
    mixing = np.array([[1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0.1]])
    return factors @ mixing + 0.4 * np.random.RandomState(1).randn(2000, 4), factors


def test_lines_are_the_optimum():
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 300)
    code = np.round(label * [1.0] + rng.normal(2, 1.5, 300), 1)  # many ties
    (((slopes, intercepts),),) = fit_lines(code[None], [label], [3], c=0.3)
    for value in range(3):
        sign = np.where(label == value, 1, -1)
        weight = 0.3 * np.where(sign > 0, 300 / (3 * (sign > 0).sum()), 1)

        def loss(w, sign=sign, weight=weight):
            hinge = np.maximum(0, 1 - sign * (w[0] * code + w[1]))
            return w @ w / 2 + (weight * hinge**2).sum()

        best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
        assert (slopes[value], intercepts[value]) == pytest.approx(tuple(best.x), abs=1e-4)
        assert loss(np.array([slopes[value], intercepts[value]])) <= best.fun + 1e-9


def test_logistic_regression_reaches_the_optimum():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 5)) @ rng.normal(size=(5, 5)) + 3
    for count in (2, 4):
        y = np.digitize(x[:, 0] + rng.normal(size=3000), np.linspace(1, 5, count - 1))
        model = LogisticRegression(tol=1e-9, max_iter=10_000).fit(x, y)
        found = logistic.fit_logistic(x, y, count)
        np.testing.assert_allclose(found.probabilities(x).T, model.predict_proba(x), atol=1e-4)
        assert found.scores(x).argmax(0).tolist() == model.predict(x).tolist()


def test_logistic_regression_with_many_weights(monkeypatch):

    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) * np.logspace(-2, 2, 6)
    y = np.digitize(x @ np.logspace(2, -2, 6), [-2, 0, 2])
    full = logistic.fit_logistic(x, y, 4).probabilities(x)
    monkeypatch.setattr(logistic, "_LARGEST_HESSIAN", 1)
    np.testing.assert_allclose(logistic.fit_logistic(x, y, 4).probabilities(x), full, atol=2e-3)


def test_area_counts_ties_half():

    scores = np.array([[0.2, 0.5, 0.5, 0.9], [0.8, 0.5, 0.5, 0.1], [0.0, 0.0, 0.0, 0.0]])
    values = np.array([0, 0, 1, 1])
    # value 0: pairs (.2,.5) (.2,.9) wrong, (.5,.5) half, (.5,.9) wrong; value 1 likewise reversed
    assert _area(scores, values) == pytest.approx(0.5 / 4)
    assert _area(scores, np.zeros(4, int)) is None


def test_trees_are_those_of_the_reference():
    """With two values no two codes tie, and all splits are the reference's."""
    from sklearn.ensemble import GradientBoostingClassifier

    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(3000, 5))
    label = (smooth @ rng.normal(size=5) + 0.5 * rng.normal(size=3000) > 0).astype(int)
    for codes, bins in ((smooth, None), (smooth, 3), (np.round(2 * smooth), None)):
        model = GradientBoostingClassifier(n_estimators=15, random_state=0)
        model.fit(codes[:2000], label[:2000])
        found = boost(Trees(codes[:2000], codes[2000:], bins=bins), label[:2000], 2, 1000, 15)
        np.testing.assert_allclose(found.importances, model.feature_importances_, atol=1e-9)
        np.testing.assert_array_equal(found.fitted, model.predict(codes[:2000]))
        np.testing.assert_array_equal(found.tested, model.predict(codes[2000:]))


def test_trees_of_several_values_differ_only_where_codes_tie(golden):
    from sklearn.ensemble import GradientBoostingClassifier

    codes, factors = golden
    label = factors[:600, 2]
    found = boost(Trees(codes[:600], codes[1500:]), label, 5, 500, rounds=20)
    models = [GradientBoostingClassifier(n_estimators=20, random_state=s) for s in range(3)]
    used = np.array([m.fit(codes[:600], label).feature_importances_ for m in models])
    np.testing.assert_allclose(found.importances, used.mean(0), atol=0.01)
    agree = (found.tested == models[0].predict(codes[1500:])).mean()
    assert agree > 0.97


def test_exact_trees_do_not_depend_on_the_bins(golden):

    codes, factors = golden
    label = (factors[:700, 2] > 2).astype(int)
    runs = [
        boost(Trees(codes[:700], codes[700:], bins=bins), label, 2, 1300, rounds=10)
        for bins in (2, 9, 200)
    ]
    for other in runs[1:]:
        np.testing.assert_allclose(other.importances, runs[0].importances, atol=1e-12)
        np.testing.assert_array_equal(other.tested, runs[0].tested)


def test_learners_by_blocks(golden, monkeypatch):
    codes, factors = golden
    label = factors[:300, 2]

    def both():
        trees = boost(Trees(codes[:300], codes[300:500]), label, 5, 200, rounds=3)
        lines = fit_lines(codes[:300].T, [label, factors[:300, 0]], [5, 3])
        return trees, [np.concatenate(line) for code in lines for line in code]

    trees, lines = both()
    monkeypatch.setattr("unmingle.evaluation.disentanglement.trees._CELLS", 1)
    monkeypatch.setattr("unmingle.evaluation.disentanglement.line_svm._CELLS", 1)
    again, lines_again = both()
    np.testing.assert_allclose(again.importances, trees.importances, atol=1e-12)
    np.testing.assert_array_equal(again.tested, trees.tested)
    np.testing.assert_allclose(np.concatenate(lines_again), np.concatenate(lines), atol=1e-9)
