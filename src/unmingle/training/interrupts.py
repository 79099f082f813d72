"""Stopping at the end of a step, and things that happen every few minutes."""

from __future__ import annotations

import math
import signal
import threading
from types import FrameType
from typing import Any, NoReturn


class StopSignal:
    """Inside, the first Ctrl-C or SIGTERM only raises a flag; the second acts as usual.

    Signals reach the main thread only: elsewhere the flag stays down.
    """

    def __init__(self) -> None:
        """Nothing is changed before the `with` block."""
        self.number = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            # None: a handler that was not installed from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former = {}

    @property
    def raised(self) -> bool:
        """Whether a signal came."""
        return self.number != 0

    def act(self) -> NoReturn:
        """End the program the way the signal asked for.

        Raises:
            SystemExit: with status 143 after SIGTERM.
            KeyboardInterrupt: otherwise.
        """
        self._give_back()
        if self.number == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


class Every:
    """True once every so many minutes of the run's time; never if 0."""

    def __init__(self, minutes: float, elapsed: float) -> None:
        """Count from `elapsed` seconds on."""
        self._period = minutes * 60 if minutes else math.inf
        self._next = elapsed + self._period

    def due(self, elapsed: float) -> bool:
        """Whether the time has come."""
        if elapsed < self._next:
            return False
        self._next = elapsed + self._period
        return True
