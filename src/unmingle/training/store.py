"""Takes the whole state of a run to its checkpoint file and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.samplers import Sampler
from ..errors import RunError
from . import distributed, randomness
from .checkpoint import (
    Snapshot,
    first_bad,
    latent_tables,
    load_model_state,
    load_snapshot,
    model_state,
    save_snapshot,
)
from .players import Trainee
from .run import RunFolder


@dataclass
class Position:
    """Where in the run the next step is."""

    stage: int = 0
    step: int = 0
    total_step: int = 0
    began: float = 0.0
    """Seconds of the run spent when the stage began."""


class Store:
    """The checkpoint of one run."""

    def __init__(
        self,
        run: RunFolder | None,
        model: nn.Module,
        generator: torch.Generator,
        device: torch.device,
        identity: Mapping[str, Any],
    ) -> None:
        """Keep `model`, the noise `generator` and the global random states of `device`.

        `identity` is JSON; a checkpoint with another identity is refused.
        """
        self.run, self.model, self.generator, self.device = run, model, generator, device
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))
        self._loaded: Snapshot | None = None

    def load(self) -> tuple[Position, float] | None:
        """Restore model and random states; position and seconds spent, or None without checkpoint.

        Raises:
            RunError: the checkpoint is damaged, or of another model or run.
        """
        if self.run is None or not self.run.resume or not self.run.checkpoint.exists():
            return None
        path = self.run.checkpoint
        snapshot = load_snapshot(path)
        saved = snapshot.meta["identity"]
        for key in sorted(saved.keys() | self.identity.keys()):
            if saved.get(key) != self.identity.get(key):
                raise RunError(
                    f"{self.run.path} cannot be resumed: its {key} was {saved.get(key)!r} "
                    f"and is {self.identity.get(key)!r} now"
                )
        load_model_state(self.model, snapshot.part("model"), path)
        self.generator.set_state(snapshot.tensors["noise"])
        own = snapshot.part(f"random/{distributed.rank()}") or snapshot.part("random/0")
        randomness.restore(own, self.device)
        self._loaded = snapshot
        return Position(**snapshot.meta["position"]), float(snapshot.meta["seconds"])

    def load_stage(self, trainees: Sequence[Trainee], sampler: Sampler) -> None:
        """After `load` within a stage: restore its sampler and optimisers."""
        if self._loaded is None:
            return
        snapshot, self._loaded = self._loaded, None
        if snapshot.meta["sampler"] is None:
            return
        sampler.load_state(snapshot.meta["sampler"])
        for trainee in trainees:
            trainee.load_state(snapshot.part(f"player/{trainee.name}"))
        for name, table in latent_tables(self.model).items():
            state = snapshot.part(f"table/{name}")
            if state:
                table.load_optimizer_state(state)

    def save(
        self,
        position: Position,
        seconds: float,
        trainees: Sequence[Trainee] = (),
        sampler: Sampler | None = None,
    ) -> str | None:
        """Write the checkpoint; between two stages without trainees and sampler.

        Returns the name of a tensor that holds a NaN or infinity, if one does; the file is then
        left as it was. A collective: every process calls it and the first one writes.
        """
        if self.run is None:
            return None
        meta = {
            "identity": self.identity,
            "position": asdict(position),
            "seconds": seconds,
            "sampler": sampler.state() if sampler else None,
        }
        snapshot = Snapshot(meta, {"noise": self.generator.get_state()})
        snapshot.add("model", model_state(self.model))
        for trainee in trainees:
            snapshot.add(f"player/{trainee.name}", trainee.state())
        for name, table in latent_tables(self.model).items():
            snapshot.add(f"table/{name}", table.optimizer_state())
        for key, value in randomness.capture(self.device).items():
            for rank, state in enumerate(self._everyones(value)):
                snapshot.tensors[f"random/{rank}/{key}"] = state
        bad = None
        if distributed.rank() == 0:
            bad = first_bad(snapshot.part("model"))
            if bad is None:
                save_snapshot(self.run.checkpoint, snapshot)
        return bad

    def _everyones(self, state: Tensor) -> list[Tensor]:
        if distributed.world_size() == 1:
            return [state]
        return [s.cpu() for s in distributed.gather_uneven(state.to(self.device))]
