"""A variant of DisUnknown that an ablation needs: it watches its codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import unmingle as um
from unmingle.data import FactorDataset
from unmingle.training.stage import Progress, Stage

EVERY = 100  # steps between snapshots; the paper's are 10,000 apart, of 400,000


class Track(um.DisUnknown):
    """Keeps how far the unknown codes of held-out items move between snapshots (supplement 3.1)."""

    def watch(self, test: FactorDataset) -> None:
        """Encode these items at each snapshot."""
        self.watched, self.codes, self.movement = test.take(), [], []

    def stages(self, data: FactorDataset) -> Sequence[Stage]:
        stages = super().stages(data)
        stages[0].after_step = self._after  # type: ignore[method-assign]
        return stages

    @torch.no_grad()
    def _after(self, progress: Progress) -> None:
        # By steps and not by time: a faster variant would be asked about longer ways.
        if progress.step % EVERY:
            return
        parts = [self.gaussians_of_unknown(self._items(self.watched[start : start + 256]))
                 for start in range(0, len(self.watched), 256)]  # fmt: skip
        self.codes.append(torch.cat(parts))
        if len(self.codes) > 1:
            moved = (self.codes[-1] - self.codes[-2]).square().sum(1).mean()
            self.movement.append({"step": progress.step, "squared": float(moved)})

    def gaussians_of_unknown(self, items: torch.Tensor) -> torch.Tensor:
        """Means of the unknown codes."""
        network: Any = self.network
        return network["encoder"](self.normalised(items))[0][0]

    def moved(self) -> dict[str, Any]:
        """Squared distance of a code to that of the snapshot before, mean over held-out items."""
        return {
            "every": EVERY,
            "movement": self.movement,
            "spread": float(self.codes[-1].var(0).sum()),
        }
