"""MNIST, Fashion-MNIST, KMNIST, QMNIST: tiny files of the official format, byte for byte."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

import unmingle as um
from unmingle.data.catalogue import named_set
from unmingle.data.sets import _idx
from unmingle.errors import DataError

COUNTS = {"train": 5, "t10k": 3}


def idx(array: np.ndarray, code: int) -> bytes:
    """0, 0, type, rank, big-endian sides, big-endian values."""
    kind = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[code]
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return head + array.astype(kind).tobytes()


def pictures(count: int, first: int) -> np.ndarray:
    """28x28, black but for pixel (2, row) = 100 + row number."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[np.arange(count), 2, np.arange(count)] = 100 + first + np.arange(count)
    return images


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    parts = {
        "train-images-idx3-ubyte.gz": idx(pictures(5, 0), 8),
        "train-labels-idx1-ubyte.gz": idx(np.array([3, 1, 4, 1, 5]), 8),
        "t10k-images-idx3-ubyte": idx(pictures(3, 5), 8),
        "t10k-labels.idx1-ubyte": idx(np.array([9, 2, 6]), 8),
    }
    for name, content in parts.items():
        (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return folder


def test_every_type_of_idx_is_read_in_big_endian(tmp_path):
    values = np.array([[1, 2, 3], [4, 5, 127]])
    for code in (8, 9, 11, 12, 13, 14):
        file = tmp_path / f"x{code}"
        file.write_bytes(idx(values, code))
        found = _idx.read_idx(file, 2)
        assert found.tolist() == values.tolist() and found.dtype.isnative
    # By hand: 258 = 0x0102 as a big-endian int32.
    file.write_bytes(b"\0\0\x0c\x01" + b"\0\0\0\x01" + b"\0\0\x01\x02")
    assert _idx.read_idx(file, 1).tolist() == [258]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08\x03",
        b"\0\0\x07\x01\0\0\0\x01x",
        b"\0\0\x08\x02\0\0\0\x01\0\0\0\x01x",
        b"\0\x01\x08\x01\0\0\0\x01x",
        b"\0\0\x08\x01\0\0\0\x02x",
        b"\0\0\x08\x01\0\0\0\x01xy",
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="no whole IDX file"):
        _idx.read_idx(tmp_path / "x", 1)
    (tmp_path / "x.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="no whole IDX file"):
        _idx.read_idx(tmp_path / "x.gz", 1)


@pytest.mark.parametrize(
    ("name", "factor", "third"),
    [
        ("mnist", "digit", "4"),
        ("fashion-mnist", "class", "Coat"),
        ("kmnist", "character", "na"),
    ],
)
def test_pixels_labels_and_order(mnist, name, factor, third):
    data = um.load_data(name, folder=mnist)
    assert len(data) == 8 and data.shape == (28, 28, 1) and data.name == name
    for row in range(8):
        column = row if row < 5 else row - 5
        assert data.images[row, 2, column, 0] == 100 + row
        assert data.images[row].astype(int).sum() == 100 + row
    assert data.factor(factor).tolist() == [3, 1, 4, 1, 5, 9, 2, 6]
    assert data.cardinality(factor) == 10 and data.names(factor)[4] == third
    some = um.load_data(name, folder=mnist, rows=[6, 0], size=32)
    assert some.ids.tolist() == [6, 0] and some.shape == (32, 32, 1)
    assert some.factor(factor).tolist() == [2, 3]
    drawn = um.load_data(name, folder=mnist, rows=4, seed=3)
    np.testing.assert_array_equal(drawn.images, data.images[drawn.ids])


def test_the_official_split_goes_by_the_row(mnist):
    data = um.load_data("mnist", folder=mnist)
    data.ids = np.array([0, 59_999, 60_000, 2, 69_999, 1, 3, 4])
    train, test = data.split(protocol="official")
    assert test.ids.tolist() == [60_000, 69_999] and len(train) == 6
    with pytest.raises(DataError, match="no row to hold out"):
        data.select([0, 1]).split(protocol="official")


def test_missing_and_unequal_files_are_named(mnist):
    (mnist / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(4), 8)))
    with pytest.raises(DataError, match="5 images in train-images-idx3-ubyte but 4 labels"):
        um.load_data("mnist", folder=mnist)
    (mnist / "t10k-images-idx3-ubyte").unlink()
    (mnist / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(5), 8)))
    with pytest.raises(DataError, match=r"no t10k-images-idx3-ubyte .*data get mnist"):
        um.load_data("mnist", folder=mnist)
    (mnist / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 20, 28)), 8))
    with pytest.raises(DataError, match=r"t10k.*uint8 \(3, 20, 28\)"):
        um.load_data("mnist", folder=mnist)


def write_qmnist(folder, columns=8):
    folder.mkdir(exist_ok=True)
    labels = {
        # class, series, writer, digit of the writer, NIST class, global index, duplicate, unused
        "train": [[7, 0, 12, 3, 37, 100, 0, 0], [1, 4, 2105, 0, 31, 70_000, 0, 0]],
        "test": [[2, 1, 301, 9, 32, 5, 0, 0], [7, 0, 12, 4, 37, 101, 0, 0]],
    }
    for at, (part, rows) in enumerate(labels.items()):
        table = np.array(rows)[:, :columns]
        images = idx(pictures(2, 2 * at), 8)
        (folder / f"qmnist-{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        name = f"qmnist-{part}-labels-idx2-int.gz"
        (folder / name).write_bytes(gzip.compress(idx(table, 12)))
    return folder


def test_qmnist_has_writers(tmp_path):
    folder = write_qmnist(tmp_path / "qmnist")
    # The header that its description gives: 0x0c02 = 3074.
    raw = gzip.decompress((folder / "qmnist-train-labels-idx2-int.gz").read_bytes())
    assert np.frombuffer(raw, ">i4", 3).tolist() == [3074, 2, 8]
    data = um.load_data("qmnist", folder=folder)
    assert data.factor("digit").tolist() == [7, 1, 2, 7]
    assert [data.names("writer")[code] for code in data.factor("writer")] == [
        "12", "2105", "301", "12",
    ]  # fmt: skip
    assert data.names("writer") == ("12", "301", "2105")  # by number, not by letter
    assert [data.names("series")[code] for code in data.factor("series")] == ["0", "4", "1", "0"]
    assert data.images[2, 2, 0, 0] == 102
    one = um.load_data("qmnist", folder=folder, rows=[1])
    assert one.factor("writer").tolist() == [2] and one.names("writer") == data.names("writer")
    with pytest.raises(DataError, match="7 columns of labels, expected 8"):
        um.load_data("qmnist", folder=write_qmnist(folder, 7))


def test_qmnist_splits():
    images = np.zeros((4, 16, 16, 1), np.uint8)
    data = um.FactorDataset(images=images, ids=[5, 60_000, 69_999, 70_000])
    entry = named_set("qmnist")
    assert [part.ids.tolist() for part in entry.split(data, "official")] == [
        [5], [60_000, 69_999, 70_000],
    ]  # fmt: skip
    assert [part.ids.tolist() for part in entry.split(data, "mnist")] == [[5], [60_000, 69_999]]
    with pytest.raises(DataError, match="rows 0 to 69,999, and none was read"):
        entry.split(data.select([3]), "mnist")
