"""Plots of a run: curves over time, and the statistics of a content posterior.

Written with matplotlib's Agg canvas and no global state, so that any thread may plot.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError, RunError, nearest
from unmingle.evaluation.output import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
PathLike = str | os.PathLike[str]
Record = dict[str, Any]

AXES = ("seconds", "total_step", "step")
_COLUMNS = 3


def read_metrics(path: PathLike) -> list[Record]:
    """The records of a metrics.jsonl, nested ones flattened to "losses/…".

    A last line cut short (the run was killed while writing) is left out.

    Raises:
        RunError: no such file, or a line that is not an object.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if number == len(lines):
                break
            raise RunError(f"{path}, line {number}: not a JSON object ({error})") from error
        records.append(dict(_flat(record)))
    return records


def _flat(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}/")
        else:
            yield before + key, value


def curves(
    metrics: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    keys: Sequence[str] | None = None,
    x: str = "seconds",
    overwrite: bool = False,
) -> Path:
    """Draw the numbers of one or more runs over time, a panel each, as PNG.

    Args:
        metrics: metrics.jsonl of a run, or of several (one line each in every panel).
        out: the PNG.
        keys: what to draw, such as "losses/generator"; all numbers by default.
        x: "seconds", "total_step" or "step".

    Raises:
        RunError: a file that cannot be read or holds no numbers, or `out` exists.
        ConfigError: unknown key or axis.
    """
    paths = [metrics] if isinstance(metrics, (str, os.PathLike)) else list(metrics)
    if x not in AXES:
        raise ConfigError(f"x={x!r} is not an axis.{nearest(x, AXES)}")
    runs = {_run_name(path, paths): read_metrics(path) for path in paths}
    there = sorted({k for records in runs.values() for r in records for k in r if _number(r, k)})
    there = [key for key in there if key not in AXES]
    if not there:
        raise RunError(f"{paths[0] if paths else 'nothing'} holds no numbers to draw yet")
    for key in keys or ():
        if key not in there:
            raise ConfigError(f"no number {key!r} was logged.{nearest(key, there)}")
    figure = _panels(runs, list(keys or there), x)
    return _save(figure, out, overwrite)


def _run_name(path: PathLike, paths: Sequence[PathLike]) -> str:
    """The run's folder; the whole path where folders of several runs share a name."""
    name = Path(path).parent.name or str(path)
    same = sum((Path(other).parent.name or str(other)) == name for other in paths)
    return name if same == 1 else str(path)


def _number(record: Record, key: str) -> bool:
    value = record.get(key)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _panels(runs: Mapping[str, list[Record]], keys: Sequence[str], x: str) -> Figure:
    columns = min(_COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    figure = _figure(4.2 * columns, 2.8 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, key in zip(axes, keys, strict=False):
        positive = True
        for name, records in runs.items():
            points = [(r[x], r[key]) for r in records if _number(r, key) and _number(r, x)]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
                positive &= min(value for _, value in points) > 0
        if positive and key.startswith("losses/"):
            axis.set_yscale("log")
        axis.set_title(key, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.set_xlabel(x.replace("_", " "), fontsize=8)
    for axis in list(axes)[len(keys) :]:
        axis.set_visible(False)
    if len(runs) > 1:
        figure.axes[0].legend(fontsize=8)
    return figure


def content_statistics(mean: Array, std: Array, out: PathLike, *, overwrite: bool = False) -> Path:
    """Draw mean and standard deviation of each entry of a content posterior (LORD Fig. 6) as PNG.

    Entries at mean 0 and deviation 1 (dashed) are collapsed onto the prior and carry nothing.

    Args:
        mean, std: [d], or [N,d] of all samples: then |mean| and std are averaged over them (a
            plain average would hide a mean that changes its sign from sample to sample).

    Raises:
        DataError: different shapes, NaN.
        RunError: `out` exists.
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if mean.shape != std.shape or mean.ndim not in (1, 2) or not mean.size:
        raise DataError(f"mean and std must be [d] or [N,d], got {mean.shape} and {std.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise DataError("mean or std holds NaN or infinity")
    label = "mean"
    if mean.ndim == 2:
        mean, std, label = np.abs(mean).mean(0), std.mean(0), "|mean|"
    order = np.argsort(std, kind="stable")
    figure = _figure(7.0, 4.2)
    for axis, values, name, prior in zip(
        figure.subplots(2, 1, sharex=True), (mean, std), (label, "std"), (0.0, 1.0), strict=True
    ):
        axis.bar(np.arange(len(order)), values[order], width=1.0)
        axis.axhline(prior, color="0.3", linestyle="--", linewidth=0.8)
        axis.set_ylabel(name)
        axis.margins(x=0.01)
    figure.axes[-1].set_xlabel("entry of the content code, by std")
    return _save(figure, out, overwrite)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _save(figure: Figure, out: PathLike, overwrite: bool) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return write_file(out, buffer.getvalue(), overwrite=overwrite)
