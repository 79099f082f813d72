"""The result of an evaluation: a table to read, JSON to keep."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmingle.errors import RunError
from unmingle.evaluation.audit import Audit
from unmingle.evaluation.bootstrap import Estimate
from unmingle.evaluation.feature_distance import FeatureDistance
from unmingle.evaluation.judges import Judging
from unmingle.evaluation.output import write_file
from unmingle.evaluation.plain import rebuild, to_plain
from unmingle.evaluation.probes import ProbeResult
from unmingle.evaluation.record import versions as versions
from unmingle.evaluation.text import aligned, interval, number
from unmingle.evaluation.transfer import RISING, Transfer

_FORMAT = "unmingle-scores-1"
_LABELS = {
    "st_lpips_alex": "ST-LPIPS (AlexNet)",
    "st_lpips_vgg": "ST-LPIPS (VGG16)",
    "mse": "MSE",
    "ssim": "SSIM",
}
PURPOSES = {"knows": "should know", "leak": "leak", "other": ""}


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
        audit, judges, feature_distance: None unless they were asked for.
        disentanglement: {metric: {name: value}}, by `unmingle.evaluation.disentanglement`; None
            unless asked for.
    """

    transfer: Transfer | None
    reconstruction: dict[str, Estimate]
    probes: list[ProbeRow]
    notes: list[str]
    context: dict[str, Any]
    audit: Audit | None = None
    judges: Judging | None = None
    feature_distance: FeatureDistance | None = None
    disentanglement: dict[str, dict[str, float]] | None = None

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
        plain = to_plain(self)
        assert isinstance(plain, dict)
        return {"format": _FORMAT, **plain}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scores:
        """The inverse of `to_dict`."""
        return rebuild(cls, {key: value for key, value in plain.items() if key != "format"})

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
        parts = [*self._head(), *self._images(), *self._codes()]
        for more in (self.audit, self.judges, self.feature_distance):
            parts += [] if more is None else more.lines()
        return "\n".join([*parts, *self._disentangled(), *self._notes()])

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
                floors = [number(metric.copies[label].value) for label in first.copies]
                lines.append(
                    [metric_label(name), interval(metric.model), *floors, interval(metric.ratio)]
                )
            yield from aligned(lines)
        if self.reconstruction:
            yield ""
            yield "Reconstruction: decode(encode(x)) against x"
            yield from aligned(
                [[metric_label(n), interval(e)] for n, e in self.reconstruction.items()]
            )

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
                "" if same else PURPOSES[row.purpose],
                result.kind,
                f"{result.accuracy:6.1%} [{result.low:.1%}, {result.high:.1%}]",
                f"{result.chance:.1%}",
                f"{result.n_train} / {result.n_test}  {result.how}",
            ])  # fmt: skip
        yield from aligned(lines)

    def _disentangled(self) -> Iterator[str]:
        if self.disentanglement is None:
            return
        about = self.context["disentanglement"]
        yield ""
        yield (
            f"Disentanglement of the entries of all codes: {', '.join(about['factors'])};"
            f" {about['rows']} rows"
        )
        yield from aligned(
            [
                [metric, ", ".join(f"{name} {number(value)}" for name, value in values.items())]
                for metric, values in self.disentanglement.items()
            ]
        )

    def _notes(self) -> Iterator[str]:
        if self.notes:
            yield ""
            yield from self.notes


def metric_label(metric: str) -> str:
    """A metric's name for tables, with an arrow to where it is better."""
    arrow = "↑" if metric in RISING else "↓"
    return f"{_LABELS.get(metric, metric)} {arrow}"
