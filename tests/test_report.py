"""The report: what is in it, that it is well-formed, self-contained and safe."""

from __future__ import annotations

import base64
import io
import json
import shlex
import shutil
from dataclasses import asdict, fields, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tyro
from PIL import Image
from test_cli import TRAIN, failure

from unmingle.cli import main
from unmingle.commands._data import Reading
from unmingle.commands._scoring import told
from unmingle.commands.evaluate import Evaluate
from unmingle.commands.train import Train
from unmingle.data import FactorDataset
from unmingle.errors import ConfigError, RunError
from unmingle.evaluation import Estimate, Scores
from unmingle.evaluation.audit import Audit
from unmingle.evaluation.consistency import CodePair, Swap
from unmingle.evaluation.feature_distance import FeatureDistance, Spread
from unmingle.evaluation.judges import Judgement, Judging
from unmingle.evaluation.leaks import Information, Leak, LeakProbe
from unmingle.evaluation.probes import ProbeResult
from unmingle.evaluation.scores import ProbeRow
from unmingle.methods import METHODS
from unmingle.report import Subject, report_html, write_report
from unmingle.report.about import (
    changed_settings,
    evaluate_command,
    in_lines,
    python_call,
    train_command,
)
from unmingle.report.codes import explained, principal_plane
from unmingle.report.html import Markup, tag
from unmingle.report.pictures import _sources_apart, picture
from unmingle.report.svg import Line, _log_ticks, _ticks, line_chart, scatter
from unmingle.report.values import show

HOSTILE = "<script>alert('x')</script>&\"'"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements of a page; fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attrs):
        self.found.append((name, dict(attrs)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        """Words with single spaces, commands on one line."""
        return " ".join(" ".join(self.texts).replace("\\\n", " ").split())

    def all(self, name):
        return [attrs for found, attrs in self.found if found == name]

    def ids(self):
        return [attrs["id"] for _, attrs in self.found if "id" in attrs]


def pixels(source):
    head, _, data = source.partition(";base64,")
    assert head in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


# ---------------------------------------------------------------------- HTML


def test_texts_are_escaped_and_markup_is_not():
    made = tag("p", "a < b & c", tag("b", 3), None, class_="x", title='say "<"', aria_label=None)
    assert made == '<p class="x" title="say &quot;&lt;&quot;">a &lt; b &amp; c<b>3</b></p>'
    assert tag("img", alt="<") == '<img alt="&lt;">'
    assert tag("i", Markup("<u></u>")) == "<i><u></u></i>"


def test_values_of_unknown_parts_become_tables():
    made = Page(show(
        {
            "mig": {"score": 0.25, "per_factor": [0.5, None], "context": {"secret": 1}},
            "records": [{"n": "a<b", "found": {"value": 0.5, "low": 0.25, "high": 0.75}}],
            "flag": True,
            "spread": {"mean": 2.0, "low": 1.0, "high": None},
        },
        "x",
    ))  # fmt: skip
    for part in ("0.2500", "0.5000, –", "a<b", "0.5000 [0.2500, 0.7500]", "yes", "per factor"):
        assert part in made.text
    assert "secret" not in made.text


# ---------------------------------------------------------------------- charts


def test_ticks_are_round_and_span_the_values():
    assert _ticks(0, 15) == [0, 5, 10, 15]
    assert _ticks(0.03, 0.41) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert _ticks(7, 7) == [7]
    assert _log_ticks(0.03, 3) == [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    assert _log_ticks(3e-6, 2e2) == [10.0**k for k in range(-6, 4)]
    rng = np.random.default_rng(0)
    for low, high in np.sort(10 ** rng.uniform(-9, 9, (200, 2))):
        for ticks in (_ticks(low, high), _log_ticks(low, high)):
            assert ticks[0] <= low * (1 + 1e-6) and ticks[-1] >= high * (1 - 1e-6)
            assert 2 <= len(ticks) <= 20 and ticks == sorted(set(ticks))


def test_a_line_is_drawn_where_its_values_are():
    chart = line_chart([Line("a", np.array([0.0, 5, 10]), np.array([0.0, 1, 4]))], "x", "s", 10)
    page = Page(chart)
    (line,) = page.all("polyline")
    # Ticks 0 to 4 over y 166 (bottom) to 16; x 0 to 10 over 46 to 352.
    assert line["points"] == "46,166 199,128.5 352,16"
    log = Page(line_chart([Line("a", np.array([0.0, 10]), np.array([1.0, 100]))], "x", "s", 10))
    assert log.all("polyline")[0]["points"] == "46,166 352,16"
    gap = Line("a", np.array([0.0, 5, 10]), np.array([0.0, np.nan, 4]))
    assert Page(line_chart([gap], "x", "s", 10)).all("polyline")[0]["points"].count(",") == 2


def test_long_lines_are_thinned_to_means():
    x = np.arange(1000.0)
    (line,) = Page(line_chart([Line("a", x, x)], "x", "s", 999)).all("polyline")
    points = np.array([p.split(",") for p in line["points"].split()], float)
    assert len(points) == 334  # groups of three
    assert points[0, 0] == pytest.approx(46 + 1 / 999 * 306, abs=0.05)


def test_a_scatter_keeps_proportions_and_has_hover_titles():
    points = np.array([[0.0, 0], [4, 0], [0, 2]])
    page = Page(scatter(points, [0, None, 1], ["a", "<b>", "c"], "x"))
    circles = page.all("circle")
    assert [c["class"] for c in circles] == ["dot rest", "dot f0", "dot f1"]
    place = {c["class"]: (float(c["cx"]), float(c["cy"])) for c in circles}
    assert place["dot f0"] == (8, 236) and place["dot rest"] == (312, 236)
    assert place["dot f1"] == (8, 84)  # up by half of what the other is to the right
    assert "<b>" in page.text


def test_the_principal_plane_is_that_of_the_covariance():
    codes = np.random.default_rng(0).normal(size=(200, 6)) * [5, 3, 1, 1, 0.5, 0.1]
    points, share = principal_plane(codes)
    variance, axes = np.linalg.eigh(np.cov(codes.T))
    assert share == pytest.approx(variance[-2:].sum() / variance.sum())
    wanted = (codes - codes.mean(0)) @ axes[:, [-1, -2]]
    assert np.abs(points) == pytest.approx(np.abs(wanted))
    line, all_of_it = principal_plane(np.array([[1.0], [3]]))
    assert line.tolist() == [[-1, 0], [1, 0]] and all_of_it == 1
    assert principal_plane(np.ones((3, 2)))[1] == 1


def test_explained_variance_is_that_of_an_analysis_of_variance():
    codes = np.array([[0.0], [2], [4], [6]])
    # between 16, within 2 + 2 with 2 degrees of freedom, so (16 - 2) / 20
    assert explained(codes, np.array([0, 0, 1, 1])) == pytest.approx(0.7)
    rng = np.random.default_rng(0)
    assert abs(explained(rng.normal(size=(500, 3)), rng.integers(0, 20, 500))) < 0.03
    assert explained(codes, np.arange(4)) == 0


# ---------------------------------------------------------------------- pictures


def test_a_small_picture_is_kept_to_the_pixel_and_shown_larger():
    sheet = np.random.default_rng(0).integers(0, 256, (20, 30, 1), dtype=np.uint8)
    (image,) = Page(picture(sheet, HOSTILE, "b", 10)).all("img")
    assert np.array_equal(pixels(image["src"])[..., 0], sheet[..., 0])
    assert (image["width"], image["height"], image["class"]) == ("180", "120", "sharp")
    assert image["alt"] == HOSTILE


def test_a_large_picture_is_reduced():
    sheet = np.random.default_rng(0).integers(0, 256, (700, 2800, 3), dtype=np.uint8)
    (image,) = Page(picture(sheet, "a", "b", 300)).all("img")
    assert pixels(image["src"]).shape == (350, 1400, 3) and image["src"][11:15] == "jpeg"
    assert "class" not in image


def test_the_sources_of_a_grid_are_set_apart():
    sheet = np.arange(10 * 10 * 3, dtype=np.uint8).reshape(10, 10, 3)  # 2x2 cells of 4, gap 2
    apart = _sources_apart(sheet, (4, 4, 3))
    assert apart.shape == (22, 22, 3)
    for rows, far_rows in ((slice(0, 4), slice(0, 4)), (slice(6, 10), slice(18, 22))):
        for columns, far in ((slice(0, 4), slice(0, 4)), (slice(6, 10), slice(18, 22))):
            assert np.array_equal(apart[far_rows, far], sheet[rows, columns])
    assert set(apart[4:18].ravel()) == {190, 255}


# ---------------------------------------------------------------------- making it again


@pytest.mark.parametrize("flags", [
    "--class-factor digit",
    "--class-factor person,pose --preset paper --batch 16 --generator-lr 0.0005",
    "--class-factor digit --generator-widths 8 8 8 8 8 --second-stage 0 --perceptual none "
    "--values digit=0:5 --values pose=left,right --test 0.25 --split-seed 3 --size 32 --fit crop",
    "--test-by digit --test-values 3:5 --skip-bad --regulariser none --buckets a=4 --buckets b=9 "
    "--option cameras=channels --option part=2",
])  # fmt: skip
def test_the_training_command_leads_to_the_same_settings(flags):
    kind = METHODS["lord"]
    words = ["my data.npz", *shlex.split(flags), "--budget", "90s", "--seed", "7", "--out", "r/a b"]
    parsed = read(kind, words)
    info = {
        "method": "lord", "settings": json.loads(json.dumps(asdict(parsed.method))),
        "budget": "90s", "seed": 7,
        "recipe": json.loads(json.dumps({
            "source": "my data.npz", "fingerprint": "f", "reading": asdict(parsed.reading),
            "splitting": asdict(parsed.splitting),
        })),
    }  # fmt: skip
    command = train_command(info, Path("r/a b"))
    assert command[:3] == ["unmingle", "train", "lord"]
    assert read(kind, command[3:]) == parsed
    given = {word for word in flags.split() if word.startswith("--")}
    told = {word for word in command if word.startswith("--")}
    assert told <= given | {"--budget", "--seed", "--out"}  # nothing that need not be said


@pytest.mark.parametrize("name", list(METHODS))
def test_switches_of_every_method_are_told(name):
    kind = METHODS[name]
    changed = {}
    for field in fields(kind.Config):
        value = field.default
        if isinstance(value, bool):
            changed[field.name] = not value
    try:
        config = kind.Config(**changed)
    except ConfigError:  # switches that exclude each other
        config = kind.Config()
    info = {
        "method": name, "settings": json.loads(json.dumps(asdict(config))), "budget": "9s",
        "seed": 0, "recipe": {"source": "x"},
    }  # fmt: skip
    command = train_command(info, Path("r"))
    assert read(kind, command[3:]).method == config


def test_the_command_of_scores_names_what_they_were_made_of():
    scores, run = some_scores(), Path("r")
    assert evaluate_command(scores, run)[:4] == ["unmingle", "evaluate", "r", "DATA"]
    reading = Reading(size="32", values=("a=1", "b=2:4"), skip_bad=True, memory_limit="1GB")
    scores.context["given"] = told("other.npz", reading, "all")
    given = "other.npz --size 32 --values a=1 --values b=2:4 --skip-bad --part all"
    assert evaluate_command(scores, run)[3:13] == given.split()
    command = evaluate_command(scores, run)
    parsed = read_as(Evaluate, command[2:])
    assert parsed.reading == replace(reading, memory_limit=None) and parsed.data == "other.npz"
    assert parsed.scoring.part == "all" and parsed.scoring.pairs == 10
    assert parsed.scoring.probe_rows == 10_000
    scores.context["probe_rows"] = 600
    assert read_as(Evaluate, evaluate_command(scores, run)[2:]).scoring.probe_rows == 600
    for quick, flag in ((True, "--quick-audit"), (False, "--audit")):
        audit = Audit([], [], [], {}, [], [], {"factors": [], "quick": quick})
        words = evaluate_command(replace(scores, audit=audit), run)
        assert [word for word in words if "audit" in word] == [flag]


def test_a_command_in_lines_is_the_same_command():
    words = ["unmingle", "train", "a b", "--flag", "x y", "--wide", *"12345678", "-o", "a'b",
             "--really", "quite long " * 4]  # fmt: skip
    text = in_lines(words)
    lines = text.split(" \\\n")
    assert len(lines) == 3 and lines[1].startswith("  -o") and lines[2].startswith("  --really")
    assert shlex.split(text.replace("\\\n", "")) == words


def read(kind, words):
    return read_as(Train[kind.Config], words)


def read_as(kind, words):
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(kind, args=words, config=config)


def test_a_run_from_python_is_told_as_python():
    settings = json.loads(json.dumps(asdict(METHODS["lord"].Config(class_factor="kind", batch=8))))
    info = {"method": "lord", "settings": settings, "budget": "15min", "seed": 1}
    assert python_call(info) == (
        "um.LORD(class_factor='kind', batch=8).fit(data, budget='15min', seed=1)"
    )
    assert train_command(info, Path("x")) is None
    assert changed_settings({"method": "of another version", "settings": {"a": 1}}) == {"a": 1}


# ---------------------------------------------------------------------- a whole report


class Cells:
    """Codes are the cell's numbers, decoding looks the image up."""

    def __init__(self, table):
        self.table = table
        factors = (("class", "kind"), ("content", None))
        self.code_spaces = {name: SimpleNamespace(factor=factor) for name, factor in factors}

    def encode(self, images):
        flat = self.table.reshape(-1, self.table[0, 0].size).astype(int)
        cell = [np.abs(flat - image.ravel()).sum(1).argmin() for image in np.asarray(images)]
        kind, pose = np.divmod(np.array(cell), self.table.shape[1])
        return {"class": np.eye(4, 6)[kind], "content": np.eye(5, 3)[pose] + pose[:, None]}

    def decode(self, codes):
        kind = np.asarray(codes["class"])[:, :4].argmax(1)
        pose = np.asarray(codes["content"]).sum(1).round().astype(int) // 3 % 5
        return self.table[kind, pose]


@pytest.fixture(scope="module")
def cells():
    """(model, test rows, training rows); one value of `kind` has a hostile name."""
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (4, 5, 16, 16, 3), dtype=np.uint8)
    kind, pose = (np.tile(part.ravel(), 3) for part in np.indices((4, 5)))
    whole = FactorDataset(
        images=table[kind, pose],
        factors={"kind": kind, "pose": pose},
        value_names={"kind": (HOSTILE, "b", "c", "d"), "pose": tuple("vwxyz")},
        name=HOSTILE,
    )
    rows = rng.permutation(60)
    return Cells(table), whole.select(rows[:25]), whole.select(rows[25:])


def folder_of_a_run(path, *, metrics=True, samples=True):
    """A run folder with hostile names wherever there is room for one."""
    path.mkdir()
    info = {
        "format": 1, "method": "of another version", "shape": [16, 16, 3], "seed": 3,
        "settings": {"class_factor": HOSTILE, "widths": [8, 8], "rate": 0.5, "on": True},
        "facts": {"rows": 35, "class_names": [HOSTILE] * 20},
        "budget": "15min", "versions": {"torch": HOSTILE},
        "data": {"name": HOSTILE, "rows": 35, "fingerprint": "ab12", "factors": {HOSTILE: 4}},
        "recipe": {
            "source": HOSTILE, "fingerprint": "cd34", "reading": {"values": [HOSTILE]},
            "splitting": {"test": 0.25, "split_seed": 3},
        },
        "training": {
            "steps": 40, "seconds": 61.0, "device": "cpu", "precision": "bf16", "processes": 2,
            "stages": [{"name": HOSTILE, "steps": 40, "seconds": 61.0, "images_per_second": 9.0,
                        "losses": {HOSTILE: 0.125}}],
        },
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(info))
    if metrics:
        lines = [
            {"stage": stage, "step": s, "total_step": s, "seconds": 30.0 * number + s,
             "losses": {HOSTILE: 1 / s}, "lr": {"model.0": 0.1, "model.1": 0.2}}
            for number, stage in enumerate(("first", HOSTILE)) for s in (1, 10, 20)
        ]  # fmt: skip
        (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"cut sh')
    if samples:
        (path / "samples").mkdir()
        for name in ("first-0000010", "first-0000020", "swaps"):
            Image.new("RGB", (9, 7), (1, 2, 3)).save(path / "samples" / f"{name}.png")
    return path


def some_scores():
    about = {"name": HOSTILE, "rows": 25, "shape": [16, 16, 3], "fingerprint": "ef56"}
    context = {
        "seed": 0, "pairs": 10, "roles": {"class": "kind", "content": "pose"}, "probe_factors": {},
        "test": about, "train": about, "model": HOSTILE, "versions": {"torch": "9"}, "run": {},
    }  # fmt: skip
    probes = [
        ProbeRow("class", "kind", "knows", ProbeResult(0.9, 0.25, 0.8, 0.95, 35, 25)),
        ProbeRow("content", HOSTILE, "leak", ProbeResult(0.6, 0.25, 0.5, 0.7, 35, 25, "mlp")),
        ProbeRow("class", "pose", "leak", ProbeResult(0.0, 0.2, 0.0, 0.02, 35, 25)),
    ]
    rebuilt = {"mse": Estimate(0.0125, 0.012, 0.013)}
    return Scores(None, rebuilt, probes, [f"left out: {HOSTILE}"], context)


@pytest.fixture(scope="module")
def whole(cells, tmp_path_factory):
    """The report with everything there is, and its parsed page."""
    model, test, train = cells
    subject = Subject(
        folder_of_a_run(tmp_path_factory.mktemp("report") / "run"),
        model, test, train, roles={"content": "pose"}, scores=some_scores(),
        command=["unmingle", "report", HOSTILE],
    )  # fmt: skip
    text = report_html(subject)
    return text, Page(text)


def test_names_from_the_data_are_text(whole):
    text, page = whole
    assert page.all("script") == [] and "<script" not in text
    assert page.text.count("<script>alert('x')</script>&") > 10
    assert not any(name.startswith("on") for _, attrs in page.found for name in attrs)


def test_the_file_needs_nothing_else(whole):
    text, page = whole
    names = {name for name, _ in page.found}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "video"}
    for name, attrs in page.found:
        assert "srcset" not in attrs
        if "src" in attrs:
            assert name == "img" and attrs["src"].startswith("data:image/")
        if "href" in attrs:
            assert attrs["href"].startswith("#")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    assert any(m.get("name") == "viewport" for m in page.all("meta"))


def test_links_lead_somewhere_and_pictures_are_told(whole):
    _, page = whole
    ids = page.ids()
    assert len(set(ids)) == len(ids)
    assert [a["href"][1:] for a in page.all("a")] == ids
    assert ids == [
        "overview", "training", "curves", "swaps", "interpolations", "retrieval", "codes",
        "images", "probes", "samples", "settings", "again",
    ]  # fmt: skip
    images = page.all("img")
    assert len(images) >= 8 and all(len(image["alt"]) > 10 for image in images)
    for image in images:
        shown = pixels(image["src"])
        assert int(image["width"]) % shown.shape[1] == 0
    assert all(svg.get("aria-label") is not None for svg in page.all("svg"))
    for table in (a for n, a in page.found if n == "div" and a.get("class") == "scroll"):
        assert table["tabindex"] == "0" and table["aria-label"]


def test_what_was_measured_is_there(whole):
    _, page = whole
    for part in (
        "35", "16 × 16 × 3", "15min", "25% of the rows, split seed 3", "1.0 min", "cpu, bf16",
        "2 processes", "ab12", "cd34", "0.0125 [0.0120, 0.0130]", "90.0% [80.0%, 95.0%]",
        "it leaks", "below chance, where probes cannot tell", "step 20", "first", "… (20 in all)",
        "unmingle train", "--split-seed 3", "unmingle evaluate", "--role content=pose",
    ):  # fmt: skip
        assert part in page.text, part
    assert page.text.count("step 10") == 1  # samples in their order, other pictures left out
    assert "swaps.png" not in page.text


def test_the_swaps_are_those_of_the_model(cells, whole):
    model, test, _ = cells
    (sheet,) = (i for i in whole[1].all("img") if i["alt"].startswith("Grid of swaps"))
    shown = pixels(sheet["src"])
    count, step, apart = 8, 18, 14
    assert shown.shape == ((count + 1) * 16 + (count - 1) * 2 + apart,) * 2 + (3,)

    def cell(row, column):
        top, left = (0 if n == 0 else 16 + apart + (n - 1) * step for n in (row, column))
        return shown[top : top + 16, left : left + 16]

    for row, column in ((1, 1), (3, 5), (8, 8)):
        left, top = cell(row, 0), cell(0, column)
        wanted = model.decode({
            "class": model.encode(left[None])["class"],
            "content": model.encode(top[None])["content"],
        })[0]  # fmt: skip
        assert np.array_equal(cell(row, column), wanted)
    known = {image.tobytes() for image in test.take()}
    assert cell(2, 0).tobytes() in known and cell(0, 2).tobytes() in known


def test_retrieval_and_codes_tell_whose_factor_it_is(cells, whole):
    _, page = whole
    text = page.text
    kinds = np.bincount(cells[1].factor("kind"))  # those of a row's own kind are its nearest
    share = (kinds * np.minimum(kinds - 1, 5) / 5).sum() / 25
    assert f"class kind {share:.1%} [" in text
    assert "by kind its own factor" in text and "by kind another code's factor" in text
    assert "held-out images" in text and "training images whose class code is nearest" in text
    circles = page.all("circle")
    assert len(circles) == 25 * 2 * 2  # 25 rows, two codes, two factors


def test_a_report_without_a_model_tells_what_is_missing(tmp_path):
    run = folder_of_a_run(tmp_path / "run", metrics=False, samples=False)
    page = Page(report_html(Subject(run, missing=["Pictures: no <data>."])))
    assert page.ids() == ["overview", "training", "settings", "again"]
    assert "Pictures: no <data>." in page.text and "metrics.jsonl cannot be read" in page.text
    spoilt = folder_of_a_run(tmp_path / "spoilt")
    (spoilt / "samples" / "first-0000010.png").write_bytes(b"no picture")
    (spoilt / "metrics.jsonl").write_text("[]\n{}\n")
    page = Page(report_html(Subject(spoilt)))
    assert "first-0000010.png is not a picture" in page.text
    assert "metrics.jsonl, line 1" in page.text and "curves" not in page.ids()


def test_scores_of_another_run_or_other_rows_are_told(cells, tmp_path):
    run, (model, test, _) = folder_of_a_run(tmp_path / "run"), cells
    config = json.loads((run / "config.json").read_text())
    scores = some_scores()
    assert "other rows" in Page(report_html(Subject(run, model, test, scores=scores))).text
    scores.context["test"]["fingerprint"] = test.fingerprint()
    scores.context["run"] = config
    text = Page(report_html(Subject(run, model, test, scores=scores))).text
    assert "are of other rows" not in text and "of a run with other" not in text
    scores.context["run"] = {**config, "seed": 4}
    assert "of a run with other" in Page(report_html(Subject(run, scores=scores))).text


def test_audit_judges_and_metrics_are_shown_where_there_are_any(tmp_path):
    found = ProbeResult(0.6, 0.25, 0.5, 0.7, 35, 25, "knn")
    half = Estimate(0.5, 0.25, 0.75)
    information = Information(half, 0.75, 1.5, 35, 25, "pose")
    leaks = [
        Leak("kind", "content", "pose", "leak", [LeakProbe(found, "pose", 0.3, 0.4, 0.004)],
             0.01, "all rows", information, "partial", f"kind can be told {HOSTILE}"),
        Leak("pose", "class", "kind", "leak", [], 1.0, "", None, "none", "no probe tells pose"),
    ]  # fmt: skip
    swaps = [Swap("class", "content", "j", half, half, half, 77)]
    codes = [CodePair("class", "content", information)]
    audit = Audit(leaks, swaps, codes, {}, [f"amounts {HOSTILE}"], ["left"], {"factors": ["hat"]})
    judged = Judgement("kind", "class", "i", half, half, half, Estimate(0.875, 0.8, 0.9), 0.25,
                       35, 25, 66, "trained on training rows",
                       rebuilt=Estimate(0.625, 0.5, 0.7))  # fmt: skip
    spread = Spread(2.5, 2.0, 3.0)
    scores = replace(
        some_scores(), audit=audit, judges=Judging("class", [judged], ["pose: too few"], {}),
        feature_distance=FeatureDistance(spread, spread, Spread(1.25, 1.0, 1.5), "class", 12,
                                         "some features", {}),
        disentanglement={"mig": {"score": 0.125, "per_space": 0.0625}, "wasserstein": {"all": 2.0}},
    )  # fmt: skip
    page = Page(report_html(Subject(folder_of_a_run(tmp_path / "run"), scores=scores)))
    assert page.ids()[-7:] == [
        "audit", "judges", "distance", "disentanglement", "samples", "settings", "again"
    ]  # fmt: skip
    for part in (
        "partial", "kind can be told <script>", leaks[0].probes[0].name, "60.0% [50.0%, 70.0%]",
        "0.004", "30.0% (95 % below 40.0%)", "0.5000 [0.2500, 0.7500] (pose removed)",
        "77 recombined", "amounts <script>", "87.5% [80.0%, 90.0%]", "62.5% [50.0%, 70.0%]",
        "No judge of pose: too few", "some features",
        "2.5000 [2.0000, 3.0000]", "mig ↑ 0.1250", "per space 0.0625", "wasserstein ↓ 2",
        "--audit --audit-factors hat --judges --frechet --disentanglement mig,wasserstein",
    ):  # fmt: skip
        assert part in page.text, part
    cards = page.text.rpartition("At a glance")[2].partition("What was trained")[0]
    assert "none leak of pose into the class code, by the audit" in cards
    assert "it leaks" not in cards  # the audit's word stands for the probes'


def test_a_model_of_one_code_has_no_swaps(cells, tmp_path):
    _, test, _ = cells
    model = SimpleNamespace(
        encode=lambda images: {"all": np.asarray(images).reshape(len(images), -1) / 255},
        decode=lambda codes: (codes["all"] * 255).round().astype("u1").reshape(-1, 16, 16, 3),
        code_spaces={"all": SimpleNamespace(factor=None)},
    )
    page = Page(report_html(Subject(folder_of_a_run(tmp_path / "run"), model, test)))
    said = [image["alt"] for image in page.all("img")]
    assert not any("swaps" in alt or "other codes" in alt for alt in said)
    (sheet,) = (i for i in page.all("img") if i["alt"].startswith("Reconstructions"))
    shown = pixels(sheet["src"])
    assert np.array_equal(shown[:16], shown[18:34])  # images, and what their codes decode to


def test_a_model_of_vectors_has_codes_and_no_pictures(tmp_path):
    rng = np.random.default_rng(0)
    data = FactorDataset(vectors=rng.normal(size=(30, 4)), factors={"kind": np.arange(30) % 3})
    model = SimpleNamespace(
        encode=lambda v: {"class": np.asarray(v)[:, :2], "rest": np.asarray(v)[:, 2:]},
        code_spaces={"class": SimpleNamespace(factor="kind"), "rest": SimpleNamespace(factor=None)},
    )
    run = folder_of_a_run(tmp_path / "run", samples=False)
    page = Page(report_html(Subject(run, model, data, which="held-out rows")))
    assert page.ids() == [
        "overview", "training", "curves", "retrieval", "codes", "settings", "again"
    ]  # fmt: skip
    assert "the data are vectors" in page.text


def test_a_file_that_exists_is_kept(tmp_path):
    run = folder_of_a_run(tmp_path / "run")
    assert write_report(Subject(run)) == run / "report.html"
    with pytest.raises(RunError, match="overwrite"):
        write_report(Subject(run))
    write_report(Subject(run), overwrite=True)
    with pytest.raises(RunError, match="no run folder"):
        write_report(Subject(tmp_path))
    (run / "config.json").write_text("[1]")
    with pytest.raises(RunError, match="damaged"):
        report_html(Subject(run))


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of LORD on 60 digits, 4 steps."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main([*TRAIN.split(), "--out", str(folder)]) == 0
    return folder


QUICK = ["--probes", "linear", "--metrics", "mse", "--pairs", "20"]


def report(capsys, *words):
    assert main(["report", *map(str, words)]) == 0
    return capsys.readouterr().err


def test_report_of_a_run_and_data(run, tmp_path, capsys):
    out = tmp_path / "x.html"
    report(capsys, run, "digits", "-o", out, *QUICK, "--device", "cpu")
    page = Page(out.read_text())
    assert {
        *("curves", "swaps", "interpolations", "retrieval", "codes", "probes"),
        *("audit", "disentanglement"),  # in any case, in short
    } <= {*page.ids()}
    assert "digit in the content code" in page.text and "a quick look, by two kinds" in page.text
    assert "--quick-audit" in page.text and "mig ↑" in page.text
    assert "15 rows of digits" in page.text and "unmingle report" in page.text
    assert "content: no factor is named for it" in page.text  # a note of the scores
    assert out.stat().st_size < 2e6
    assert "--overwrite" in failure(capsys, "report", run, "digits", "-o", out)


def test_a_report_prints_the_command_of_its_scores(run, tmp_path, capsys):
    out = tmp_path / "x.html"
    few = ["--values", "digit=0:3", "--part", "all"]
    report(capsys, run, "digits", "-o", out, *few, *QUICK)
    text = Page(out.read_text()).text
    assert f"unmingle evaluate {run} digits --values digit=0:3 --part all --role" in text


def test_report_of_a_run_alone(run, tmp_path, capsys):
    out = tmp_path / "x.html"
    report(capsys, run, "-o", out, *QUICK)  # of what it was trained on
    page = Page(out.read_text())
    assert {"swaps", "codes", "probes", "audit"} <= {*page.ids()}
    assert "15 rows of digits" in page.text and "no data were named" not in page.text
    some_scores().save(run / "scores.json")
    again = ["-o", out, "--overwrite"]
    report(capsys, run, *again)
    page = Page(out.read_text())
    assert "0.0125 [0.0120, 0.0130]" in page.text and {"probes", "swaps"} <= {*page.ids()}
    said = failure(capsys, "report", run, *again, "--audit")
    assert "--audit says what is measured" in said and "name DATA" in said
    (run / "scores.json").write_text("{}")
    report(capsys, run, *again)
    assert "scores.json does not hold scores" in Page(out.read_text()).text
    (run / "scores.json").unlink()


def test_report_of_a_run_whose_data_are_not_known_or_not_there(run, tmp_path, capsys):
    folder, out = tmp_path / "run", ["-o", tmp_path / "x.html", "--overwrite"]
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    recipe = config.pop("recipe")
    (folder / "config.json").write_text(json.dumps(config))
    report(capsys, folder, *out)
    text = Page(out[1].read_text()).text
    assert "no data were named" in text and "none are stored in the folder" in text
    for flag in ("--judges", "--size=32"):
        assert f"{flag[:6]}" in failure(capsys, "report", folder, *out, flag)
    gone = {**config, "recipe": {**recipe, "source": "gone.npz"}}
    (folder / "config.json").write_text(json.dumps(gone))
    assert "gone.npz" in report(capsys, folder, *out)
    assert "the data cannot be read: gone.npz" in Page(out[1].read_text()).text


def test_report_of_data_that_are_not_there(run, tmp_path, capsys):
    out = tmp_path / "x.html"
    said = report(capsys, run, "nowhere.npz", "-o", out)
    assert "nowhere.npz" in said and "nowhere.npz" in Page(out.read_text()).text


def test_report_of_a_training_that_is_not_finished(tmp_path, capsys):
    folder = folder_of_a_run(tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "method": "lord"}))
    report(capsys, folder, "digits")
    page = Page((folder / "report.html").read_text())
    assert "training is not finished" in page.text and "curves" in page.ids()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("report nowhere", "nowhere is no run folder"),
        ("report nowhere -o x.htm", "must end in .html"),
        ("report nowhere --role content", "--role content"),
        ("report nowhere --pairs -5", "--pairs -5: at least 1"),
        ("report nowhere --seed -1", "--seed -1: 0 or more"),
        ("report nowhere --scores s.json --judges", "--judges says what is measured, and s.json"),
        ("report nowhere --audit --quick-audit", "one of the two"),
    ],
)
def test_mistakes(line, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert part in failure(capsys, *line.split())
    assert list(tmp_path.iterdir()) == []
