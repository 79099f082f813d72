"""FactorDataset: what it accepts, factors, selections, splits, saving, fingerprints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_sets import grid, mapped, vectors

from unmingle.data import FactorDataset, load_data
from unmingle.data.storage import RowView
from unmingle.errors import ConfigError, DataError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


# What it accepts


def test_images_without_channels_get_one() -> None:
    data = FactorDataset(images=np.zeros((2, 16, 20), np.uint8))
    assert data.shape == (16, 20, 1)
    assert data.is_images
    assert data.ids.tolist() == [0, 1]


def test_vectors_become_float32() -> None:
    data = FactorDataset(vectors=vectors().astype(np.float64))
    assert data.vectors is not None
    assert data.vectors.dtype == np.float32
    assert data.shape == (3,)
    assert not data.is_images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 16, 16, 3), np.float32), r"float32.*\* 255"),
        (np.zeros((2, 16, 16, 3), np.uint16), r"uint16.*// 257"),
        (np.zeros((2, 3, 32, 32), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 16, 16, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((2, 12, 30, 3), np.uint8), r"12x30, at least 16x16"),
        (np.zeros((16, 16), np.uint8), r"expected \[N,H,W,C\]"),
        (np.zeros((0, 16, 16, 3), np.uint8), "no rows"),
    ],
)
def test_wrong_images_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FactorDataset(images=images)


def test_images_and_vectors_together_or_neither_are_refused() -> None:
    with pytest.raises(DataError, match=r"one of the two"):
        FactorDataset()
    with pytest.raises(DataError, match=r"one of the two"):
        FactorDataset(images=np.zeros((5, 16, 16), np.uint8), vectors=vectors())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_name_row_and_column(bad: float) -> None:
    values = vectors()
    values[3, 1] = bad
    values[4, 2] = bad
    with pytest.raises(DataError, match=r"row 3, column 1 \(and 1 more\)"):
        FactorDataset(vectors=values)


def test_vectors_beyond_float32_are_refused() -> None:
    values = vectors().astype(np.float64)
    values[0, 2] = 1e300
    with pytest.raises(DataError, match=r"row 0, column 2"):
        FactorDataset(vectors=values)


@pytest.mark.parametrize("shape", [(5,), (5, 2, 3)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected \[N,D\].*reshape"):
        FactorDataset(vectors=np.zeros(shape, np.float32))


def test_text_labels_are_numbered_in_sorted_order() -> None:
    data = FactorDataset(vectors=vectors(4), factors={"pet": ["dog", "cat", "dog", "ape"]})
    assert data.factors["pet"].tolist() == [2, 1, 2, 0]
    assert data.value_names["pet"] == ("ape", "cat", "dog")


def test_text_labels_follow_given_names() -> None:
    data = FactorDataset(
        vectors=vectors(3),
        factors={"pet": ["dog", "cat", "dog"]},
        value_names={"pet": ("dog", "emu", "cat")},
    )
    assert data.factors["pet"].tolist() == [0, 2, 0]
    assert data.cardinality("pet") == 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], r"factor 'x' has 4 values for 5 rows"),
        (np.zeros((5, 2), int), r"factor 'x' has shape \(5, 2\)"),
        ([0.0, 1.0, 2.0, 0.0, 1.0], r"factor 'x' holds float64.*astype\(int\).*continuous_x"),
        ([0.5, 1.0, 2.0, 0.0, 1.0], r"factor 'x' holds float64.*continuous_x"),
        ([0, 1, -1, 0, 2], r"factor 'x' is -1 in row 2"),
        ([0, 1, 70_000_000, 0, 2], r"goes up to 70000000 in 5 rows"),
        ([None, 1, 2, 0, 1], r"of type object"),
        ([[0], [1, 2], [3], [4], [5]], r"factor 'x'"),
    ],
)
def test_wrong_labels_are_refused(labels: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FactorDataset(vectors=vectors(), factors={"x": labels})


def test_too_few_value_names_are_refused() -> None:
    with pytest.raises(DataError, match=r"value 2 but only 2 names"):
        FactorDataset(vectors=vectors(3), factors={"x": [0, 1, 2]}, value_names={"x": ("a", "b")})


def test_value_names_of_no_factor_are_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'shap'.*'shape'"):
        FactorDataset(
            vectors=vectors(3), factors={"shape": [0, 1, 2]}, value_names={"shap": ("a", "b", "c")}
        )


def test_continuous_columns_must_be_finite_numbers() -> None:
    data = FactorDataset(vectors=vectors(3), continuous={"angle": [0, 0.5, 1]})
    assert data.continuous["angle"].dtype == np.float32
    with pytest.raises(DataError, match=r"'angle' is nan in row 1"):
        FactorDataset(vectors=vectors(3), continuous={"angle": [0, np.nan, 1]})
    with pytest.raises(DataError, match=r"'angle' is of type <U1"):
        FactorDataset(vectors=vectors(3), continuous={"angle": ["a", "b", "c"]})


def test_repeated_row_ids_are_refused() -> None:
    with pytest.raises(DataError, match=r"row id 7"):
        FactorDataset(vectors=vectors(3), ids=[7, 1, 7])


# Factors


def test_unknown_factor_names_the_nearest() -> None:
    data = FactorDataset(vectors=vectors(2), factors={"character": [0, 1], "pose": [0, 0]})
    with pytest.raises(DataError, match=r"no factor 'caracter'. Did you mean 'character'"):
        data.factor("caracter")
    with pytest.raises(DataError, match=r"no factor 'posé'. Did you mean 'pose'"):
        data.cardinality("character,posé")


def test_a_continuous_column_is_no_factor() -> None:
    data = FactorDataset(vectors=vectors(2), factors={"x": [0, 1]}, continuous={"angle": [0, 1]})
    with pytest.raises(DataError, match=r"'angle' is a continuous column"):
        data.factor("angle")


def test_crossed_codes_count_through_the_last_factor_first() -> None:
    data = FactorDataset(
        vectors=vectors(4),
        factors={"a": [0, 1, 2, 0], "b": [1, 0, 1, 0]},
        value_names={"a": ("p", "q", "r"), "b": ("x", "y")},
    )
    assert data.factor("a,b").tolist() == [1, 2, 5, 0]
    assert data.cardinality("a,b") == 6
    crossed = data.cross(["a", "b"])
    assert crossed.factors["a,b"].tolist() == [1, 2, 5, 0]
    assert crossed.value_names["a,b"] == ("p,x", "p,y", "q,x", "q,y", "r,x", "r,y")
    assert "a,b" not in data.factors
    assert data.cross(["b", "a"], name="both").factors["both"].tolist() == [3, 1, 5, 0]


def test_crossing_agrees_between_train_and_test() -> None:
    data = grid()
    train, test = data.split(cells=("a", "b"), test=0.3, seed=1)
    whole = dict(zip(data.ids.tolist(), data.factor("a,b").tolist(), strict=True))
    for part in (train, test):
        crossed = part.cross(["a", "b"])
        assert [whole[i] for i in part.ids.tolist()] == crossed.factors["a,b"].tolist()


def test_crossing_refuses_taken_names_repeats_and_singles() -> None:
    data = grid()
    with pytest.raises(DataError, match=r"already is a column 'a'"):
        data.cross(["a", "b"], name="a")
    with pytest.raises(DataError, match=r"twice"):
        data.factor("a,a")
    with pytest.raises(DataError, match=r"two factors"):
        data.cross(["a"])


def test_one_class_only_is_an_error_only_for_the_class_factor() -> None:
    data = FactorDataset(vectors=vectors(3), factors={"person": [4, 4, 4], "pose": [0, 1, 2]})
    assert data.factor("person").tolist() == [4, 4, 4]
    assert data.class_factor("pose").tolist() == [0, 1, 2]
    with pytest.raises(
        DataError, match=r"all 3 rows have the same person \('4'\).*with more: pose"
    ):
        data.class_factor("person")
    with pytest.raises(DataError, match=r"'pose'"):
        data.class_factor("poze")


# Rows


def test_select_keeps_rows_columns_and_ids_together() -> None:
    data = grid().select([7, 2, 23])
    assert data.ids.tolist() == [7, 2, 23]
    assert data.items[:, 0, 0, 0].tolist() == [7, 2, 23]
    assert data.factors["a"].tolist() == [1, 0, 5]
    assert data.factors["b"].tolist() == [3, 2, 3]
    assert data.cardinality("a") == 6
    assert data.select(np.array([False, True, True])).ids.tolist() == [2, 23]
    assert data.select(slice(0, 2)).ids.tolist() == [7, 2]


@pytest.mark.parametrize("rows", [[], np.zeros(24, bool), np.ones(23, bool), [24], 3, [0.5]])
def test_selections_that_do_not_fit_are_refused(rows: object) -> None:
    with pytest.raises(DataError):
        grid().select(rows)


def test_selecting_from_a_mapped_file_reads_nothing(tmp_path: Path) -> None:
    data = mapped(tmp_path, grid())
    assert isinstance(data.images, np.memmap)
    assert isinstance(data.select(slice(3, 9)).images, np.memmap)
    some = data.select([2, 3, 5, 7]).select([1, 3, 2])
    assert isinstance(some.images, RowView)
    assert some.images.base is data.images
    assert some.images.rows.tolist() == [3, 7, 5]
    base, rows = some.backing()
    assert base is data.images
    assert rows is not None and rows.tolist() == [3, 7, 5]
    assert some.shape == (16, 18, 1)


def test_row_views_index_like_arrays(tmp_path: Path) -> None:
    data = grid()
    chosen = np.array([2, 3, 5, 7, 11])
    view = mapped(tmp_path, data).select(chosen).images
    plain = np.asarray(data.images)[chosen]
    assert isinstance(view, RowView)
    mask = np.array([True, False, True, False, True])
    for key in (
        1,
        -1,
        slice(1, 3),
        [4, 0],
        mask,
        (0, 3, 4),
        (slice(None), 2),
        (..., 0),
        ([1, 2], 5),
    ):
        result = view[key]
        assert type(result) is np.ndarray or np.isscalar(result)
        np.testing.assert_array_equal(result, plain[key])
    np.testing.assert_array_equal(np.asarray(view), plain)
    assert view.shape == plain.shape
    assert view.nbytes == plain.nbytes


def test_take_gives_plain_arrays(tmp_path: Path) -> None:
    data = mapped(tmp_path, grid()).select([2, 3, 5])
    assert data.take([2, 0])[:, 0, 0, 0].tolist() == [5, 2]
    assert data.take().shape == (3, 16, 18, 1)


# Words, files, numbers


def test_describe_counts_values_and_rows() -> None:
    data = FactorDataset(
        vectors=vectors(5),
        factors={"pet": [0, 0, 1, 1, 1], "one": [3, 3, 3, 3, 3]},
        value_names={"pet": ("cat", "dog")},
        continuous={"angle": [0, 1, 2, 3, 4.5]},
        name="zoo",
        skipped=["x.png: broken"],
    )
    lines = data.describe().splitlines()
    assert lines[0] == "zoo: 5 vectors of 3, 60 B in memory"
    assert lines[1].split("  ")[-1] == "2 values, 2 to 3 rows each: cat, dog"
    assert lines[2].split("  ")[-1] == "1 of 4 values, 5 rows each: 3"
    assert lines[3].endswith("0 to 4.5")
    assert lines[4] == "  skipped x.png: broken"


def test_saved_data_come_back(tmp_path: Path) -> None:
    data = FactorDataset(
        images=np.random.default_rng(0).integers(0, 256, (7, 17, 16, 4), dtype=np.uint8),
        factors={"a": [0, 1, 2, 0, 1, 2, 0], "b,c": [0, 0, 1, 1, 0, 0, 1]},
        value_names={"a": ("x", "ü", "z", "unused")},
        continuous={"angle": np.linspace(0, 1, 7)},
        files=[f"f{n}.png" for n in range(7)],
    ).select([5, 1, 2])
    data.save(tmp_path / "new" / "set.npz")
    again = load_data(tmp_path / "new" / "set.npz")
    np.testing.assert_array_equal(again.take(), data.take())
    assert again.value_names == data.value_names
    assert {k: v.tolist() for k, v in again.factors.items()} == {"a": [2, 1, 2], "b,c": [0, 0, 1]}
    np.testing.assert_array_equal(again.continuous["angle"], data.continuous["angle"])
    assert again.ids.tolist() == [5, 1, 2]
    assert again.files is not None and again.files.tolist() == ["f5.png", "f1.png", "f2.png"]
    assert again.name == "set"
    assert again.fingerprint() == data.fingerprint()


@pytest.mark.parametrize("compress", [True, False])
def test_numpy_reads_what_is_saved(tmp_path: Path, compress: bool) -> None:
    data = FactorDataset(vectors=vectors(), factors={"x": [0, 1, 0, 1, 1]})
    data.save(tmp_path / "v.npz", compress=compress)
    with np.load(tmp_path / "v.npz") as stored:
        np.testing.assert_array_equal(stored["vectors"], vectors())
        assert stored["factor_x"].tolist() == [0, 1, 0, 1, 1]
        assert stored["x_names"].tolist() == ["0", "1"]


def test_saving_overwrites_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    FactorDataset(vectors=vectors(2)).save(path)
    with pytest.raises(DataError, match=r"v.npz: exists"):
        FactorDataset(vectors=vectors(4)).save(path)
    assert len(load_data(path)) == 2
    FactorDataset(vectors=vectors(4)).save(path, overwrite=True)
    assert len(load_data(path)) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["v.npz"]
    with pytest.raises(ConfigError, match=r"v.npz"):
        FactorDataset(vectors=vectors(4)).save(tmp_path / "v.zip")


def test_fingerprints_follow_content(tmp_path: Path) -> None:
    data = grid()
    base = data.fingerprint()
    assert len(base) == 64
    assert grid().fingerprint() == base
    assert mapped(tmp_path, data).fingerprint() == base
    assert data.select(slice(None)).fingerprint() == base
    pixel = np.array(data.images)
    pixel[23, 15, 17, 0] ^= 1
    labels = data.factors["a"].copy()
    labels[0] = 5
    factors = data.factors
    others = [
        FactorDataset(images=pixel, factors=factors),
        FactorDataset(images=data.images, factors={**factors, "a": labels}),
        FactorDataset(images=data.images, factors={"a": factors["a"]}),
        FactorDataset(images=data.images, factors={"b": factors["a"], "a": factors["b"]}),
        FactorDataset(images=data.take().reshape(24, 18, 16, 1), factors=factors),
        FactorDataset(images=data.images, factors=factors, continuous={"x": np.zeros(24)}),
        data.select(slice(None, None, -1)),
    ]
    prints = [other.fingerprint() for other in others]
    assert len({base, *prints}) == 8


def test_row_views_have_the_fingerprint_of_their_rows(tmp_path: Path) -> None:
    data = grid()
    rows = [3, 1, 9]
    assert mapped(tmp_path, data).select(rows).fingerprint() == data.select(rows).fingerprint()


def test_loading_data_does_not_import_torch() -> None:
    code = (
        "import sys, numpy as np, unmingle.data as d;"
        "d.load_data({'images': np.zeros((2, 16, 16), np.uint8)}, size=20);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data sets are not beside the repository"
)
def test_the_sprites_protocol() -> None:
    data = load_data(SHARED / "sprites.npz")
    assert (len(data), data.shape) == (8448, (64, 64, 3))
    assert data.cardinality("character") == 96
    assert data.cardinality("pose_merged") == 76
    train, test = data.split(by="character", values=range(80, 96))
    assert len(test) == 16 * 88
    poses = {
        int(p): data.value_names["pose"][p]
        for p in data.factors["pose"][data.factors["character"] == 0]
    }
    merged = data.value_names["pose_merged"]
    # Poses that merge are named after the first of them, which keeps its own name.
    assert merged[data.factors["pose_merged"][0]] == poses[int(data.factors["pose"][0])]
    assert set(merged) <= set(poses.values())
    assert len(train) + len(test) == len(data)
