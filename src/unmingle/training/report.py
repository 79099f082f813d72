"""What `train` gives back."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class StageReport:
    """What became of a stage."""

    name: str
    steps: int
    seconds: float
    images_per_second: float
    """Rows trained on per second of the steps of this sitting."""
    losses: dict[str, float]
    """The last step's."""


@dataclass
class TrainReport:
    """What became of a run."""

    steps: int = 0
    seconds: float = 0.0
    stages: list[StageReport] = field(default_factory=list)
    """The stages finished in this sitting."""
    device: str = "cpu"
    precision: str = "float32"
    processes: int = 1
    resumed: bool = False
