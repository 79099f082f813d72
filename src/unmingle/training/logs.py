"""What a run says while it trains: metrics.jsonl, a progress bar or plain lines, TensorBoard."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from torch import Tensor

from ..errors import require
from .run import RunFolder

_RECORD_SECONDS = 2.0
_LINE_SECONDS = 30.0


@dataclass
class StepRecord:
    """One step, as the loop reports it."""

    stage: str
    step: int
    """Steps made in the stage, this one included."""
    total_step: int
    seconds: float
    """Seconds of the run spent."""
    busy: float
    """Seconds this step took."""
    images: int
    """Rows trained on in this step."""
    total_fraction: float
    """Share of the run's budget spent."""
    rates: Callable[[], dict[str, float]]
    """Learning rates, asked for when a line is written."""
    losses: dict[str, float]
    logs: Mapping[str, Tensor | float]


class Logger:
    """Collects steps and writes at most one record every two seconds, and one at a stage's end.

    A record's losses are means over the steps since the last one.
    """

    def __init__(
        self,
        run: RunFolder | None,
        *,
        active: bool = True,
        quiet: bool = False,
        tensorboard: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Log to the run's folder and to the terminal.

        Args:
            run: where metrics.jsonl goes, if anywhere.
            active: False on all processes but the first.
            quiet: no output to the terminal.
            tensorboard: also write TensorBoard events (the extra `tensorboard`).
            say: takes each line of text instead of stderr, and there is no bar.
        """
        self._active = active
        self._file: TextIO | None = None
        self._path = run.metrics if active and run is not None else None
        self._board: Any = None
        self._bar: Any = None
        self._quiet = quiet or not active
        self._say = say
        if active and run is not None and tensorboard:
            writer = require("torch.utils.tensorboard", "tensorboard").SummaryWriter
            self._board = writer(str(run.path / "tensorboard"))
        if not self._quiet and say is None and sys.stderr.isatty():
            self._bar, self._task = _progress_bar()
        self._last_record = self._last_line = 0.0
        self._reset()

    def _reset(self) -> None:
        self._losses: dict[str, tuple[float, int]] = {}
        self._busy, self._images = 0.0, 0

    def resume_at(self, seconds: float) -> None:
        """The run has already lasted `seconds`."""
        self._last_record = self._last_line = seconds

    def say(self, text: str) -> None:
        """A line for the reader."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif self._say is not None:
            self._say(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def step(self, record: StepRecord, last: bool) -> None:
        """Take note of a step; `last` of its stage."""
        if not self._active:
            return
        for name, value in record.losses.items():
            total, count = self._losses.get(name, (0.0, 0))
            self._losses[name] = (total + value, count + 1)
        self._busy += record.busy
        self._images += record.images
        if not last and record.seconds - self._last_record < _RECORD_SECONDS:
            return
        self._last_record = record.seconds
        self._write(record, last)
        self._reset()

    def _write(self, record: StepRecord, last: bool) -> None:
        losses = {name: total / count for name, (total, count) in self._losses.items()}
        speed = self._images / self._busy if self._busy > 0 else 0.0
        logs = {name: float(value) for name, value in record.logs.items()}
        line = {
            "stage": record.stage,
            "step": record.step,
            "total_step": record.total_step,
            "seconds": round(record.seconds, 3),
            "images_per_second": round(speed, 1),
            "lr": record.rates(),
            "losses": losses,
            "logs": logs,
        }
        if self._path is not None:
            if self._file is None:  # not earlier: a resumed run's file is cut to length first
                self._file = self._path.open("a")
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in {**losses, **logs}.items():
                self._board.add_scalar(f"{record.stage}/{name}", value, record.total_step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        if self._bar is not None:
            left = _remaining(record)
            self._bar.update(
                self._task,
                completed=record.total_fraction,
                description=f"{record.stage} {record.step}",
                text=f"{shown}  {speed:.0f} images/s  {left}",
            )
        elif last or record.seconds - self._last_line >= _LINE_SECONDS:
            self._last_line = record.seconds
            self.say(
                f"{record.stage} step {record.step}  {record.total_fraction:.0%}  {shown}  "
                f"{speed:.0f} images/s  {_remaining(record)}"
            )

    def close(self) -> None:
        """Finish all outputs."""
        if self._bar is not None:
            self._bar.stop()
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def _remaining(record: StepRecord) -> str:
    if not 0 < record.total_fraction < 1:
        return "done" if record.total_fraction >= 1 else ""
    left = round(record.seconds * (1 / record.total_fraction - 1))
    hours, rest = divmod(left, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{clock} left" if hours else f"{clock} left"


def _progress_bar() -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
        console=Console(stderr=True),
        refresh_per_second=2,
    )
    bar.start()
    return bar, bar.add_task("starting", total=1.0, text="")
