"""Disentanglement metrics: bad and borderline input, `measure`, and codes from an encoder."""

from __future__ import annotations

import numpy as np
import pytest

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.disentanglement import (
    DISENTANGLEMENT,
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    irs,
    measure,
    measure_encoder,
    mig,
    mig_by_space,
    modularity,
    mutual_information_score,
    sap,
    sap_continuous,
    total_correlation,
    udr,
    udr_encoders,
    wasserstein,
)
from unmingle.evaluation.disentanglement.tables import split_rows

WITH_FACTORS = (mig, modularity, sap, explicitness, factor_vae_score, beta_vae_score, irs, dci)
QUICK = {"rounds": 3, "train_votes": 50, "test_votes": 50, "train_points": 50, "test_points": 50}


def _rows(count=120):
    rng = np.random.default_rng(0)
    factors = np.column_stack([rng.integers(0, 3, count), rng.integers(0, 4, count)])
    return factors + 0.3 * rng.normal(size=(count, 2)), factors


# Bad input


@pytest.mark.parametrize("metric", WITH_FACTORS)
def test_bad_input_is_named(metric):
    codes, factors = _rows()
    broken = codes.copy()
    broken[7, 1] = np.nan
    flat, unique = factors.copy(), factors.copy()
    flat[:, 1], unique[:, 0] = 2, np.arange(120)
    for bad_codes, bad_factors, text in (
        (codes[:-1], factors, "119 codes but 120 values of factor 0"),
        (broken, factors, "NaN or infinity, first in row 7, column 1"),
        (codes[:, 0], factors, r"\[N,D\]"),
        (codes[:1], factors[:1], "at least 2 rows"),
        (codes, factors + 0.5, "factor 0 must be whole numbers.*buckets"),
        (codes, flat, "factor 1 has one value only"),
        (codes, unique, "factor 0 has another value in every row"),
        (codes, {"pose": flat[:, 1]}, "factor pose has one value only"),
        (codes, factors[:, :0], "no factors"),
        (codes.astype(str), factors, "must be numbers"),
    ):
        with pytest.raises(DataError, match=text):
            metric(bad_codes, bad_factors)


@pytest.mark.parametrize("metric", [modularity, factor_vae_score, beta_vae_score, dci])
def test_metrics_that_compare_factors_need_two(metric):
    codes, factors = _rows()
    with pytest.raises(DataError, match="at least 2 factors"):
        metric(codes, factors[:, 0])


def test_settings_are_checked():
    codes, factors = _rows()
    spaces = {"a": codes, "b": codes}
    for call, text in (
        (lambda: mig(codes, factors, bins=1), "bins must be at least 2"),
        (lambda: irs(codes, factors, quantile=0), "quantile"),
        (lambda: dci(codes, factors, boosting="quick"), "'quick'.*exact, fast"),
        (lambda: dci(codes, factors, rounds=0), "rounds"),
        (lambda: factor_vae_score(codes, factors, threshold=-1), "threshold"),
        (lambda: factor_vae_score(codes, factors, batch=1), "at least 2 rows"),
        (lambda: beta_vae_score(codes, factors, train_points=0), "at least 1 draw"),
        (lambda: udr([codes, codes], similarity="lassoo"), "Did you mean 'lasso'"),
        (lambda: udr([codes, codes], alpha=0), "alpha"),
        (lambda: mig_by_space(spaces, factors, ["a"]), "2 factors, but"),
        (lambda: mig_by_space(spaces, factors, ["a", "c"]), "'c'"),
        (lambda: mig_by_space(spaces, factors, ["a", "b"], noise={"c": 1}), "'c'"),
    ):
        with pytest.raises(ConfigError, match=text):
            call()
    for call, text in (
        (lambda: mig_by_space({"a": codes}, factors, ["a", "a"]), "two code spaces"),
        (lambda: dci(codes[:, :1], factors), "at least 2 are needed, got 1"),
        (lambda: udr([codes]), "at least 2 models"),
        (lambda: udr([codes, codes[:-1]]), "model 0 has 120 rows, model 1 119"),
        (lambda: udr([codes, np.ones((120, 2))]), "model 1 has no informative code"),
        (lambda: udr([codes, codes], kl=[[1, 1]]), "kl of 1"),
        (lambda: udr([codes, codes], kl=[[1, 1], [1]]), r"kl of model 1 must be \[2\]"),
        (lambda: sap_continuous(codes, factors[:-1]), "120 codes but 119"),
        (lambda: sap_continuous(codes, np.ones(120)), "one value only"),
        (lambda: total_correlation(np.ones((9, 2))), "no code varies"),
        (lambda: wasserstein(np.ones((9, 2))), "no code varies"),
        (lambda: mutual_information_score(np.ones((9, 2))), "no code varies"),
        (lambda: modularity(np.ones((120, 2)), factors), "no code varies"),
    ):
        with pytest.raises(DataError, match=text):
            call()


@pytest.mark.parametrize(
    ("train", "text"),
    [
        (1.5, "between 0 and 1"),
        (np.ones(5, bool), r"mask must be \[120\]"),
        ([0, 1, 120], "0 to 119"),
        ([0, 1, 1], "twice"),
        ([0.5, 1.5], "row numbers"),
    ],
)
def test_rows_to_fit_are_checked(train, text):
    with pytest.raises(ConfigError, match=text):
        split_rows(120, train)


def test_rows_to_fit():
    for empty in ([0], np.ones(120, bool), []):
        with pytest.raises(DataError, match="rows to fit on"):
            split_rows(120, empty)
    fit, test = split_rows(120)
    assert (len(fit), len(test)) == (90, 30)
    np.testing.assert_array_equal(np.sort([*fit, *test]), np.arange(120))
    assert split_rows(120, seed=1)[0].tolist() != fit.tolist()
    mask = np.arange(120) < 70
    for train in (mask, np.arange(70), list(range(70))):
        assert split_rows(120, train)[0].tolist() == list(range(70))


# What is rare or missing


def test_values_that_were_never_fitted_are_not_tested():
    codes, factors = _rows()
    factors[100:103] = 9  # of both factors: these three rows count for nothing
    fit, without = np.arange(100), np.r_[0:100, 103:120]
    for metric, options in ((sap, {}), (explicitness, {}), (dci, {"rounds": 3})):
        whole = metric(codes, factors, train=fit, **options)
        kept = metric(codes[without], factors[without], train=fit, **options)
        if metric is dci:
            assert kept.informativeness > 0
            assert whole.informativeness == kept.informativeness
            assert whole.importances == kept.importances
        elif metric is sap:
            assert whole.matrix == kept.matrix
        else:
            assert whole.per_factor == pytest.approx(kept.per_factor)
    factors[:100, 1] = 0
    for metric in (sap, explicitness, dci):
        with pytest.raises(DataError, match="factor 1 has one value only among the 100 rows"):
            metric(codes, factors, train=fit)
    codes, factors = _rows()
    factors[100:, 1] = 0
    with pytest.raises(DataError, match="tested on have one value of factor 1"):
        explicitness(codes, factors, train=fit)
    factors[100:, 1] = 9
    with pytest.raises(DataError, match="no row tested on has a value of factor 1"):
        sap(codes, factors, train=fit)


def test_values_missing_from_the_test_rows_have_no_curve():
    codes, factors = _rows()
    fit = np.arange(80)
    factors[80:, 1] = factors[80:, 1] % 3  # value 3 is fitted, never tested
    found = explicitness(codes, factors, train=fit)
    assert 0.5 < found.score <= 1


@pytest.mark.parametrize("metric", WITH_FACTORS)
def test_constant_codes_change_nothing_they_should_not(metric):
    codes, factors = _rows()
    options = {k: v for k, v in QUICK.items() if k in metric.__code__.co_varnames}
    plain = metric(codes, factors, **options)
    more = metric(np.column_stack([codes, np.full(120, np.float32(0.1))]), factors, **options)
    if metric is dci:
        assert more.importances[2] == (0, 0)
        assert more.disentanglement == pytest.approx(plain.disentanglement)
        assert more.informativeness == plain.informativeness
    else:
        assert more.score == pytest.approx(plain.score)
        assert getattr(more, "active", 2) == 2


def test_codes_that_are_all_constant_know_nothing():
    _, factors = _rows()
    codes = np.full((120, 2), 0.1)
    assert mig(codes, factors).score == 0
    assert sap(codes, factors).score == 0
    assert sap_continuous(codes, factors).score == 0
    assert irs(codes, factors).score == 0
    assert factor_vae_score(codes, factors).score == 0
    assert explicitness(codes, factors).score == pytest.approx(0.5)
    found = dci(codes, factors, rounds=2)
    assert found.disentanglement == pytest.approx(0)
    assert found.completeness == pytest.approx(0)
    assert beta_vae_score(codes, factors).score == pytest.approx(0.5, abs=0.05)


def test_one_code_is_enough_where_nothing_compares_codes():
    codes, factors = _rows()
    one = codes[:, :1]
    assert mig(one, factors).gaps[0] > 0.5
    assert sap(one, factors).score == pytest.approx(np.mean(sap(one, factors).matrix))
    assert irs(one, factors).parents == (0,)
    assert modularity(one, factors).score > 0.5
    assert explicitness(one, factors).per_factor[0] > 0.7
    assert 0 < factor_vae_score(one, factors, train_votes=50, test_votes=50).score < 1
    assert 0 < beta_vae_score(one, factors, train_points=50, test_points=50).score <= 1


def test_values_may_be_any_whole_numbers():
    codes, factors = _rows()
    far = {"kind": 10**15 * (factors[:, 0] - 1), "pose": factors[:, 1].astype(np.uint8)}
    assert mig(codes, far).gaps == pytest.approx(mig(codes, factors).gaps)
    assert irs(codes, far) == irs(codes, factors)
    assert irs(codes, {"kind": factors[:, 0] > 1}).per_code[0] > 0


def test_rows_may_come_in_any_order():
    codes, factors = _rows()
    order = np.random.default_rng(1).permutation(120)
    assert mig(codes[order], factors[order]).score == pytest.approx(mig(codes, factors).score)
    assert irs(codes[order], factors[order]).score == pytest.approx(irs(codes, factors).score)
    named = mig(codes, {"kind": 10 - 3 * factors[:, 0], "pose": factors[:, 1]})
    assert named.gaps == pytest.approx(mig(codes, factors).gaps)


# All metrics at once


def test_measure_gives_what_the_functions_give():
    codes, factors = _rows()
    found = measure(codes, factors, train=np.arange(80), seed=4, **QUICK)
    assert list(found) == [name for name in DISENTANGLEMENT if name not in ("mig_by_space", "udr")]
    assert all(entry.values and not entry.notes for entry in found.values())
    assert found["mig"].result == mig(codes, factors)
    assert found["sap"].result == sap(codes, factors, train=np.arange(80))
    assert found["sap_continuous"].values["score"] == sap_continuous(codes[:80], factors[:80]).score
    assert (
        found["dci"].values["disentanglement"]
        == dci(codes, factors, train=np.arange(80), rounds=3).disentanglement
    )
    assert found["factor_vae"].result == factor_vae_score(
        codes, factors, seed=4, train_votes=50, test_votes=50
    )
    assert found["total_correlation"].values == {"score": total_correlation(codes)}
    assert list(found["wasserstein"].values) == ["score", "normalised"]
    again = measure(codes, factors, ["beta_vae", "mig"], train=np.arange(80), seed=4, **QUICK)
    assert list(again) == ["mig", "beta_vae"]
    assert again["beta_vae"] == found["beta_vae"]
    noisy = codes + np.random.default_rng(0).normal(size=codes.shape)
    seeds = [measure(noisy, factors, ["sap", "factor_vae"], seed=seed, **QUICK) for seed in (0, 1)]
    assert seeds[0]["sap"] != seeds[1]["sap"]
    assert seeds[0]["factor_vae"] != seeds[1]["factor_vae"]


def test_measure_leaves_out_what_cannot_be_measured_and_says_so():
    codes, factors = _rows()
    table = {"kind": factors[:, 0], "still": np.ones(120, int), "id": np.arange(120)}
    found = measure(codes, table, ["mig", "modularity", "wasserstein"])
    said = (
        "factor still is left out: it has one value only",
        "factor id is left out: it has another value in every row; cut it into buckets",
    )
    assert found["mig"].result == mig(codes, {"kind": factors[:, 0]})
    assert found["mig"].notes == said
    assert found["modularity"].values == {}
    assert found["modularity"].notes == (*said, "at least 2 factors are needed to compare, got 1")
    assert found["wasserstein"].notes == ()
    none = measure(codes, {"still": np.ones(120, int)}, ["mig"])
    assert none["mig"].notes[-1] == "there are no factors"
    named = measure(codes, np.ones((120, 1), int), ["mig"], factor_names=["pose"])
    assert named["mig"].notes[0].startswith("factor pose is left out")
    assert set(measure(codes)) == {"total_correlation", "wasserstein", "mutual_information"}


def test_measure_refuses():
    codes, factors = _rows()
    for call, text in (
        (lambda: measure(codes, factors, ["migg"]), "Did you mean 'mig'"),
        (lambda: measure(codes, names=["mig"]), "mig needs factors"),
        (lambda: measure(codes, factors, ["udr"]), "several models"),
        (lambda: measure(codes, factors, ["mig_by_space"]), "owners"),
        (lambda: measure(codes, factors, bin=3), "no metric has an option 'bin'.*'bins'"),
    ):
        with pytest.raises(ConfigError, match=text):
            call()
    for call, text in (
        (lambda: measure(codes, factors[:-1]), "120 codes but 119"),
        (lambda: measure(codes, factors, factor_names=["a"]), "1 factor names for 2"),
        (lambda: measure({"a": codes, "b": codes[:9]}, factors), "a 120, b 9"),
        (lambda: measure({}, factors), "no code spaces"),
    ):
        with pytest.raises(DataError, match=text):
            call()


def test_amounts_are_for_continuous_sap_alone():
    codes, factors = _rows()
    angle = codes[:, 0] ** 3
    found = measure(codes, factors, amounts={"angle": angle}, train=np.arange(80), **QUICK)
    assert found["sap_continuous"].result == sap_continuous(codes[:80], {"angle": angle[:80]})
    assert found["mig"].result == mig(codes, factors)
    alone = measure(codes, amounts=np.column_stack([angle, np.ones(120)]), train=np.arange(80))
    assert set(alone) == {
        "sap_continuous", "total_correlation", "wasserstein", "mutual_information"
    }  # fmt: skip
    assert alone["sap_continuous"].values == found["sap_continuous"].values
    assert alone["sap_continuous"].notes == ("amount 1 is left out: it has one value only",)
    still = measure(codes, amounts=np.ones(120))["sap_continuous"]
    assert still.values == {} and still.notes[-1] == "there are no factors"
    with pytest.raises(ConfigError, match="mig needs factors"):
        measure(codes, names=["mig"], amounts=angle)
    with pytest.raises(ConfigError, match="factors or amounts"):
        measure(codes, names=["sap_continuous"])
    angle[7] = np.nan
    with pytest.raises(DataError, match="amount 0 hold NaN or infinity, first in row 7"):
        measure(codes, amounts=angle)
    with pytest.raises(DataError, match="120 codes but amount a"):
        measure(codes, amounts={"a": angle[:9]})


def test_what_was_measured_can_be_measured_again():
    codes, factors = _rows()
    found = measure(codes, factors, ["mig", "sap"], train=np.arange(80), seed=3, bins=10)
    about = found["mig"].context
    assert (about["seed"], about["fitted"], about["tested"]) == (3, 80, 40)
    assert about["factors"] == ["0", "1"] and about["options"] == {"bins": 10}
    assert (about["codes"]["rows"], about["codes"]["entries"]) == (120, 2)
    assert about["versions"]["numpy"] == np.__version__
    again = measure(codes.copy(), factors, ["mig"])["mig"].context
    assert again["codes"] == about["codes"] and again["fitted"] is None
    moved = measure(codes + 1e-9, factors, ["mig"])["mig"].context
    assert moved["codes"]["fingerprint"] != about["codes"]["fingerprint"]
    with pytest.raises(ConfigError, match="seed must be 0 or more, got -1"):
        measure(codes, factors, ["mig"], seed=-1)


def test_measure_of_code_spaces():
    codes, factors = _rows()
    spaces = {"class": codes[:, :1], "content": codes[:, 1:]}
    columns = {"kind": factors[:, 0], "pose": factors[:, 1]}
    owners = {"kind": "class", "pose": "content"}
    found = measure(spaces, columns, ["mig", "mig_by_space"], owners=owners)
    assert found["mig"].result == mig(codes, factors)
    assert found["mig_by_space"].result == mig_by_space(spaces, columns, owners)
    some = measure(spaces, columns, ["mig_by_space"], owners={"kind": "class"})
    assert some["mig_by_space"].result == mig_by_space(spaces, {"kind": factors[:, 0]}, ["class"])
    # with one code a space the two agree but for the runner-up of the own space
    assert found["mig_by_space"].values["score"] == pytest.approx(found["mig"].values["score"])


# Codes of an encoder


def test_measure_encoder_is_measure_of_its_codes():
    codes, factors = _rows()
    data = FactorDataset(
        vectors=codes.astype(np.float32), factors={"kind": factors[:, 0], "pose": factors[:, 1]}
    )
    seen = []

    def encode(items):
        seen.append(len(items))
        return {"class": items[:, :1], "content": items[:, 1:]}

    names = ["mig", "irs"]
    found = measure_encoder(encode, data, names)
    assert sum(seen) == 120
    single = codes.astype(np.float32)
    assert found["mig"].result == mig(single, factors)
    assert measure_encoder(lambda items: items, data, names) == found
    owners = {"kind": "class", "pose": "content"}
    both = measure_encoder(encode, data, ["mig_by_space"], owners=owners)
    assert both["mig_by_space"].values["score"] == pytest.approx(found["mig"].values["score"])
    one = measure_encoder(encode, data, names, space="content", factors=["pose"])
    assert one["mig"].result == mig(single[:, 1:], factors[:, 1])
    seen.clear()
    few = measure_encoder(encode, data, names, rows=50, seed=1)
    assert sum(seen) == 50
    assert few == measure_encoder(encode, data, names, rows=50, seed=1) != found


def test_measure_encoder_takes_amounts_from_the_data():
    codes, factors = _rows()
    data = FactorDataset(
        vectors=codes.astype(np.float32),
        factors={"kind": factors[:, 0]},
        continuous={"angle": codes[:, 1] ** 3},
    )
    single, angle = codes.astype(np.float32), data.continuous["angle"]
    found = measure_encoder(lambda items: items, data, train=np.arange(80), **QUICK)
    assert found["sap_continuous"].result == sap_continuous(single[:80], {"angle": angle[:80]})
    assert found["mig"].context["data"]["fingerprint"] == data.fingerprint()
    names = ["sap_continuous"]
    none = measure_encoder(lambda items: items, data, names, amounts=None, train=np.arange(80))
    assert none["sap_continuous"].result == sap_continuous(single[:80], factors[:80, 0])


def test_udr_of_encoders_is_that_of_their_codes():
    codes, _ = _rows()
    data = FactorDataset(vectors=codes.astype(np.float32))
    turns = [np.random.default_rng(seed).normal(size=(2, 2)) for seed in range(3)]
    seen = []

    def encoder(turn):
        def encode(items):
            seen.append(len(items))
            return {"a": items @ turn[:, :1], "b": items @ turn[:, 1:]}

        return encode

    found = udr_encoders([encoder(turn) for turn in turns], data, similarity="spearman")
    expected = udr([(data.vectors @ t).astype(np.float32) for t in turns], similarity="spearman")
    assert list(found.values) == ["model 0", "model 1", "model 2"]
    assert list(found.values.values()) == pytest.approx(expected.scores)
    assert found.result.active == (2, 2, 2)
    assert found.context["data"]["fingerprint"] == data.fingerprint()
    seen.clear()
    one = udr_encoders([encoder(turn) for turn in turns], data, rows=50, space="b")
    assert seen == [50] * 3 and one.result.active == (1, 1, 1)
    with pytest.raises(DataError, match="at least 2 models, got 1"):
        udr_encoders([encoder(turns[0])], data)
    with pytest.raises(ConfigError, match="'c'"):
        udr_encoders([encoder(turn) for turn in turns], data, space="c")


def test_measure_encoder_refuses():
    codes, factors = _rows()
    data = FactorDataset(vectors=codes.astype(np.float32), factors={"kind": factors[:, 0]})
    for call, text in (
        (lambda: measure_encoder(lambda x: x, data, space="class"), "no code spaces"),
        (lambda: measure_encoder(lambda x: {"class": x}, data, space="klass"), "'klass'.*class"),
        (lambda: measure_encoder(lambda x: x, data, rows=1), "at least 2"),
    ):
        with pytest.raises(ConfigError, match=text):
            call()
    with pytest.raises(DataError, match="'pose'"):
        measure_encoder(lambda x: x, data, factors=["pose"])
    with pytest.raises(DataError, match="shape"):
        measure_encoder(lambda x: x[:1], data)
