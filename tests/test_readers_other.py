"""Reading .h5 files, arrays, map-style data sets, Hugging Face folders and catalogue names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unmingle.data import FactorDataset, load_data
from unmingle.errors import ConfigError, DataError, MissingExtraError


def images(count: int = 4, channels: int = 3) -> np.ndarray:
    shape = (count, 20, 24, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# .h5


def test_an_h5_has_the_keys_of_an_npz(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", data=images(), chunks=True, compression="gzip")
        file["factor_pet"] = np.array([1, 0, 1, 1], np.int32)
        file["pet_names"] = ["cat", "hündin"]
        file["continuous_age"] = [0.5, 1, 2, 3]
        file.create_group("images_extra")
    data = load_data(tmp_path / "x.h5")
    np.testing.assert_array_equal(data.take(), images())
    assert data.value_names["pet"] == ("cat", "hündin")
    assert data.factors["pet"].tolist() == [1, 0, 1, 1]
    assert data.continuous["age"].tolist() == [0.5, 1, 2, 3]
    assert load_data(tmp_path / "x.h5", size=16, memory_limit=0).shape == (16, 16, 3)
    with pytest.raises(ConfigError, match=r"rows= \(--draw\) is for 3dshapes.h5"):
        load_data(tmp_path / "x.h5", rows=2)


def test_the_original_shapes_file_is_recognised(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from unmingle.data import shapes3d

    # Labels as published: hues in tenths, scale, shape number, orientation in degrees.
    labels = np.array(
        [[0, 0, 0, 0.75, 0, -30], [0.1, 0.9, 0.5, 1.25, 3, 30], [0.3, 0, 0, 0.75, 1, -30]]
    )
    pictures = images(3)
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"], file["labels"] = pictures, labels
    data = load_data(tmp_path / "3dshapes.h5")
    np.testing.assert_array_equal(data.take(), pictures)
    first = [data.factors[name].tolist() for name in shapes3d.NAMES]
    assert first == [[0, 1, 3], [0, 9, 0], [0, 5, 0], [0, 7, 0], [0, 3, 1], [0, 14, 0]]
    assert load_data(tmp_path / "3dshapes.h5", memory_limit=0, size=16).shape == (16, 16, 3)
    some = load_data(tmp_path / "3dshapes.h5", rows=[2, 0], channels=1)
    assert some.factors[shapes3d.NAMES[0]].tolist() == [3, 0]
    assert some.shape == (20, 24, 1)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"], file["labels"] = pictures, labels[:, :4]
    with pytest.raises(DataError, match=r"other.h5.*factor_<name>"):
        load_data(tmp_path / "other.h5")


def test_a_damaged_h5_is_named(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(DataError, match=r"x.h5: not a whole HDF5 file"):
        load_data(tmp_path / "x.h5")


def test_h5_without_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"unmingle\[h5\]"):
        load_data(tmp_path / "x.h5")


# Arrays


def test_arrays_by_name_are_not_copied() -> None:
    given = images()
    data = load_data({"images": given, "factor_pet": ["b", "a", "b", "b"], "note": "ignored"})
    assert data.images is not None
    assert np.shares_memory(np.asarray(data.images), given)
    assert data.value_names["pet"] == ("a", "b")
    assert data.factors["pet"].tolist() == [1, 0, 1, 1]
    assert load_data(given).shape == (20, 24, 3)
    assert load_data(np.zeros((3, 5))).shape == (5,)
    assert load_data({"vectors": [[1, 2], [3, 4]]}).take().tolist() == [[1, 2], [3, 4]]


def test_from_arrays_is_the_constructor() -> None:
    data = FactorDataset.from_arrays(images=images(), factors={"pet": ["b", "a", "b", "b"]})
    assert data.cardinality("pet") == 2
    assert data.name == "arrays"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": images(), "factor_x": [0, 1]}, "factor 'x' has 2 values for 4 rows"),
        ({"images": images(), "factor_x": [0.0, 1, 1, 0]}, r"astype\(int\)"),
        ({"images": [images()[0], images()[1, :8]]}, "images is not one array"),
        ({"pictures": images()}, "found pictures"),
        ({"vectors": [["a", "b"]]}, "vectors are <U1"),
    ],
)
def test_wrong_arrays_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(arrays)


@pytest.mark.parametrize("source", [3, None, object(), [1, 2], iter([1])])
def test_what_cannot_be_read_is_said(source: object) -> None:
    with pytest.raises(DataError, match=r"load_data cannot read"):
        load_data(source)


def test_a_data_set_can_be_changed() -> None:
    data = load_data({"images": images(), "factor_x": [0, 1, 1, 0], "factor_y": [1, 1, 0, 0]})
    assert load_data(data) is data
    changed = load_data(data.select([2, 1]), size=16, channels=1, factors=["y"], name="new")
    assert changed.shape == (16, 16, 1)
    assert changed.ids.tolist() == [2, 1]
    assert list(changed.factors) == ["y"]
    assert changed.name == "new"
    assert data.shape == (20, 24, 3)


# Map-style data sets


class Rows:
    """A map-style data set over a function."""

    def __init__(self, count: int, row: Callable[[int], Any]) -> None:
        self.count, self.row = count, row

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.row(number)


PIXELS = images(6)


@pytest.mark.parametrize("kind", ["pillow", "array", "grey", "tensor", "float", "channels first"])
def test_every_kind_of_picture(kind: str) -> None:
    def picture(number: int) -> Any:
        pixels = PIXELS[number]
        if kind == "pillow":
            return Image.fromarray(pixels)
        if kind == "array":
            return pixels
        if kind == "grey":
            return pixels[:, :, 0]
        if kind == "channels first":
            return pixels.transpose(2, 0, 1)
        torch = pytest.importorskip("torch")
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        return tensor if kind == "tensor" else tensor.float() / 255

    data = load_data(Rows(6, lambda number: (picture(number), number % 2)))
    expected = PIXELS[..., :1] if kind == "grey" else PIXELS
    np.testing.assert_array_equal(data.take(), expected)
    assert data.factors["class"].tolist() == [0, 1, 0, 1, 0, 1]
    assert data.name == "Rows"


def test_torch_data_sets_and_subsets() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import Subset, TensorDataset

    tensors = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    whole = TensorDataset(tensors, torch.arange(6) % 3, torch.arange(6) // 3)
    data = load_data(Subset(whole, [4, 1, 3]), factors=["shape", "colour"], name="t")
    np.testing.assert_array_equal(data.take(), PIXELS[[4, 1, 3]])
    assert data.factors["shape"].tolist() == [1, 1, 0]
    assert data.factors["colour"].tolist() == [1, 0, 1]
    assert list(load_data(whole).factors) == ["label1", "label2"]


def test_dictionaries_and_amounts() -> None:
    def row(number: int) -> dict[str, Any]:
        return {"id": "xy"[number % 2], "img": PIXELS[number], "size": number / 2, "box": [1, 2]}

    data = load_data(Rows(6, row), size=16)
    assert data.shape == (16, 16, 3)
    assert list(data.factors) == ["id"]
    assert data.value_names["id"] == ("x", "y")
    assert data.continuous["size"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert list(load_data(Rows(6, row), factors=["size"]).factors) == []


def test_names_of_classes_are_taken_over() -> None:
    rows = Rows(6, lambda number: (PIXELS[number], number % 2))
    rows.classes = ["cat", "dog", "emu"]  # type: ignore[attr-defined]
    assert load_data(rows).value_names["class"] == ("cat", "dog", "emu")


def test_rows_of_vectors() -> None:
    data = load_data(Rows(3, lambda number: (np.arange(4) + number, number)))
    assert data.vectors is not None
    assert data.take().tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


def sized(number: int) -> np.ndarray:
    return PIXELS[number, : 20 - (number == 3)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (lambda n: (sized(n), 0), r"row 0 is 20x24x3 and row 3 is 19x24x3.*--size 64"),
        (
            lambda n: (PIXELS[n] if n < 3 else PIXELS[n, :, :, 0], 0),
            r"row 3 is 20x24x1.*--channels",
        ),
        (lambda n: (PIXELS[n] * 1.0, 0), r"row 0 cannot be used: .*values from 0 to 255"),
        (lambda n: (PIXELS[n].astype(int), 0), "row 0 cannot be used: an image of int64"),
        (lambda n: (PIXELS[n, :8], 0), "images are 8x24"),
        (lambda n: (PIXELS[n][None], 0), r"an image of shape \(1, 20, 24, 3\)"),
        (lambda n: {"label": 3}, "no image among label"),
        (lambda n: (PIXELS[n], 0) if n < 2 else (PIXELS[n], 0, 1), "row 2 cannot be used: labels"),
        (lambda n: (None, 0), "row 0 cannot be used: there is no image"),
        (lambda n: (PIXELS[n], None), "of type object"),
        (lambda n: ([1.0, float("nan")], 0), "nan in column 1"),
        (lambda n: (PIXELS[n], 1 / (n - 4)), "row 4 cannot be used: .*division by zero"),
    ],
)
def test_bad_rows_are_named(row: Callable[[int], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(Rows(6, row))


@pytest.mark.parametrize("limit", ["1GB", 0])
def test_bad_rows_are_skipped_with_their_labels(tmp_path: Path, limit: int | str) -> None:
    def row(number: int) -> Any:
        if number in (0, 3):
            raise OSError("broken")
        return PIXELS[number], number

    with pytest.warns(UserWarning, match=r"skipped 2 of 6: row 0: broken; row 3: broken"):
        data = load_data(Rows(6, row), skip_bad=True, memory_limit=limit, cache=tmp_path)
    np.testing.assert_array_equal(data.take(), PIXELS[[1, 2, 4, 5]])
    assert data.factors["class"].tolist() == [1, 2, 4, 5]
    assert data.ids.tolist() == [1, 2, 4, 5]
    assert len(data.skipped) == 2


def test_no_rows_or_none_good_are_errors() -> None:
    with pytest.raises(DataError, match=r"there are no rows"):
        load_data(Rows(0, lambda number: None))
    with pytest.raises(DataError, match=r"none of 6 rows can be read: there is no image"):
        load_data(Rows(6, lambda number: (None, 0)), skip_bad=True)


# Hugging Face


class Saved(list[dict[str, Any]]):
    """What `datasets.load_from_disk` gives, as far as it is used."""

    features: dict[str, Any]

    def with_format(self, _: None) -> Saved:
        return self

    def select_columns(self, names: list[str]) -> Saved:
        return Saved({name: row[name] for name in names} for row in self)

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


@pytest.fixture
def hugging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks saved, and a stand-in for `datasets` that opens it."""
    module = ModuleType("datasets")

    class ClassLabel(SimpleNamespace):
        names: list[str]

    class Value(SimpleNamespace):
        dtype: str

    class Picture(SimpleNamespace):
        pass

    rows = [
        {"pixels": Image.fromarray(PIXELS[n]), "pet": n % 2, "age": n / 2, "id": f"r{n}"}
        for n in range(6)
    ]
    saved = Saved(rows)
    saved.features = {
        "pixels": Picture(),
        "pet": ClassLabel(names=["cat", "dog"]),
        "age": Value(dtype="float32"),
        "id": Value(dtype="string"),
    }

    def load_from_disk(path: str) -> Any:
        return {"train": saved, "test": saved} if path.endswith("parts") else saved

    vars(module).update(
        load_from_disk=load_from_disk, ClassLabel=ClassLabel, Value=Value, Image=Picture
    )
    monkeypatch.setitem(sys.modules, "datasets", module)
    for name in ("one/state.json", "one/dataset_info.json", "parts/dataset_dict.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_saved_data_set(hugging: Path) -> None:
    data = load_data(hugging / "one")
    np.testing.assert_array_equal(data.take(), PIXELS)
    assert {name: codes.tolist() for name, codes in data.factors.items()} == {
        "pet": [0, 1, 0, 1, 0, 1]
    }
    assert data.value_names["pet"] == ("cat", "dog")
    assert data.continuous["age"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert list(load_data(hugging / "one", factors=["id"]).factors) == ["id"]


def test_the_parts_of_a_saved_data_set(hugging: Path) -> None:
    assert len(load_data(hugging / "parts", part="test")) == 6
    with pytest.raises(DataError, match=r"has the parts train, test; choose one with part="):
        load_data(hugging / "parts")
    with pytest.raises(DataError, match=r"no part 'tran'. Did you mean 'train'"):
        load_data(hugging / "parts", part="tran")
    with pytest.raises(DataError, match=r"a single data set"):
        load_data(hugging / "one", part="train")
    with pytest.raises(DataError, match=r"no column 'pat' .*'pet'"):
        load_data(hugging / "one", factors=["pat"])
    with pytest.raises(DataError, match=r"'pet' is no image column.*pixels"):
        load_data(hugging / "one", image="pet")


def test_a_saved_data_set_larger_than_the_limit(hugging: Path) -> None:
    for _ in range(2):
        data = load_data(hugging / "one", memory_limit=0)
        assert isinstance(data.images, np.memmap)
        np.testing.assert_array_equal(data.take(), PIXELS)
        assert data.factors["pet"].tolist() == [0, 1, 0, 1, 0, 1]


def test_hugging_face_without_datasets_names_the_extra(
    hugging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"unmingle\[datasets\]"):
        load_data(hugging / "one")


def test_a_data_set_saved_by_datasets_itself(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "caption": datasets.Value("string"),
            "score": datasets.Value("float32"),
        }
    )
    columns = {
        "image": [Image.fromarray(pixels) for pixels in PIXELS],
        "label": [0, 1, 1, 0, 1, 0],
        "caption": list("abcdef"),
        "score": [0.5] * 6,
    }
    made = datasets.Dataset.from_dict(columns, features=features)
    made.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(str(tmp_path / "parts"))
    data = load_data(tmp_path / "one")
    np.testing.assert_array_equal(data.take(), PIXELS)
    assert data.factors["label"].tolist() == [0, 1, 1, 0, 1, 0]
    assert data.value_names["label"] == ("cat", "dog")
    assert list(data.continuous) == ["score"]
    part = load_data(tmp_path / "parts", part="test", memory_limit=0, factors=["caption"])
    assert part.value_names["caption"] == tuple("abcdef")


# Catalogue


def test_catalogue_names_take_their_own_options() -> None:
    data = load_data("shapes3d", rows=12, size=32, seed=1)
    assert (len(data), data.shape) == (12, (32, 32, 3))
    assert load_data("shapes3d", rows=3, size=16, channels=1, name="grey").shape == (16, 16, 1)
    with pytest.raises(ConfigError, match=r"'shapes3d': .*'row'"):
        load_data("shapes3d", row=12)


def test_a_folder_may_be_called_like_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits" / "a").mkdir(parents=True)
    Image.fromarray(PIXELS[0]).save(tmp_path / "digits" / "a" / "x.png")
    monkeypatch.chdir(tmp_path)
    assert len(load_data("./digits")) == 1
    assert len(load_data(Path("digits"))) == 1
