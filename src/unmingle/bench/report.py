"""A table as it stands: what was measured, beside the paper's own figures."""

from __future__ import annotations

import glob
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unmingle.evaluation.output import write_file
from unmingle.evaluation.plain import to_plain

from .place import Place, read_record
from .plan import Figures, Run, Table

FORMAT = "unmingle-bench-1"
_MISSING = "-"


def write(table: Table, place: Place) -> tuple[Path, Path]:
    """Write OUT/TABLE.md and OUT/TABLE.json of all runs that are scored; both paths."""
    found = collect(table, place)
    text = json.dumps(to_plain(found), indent=1, allow_nan=False) + "\n"
    files = (markdown(table, found), ".md"), (text, ".json")
    written = [
        write_file(place.out / f"{table.name}{ending}", content.encode(), overwrite=True)
        for content, ending in files
    ]
    return written[0], written[1]


def collect(table: Table, place: Place) -> dict[str, Any]:
    """What there is of a table: lines with mean and spread over seeds, figures, the runs."""
    lines = []
    runs: dict[str, Any] = {}
    for plan in table.runs():
        scored = list(_scored(table, plan, place))
        if not scored:
            continue
        values = [record["measures"][table.score] for _, record in scored]
        lines.append({
            "row": plan.row.key,
            "label": plan.row.label,
            "scale": plan.setting.scale,
            "data": plan.setting.name,
            "budget": plan.budget,
            "seeds": [run.seed for run, _ in scored],
            "measures": {
                measure: _spread([found[measure] for found in values])
                for measure in table.measures
                if all(measure in found for found in values)
            },
        })  # fmt: skip
        for run, record in scored:
            runs[run.name] = {k: v for k, v in record.items() if k != "details"}
    figures = table.published or Figures("", (), {})
    published = {label: figures.by_data(label) for label in figures.rows}
    return {
        "format": FORMAT,
        "table": table.name,
        "title": table.title,
        "paper": table.paper,
        "lines": lines,
        "published": {"source": figures.source, "rows": published},
        "notes": list(table.notes),
        "runs": runs,
    }


def _scored(table: Table, plan: Run, place: Place) -> Iterator[tuple[Run, dict[str, Any]]]:
    """The scored runs of a plan with any seed, and their records."""
    folder, stem = place.record(plan).parent, plan.name.removesuffix(f"-{plan.seed}")
    seeds = [file.stem[len(stem) + 1 :] for file in folder.glob(f"{glob.escape(stem)}-*.json")]
    for seed in sorted(int(text) for text in seeds if text.isdecimal()):
        run = replace(plan, seed=seed)
        record = read_record(run, place)
        if table.score in record.get("measures", {}):
            yield run, record


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (None for a single one), and the values."""
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": spread, "values": list(values)}


# ---------------------------------------------------------------------- Markdown


def markdown(table: Table, found: dict[str, Any]) -> str:
    """The table for people: a section a data set, measured numbers beside the published ones."""
    figures = found["published"]
    measured = [line["data"] for line in found["lines"]]
    printed = [data for values in figures["rows"].values() for data in values]
    sections = [_section(table, found, data) for data in dict.fromkeys([*measured, *printed])]
    source = [
        f"Published: {figures['source']}, as printed; rows have its names. Scale paper: measured "
        "here with the paper's sizes, data and epochs. Scale laptop: measured here with compact "
        "networks, other data and a short budget, so not comparable with the published figures."
    ]
    about = [
        *(source if figures["rows"] else []),
        "Means over seeds, ± standard deviation.",
        *table.notes,
        *_made_by(found["runs"]),
    ]
    parts = [
        f"# {table.name}: {table.title}",
        table.paper,
        *sections,
        "## Notes",
        "\n".join(f"- {text}" for text in about),
    ]
    return "\n\n".join(parts) + "\n"


def _section(table: Table, found: dict[str, Any], data: str) -> str:
    lines = {line["label"]: line for line in found["lines"] if line["data"] == data}
    rows = found["published"]["rows"]
    printed = {label: values[data] for label, values in rows.items() if data in values}
    columns: list[tuple[str, dict[str, str]]] = []  # heading, {label: cell}
    for measure, heading in table.measures.items():
        own = {label: line["measures"].get(measure) for label, line in lines.items()}
        cells = {label: _cell(value) for label, value in own.items() if value is not None}
        theirs = {label: values[measure] for label, values in printed.items() if measure in values}
        columns += [(heading, cells)] if cells else []
        columns += [("published" if cells else heading, theirs)] if theirs else []
    if lines:
        columns.append(("budget", {label: line["budget"] for label, line in lines.items()}))
        columns.append(("seeds", {label: f"{len(line['seeds'])}" for label, line in lines.items()}))
    text = [f"| row | {' | '.join(heading for heading, _ in columns)} |"]
    text.append("|" + "---|" * (1 + len(columns)))
    for label in dict.fromkeys([*(row.label for row in table.rows), *rows]):
        if label in lines or label in printed:
            texts = [of.get(label, _MISSING) for _, of in columns]
            text.append(f"| {label} | {' | '.join(texts)} |")
    scale = f"scale {next(iter(lines.values()))['scale']}" if lines else "published"
    return f"## {data}, {scale}\n\n" + "\n".join(text)


def _cell(value: dict[str, Any]) -> str:
    mean, std = value["mean"], value["std"]
    return f"{mean:.4g}" if std is None else f"{mean:.4g} ± {std:.2g}"


def _made_by(runs: dict[str, Any]) -> Iterator[str]:
    """Machines and versions, each once."""
    for machine in dict.fromkeys(record["machine"] for record in runs.values()):
        yield f"Machine: {machine}."
    versions = [", ".join(f"{k} {v}" for k, v in r["versions"].items()) for r in runs.values()]
    for text in dict.fromkeys(versions):
        yield f"Versions: {text}."
