"""The leakage audit on codes whose leaks are known."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, DataError
from unmingle.evaluation import Audit, Encoded, Estimate, Extras, Scores, audit, evaluate, probe
from unmingle.evaluation.consistency import code_information, swap_consistency
from unmingle.evaluation.leaks import Information, LeakProbe, run_probes
from unmingle.evaluation.permutation import exchangeable, permutation_test
from unmingle.evaluation.probes import ProbeResult
from unmingle.evaluation.roles import nested_owner
from unmingle.evaluation.rows import HeldOut, Task, without_own
from unmingle.evaluation.verdict import judge_leak

PEOPLE, POSES = 12, 25


class Columns:
    """Codes are columns of the vectors: {space: columns}; decoding puts them back."""

    def __init__(self, spaces, factors=None):
        self.spaces = {name: np.asarray(columns) for name, columns in spaces.items()}
        self.code_spaces = {
            name: SimpleNamespace(factor=(factors or {}).get(name)) for name in spaces
        }

    def encode(self, vectors):
        return {name: np.asarray(vectors)[:, columns] for name, columns in self.spaces.items()}

    def decode(self, codes):
        width = 1 + max(int(columns.max()) for columns in self.spaces.values())
        found = np.zeros((len(next(iter(codes.values()))), width), np.float32)
        for name, columns in self.spaces.items():
            found[:, columns] = codes[name]
        return found


ROLES = {"class": "person", "content": "pose"}


def _people(leak=0.0, spread=0.05, seed=0):
    """Each person in each pose once: class code, then content code with `leak` of the person."""
    rng = np.random.default_rng(seed)
    person, pose = (x.ravel() for x in np.indices((PEOPLE, POSES)))
    offset = leak * rng.normal(size=(PEOPLE, POSES))
    content = 3 * np.eye(POSES)[pose] + offset[person]
    codes = np.concatenate([np.eye(PEOPLE)[person], content], 1)
    codes += spread * rng.normal(size=codes.shape)
    data = FactorDataset(
        vectors=codes.astype(np.float32),
        factors={"person": person, "pose": pose, "sex": person % 2},
        name="people",
    )
    model = Columns(
        {"class": np.arange(PEOPLE), "content": PEOPLE + np.arange(POSES)},
        {"class": "person", "content": "pose"},
    )
    return model, data


@pytest.fixture
def quick(monkeypatch):
    """The classifier T' soon stopped, where its strength is not what is tested."""
    from unmingle.evaluation import information

    monkeypatch.setattr(information, "_STEPS", 100)
    monkeypatch.setattr(information, "_SETTINGS", information._SETTINGS[:1])


@pytest.fixture
def hasty(monkeypatch):
    """T' hardly trained and one setting a linear probe, where neither is what is tested."""
    from unmingle.evaluation import information

    monkeypatch.setattr(information, "_STEPS", 1)
    monkeypatch.setattr(information, "_SETTINGS", information._SETTINGS[:1])
    monkeypatch.setattr("unmingle.evaluation.probes._LINEAR_C", (1.0,))


# Chance


def test_shuffled_accuracy_and_p_value_by_hand():
    y = np.repeat([0, 1], 5)
    found = permutation_test(np.stack([y, 0 * y, 1 - y]), y, draws=2000)
    # of the 252 ways to deal the values one is all right: the mean is 1/2 for every predictor
    np.testing.assert_allclose(found.mean, 0.5, atol=0.02)
    assert 1 / 252 / 3 < found.p_values[0] < 3 / 252
    assert found.p_values[1:].tolist() == [1, 1]  # the constant one always scores as observed
    assert found.p_best == pytest.approx(found.p_values[0], abs=1 / 252)


def test_shuffles_stay_within_strata():
    strata = np.repeat([7, 3], 40)
    rng = np.random.default_rng(0)
    y = (strata == 3) ^ (rng.random(80) < 0.1)
    guess = (strata == 3)[None]  # knows the stratum and nothing else
    assert permutation_test(guess, y, draws=500).p_best < 0.01
    within = permutation_test(guess, y, strata, draws=500)
    assert within.p_best == 1
    assert within.mean[0] == pytest.approx((guess[0] == y).mean())
    mixed = rng.integers(0, 2, 80)
    expected = sum(
        (mixed[rows] == v).sum() * (y[rows] == v).sum() / 40
        for rows in (strata == 7, strata == 3)
        for v in (0, 1)
    )
    close = permutation_test(mixed[None], y, strata, draws=4000)
    assert close.mean[0] == pytest.approx(expected / 80, abs=0.005)


def test_trying_many_probes_finds_nothing_by_luck():
    rng = np.random.default_rng(0)
    smallest, corrected = [], []
    for seed in range(40):
        y, guesses = rng.integers(0, 4, 60), rng.integers(0, 4, (8, 60))
        found = permutation_test(guesses, y, draws=200, seed=seed)
        smallest.append(found.p_values.min() <= 0.05)
        corrected.append(found.p_best <= 0.05)
    assert sum(smallest) > 8  # 1 - .95^8 is a third
    assert sum(corrected) <= 5


def test_exchangeable_counts_rows_beside_another_value():
    y, strata = np.array([0, 1, 2, 2, 5]), np.array([9, 9, 4, 4, 1])
    assert exchangeable(y, strata) == pytest.approx(2 / 5)


# Probes


def test_neighbours_and_trees_see_what_a_line_does_not():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (700, 2))
    y = (np.sign(x).prod(1) > 0).astype(int)
    codes = np.concatenate([x, 0.2 * rng.normal(size=(700, 2))], 1)
    parts = (codes[:500], y[:500], codes[500:], y[500:])
    assert probe(*parts, "linear").accuracy < 0.65
    assert probe(*parts, "knn").accuracy > 0.85
    assert probe(*parts, "boosted").accuracy > 0.8


def test_the_nearest_decides_between_equally_common_neighbours():
    from unmingle.evaluation.neighbours import _majority

    labels = np.array([[2, 0, 0, 2], [1, 0, 0, 2], [0, 1, 2, 3]])
    assert _majority(labels, 4).tolist() == [2, 0, 0]


def test_what_is_removed_is_the_mean_of_the_other_rows_of_the_value():
    codes = np.array([[1.0], [3], [8], [10], [20], [5]])
    own = np.array([0, 0, 0, 4, 4, 4])
    fitted, scored = np.array([0, 1, 3, 4]), np.array([2, 5])
    task = Task(codes, np.arange(6), own, ((fitted, scored),), "")
    inside, outside = without_own(task, fitted, scored)
    np.testing.assert_allclose(inside[:, 0], [1 - 3, 3 - 1, 10 - 20, 20 - 10])
    np.testing.assert_allclose(outside[:, 0], [8 - 2, 5 - 15])
    unseen = Task(codes, np.arange(6), np.array([0, 0, 9, 4, 4, 4]), ((fitted, scored),), "")
    assert without_own(unseen, fitted, scored) is None


def test_a_leak_behind_held_out_combinations_is_found(quick):
    model, data = _people(leak=0.03)
    train, test = data.split(test=0.2, seed=0)
    found = audit(model, test, train=train, roles=ROLES, probes=["linear", "knn"])
    leak = found.leak("person", "content")
    by_name = {probe.name: probe for probe in leak.probes}
    # the plain probe learns which combinations the training rows had, and is below chance
    assert by_name["linear"].result.accuracy < by_name["linear"].result.chance
    assert by_name["linear"].p_value > 0.05
    assert by_name["linear (pose removed)"].result.accuracy > 0.5
    assert leak.p_value <= 0.05 and leak.level in ("partial", "strong")
    assert "linear (pose removed)" in leak.verdict and "missed by linear" in leak.verdict
    assert leak.shuffled == "rows with the same pose"
    assert leak.information.bound.low > 0.2
    assert leak.information.removed == "pose"
    assert found.leak("pose", "class").level == "none"


def test_nothing_is_found_where_nothing_leaks(quick):
    model, data = _people(seed=1)
    train, test = data.split(test=0.3, seed=1)
    found = audit(model, test, train=train, roles=ROLES, probes=["linear", "knn"])
    leak = found.leak("person", "content")
    assert leak.p_value > 0.05 and leak.level == "none"
    assert "cannot be ruled out" in leak.verdict
    assert leak.information.bound.value < 0.05


def test_p_values_of_clean_codes_are_spread_out():
    found = []
    for seed in range(12):
        model, data = _people(seed=seed)
        train, test = data.split(test=0.3, seed=seed)
        coded = HeldOut(model, Encoded(model, test.items), test, train, 1000, seed)
        task = coded.task("content", "person", "pose")
        probes, p_best, _ = run_probes(task, "pose", ["linear"], draws=100, seed=seed)
        found.append([*(probe.p_value for probe in probes), p_best])
    plain, removed, best = np.array(found).T
    assert (plain > 0.9).all()  # it only knows which combinations were fitted
    assert (removed < 0.05).sum() <= 2 and (best < 0.05).sum() <= 2
    assert 0.2 < removed.mean() < 0.8


def test_related_factors_are_not_taken_for_a_leak():
    rng = np.random.default_rng(0)
    pose = rng.integers(0, 4, 600)
    person = (pose + (rng.random(600) < 0.2)) % 4  # the pose tells the person in four of five
    codes = np.eye(4)[pose] + 0.01 * rng.normal(size=(600, 4))
    rows = (np.arange(400), np.arange(400, 600))
    known, _, among = run_probes(Task(codes, person, pose, (rows,), ""), "pose", ["linear"])
    p_known = min(probe.p_value for probe in known)
    assert known[0].result.accuracy > 0.7 and known[0].permuted > 0.7
    assert among == "rows with the same pose" and p_known > 0.05
    blind, p_blind, _ = run_probes(Task(codes, person, None, (rows,), ""), None, ["linear"])
    assert len(blind) == 1 and p_blind < 0.01


def test_without_training_rows_folds_are_scored_and_shuffled_within_themselves(hasty):
    model, data = _people(leak=1.0)
    found = audit(model, data, roles={"class": "person"}, probes=["knn"])
    leak = found.leak("person", "content")
    assert leak.probes[0].result.n_test == len(data)
    assert "5-fold" in leak.probes[0].result.how
    assert leak.level == "strong"


# Information


def test_contributions_by_hand():
    from unmingle.evaluation.information import contributions

    scores, prior = np.log([[3.0, 1], [3, 1]]), np.array([0.5, 0.5])
    own = np.array([0, 1])
    np.testing.assert_allclose(contributions(scores, own, prior), np.log([3 / 2, 1 / 2]))
    squared = contributions(scores, own, prior, (2.0, 0.0))
    np.testing.assert_allclose(squared, np.log([9 / 5, 1 / 5]))
    mixed = contributions(scores, own, prior, (1.0, 0.5))
    np.testing.assert_allclose(mixed, np.log([1.25, 0.75]))
    np.testing.assert_allclose(contributions(scores, own, prior, (1.0, 1.0)), 0, atol=1e-12)
    np.testing.assert_allclose(  # what depends on the code alone does not count
        contributions(scores + np.array([[50.0], [-80]]), own, prior), np.log([3 / 2, 1 / 2])
    )


def _bound(codes, y):
    from unmingle.evaluation.leaks import measure_information

    half = len(y) // 2
    rows = (np.arange(half), np.arange(half, len(y)))
    return measure_information(Task(codes.astype(np.float32), y, None, (rows,), ""), None)


def test_bound_of_a_factor_of_known_information(quick):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 2000)
    shown = np.where(rng.random(2000) < 0.7, y, rng.integers(0, 4, 2000))
    right, wrong = 0.775, 0.075
    truth = np.log(4) + right * np.log(right) + 3 * wrong * np.log(wrong)
    found = _bound(np.eye(4)[shown], y)
    assert found.most == pytest.approx(np.log(4), abs=0.01)
    assert 0.75 * truth < found.bound.value
    assert found.bound.low < truth < found.bound.high + 0.1
    nothing = _bound(rng.normal(size=(2000, 5)), y)
    assert abs(nothing.bound.value) < 0.02


def test_the_most_there_can_be_is_that_of_the_scored_rows(hasty):
    """Nine of ten fitted rows have the commoner value, and all scored rows the rarer one."""
    from unmingle.evaluation.leaks import measure_information

    y = np.r_[np.zeros(180, int), np.ones(70, int)]
    rows = (np.arange(200), np.arange(200, 250))
    codes = np.eye(2, dtype=np.float32)[y]
    found = measure_information(Task(codes, y, None, (rows,), ""), None)
    assert found.most == pytest.approx(-np.log(70 / 250))  # and not the entropy, 0.593
    assert found.bound.value <= found.most + 1e-9


def test_bound_of_two_codes_of_known_information(quick):
    rng = np.random.default_rng(0)
    a, noise, c = rng.normal(size=(3, 3000, 2))
    b = 0.8 * a + 0.6 * noise
    truth = -np.log(1 - 0.64)  # two independent pairs of correlation 0.8
    model = Columns({"a": [0, 1], "b": [2, 3], "c": [4, 5]})
    data = FactorDataset(vectors=np.concatenate([a, b, c], 1).astype(np.float32))
    coded = HeldOut(model, Encoded(model, data.items), data, None, 10_000, 0)
    found = {(p.first, p.second): p.information for p in code_information(coded, "abc")}
    assert 0.6 * truth < found["a", "b"].bound.value < truth + 0.1
    assert found["a", "b"].most == pytest.approx(np.log(1000))
    assert abs(found["a", "c"].bound.value) < 0.03
    with pytest.raises(DataError, match="20 rows"):
        few = data.select(np.arange(30))
        code_information(HeldOut(model, Encoded(model, few.items), few, None, 99, 0), "abc")


# Without labels


def test_swaps_of_a_perfect_model_come_back_and_of_a_deaf_one_do_not():
    model, data = _people()
    bare = FactorDataset(vectors=data.vectors)
    for swap in swap_consistency(Encoded(model, bare.items)):
        assert swap.distance.value == pytest.approx(0, abs=1e-6)
        assert swap.nearer.value == 1 and swap.pairs == len(data)

    deaf = Columns(model.spaces)
    deaf.decode = lambda codes: model.decode({**codes, "class": np.zeros_like(codes["class"])})
    found = {swap.code: swap for swap in swap_consistency(Encoded(deaf, bare.items), pairs=50)}
    # |code| over |code - other code|, one-hot: 1 over sqrt 2, with or without a swap
    assert found["class"].distance.value == pytest.approx(0.5**0.5, rel=0.2)
    assert found["class"].unswapped.value == pytest.approx(found["class"].distance.value, rel=0.01)
    assert 0.2 < found["class"].nearer.value < 0.8
    assert (found["content"].nearer.value, found["content"].pairs) == (1, 50)


def test_a_decoder_that_mixes_codes_up_is_nearer_to_the_other_image():
    model, data = _people()
    mixing = Columns(model.spaces)
    encoded = Encoded(mixing, data.items)

    def combine(rows):  # hands back the image of the content, whatever the class
        return data.vectors[rows["content"]]

    encoded.combine = combine
    labels = {"class": data.factor("person")}
    found = {swap.code: swap for swap in swap_consistency(encoded, labels)}
    assert found["class"].nearer.value == 0
    assert found["class"].distance.value == pytest.approx(1)
    assert found["class"].unswapped.value == 0


def test_three_codes_are_swapped_in_turn():
    model = Columns({"a": [0], "b": [1], "c": [2]})
    data = FactorDataset(vectors=np.random.default_rng(0).normal(size=(30, 3)))
    found = swap_consistency(Encoded(model, data.items))
    assert [(s.take, s.code, s.source) for s in found[3:6]] == [
        ("b", "a", "j"),
        ("b", "b", "i"),
        ("b", "c", "j"),
    ]
    assert len(found) == 9


def test_an_audit_without_labels_says_what_cannot_be_known(hasty):
    model, data = _people()
    bare = FactorDataset(vectors=data.vectors)
    found = audit(Columns(model.spaces), bare)
    assert found.leaks == [] and len(found.swaps) == 2 and len(found.codes) == 1
    assert found.reconstruction["mse"].value == pytest.approx(0, abs=1e-12)
    said = " ".join(found.unknown)
    assert "no factor column" in said and "the content code should carry is not named" in said
    assert found.context["test"]["fingerprint"] == bare.fingerprint()
    assert "Cannot be known" in found.table()

    blind = SimpleNamespace(encode=model.encode)
    only = audit(blind, bare)
    assert only.swaps == [] and only.reconstruction == {}
    assert any("neither decode nor recombine" in note for note in only.notes)


def test_without_roles_every_column_is_looked_for_in_every_code(hasty):
    model, data = _people(leak=1.0)
    found = audit(Columns(model.spaces), data, probes=["knn"])
    pairs = {(leak.factor, leak.space) for leak in found.leaks}
    assert pairs == {(f, s) for f in ("person", "pose", "sex") for s in ("class", "content")}
    assert {leak.purpose for leak in found.leaks} == {"other"}
    assert found.leak("person", "class").level == "strong"
    assert "leaks are looked for of person, pose, sex only" in " ".join(found.unknown)
    some = audit(Columns(model.spaces), data, factors=["sex"], probes=["knn"])
    assert {leak.factor for leak in some.leaks} == {"sex"}


def test_the_quick_audit_is_a_shorter_look(monkeypatch):
    module = sys.modules["unmingle.evaluation.audit"]  # its name in the package is the function
    monkeypatch.setattr(module, "_QUICK_ROWS", 100)
    monkeypatch.setattr(module, "_QUICK_COLUMNS", 1)
    model, data = _people(leak=1.0)
    train, test = data.split(test=0.3, seed=0)
    found = audit(model, test, train=train, roles=ROLES, quick=True)
    leak = found.leak("person", "content")
    assert {probe.result.kind for probe in leak.probes} == {"linear", "knn"}
    assert leak.probes[0].result.n_train == 100 and leak.level != "none"
    assert leak.information is None and found.codes == [] and found.reconstruction == {}
    assert len(found.swaps) == 2 and found.context["quick"]
    assert any("this was the quick audit" in said for said in found.unknown)

    blind = audit(Columns(model.spaces), test, train=train, quick=True)
    assert {leak.factor for leak in blind.leaks} == {"person"}
    assert any("leaks of pose, sex" in note for note in blind.notes)

    extras = Extras(quick_audit=True)
    scores = evaluate(model, test, train=train, roles=ROLES, probes=[], metrics=[], extras=extras)
    assert scores.audit.leaks == found.leaks  # the rows of a larger choice, drawn again


# Verdicts and files


def _probe(accuracy, p, kind="linear", chance=0.25, permuted=0.2, rows=200):
    result = ProbeResult(accuracy, chance, accuracy - 0.05, accuracy + 0.05, 500, rows, kind)
    return LeakProbe(result, "", permuted, 0.3, p)


def test_levels_and_sentences():
    cases = {"none": (0.26, 0.4), "trace": (0.3, 0.01), "partial": (0.5, 0.001)}
    for level, (accuracy, p) in {**cases, "strong": (0.9, 0.001)}.items():
        found, text = judge_leak("person", "content", [_probe(accuracy, p)], p, None)
        assert found == level and ("can hardly be told" in text) == (level == "trace")
    both = [_probe(0.26, 0.4), _probe(0.5, 0.001, "knn")]
    nats = Information(Estimate(0.3, 0.2, 0.4), 0.5, 1.4, 500, 200)
    _, text = judge_leak("person", "content", both, 0.002, nats)
    assert text == (
        "person can be told from the content code: 50.0% right by knn, chance 25.0%; missed by "
        "linear; at least 0.30 of 1.40 nats"
    )
    level, text = judge_leak("person", "content", both[:1], 0.4, None)
    assert "200 rows scored; up to 31.0% right" in text
    assert judge_leak("person", "content", both[:1], 0.4, nats)[0] == "trace"
    assert "too few" in judge_leak("a", "b", [_probe(0.2, 0.9, rows=12)], 0.9, None)[1]


def test_a_factor_that_another_determines_belongs_to_its_code(hasty):
    model, data = _people(leak=0.2)
    assert nested_owner(data, "sex", ROLES) == "class"
    assert nested_owner(data, "sex", {"content": "pose"}) is None
    found = audit(model, data, roles=ROLES, factors=["sex"], probes=["linear"])
    assert {(leak.factor, leak.space, leak.purpose) for leak in found.leaks} == {
        ("person", "content", "leak"),
        ("pose", "class", "leak"),
        ("sex", "content", "leak"),
    }


def test_what_cannot_be_probed_is_unknown(hasty):
    model, data = _people()
    one = data.select(data.factor("person") == 3)
    found = audit(model, one, roles=ROLES, probes=["linear"])
    assert found.leak("person", "content").level == "unknown"
    assert "same person" in found.leak("person", "content").verdict
    assert "one row only" in found.leak("pose", "class").verdict
    assert any("25 test rows" in said for said in found.unknown)
    with pytest.raises(KeyError, match="sex"):
        found.leak("sex", "content")
    for wrong, text in (
        ({"probes": []}, "one or more of linear"),
        ({"probes": ["knm"]}, "'knn'"),
        ({"permutations": 10}, "at least 19"),
        ({"roles": {"klass": "person"}}, "'class'"),
    ):
        with pytest.raises(ConfigError, match=text):
            audit(model, data, **wrong)
    with pytest.raises(DataError, match="pose"):
        audit(model, data, roles={"content": "poses"})


def test_the_audit_is_seeded_and_survives_a_file(hasty, tmp_path):
    model, data = _people(leak=0.1)
    train, test = data.split(test=0.3, seed=0)
    extras = Extras(audit=True, audit_probes=["linear", "knn"])
    runs = [
        evaluate(model, test, train=train, roles=ROLES, probes=[], extras=extras, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert runs[0].to_dict() == runs[1].to_dict() != runs[2].to_dict()
    again = Scores.load(runs[0].save(tmp_path / "scores.json"))
    assert again.to_dict() == runs[0].to_dict()
    assert again.table() == runs[0].table()
    assert isinstance(again.audit, Audit)
    assert again.audit.leak("person", "content") == runs[0].audit.leak("person", "content")
    assert Audit.from_dict(runs[0].audit.to_dict()) == runs[0].audit

    alone = audit(model, test, train=train, roles=ROLES, probes=["linear", "knn"])
    assert alone.leaks == runs[0].audit.leaks
    assert alone.context["versions"]["numpy"] == np.__version__


def test_scores_of_earlier_versions_can_be_read(tmp_path):
    model, data = _people()
    scores = evaluate(model, data, roles=ROLES, probes=["linear"])
    plain = scores.to_dict()
    for name in ("audit", "judges", "feature_distance", "disentanglement"):
        assert plain.pop(name) is None
    path = tmp_path / "old.json"
    path.write_text(json.dumps(plain))
    assert Scores.load(path).to_dict() == scores.to_dict()


def test_disentanglement_is_measured_when_asked_for():
    model, data = _people()
    train, test = data.split(test=0.3, seed=0)
    extras = Extras(disentanglement=["mig", "modularity"])
    scores = evaluate(model, test, train=train, roles=ROLES, probes=[], metrics=[], extras=extras)
    assert set(scores.disentanglement) == {"mig", "modularity"}
    assert all(values for values in scores.disentanglement.values())
    assert scores.context["disentanglement"] == {
        "factors": ["person", "pose"],
        "rows": len(data),
        "fitted": len(train),
    }
    assert "Disentanglement of the entries" in scores.table()
    with pytest.raises(ConfigError, match="'mig'"):
        evaluate(model, test, extras=Extras(disentanglement=["migg"]))


def test_metrics_that_lack_something_are_left_out_alone():
    model, data = _people()
    names = ["mig", "mig_by_space"]
    extras = Extras(disentanglement=names)
    settings = {"probes": [], "metrics": []}
    bare = evaluate(Columns(model.spaces), data, extras=extras, **settings)
    assert set(bare.disentanglement) == {"mig"}
    assert any("mig_by_space left out: no code space" in note for note in bare.notes)
    known = evaluate(model, data, extras=extras, **settings)
    assert set(known.disentanglement) == set(names)
    alone = evaluate(Columns(model.spaces), data, extras=Extras(disentanglement=names[1:]),
                     **settings)  # fmt: skip
    assert alone.disentanglement is None
    with pytest.raises(ConfigError, match=r"udr compares several models.*udr_encoders"):
        evaluate(model, data, extras=Extras(disentanglement=["mig", "udr"]))


def test_quick_metrics_are_those_that_are_formulas():
    model, data = _people()
    amounts = FactorDataset(
        vectors=data.vectors, factors=data.factors, continuous={"angle": data.factor("pose") ** 2.0}
    )
    extras = Extras(disentanglement=["quick"])
    scores = evaluate(model, amounts, probes=[], metrics=[], extras=extras)
    assert set(scores.disentanglement) == {
        *("mig", "mig_by_space", "modularity", "sap_continuous", "irs"),
        *("total_correlation", "wasserstein"),
    }
    assert scores.context["disentanglement"]["amounts"] == ["angle"]
    bare = evaluate(
        Columns(model.spaces), FactorDataset(vectors=data.vectors),
        probes=[], metrics=[], extras=extras,
    )  # fmt: skip
    assert set(bare.disentanglement) == {"total_correlation", "wasserstein"}
    assert not any("disentanglement" in note for note in bare.notes)


def test_factors_for_an_audit_that_was_not_asked_for(capsys):
    from unmingle.cli import main

    assert main(["evaluate", "nowhere", "digits", "--audit-factors", "all"]) != 0
    assert "--audit-factors all needs --audit" in capsys.readouterr().err
