"""The command line: help, mistakes told in one line, every verb on a model of a few steps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unmingle as um
from unmingle.cli import VERBS, main
from unmingle.commands import demo
from unmingle.commands._data import Reading, Splitting, keep_values, rows_for, value_codes
from unmingle.commands.train import _examples as train_examples
from unmingle.commands.train import parsed
from unmingle.data.edges import edge_maps
from unmingle.data.sets import digits as digits_set
from unmingle.data.sets._base import Experiment, Protocol
from unmingle.errors import ConfigError, DataError
from unmingle.methods import METHODS

SIZE = 32
# Networks as small as they come: what is tested here is what happens around them.
TRAIN = """
    train lord digits --draw 60 --size 32 --class-factor digit --test 0.25 --split-seed 3
    --budget 4steps --batch 8 --perceptual none --content-dim 16 --class-dim 16
    --generator-widths 8 8 8 8 8 --encoder-widths 8 8 8 8 8
    --precision float32 --device cpu --threads 1 --quiet
"""


def failure(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """What a refused command line says: exit code 2 and one line on stderr, nothing on stdout."""
    assert main([str(arg) for arg in args]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("unmingle: ") and err.count("\n") == 1
    return err


# ---------------------------------------------------------------------- help


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from unmingle.cli import main; code = main(['--help']); "
        "print([m for m in ('torch', 'numpy', 'tyro', 'rich') if m in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *table, last = done.stdout.splitlines()
    assert last == "[] 0"
    for verb, summary in VERBS.items():
        assert any(line.split()[:1] == [verb] and line.endswith(summary) for line in table)


@pytest.mark.parametrize(
    "verb",
    [*VERBS, "train lord", "data describe", "data convert", "data edges"],
    ids=lambda v: v.replace(" ", "-"),
)
def test_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"unmingle {verb}" in text.partition("Example:\n")[2]


@pytest.mark.parametrize("name", METHODS)
def test_the_examples_of_train_can_be_typed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = train_examples(METHODS[name])
    assert len(examples) == 3
    for words in map(str.split, examples):
        kind, args = parsed(words[1], words[2:])
        assert kind is METHODS[name] and (args.data, words[2]) == (words[2], args.data)
        if args.data == "shapes3d":
            kind(args.method).check(replace(args.reading, draw=200).load("shapes3d"))


def test_every_verb_has_its_module() -> None:
    assert all(find_spec(f"unmingle.commands.{verb}") for verb in VERBS)


def test_version_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unmingle {um.__version__}\n"
    done = subprocess.run(
        [sys.executable, "-m", "unmingle", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"unmingle {um.__version__}\n"


def test_nothing_asked_shows_the_usage_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: unmingle VERB" in capsys.readouterr().out


def test_an_interruption_has_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from unmingle.commands import data

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "describe", interrupted)
    assert main(["data", "describe", "digits"]) == 130


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("gird", "Did you mean 'grid'"),
        ("train lrod digits --out x", "Did you mean 'lord'"),
        ("data explain digits", "'explain'"),
        ("data describe digist", "Did you mean 'digits'"),
        ("data describe nowhere/", "nowhere/: no such file"),
        ("data describe digits --size big", "--size big"),
        ("data describe digits --values digit=12", "no value '12'"),
        ("data describe digits --values digti=1", "Did you mean 'digit'"),
        ("data describe digits --values digit", "write FACTOR=VALUES"),
        ("data convert digits x.npy", ".npz"),
        ("train lord digits --out x --budget 5parsecs", "--budget '5parsecs'"),
        ("train lord digits --out x --seed -1", "--seed"),
        ("train lord digits --out x --class-factor digti --quiet", "Did you mean 'digit'"),
        ("train lord digits --out x --class-factor digit --test 2.5", "--test 2.5"),
        ("grid nowhere digits -o x.png", "nowhere"),
        ("grid nowhere digits -o x.jpg", ".png"),
        ("grid nowhere digits -o x.png --rows 0", "--rows 0"),
        ("interpolate nowhere a.png b.png -o x.png --steps 1", "--steps 1"),
        ("recombine nowhere --take class -o x.png", "--take class"),
        ("recombine nowhere --take class=a --take class=b -o x.png", "twice"),
        ("retrieve nowhere digits --query a.png -k 0", "-k 0"),
        ("evaluate nowhere digits --json x.txt", "--json x.txt"),
        ("evaluate nowhere digits --pairs 0", "--pairs 0: at least 1"),
        ("evaluate nowhere digits --pairs -5", "--pairs -5: at least 1"),
        ("evaluate nowhere digits --probe-rows 1", "--probe-rows 1: at least 2"),
        ("evaluate nowhere digits --seed -1", "--seed -1: 0 or more"),
        ("demo --budget soon", "--budget 'soon'"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    line: str,
    part: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert part in failure(capsys, *line.split())
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_flag_names_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "lord", "digits", "--out", "x", "--clas-factor", "digit"])
    assert end.value.code == 2
    assert "--class-factor" in capsys.readouterr().err


def test_an_output_that_exists_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "x.npz"
    there.write_text("precious")
    assert "--overwrite" in failure(capsys, "data", "convert", "digits", there)
    assert there.read_text() == "precious"


def test_a_taken_run_folder_is_refused_before_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("{}")
    said = failure(capsys, "train", "lord", "no-such-data", "--out", tmp_path)
    assert "--resume" in said and "no-such-data" not in said


def test_skipped_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/1.png", "b/2.png"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(file)
    (tmp_path / "photos/a/bad.png").write_bytes(b"no picture")
    assert main(["data", "describe", str(tmp_path / "photos"), "--skip-bad"]) == 0
    out, err = capsys.readouterr()
    assert "2 images of 20x20x3" in out
    assert err.startswith("unmingle: ") and err.count("\n") == 1 and "a/bad.png" in err


# ---------------------------------------------------------------------- flags


@pytest.fixture(scope="module")
def toy() -> um.FactorDataset:
    """Six vectors: pose is 0 1 2 0 1 2, named left, up and right; person is 0 0 0 1 1 1."""
    return um.FactorDataset(
        vectors=np.arange(12, dtype=np.float32).reshape(6, 2),
        factors={"pose": [0, 1, 2, 0, 1, 2], "person": [0, 0, 0, 1, 1, 1]},
        value_names={"pose": ("left", "up", "right"), "person": ("10", "1")},
    )


@pytest.mark.parametrize(
    ("factor", "text", "codes"),
    [
        ("pose", "0:2", [0, 1]),
        ("pose", "1:", [1, 2]),
        ("pose", ":1", [0]),
        ("pose", "right,0", [2, 0]),
        ("person", "1", [1]),  # the name "1" goes before the code 1
        ("person", "0", [0]),
        ("person,pose", "1,up", [4]),
    ],
)
def test_values(toy: um.FactorDataset, factor: str, text: str, codes: list[int]) -> None:
    assert value_codes(toy, factor, text, "--values") == codes


def test_values_that_do_not_exist(toy: um.FactorDataset) -> None:
    with pytest.raises(DataError, match="0:3"):
        value_codes(toy, "pose", "1:4", "--values")
    with pytest.raises(DataError, match="'left'"):
        value_codes(toy, "pose", "lefd", "--values")


def test_filters_are_combined(toy: um.FactorDataset) -> None:
    assert keep_values(toy, ["pose=left,right", "person=1"]).ids.tolist() == [3, 5]
    with pytest.raises(DataError, match="no row"):
        keep_values(keep_values(toy, ["pose=left"]), ["pose=up"])


def test_splitting_is_that_of_the_data_set(toy: um.FactorDataset) -> None:
    train, test = Splitting(test_by="person", test_values="1").apply(toy)
    assert test is not None
    assert train.ids.tolist() == [0, 1, 2] and test.ids.tolist() == [3, 4, 5]
    ours = Splitting(test=2, test_cells="pose,person", split_seed=4).apply(toy)
    for mine, true in zip(ours, toy.split(2, 4, cells=("pose", "person")), strict=True):
        assert mine is not None and mine.ids.tolist() == true.ids.tolist()
    assert Splitting(test=0).apply(toy) == (toy, None)


def test_contradicting_split_flags() -> None:
    with pytest.raises(ConfigError, match="--test-by"):
        Splitting(test_values="1")
    with pytest.raises(ConfigError, match="--test-cells pose"):
        Splitting(test_cells="pose")


# ---------------------------------------------------------------------- what train fills in


@pytest.mark.parametrize(
    ("data", "run"),
    [
        ("photos", "lord-photos"),
        ("photos/", "lord-photos"),
        ("deep/photos.v2", "lord-photos.v2"),
        ("there.npz", "lord-there"),
        (".", "lord-here"),
        ("digits", "lord-digits"),
    ],
)
def test_the_run_folder_has_the_names_of_method_and_data(
    data: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("there.npz").touch()
    assert parsed("lord", [data])[1].training.out == Path("runs") / run
    assert parsed("lord", [data, "-o", "x"])[1].training.out == Path("x")
    (Path("runs") / run).mkdir(parents=True)
    (Path("runs") / run / "config.json").touch()
    with pytest.raises(um.UnmingleError, match=f"runs/{run} already holds"):
        parsed("lord", [data])


def test_a_set_that_a_paper_trained_on_needs_no_more_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unmingle.training import hardware

    monkeypatch.chdir(tmp_path)

    def train(*more: str) -> Any:
        return parsed("lord", ["cars3d", *more])[1]

    monkeypatch.setattr(hardware, "choose_device", lambda device: "cpu")
    args = train()
    assert (args.method.preset, args.method.class_factor) == ("laptop", "object")
    assert (args.reading.size, args.splitting.test_protocol) == ("64", "lord")
    assert args.training.budget == "15min"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cars3d, as in A. Gabbay, Y. Hoshen") and "preset laptop" in line
    assert "--size 64 --class-factor object --test-protocol lord" in line
    assert train("--quiet").reading.size == "64" and capsys.readouterr().err == ""

    devices = []
    monkeypatch.setattr(hardware, "choose_device", lambda device: devices.append(device) or "cuda")
    args = train("--device", "cuda:1")
    assert devices == ["cuda:1"]
    assert (args.method.preset, args.method.perceptual) == ("paper", "efficientnet-lite0")
    assert args.training.budget == "400epochs"
    assert "by a download: --perceptual vgg16" in capsys.readouterr().err
    # What is given stays, however it is written.
    args = train("--class_factor=azimuth", "--size", "32", "--perceptual", "none", "--budget", "1h")
    assert (args.method.class_factor, args.reading.size) == ("azimuth", "32")
    assert (args.method.preset, args.method.perceptual) == ("paper", "none")
    assert (args.training.budget, args.splitting.test_protocol) == ("1h", "lord")
    small = train("--preset", "laptop")
    assert (small.method.preset, small.training.budget) == ("laptop", "15min")
    assert small.method.class_factor == "object"
    # Held out otherwise: it is another experiment, and all is told.
    capsys.readouterr()
    for split in (["--test", "0.2"], ["--test-by", "object"], ["--split-seed", "1"]):
        own = train(*split)
        assert (own.method.class_factor, own.reading.size) == ("class", None)
        assert own.splitting.test_protocol is None
    assert parsed("vae", ["cars3d"])[1].reading.size is None  # no paper's
    assert capsys.readouterr().err == ""


def test_a_short_command_is_continued_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: um.Method, *args: object) -> None:
        raise KeyboardInterrupt

    known = Experiment("lord", {"class_factor": "digit"}, "--size 32")
    split = Protocol("", "Somebody, 2020", lambda data: data.split(0.25, 3), experiments=(known,))
    entry = replace(digits_set.SET, splits={"theirs": split})
    monkeypatch.setattr(digits_set, "SET", entry)
    monkeypatch.chdir(tmp_path)
    flags = TRAIN.partition("--budget")[2].replace("--quiet", "")
    short = ["train", "lord", "digits", "--draw", "60", "--budget", *flags.split()]
    with monkeypatch.context() as patch:
        patch.setattr(um.Method, "save", stopped)
        assert main(short) == 130
    run = tmp_path / "runs" / "lord-digits"
    assert (run / "checkpoint").is_dir() and not (run / "model.safetensors").exists()
    capsys.readouterr()
    assert "already holds" in failure(capsys, *short)
    assert main([*short, "--resume"]) == 0
    model = um.load(run)
    assert model.config.class_factor == "digit" and model.data_shape == (32, 32, 1)
    rows = rows_for(model, "digits", Reading())
    assert rows.test is not None and len(rows.test) == 15


# ---------------------------------------------------------------------- from training to scores


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of LORD on 60 digits, 4 steps."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main([*TRAIN.split(), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> um.Method:
    return um.load(run)


@pytest.fixture(scope="module")
def digits() -> um.FactorDataset:
    return um.load_data("digits", rows=60, size=SIZE)


@pytest.fixture(scope="module")
def files(digits: um.FactorDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first three digits as 0.png, 1.png and 2.png."""
    folder = tmp_path_factory.mktemp("files")
    for row, image in enumerate(digits.take([0, 1, 2])):
        Image.fromarray(image[:, :, 0]).save(folder / f"{row}.png")
    return folder


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_train_records_how_to_split_again(
    run: Path, model: um.Method, digits: um.FactorDataset
) -> None:
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    assert recipe["source"] == "digits" and recipe["fingerprint"] == digits.fingerprint()
    rows = rows_for(model, "digits", Reading())
    train, test = digits.split(0.25, 3)
    assert rows.train is not None and rows.train.ids.tolist() == train.ids.tolist()
    assert rows.part(None).ids.tolist() == test.ids.tolist()
    assert rows.part("all").ids.tolist() == digits.ids.tolist()


def test_other_data_are_used_whole(
    model: um.Method, capsys: pytest.CaptureFixture[str], digits: um.FactorDataset
) -> None:
    rows = rows_for(model, "digits", Reading(draw=20, values=("digit=0:5",)))
    seen = rows.part(None)
    assert rows.test is None and set(seen.factor("digit")) <= set(range(5))
    assert "was not trained on these data" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="--part all"):
        rows.part("held-out")


def test_a_file_of_another_name_after_a_run_that_cropped(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 40, 36, 1), np.uint8)
    for number, image in enumerate(pixels):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(folder / f"{number}.png")
    photos, out, file = tmp_path / "photos", tmp_path / "run", tmp_path / "photos.npz"
    words = TRAIN.replace("digits --draw 60", str(photos)).replace("digit ", "class ").split()
    assert main([*words, "--fit", "crop", "--out", str(out)]) == 0
    assert main(["data", "convert", str(photos), str(file), "--size", "32", "--fit", "crop"]) == 0
    model = um.load(out)
    rows = rows_for(model, str(file), Reading())
    assert rows.train is not None and rows.test is not None  # the same data, split again
    um.FactorDataset(images=pixels, name="whole").save(tmp_path / "whole.npz")
    found = rows_for(model, str(tmp_path / "whole.npz"), Reading()).whole
    assert np.array_equal(found.take(), um.load_data(pixels, size=32, fit="crop").take())


def test_the_pixel_limit_of_pictures_is_a_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    Image.new("L", (40, 40)).save(tmp_path / "a/0.png")
    describe = ("data", "describe", tmp_path, "--pixel-limit")
    assert "--pixel-limit" in failure(capsys, *describe, 1000)
    assert main([*map(str, describe), "2000"]) == 0


def test_recombine_files(run: Path, model: um.Method, files: Path, tmp_path: Path) -> None:
    line = ["recombine", run, "--take", f"class={files}/0.png", "--take", f"content={files}/1.png"]
    assert main([*map(str, line), "-o", str(tmp_path / "z.png")]) == 0
    a, b = (picture(files / name)[None, :, :, None] for name in ("0.png", "1.png"))
    wanted = model.recombine({"class": a, "content": b})[0, :, :, 0]
    assert np.array_equal(picture(tmp_path / "z.png"), wanted)


def test_recombine_folders(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = ["--take", f"class={files}/0.png", "--take", f"content={files}"]
    out = tmp_path / "out"
    assert main(["recombine", str(run), *take, "-o", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [f"000{n}_0+{n}.png" for n in range(3)]
    assert picture(out / "0001_0+1.png").shape == (SIZE, SIZE)
    capsys.readouterr()
    assert "already holds" in failure(capsys, "recombine", run, *take, "-o", out)
    assert "content" in failure(capsys, "recombine", run, *take[:2], "-o", tmp_path / "y.png")


def test_a_code_can_be_zero(
    run: Path, model: um.Method, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["recombine", str(run), "--take", f"class={files}/0.png"]
    out = tmp_path / "z.png"
    assert main([*line, "--zero", "content", "-o", str(out)]) == 0
    code = model.encode(picture(files / "0.png")[None, :, :, None])["class"]
    wanted = model.decode({"class": code, "content": np.zeros((1, 16))})[0, :, :, 0]
    assert np.array_equal(picture(out), wanted)
    other = ["-o", tmp_path / "y.png"]
    capsys.readouterr()
    assert "--zero contnet" in failure(capsys, *line, "--zero", "contnet", *other)
    both = failure(capsys, *line, "--zero", "class", "--zero", "content", *other)
    assert "--zero class" in both and "--take class=" in both
    assert "--zero content" in failure(capsys, *line, *other)


def test_files_of_another_size_are_resized_and_it_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (50, 40), (200, 10, 10)).save(tmp_path / "a.png")
    line = ["interpolate", run, tmp_path / "a.png", tmp_path / "a.png", "-o", tmp_path / "i.png"]
    assert main([*map(str, line), "--steps", "2"]) == 0
    assert "50x40 brought to the model's 32x32" in capsys.readouterr().err


def test_interpolate(run: Path, model: um.Method, files: Path, tmp_path: Path) -> None:
    ends = [str(files / "0.png"), str(files / "1.png")]
    grid, one = tmp_path / "grid.png", tmp_path / "line.png"
    assert main(["interpolate", str(run), *ends, "-o", str(grid), "--steps", "3"]) == 0
    sheet = picture(grid)
    side = 3 * SIZE + 2 * 2  # two gaps of two pixels
    assert sheet.shape == (side, side, 3)
    a, b = (picture(files / name)[None, :, :, None] for name in ("0.png", "1.png"))
    down = model.recombine({"class": b, "content": a})[0, :, :, 0]  # the bottom left corner
    assert np.abs(sheet[-SIZE:, :SIZE, 0].astype(int) - down).max() <= 1
    assert main(["interpolate", str(run), *ends, "-o", str(one), "--space", "content"]) == 0
    assert picture(one).shape == (SIZE, 7 * SIZE + 6 * 2, 3)


def test_views(run: Path, model: um.Method, files: Path, tmp_path: Path) -> None:
    line = ["views", str(run), "digits", "--image", str(files / "1.png"), "--count", "3"]
    sheet, gif = tmp_path / "views.png", tmp_path / "views.gif"
    assert main([*line, "-o", str(sheet)]) == 0
    shown = picture(sheet)
    assert shown.shape == (SIZE, 4 * SIZE + 3 * 2, 3)
    assert np.array_equal(shown[:, :SIZE, 0], picture(files / "1.png"))
    assert main([*line, "-o", str(gif), "--by", "digit"]) == 0
    with Image.open(gif) as frames:
        assert frames.size == (SIZE, SIZE)
        # Equal frames after each other become one that lasts longer.
        shown = [frames.seek(n) or frames.info["duration"] for n in range(frames.n_frames)]
        assert sum(shown) == 3 * 120


def test_wrong_views_are_told(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["views", run, "digits", "--image", files / "1.png", "-o"]
    assert ".gif" in failure(capsys, *line, tmp_path / "v.jpg")
    assert "--count 0" in failure(capsys, *line, tmp_path / "v.png", "--count", 0)
    assert "class or content" in failure(capsys, *line, tmp_path / "v.png", "--space", "pose")
    assert "'digit'" in failure(capsys, *line, tmp_path / "v.png", "--by", "digits")


def test_looking_at_a_model_with_one_code(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, line = tmp_path / "vae", tmp_path / "line.png"
    words = f"train vae digits --draw 60 --size {SIZE} --budget 2steps --device cpu --quiet"
    assert main([*words.split(), "--out", str(run)]) == 0
    ends = [str(files / "0.png"), str(files / "1.png")]
    assert main(["interpolate", str(run), *ends, "-o", str(line)]) == 0
    assert picture(line).shape == (SIZE, 7 * SIZE + 6 * 2, 3)
    assert main(["retrieve", str(run), "digits", "--query", ends[0], "-k", "1"]) == 0
    capsys.readouterr()
    out = ["-o", tmp_path / "none.png"]
    for told in ([], ["--row-space", "latent"], ["--column-space", "latent"]):
        assert "vae has one code, latent" in failure(capsys, "grid", run, "digits", *out, *told)
    words = ["views", run, "digits", "--image", ends[0], *out]
    assert "vae has one code, latent" in failure(capsys, *words)


def test_grid_shows_held_out_images(run: Path, digits: um.FactorDataset, tmp_path: Path) -> None:
    file = tmp_path / "grid.png"
    assert main(["grid", str(run), "digits", "-o", str(file), "--rows", "3", "--columns", "2"]) == 0
    sheet, step = picture(file), SIZE + 2
    assert sheet.shape == (4 * step - 2, 3 * step - 2, 3)
    test = digits.split(0.25, 3)[1]
    classes = set()
    for top in range(step, 4 * step, step):
        shown = sheet[top : top + SIZE, :SIZE, 0]
        same = np.flatnonzero((test.take()[:, :, :, 0] == shown).all((1, 2)))
        assert len(same) == 1
        classes.add(int(test.factor("digit")[same[0]]))
    assert len(classes) == 3  # rows keep the class code: three different classes


def test_encode(run: Path, model: um.Method, digits: um.FactorDataset, tmp_path: Path) -> None:
    assert main(["encode", str(run), "digits", "-o", str(tmp_path / "codes.npz")]) == 0
    written = np.load(tmp_path / "codes.npz")
    codes = model.encode(digits)
    for space in ("class", "content"):
        np.testing.assert_allclose(written[f"code_{space}"], codes[space], rtol=1e-4, atol=1e-4)
    assert written["ids"].tolist() == digits.ids.tolist()
    assert written["factor_digit"].tolist() == digits.factor("digit").tolist()


def test_retrieve_finds_the_query_itself(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.png"
    line = ["retrieve", run, files, "--query", files / "2.png", "--space", "content", "-k", 2]
    assert main([*map(str, line), "-o", str(out)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split("\t")[:4] == ["query", "rank", "distance", "image"]
    assert first.split("\t")[3] == "2.png" and float(first.split("\t")[2]) < 1e-4
    assert second.split("\t")[3] in ("0.png", "1.png")
    assert picture(out).shape == (SIZE, 3 * SIZE + 2 * 2, 3)
    assert "class or content" in failure(capsys, *line[:5], "--space", "style")


def test_evaluate_scores_the_held_out_rows(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    line = ["evaluate", str(run), "digits", "--metrics", "mse,ssim", "--probes", "linear"]
    assert main([*line, "--json", str(file)]) == 0
    out, _ = capsys.readouterr()
    assert "15 test rows" in out and "digit" in out
    scores = json.loads(file.read_text())
    assert scores["context"]["test"]["rows"] == 15 and scores["context"]["train"]["rows"] == 45


def test_a_space_that_nothing_swaps_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", run, "digits", "--probes", "none"]
    said = failure(capsys, *line, "--take", "content")  # one factor is named, a swap needs two
    assert "--take content: nothing that is asked for swaps codes" in said
    both = [*line, "--role", "content=digit"]
    assert "nothing that is asked" in failure(capsys, *both, "--take", "class")  # twice the same
    none = [*line, "--metrics", "none"]
    assert "nothing that is asked" in failure(capsys, *none, "--take", "class")
    assert "--take style: it is class or content" in failure(capsys, *none, "--take", "style")
    assert main([*map(str, none), "--take", "content", "--frechet"]) == 0
    assert "recombined (content of another image)" in capsys.readouterr().out


def test_scores_hold_what_was_told_of_the_data(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    line = ["evaluate", str(run), "digits", "--metrics", "none", "--probes", "none"]
    assert main([*line, "--values", "digit=0:5", "--part", "train", "--json", str(file)]) == 0
    given = json.loads(file.read_text())["context"]["given"]
    assert given == {"data": "digits", "part": "train", "reading": ["--values", "digit=0:5"]}


def test_convert_keeps_the_data(
    digits: um.FactorDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "digits.npz"
    assert main(["data", "convert", "digits", str(file), "--draw", "60", "--size", "32"]) == 0
    assert um.load_data(file).fingerprint() == digits.fingerprint()
    assert main(["data", "describe", str(file), "--values", "digit=0:2"]) == 0
    assert "2 of 10 values" in capsys.readouterr().out


def test_edges_are_written_beside_their_pictures(
    digits: um.FactorDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "both.npz"
    line = ["data", "edges", "digits", str(file), "--draw", "60", "--size", "32"]
    assert main([*line, "--column", "kind", "--sigma", "2"]) == 0
    both = um.load_data(file)
    assert np.array_equal(both.images[:60], digits.images)
    assert np.array_equal(both.images[60:], edge_maps(digits.take(), 2.0))
    assert both.names("kind") == ("picture", "edges")
    assert both.factor("kind").tolist() == [0] * 60 + [1] * 60
    capsys.readouterr()
    assert "both.npz exists" in failure(capsys, *line)
    assert "--sigma 0" in failure(capsys, *line, "--overwrite", "--sigma", "0")


# ---------------------------------------------------------------------- demo


def test_the_scenes_of_the_demo_are_a_complete_grid() -> None:
    scenes = demo.scenes()
    assert scenes.shape == (64, 64, 3)
    cells = np.stack([scenes.factor(demo.CLASS), scenes.factor(demo.CONTENT)], axis=1)
    classes, contents = (len(np.unique(column)) for column in cells.T)
    assert len(np.unique(cells, axis=0)) == len(scenes) == classes * contents


def test_the_demo_takes_no_folder_twice(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert demo.unused(folder) == folder
    folder.mkdir()
    assert demo.unused(folder) == folder
    (folder / "config.json").write_text("{}")
    (tmp_path / "demo-2").write_text("a file")
    assert demo.unused(folder) == tmp_path / "demo-3"
