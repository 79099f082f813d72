"""`unmingle data list|get|describe` for sets by name, and named splits from the command line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_sets_idx import COUNTS, idx, pictures

from unmingle.cli import main
from unmingle.commands._data import Reading, Recipe, Splitting, keep_values, rows_for
from unmingle.data.catalogue import CATALOGUE, named_set
from unmingle.errors import ConfigError

DOCS = Path(__file__).parent.parent / "docs/data.md"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNMINGLE_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def write_mnist(folder):
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for part, count in COUNTS.items():
        images, labels = pictures(count, first), np.arange(count)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images, 8))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels, 8))
        first += count
    return folder


def test_list_has_a_line_for_every_set(home, capsys):
    write_mnist(home / "mnist")
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0]: line for line in lines[1 : 1 + len(CATALOGUE)]}
    assert set(found) == set(CATALOGUE)
    assert re.search(r"70,000 +28x28x1 +here +digit 10$", found["mnist"])
    assert re.search(
        r"17,568 +128x128x3 +get +elevation 4, azimuth 24, object 183$", found["cars3d"]
    )
    assert re.search(r"480,000 +64x64x3 +embedded ", found["shapes3d"])
    assert re.search(r"8,040 +1024x681x3 +ask +angle 5, .*, gaze 3$", found["rafd"])


def test_list_fits_the_terminal(home, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(re.search(r"ask +identity 10,177, part 3, \d+ more$", line) for line in lines)


def test_describe_tells_of_sets_that_are_not_here(home, capsys):
    for name in CATALOGUE:
        entry = named_set(name)
        if entry.embedded:
            continue
        assert main(["data", "describe", name]) == 0, name
        text = " ".join(capsys.readouterr().out.split())
        for word in (entry.title, entry.licence, entry.paper, str(home / name), *entry.factors):
            assert " ".join(word.split()) in text, (name, word)
        for word in (*entry.traps, *entry.splits, *entry.layout.split("\n")):
            assert " ".join(word.split()) in text, (name, word)
        assert (f"unmingle data get {name}" in text) == bool(entry.downloads)


def test_describe_of_a_set_that_is_here(home, capsys):
    write_mnist(home / "mnist")
    assert main(["data", "describe", "mnist"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("MNIST: 70,000 rows of 28x28x1")
    assert "\n\nmnist: 8 images of 28x28x1" in text
    assert "official: 60,000 digits" in text and "LeCun" in text
    folder = write_mnist(home / "elsewhere")
    (home / "mnist/train-images-idx3-ubyte").unlink()
    assert main(["data", "describe", "mnist", "--folder", str(folder), "--draw", "3"]) == 0
    assert "\nmnist: 3 images" in capsys.readouterr().out
    assert main(["data", "describe", "mnist"]) == 2
    found = capsys.readouterr()
    assert "train-images-idx3-ubyte" in found.err and "LeCun" in found.out


@pytest.fixture
def no_pixels(monkeypatch):
    """Nothing can be decoded or rendered."""

    def refuse(*_, **__):
        raise AssertionError("pixels are read")

    for name in ("folders.decode_file", "pixels.transform", "shapes3d.render"):
        monkeypatch.setattr(f"unmingle.data.{name}", refuse)
    monkeypatch.setattr("unmingle.data.sets._sprites2d.render", refuse)


def test_describe_reads_no_pictures_and_needs_no_size(home, no_pixels, capsys):
    for name, size in (
        ("Rafd090_01_Caucasian_female_angry_frontal", (40, 60)),
        ("Rafd090_02_Caucasian_female_happy_frontal", (30, 50)),
        ("Rafd045_02_Caucasian_female_happy_frontal", (30, 50)),
    ):
        (home / "rafd").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(home / "rafd" / f"{name}.jpg")
    assert main(["data", "describe", "rafd"]) == 0
    text = capsys.readouterr().out
    assert "\nrafd: 3 images" in text
    assert re.search(r"expression +2 of 8 values, 1 to 2 rows each: angry, happy", text)
    (home / "rafd/Rafd045_02_Caucasian_female_happy_frontal.jpg").write_bytes(b"damaged")
    assert main(["data", "describe", "rafd", "--values", "expression=happy", "--size", "32"]) == 0
    assert "\nrafd: 2 images of 32x32x3" in capsys.readouterr().out
    write_mnist(home / "mnist")
    assert main(["data", "describe", "mnist", "--draw", "3", "--size", "64"]) == 0
    assert "\nmnist: 3 images of 64x64x1" in capsys.readouterr().out
    for name in ("shapes3d", "dsprites-rendered"):
        assert main(["data", "describe", name]) == 0
        count = f"{named_set(name).rows:,}"
        assert f"\n{name}: {count} images of 64x64x" in capsys.readouterr().out


def test_describe_says_nothing_of_the_size_of_pictures_that_have_many(home, capsys):
    part = home / "affectnet/train_set"
    for folder in ("images", "annotations"):
        (part / folder).mkdir(parents=True)
        (home / "affectnet/val_set" / folder).mkdir(parents=True)
    for at, where in enumerate((part, home / "affectnet/val_set")):
        Image.new("RGB", (20 + at, 30)).save(where / "images/0.jpg")
        for key, value in (("exp", 1), ("val", 0.5), ("aro", 0.5)):
            np.save(where / f"annotations/0_{key}.npy", np.array(value))
    assert main(["data", "describe", "affectnet"]) == 0
    text = capsys.readouterr().out
    assert "\naffectnet: 2 images\n" in text and re.search(r"expression +1 of 8 values", text)


def test_describe_tells_which_commands_are_experiments_of_papers(home, capsys):
    assert main(["data", "describe", "smallnorb"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "unmingle train lord smallnorb" in lines
    assert "unmingle train lord smallnorb --test-protocol smallnorb-poses" in lines


def test_get_downloads_and_then_the_set_is_here(home, tmp_path, monkeypatch, capsys):
    source = write_mnist(tmp_path / "source")
    entry = named_set("mnist")
    items = tuple(
        dataclasses.replace(
            item,
            url=(source / item.file.removesuffix(".gz")).as_uri(),
            file=item.file.removesuffix(".gz"),
            sha256=hashlib.sha256(
                (source / item.file.removesuffix(".gz")).read_bytes()
            ).hexdigest(),
            bytes=None,
        )
        for item in entry.downloads
    )
    monkeypatch.setattr("unmingle.data.sets.mnist.SET", dataclasses.replace(entry, downloads=items))
    assert main(["data", "get", "mnist"]) == 0
    told = capsys.readouterr().err
    assert "CC BY-SA 3.0" in told and str(home / "mnist") in told
    assert main(["data", "describe", "mnist"]) == 0
    assert "\nmnist: 8 images" in capsys.readouterr().out
    assert main(["data", "get", "mnist", "--folder", str(tmp_path / "f")]) == 0
    assert f"describe mnist --folder {tmp_path / 'f'}" in capsys.readouterr().err
    (home / "mnist/t10k-labels-idx1-ubyte").write_bytes(b"other")
    assert main(["data", "get", "mnist"]) == 2
    assert "t10k-labels-idx1-ubyte: its SHA-256 is" in capsys.readouterr().err


def test_get_says_where_to_ask(home, capsys):
    assert main(["data", "get", "chairs"]) == 2
    told = capsys.readouterr().err
    assert "rendered_chairs/<model>/renders/image_000_p020_t000_r096.png" in told
    assert "seeing3Dchairs" in told.splitlines()[-1] and str(home / "chairs") in told
    assert not home.exists()
    assert main(["data", "get", "digits"]) == 0
    assert "nothing to get" in capsys.readouterr().err
    for argv, word in ((["get", "cars"], "'cars3d'"), (["gte"], "'get'")):
        assert main(["data", *argv]) == 2
        assert word in capsys.readouterr().err


def test_options_of_a_set_are_flags(home, capsys):
    describe = ["data", "describe", "dsprites-rendered", "--draw", "50"]
    assert main([*describe, "--option", "orientations=symmetric"]) == 0
    assert re.search(r"orientation +\d+ of 39 values", capsys.readouterr().out)
    for option, word in (
        ("orientations", "NAME=VALUE"),
        ("orient=all", "'orientations'"),
        ("size=16", "--option size=16: that is the flag --size"),
        ("rows=5", "that is the flag --draw"),
    ):
        assert main([*describe, "--option", option]) == 2
        assert word in capsys.readouterr().err


# Named splits of a run


def test_a_protocol_is_given_alone():
    assert Splitting(test_protocol="lord").test_protocol == "lord"
    for other in ({"test": 0.1}, {"test_by": "a"}, {"test_cells": "a,b"}, {"test": 0.0}):
        with pytest.raises(ConfigError, match="says itself what is held out"):
            Splitting(test_protocol="lord", **other)


def test_a_run_finds_the_held_out_rows_of_its_protocol_again(home, monkeypatch):
    write_mnist(home / "mnist")
    write_mnist(home / "moved")
    monkeypatch.chdir(home)
    # The split is by row number, and the tiny file has eight rows.
    from unmingle.data.sets import _idx, mnist

    split = dataclasses.replace(
        mnist.SET.splits["official"],
        apply=lambda data: _idx.held_out(data, data.ids >= 5, "the split official"),
    )
    entry = dataclasses.replace(mnist.SET, splits={"official": split})
    monkeypatch.setattr("unmingle.data.sets.mnist.SET", entry)
    reading, splitting = Reading(folder="mnist"), Splitting(test_protocol="official")
    whole = reading.load("mnist")
    train, test = splitting.apply(keep_values(whole, ()))
    assert len(train) == 5 and test is not None and test.ids.tolist() == [5, 6, 7]
    record = Recipe("mnist", whole.fingerprint(), reading, splitting).record()
    record = json.loads(json.dumps(record))
    model = SimpleNamespace(run_info={"recipe": record}, data_shape=(28, 28, 1))
    monkeypatch.chdir(home.parent)
    for given in (Reading(), Reading(folder=str(home / "moved"))):
        rows = rows_for(model, "mnist", given)
        assert rows.train is not None and rows.train.ids.tolist() == [0, 1, 2, 3, 4]
        assert rows.part(None).ids.tolist() == [5, 6, 7]
    # Runs of earlier versions know nothing of protocols, folders and options.
    for part, name in (
        ("splitting", "test_protocol"),
        ("reading", "folder"),
        ("reading", "option"),
    ):
        del record[part][name]
    assert Recipe.of(model).splitting.test_protocol is None


def test_an_unknown_protocol_names_the_known_ones(home, capsys):
    write_mnist(home / "mnist")
    train = ["train", "vae", "mnist", "--out", str(home / "run"), "--test-protocol"]
    assert main([*train, "lord"]) == 2
    assert "mnist has no split 'lord'; its named splits: official" in capsys.readouterr().err
    assert not (home / "run").exists()


# The table in the docs


def test_the_table_of_the_docs_is_that_of_the_catalogue():
    rows = {}
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 7:
            rows[cells[0].strip("`")] = cells
    assert list(rows) == list(CATALOGUE)
    for name, cells in rows.items():
        assert cells == table_row(name), name


def table_row(name: str) -> list[str]:
    from unmingle.commands._catalogue import SHOWN, factors_of

    entry = named_set(name)
    count = "" if entry.rows is None else f"{entry.rows:,}"
    got = "embedded" if entry.embedded else "`get`" if entry.downloads else "ask"
    title = f"[{entry.title}]({entry.url}): {entry.paper}"
    return [f"`{name}`", count, entry.shape, factors_of(entry, SHOWN), got, entry.licence, title]
