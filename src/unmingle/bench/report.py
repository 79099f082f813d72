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
from .plan import Run, Table

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
    figures = table.published
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
    """The table for people: under each row's own lines those of the paper."""
    figures = found["published"]
    head = ["row", "scale", "data", "budget", "seeds", *table.measures.values()]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    labels = [row.label for row in table.rows]
    for label in [*labels, *(label for label in figures["rows"] if label not in labels)]:
        for line in found["lines"]:
            if line["label"] == label:
                rows.append(_measured(table, line))
        for data, values in figures["rows"].get(label, {}).items():
            cells = [values.get(measure, _MISSING) for measure in table.measures]
            rows.append(f"| {label} | published | {data} | | | {' | '.join(cells)} |")
    about = [
        "Scale `paper`: measured here with the paper's sizes, data and epochs; `laptop`: measured "
        "here with compact networks, other data and a short budget, so not comparable with the "
        f"paper's figures; `published`: {figures['source']}, as printed. Means over seeds, ± "
        "standard deviation.",
        *table.notes,
        *_made_by(found["runs"]),
    ]
    listed = "\n".join(f"- {text}" for text in about)
    return (
        f"# {table.name}: {table.title}\n\n{table.paper}\n\n" + "\n".join(rows) + f"\n\n{listed}\n"
    )


def _measured(table: Table, line: dict[str, Any]) -> str:
    cells = []
    for measure in table.measures:
        value = line["measures"].get(measure)
        cells.append(_MISSING if value is None else _cell(value))
    first = [line["label"], line["scale"], line["data"], line["budget"], str(len(line["seeds"]))]
    return f"| {' | '.join([*first, *cells])} |"


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
