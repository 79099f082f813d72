"""The optimiser's side of a player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, nearest
from ..nn.latent import LatentTable
from .distributed import average_gradients
from .stage import Group, Player, Progress


class Trainee:
    """A player with its optimiser: Adam for the networks, the tables' own row-sparse Adam."""

    def __init__(self, player: Player) -> None:
        """Start with fresh moments."""
        self.name, self.clip = player.name, player.clip
        self.groups: list[tuple[str, Group]] = []
        self.tables: list[LatentTable] = []
        self.params: list[nn.Parameter] = []
        dense: list[dict[str, Any]] = []
        self._dense: list[Group] = []
        for i, group in enumerate(player.groups):
            label = group.name or (player.name if len(player.groups) == 1 else f"{player.name}.{i}")
            self.groups.append((label, group))
            if isinstance(group.params, LatentTable):
                self.tables.append(group.params)
                group.params.begin_training()
                continue
            self._dense.append(group)
            self.params.extend(group.params)
            dense.append(
                {
                    "params": list(group.params),
                    "lr": group.lr,
                    "betas": group.betas,
                    "eps": group.eps,
                }
            )
        fused = bool(self.params) and all(p.device.type in ("cpu", "cuda") for p in self.params)
        self.optimizer = torch.optim.Adam(dense, fused=fused) if dense else None

    def backward(self, loss: Tensor, retain_graph: bool) -> None:
        """Add the gradient of the loss to this player's parameters and looked-up codes only."""
        inputs: list[Tensor] = [*self.params]
        for table in self.tables:
            inputs.extend(table.leaves())
        if not inputs or not loss.requires_grad:
            raise ConfigError(f"the loss of player {self.name} does not depend on what it trains")
        torch.autograd.backward(loss, inputs=inputs, retain_graph=retain_graph)

    def step(self, progress: Progress) -> None:
        """One step of Adam at the scheduled rates; gradients are dropped."""
        if self.optimizer is not None:
            average_gradients(self.params)
            if self.clip:
                self._clip(self.optimizer)
            for settings, group in zip(self.optimizer.param_groups, self._dense, strict=True):
                settings["lr"] = _rate(group, progress)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        for _, group in self.groups:
            if isinstance(group.params, LatentTable):
                group.params.update(_rate(group, progress), group.betas, group.eps)

    @torch.no_grad()
    def _clip(self, optimizer: torch.optim.Adam) -> None:
        """Shorten a gradient that is out of the ordinary.

        Adam divides by what it remembers, so that a single long gradient moves every weight at once
        by several times the learning rate. Its second moments sum up to the squared length that
        gradients have had.
        """
        usual: list[Tensor] = []
        for settings, group in zip(optimizer.param_groups, self._dense, strict=True):
            known = [optimizer.state[p] for p in settings["params"] if p in optimizer.state]
            if known:
                sums = torch._foreach_norm([state["exp_avg_sq"] for state in known], 1)
                memory = 1 - group.betas[1] ** torch.stack([state["step"] for state in known])
                usual.append((torch.stack(sums) / memory.to(sums[0].device)).sum())
        gradients = [p.grad for p in self.params if p.grad is not None]
        if usual and gradients:
            length = torch.stack(torch._foreach_norm(gradients, 2)).norm()
            longest = self.clip * torch.stack(usual).sum().sqrt()
            factor = torch.where(longest > 0, longest / length.clamp_min(1e-30), 1.0)
            torch._foreach_mul_(gradients, factor.clamp_max(1.0))

    def skip(self) -> None:
        """No step this time: forget the codes that were looked up."""
        for table in self.tables:
            table.discard()

    def rates(self, progress: Progress) -> dict[str, float]:
        """Learning rate of each group, by its label (for the logs)."""
        return {label: _rate(group, progress) for label, group in self.groups}

    def finish(self) -> None:
        """Bring the tables' rows up to date and drop their moments."""
        for table in self.tables:
            table.end_training()

    def state(self) -> dict[str, Tensor]:
        """Adam's moments of the networks: "<parameter number>/<name>" -> tensor."""
        if self.optimizer is None:
            return {}
        state = self.optimizer.state_dict()["state"]
        return {f"{i}/{name}": value for i, entry in state.items() for name, value in entry.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        if self.optimizer is None:
            return
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            number, name = key.split("/")
            param = self.params[int(number)]
            if value.shape == param.shape:  # the fused kernel needs the parameter's memory layout
                value = torch.empty_like(param, dtype=value.dtype).copy_(value)
            entries.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _rate(group: Group, progress: Progress) -> float:
    return group.lr * group.schedule(progress.fraction, progress.step)


def optimise(trainees: Sequence[Trainee], losses: Mapping[str, Tensor], progress: Progress) -> None:
    """All gradients first, then all steps: no player sees another's update."""
    trained = [trainee for trainee in trainees if trainee.name in losses]
    for trainee in trained:
        trainee.backward(losses[trainee.name], retain_graph=trainee is not trained[-1])
    for trainee in trained:
        trainee.step(progress)
    for trainee in trainees:
        if trainee.name not in losses:
            trainee.skip()


def check_losses(losses: Mapping[str, Tensor], trainees: Sequence[Trainee], stage: str) -> None:
    """Refuse losses of unknown players, of wrong shape, or none at all.

    Raises:
        ConfigError: naming stage and player.
    """
    names = [trainee.name for trainee in trainees]
    if not losses:
        raise ConfigError(f"stage {stage}: step() returned no loss; players: {', '.join(names)}")
    for name, loss in losses.items():
        if name not in names:
            raise ConfigError(f"stage {stage}: no player {name!r}.{nearest(name, names)}")
        if loss.numel() != 1:
            raise ConfigError(
                f"stage {stage}: the loss of {name} must be a scalar, not {tuple(loss.shape)}"
            )
