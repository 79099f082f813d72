"""Everything about a training run that is not the method's business."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ..errors import ConfigError
from .budget import Budget


@dataclass
class TrainSettings:
    """Settings of a run.

    Raises:
        ConfigError: a value is out of range; the message names the flag.
    """

    budget: Budget | str | float = "15min"
    """How long to train: 90s, 15min, 2h, 5000steps, 200epochs, or a number of seconds."""
    seed: int = 0
    """Seed of everything random; the same seed and number of steps give the same bits on CPU."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: str = "auto"
    """auto, float32 or bf16; auto takes bf16 autocast where the hardware computes in it."""
    checkpoint_every: float = 5.0
    """Minutes between checkpoints; 0 writes them at the ends of stages and on interruption only."""
    sample_every: float = 2.0
    """Minutes between sample pictures; 0 for none."""
    compile: bool = False
    """Compile the networks with torch.compile (slow start, faster steps on some machines)."""
    threads: int | None = None
    """CPU threads of torch; its own choice if not given."""
    shards: int | None = None
    """Cut each batch as this many processes would; the number of processes if not given."""
    quiet: bool = False
    """Print nothing but warnings."""
    tensorboard: bool = False
    """Also write TensorBoard events into the run folder (needs the extra `tensorboard`)."""

    def __post_init__(self) -> None:
        self.budget = Budget.parse(self.budget)
        for flag in ("seed", "threads", "shards"):
            number = getattr(self, flag)
            if not _is_whole(number) and (number is not None or flag == "seed"):
                raise ConfigError(f"--{flag} must be a whole number, not {number!r}")
        for flag in ("checkpoint_every", "sample_every"):
            if not isinstance(getattr(self, flag), Real):
                raise ConfigError(f"--{flag.replace('_', '-')} must be a number of minutes")
        for flag in ("device", "precision"):
            if not isinstance(getattr(self, flag), str):
                raise ConfigError(f"--{flag} must be text, not {getattr(self, flag)!r}")
        if self.seed < 0:
            raise ConfigError(f"--seed must be 0 or more, not {self.seed}")
        if self.device.split(":")[0] not in ("auto", "cpu", "cuda", "mps"):
            raise ConfigError(f"--device is auto, cpu, cuda, cuda:N or mps, not {self.device!r}")
        if self.device.count(":") and not self.device.partition(":")[2].isdecimal():
            raise ConfigError(f"--device: the number after the colon is missing: {self.device!r}")
        if self.precision not in ("auto", "float32", "bf16"):
            raise ConfigError(f"--precision is auto, float32 or bf16, not {self.precision!r}")
        for flag in ("checkpoint_every", "sample_every"):
            if not getattr(self, flag) >= 0:
                raise ConfigError(f"--{flag.replace('_', '-')} must be 0 minutes or more")
        for flag in ("threads", "shards"):
            value = getattr(self, flag)
            if value is not None and value < 1:
                raise ConfigError(f"--{flag} must be at least 1, not {value}")

    @property
    def length(self) -> Budget:
        """The parsed budget."""
        return Budget.parse(self.budget)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
