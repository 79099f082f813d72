"""Continuous columns cut into values, and points in space seen from random directions."""

from __future__ import annotations

import numpy as np
import pytest

import unmingle as um
from unmingle.cli import main
from unmingle.data.buckets import cut, cut_as_told, make_buckets
from unmingle.data.storage import RowView
from unmingle.data.views import look, project
from unmingle.errors import UnmingleError
from unmingle.plots import draw_points, ellipses, informative_dimensions, scatter


def data(rows=40, **columns):
    vectors = np.random.default_rng(0).normal(size=(rows, 3))
    return um.FactorDataset(vectors=vectors, continuous=columns, name="points")


def refused(call, *words):
    with pytest.raises(UnmingleError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# ---------------------------------------------------------------------- buckets


def test_equal_widths():
    found = make_buckets([0.0, 1.0, 4.0], 4)
    assert found.codes([0.0, 0.99, 1.0, 3.9, 4.0, -5.0, 9.0]).tolist() == [0, 0, 1, 3, 3, 0, 3]
    assert found.names[:2] == ("0 to 1", "1 to 2") and found.count == 4


def test_quantiles_hold_equally_many():
    values = np.random.default_rng(0).exponential(size=1000)
    codes = make_buckets(values, 8, "quantile").codes(values)
    assert np.bincount(codes).tolist() == [125] * 8
    # Ties cannot be cut apart.
    tied = make_buckets([0.0, 0, 0, 0, 1, 2, 3, 4], 4, "quantile")
    assert tied.count == 3 and tied.codes([0.0, 4.0]).tolist() == [0, 2]

    # Nine tenths of the values are one: a cut into halves leaves one bucket, into tenths two.
    most = [0.0] * 9 + [1.0]
    refused(lambda: make_buckets(most, 2, "quantile", what="spin"), "spin", "single", "equal")
    assert make_buckets(most, 10, "quantile").codes(most).tolist() == [0] * 9 + [1]
    assert make_buckets(most, 2).codes(most).tolist() == [0] * 9 + [1]


def test_circles_close():
    found = make_buckets([0.0], 4, "circular")
    angles = [0.0, 44.0, 46.0, 90.0, 180.0, 314.0, 316.0, 359.0, 360.0, -1.0, 405.1, 720.0]
    assert found.codes(angles).tolist() == [0, 0, 1, 1, 2, 3, 0, 0, 0, 0, 1, 0]
    assert found.names == ("0", "90", "180", "270")
    radians = make_buckets([0.0], 4, "circular", 2 * np.pi)
    assert radians.codes(np.deg2rad(angles)).tolist() == found.codes(angles).tolist()


def test_several_columns_at_once_become_factors():
    random = np.random.default_rng(0)
    columns = {f"light_{i}": random.normal(size=40) for i in range(9)}
    whole = data(**columns, other=random.normal(size=40))
    found = cut(whole, "light_*", 5, "quantile")
    assert list(found.factors) == list(columns) and "other" not in found.factors
    for name in columns:
        assert np.bincount(found.factor(name)).tolist() == [8] * 5
        assert len(found.names(name)) == 5
    assert list(found.continuous) == list(whole.continuous)
    train, test = whole.split(test=0.5)
    same = cut(test, ["light_0"], 5, like=train)
    edges = make_buckets(train.continuous["light_0"], 5)
    assert np.array_equal(same.factor("light_0"), edges.codes(test.continuous["light_0"]))


def test_flags_say_how_to_cut():
    whole = data(angle=np.linspace(0, 719, 40), height=np.linspace(1, 2, 40))
    assert np.array_equal(
        cut_as_told(whole, "angle=12:circular").factor("angle"),
        cut(whole, "angle", 12, "circular").factor("angle"),
    )
    assert np.array_equal(
        cut_as_told(whole, "angle=12:circular:180").factor("angle"),
        cut(whole, "angle", 12, "circular", period=180).factor("angle"),
    )
    assert list(cut_as_told(whole, "angle,height=3").factors) == ["angle", "height"]


def test_wrong_cuts_are_refused():
    whole = data(angle=np.linspace(0, 359, 40), flat=np.ones(40))
    for text, words in (
        ("angle", ["--buckets angle", "COLUMN=NUMBER"]),
        ("angle=12:round", ["round", "circular"]),
        ("angle=12:circular:x", ["--buckets"]),
        ("angel=12", ["'angel'", "'angle'"]),
        ("angle=1", ["angle", "2"]),
        ("flat=3", ["flat", "1"]),
        ("flat=3:quantile", ["flat"]),
        ("angle=3:circular:0", ["period"]),
    ):
        refused(lambda t=text: cut_as_told(whole, t), *words)
    once = cut(whole, "angle", 4)
    refused(lambda: cut(once, "angle", 4), "angle", "already")


def test_the_command_line_cuts_and_a_run_remembers(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)
    whole = um.FactorDataset(images=images, continuous={"angle": np.linspace(0, 345, 24)})
    file, run = str(tmp_path / "a.npz"), str(tmp_path / "run")
    whole.save(file)
    flags = ["--buckets", "angle=4:circular", "--labelled", "angle", "--budget", "8steps"]
    small = ["--widths", "4", "8", "--features", "8", "--batch", "8", "--quiet", "--device", "cpu"]
    assert main(["train", "disunknown", file, "--out", run, *flags, *small]) == 0
    assert main(["encode", run, file, "-o", str(tmp_path / "codes.npz")]) == 0
    assert um.load(run).facts["classes"]["angle"]["names"] == ["0", "90", "180", "270"]


# ---------------------------------------------------------------------- views


def skeletons(rows=6, points=4):
    vectors = np.random.default_rng(1).normal(size=(rows, 3 * points)).astype(np.float32)
    return um.FactorDataset(
        vectors=vectors, factors={"who": np.arange(rows) % 3}, continuous={"t": np.arange(rows)}
    )


def test_a_view_is_a_turn_and_a_projection():
    point = np.array([[1.0, 2.0, 3.0]])
    assert look(point, [0.0]).tolist() == [[1.0, 2.0]]
    np.testing.assert_allclose(look(point, [90.0]), [[-3.0, 2.0]], atol=1e-6)
    np.testing.assert_allclose(look(point, [180.0]), [[-1.0, 2.0]], atol=1e-6)
    pair = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    np.testing.assert_allclose(look(pair, [90.0]), [[-3.0, 2.0, -6.0, 5.0]], atol=1e-6)


def test_rows_are_projected_when_they_are_read():
    whole = skeletons()
    seen = project(whole, 8)
    assert len(seen) == 48 and seen.shape == (8,) and isinstance(seen.items, RowView)
    assert seen.factor("view").tolist() == list(range(8)) * 6
    assert seen.factor("who").tolist() == np.repeat(np.arange(6) % 3, 8).tolist()
    angles = seen.continuous["view_angle"]
    off = (angles - 45 * seen.factor("view") + 180) % 360 - 180
    assert np.abs(off).max() <= 22.5 and len(np.unique(off.round(3))) > 40
    everything = look(np.repeat(whole.vectors, 8, axis=0), angles)
    np.testing.assert_array_equal(seen.take(), everything)
    rows = np.array([40, 3, 3])
    np.testing.assert_array_equal(seen.items[rows], everything[rows])
    np.testing.assert_array_equal(seen.items[7], everything[7])
    np.testing.assert_array_equal(seen.items[2:5], everything[2:5])
    assert seen.names("view")[:3] == ("0", "45", "90")


def test_views_are_selected_and_split_without_being_made():
    seen = project(skeletons(), 8)
    train, test = seen.split(by="who", values=[2])
    assert isinstance(train.items, RowView) and isinstance(test.select([1, 0]).items, RowView)
    np.testing.assert_array_equal(test.take(), seen.take()[seen.factor("who") == 2])
    assert project(skeletons(), 8).fingerprint() == seen.fingerprint()
    assert project(skeletons(), 8, seed=1).fingerprint() != seen.fingerprint()


def test_what_has_no_views_is_refused():
    refused(lambda: project(um.FactorDataset(vectors=np.zeros((3, 4))), 8), "points in space")
    refused(lambda: project(skeletons(), 1), "--views")
    refused(lambda: project(project(skeletons(points=6), 2), 2), "'view'")


def test_a_method_learns_from_views(tmp_path):
    skeletons(60).save(tmp_path / "s.npz")
    file, run = str(tmp_path / "s.npz"), str(tmp_path / "run")
    flags = ["--views", "4", "--labelled", "who", "view", "--budget", "8steps", "--device", "cpu"]
    small = ["--features", "8", "--batch", "8", "--quiet"]
    assert main(["train", "disunknown", file, "--out", run, *flags, *small]) == 0
    model = um.load(run)
    assert model.data_shape == (8,) and list(model.code_spaces) == ["who", "view", "unknown"]
    assert main(["encode", run, file, "-o", str(tmp_path / "codes.npz")]) == 0


# ---------------------------------------------------------------------- plots


def test_the_most_informative_dimensions_come_first():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 500)
    codes = random.normal(size=(500, 4))
    codes[:, 2] += 10 * labels
    codes[:, 1] += 1.5 * (labels == 1)
    assert informative_dimensions(codes, labels) == [2, 1]
    refused(lambda: informative_dimensions(codes, labels, 5), "4")
    refused(lambda: informative_dimensions(codes, labels[:3]), "(3,)")


def test_plots_of_codes_are_written(tmp_path):
    random = np.random.default_rng(0)
    labels, codes = random.integers(0, 4, 50), random.normal(size=(50, 3))
    for number, (values, options) in enumerate(
        (
            (codes, {}),
            (codes[:, :1], {"names": list("abcd")}),
            (codes, {"dims": (0, 2), "cyclic": True}),
        )
    ):
        out = scatter(values, labels, tmp_path / f"{number}.png", **options)
        assert out.stat().st_size > 1000
    mean, std = random.normal(size=(4, 3)), np.full((4, 3), 0.2)
    assert ellipses(mean, std, tmp_path / "e.png", names=list("abcd")).stat().st_size > 1000
    refused(lambda: ellipses(mean[:, :1], std[:, :1], tmp_path / "f.png"), "2 or more")
    refused(lambda: scatter(codes * np.nan, labels, tmp_path / "g.png"), "NaN")


def test_points_are_drawn_where_they_are():
    pictures = draw_points(np.array([[-1.0, -1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, -1.0]]), [(0, 1)])
    assert pictures.shape == (2, 96, 96, 3) and pictures.dtype == np.uint8
    dark = pictures.min(3) < 200
    assert dark[0, 48, 48] and not dark[0, 10:30, 10:30].any()  # along the diagonal
    assert dark[1, 80:, 40:56].any() and not dark[1, :40].any()  # along the bottom
    assert draw_points(np.zeros((1, 6)), axes=3).shape == (1, 96, 96, 3)
    refused(lambda: draw_points(np.zeros((1, 5))), "points")
