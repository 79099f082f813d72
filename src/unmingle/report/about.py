"""What was trained on what, and how to make it again, from a run's config.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmingle.errors import ConfigError, RunError
from unmingle.evaluation.probes import USUAL
from unmingle.evaluation.transfer import METRICS
from unmingle.report.html import (
    Child,
    Markup,
    Section,
    code,
    facts,
    join,
    paragraph,
    table,
    tag,
)

if TYPE_CHECKING:
    from unmingle.evaluation.scores import Scores

Info = Mapping[str, Any]

_SHOWN = 12  # entries of a list
_LONG = 60  # letters that go into a column, or a line of a command
_ENTRY = 36  # letters of an entry of a list


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a run folder.

    Raises:
        RunError: there is none, or it is damaged.
    """
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text())
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except OSError as error:
        raise RunError(f"{folder} is no run folder: {file.name} cannot be read "
                       f"({error.strerror})") from error  # fmt: skip
    except ValueError as error:
        raise RunError(f"{file} is damaged ({error})") from error
    return found


def title(info: Info) -> str:
    """A name for the report."""
    data = info.get("data") or {}
    return f"{info.get('method', 'a model')} on {data.get('name', 'unknown data')}"


def subtitle(info: Info) -> str:
    """The method's own first line: what it is, and of which paper."""
    kind = _kind(info)
    return ((kind.__doc__ or "").strip().splitlines() or [""])[0] if kind is not None else ""


def trained_section(info: Info) -> Section:
    """Data, settings and stages of the training."""
    data, training = info.get("data") or {}, info.get("training") or {}
    recipe = info.get("recipe") or {}
    pairs: list[tuple[Child, Child]] = [
        ("Data", data.get("name")),
        ("Training rows", _count(data.get("rows"))),
        ("Size of an item", " × ".join(map(str, info.get("shape") or []))),
        ("Held out", _held_out(recipe.get("splitting"))),
        ("Budget", info.get("budget")),
        ("Seed", info.get("seed")),
        ("Took", _duration(training.get("seconds"))),
        ("Steps", _count(training.get("steps"))),
        ("Device", _device(training)),
    ]
    parts: list[Child] = [facts((name, value) for name, value in pairs if value not in (None, ""))]
    reading = recipe.get("reading") or {}
    chosen = [f"{name}: {_shown(value)}" for name, value in reading.items() if _given(value)]
    if recipe.get("source"):
        more = f", with {'; '.join(chosen)}" if chosen else ""
        parts.append(paragraph("Read from ", tag("code", recipe["source"]), f"{more}."))
    if data.get("factors"):
        counts = (f"{name} ({count:,})" for name, count in data["factors"].items())
        listed = ", ".join(counts)
        parts.append(paragraph("Factor columns and how many values each has: ", listed, "."))
    if data.get("fingerprint"):
        mark = tag("code", data["fingerprint"])
        parts.append(tag("p", "Fingerprint of the training rows: ", mark, class_="small"))
    if training.get("stages"):
        parts.append(_stages(training["stages"]))
    return Section("training", "What was trained on what", join(parts))


def settings_section(info: Info) -> Section | None:
    """All settings of the method, and what it took from the data."""
    parts: list[Child] = []
    settings = info.get("settings") or {}
    if settings:
        parts.append(facts((n.replace("_", " "), _shown(v)) for n, v in settings.items()))
    if info.get("facts"):
        parts.append(tag("h3", "What the method took from the data"))
        rows = [(n.replace("_", " "), _shown(v)) for n, v in info["facts"].items()]
        parts += [facts(row for row in rows if len(row[1]) <= _LONG)]
        parts += [paragraph(tag("b", n), ": ", v) for n, v in rows if len(v) > _LONG]
    return Section("settings", "Settings", join(parts)) if parts else None


def _stages(stages: Sequence[Info]) -> Markup:
    rows = [
        [
            stage.get("name"),
            _count(stage.get("steps")),
            _duration(stage.get("seconds")),
            f"{stage.get('images_per_second') or 0:,.0f}",
            ", ".join(f"{name} {value:.4g}" for name, value in (stage.get("losses") or {}).items()),
        ]
        for stage in stages
    ]
    head = ["stage", "steps", "time", "images a second", "last loss"]
    return join([
        tag("h3", "Stages"),
        table(head, rows, label="Stages of the training", numbers=(1, 2, 3)),
    ])  # fmt: skip


def again_section(
    info: Info, folder: Path, scores: Scores | None, command: Sequence[str] | None, now: Info
) -> Section:
    """Versions, and the commands that make the run, its scores and this report.

    Args:
        folder: of the run.
        scores: if there are any.
        command: that made the report, if it was made by one.
        now: versions that the report was made with.
    """
    parts: list[Child] = [tag("h3", "The commands")]
    train = train_command(info, folder)
    if train is not None:
        parts += [paragraph("Training:"), code(in_lines(train))]
    call = python_call(info)
    if train is None and call is not None:
        parts += [paragraph("Trained from Python, on data that were in memory:"), code(call)]
    if scores is not None:
        parts += [paragraph("Scores:"), code(in_lines(evaluate_command(scores, folder)))]
    if command is not None:
        parts += [paragraph("This report:"), code(in_lines(command))]
    if (info.get("recipe") or {}).get("fingerprint"):
        parts.append(
            tag(
                "p",
                "Fingerprint of the data as read, before rows were chosen: ",
                tag("code", info["recipe"]["fingerprint"]),
                class_="small",
            )
        )
    trained = info.get("versions") or {}
    scored = {} if scores is None else scores.context.get("versions") or {}
    names = list(dict.fromkeys([*trained, *scored, *now]))
    rows = [[n, *(v.get(n, "–") for v in (trained, scored, now))] for n in names]
    head = ["", "trained with", "scored with", "report made with"]
    parts += [tag("h3", "Versions"), table(head, rows, label="Versions")]
    return Section("again", "Versions, and how to make it again", join(parts))


def train_command(info: Info, folder: Path) -> list[str] | None:
    """Words of `unmingle train …`, defaults left out; None if the data are not known."""
    recipe = info.get("recipe")
    if recipe is None:
        return None
    words = ["unmingle", "train", str(info.get("method")), str(recipe.get("source"))]
    words += _flags(changed_settings(info))
    chosen = {**(recipe.get("reading") or {}), **_split(recipe.get("splitting") or {})}
    chosen = {name: value for name, value in chosen.items() if _given(value)}
    words += _flags(chosen, repeat=("values", "buckets", "option"))
    words += ["--budget", str(info.get("budget")), "--seed", str(info.get("seed"))]
    return [*words, "--out", str(folder)]


def python_call(info: Info) -> str | None:
    """The same as a line of Python."""
    kind = _kind(info)
    if kind is None:
        return None
    settings = ", ".join(f"{name}={_tupled(v)!r}" for name, v in changed_settings(info).items())
    return (
        f"um.{kind.__name__}({settings}).fit(data, budget={info.get('budget')!r}, "
        f"seed={info.get('seed')!r})"
    )


def evaluate_command(scores: Scores, folder: Path) -> list[str]:
    """Words of `unmingle evaluate …` with what the scores tell of how they were made.

    The data are those that a verb was given; of scores that were made from Python they are not
    known, and DATA stands for them.
    """
    context = scores.context
    given = context.get("given") or {}
    words = ["unmingle", "evaluate", str(folder), str(given.get("data", "DATA"))]
    words += map(str, given.get("reading") or [])
    words += ["--part", str(given["part"])] if given.get("part") else []
    for flag, key in (("--role", "roles"), ("--probe-factor", "probe_factors")):
        for space, factor in (context.get(key) or {}).items():
            words += [flag, f"{space}={factor}"]
    metrics, probes = list(scores.reconstruction), [row.result.kind for row in scores.probes]
    if set(metrics) != set(METRICS):
        words += ["--metrics", ",".join(metrics) or "none"]
    if set(probes) != set(USUAL):
        words += ["--probes", ",".join(dict.fromkeys(probes)) or "none"]
    swapped = scores.transfer or scores.judges or scores.feature_distance
    if swapped is not None:
        words += ["--take", swapped.take]
    if scores.audit is not None:
        more = scores.audit.context.get("factors")
        words += ["--quick-audit" if scores.audit.context.get("quick") else "--audit"]
        words += ["--audit-factors", ",".join(more)] if more else []
    if scores.judges is not None:
        words += ["--judges"]
        for angle in scores.judges.context.get("angles") or ():
            words += ["--angle", angle]
    words += ["--frechet"] if scores.feature_distance is not None else []
    if scores.disentanglement:
        words += ["--disentanglement", ",".join(scores.disentanglement)]
    if context.get("probe_rows") not in (None, 10_000):
        words += ["--probe-rows", str(context["probe_rows"])]
    for key in ("pairs", "seed"):
        if context.get(key) is not None:
            words += [f"--{key}", str(context[key])]
    return [*words, "--json", "scores.json"]


def in_lines(words: Sequence[str]) -> str:
    """A command over several lines, as a shell takes them, each flag with its values."""
    parts: list[str] = []
    for word in map(shlex.quote, words):
        if parts and not word.startswith("-"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < _LONG:
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {part}")
    return " \\\n".join(lines)


def changed_settings(info: Info) -> dict[str, Any]:
    """The fewest settings from which the method arrives at those of the run."""
    settings = dict(info.get("settings") or {})
    kind = _kind(info)
    if kind is None:
        return settings
    needed = {
        field.name
        for field in fields(kind.Config)
        if field.default is MISSING and field.default_factory is MISSING
    }

    def arrives(given: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            config = kind.Config(**{name: _tupled(value) for name, value in given.items()})
        except (ConfigError, TypeError, ValueError):
            return None
        return dict(json.loads(json.dumps(asdict(config))))

    whole = arrives(settings)
    if whole is None:
        return settings  # of another version
    kept = settings
    for name in settings:
        fewer = {key: value for key, value in kept.items() if key != name}
        if name not in needed and arrives(fewer) == whole:
            kept = fewer
    return kept


def _kind(info: Info) -> Any:
    from unmingle.methods import METHODS

    return METHODS.get(info.get("method", ""))


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _split(splitting: Info) -> dict[str, Any]:
    """Flags of the split; the seed only if it is not 0."""
    return {n: v for n, v in splitting.items() if not (n == "split_seed" and v == 0)}


def _given(value: Any) -> bool:
    return value is not None and value is not False and value != [] and value != ()


def _flags(settings: Mapping[str, Any], repeat: Sequence[str] = ()) -> Iterator[str]:
    """Settings as flags; those in `repeat` once for each entry."""
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            yield flag if value else "--no-" + name.replace("_", "-")
        elif not _given(value):
            continue
        elif isinstance(value, (list, tuple)):
            if name in repeat:
                for entry in value:
                    yield from (flag, str(entry))
            else:
                yield from (flag, *map(str, value))
        else:
            yield from (flag, f"{value:g}" if isinstance(value, float) else str(value))


def _held_out(splitting: Info | None) -> str | None:
    if splitting is None:
        return None
    if splitting.get("test") == 0:
        return "nothing"
    test, seed = splitting.get("test"), splitting.get("split_seed")
    if splitting.get("test_values") is not None:
        return f"{splitting['test_by']}: {splitting['test_values']}"
    unit = "of the rows"
    if splitting.get("test_by") is not None:
        unit = f"of the values of {splitting['test_by']}"
    elif splitting.get("test_cells") is not None:
        unit = f"of the combinations of {splitting['test_cells']}"
    test = 0.1 if test is None else test
    return f"{f'{test:.0%}' if test < 1 else f'{test:,.0f}'} {unit}, split seed {seed}"


def _device(training: Info) -> str | None:
    if not training.get("device"):
        return None
    processes = training.get("processes") or 1
    more = f", {processes} processes" if processes > 1 else ""
    return f"{training['device']}, {training.get('precision', '')}{more}"


def _count(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _duration(seconds: Any) -> str | None:
    if not isinstance(seconds, (int, float)):
        return None
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cut(text: str) -> str:
    return text if len(text) <= _ENTRY else f"{text[: _ENTRY - 1]}…"


def _shown(value: Any) -> str:
    """A value in words; of long lists the beginning."""
    if isinstance(value, (list, tuple)):
        more = f", … ({len(value):,} in all)" if len(value) > _SHOWN else ""
        return ", ".join(_cut(_shown(entry)) for entry in value[:_SHOWN]) + more
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
