"""Reading .npz files, good and bad."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from unmingle.data import load_data
from unmingle.errors import ConfigError, DataError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data sets are not beside the repository"
)


def noise(seed: int = 0, channels: int = 3) -> np.ndarray:
    shape = (20, 24, channels) if channels > 1 else (20, 24)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_an_npz_with_everything(tmp_path: Path) -> None:
    images = np.stack([noise(channels=1, seed=seed) for seed in range(4)])
    np.savez_compressed(
        tmp_path / "x.npz",
        images=images,
        factor_person=np.array([0, 2, 1, 0], np.uint8),
        person_names=np.array(["ann", "bob", "cy"]),
        factor_pose=np.array([3, 1, 0, 3], np.int16),
        pose_merged=np.array([0, 1, 1, 0]),
        factor_smile=np.array([True, False, True, True]),
        continuous_angle=np.array([0.0, 0.5, 1, 2]),
        author=np.array("someone"),
        history=np.array([1, {}], dtype=object),
    )
    data = load_data(tmp_path / "x.npz")
    np.testing.assert_array_equal(data.take()[..., 0], images)
    assert data.shape == (20, 24, 1)
    assert list(data.factors) == ["person", "pose", "smile", "pose_merged"]
    assert data.value_names["person"] == ("ann", "bob", "cy")
    assert data.value_names["pose"] == ("0", "1", "2", "3")
    assert data.factors["pose"].tolist() == [3, 1, 0, 3]
    assert data.factor("pose_merged").tolist() == [0, 1, 0, 0]
    assert data.cardinality("pose_merged") == 2
    assert data.factors["smile"].tolist() == [1, 0, 1, 1]
    assert data.continuous["angle"].tolist() == [0, 0.5, 1, 2]
    assert list(load_data(tmp_path / "x.npz", factors="pose,person").factors) == ["pose", "person"]
    with pytest.raises(DataError, match=r"no factor 'persn'.*'person'"):
        load_data(tmp_path / "x.npz", factors=["persn"])


def test_merged_values_are_renumbered_and_named_after_their_first(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz",
        vectors=np.zeros((5, 2), np.float32),
        factor_pose=[0, 1, 2, 3, 2],
        pose_names=["up", "up2", "down", "down2"],
        pose_merged=[0, 0, 2, 2],
        pose_weight=[5, 9, 700, -3],
        pose_short=[1, 2],
    )
    data = load_data(tmp_path / "x.npz")
    assert data.factors["pose_merged"].tolist() == [0, 0, 1, 1, 1]
    assert data.value_names["pose_merged"] == ("up", "down")
    assert data.value_names["pose_weight"] == ("-3", "5", "9", "700")
    assert "pose_short" not in data.factors


def test_fortran_order_is_read_row_by_row(tmp_path: Path) -> None:
    images = np.asfortranarray(np.stack([noise(seed=seed) for seed in range(3)]))
    np.savez(tmp_path / "x.npz", images=images)
    np.testing.assert_array_equal(load_data(tmp_path / "x.npz").take(), images)


def test_missing_items_list_what_was_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", joints=np.zeros((2, 3, 4)), motion=np.zeros(3))
    with pytest.raises(DataError, match=r"expected images .*vectors.*found joints, motion"):
        load_data(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", images=np.zeros((2, 16, 16), np.uint8), vectors=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"found images, vectors"):
        load_data(tmp_path / "y.npz")


def test_object_arrays_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    labels = np.array([Trap(), Trap()], dtype=object)
    np.savez(tmp_path / "x.npz", vectors=np.zeros((2, 3), np.float32), factor_x=labels)
    with pytest.raises(DataError, match=r"factor_x is an array of Python objects.*never unpickled"):
        load_data(tmp_path / "x.npz")
    names = np.array(["a", "b"], dtype=object)
    np.savez(tmp_path / "y.npz", vectors=np.zeros((2, 3)), factor_x=[0, 1], x_names=names)
    with pytest.raises(DataError, match=r"x_names is an array of Python objects"):
        load_data(tmp_path / "y.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_npz_is_named(tmp_path: Path, share: float) -> None:
    np.savez(tmp_path / "x.npz", images=np.stack([noise(seed=s) for s in range(5)]))
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"x.npz: not a whole .npz file"):
        load_data(tmp_path / "x.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_flipped_bytes_are_noticed(tmp_path: Path, save: object, place: float) -> None:
    save(tmp_path / "x.npz", images=np.stack([noise(seed=s) for s in range(5)]))  # type: ignore[operator]
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x.npz: not a whole .npz file"):
        load_data(tmp_path / "x.npz")


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("images.npy", "w") as f:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(f, header)
        f.write(b"abc")
    with pytest.raises(DataError, match=r"images says .*but holds 3 bytes"):
        load_data(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"factor_x": np.zeros(3, int)}, "factor 'x' has 3 values for 4 rows"),
        ({"factor_x": np.zeros(4)}, "factor 'x' holds float64"),
        ({"factor_x": np.arange(4), "x_names": ["a"]}, "value 3 but only 1 names"),
        ({"continuous_x": np.zeros((4, 2))}, r"continuous column 'x' has shape \(4, 2\)"),
        ({"row_ids": np.zeros(4, int)}, "row id 0"),
    ],
)
def test_wrong_columns_of_an_npz(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 16, 16), np.uint8), **arrays)
    with pytest.raises(DataError, match=f"x.*{message}"):
        load_data(tmp_path / "x.npz")


def test_nan_vectors_name_the_file(tmp_path: Path) -> None:
    vectors = np.zeros((4, 3), np.float32)
    vectors[1, 2] = np.nan
    np.savez(tmp_path / "x.npz", vectors=vectors)
    with pytest.raises(DataError, match=r"x.npz: vectors have nan in row 1, column 2"):
        load_data(tmp_path / "x.npz")
    with pytest.raises(ConfigError, match=r"these are vectors"):
        load_data(tmp_path / "x.npz", size=32)


def test_what_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shapes3: no such file.*Did you mean 'shapes3d'"):
        load_data("shapes3")
    with pytest.raises(DataError, match=r"gone.npz: no such file"):
        load_data(tmp_path / "gone.npz")
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"x.csv: not a kind of file.*\.npz"):
        load_data(tmp_path / "x.csv")


@needs_shared
@pytest.mark.parametrize(
    ("name", "shape", "factors"),
    [
        ("chairs", (4176, 64, 64, 3), {"model": 87, "elevation": 2, "azimuth": 24}),
        ("cmu_faces", (624, 64, 64, 1), {"person": 20, "pose": 4, "expression": 4, "eyes": 2}),
    ],
)
def test_the_shared_sets(name: str, shape: tuple[int, ...], factors: dict[str, int]) -> None:
    path = SHARED / f"{name}.npz"
    data = load_data(path)
    assert data.take().shape == shape
    assert {factor: data.cardinality(factor) for factor in data.factors} == factors
    with np.load(path) as stored:
        np.testing.assert_array_equal(data.take(), stored["images"])


@needs_shared
def test_joints_are_no_vectors() -> None:
    with pytest.raises(DataError, match=r"skeletons.npz: expected images.*found joints, scales"):
        load_data(SHARED / "skeletons.npz")
