"""Memory and disk limits, and the file that decoded images are kept in."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from unmingle.data import load_data, pixels, storage
from unmingle.data.files import write_npz
from unmingle.errors import ConfigError, DataError

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (17, 17),
        ("17", 17),
        ("4GB", 4_000_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("500mb", 500_000_000),
        ("2k", 2000),
        (0, 0),
    ],
)
def test_sizes_are_parsed(text: int | str, count: int) -> None:
    assert storage.parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "four", "-1", "4XB", "GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="memory_limit"):
        storage.parse_bytes(text)


def test_sizes_for_people() -> None:
    assert [storage.format_bytes(n) for n in (7, 1234, 312_000_000, 5_900_000_000)] == [
        "7 B",
        "1.23 kB",
        "312 MB",
        "5.9 GB",
    ]


def test_free_memory_is_within_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    total = storage.total_memory()
    assert 2**20 < storage.free_memory() < total < 2**46
    assert storage.total_memory() == total  # whatever was allocated meanwhile
    said = {"memory.max": "5000000", "memory.stat": "anon 1000000\nfile 2000000"}
    monkeypatch.setattr(storage, "_cgroup", said.get)
    assert (storage.free_memory(), storage.total_memory()) == (4_000_000, 5_000_000)


def test_memory_is_checked_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "free_memory", lambda: 1000)
    storage.check_memory(1000, "codes")
    with pytest.raises(DataError, match=r"codes needs 1.5 kB of memory and 1 kB are free"):
        storage.check_memory(1500, "codes")


def test_disk_is_checked_where_the_folder_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(10**12, 0, 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    storage.check_disk(tmp_path / "not" / "yet", 10**8, "it")
    assert asked == [tmp_path]
    with pytest.raises(
        DataError, match=r"it needs 1.07 GB of disk in .*yet and 1 GB are free; try"
    ):
        storage.check_disk(tmp_path / "not" / "yet", 10**9, "it", "try")


# The cache


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 20, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, factor_x=np.arange(9) % 3)
    return tmp_path / "set.npz"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_larger_than_the_limit_goes_to_a_file(source: Path, tmp_path: Path) -> None:
    plain = load_data(source)
    assert type(plain.images) is np.ndarray
    assert files(tmp_path) == ["set.npz"]
    nbytes = 9 * 20 * 16 * 3
    assert not isinstance(load_data(source, memory_limit=nbytes).images, np.memmap)
    mapped = load_data(source, memory_limit=nbytes - 1, cache=tmp_path / "run")
    assert isinstance(mapped.images, np.memmap)
    np.testing.assert_array_equal(mapped.images, plain.images)
    assert mapped.fingerprint() == plain.fingerprint()
    assert [Path(name).suffix for name in files(tmp_path / "run")] == [".json", ".npy"]


def test_the_file_lies_hidden_beside_the_source_by_default(source: Path, tmp_path: Path) -> None:
    load_data(source, memory_limit=0)
    assert files(tmp_path) == [".set.npz.unmingle", "set.npz"]


def test_the_file_is_used_again_while_nothing_changed(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_data(source, memory_limit=0, size=16).take()

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(pixels, "fitted", fail)
        np.testing.assert_array_equal(load_data(source, memory_limit=0, size=16).take(), first)
        with pytest.raises(AssertionError):
            load_data(source, memory_limit=0, size=17)
        with pytest.raises(AssertionError):
            load_data(source, memory_limit=0, size=16, fit="crop")
    images = np.full((9, 20, 16, 3), 7, np.uint8)
    np.savez(source, images=images, factor_x=np.arange(9) % 3)
    os.utime(source, ns=(1, 1))
    assert np.all(load_data(source, memory_limit=0, size=16).take() == 7)


@pytest.mark.parametrize("damage", ["truncate", "manifest", "shape"])
def test_a_damaged_file_is_written_anew(source: Path, tmp_path: Path, damage: str) -> None:
    right = load_data(source).take()
    load_data(source, memory_limit=0, cache=tmp_path / "c")
    manifest, items = (tmp_path / "c" / name for name in files(tmp_path / "c"))
    if damage == "truncate":
        os.truncate(items, 300)
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:-20])
    else:
        np.save(items, np.zeros((3, 3), np.uint8))
    np.testing.assert_array_equal(
        load_data(source, memory_limit=0, cache=tmp_path / "c").take(), right
    )


def test_the_manifest_says_what_the_file_was_made_from(source: Path, tmp_path: Path) -> None:
    load_data(source, memory_limit=0, cache=tmp_path / "c", channels=1)
    manifest = json.loads((tmp_path / "c" / files(tmp_path / "c")[0]).read_text())
    assert manifest["made_from"]["source"] == str(source)
    assert manifest["made_from"]["options"]["channels"] == 1
    assert manifest["made_from"]["stamp"]["bytes"] == source.stat().st_size
    assert manifest["shape"] == [9, 20, 16, 1]


def test_a_failure_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    vectors = np.zeros((4, 5), np.float32)
    vectors[2, 3] = np.nan
    np.savez(source, vectors=vectors)
    with pytest.raises(DataError, match="row 2, column 3"):
        load_data(source, memory_limit=0, cache=tmp_path / "c")
    assert files(tmp_path / "c") == []


def test_too_little_disk_is_said_before_decoding(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 5000, 5000))
    with pytest.raises(DataError, match=r"set.npz: .*of disk.*5 kB are free.*--cache"):
        load_data(source, memory_limit=0, cache=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_cache_folder_that_cannot_be_made_is_said(source: Path, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with pytest.raises(DataError, match="cannot write the decoded file"):
        load_data(source, memory_limit=0, cache=tmp_path / "c" / "d")


def test_only_old_leftovers_are_removed(source: Path, tmp_path: Path) -> None:
    load_data(source, memory_limit=0, cache=tmp_path / "c")
    manifest, items = (tmp_path / "c" / name for name in files(tmp_path / "c"))
    old, young = (tmp_path / "c" / f"{items.name}.tmp-{n}" for n in (1, 2))
    old.write_text("")
    young.write_text("")
    os.utime(old, (0, 0))
    manifest.unlink()
    load_data(source, memory_limit=0, cache=tmp_path / "c")
    assert not old.exists()
    assert young.exists()


def test_vectors_are_kept_in_a_file_too(source: Path) -> None:
    vectors = np.arange(12, dtype=np.float64).reshape(4, 3)
    np.savez(source, vectors=vectors)
    data = load_data(source, memory_limit=0)
    assert isinstance(data.vectors, np.memmap)
    assert data.vectors.dtype == np.float32
    np.testing.assert_array_equal(data.vectors, vectors)


def test_a_mapped_selection_is_saved_in_pieces(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(source, memory_limit=0).select([0, 2, 5, 6])
    pieces = [slice(0, 3), slice(3, 4)]
    monkeypatch.setattr("unmingle.data.files.row_blocks", lambda *_: pieces)
    write_npz(data, tmp_path / "out.npz", overwrite=False, compress=True)
    with np.load(tmp_path / "out.npz") as stored:
        np.testing.assert_array_equal(stored["images"], data.take())


def test_arrays_need_a_folder_for_their_file(tmp_path: Path) -> None:
    images = np.zeros((3, 20, 20, 1), np.uint8)
    with pytest.raises(DataError, match=r"--cache"):
        load_data({"images": images}, size=16, memory_limit=0)
    data = load_data({"images": images}, size=16, memory_limit=0, cache=tmp_path)
    assert isinstance(data.images, np.memmap)
    # Arrays carry no dates, so a change could not be noticed: the file is written each time.
    again = load_data({"images": images + 9}, size=16, memory_limit=0, cache=tmp_path)
    assert np.all(again.take() == 9)
