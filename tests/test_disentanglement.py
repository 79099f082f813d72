"""Disentanglement metrics: golden values, hand-worked values and independent formulas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unmingle.evaluation.disentanglement import (
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    irs,
    mig,
    mig_by_space,
    modularity,
    mutual_information_score,
    sap,
    sap_continuous,
    total_correlation,
    udr,
    wasserstein,
)
from unmingle.evaluation.disentanglement.importances import disentanglement
from unmingle.evaluation.disentanglement.information import discretise, factor_information

FIT = np.arange(1500)


@pytest.fixture(scope="module")
def golden():
    """Codes and factors whose scores by the reference formulas are known."""
    factors = np.random.RandomState(0).randint(0, [3, 4, 5], (2000, 3))
    mixing = np.array([[1, 0.3, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0.1]])
    return factors @ mixing + 0.4 * np.random.RandomState(1).randn(2000, 4), factors


def _crossed(*sizes, repeats=1):
    """Every combination of factor values, `repeats` times."""
    return np.tile(np.stack([x.ravel() for x in np.indices(sizes)], 1), (repeats, 1))


# Golden values


def test_golden_values_of_exact_definitions(golden):
    codes, factors = golden
    for found, value in (
        (mig(codes, factors).score, 0.62884692),
        (modularity(codes, factors).score, 0.99154595),
        (sap(codes, factors, train=FIT).score, 0.324),
        (sap_continuous(codes[FIT], factors[FIT]).score, 0.79506938),
        (irs(codes, factors).score, 0.59428714),
        (total_correlation(codes), 0.08394007),
        (wasserstein(codes).score, 0.05343316),
        (wasserstein(codes).normalised, 0.01137510),
        (mutual_information_score(codes), 0.10049621),
    ):
        assert found == pytest.approx(value, abs=5e-9), value


def test_golden_values_of_solvers(golden):
    codes, factors = golden
    found = explicitness(codes, factors, train=FIT)
    assert found.train == pytest.approx(0.96692, abs=1e-5)
    assert found.score == pytest.approx(0.97005, abs=2e-5)
    trees = dci(codes, factors, train=FIT)
    assert trees.disentanglement == pytest.approx(0.65684, abs=2e-3)
    assert trees.completeness == pytest.approx(0.67029, abs=2e-3)
    assert trees.informativeness_train == pytest.approx(0.94644, abs=1e-3)
    assert trees.informativeness == pytest.approx(0.826, abs=4e-3)
    assert trees.boosting == "exact"
    fast = dci(codes, factors, train=FIT, boosting="fast")
    assert fast.boosting == "fast"
    assert fast.disentanglement == pytest.approx(trees.disentanglement, abs=0.02)
    assert fast.completeness == pytest.approx(trees.completeness, abs=0.02)
    assert fast.informativeness == pytest.approx(trees.informativeness, abs=0.01)


# Information


def test_mutual_information_is_that_of_the_tables(golden):
    from sklearn.metrics import mutual_info_score

    codes, factors = golden
    binned = discretise(codes, 20)
    for row, code in zip(binned, codes.T, strict=True):
        edges = np.histogram(code, 20)[1]
        np.testing.assert_array_equal(row, np.digitize(code, edges[:-1]) - 1)
    expected = [[mutual_info_score(v, b) for v in factors.T] for b in binned]
    np.testing.assert_allclose(factor_information(codes, factors.T), expected, atol=1e-13)


def test_information_by_blocks(golden, monkeypatch):
    codes, factors = golden
    whole = factor_information(codes, factors.T)
    monkeypatch.setattr("unmingle.evaluation.disentanglement.information._CELLS", 1)
    np.testing.assert_array_equal(factor_information(codes, factors.T), whole)


def test_mig_by_hand():
    factors = _crossed(2, 3)
    both = np.column_stack([factors, np.zeros(6)])
    found = mig(both, factors)
    assert (found.score, found.gaps, found.best) == (
        pytest.approx(1),
        pytest.approx((1, 1)),
        (0, 1),
    )
    # a second code that knows the same leaves no gap; a code of the pair knows both
    assert mig(factors[:, [0, 1, 1]], factors).gaps == pytest.approx((1, 0))
    pair = factors @ [3, 1]
    assert mig(pair[:, None], factors).score == pytest.approx(1)  # nothing else knows any
    assert mig(np.column_stack([pair, factors[:, 0]]), factors).gaps == pytest.approx((0, 1))


def test_mig_by_space_of_correlated_hues():
    """Codes that are the factors, two of which differ by 0 or ±1 modulo 10: 0.8257."""
    table = _crossed(10, 10, 3, 2, 2, 2)
    apart = (table[:, 0] - table[:, 1]) % 10
    table = table[np.isin(apart, [0, 1, 9])]
    names = ["floor", "wall", "a", "b", "c", "d"]
    factors = dict(zip(names, table.T, strict=True))
    spaces = {name: np.column_stack([column, 0 * column]) for name, column in factors.items()}
    spaces["unknown"] = np.zeros((len(table), 2))
    owners = {name: name for name in names}
    found = mig_by_space(spaces, factors, owners)
    share = 1 - np.log(10 / 3) / np.log(10)
    assert found.score == pytest.approx((2 * share + 4) / 6)
    assert round(found.score, 4) == 0.8257
    assert found.gaps[0] == pytest.approx(share)
    # the wrong space owns it: everything is elsewhere
    assert mig_by_space(spaces, {"a": table[:, 2]}, {"a": "b"}).score == pytest.approx(-1)
    assert mig_by_space(spaces, table[:, 2:4], ["a", "b"]).score == pytest.approx(1)


def test_noise_hides_what_exact_codes_tell():
    factors = _crossed(4, 50)[:, 0]
    spaces = {"a": factors[:, None] * 1e-3, "rest": np.zeros((200, 1))}
    owners = {"0": "a"}
    assert mig_by_space(spaces, factors, owners).score == pytest.approx(1)
    noisy = mig_by_space(spaces, factors, owners, noise={"a": 1.0})
    assert noisy.score < 0.3
    assert noisy == mig_by_space(spaces, factors, owners, noise={"a": 1.0})


def test_modularity_by_hand():
    factors = _crossed(2, 2)
    assert modularity(factors, factors).per_code == (1, 1)
    pair = factors @ [2, 1]  # knows both alike
    found = modularity(np.column_stack([factors[:, 0], pair, np.ones(4)]), factors)
    assert found.per_code[:2] == (1, pytest.approx(0))
    assert np.isnan(found.per_code[2])
    assert (found.score, found.active) == (pytest.approx(0.5), 2)
    # varies, but with nothing that the factors say
    assert modularity(np.array([[0], [1], [1], [0]]), factors).score == 0


# Predictability


def test_sap_against_the_support_vector_machines(golden):
    from sklearn.svm import LinearSVC

    codes, factors = golden
    factors = np.column_stack([factors, factors[:, 2] > 1])
    found = sap(codes, factors, train=FIT)
    rest = np.arange(1500, 2000)
    for code in range(4):
        for factor in range(4):
            machine = LinearSVC(C=0.01, class_weight="balanced", tol=1e-9, max_iter=100_000)
            machine.fit(codes[FIT, code : code + 1], factors[FIT, factor])
            expected = machine.score(codes[rest, code : code + 1], factors[rest, factor])
            assert found.matrix[code][factor] == pytest.approx(expected, abs=1e-12)
    assert len(set(found.gaps)) == 4


def test_sap_continuous_by_hand():
    codes = np.array([[0.0, 1, 5], [1, 0, 5], [2, 3, 5], [3, 2, 5]])
    found = sap_continuous(codes, {"t": np.arange(4.0)})
    assert found.matrix == ((pytest.approx(1),), (pytest.approx(0.36),), (0,))
    assert found.score == pytest.approx(0.64)
    assert sap_continuous(codes[:, :1], np.arange(4)).score == pytest.approx(1)


def test_sap_continuous_does_not_depend_on_offsets(golden):
    codes, factors = golden
    expected = np.corrcoef(codes.T, factors.T)[:4, 4:] ** 2
    for offset in (0.0, 30.0, 1e4):  # products are centred afterwards, or before where that is due
        found = sap_continuous(codes + offset, factors - 2 * offset)
        assert np.array(found.matrix) == pytest.approx(expected, abs=1e-9)


def test_explicitness_is_the_area_under_the_curve(golden):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    codes, factors = golden
    found = explicitness(codes, factors[:, 2], train=FIT)
    scaled = (codes - codes[FIT].mean(0)) / codes[FIT].std(0)
    model = LogisticRegression(tol=1e-9).fit(scaled[FIT], factors[FIT, 2])
    rest = slice(1500, None)
    truth = np.eye(5)[factors[rest, 2]]
    expected = roc_auc_score(truth, model.predict_proba(scaled[rest]))
    assert found.score == pytest.approx(expected, abs=2e-5)
    assert found.per_factor == (found.score,)


# Boosted trees


def test_dci_by_hand():
    from scipy.stats import entropy

    assert disentanglement(np.eye(3)) == pytest.approx(1, abs=1e-8)
    assert disentanglement(np.ones((4, 3))) == pytest.approx(0)
    assert disentanglement(np.zeros((4, 3))) == pytest.approx(0)
    used = np.array([[0.6, 0.1], [0.3, 0.4], [0.1, 0.5]])
    each = [1 - entropy(row, base=2) for row in used]
    assert disentanglement(used) == pytest.approx(np.average(each, weights=used.sum(1)))
    factors = _crossed(3, 4, repeats=20)
    found = dci(np.column_stack([factors, np.ones(240)]), factors, rounds=10)
    assert found.informativeness == 1
    assert found.disentanglement == pytest.approx(1, abs=1e-6)
    assert found.completeness == pytest.approx(1, abs=1e-6)
    assert found.importances[2] == (0, 0)


# Held factors


def test_factor_vae_counts_votes():
    factors = _crossed(4, 5, repeats=40)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(800, 1))
    codes = np.column_stack([factors, noise, np.zeros(800), 0.01 * noise])
    found = factor_vae_score(codes, factors, train_votes=300, test_votes=200)
    assert (found.score, found.train, found.active) == (1, 1, 3)
    assert factor_vae_score(codes, factors, threshold=0, train_votes=9, test_votes=9).active == 4
    none = factor_vae_score(0.01 * codes, factors)
    assert (none.score, none.active) == (0, 0)
    guess = factor_vae_score(noise, factors, train_votes=2000, test_votes=2000)
    assert guess.score == pytest.approx(0.5, abs=0.05)  # one code: whatever factor came more often


def test_factor_vae_votes_as_the_loop_does(golden):
    codes, factors = golden
    offset = np.array([0, 50, 0, 0])
    found = factor_vae_score(codes + offset, factors, seed=3, train_votes=200, test_votes=100)
    rng = np.random.default_rng(3)
    held, anchor = rng.integers(0, 3, 300), rng.random(300)
    votes = np.zeros((2, 3, 4))
    for k, (factor, at) in enumerate(zip(held, anchor, strict=True)):
        same = np.flatnonzero(factors[:, factor] == factors[int(at * 2000), factor])
        rows = same[(rng.random(64) * len(same)).astype(int)]
        votes[int(k >= 200), factor, (codes[rows].var(0) / codes.var(0)).argmin()] += 1
    stands_for = votes[0].argmax(0)
    assert found.train == votes[0].max(0).sum() / 200
    assert found.score == votes[1][stands_for, range(4)].sum() / 100


def test_beta_vae_as_the_loop_does(golden):
    from sklearn.linear_model import LogisticRegression

    codes, factors = golden
    codes = codes + np.random.default_rng(0).normal(0, 2, codes.shape)
    found = beta_vae_score(codes, factors, seed=3, batch=8, train_points=150, test_points=80)
    rng = np.random.default_rng(3)
    held = rng.integers(0, 3, 230)
    anchor, place = rng.random((230, 8)), rng.random((230, 8))
    points = np.zeros((230, 4))
    for point, factor in enumerate(held):
        for a, p in zip(anchor[point], place[point], strict=True):
            row = int(a * 2000)
            same = np.flatnonzero(factors[:, factor] == factors[row, factor])
            points[point] += np.abs(codes[row] - codes[same[int(p * len(same))]]) / 8
    model = LogisticRegression(tol=1e-8).fit(points[:150], held[:150])
    assert found.train == model.score(points[:150], held[:150])
    assert found.score == model.score(points[150:], held[150:])
    assert 0.4 < found.score < 1


def test_rows_drawn_share_the_held_factor():
    from unmingle.evaluation.disentanglement.interventions import _Groups
    from unmingle.evaluation.disentanglement.tables import read_table

    rng = np.random.default_rng(0)
    factors = np.column_stack([rng.integers(0, 5, 300), rng.geometric(0.3, 300)])
    table = read_table(rng.normal(size=(300, 1)), factors)
    for sizes in ((1, 3), (3, 3)):
        held, anchors, places = _Groups(table).draw(0, 4000, sizes)
        values = factors[places, held[:, None]]
        assert (values == factors[anchors, held[:, None]]).all()
    lonely = [
        v for v, n in zip(*np.unique(factors[:, 1], return_counts=True), strict=True) if n == 1
    ]
    assert lonely
    assert not np.isin(values[held == 1], lonely).any()
    assert len(np.unique(places)) > 250


# Robustness and independence


def test_irs_by_hand():
    factors = _crossed(2, 2)
    codes = np.column_stack([factors[:, 0], factors @ [2, 1], np.full(4, 0.1)])
    found = irs(codes, factors, quantile=1.0)
    # the second code spreads 0.5 around its mean at each value of the first factor, 1.5 in all
    assert found.per_code[:2] == (pytest.approx(1), pytest.approx(2 / 3))
    assert np.isnan(found.per_code[2])
    assert found.parents == (0, 0, -1)
    assert found.score == pytest.approx((0.5 * 1 + 1.5 * 2 / 3) / 2)
    assert found.active == 2
    assert irs(np.ones((4, 2)), factors).score == 0


def test_irs_against_the_loop(golden):
    codes, factors = golden
    factors = np.column_stack([factors, np.random.default_rng(0).integers(0, 60, 2000) ** 2])
    for bins in (20, None):
        labels = factors.astype(float)
        if bins:
            labels = np.stack([np.digitize(v, np.histogram(v, bins)[1][:-1]) for v in factors.T], 1)
        largest = np.abs(codes - codes.mean(0)).max(0)
        robust = np.zeros((4, 4))
        for k in range(4):
            moved = [
                np.quantile(np.abs(part - part.mean(0)), 0.9, axis=0)
                for part in (codes[labels[:, k] == v] for v in np.unique(labels[:, k]))
            ]
            robust[:, k] = 1 - np.mean(moved, 0) / largest
        found = irs(codes, factors, quantile=0.9, bins=bins)
        assert found.per_code == pytest.approx(tuple(robust.max(1)))
        assert found.score == pytest.approx(np.average(robust.max(1), weights=largest))


@pytest.mark.parametrize("quantile", [0.3, 0.99, 1.0])
def test_irs_of_values_that_are_rare_and_values_that_are_not(golden, quantile):
    codes = np.column_stack([golden[0], np.full(2000, 3.0)])
    rare = np.minimum(np.random.default_rng(1).geometric(0.4, 2000), 9)
    rare[:3] = (40, 41, 41)  # one row, and two
    found = irs(codes, np.column_stack([golden[1][:, 0], rare]), quantile=quantile, bins=None)
    largest = np.abs(codes - codes.mean(0)).max(0)[:4]
    for column, factor in enumerate((golden[1][:, 0], rare)):
        parts = [codes[factor == value, :4] for value in np.unique(factor)]
        moved = [np.quantile(np.abs(part - part.mean(0)), quantile, axis=0) for part in parts]
        robust = 1 - np.mean(moved, 0) / largest
        best = np.array(found.parents)[:4] == column
        assert np.array(found.per_code)[:4][best] == pytest.approx(robust[best], abs=1e-9)
    assert np.isnan(found.per_code[4]) and found.parents[4] == -1 and found.active == 4


def test_gaussian_scores_by_hand():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(5000, 2))
    white -= white.mean(0)
    white /= np.sqrt(np.linalg.eigvalsh(np.cov(white.T)).mean())
    basis = np.linalg.cholesky(np.linalg.inv(np.cov(white.T)))
    white = white @ basis  # covariance exactly 1
    r = 0.6
    codes = white @ np.linalg.cholesky([[1, r], [r, 1]]).T
    assert total_correlation(codes) == pytest.approx(-np.log(1 - r**2) / 2)
    found = wasserstein(codes)
    expected = 4 - 2 * (np.sqrt(1 + r) + np.sqrt(1 - r))  # eigenvalues of the correlation
    assert found.score == pytest.approx(expected)
    assert found.normalised == pytest.approx(expected / 2)
    flat = np.column_stack([codes, np.full(5000, 0.3)])
    assert total_correlation(flat) == pytest.approx(total_correlation(codes))
    assert wasserstein(flat).score == pytest.approx(expected)
    assert mutual_information_score(flat) == pytest.approx(mutual_information_score(codes))
    assert total_correlation(codes[:, [0, 1, 0]]) == np.inf
    assert wasserstein(codes[:, [0, 0]]).score == pytest.approx(4 - 2 * np.sqrt(2))
    assert total_correlation(codes[:, :1]) == 0
    assert mutual_information_score(codes[:, :1]) == 0


# Several models


def test_udr_of_the_same_codes_turned_and_mixed():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(1000, 4))
    codes, _ = np.linalg.qr(codes - codes.mean(0))  # uncorrelated
    same = udr([codes, -codes[:, ::-1], 3 * codes + 1], similarity="spearman")
    assert all(score > 0.85 for score in same.scores)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    mixed = udr([codes, codes @ turn, codes[:, ::-1]])
    assert mixed.scores[1] < 0.6
    assert mixed.pairs[0][2] == pytest.approx(0.9, abs=0.01)  # the lasso takes 0.1 off
    assert mixed.active == (4, 4, 4)


@pytest.mark.parametrize("similarity", ["lasso", "spearman"])
def test_udr_against_the_reference_formula(similarity):
    from scipy.stats import spearmanr
    from sklearn.linear_model import Lasso

    rng = np.random.default_rng(1)
    base = rng.normal(size=(300, 3))
    models = [np.round(base @ rng.normal(size=(3, 3)) + 0.3 * rng.normal(size=(300, 3)), 1)]
    models += [base @ rng.normal(size=(3, 3)) for _ in range(3)]
    kl = [np.array([1, 1, 0.005]), *[np.ones(3)] * 3]
    found = udr(models, kl=kl, similarity=similarity)
    kept = [(m - m.mean(0)) / m.std(0) for m in models]
    kept[0] = kept[0][:, :2]
    pairs = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            if i == j:
                continue
            if similarity == "lasso":
                model = Lasso(alpha=0.1, tol=1e-12, max_iter=100_000).fit(kept[i], kept[j])
                matrix = np.abs(model.coef_.T)
            else:
                matrix = np.array([[abs(spearmanr(a, b)[0]) for b in kept[j].T] for a in kept[i].T])
            columns = matrix.max(0) ** 2 / np.maximum(matrix.sum(0), 1e-300)
            rows = matrix.max(1) ** 2 / np.maximum(matrix.sum(1), 1e-300)
            pairs[i, j] = (columns.mean() + rows.mean()) / 2
    np.testing.assert_allclose(found.pairs, pairs, atol=1e-6)
    assert found.scores == pytest.approx([np.median(np.delete(pairs[:, i], i)) for i in range(4)])
    assert found.active == (2, 3, 3, 3)


def test_importing_the_metrics_loads_no_heavy_library():
    code = (
        "import sys, unmingle.evaluation.disentanglement;"
        "print([m for m in ('torch', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
