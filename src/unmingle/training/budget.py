"""How long a run lasts, in time, steps or epochs, and what share of it each stage has."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError

_UNITS = {
    "s": ("seconds", 1.0),
    "sec": ("seconds", 1.0),
    "second": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "min": ("seconds", 60.0),
    "minute": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "hour": ("seconds", 3600.0),
    "step": ("steps", 1.0),
    "epoch": ("epochs", 1.0),
}


@dataclass(frozen=True)
class Budget:
    """An amount of training."""

    amount: float
    unit: Literal["seconds", "steps", "epochs"] = "seconds"

    def __post_init__(self) -> None:
        if self.unit not in ("seconds", "steps", "epochs"):
            raise ConfigError(f"--budget: the unit is seconds, steps or epochs, not {self.unit!r}")
        if not 0 < self.amount < float("inf"):
            raise ConfigError(f"--budget must be positive, not {self.amount:g} {self.unit}")
        if self.unit == "steps" and self.amount != int(self.amount):
            raise ConfigError(f"--budget: steps are whole, not {self.amount:g}")

    @classmethod
    def parse(cls, text: str | float | Budget) -> Budget:
        """Read "90s", "15min", "2h", "5000steps", "200epochs", or a number of seconds.

        Raises:
            ConfigError: anything else.
        """
        if isinstance(text, Budget):
            return text
        if isinstance(text, int | float) and not isinstance(text, bool):
            return cls(float(text))
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([a-z]*)\s*", str(text).lower())
        unit = match.group(2) if match else ""
        found = _UNITS.get(unit or "s") or _UNITS.get(unit.rstrip("s"))
        if match is None or found is None:
            raise ConfigError(
                f"--budget {text!r} is not understood: give a time (90s, 15min, 2h), "
                "steps (5000steps) or epochs (200epochs)"
            )
        return cls(float(match.group(1)) * found[1], found[0])  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.unit != "seconds":
            return f"{self.amount:g}{self.unit}"
        if self.amount % 60 == 0:
            return f"{self.amount / 60:g}min"
        return f"{self.amount:g}s"

    def allot(
        self, shares: Sequence[float], stage: int, began: float, epoch_length: float
    ) -> Allotment:
        """What stage number `stage` gets.

        Args:
            shares: relative weights of all stages.
            stage: which of them.
            began: seconds of the run spent when the stage began. Of a time budget the stage gets
                its share of what is left, so that a late stage pays for an early one's delay.
            epoch_length: batches in an epoch of this stage.
        """
        total = sum(shares)
        if self.unit == "steps":
            before, after = sum(shares[:stage]) / total, sum(shares[: stage + 1]) / total
            steps = round(after * self.amount) - round(before * self.amount)
            return Allotment(steps=max(steps, 1))
        if self.unit == "epochs":
            steps = round(shares[stage] / total * self.amount * epoch_length)
            return Allotment(steps=max(steps, 1))
        left = max(self.amount - began, 0.0)
        return Allotment(seconds=left * shares[stage] / sum(shares[stage:]), began=began)


@dataclass(frozen=True)
class Allotment:
    """One stage's part of the budget: `steps`, or `seconds` from `began` on."""

    steps: int | None = None
    seconds: float = 0.0
    began: float = 0.0

    def fraction(self, step: int, elapsed: float) -> float:
        """Share of it spent after `step` steps, `elapsed` seconds into the run; in [0, 1]."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        if self.seconds <= 0:
            return 1.0
        return min(max((elapsed - self.began) / self.seconds, 0.0), 1.0)


class Clock:
    """Seconds of training, counted on across resumes."""

    def __init__(self, spent: float = 0.0) -> None:
        self._spent, self._start = spent, time.monotonic()

    def elapsed(self) -> float:
        """Seconds spent so far, earlier sittings included."""
        return self._spent + time.monotonic() - self._start
