"""Reading folders of images: real files, good and bad."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmingle.data import load_data, pixels
from unmingle.errors import ConfigError, DataError


def noise(height: int = 20, width: int = 24, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def put(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


def flat(value: int, size: int = 20) -> np.ndarray:
    return np.full((size, size), value, np.uint8)


def only(folder: Path, **options: object) -> np.ndarray:
    """The single image of a folder."""
    data = load_data(folder, **options)  # type: ignore[arg-type]
    assert len(data) == 1
    return data.take()[0]


# Folders


def test_class_folders_are_the_class(tmp_path: Path) -> None:
    for value, name in enumerate(["b/2.png", "a/1.png", "b/10.png", "a/0.png"]):
        put(tmp_path / "pets" / name, flat(value))
    data = load_data(tmp_path / "pets")
    assert data.files is not None
    assert data.files.tolist() == ["a/0.png", "a/1.png", "b/10.png", "b/2.png"]
    assert data.take()[:, 0, 0, 0].tolist() == [3, 1, 2, 0]
    assert data.factors["class"].tolist() == [0, 0, 1, 1]
    assert data.value_names["class"] == ("a", "b")
    assert data.ids.tolist() == [0, 1, 2, 3]
    assert (data.name, data.shape) == ("pets", (20, 20, 1))


def test_nested_folders_are_several_factors(tmp_path: Path) -> None:
    for value, name in enumerate(["ann/left", "ann/right", "bob/left"]):
        put(tmp_path / name / "x.png", flat(value))
    data = load_data(tmp_path)
    assert list(data.factors) == ["level1", "level2"]
    named = load_data(tmp_path, factors=["person", "pose"])
    assert named.factors["person"].tolist() == [0, 0, 1]
    assert named.factors["pose"].tolist() == [0, 1, 0]
    assert named.value_names["pose"] == ("left", "right")
    with pytest.raises(DataError, match=r"1 names for 2 folder levels"):
        load_data(tmp_path, factors=["person"])


def test_images_at_different_depths_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a" / "deep" / "x.png", flat(0))
    put(tmp_path / "b" / "y.png", flat(0))
    with pytest.raises(DataError, match=r"different depths, b/y.png and a/deep/x.png"):
        load_data(tmp_path)


def test_every_accepted_ending_is_read_in_any_case(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPG", "c.jpeg", "d.WebP", "e.bmp", "f.pgm"):
        put(tmp_path / "x" / name, flat(200))
    put(tmp_path / "x" / "g.tiff", flat(200))
    (tmp_path / "x" / "notes.txt").write_text("no image")
    put(tmp_path / "x" / ".hidden.png", flat(1, 99))
    put(tmp_path / ".cache" / "thumbnail.png", flat(1, 99))
    data = load_data(tmp_path)
    assert data.files is not None
    assert [name[-5] for name in data.files] == list("abcdef".replace("c", ".").replace("d", "."))
    assert np.abs(data.take().astype(int) - 200).max() <= 3


def test_images_without_class_folders_have_no_factors(tmp_path: Path) -> None:
    put(tmp_path / "x.png", flat(3))
    assert load_data(tmp_path).factors == {}
    single = load_data(tmp_path / "x.png")
    assert single.take()[0, 0, 0].tolist() == [3]
    assert single.name == "x"


def test_an_empty_folder_lists_the_endings(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"no images.*\.png, \.jpg.*\.pgm"):
        load_data(tmp_path)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    put(tmp_path / "store" / "x.png", flat(1))
    (tmp_path / "set" / "a").mkdir(parents=True)
    put(tmp_path / "set" / "a" / "y.png", flat(2))
    (tmp_path / "set" / "b").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set")
    assert load_data(tmp_path / "set").value_names["class"] == ("a", "b")


def test_mixed_sizes_name_two_files_and_the_option(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", noise(20, 24))
    put(tmp_path / "b" / "2.png", noise(30, 18))
    message = r"a/1.png is 24x20 and b/2.png is 18x30.*--size 64.*--fit"
    with pytest.raises(DataError, match=message):
        load_data(tmp_path)
    assert load_data(tmp_path, size=32).shape == (32, 32, 3)
    assert load_data(tmp_path, size=(16, 40), fit="pad").shape == (16, 40, 3)


def test_small_images_need_a_size(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", flat(9, 8))
    with pytest.raises(DataError, match=r"a/1.png: 8x8 is smaller than 16x16.*--size"):
        load_data(tmp_path)
    assert np.all(load_data(tmp_path, size=16).take() == 9)


# Kinds of pixels


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    stored = noise(20, 24)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    put(tmp_path / "a" / "x.png", stored, exif=exif)
    np.testing.assert_array_equal(only(tmp_path), np.rot90(stored, k=-1))


@pytest.mark.parametrize("size", [None, 32])
def test_exif_orientation_of_photos(tmp_path: Path, size: int | None) -> None:
    dark_top = np.zeros((128, 192, 3), np.uint8)
    dark_top[64:] = 255
    exif = Image.Exif()
    exif[0x0112] = 8  # a quarter turn anticlockwise: the stored top is shown on the left
    put(tmp_path / "a" / "x.jpg", dark_top, exif=exif)
    image = only(tmp_path, size=size)
    assert image.shape == ((192, 128, 3) if size is None else (32, 32, 3))
    middle = image.shape[1] // 2
    assert image[:, : middle - 4].max() < 30
    assert image[:, middle + 4 :].min() > 225


GREYS = np.array([0, 128, 129, 257, 300, 32896, 65278, 65535], np.uint16)
EIGHT = [0, 0, 1, 1, 1, 128, 254, 255]


def sixteen() -> np.ndarray:
    return np.repeat(np.repeat(GREYS, 3)[None], 20, axis=0)


def test_sixteen_bit_png_is_scaled(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png", Image.fromarray(sixteen()))
    image = only(tmp_path)
    assert image.shape == (20, 24, 1)
    assert image[0, ::3, 0].tolist() == EIGHT


def test_sixteen_bit_pgm_is_scaled(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    head = b"P5\n24 20\n65535\n"
    (tmp_path / "a" / "x.pgm").write_bytes(head + sixteen().astype(">u2").tobytes())
    assert only(tmp_path)[0, ::3, 0].tolist() == EIGHT


def palette() -> Image.Image:
    image = Image.fromarray(np.indices((20, 20))[1].astype(np.uint8) % 2, mode="P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    return image


def test_palettes_become_colours(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png", palette())
    assert only(tmp_path)[5, :2].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_transparent_palettes_get_alpha(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png", palette(), transparency=0)
    assert only(tmp_path)[5, :2].tolist() == [[10, 20, 30, 0], [200, 100, 50, 255]]
    # Without alpha, what is transparent shows white.
    assert only(tmp_path, channels=3)[5, :2].tolist() == [[255, 255, 255], [200, 100, 50]]
    assert only(tmp_path, channels=1)[5, 0].tolist() == [255]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.jpg", Image.new("CMYK", (24, 20), (0, 255, 255, 0)))
    assert np.abs(only(tmp_path)[10, 10].astype(int) - [255, 0, 0]).max() <= 4


def test_two_colour_images_are_black_and_white(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png", Image.fromarray(flat(0)).convert("1"))
    put(tmp_path / "b" / "y.png", Image.fromarray(flat(255)).convert("1"))
    assert load_data(tmp_path).take()[:, 3, 3, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("modes", "channels"),
    [
        (("L", "L"), 1),
        (("L", "LA"), 2),
        (("L", "RGB"), 3),
        (("LA", "RGB"), 4),
        (("P", "RGBA"), 4),
    ],
)
def test_mixed_kinds_become_the_richest(
    tmp_path: Path, modes: tuple[str, str], channels: int
) -> None:
    for number, mode in enumerate(modes):
        put(tmp_path / "a" / f"{number}.png", Image.fromarray(flat(80)).convert(mode))
    images = load_data(tmp_path).take()
    colours = {1: [80], 2: [80, 255], 3: [80] * 3, 4: [80, 80, 80, 255]}[channels]
    assert images[:, 9, 9].tolist() == [colours, colours]


def test_channels_choose_the_kind(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png", np.full((20, 20, 3), [255, 0, 0], np.uint8))
    assert only(tmp_path, channels=1)[0, 0].tolist() == [76]  # 0.299 * 255
    assert only(tmp_path, channels=4)[0, 0].tolist() == [255, 0, 0, 255]
    with pytest.raises(ConfigError, match=r"channels=5"):
        load_data(tmp_path, channels=5)


# Size


def test_crop_keeps_the_middle(tmp_path: Path) -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = noise(20, 20)
    put(tmp_path / "a" / "x.png", image)
    np.testing.assert_array_equal(only(tmp_path, size=20, fit="crop"), image[:, 10:30])
    half = only(tmp_path, size=16, fit="crop")
    expected = Image.fromarray(image[:, 10:30]).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.abs(half.astype(int) - np.asarray(expected)).mean() < 12


def test_pad_fills_with_the_colour_of_the_border(tmp_path: Path) -> None:
    image = noise(20, 40)
    image[0] = image[-1] = image[:, 0] = image[:, -1] = [1, 2, 3]
    put(tmp_path / "a" / "x.png", image)
    padded = only(tmp_path, size=40, fit="pad")
    np.testing.assert_array_equal(padded[10:30], image)
    assert np.all(padded[:10] == [1, 2, 3])
    assert np.all(padded[30:] == [1, 2, 3])


def test_resize_averages_what_it_shrinks(tmp_path: Path) -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    put(tmp_path / "a" / "x.png", checks)
    image = only(tmp_path, size=16)[2:-2, 2:-2]
    assert np.abs(image.astype(int) - 127).max() <= 2


def test_large_photos_are_shrunk_like_whole_ones(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 600)[None, :, None] * np.array([1, 0.5, 0.2])
    photo = np.repeat(ramp, 400, axis=0).astype(np.uint8)
    put(tmp_path / "a" / "x.jpg", photo, quality=95)
    whole = Image.fromarray(photo).resize((32, 32), Image.Resampling.LANCZOS)
    image = only(tmp_path, size=32)
    assert np.abs(image.astype(int) - np.asarray(whole)).max() <= 4


def test_sizes_apply_to_npz_too(tmp_path: Path) -> None:
    images = np.stack([noise(20, 40, 4, seed) for seed in range(3)])
    np.savez(tmp_path / "x.npz", images=images)
    cropped = load_data(tmp_path / "x.npz", size=20, fit="crop").take()
    np.testing.assert_array_equal(cropped, images[:, :, 10:30])
    assert load_data(tmp_path / "x.npz", size=(16, 18), channels=2).shape == (16, 18, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 8},
        {"size": (64, 64, 3)},
        {"size": 32.5},
        {"fit": "stretch", "size": 32},
        {"fit": "crop"},
        {"memory_limit": "lots"},
        {"pixel_limit": 0},
        {"sise": 64},
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    put(tmp_path / "a" / "x.png", flat(1))
    with pytest.raises(ConfigError, match=next(iter(options))):
        load_data(tmp_path, **options)  # type: ignore[arg-type]


# Bad files


def damaged(tmp_path: Path) -> Path:
    """Five good images, whose grey says their class, and three damaged ones."""
    root = tmp_path / "mixed"
    for number in range(5):
        put(root / "ab"[number % 2] / f"{number}.png", flat(number % 2))
    whole = put(tmp_path / "whole.png", noise(200, 200)).read_bytes()
    (root / "a" / "0half.png").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "2text.jpg").write_text("this is no image")
    (root / "b" / "9empty.bmp").write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a/0half.png", "truncated"), ("b/2text.jpg", "not an image"), ("b/9empty.bmp", "empty")],
)
def test_damaged_images_are_named(tmp_path: Path, name: str, reason: str) -> None:
    root = damaged(tmp_path)
    for bad in ("a/0half.png", "b/2text.jpg", "b/9empty.bmp"):
        if bad != name:
            (root / bad).unlink()
    with pytest.raises(DataError, match=rf"{name}: cannot be read: .*{reason}.*--skip-bad"):
        load_data(root, size=20)


@pytest.mark.parametrize("limit", ["1GB", 0])
def test_damaged_images_are_skipped_and_listed(tmp_path: Path, limit: int | str) -> None:
    root = damaged(tmp_path)
    for _ in range(2):  # the second time from the file, where there is one
        with pytest.warns(UserWarning, match=r"skipped 3 of 8.*0half.png"):
            data = load_data(root, size=20, skip_bad=True, memory_limit=limit, channels=1)
        assert len(data) == 5
        assert data.files is not None
        assert data.files.tolist() == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png"]
        assert data.take()[:, 0, 0, 0].tolist() == data.factors["class"].tolist() == [0, 0, 0, 1, 1]
        listed = sorted(entry.split(":")[0] for entry in data.skipped)
        assert listed == ["a/0half.png", "b/2text.jpg", "b/9empty.bmp"]
        assert isinstance(data.images, np.memmap) == (limit == 0)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_text("no image")
    with pytest.raises(DataError, match=r"none of the 1 images can be read"):
        load_data(tmp_path, skip_bad=True)


def huge_png(path: Path, side: int) -> None:
    """A PNG whose header claims side x side pixels, and that holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_bombs_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    huge_png(tmp_path / "a" / "bomb.png", side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=r"bomb.png.*pixel limit of 64,000,000"):
            load_data(tmp_path, size=64)


def test_decoded_files_go_where_something_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "set/a/0.png", flat(9))
    monkeypatch.setenv("UNMINGLE_CACHE", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    data = load_data(tmp_path / "set", memory_limit=0)
    assert len(data) == 1 and not (tmp_path / ".set.unmingle").exists()
    assert len(list((tmp_path / "home/decoded").glob("*.npy"))) == 1


def test_the_pixel_limit_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a" / "x.png", flat(1, 32))
    with pytest.raises(DataError, match=r"32x32 is more than the pixel limit of 1,023"):
        load_data(tmp_path, pixel_limit=1023)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert len(load_data(tmp_path, pixel_limit=1024)) == 1
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_changed_folder_is_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    for number in range(3):
        put(root / "a" / f"{number}.png", flat(number))
    first = load_data(root, memory_limit=0)
    assert isinstance(first.images, np.memmap)
    with monkeypatch.context() as patch:
        patch.delattr(pixels, "decode_file")
        patch.setattr("unmingle.data.folders.decode_file", None)
        assert load_data(root, memory_limit=0).take()[:, 0, 0, 0].tolist() == [0, 1, 2]
    put(root / "b" / "0.png", flat(7))
    again = load_data(root, memory_limit=0)
    assert again.take()[:, 0, 0, 0].tolist() == [0, 1, 2, 7]
    assert again.factors["class"].tolist() == [0, 0, 0, 1]
