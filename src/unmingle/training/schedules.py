"""Numbers that change over a stage: pure functions of the stage's progress.

Each is called as `schedule(fraction, step)` with `fraction` in [0, 1] of the stage's budget and the
stage's 0-based `step`, so it stretches to whatever budget a run is given. On a learning rate the
value is a factor; anywhere else (a capacity, a weight) it is the number itself. Two schedules
multiply: `Cosine(0.1) * Ramp(steps=100)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..errors import ConfigError


class Schedule(ABC):
    """A number as a function of progress."""

    @abstractmethod
    def __call__(self, fraction: float, step: int) -> float:
        """The value at `fraction` of the stage (0 to 1), in its `step` (from 0)."""

    def __mul__(self, other: Schedule) -> Schedule:
        return Product(self, other)


@dataclass(frozen=True)
class Product(Schedule):
    """The product of two schedules."""

    first: Schedule
    second: Schedule

    def __call__(self, fraction: float, step: int) -> float:
        return self.first(fraction, step) * self.second(fraction, step)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value throughout."""

    value: float = 1.0

    def __call__(self, fraction: float, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line from `start` to `end`, reached at `until` (a fraction of the stage)."""

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.until <= 1.0:
            raise ConfigError(f"Linear: until must be in (0, 1], not {self.until}")

    def __call__(self, fraction: float, step: int) -> float:
        return self.start + (self.end - self.start) * min(fraction / self.until, 1.0)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 down to `final`."""

    final: float = 0.0

    def __call__(self, fraction: float, step: int) -> float:
        falling = 0.5 * (1.0 + math.cos(math.pi * min(max(fraction, 0.0), 1.0)))
        return self.final + (1.0 - self.final) * falling


@dataclass(frozen=True)
class Ramp(Schedule):
    """A linear warm-up to 1 over the first `steps`, or the first `fraction` of the stage.

    By steps the first step already has 1/steps, so that no step is lost at a rate of zero.
    """

    steps: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.fraction is None):
            raise ConfigError("Ramp: give either steps or fraction")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"Ramp: steps must be at least 1, not {self.steps}")
        if self.fraction is not None and not 0.0 < self.fraction <= 1.0:
            raise ConfigError(f"Ramp: fraction must be in (0, 1], not {self.fraction}")

    def __call__(self, fraction: float, step: int) -> float:
        if self.steps is not None:
            return min((step + 1) / self.steps, 1.0)
        assert self.fraction is not None
        return min(fraction / self.fraction, 1.0)
