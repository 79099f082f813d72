"""Grids and figures of models whose pictures are known pixel by pixel."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unmingle.errors import ConfigError, DataError, RunError
from unmingle.plots import (
    content_statistics,
    curves,
    interpolation_grid,
    read_metrics,
    save_png,
    swap_grid,
    tile,
)
from unmingle.plots.figures import _panels


class Paint:
    """Plain images: red is the class, green the content, blue a third code."""

    def __init__(self):
        self.encoded = 0

    def encode(self, images):
        self.encoded += len(images)
        colour = np.asarray(images)[:, 0, 0].astype(np.float32)
        return {name: colour[:, i : i + 1] for i, name in enumerate(("class", "content", "light"))}

    def decode(self, codes):
        colour = np.concatenate([codes[name] for name in ("class", "content", "light")], 1)
        return np.broadcast_to(colour.round()[:, None, None], (len(colour), 4, 4, 3)).astype("u1")


def _plain(*colours):
    return np.array([np.full((4, 4, 3), colour) for colour in colours], np.uint8)


def test_tile_by_hand():
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1)
    sheet = tile(images, gap=1, background=9)
    assert sheet.shape == (3, 5, 3)
    assert sheet[..., 0].tolist() == [[0, 9, 1, 9, 2], [9] * 5, [3, 9, 4, 9, 5]]
    assert tile(images, gap=0)[..., 2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tile(images, gap=1, background=(1, 2, 3))[1, 0].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="R,C,h,w,c"):
        tile(images[0])
    with pytest.raises(ConfigError, match="gap"):
        tile(images, gap=-1)


def test_swap_grid_cell_by_cell():
    model = Paint()
    rows, columns = _plain((10, 20, 30), (40, 50, 60)), _plain((1, 2, 3), (4, 5, 6), (7, 8, 9))
    sheet = swap_grid(model, rows, columns, gap=1)
    assert sheet.shape == (3 * 5 - 1, 4 * 5 - 1, 3)
    cells = sheet[2::5, 2::5].tolist()
    assert cells == [
        [[255, 255, 255], [1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[10, 20, 30], [10, 2, 3], [10, 5, 6], [10, 8, 9]],
        [[40, 50, 60], [40, 2, 3], [40, 5, 6], [40, 8, 9]],
    ]
    assert model.encoded == 5  # each image once
    other = swap_grid(model, rows, columns, rows="content", columns="class", gap=1)
    assert other[7, 7].tolist() == [1, 20, 3]


def test_swap_grid_without_a_decoder_and_in_grey():
    def recombine(images):
        return images["content"] // 2

    model = SimpleNamespace(
        encode=lambda x: {"class": np.zeros((len(x), 1)), "content": np.zeros((len(x), 1))},
        recombine=recombine,
    )
    images = np.full((2, 4, 4, 1), 100, np.uint8)
    sheet = swap_grid(model, images, images, gap=0)
    assert (sheet[4:, 4:] == 50).all()
    assert (sheet[4:, :4] == 100).all()


def test_swap_grid_refuses_bad_input():
    images = _plain((1, 2, 3))
    with pytest.raises(ConfigError, match="'content'"):
        swap_grid(Paint(), images, images, columns="contents")
    with pytest.raises(ConfigError, match="both keep the class"):
        swap_grid(Paint(), images, images, columns="class")
    with pytest.raises(DataError, match="of the columns"):
        swap_grid(Paint(), images, images[:, :3])


def test_interpolation_in_both_directions():
    a, b = _plain((0, 100, 7), (40, 200, 9))
    sheet = interpolation_grid(Paint(), a, b, steps=5, gap=0)
    assert sheet.shape == (20, 20, 3)
    cells = sheet[::4, ::4]
    assert cells[:, 0, 0].tolist() == [0, 10, 20, 30, 40]  # class goes down
    assert cells[0, :, 1].tolist() == [100, 125, 150, 175, 200]  # content goes across
    assert (cells[..., 2] == 7).all()  # the rest stays
    corners = cells[0, 0], cells[0, -1], cells[-1, 0], cells[-1, -1]
    assert [c.tolist() for c in corners] == [[0, 100, 7], [0, 200, 7], [40, 100, 7], [40, 200, 7]]


def test_interpolation_in_one_direction():
    a, b = _plain((0, 100, 7), (40, 200, 9))
    across = interpolation_grid(Paint(), a, b, steps=3, rows=None, gap=0)
    assert across[0, ::4].tolist() == [[0, 100, 7], [0, 150, 7], [0, 200, 7]]
    down = interpolation_grid(Paint(), a, b, steps=3, columns=None, gap=0)
    assert down[::4, 0].tolist() == [[0, 100, 7], [20, 100, 7], [40, 100, 7]]
    for bad, error, text in (
        ({"rows": None, "columns": None}, ConfigError, "both None"),
        ({"rows": "content"}, ConfigError, "both move the content"),
        ({"rows": "klass"}, ConfigError, "'class'"),
        ({"steps": 1}, ConfigError, "at least 2"),
        ({"b": b[:2]}, DataError, "one shape"),
    ):
        with pytest.raises(error, match=text):
            interpolation_grid(Paint(), **{"a": a, "b": b, **bad})


def test_png_is_written_once(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = save_png(tmp_path / "new" / "x.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), image)
    with pytest.raises(RunError, match="overwrite"):
        save_png(path, image)
    save_png(path, image[:, :, :1], overwrite=True)
    assert (np.asarray(Image.open(path))[..., 2] == image[..., 0]).all()
    assert [entry.name for entry in path.parent.iterdir()] == ["x.png"]
    with pytest.raises(RunError, match="folder"):
        save_png(tmp_path, image, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        save_png(tmp_path / "file" / "x.png", image)
    with pytest.raises(DataError, match="H,W,C"):
        save_png(tmp_path / "y.png", image[0])


def _log(folder, slope, tail=""):
    folder.mkdir()
    lines = [
        {
            "stage": "latent",
            "step": n,
            "seconds": 2.0 * n,
            "losses": {"generator": slope * n},
            "logs": {"late": n} if n > 2 else {},
        }
        for n in range(1, 5)
    ]
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return path


def test_metrics_are_read_flat_and_a_cut_line_is_left_out(tmp_path):
    path = _log(tmp_path / "a", 0.5, tail='{"step": 5, "los')
    records = read_metrics(path)
    assert len(records) == 4
    assert records[1]["losses/generator"] == 1.0
    path.write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(RunError, match="line 2"):
        read_metrics(path)
    with pytest.raises(RunError, match="cannot be read"):
        read_metrics(tmp_path / "none")


def test_curves_of_two_runs(tmp_path):
    paths = [_log(tmp_path / "a", 0.5), _log(tmp_path / "b", 1.5)]
    runs = {path.parent.name: read_metrics(path) for path in paths}
    figure = _panels(runs, ["losses/generator", "logs/late"], "seconds")
    losses, late = figure.axes
    assert [line.get_label() for line in losses.lines] == ["a", "b"]
    assert losses.lines[1].get_xydata().tolist() == [[2, 1.5], [4, 3], [6, 4.5], [8, 6]]
    assert late.lines[0].get_xydata().tolist() == [[6, 3], [8, 4]]
    assert (losses.get_yscale(), late.get_yscale()) == ("log", "linear")

    out = curves(paths, tmp_path / "curves.png")
    drawn = np.asarray(Image.open(out).convert("L"))
    assert drawn.min() < 128 < drawn.mean()
    with pytest.raises(RunError, match="overwrite"):
        curves(paths[0], out)
    curves(paths[0], out, keys=["losses/generator"], x="step", overwrite=True)
    with pytest.raises(ConfigError, match="losses/generator"):
        curves(paths, out, keys=["losses/generatr"], overwrite=True)
    with pytest.raises(ConfigError, match="'seconds'"):
        curves(paths, out, x="second", overwrite=True)
    paths[0].write_text("")
    with pytest.raises(RunError, match="no numbers"):
        curves(paths[0], tmp_path / "none.png")


def test_content_statistics(tmp_path):
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(20, 8)), np.ones((20, 8))
    std[:, :2] = 0.1
    out = content_statistics(mean, std, tmp_path / "stats.png")
    assert Image.open(out).size[0] > 500
    content_statistics(mean[0], std[0], tmp_path / "one.png")
    with pytest.raises(DataError, match=r"\[N,d\]"):
        content_statistics(mean, std[:, :3], tmp_path / "x.png")
    with pytest.raises(DataError, match="NaN"):
        content_statistics(mean * np.nan, std, tmp_path / "x.png")
