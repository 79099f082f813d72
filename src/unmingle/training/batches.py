"""From row numbers to what a stage sees."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.samplers import Sampler
from . import distributed
from .images import ImageSource
from .stage import Batch, TrainingData, View


class Batcher:
    """Cuts this rank's block out of each global batch and gathers pixels and factors."""

    def __init__(
        self, data: TrainingData, device: torch.device, generator: torch.Generator
    ) -> None:
        """Serve batches of `data` on `device`; `generator` (CPU) is the source of all noise."""
        items = data.images if data.images is not None else data.vectors
        assert items is not None
        self.source = ImageSource(items, device)
        self.device, self.generator = device, generator
        self._factors = {name: torch.as_tensor(col).long() for name, col in data.factors.items()}
        self._floats = {name: torch.as_tensor(col).float() for name, col in data.continuous.items()}

    def next(self, sampler: Sampler, divisor: int) -> Batch:
        """This rank's part of the sampler's next batch."""
        return {role: self._view(rows, divisor) for role, rows in sampler.next().items()}

    def _view(self, rows: Tensor, divisor: int) -> View:
        count = len(rows) // distributed.world_size()
        start = distributed.rank() * count
        mine = rows[start : start + count]
        return View(
            self.source.batch(mine, divisor),
            mine.to(self.device),
            {name: column[mine].to(self.device) for name, column in self._factors.items()},
            {name: column[mine].to(self.device) for name, column in self._floats.items()},
            generator=self.generator,
            batch=len(rows),
            start=start,
        )
