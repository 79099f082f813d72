"""Reading videos: with PyAV where it is installed, and with a stand-in for it everywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unmingle.data import load_data
from unmingle.errors import ConfigError, DataError, MissingExtraError


class FakeFFmpegError(Exception):
    pass


class FakeContainer:
    """A "video" is a text file: height, width and a grey value a frame; "broken" ends it."""

    def __init__(self, name: str) -> None:
        words = Path(name).read_text().split()
        if words[:1] != ["video"]:
            raise FakeFFmpegError("invalid data")
        self.height, self.width = int(words[1]), int(words[2])
        self.frames = words[3:]
        stream = SimpleNamespace(height=self.height, width=self.width)
        self.streams = SimpleNamespace(video=[stream])

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        pass

    def demux(self, stream):
        yield from (SimpleNamespace(size=1) for _ in self.frames)
        yield SimpleNamespace(size=0)  # what flushes the decoder

    def decode(self, video):
        for value in self.frames:
            if value == "broken":
                raise FakeFFmpegError("damaged packet")
            pixels = np.full((self.height, self.width, 3), int(value), np.uint8)
            yield SimpleNamespace(to_image=lambda pixels=pixels: Image.fromarray(pixels))


@pytest.fixture
def fake_av(monkeypatch):
    module = ModuleType("av")
    module.open, module.FFmpegError = FakeContainer, FakeFFmpegError
    monkeypatch.setitem(sys.modules, "av", module)


def write(path: Path, *values, size=(18, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(map(str, ("video", *size, *values))))


def test_every_frame_is_an_image_and_every_video_a_value(fake_av, tmp_path):
    write(tmp_path / "b.mp4", 10, 20, 30)
    write(tmp_path / "a.MOV", 40, 50)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / ".hidden.mp4").write_text("nothing")
    data = load_data(tmp_path)
    assert data.shape == (18, 20, 3) and len(data) == 5
    assert data.images[:, 0, 0, 0].tolist() == [40, 50, 10, 20, 30]
    assert data.value_names["video"] == ("a", "b")
    assert data.factors["video"].tolist() == [0, 0, 1, 1, 1]
    assert data.continuous["frame"].tolist() == [0, 1, 0, 0.5, 1]
    assert data.class_factor("video").tolist() == [0, 0, 1, 1, 1]


def test_folders_above_are_factors(fake_av, tmp_path):
    for name in ("anna/1", "anna/2", "ben/1"):
        write(tmp_path / f"{name}.mp4", 1, 2)
    data = load_data(tmp_path, factors=["who"])
    assert data.factors["who"].tolist() == [0, 0, 0, 0, 1, 1]
    assert data.value_names["video"] == ("anna/1", "anna/2", "ben/1")
    assert list(load_data(tmp_path).factors) == ["class", "video"]


def test_frames_are_taken_evenly(fake_av, tmp_path):
    write(tmp_path / "a.mp4", *range(8))
    write(tmp_path / "b.mp4", *range(100, 104))
    data = load_data(tmp_path, rows=6)
    assert data.images[:, 0, 0, 0].tolist() == [1, 3, 5, 7, 101, 103]
    assert len(load_data(tmp_path, rows=500)) == 12
    with pytest.raises(ConfigError, match="rows=0"):
        load_data(tmp_path, rows=0)
    with pytest.raises(ConfigError, match="'row'"):
        load_data(tmp_path, row=3)


def test_size_channels_and_a_file_larger_than_memory(fake_av, tmp_path):
    write(tmp_path / "in/a.mp4", 10, 20)
    write(tmp_path / "in/b.mp4", 30, size=(40, 30))
    with pytest.raises(DataError, match=r"a\.mp4 is 20x18 and b\.mp4 is 30x40"):
        load_data(tmp_path / "in")
    data = load_data(tmp_path / "in", size=16, channels=1, memory_limit=0, cache=tmp_path / "c")
    assert data.shape == (16, 16, 1)
    assert np.asarray(data.images[:])[:, 0, 0, 0].tolist() == [10, 20, 30]
    (tmp_path / "in/a.mp4").touch()
    again = load_data(tmp_path / "in", size=16, channels=1, memory_limit=0, cache=tmp_path / "c")
    assert again.factors["video"].tolist() == [0, 0, 1]


def test_one_video_is_data_too(fake_av, tmp_path):
    write(tmp_path / "a.mkv", 1, 2, 3)
    data = load_data(tmp_path / "a.mkv")
    assert len(data) == 3 and data.value_names["video"] == ("a",)


def test_bad_videos_are_named(fake_av, tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"a\.mp4: cannot be read as a video"):
        load_data(tmp_path)
    write(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"a\.mp4: there are no frames"):
        load_data(tmp_path)
    write(tmp_path / "a.mp4", 1, 2, "broken")
    with pytest.raises(DataError, match=r"a\.mp4: damaged"):
        load_data(tmp_path)
    write(tmp_path / "a.mp4", 1, size=(8, 8))
    with pytest.raises(DataError, match="smaller than 16x16"):
        load_data(tmp_path)
    write(tmp_path / "a.mp4", 1)
    with pytest.raises(DataError, match="pixel limit"):
        load_data(tmp_path, pixel_limit=100)


def test_a_folder_of_images_stays_one(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / name / "1.png")
    write(tmp_path / "x/clip.mp4", 1)
    assert len(load_data(tmp_path)) == 2


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    write(tmp_path / "a.mp4", 1)
    with pytest.raises(MissingExtraError, match=r"unmingle\[video\]"):
        load_data(tmp_path)


def test_real_videos(tmp_path):
    av = pytest.importorskip("av")
    for number, name in enumerate(("a", "b")):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 48, "yuv420p"
            for step in range(6):
                pixels = np.full((48, 32, 3), 60 * number + 20 * step, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    data = load_data(tmp_path)
    assert data.shape == (48, 32, 3) and data.factors["video"].tolist() == [0] * 6 + [1] * 6
    wanted = [60 * n + 20 * s for n in range(2) for s in range(6)]
    assert np.abs(data.images.mean((1, 2, 3)) - wanted).max() < 6
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    with pytest.raises(DataError, match=r"b\.mp4"):
        load_data(tmp_path)
