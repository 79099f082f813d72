"""What the named sets share: folders, options, named splits, pictures, large arrays, downloads."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmingle.data.dataset import FactorDataset
from unmingle.data.options import read_options
from unmingle.data.sets import _base, _download, _items
from unmingle.data.sets._base import Download, Experiment, NamedSet, Protocol
from unmingle.errors import ConfigError, DataError


def read(folder, options, *, rows=None, seed=0, colour="red", broken=False, count=1):
    images = np.zeros((6, 16, 16, 1), np.uint8)
    return FactorDataset(images=images, factors={"kind": [0, 0, 1, 1, 2, 2]}, name=colour)


def named(**changes):
    about = {
        "name": "toy-set",
        "title": "Toys",
        "summary": "six toys",
        "rows": 6,
        "shape": "16x16x1",
        "factors": {"kind": 3},
        "licence": "MIT",
        "paper": "nobody",
        "url": "https://toys.example/ask",
        "layout": "toys.bin",
        "read": read,
        "splits": {"two": Protocol("", "", _base.by_values("kind", (2,), "the split two"))},
    }
    return NamedSet(**(about | changes))


# Folders and options


def test_the_folder_is_the_one_given_or_below_the_variable_or_in_the_cache(tmp_path, monkeypatch):
    entry = named()
    monkeypatch.delenv("UNMINGLE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert entry.place() == tmp_path / ".cache/unmingle/data/toy-set"
    monkeypatch.setenv("UNMINGLE_DATA", str(tmp_path / "sets"))
    assert entry.place() == tmp_path / "sets/toy-set"
    assert entry.place("~/mine") == tmp_path / "mine"
    assert not entry.here()
    entry.place().mkdir(parents=True)
    (entry.place() / ".hidden").touch()
    assert not entry.here()
    (entry.place() / "toys.bin").touch()
    assert entry.here() and not entry.here(tmp_path / "other")


def test_an_archive_that_is_not_unpacked_is_not_the_set(tmp_path):
    archive = Download("http://x/a.tar", "a.tar", md5="0" * 32, unpack=True)
    entry = named(downloads=(archive,))
    (tmp_path / "a.tar").touch()
    assert not entry.here(tmp_path) and named().here(tmp_path)
    with pytest.raises(DataError, match=r"there is no file in .*data get toy-set downloads it"):
        entry.load(read_options(), tmp_path)
    (tmp_path / "toys.bin").touch()
    assert entry.here(tmp_path)


def test_what_is_missing_is_told_with_how_to_get_it(tmp_path):
    entry = named()
    with pytest.raises(DataError) as caught:
        entry.load(read_options(), tmp_path / "none")
    message = str(caught.value)
    for word in (str(tmp_path / "none"), "toys.example", "describe toy-set", "UNMINGLE_DATA"):
        assert word in message
    with pytest.raises(DataError, match=r"no a\.bin or b\.bin in .*data get toy-set"):
        got = named(downloads=(Download("http://x/a", "a", md5="0" * 32),))
        _base.need(got, tmp_path, "a.bin", "b.bin")
    (tmp_path / "b.bin").touch()
    assert _base.need(entry, tmp_path, "a.bin", "b.bin").name == "b.bin"


def test_own_options_are_known_and_others_refused(tmp_path):
    entry = named()
    (tmp_path / "toys.bin").touch()
    assert entry.options() == {"colour": "red", "broken": False, "count": 1}
    data = entry.load(read_options(), tmp_path, colour="blue")
    assert data.name == "blue" and data.origin == "toy-set"
    with pytest.raises(ConfigError, match=r"'toy-set': there is no option 'color'.*'colour'"):
        entry.load(read_options(), tmp_path, color="blue")
    for option, value, wanted in (
        ("broken", "no", "true or false"),
        ("broken", 1, "true or false"),
        ("colour", 2, "a text"),
        ("count", "two", "a whole number"),
        ("count", True, "a whole number"),
    ):
        with pytest.raises(ConfigError, match=f"'toy-set': {option}={value!r}: {wanted}"):
            entry.load(read_options(), tmp_path, **{option: value})
    assert len(entry.load(read_options(), tmp_path, broken=True, count=np.int64(3))) == 6


def test_a_download_has_one_hash():
    for hashes in ({}, {"md5": "0" * 32, "sha256": "0" * 64}):
        with pytest.raises(ConfigError, match="exactly one"):
            Download("http://x/a", "a", **hashes)


# Splits


def test_named_splits_and_their_errors(tmp_path):
    entry = named()
    (tmp_path / "toys.bin").touch()
    data = entry.load(read_options(), tmp_path)
    train, test = entry.split(data, "two")
    assert train.ids.tolist() == [0, 1, 2, 3] and test.ids.tolist() == [4, 5]
    with pytest.raises(ConfigError, match="no split 'too'; its named splits: two"):
        entry.split(data, "too")
    with pytest.raises(DataError, match="the split two leaves no row to hold out, of the 4 read"):
        entry.split(data.select([0, 1, 2, 3]), "two")
    with pytest.raises(DataError, match="no row to train on"):
        entry.split(data.select([4, 5]), "two")


def test_experiments_are_found_by_their_method():
    first, second = (Experiment("m", {"a": number}) for number in (1, 2))
    apply = _base.by_values("kind", (2,), "x")
    splits = {
        "plain": Protocol("", "", apply),
        "one": Protocol("", "", apply, experiments=(Experiment("other"), first)),
        "two": Protocol("", "", apply, experiments=(second,)),
    }
    entry = named(splits=splits)
    assert entry.experiment("m") == entry.experiment("m", "one") == ("one", first)
    assert entry.experiment("m", "two") == ("two", second)
    assert entry.experiment("m", "plain") is entry.experiment("n") is None


def test_drawn_values_depend_on_the_number_of_values_alone():
    images = np.zeros((60, 16, 16, 1), np.uint8)
    data = FactorDataset(images=images, factors={"kind": np.arange(60) % 20})
    split = _base.by_drawn_values("kind", 5, "x")
    train, test = split(data)
    held = set(test.factor("kind").tolist())
    assert len(held) == 5 and len(test) == 15 and not held & set(train.factor("kind").tolist())
    assert held != {0, 1, 2, 3, 4}
    some = data.select(np.arange(59, 19, -1))
    assert set(split(some)[1].factor("kind").tolist()) == held


# Pictures


def write_pictures(folder: Path) -> list[str]:
    """Four pictures of 40x20; the left half is filled with 10 n, the right with 10 n + 5."""
    (folder / "a").mkdir(parents=True)
    files = []
    for number in range(4):
        pixels = np.full((20, 40), 10 * number, np.uint8)
        pixels[:, 20:] += 5
        files.append(f"a/{number}.png")
        Image.fromarray(pixels).save(folder / files[-1])
    return files


def pictures(folder, files, boxes=None, **options):
    return _items.read_picture_files(
        folder,
        files,
        read_options(**options),
        name="pictures",
        factors={"place": np.arange(len(files))},
        continuous={"amount": np.arange(len(files)) / 2},
        ids=10 + np.arange(len(files)),
        boxes=boxes,
    )


def test_listed_pictures_with_boxes(tmp_path):
    files = write_pictures(tmp_path)
    data = pictures(tmp_path, files[::-1])
    assert data.shape == (20, 40, 1) and data.images[:, 0, 0, 0].tolist() == [30, 20, 10, 0]
    assert data.files.tolist() == files[::-1] and data.ids.tolist() == [10, 11, 12, 13]
    twice = [files[1], files[1], files[3]]
    halves = [(0, 0, 20, 20), (20, 0, 40, 20), (18, 2, 38, 18)]
    with pytest.raises(DataError, match="different sizes"):
        pictures(tmp_path, twice, halves)
    data = pictures(tmp_path, twice[:2], halves[:2])
    assert data.shape == (20, 20, 1)
    assert (data.images[0] == 10).all() and (data.images[1] == 15).all()
    small = pictures(tmp_path, twice, halves, size=16)
    assert small.shape == (16, 16, 1) and (small.images[1] == 15).all()


def test_a_box_outside_the_picture_or_a_bad_file_is_named_or_skipped(tmp_path):
    files = write_pictures(tmp_path)
    boxes = [(0, 0, 20, 20), (21, 0, 41, 20), (20, 0, 40, 20)]
    with pytest.raises(DataError, match=r"1\.png.*\(21, 0, 41, 20\).*40x20"):
        pictures(tmp_path, [files[0], files[1], files[1]], boxes)
    with pytest.warns(UserWarning, match=r"skipped 1 of 3: a/1\.png"):
        data = pictures(tmp_path, [files[0], files[1], files[1]], boxes, skip_bad=True)
    # The file comes twice, and only the row whose box is wrong is left out.
    assert data.ids.tolist() == [10, 12] and data.factor("place").tolist() == [0, 2]
    assert data.continuous["amount"].tolist() == [0, 1] and (data.images[1] == 15).all()
    (tmp_path / files[2]).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a/2\.png"):
        pictures(tmp_path, files)
    with pytest.raises(DataError, match=r"x\.png is listed and not there"):
        pictures(tmp_path, ["x.png"])
    with pytest.raises(DataError, match="no picture is left"):
        pictures(tmp_path, [])


def test_decoded_pictures_are_used_again_until_a_file_changes(tmp_path, monkeypatch):
    folder = tmp_path / "set"
    files = write_pictures(folder)
    first = pictures(folder, files, memory_limit=0)
    assert isinstance(first.backing()[0], np.memmap)
    calls = []
    whole = _items.read_pictures.__globals__["decode_file"]
    monkeypatch.setitem(
        _items.read_pictures.__globals__,
        "decode_file",
        lambda path, *rest: calls.append(path) or whole(path, *rest),
    )
    again = pictures(folder, files, memory_limit=0)
    assert not calls and again.fingerprint() == first.fingerprint()
    fewer = pictures(folder, files[:2], memory_limit=0)
    assert len(calls) == 2 and len(fewer) == 2
    Image.fromarray(np.full((20, 40), 99, np.uint8)).save(folder / files[0])
    assert pictures(folder, files, memory_limit=0).images[0, 0, 0, 0] == 99


# Large arrays


@pytest.mark.parametrize("limit", ["1GB", 0])
def test_rows_of_blocks_come_in_the_order_asked_for(tmp_path, limit):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/x.bin").write_bytes(b"x")
    whole = np.arange(10, dtype=np.uint8)[:, None, None] + np.zeros((16, 18), np.uint8)
    taken = []

    def blocks():
        for start in range(0, 10, 3):
            taken.append(start)
            yield whole[start : start + 3]

    def rows(*numbers, **options):
        options = read_options(memory_limit=limit, **options)
        chosen = np.array(numbers)
        return _items.read_image_blocks(
            tmp_path / "set", ["x.bin"], (16, 18), blocks, chosen, options
        )

    assert np.asarray(rows(7, 0, 4))[:, 3, 3, 0].tolist() == [7, 0, 4]
    assert taken == [0, 3, 6]  # what follows the last row wanted is not read
    assert np.asarray(rows(*range(10))).shape == (10, 16, 18, 1)
    small = rows(9, 2, size=16, channels=3)
    assert small.shape == (2, 16, 16, 3) and np.asarray(small)[:, 0, 0, 2].tolist() == [9, 2]


# Downloads


CONTENT = bytes(range(256)) * 9000  # more than one piece
SHA = hashlib.sha256(CONTENT).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """A folder, and the address at which it is served."""
    place = tmp_path / "site"
    place.mkdir()
    handler = functools.partial(Quiet, directory=str(place))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield place, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_is_checked_and_put_in_place(site, tmp_path):
    place, url = site
    (place / "x.bin").write_bytes(CONTENT)
    folder = tmp_path / "new/deep"
    for hashes in ({"sha256": SHA}, {"md5": hashlib.md5(CONTENT).hexdigest()}):
        file = _download.fetch_file(Download(f"{url}/x.bin", "x.bin", **hashes), folder)
        assert file.read_bytes() == CONTENT and [p.name for p in folder.iterdir()] == ["x.bin"]
        (place / "x.bin").unlink(missing_ok=True)  # the second time nothing is fetched
    copy = Download((folder / "x.bin").as_uri(), "copy.bin", sha256=SHA, bytes=len(CONTENT))
    assert _download.fetch_file(copy, folder).read_bytes() == CONTENT


def test_wrong_downloads_leave_nothing_behind_and_touch_nothing(site, tmp_path):
    place, url = site
    (place / "x.bin").write_bytes(CONTENT[:-1])
    folder = tmp_path / "new"
    item = Download(f"{url}/x.bin", "x.bin", sha256=SHA)
    with pytest.raises(DataError, match=r"x\.bin: the SHA-256 of what came is .*thrown away"):
        _download.fetch_file(item, folder)
    gone = Download(f"{url}/y.bin", "y.bin", md5="0" * 32)
    with pytest.raises(DataError, match=r"y\.bin could not be downloaded .*404.* by hand"):
        _download.fetch_file(gone, folder)
    nowhere = Download("http://127.0.0.1:9/x", "z.bin", md5="0" * 32)
    with pytest.raises(DataError, match=r"z\.bin could not be downloaded"):
        _download.fetch_file(nowhere, folder)
    assert not list(folder.iterdir())
    (folder / "x.bin").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"x\.bin: its SHA-256 is .*: remove it"):
        _download.fetch_file(item, folder)
    assert (folder / "x.bin").read_bytes() == b"mine"
    huge = Download(f"{url}/x.bin", "huge.bin", sha256=SHA, bytes=10**18)
    with pytest.raises(DataError, match=r"of disk"):
        _download.fetch_file(huge, folder)
    endless = Download((place / "x.bin").as_uri(), "endless.bin", sha256=SHA, bytes=1000)
    with pytest.raises(DataError, match=r"x\.bin: more came than the published file has"):
        _download.fetch_file(endless, folder)
    assert [path.name for path in folder.iterdir()] == ["x.bin"]


def test_files_of_options_are_fetched_only_when_asked_for(tmp_path):
    (tmp_path / "x.bin").write_bytes(CONTENT)
    url = (tmp_path / "x.bin").as_uri()
    items = (Download(url, "a", sha256=SHA), Download(url, "b", sha256=SHA, extra=True))
    entry, folder = named(downloads=items), tmp_path / "set"
    assert [file.name for file in _download.fetch(entry, folder)] == ["a"]
    assert [file.name for file in _download.fetch(entry, folder, extra=True)] == ["a", "b"]
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]


def test_a_download_that_is_stopped_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "x.bin").write_bytes(CONTENT)
    folder = tmp_path / "new"
    item = Download((tmp_path / "x.bin").as_uri(), "x.bin", sha256=SHA)
    pieces = _download._pieces

    def stopped_by(error):
        def some(stream):
            yield next(pieces(stream))
            # What is half written does not count as the set's files, and is nobody else's.
            assert not named().here(folder) and list(folder.iterdir())
            raise error

        monkeypatch.setattr(_download, "_pieces", some)

    folder.mkdir()
    for name, age in ((".x.bin.tmp-1", 10**6), (".x.bin.tmp-2", 0)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    stopped_by(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        _download.fetch_file(item, folder)
    # That of a killed process goes as well, one that may still be written stays.
    assert [path.name for path in folder.iterdir()] == [".x.bin.tmp-2"]
    (folder / ".x.bin.tmp-2").unlink()
    stopped_by(OSError(28, "No space left on device"))
    with pytest.raises(DataError, match="No space left"):
        _download.fetch_file(item, folder)
    assert not list(folder.iterdir())
    archive = tar(tmp_path / "a.tar", {"a": b"a"}, "w")
    with pytest.raises(DataError, match=r"cannot be unpacked into .*No space left"):
        _download.unpack(archive, folder)
    assert not list(folder.iterdir())


def tar(path: Path, entries: dict[str, bytes | tarfile.TarInfo], mode="w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                archive.addfile(info)
    return path


def test_archives_are_unpacked_and_existing_files_stay(tmp_path):
    entries = {"data/cars/a.txt": b"a", "data/b.bin": CONTENT}
    for archive in (
        tar(tmp_path / "a.tar.gz", entries),
        tar(tmp_path / "a.tar", entries, "w"),
    ):
        out = tmp_path / f"out-{archive.suffix}"
        (out / "data/cars").mkdir(parents=True)
        (out / "data/cars/a.txt").write_bytes(b"mine")
        _download.unpack(archive, out)
        assert (out / "data/b.bin").read_bytes() == CONTENT
        assert (out / "data/cars/a.txt").read_bytes() == b"mine"
        assert sorted(p.name for p in out.rglob("*") if p.is_file()) == ["a.txt", "b.bin"]


def member(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_unsafe_archives_are_refused(tmp_path):
    out = tmp_path / "deep/out"
    for name in ("../x", "/nowhere/x", "a/../../x", "..\\x", "C:/x"):
        archive = tar(tmp_path / "a.tar.gz", {name: b"x"})
        with pytest.raises(DataError, match="outside"):
            _download.unpack(archive, out)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        archive = tar(tmp_path / "l.tar.gz", {"l": member("l", kind)})
        with pytest.raises(DataError, match="l is a link"):
            _download.unpack(archive, out)
    assert not list(tmp_path.glob("x")) and not out.exists()


def test_too_large_or_damaged_archives_are_refused(tmp_path):
    out = tmp_path / "out"
    archive = tar(tmp_path / "a.tar.gz", {"a": bytes(1_500_000), "b": bytes(1_500_000)})
    with pytest.raises(DataError, match="more than 2 MB"):
        _download.unpack(archive, out, most=2_000_000)
    assert [path.name for path in out.iterdir()] == ["a"]
    (out / "a").unlink()
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DataError, match="damaged"):
        _download.unpack(archive, out)
    assert not [path for path in out.rglob("*") if path.is_file()]
