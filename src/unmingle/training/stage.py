"""The contract between a method and the training loop.

A method describes each training phase as a `Stage`: its players, its sampler, and a `step` that
returns one loss per player. The loop does the rest. A stage never reads the clock, opens a file or
calls an optimiser.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.samplers import PairSampler, PoolReferenceSampler, RowSampler, Sampler
from ..errors import ConfigError
from ..nn.latent import LatentTable
from .distributed import batch_mean, gather
from .randomness import latin_normal
from .schedules import Constant, Schedule


class TrainingData(Protocol):
    """What the loop needs of a data set; `FactorDataset` is one."""

    @property
    def images(self) -> Any:
        """uint8 [N, H, W, C] (may be memory-mapped), or None where there are vectors."""

    @property
    def vectors(self) -> Any:
        """float32 [N, D], or None where there are images."""

    @property
    def factors(self) -> Mapping[str, NDArray[np.int64]]:
        """Integer factor columns, [N] each."""

    @property
    def continuous(self) -> Mapping[str, NDArray[np.float32]]:
        """Float factor columns, [N] each."""

    def __len__(self) -> int: ...

    def factor(self, name: str) -> NDArray[np.int64]:
        """A factor column [N] by name."""

    def fingerprint(self) -> str:
        """A hash of the content."""


@dataclass
class Group:
    """Parameters, or one latent table, with one learning rate (Adam)."""

    params: Sequence[nn.Parameter] | LatentTable
    lr: float
    schedule: Schedule = field(default_factory=Constant)
    """Factor on `lr`, called with the stage's progress."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    name: str = ""
    """What the logs call this learning rate; the player's name and position if empty."""

    def __post_init__(self) -> None:
        if not isinstance(self.params, LatentTable):
            self.params = list(self.params)
            if not self.params:
                raise ConfigError("a Group needs at least one parameter")
        if not self.lr > 0:
            raise ConfigError(f"a learning rate must be positive, not {self.lr}")


@dataclass
class Player:
    """Networks and latent tables that share one loss and one optimiser.

    A parameter belongs to at most one player of a stage; those of no player are frozen meanwhile.
    """

    name: str
    groups: Sequence[Group]
    clip: float = 0.0
    """Longest gradient of the networks, in units of its usual length: of the root mean square that
    Adam remembers. 0: any length."""

    def __post_init__(self) -> None:
        if not self.clip >= 0:
            raise ConfigError(f"clip must be 0 or more, not {self.clip}")


@dataclass(frozen=True)
class Progress:
    """How far training is, at the start of a step."""

    step: int
    """Steps made in this stage."""
    fraction: float
    """Share of the stage's budget spent, in [0, 1]."""
    total_fraction: float
    """Share of the run's budget spent, in [0, 1]."""
    divisor: int = 1
    """The images of this step are 1/divisor of full height and width (rounded up)."""


@dataclass
class StepResult:
    """What a step gives back."""

    losses: dict[str, Tensor]
    """One scalar per player that is to be trained in this step."""
    logs: dict[str, Tensor | float] = field(default_factory=dict)
    """Scalars to be logged."""


class View:
    """One role of a batch: this process's rows of it.

    Attributes:
        rows: positions in the training set, int64 [b].
        images: float32 [b, C, h, w] in [0, 1], channels-last, at the current resolution; for
            vector data float32 [b, D].
        factors: integer factors, int64 [b] each.
        continuous: float factors, float32 [b] each.
        batch: rows of the role in the whole batch, over all processes.

    The random draws are made for the whole batch and cut, so that several processes see the
    numbers one process would.
    """

    def __init__(
        self,
        images: Tensor,
        rows: Tensor | None = None,
        factors: Mapping[str, Tensor] | None = None,
        continuous: Mapping[str, Tensor] | None = None,
        *,
        generator: torch.Generator | None = None,
        batch: int | None = None,
        start: int = 0,
    ) -> None:
        """Make a view; `start` is the place of its first row in the whole batch of `batch` rows."""
        self.images = images
        self.rows = torch.arange(len(images), device=images.device) if rows is None else rows
        self.factors = dict(factors or {})
        self.continuous = dict(continuous or {})
        self.batch = len(images) if batch is None else batch
        self._start, self._generator = start, generator

    def __len__(self) -> int:
        return len(self.images)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.images.device

    @property
    def places(self) -> Tensor:
        """Where its rows are in the whole batch, int64 [b]."""
        return torch.arange(self._start, self._start + len(self), device=self.device)

    def _cut(self, whole: Tensor) -> Tensor:
        return whole[self._start : self._start + len(self)].to(self.device)

    def randn(self, *shape: int) -> Tensor:
        """Standard normal noise, float32 [b, *shape]."""
        return self._cut(torch.randn(self.batch, *shape, generator=self._generator))

    def rand(self, *shape: int) -> Tensor:
        """Uniform noise in [0, 1), float32 [b, *shape]."""
        return self._cut(torch.rand(self.batch, *shape, generator=self._generator))

    def stratified(self, *shape: int) -> Tensor:
        """Standard normal noise, float32 [b, *shape], spread evenly over the whole batch.

        Each entry's numbers fall one into each of as many equally likely slices as there are rows.
        """
        uniform = torch.rand(self.batch, *shape, generator=self._generator)
        places = torch.rand(self.batch, *shape, generator=self._generator).argsort(0)
        return self._cut(latin_normal(uniform, places))

    def permutation(self, others: bool = False) -> Tensor:
        """This process's part, int64 [b], of a random permutation of the whole batch.

        Its numbers index the whole batch: `view.gather(codes)[view.permutation()]`. With `others`
        no sample is paired with itself (unless it is alone).
        """
        order = torch.randperm(self.batch, generator=self._generator)
        if others:
            shifted = torch.empty_like(order)
            shifted[order] = order.roll(-1)
            order = shifted
        return self._cut(order)

    def gather(self, x: Tensor) -> Tensor:
        """The whole batch's [B, ...] from each process's [b, ...], with gradient."""
        return gather(x)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of x [b, ...] over the samples of the whole batch, with gradient."""
        return batch_mean(x)


Batch = dict[str, View]
"""Role -> view: {"x"} for rows, {"a", "b"} for pairs, {"pool", "reference"}."""


@dataclass(frozen=True)
class Context:
    """What a stage may know when it makes its sampler."""

    data: TrainingData
    seed: int
    shards: int

    def rows(self, batch: int) -> RowSampler:
        """Single rows, role "x"."""
        return RowSampler(len(self.data), batch, self.seed, self.shards)

    def pairs(self, factor: str, batch: int) -> PairSampler:
        """Pairs with the same value of a factor, roles "a" and "b"."""
        return PairSampler(self.data.factor(factor), batch, self.seed, self.shards)

    def pool_reference(
        self, pool: NDArray[np.int64], reference: NDArray[np.int64], batch: int
    ) -> PoolReferenceSampler:
        """Rows of a pool and of a reference set, roles "pool" and "reference"."""
        return PoolReferenceSampler(pool, reference, batch, self.seed, self.shards)


class Stage(ABC):
    """One training phase. Subclasses set `name` and `share` and override what they need.

    Order of calls: `setup` (once, when the stage begins; not again on resume), `players`,
    `sampler`, `prepare` (on resume too), then for each step `step` and `after_step`, at last
    `finish`. All that must survive a resume lives in the model's state dict.
    """

    name: str = "stage"
    share: float = 1.0
    """Weight of this stage in the run's budget, relative to the other stages'."""

    def setup(self) -> None:
        """Begin, for example by copying networks of the previous stage."""

    @abstractmethod
    def players(self) -> Sequence[Player]:
        """Who is trained in this stage."""

    @abstractmethod
    def sampler(self, context: Context) -> Sampler:
        """Where the batches come from."""

    def prepare(self) -> None:
        """Whatever must hold before steps are made, as `.eval()` of frozen networks."""

    def resolutions(self) -> Sequence[tuple[float, int]]:
        """(share of the stage, divisor of the image size) in order; shares sum to 1."""
        return [(1.0, 1)]

    def memory(self) -> int:
        """Bytes of CPU memory that it takes beside networks, optimisers and images."""
        return 0

    @abstractmethod
    def step(self, batch: Batch, progress: Progress) -> StepResult:
        """One loss per player from one batch, under autocast."""

    def after_step(self, progress: Progress) -> None:
        """After the optimisers' step: multipliers, memory banks, running averages."""

    def finish(self) -> None:
        """End, after the last step; latent tables have their final values."""

    def compile_targets(self) -> Sequence[nn.Module]:
        """Modules worth `torch.compile`; the model's networks if empty."""
        return ()


def check_stages(stages: Sequence[Stage]) -> None:
    """Refuse stages that cannot be run.

    Raises:
        ConfigError: no stage, a doubled name, a share that is not positive, bad resolutions.
    """
    if not stages:
        raise ConfigError("training needs at least one stage")
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ConfigError(f"stage names must differ: {', '.join(names)}")
    for stage in stages:
        if not stage.share > 0:
            raise ConfigError(f"stage {stage.name}: share must be positive, not {stage.share}")
        plan = stage.resolutions()
        if not plan or abs(sum(share for share, _ in plan) - 1) > 1e-6:
            raise ConfigError(f"stage {stage.name}: the shares of resolutions() must sum to 1")
        if any(share < 0 or divisor not in (1, 2, 4, 8) for share, divisor in plan):
            raise ConfigError(f"stage {stage.name}: divisors must be 1, 2, 4 or 8, shares >= 0")


def divisor_at(plan: Sequence[tuple[float, int]], fraction: float) -> int:
    """The divisor of a `Stage.resolutions` plan at `fraction` of the stage."""
    reached = 0.0
    for share, divisor in plan:
        reached += share
        if fraction < reached - 1e-9:
            return divisor
    return plan[-1][1]


def check_players(stage: Stage, players: Sequence[Player]) -> None:
    """Refuse players that share a name, a parameter or a table.

    Raises:
        ConfigError: naming stage and players.
    """
    if not players:
        raise ConfigError(f"stage {stage.name} has no players")
    owner: dict[int, str] = {}
    names: set[str] = set()
    for player in players:
        if player.name in names:
            raise ConfigError(f"stage {stage.name} has two players named {player.name}")
        names.add(player.name)
        for group in player.groups:
            members: Sequence[Any] = (
                [group.params] if isinstance(group.params, LatentTable) else group.params
            )
            for member in members:
                if id(member) in owner:
                    raise ConfigError(
                        f"stage {stage.name}: a parameter is in player {owner[id(member)]} "
                        f"and again in {player.name}"
                    )
                owner[id(member)] = player.name
