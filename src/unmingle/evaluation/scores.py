"""The result of an evaluation: a table to read, JSON to keep."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmingle.errors import RunError
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.output import write_file
from unmingle.evaluation.probes import ProbeResult
from unmingle.evaluation.transfer import RISING, Transfer, TransferMetric

_FORMAT = "unmingle-scores-1"
_LABELS = {
    "st_lpips_alex": "ST-LPIPS (AlexNet)",
    "st_lpips_vgg": "ST-LPIPS (VGG16)",
    "mse": "MSE",
    "ssim": "SSIM",
}
_PURPOSES = {"knows": "should know", "leak": "leak", "other": ""}


@dataclass(frozen=True)
class ProbeRow:
    """What a probe finds of `factor` in the code `space`.

    `purpose` is "knows" (it should), "leak" (it belongs to another code) or "other".
    """

    space: str
    factor: str
    purpose: str
    result: ProbeResult


@dataclass(frozen=True)
class Scores:
    """What `evaluate` measured.

    Attributes:
        transfer: None if it could not be measured.
        reconstruction: by metric, decode(encode(x)) against x.
        probes: every factor from every code.
        notes: what was left out, and why.
        context: seed, roles, row counts, data fingerprints, versions, the model's run.
    """

    transfer: Transfer | None
    reconstruction: dict[str, Estimate]
    probes: list[ProbeRow]
    notes: list[str]
    context: dict[str, Any]

    def probe(self, factor: str, space: str, kind: str = "mlp") -> ProbeResult:
        """The probe of `factor` from the code `space`.

        Raises:
            KeyError: it was not run.
        """
        for row in self.probes:
            if (row.factor, row.space, row.result.kind) == (factor, space, kind):
                return row.result
        raise KeyError(f"no {kind} probe of {factor} from {space}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for a number that is not finite."""
        plain = _plain({"format": _FORMAT, **dataclasses.asdict(self)})
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scores:
        """The inverse of `to_dict`."""
        moved = plain["transfer"]
        if moved is not None:
            metrics = {name: _transfer_metric(row) for name, row in moved["metrics"].items()}
            moved = Transfer(**{**moved, "metrics": metrics})
        return cls(
            moved,
            {name: _estimate(row) for name, row in plain["reconstruction"].items()},
            [
                ProbeRow(**{**row, "result": ProbeResult(**row["result"])})
                for row in plain["probes"]
            ],
            list(plain["notes"]),
            dict(plain["context"]),
        )

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write JSON.

        Raises:
            RunError: the file exists and `overwrite` is not set.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        return write_file(path, text.encode(), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scores:
        """Read what `save` wrote.

        Raises:
            RunError: no such file, or not scores.
        """
        try:
            plain = json.loads(Path(path).read_bytes())
            if plain["format"] != _FORMAT:
                raise ValueError(f"format {plain['format']!r}, expected {_FORMAT!r}")
            return cls.from_dict(plain)
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path} does not hold scores: {error}") from error

    def table(self) -> str:
        """Aligned plain text, with 95 % intervals in brackets."""
        return "\n".join([*self._head(), *self._images(), *self._codes(), *self._notes()])

    def __str__(self) -> str:
        return self.table()

    def _head(self) -> Iterator[str]:
        test, train = self.context["test"], self.context["train"]
        rows = f"{test['rows']} test rows of {test['name']}"
        if train is not None:
            rows += f", {train['rows']} training rows"
        yield f"{self.context['model']}: {rows}, seed {self.context['seed']}"

    def _images(self) -> Iterator[str]:
        moved = self.transfer
        if moved is not None:
            first = next(iter(moved.metrics.values()))
            others = [label for label in first.copies if label != moved.take]
            roles = ", ".join(f"{space} = {factor}" for space, factor in moved.roles.items())
            yield ""
            yield (
                f"Transfer: {moved.take} code of one image, {', '.join(others)} of another,"
                f" against the true image; {moved.pairs} pairs of {moved.possible} ({roles})"
            )
            copies = [f"copy {label} image" for label in first.copies]
            lines = [["", "model", *copies, "error / better copy"]]
            for name, metric in moved.metrics.items():
                floors = [_number(metric.copies[label].value) for label in first.copies]
                lines.append(
                    [_label(name), _interval(metric.model), *floors, _interval(metric.ratio)]
                )
            yield from _aligned(lines)
        if self.reconstruction:
            yield ""
            yield "Reconstruction: decode(encode(x)) against x"
            yield from _aligned([[_label(n), _interval(e)] for n, e in self.reconstruction.items()])

    def _codes(self) -> Iterator[str]:
        if not self.probes:
            return
        yield ""
        yield "Probes: how often a factor is guessed right from a code"
        lines = [["factor", "code", "", "probe", "accuracy", "chance", "rows fitted / scored"]]
        seen = ("", "")
        for row in self.probes:
            result = row.result
            same = (row.factor, row.space) == seen
            seen = (row.factor, row.space)
            lines.append([
                "" if same else row.factor,
                "" if same else row.space,
                "" if same else _PURPOSES[row.purpose],
                result.kind,
                f"{result.accuracy:6.1%} [{result.low:.1%}, {result.high:.1%}]",
                f"{result.chance:.1%}",
                f"{result.n_train} / {result.n_test}  {result.how}",
            ])  # fmt: skip
        yield from _aligned(lines)

    def _notes(self) -> Iterator[str]:
        if self.notes:
            yield ""
            yield from self.notes


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that scores depend on."""
    own = importlib.import_module("unmingle").__version__  # set without being installed, too
    found = {"python": platform.python_version(), "unmingle": own}
    for name in ("numpy", "torch", "scikit-learn", "stlpips_pytorch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _label(metric: str) -> str:
    arrow = "↑" if metric in RISING else "↓"
    return f"{_LABELS.get(metric, metric)} {arrow}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 0.0095 else f"{value:.4f}"


def _interval(estimate: Estimate) -> str:
    return f"{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return str(value)


def _estimate(row: Mapping[str, float | None]) -> Estimate:
    return Estimate(**{key: math.nan if number is None else number for key, number in row.items()})


def _transfer_metric(row: Mapping[str, Any]) -> TransferMetric:
    copies = {label: _estimate(copy) for label, copy in row["copies"].items()}
    return TransferMetric(_estimate(row["model"]), copies, _estimate(row["ratio"]), row["floor"])
