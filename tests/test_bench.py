"""The tables of the papers: plans that fit the library, and a runner that goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from data_sets import grid
from PIL import Image

from unmingle.bench import TABLES, Figures, Row, Run, Setting, Table
from unmingle.bench.place import Place, save_record
from unmingle.bench.plan import setting_words
from unmingle.bench.report import collect, markdown
from unmingle.bench.runner import chosen, total, with_budget
from unmingle.bench.scores import SCORES, _by_value, _halves, _landmarks, find_spaces, last_logs
from unmingle.bench.sets import DRAWN, SKELETONS, correlated_rows
from unmingle.bench.skeletons import _BONES, find_moments, retarget, stick_figures
from unmingle.cli import main
from unmingle.commands.train import parsed
from unmingle.data import FactorDataset, shapes3d
from unmingle.data.catalogue import CATALOGUE, named_set
from unmingle.data.views import look
from unmingle.evaluation import mlp
from unmingle.methods import METHODS, Method

RUNS = {(table.name, run.name): run for table in TABLES.values() for run in table.runs()}
COMMAND = attrgetter("command")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---------------------------------------------------------------------- the plans


@pytest.mark.parametrize("run", {run.command: run for run in RUNS.values()}.values(), ids=COMMAND)
def test_settings_are_accepted(run: Run) -> None:
    kind = METHODS[run.row.method]
    config = kind.Config(**run.settings)
    assert config.preset == run.setting.scale


@pytest.mark.parametrize(
    "run", {run.setting.name: run for run in RUNS.values()}.values(), ids=COMMAND
)
def test_commands_are_understood(run: Run, tmp_path: Path) -> None:
    # Settings are looked at above; here one run of each data set with all its other flags.
    kind, args = parsed(run.row.method, [*run.words()[1:], "--out", str(tmp_path / "run")])
    assert args.method == kind.Config(**run.settings)
    assert (args.data, args.training.budget) == (run.setting.data, run.budget)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_figures_belong_to_measures_and_rows(table: Table) -> None:
    assert table.score in SCORES
    labels = {row.label for row in table.rows}
    scales = {run.setting.scale for run in table.runs()}
    if table.published is None:
        assert scales == {"laptop"}
    else:
        assert labels & set(table.published.rows)
        for label in table.published.rows:
            for data, values in table.published.by_data(label).items():
                assert set(values) <= set(table.measures), (label, data)
                for figure in values.values():
                    float(figure.removeprefix("<"))
        assert scales == {"laptop", "paper"}
    assert len({row.key for row in table.rows}) == len(table.rows)
    for setting in table.settings:  # one line a label in the section of a data set
        shown = [run.row.label for run in table.runs() if run.setting is setting]
        assert len(set(shown)) == len(shown)
    for number, row in enumerate(table.rows):  # a row that another starts from comes before it
        assert row.after is None or row.after in table.rows[:number]


def test_a_name_stands_for_one_command() -> None:
    # What two tables share is trained once: neither may mean another training by it.
    commands: dict[str, set[str]] = {}
    for (_, name), run in RUNS.items():
        commands.setdefault(name, set()).add(run.command)
    assert [found for found in commands.values() if len(found) > 1] == []


@pytest.mark.parametrize(
    "setting",
    {s.name: s for t in TABLES.values() for s in t.settings}.values(),
    ids=lambda s: s.name,
)
def test_data_have_what_settings_name(setting: Setting) -> None:
    if setting.data in DRAWN:
        assert setting.scale == "laptop" or setting.data.endswith("-all.npz")
        return
    if setting.data.endswith(".npz"):
        assert setting.scale == "laptop"
        return
    known = named_set(setting.data)
    named = [f for f in (*setting.identity.split(","), *setting.rest.split(",")) if f]
    assert set(named) | set(setting.columns) <= set(known.factors)
    if "--test-protocol" in setting.split:
        assert setting.split.split()[1] in known.splits
    # Without files of its own at laptop scale, and never called embedded at the paper's otherwise.
    assert setting.scale == "paper" or (known.embedded and not setting.files)


def test_figures_by_data() -> None:
    columns = (("a", "x"), ("a", "y"), ("b", "x"))
    figures = Figures("Table 9", columns, {"Ours": "<0.01 .22 0.010", "Theirs": "- - 3"})
    assert figures.by_data("Ours") == {"a": {"x": "<0.01", "y": ".22"}, "b": {"x": "0.010"}}
    assert figures.by_data("Theirs") == {"b": {"x": "3"}}
    assert figures.by_data("Others") == {}
    with pytest.raises(ValueError):  # a figure too few
        Figures("Table 9", columns, {"Ours": "1 2"}).by_data("Ours")


def test_settings_as_flags() -> None:
    words = setting_words({"label_dims": (10,), "shares": (1.0, 2.0), "decay": 0, "branch": False})
    assert words == ["--label-dims", "10", "--shares", "1.0", "2.0", "--decay", "0", "--no-branch"]


def test_what_a_run_is_told_last_holds() -> None:
    setting = Setting("s", "d", "paper", "1h", identity="who", told={"m": {"a": 1, "b": 1, "c": 1}})
    row = Row("r", "R", "m", {"b": 2, "c": 2, "d": ("{identity}", 5)}, by_data={"s": {"c": 3}},
              budgets={"s": "2h"}, split="--test 0")  # fmt: skip
    run = Run(row, setting, 4)
    assert run.settings == {"preset": "paper", "a": 1, "b": 2, "c": 3, "d": ("who", 5)}
    assert run.name == "r-s-2h-4"
    assert run.words("x/d")[:4] == ["m", "x/d", "--test", "0"]
    assert run.words()[-4:] == ["--budget", "2h", "--seed", "4"]
    after = Run(replace(row, key="q", after=row, budgets={}), setting, 4)
    assert after.words()[-2:] == ["--start-from", "r-s-2h-4"]
    assert after.words(runs=Path("x"))[-2:] == ["--start-from", "x/r-s-2h-4"]


def test_correlated_rows_are_all_there_are() -> None:
    rows = correlated_rows(500)
    floor, wall = shapes3d.index_to_factors(rows)[:, :2].T
    assert set((floor - wall) % 10) == {0, 1, 9}
    assert len(correlated_rows()) == shapes3d.ROWS * 3 // 10


# ---------------------------------------------------------------------- the same by a short command


SHORT = [
    ("lord cars3d", "lord-table1", "lord", "cars3d"),
    ("lord smallnorb", "lord-table1", "lord", "smallnorb"),
    ("lord smallnorb --test-protocol smallnorb-poses", "lord-table1", "lord", "smallnorb-poses"),
    ("lord celeba", "lord-table2", "lord", "celeba"),
    ("lord rafd", "lord-table4", "lord", "rafd"),
    ("content-style cars3d", "content-style-table1", "content-style", "cars3d"),
    ("content-style chairs", "content-style-table1", "content-style", "3d-chairs"),
    ("lord chairs", "content-style-table1", "lord", "3d-chairs"),
    ("robust sprites", "robust-table1", "robust-adaptive", "reed-sprites"),
    ("robust deepfashion", "robust-table2", "robust-adaptive", "deepfashion"),
    ("symmetric-reference-vae affectnet", "reference-vae-table1", "symmetric-reference-vae",
     "affectnet"),
    ("disunknown mixamo", "disunknown-table4", "disunknown-skeletons", "mixamo"),
]  # fmt: skip


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a GPU, in an empty folder."""
    from unmingle.training import hardware

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "choose_device", lambda device: "cuda")


@pytest.mark.parametrize(("words", "table", "row", "setting"), SHORT)
def test_a_short_command_trains_what_the_table_does(
    gpu: None,
    words: str,
    table: str,
    row: str,
    setting: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    method, data, *more = words.split()
    _, short = parsed(method, [data, *more])
    told = capsys.readouterr().err
    assert told.startswith(f"{data}, as in ")
    run = Run(TABLES[table].row(row), TABLES[table].setting(setting))
    _, full = parsed(run.row.method, run.words()[1:])
    if getattr(full.method, "perceptual", "") == "vgg16":  # is downloaded: must be asked for
        assert "--perceptual vgg16" in told
        full.method.perceptual = "efficientnet-lite0"
    assert (short.data, short.method) == (full.data, full.method)
    assert (short.reading, short.splitting) == (full.reading, full.splitting)
    assert short.training.budget == full.training.budget == run.budget
    assert short.training.out == Path("runs") / f"{method}-{data}"


def test_tables_leave_nothing_to_be_filled_in(
    gpu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {run.command: run for run in RUNS.values() if run.setting.data in CATALOGUE}
    for run in commands.values():
        _, args = parsed(run.row.method, run.words()[1:])
        assert args.training.budget == run.budget
    assert capsys.readouterr().err == ""


EXPERIMENTS = [
    (name, split, found)
    for name in CATALOGUE
    for split, protocol in named_set(name).splits.items()
    for found in protocol.experiments
]


@pytest.mark.parametrize(
    ("name", "split", "found"), EXPERIMENTS, ids=[f"{n}-{s}-{f.method}" for n, s, f in EXPERIMENTS]
)
def test_experiments_of_the_papers_are_understood(
    gpu: None, name: str, split: str, found: Any
) -> None:
    kind, args = parsed(found.method, [name, "--test-protocol", split])
    told = {"preset": "paper", **found.settings, **found.paper}
    assert args.method == kind.Config(**told)
    assert (args.splitting.test_protocol, args.training.budget) == (split, found.budget)
    protocol = named_set(name).splits[split]
    named = [f for f in (*protocol.identity.split(","), *protocol.rest.split(",")) if f]
    assert set(named) <= set(named_set(name).factors)


# ---------------------------------------------------------------------- the runner


SMALL = {"widths": (4, 8), "latent_dim": 4, "batch": 8}
PLAIN = Setting("tiny", "tiny.npz", "laptop", "4steps", split="--test 0.25", columns=("b",))
TINY = Table(
    name="tiny",
    title="Tiny",
    paper="Somebody, 2020",
    score="linear",
    measures={"b": "b ↑"},
    rows=(Row("one", "Ours", "vae", SMALL), Row("two", "Ours, calm", "vae", {**SMALL, "lr": 1e-4})),
    settings=(
        PLAIN,
        replace(PLAIN, name="elsewhere", data="elsewhere.npz"),
        Setting("cars", "cars3d", "paper", "2epochs", "--size 64"),
    ),
    published=Figures("Table 9", (("cars", "b"),), {"Ours": "0.5", "Theirs": "<0.01"}),
    notes=("A note.",),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(TABLES, "tiny", TINY)
    monkeypatch.setenv("UNMINGLE_DATA", str(tmp_path / "none"))
    sets = tmp_path / "sets"
    sets.mkdir()
    grid(6, 4, 3).save(sets / "tiny.npz")
    return tmp_path


def bench(folder: Path, *more: str) -> int:
    return main(["bench", "tiny", "--data", str(folder / "sets"), "--out", str(folder / "out"),
                 "--threads", "1", "--device", "cpu", *more])  # fmt: skip


def test_trains_scores_writes_and_does_nothing_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(folder, "--seeds", "2") == 0
    out, err = capsys.readouterr()
    assert "elsewhere.npz is not in" in err and "unmingle train vae" in err
    assert out == (folder / "out" / "tiny.md").read_text()
    runs = folder / "out" / "runs"
    models = sorted(runs.glob("*/model.safetensors"))
    assert [m.parent.name for m in models] == [
        "one-tiny-4steps-0", "one-tiny-4steps-1", "two-tiny-4steps-0", "two-tiny-4steps-1",
    ]  # fmt: skip
    table = json.loads((folder / "out" / "tiny.json").read_text())
    line = table["lines"][0]
    assert (line["label"], line["scale"], line["data"], line["seeds"]) == (
        "Ours", "laptop", "tiny", [0, 1],
    )  # fmt: skip
    values = [
        json.loads((runs / f"one-tiny-4steps-{seed}.json").read_text())["measures"]["linear"]["b"]
        for seed in (0, 1)
    ]
    assert line["measures"]["b"]["values"] == values
    assert line["measures"]["b"]["mean"] == pytest.approx(np.mean(values))
    assert line["measures"]["b"]["std"] == pytest.approx(np.std(values, ddof=1))
    assert "torch" in table["runs"]["one-tiny-4steps-0"]["versions"]
    before = [model.stat().st_mtime_ns for model in models]
    (runs / "one-tiny-4steps-0" / "model.safetensors").unlink()  # no longer needed
    assert bench(folder, "--seeds", "2") == 0
    assert "unmingle train" not in capsys.readouterr().err
    assert [model.stat().st_mtime_ns for model in models[1:]] == before[1:]


def test_the_written_table_has_a_section_for_each_data_set(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(folder, "--seeds", "1", "--only", "one") == 0
    text = (folder / "out" / "tiny.md").read_text()
    title, paper, *sections, notes = text.split("\n\n")
    assert (title, paper) == ("# tiny: Tiny", "Somebody, 2020")
    assert sections[0] == "## tiny, scale laptop"
    assert sections[1].startswith("| row | b ↑ | budget | seeds |\n|---|---|---|---|\n| Ours | 0.")
    assert sections[1].endswith(" | 4steps | 1 |")
    assert sections[2:] == [
        "## cars, published",
        "| row | b ↑ |\n|---|---|\n| Ours | 0.5 |\n| Theirs | <0.01 |",
        "## Notes",
    ]
    assert "- A note.\n" in notes and "\n- Machine: " in notes


def test_measured_numbers_stand_beside_the_published_ones() -> None:
    line = {"scale": "paper", "data": "cars", "budget": "2epochs"}
    ours = {"mean": 0.25, "std": 0.125}
    calm = {"mean": 0.5, "std": None}
    found = {
        "lines": [
            {**line, "label": "Ours", "seeds": [0, 1], "measures": {"b": ours}},
            {**line, "label": "Ours, calm", "seeds": [0], "measures": {"b": calm}},
        ],
        "published": {"source": "Table 9", "rows": {"Ours": {"cars": {"b": ".3"}}}},
        "runs": {},
    }
    lines = [line for line in markdown(TINY, found).splitlines() if line.startswith("| ")]
    assert lines == [
        "| row | b ↑ | published | budget | seeds |",
        "| Ours | 0.25 ± 0.12 | .3 | 2epochs | 2 |",
        "| Ours, calm | 0.5 | - | 2epochs | 1 |",
    ]


def test_an_interrupted_training_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: Method, *args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Method, "save", stopped)
        assert bench(folder, "--seeds", "1", "--only", "one") == 130
    run = folder / "out" / "runs" / "one-tiny-4steps-0"
    assert (run / "checkpoint").is_dir() and not (run / "model.safetensors").exists()
    logged = (run / "metrics.jsonl").read_text()
    err = capsys.readouterr().err
    assert "--resume" not in err and err.endswith("the same command goes on from here\n")
    assert bench(folder, "--seeds", "1", "--only", "one") == 0
    assert "--resume" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_text() == logged  # no step was made again


def test_a_run_that_is_trained_is_only_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setitem(SCORES, "linear", broken)
        assert bench(folder, "--seeds", "1", "--only", "one") == 2
    data = folder / "sets" / "tiny.npz"
    data.rename(folder / "kept.npz")
    grid(6, 4, 4).save(data)
    assert bench(folder, "--seeds", "1", "--only", "one") == 2
    assert "tiny.npz has changed since" in capsys.readouterr().err
    (folder / "kept.npz").replace(data)
    assert bench(folder, "--seeds", "1", "--only", "one") == 0
    assert "unmingle train" not in capsys.readouterr().err


def test_another_plan_in_the_same_folder_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(folder, "--seeds", "1", "--only", "one") == 0
    other = replace(TINY, rows=(Row("one", "Ours", "vae", {**SMALL, "lr": 0.5}), TINY.rows[1]))
    monkeypatch.setitem(TABLES, "tiny", other)
    capsys.readouterr()
    assert bench(folder, "--seeds", "1", "--only", "two") == 2  # before it trains the other row
    err = capsys.readouterr().err
    assert "one-tiny-4steps-0.json is of another plan" in err.splitlines()[-1]
    assert "unmingle train vae" not in err.split("is of another plan")[0]


def test_dry_run_says_what_would_be_done_and_does_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(folder, "--dry-run", "--seeds", "2", "--budget", "30min") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    tiny = folder / "sets" / "tiny.npz"
    assert lines[0].startswith(f"unmingle train vae {tiny} --test 0.25 --widths 4 8")
    assert sum(line.startswith("unmingle train vae") for line in lines) == 4
    assert "4 of 4 runs are left: 2.0 h of training" in lines
    assert "there: tiny.npz (laptop scale)" in lines
    assert any(line.startswith("missing: elsewhere.npz is not in") for line in lines)
    assert not (folder / "out").exists()
    assert bench(folder, "--dry-run", "--scale", "paper") == 0
    out = capsys.readouterr().out
    assert "missing: cars3d: not in" in out and "unmingle data get cars3d" in out


def test_a_run_that_fails_is_left_out_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    linear = SCORES["linear"]

    def large(trained: Any) -> Any:
        if trained.run.row.key == "one":
            raise MemoryError("too large\nfor this machine")
        return linear(trained)

    with monkeypatch.context() as patch:
        patch.setitem(SCORES, "linear", large)
        assert bench(folder, "--seeds", "1") == 2
    out, err = capsys.readouterr()
    reason = "one-tiny-4steps-0: MemoryError: too large for this machine"
    assert f"left out: {reason}\n" in err
    assert err.splitlines()[-1].startswith("unmingle: 1 of 2 runs were left out")
    assert reason in err.splitlines()[-1]
    assert out == (folder / "out" / "tiny.md").read_text() and "| Ours, calm | " in out
    assert bench(folder, "--seeds", "1") == 0  # the first is scored now
    lines = json.loads((folder / "out" / "tiny.json").read_text())["lines"]
    assert [line["row"] for line in lines] == ["one", "two"]


def test_what_starts_from_a_run_that_failed_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = TINY.rows
    broken = replace(one, settings={**SMALL, "batch": 7})
    rows = (broken, replace(two, after=broken), replace(two, key="three", label="Ours, again"))
    monkeypatch.setitem(TABLES, "tiny", replace(TINY, rows=rows))
    fit = Method.fit

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        if self.config.batch == 7:
            raise OSError("no power")
        return fit(self, *args, **options)

    monkeypatch.setattr(Method, "fit", failing)
    assert bench(folder, "--seeds", "1") == 2
    err = capsys.readouterr().err
    assert "left out: one-tiny-4steps-0: OSError: no power\n" in err
    assert "left out: two-tiny-4steps-0: it starts from one-tiny-4steps-0, which failed\n" in err
    lines = json.loads((folder / "out" / "tiny.json").read_text())["lines"]
    assert [line["row"] for line in lines] == ["three"]


def test_a_folder_of_pictures_stands_in_for_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = folder / "sets"
    data = grid(3, 4, 3)
    setting = replace(PLAIN, levels="a,b")
    place = Place(folder / "out", sets)
    assert place.source(setting) == str(sets / "tiny.npz") and place.missing(setting) == ""
    (sets / "tiny.npz").unlink()
    assert place.missing(setting) == f"tiny.npz (or its folder of a,b) is not in {sets}"
    for row, pixels in enumerate(data.take()):
        above = sets / "tiny" / f"a{data.factor('a')[row]}" / f"b{data.factor('b')[row]}"
        above.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:, :, 0]).save(above / f"{row}.png")
    assert place.missing(setting) == "" and place.source(setting) == str(sets / "tiny")
    assert place.missing(PLAIN) == f"tiny.npz is not in {sets}"  # no one says what its folders are
    table = replace(TINY, rows=TINY.rows[:1], settings=(setting,))
    monkeypatch.setitem(TABLES, "tiny", table)
    assert bench(folder, "--seeds", "1") == 0
    err = capsys.readouterr().err
    assert f"unmingle train vae {sets / 'tiny'} " in err and "--factors a,b --size 64" in err
    (line,) = json.loads((folder / "out" / "tiny.json").read_text())["lines"]
    assert set(line["measures"]) == {"b"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("tiyn", "Did you mean 'tiny'"),
        ("tiny --only three", "tiny has no row 'three'. There is: one, two"),
        ("tiny --seeds 0", "--seeds must be at least 1"),
        ("tiny --budget soon", "--budget 'soon'"),
        ("tiny --data nowhere", "--data nowhere is no folder"),
        ("tiny --device tpu", "--device is auto, cpu,"),
        ("tiny --threads 0", "--threads must be at least 1"),
        ("tiny --out {folder}/sets/tiny.npz", "tiny.npz is a file; a bench needs a folder"),
        ("tiny --scale paper", "no data are there at the scale paper; --scale laptop"),
    ],
)
def test_mistakes_are_told_in_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, part: str
) -> None:
    assert main(["bench", *words.format(folder=folder).split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and part in err.splitlines()[-1]


def test_bench_alone_lists_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == list(TABLES)


# ---------------------------------------------------------------------- scales, seeds, budgets


def test_the_papers_scale_needs_data_and_a_gpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unmingle.training import hardware

    def run() -> str:
        assert main(["bench", "tiny", "--data", str(folder / "sets"), "--dry-run"]) == 0
        return capsys.readouterr().out

    cars = folder / "none" / "cars3d" / "cars"
    cars.mkdir(parents=True)
    (cars / "list.txt").write_text("car_001_mesh\n")
    monkeypatch.setattr(hardware, "choose_device", lambda device: "cpu")
    assert "cars3d" not in run()
    monkeypatch.setattr(hardware, "choose_device", lambda device: "cuda")
    text = run()
    assert "there: cars3d (paper scale)" in text and "tiny.npz" not in text
    assert "6 of 6 runs are left: 12 epochs" in text  # two epochs, two rows, three seeds
    assert "--preset paper" in text


def test_every_seed_is_done_before_the_next(folder: Path) -> None:
    place = Place(folder / "out", folder / "sets")
    runs, _ = chosen(TINY, "laptop", place, 2)
    assert [(run.seed, run.row.key) for run in runs] == [
        (0, "one"), (0, "two"), (1, "one"), (1, "two"),
    ]  # fmt: skip


def test_a_row_brings_the_one_it_starts_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = TINY.rows
    monkeypatch.setitem(TABLES, "tiny", replace(TINY, rows=(one, replace(two, after=one))))
    assert bench(folder, "--seeds", "1", "--only", "two", "--budget", "2steps") == 0
    first, second = (
        line for line in capsys.readouterr().err.splitlines() if line.startswith("$ unmingle train")
    )
    runs = folder / "out" / "runs"
    assert "--start-from" not in first and first.endswith(str(runs / "one-tiny-2steps-0"))
    assert f"--start-from {runs / 'one-tiny-2steps-0'}" in second


def test_budgets() -> None:
    table = with_budget(TABLES["lord-table3"], "8min")
    assert {run.budget for run in table.runs()} == {"8min"}
    assert with_budget(TINY, None) is TINY
    assert total(["30min", "1h", "10steps", "5steps"]) == "1.5 h of training, 15 steps"
    assert total(["15min", "30s"]) == "15.5 min of training"
    assert total([]) == "nothing to train"


def test_runs_of_another_budget_stay_out_of_a_table(tmp_path: Path) -> None:
    place, short = Place(tmp_path), with_budget(TINY, "2steps")
    for table, seed in ((TINY, 0), (TINY, 3), (short, 0)):
        run = next(table.runs(seed))
        save_record(run, place, {"command": run.command, "measures": {"linear": {"b": 0.5}}})
    assert list(collect(TINY, place)["runs"]) == ["one-tiny-4steps-0", "one-tiny-4steps-3"]
    assert list(collect(short, place)["runs"]) == ["one-tiny-2steps-0"]


# ---------------------------------------------------------------------- what runs need


def test_what_counts_of_the_logs_is_the_last_tenth(tmp_path: Path) -> None:
    lines = [{"total_step": step, "logs": {"a": float(step)}} for step in (10, 90, 95, 100)]
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert last_logs(file) == {"a": 97.5}


# ---------------------------------------------------------------------- measures


class Squares:
    """Stands in for a network of ST-LPIPS."""

    def distances(self, truth: np.ndarray, others: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.square(truth / 255 - other / 255.0).mean((1, 2, 3)) for other in others]


NETS = {
    "generator_widths": (4, 4, 4, 4, 4),
    "encoder_widths": (4, 4, 4, 4, 4),
    "batch": 8,
    "content_dim": 4,
    "class_dim": 4,
}
KNOWN = replace(PLAIN, identity="a", rest="b", columns=())
UNKNOWN = {"labelled": ("a",), "unknown_dim": 4, "widths": (4, 8), "features": 8, "batch": 8}
LORD = Row("r", "R", "lord", {**NETS, "class_factor": "{identity}", "perceptual": "none"})
CASES = {
    "swaps": LORD,
    "whole": LORD,
    "mistaken": LORD,
    "rebuilt": Row("r", "R", "disunknown", UNKNOWN),
    "gap": Row("r", "R", "disunknown", UNKNOWN),
    "logged": Row("r", "R", "robust",
                     {"class_factor": "{identity}", "perceptual": "none", "batch": 4}),
    "identity": Row("r", "R", "robust",
                    {"class_factor": "{identity}", "perceptual": "none", "batch": 4}),
}  # fmt: skip


# What such tables show of other data, and of other models.
OTHERS = {"swaps": {"landmarks"}, "whole": {"mig", "modularity"}}


@pytest.mark.parametrize(("score", "rest"), [*((score, "b") for score in CASES), ("swaps", "")])
def test_every_measure_gives_what_its_tables_show(
    folder: Path, monkeypatch: pytest.MonkeyPatch, score: str, rest: str
) -> None:
    # Networks that judge are tested elsewhere: these are not trained, and see squares of errors.
    monkeypatch.setattr("unmingle.evaluation.reidentification._train", lambda *_: None)
    monkeypatch.setattr("unmingle.evaluation.st_lpips.st_lpips", lambda *_: Squares())
    monkeypatch.setattr("unmingle.evaluation.mlp._PATIENCE", 1)
    monkeypatch.setattr("unmingle.evaluation.mlp._SETTINGS", mlp._SETTINGS[:1])
    shown = {m: m for table in TABLES.values() if table.score == score for m in table.measures}
    case = replace(TINY, score=score, measures=shown, rows=(CASES[score],),
                   settings=(replace(KNOWN, rest=rest),))  # fmt: skip
    monkeypatch.setitem(TABLES, "tiny", case)
    assert bench(folder, "--seeds", "1") == 0
    (line,) = json.loads((folder / "out" / "tiny.json").read_text())["lines"]
    probed = {"identity_in_rest", "identity_in_rest_linear"}
    assert set(line["measures"]) == (set(shown) - OTHERS.get(score, set()) if rest else probed)
    for file in (folder / "out").rglob("*.json"):  # but for config.json, which finds data again
        assert file.name == "config.json" or str(folder) not in file.read_text()
    assert all(np.isfinite(value["mean"]) for value in line["measures"].values())


def test_a_single_code_is_parted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmingle.evaluation.st_lpips.st_lpips", lambda *_: Squares())
    monkeypatch.setattr("unmingle.evaluation.mlp._PATIENCE", 1)
    monkeypatch.setattr("unmingle.evaluation.mlp._SETTINGS", mlp._SETTINGS[:1])
    row = Row("r", "R", "factor-vae", {**SMALL, "discriminator_width": 8}, split="--test 0")
    shown = {m: m for name in ("content-style-table1", "content-style-table2")
             for m in TABLES[name].measures}  # fmt: skip
    case = replace(TINY, score="swaps", measures=shown, rows=(row,), settings=(KNOWN,))
    monkeypatch.setitem(TABLES, "tiny", case)
    assert bench(folder, "--seeds", "1") == 0
    (line,) = json.loads((folder / "out" / "tiny.json").read_text())["lines"]
    assert set(line["measures"]) == set(shown) - {"landmarks"}
    record = json.loads((folder / "out" / "runs" / "r-tiny-4steps-0.json").read_text())
    context = record["details"]["swaps"]["context"]
    assert context["roles"] == {"style": "a", "content": "b"}
    dims = context["dimensions"]
    assert sorted([*dims["style"], *dims["content"]]) == [0, 1, 2, 3]


def test_a_single_code_is_scored_by_what_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmingle.evaluation.st_lpips.st_lpips", lambda *_: Squares())
    monkeypatch.setattr("unmingle.evaluation.mlp._PATIENCE", 1)
    monkeypatch.setattr("unmingle.evaluation.mlp._SETTINGS", mlp._SETTINGS[:1])
    methods = TABLES["methods"]
    case = replace(TINY, score="whole", measures=methods.measures,
                   rows=(Row("r", "R", "vae", SMALL),), settings=(KNOWN,))  # fmt: skip
    monkeypatch.setitem(TABLES, "tiny", case)
    assert bench(folder, "--seeds", "1") == 0
    (line,) = json.loads((folder / "out" / "tiny.json").read_text())["lines"]
    known = {"identity_in_identity", "rest_in_rest"}
    assert set(line["measures"]) == {"rebuilt", "mig", "modularity", *known}
    assert all(np.isfinite(value["mean"]) for value in line["measures"].values())
    record = (folder / "out" / "runs" / "r-tiny-4steps-0.json").read_text()
    assert str(folder) not in record and json.loads(record)["details"]["whole"]["judges"] is None


def test_all_methods_are_in_the_table_of_all_methods() -> None:
    assert {row.method for row in TABLES["methods"].rows} == set(METHODS)


class Columns:
    """Gives the first entries of a vector as one code and the others as another."""

    code_spaces = ("first", "second")

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, items: Any) -> dict[str, np.ndarray]:
        values = np.asarray(items)
        return {"first": values[:, : self.width], "second": values[:, self.width :]}


def test_errors_of_landmarks_are_in_the_unit_of_the_setting() -> None:
    random = np.random.default_rng(0)
    vectors = np.column_stack([random.normal(size=(300, 1)), np.zeros((300, 1))])
    x, y = 3 * vectors[:, 0] + 1, random.normal(size=300)
    data = FactorDataset(vectors=vectors, continuous={"x": x, "y": y})
    rest, test = data.select(np.arange(200)), data.select(np.arange(200, 300))
    setting = replace(PLAIN, columns=("x",), units={"x": 2.0})
    error, details = _landmarks(Columns(1), rest, test, "first", setting)
    assert error == pytest.approx(0, abs=1e-5)
    assert set(details["amounts"]) == {"first", "second"}
    # A code that says nothing: the mean of the rows fitted to is all there is to answer.
    error, _ = _landmarks(Columns(1), rest, test, "second", setting)
    assert error == pytest.approx(np.abs(x[200:] - x[:200].mean()).mean() / 2, rel=1e-4)
    both = replace(PLAIN, columns=("x", "y"))
    error, _ = _landmarks(Columns(1), rest, test, "second", both)
    apart = [np.abs(v[200:] - v[:200].mean()).mean() for v in (x, y)]
    assert error == pytest.approx(np.mean(apart), rel=1e-4)


def test_accuracies_by_value() -> None:
    # a and b have codes of their own; c and d have the same, so that one answer is given for both.
    kind = np.repeat(np.arange(4), 30)
    code = np.array([[5.0, 0], [0, 5], [-5, -5], [-5, -5]])[kind]
    names = {"kind": ("a", "b", "c", "d")}
    data = FactorDataset(vectors=code, factors={"kind": kind}, value_names=names)
    found = _by_value(Columns(2), data, data, "first", "kind")
    assert (found["kind a"], found["kind b"]) == (1, 1)
    assert sorted((found["kind c"], found["kind d"])) == [0, 1]
    first, second = _halves(data.select(np.arange(118)), ("amount", "kind"))
    assert np.bincount(first.factor("kind")).tolist() == [15, 15, 15, 14]
    assert np.bincount(second.factor("kind")).tolist() == [15, 15, 15, 14]
    assert sorted([*first.ids, *second.ids]) == list(range(118))


# ---------------------------------------------------------------------- skeletons


def test_bones_of_a_stick_figure_keep_their_length() -> None:
    data = stick_figures(3, 4, 5)
    assert len(data) == 60 and data.shape == (33,)
    points = data.take().reshape(-1, 11, 3)
    assert (points[:, 0] == 0).all()
    lengths = np.stack([
        np.linalg.norm(points[:, bone + 1] - points[:, above], axis=1)
        for bone, (above, *_) in enumerate(_BONES)
    ], axis=1)  # fmt: skip
    for who in range(3):
        own = lengths[data.factor("character") == who]
        assert np.ptp(own, axis=0).max() < 1e-5
        np.testing.assert_allclose(own[:, 2], own[:, 4], rtol=1e-5)  # left and right upper arm
    assert np.ptp(lengths, axis=0).min() > 0.01  # characters differ
    still = points.reshape(3, 4, 5, 11, 3)
    assert np.ptp(still, axis=2).max() > 0.1 and np.ptp(still, axis=1).max() > 0.1  # they move


def test_a_motion_on_another_skeleton(tmp_path: Path) -> None:
    data = stick_figures()
    data.save(tmp_path / "skeletons.npz")
    test = data.split(4, by="character")[1]
    random = np.random.default_rng(0)
    moved, other, true = find_moments(test, "character", "motion", random)
    who, what, when = (*map(test.factor, ("character", "motion")), test.continuous["frame"])
    assert len(moved) > 1000 and (who[moved] != who[other]).all()
    assert (who[true] == who[other]).all() and (what[true] == what[moved]).all()
    assert (when[true] == when[moved]).all()
    sides = random.uniform(0, 360, (2, len(moved)))
    truth = look(test.take(true), sides[0])

    def scores(answer: Any) -> dict[str, float]:
        spaces = {name: SimpleNamespace(factor=name) for name in ("character", "view")}
        spaces["unknown"] = SimpleNamespace(factor=None)
        model = SimpleNamespace(code_spaces=spaces, recombine=answer)
        source = str(tmp_path / "skeletons.npz")
        return retarget(SimpleNamespace(setting=SKELETONS, model=model, source=source))[0]

    unchanged = scores(lambda given: given["unknown"])
    assert unchanged["mae"] == unchanged["copied"] > 0.01
    assert scores(lambda given: given["view"]) == unchanged  # of the same frame
    assert scores(lambda given: given["character"])["mae"] > unchanged["mae"]
    perfect = scores(lambda given: truth)
    assert (perfect["mse"], perfect["mae"]) == (0, 0)
    off = scores(lambda given: truth + 0.5)
    assert off["mse"] == pytest.approx(0.25, rel=1e-5)
    assert off["mae"] == pytest.approx(0.5, rel=1e-5)


def pictures() -> FactorDataset:
    """Every (a, b) eight times: a bar at row a, a bar at column b, and the number in a corner."""
    a, b = (part.ravel() for part in np.indices((8, 6, 4))[1:])
    images = np.zeros((len(a), 16, 16, 1), np.uint8)
    for n in range(len(a)):
        images[n, 2 * a[n] + 2] = images[n, :, 3 * b[n] + 3] = 255
        images[n, 0, 0] = 4 * a[n] + b[n]
    return FactorDataset(images=images, factors={"a": a, "b": b}, name="bars")


class Told:
    """Holds the bar's row of `pictures` in one code and its column in the other."""

    code_spaces = ("first", "second")

    def __init__(self, data: FactorDataset, of: str) -> None:
        self.data, self.of = data, of  # the factor that `first` holds

    def encode(self, items: np.ndarray) -> dict[str, np.ndarray]:
        number = np.asarray(items)[:, 0, 0, 0].astype(int)
        codes = {"a": number // 4, "b": number % 4}
        names = (self.of, "b" if self.of == "a" else "a")
        return {
            space: codes[name][:, None].astype(np.float32)
            for space, name in zip(self.code_spaces, names, strict=True)
        }

    def decode(self, codes: dict[str, np.ndarray]) -> np.ndarray:
        a, b = (codes[s][:, 0].astype(int) for s in self.code_spaces)
        if self.of == "b":
            a, b = b, a
        return self.data.items[:24][4 * a + b]


@pytest.mark.parametrize(("of", "look"), [("a", "first"), ("b", "second")])
def test_what_a_code_carries_is_found(of: str, look: str) -> None:
    data = pictures()
    roles, found, assumed = find_spaces(Told(data, of), data, "a", "b")
    layout = "second" if look == "first" else "first"
    assert list(roles.items()) == [(look, "a"), (layout, "b")]
    assert not assumed and [one.space for one in found] == [look, layout]
    assert list(find_spaces(Told(data, of), data, "a", "")[0].items()) == [
        (look, "a"),
        (layout, ""),
    ]
