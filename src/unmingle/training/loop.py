"""The one training loop. It runs stages and knows no method."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.samplers import Sampler
from ..errors import ConfigError, DataError, DivergedError
from . import distributed, randomness
from .batches import Batcher
from .budget import Allotment, Clock
from .checkpoint import latent_tables, replace_file
from .hardware import make_fabric, thread_count
from .interrupts import Every, StopSignal
from .logs import Logger, StepRecord
from .players import Trainee, check_losses, optimise
from .report import StageReport, TrainReport
from .run import RunFolder, check_room
from .settings import TrainSettings
from .stage import (
    Context,
    Progress,
    Stage,
    StepResult,
    TrainingData,
    check_players,
    check_stages,
    divisor_at,
)
from .store import Position, Store

__all__ = ["Preview", "StageReport", "TrainReport", "train"]

Preview = Callable[[], NDArray[np.uint8]]


@dataclass
class _Active:
    """A stage being run."""

    stage: Stage
    trainees: list[Trainee]
    sampler: Sampler
    allotment: Allotment
    busy: float = 0.0
    images: int = 0
    losses: dict[str, float] = field(default_factory=dict)


def train(
    model: nn.Module,
    stages: Sequence[Stage],
    data: TrainingData,
    settings: TrainSettings,
    run: RunFolder | None = None,
    preview: Preview | None = None,
    *,
    identity: Mapping[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
) -> TrainReport:
    """Train a model through its stages.

    Args:
        model: holds every network and latent table of the method; its state dict is what a
            checkpoint stores. It ends on the training device, in eval mode, all tables whole.
        stages: what to do, in order.
        data: the training set.
        settings: budget, seed, device and so on.
        run: where checkpoints, logs and pictures go; nothing is written if None.
        preview: makes a picture, uint8 [H, W, 1, 3 or 4], of the model as it is. Called without
            gradients and in eval mode, on every process; the random state is given back after it.
        identity: JSON values that must be the same when a run is resumed (the method's settings).
        say: takes the lines otherwise printed to stderr.

    Raises:
        ConfigError: settings or stages are wrong.
        RunError: too little disk or memory, or a checkpoint that is damaged or of another run.
        DivergedError: a loss or the model became NaN or infinite.
        KeyboardInterrupt, SystemExit: on Ctrl-C and SIGTERM, once the checkpoint is written.
    """
    check_stages(stages)
    if len(data) == 0:
        raise DataError("there are no rows to train on")
    fabric, precision = make_fabric(settings)
    with (
        randomness.preserved(fabric.device),
        thread_count(settings.threads),
        StopSignal() as stop,
    ):
        randomness.seed_all(settings.seed + distributed.rank())
        logger = Logger(
            run,
            active=distributed.rank() == 0,
            quiet=settings.quiet,
            tensorboard=settings.tensorboard,
            say=say,
        )
        session = _Session(fabric, precision, model, stages, data, settings, run, logger, stop)
        session.preview = preview
        try:
            session.start(identity or {})
            while session.at.stage < len(stages):
                session.run_stage()
            return session.finish()
        finally:
            session.close()


def state_bytes(model: nn.Module) -> int:
    """Size of a model's parameters, tables and buffers."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())


class _Session:
    """One call of `train`."""

    preview: Preview | None = None

    def __init__(
        self,
        fabric: Any,
        precision: str,
        model: nn.Module,
        stages: Sequence[Stage],
        data: TrainingData,
        settings: TrainSettings,
        run: RunFolder | None,
        logger: Logger,
        stop: StopSignal,
    ) -> None:
        self.fabric, self.model, self.stages, self.data = fabric, model, stages, data
        self.settings, self.run, self.logger, self.stop = settings, run, logger, stop
        self.device: torch.device = fabric.device
        self.world, self.rank = distributed.world_size(), distributed.rank()
        self.shards = settings.shards or self.world
        self.requires_grad = {p: p.requires_grad for p in model.parameters()}
        self.compiled: list[nn.Module] = []
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.at = Position()
        self.elapsed = 0.0  # as all processes agreed in the last step
        self.clock = Clock()
        self.report = TrainReport(
            device=str(self.device), precision=precision, processes=self.world
        )

    # ------------------------------------------------------------------ the whole run

    def start(self, identity: Mapping[str, Any]) -> None:
        """Put everything in place, from the checkpoint if there is one to resume."""
        if self.world not in (1, self.shards):
            raise ConfigError(f"--shards {self.shards} cannot be shared by {self.world} processes")
        self.batcher = Batcher(self.data, self.device, self.generator)
        self._check_room()
        self.fabric.to_device(self.model)
        if self.batcher.source.is_images:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        own = {
            "data": self.data.fingerprint(),
            "seed": self.settings.seed,
            "budget": str(self.settings.length),
            "shards": self.shards,
            "stages": [[stage.name, stage.share] for stage in self.stages],
        }
        self.store = Store(self.run, self.model, self.generator, self.device, {**own, **identity})
        self.logger.say(
            f"training on {self.device} in {self.report.precision}, {len(self.data)} rows, "
            f"{self.settings.length}"
        )
        self._resume()
        self._broadcast()
        for table in latent_tables(self.model).values():
            table.shard(self.rank, self.world)
        self.save_timer = Every(self.settings.checkpoint_every, self.elapsed)
        self.sample_timer = Every(self.settings.sample_every, self.elapsed)

    def _broadcast(self) -> None:
        """Every process starts from the first one's model; sharded tables are each one's own."""
        sharded = {id(t.weight) for t in latent_tables(self.model).values() if t.sharded}
        state = self.model.state_dict(keep_vars=True)
        distributed.broadcast_state([v.data for v in state.values() if id(v) not in sharded])

    def _resume(self) -> None:
        if self.run is None or not self.run.resume:
            return
        found = self.store.load()
        if found is None:
            self.logger.say(f"{self.run.path} has no checkpoint yet: starting at the beginning")
            self.run.truncate_metrics(-1)
            return
        self.at, self.elapsed = found
        self.clock = Clock(self.elapsed)
        self.run.truncate_metrics(self.at.total_step)
        self.logger.resume_at(self.elapsed)
        self.report.resumed = True
        self.logger.say(f"resuming after step {self.at.total_step}, {self.elapsed:.0f} s in")

    def _check_room(self) -> None:
        size = state_bytes(self.model)
        divisors = {divisor for stage in self.stages for _, divisor in stage.resolutions()}
        copies = self.batcher.source.copy_bytes(divisors)
        kept = 0
        if self.device.type == "cpu":
            with torch.no_grad(), self.fabric.autocast():
                kept = max(stage.memory() for stage in self.stages)
        check_room(self.run, size, copies + kept)

    def finish(self) -> TrainReport:
        """The report; the model is whole on every process and in eval mode."""
        for table in latent_tables(self.model).values():
            table.unshard()
        if self.world > 1:
            dist.barrier()
        self.model.eval()
        self.report.steps, self.report.seconds = self.at.total_step, self.clock.elapsed()
        return self.report

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        for param, flag in self.requires_grad.items():
            param.requires_grad_(flag)
            param.grad = None
        for table in latent_tables(self.model).values():
            table.drop_training()
        for module in self.compiled:
            module._compiled_call_impl = None
        self.logger.close()

    # ------------------------------------------------------------------ a stage

    def run_stage(self) -> None:
        """The stage at hand, from where it stands to its end."""
        active = self._open(self.stages[self.at.stage])
        while True:
            fraction = active.allotment.fraction(self.at.step, self.elapsed)
            if self.at.step and fraction >= 1:
                break
            self._one_step(active, self._progress(active.stage, fraction))
        for trainee in active.trainees:
            trainee.finish()
        active.stage.finish()
        self.report.stages.append(
            StageReport(
                active.stage.name,
                self.at.step,
                round(self.clock.elapsed() - self.at.began, 3),
                round(active.images / active.busy, 1) if active.busy else 0.0,
                active.losses,
            )
        )
        self._picture(active.stage.name)
        self.at = Position(self.at.stage + 1, 0, self.at.total_step, self.elapsed)
        self._save(None)
        if self.at.stage < len(self.stages) and self._alone_and_stopped():
            self._stop()

    def _open(self, stage: Stage) -> _Active:
        if self.at.step == 0:
            stage.setup()
            self._broadcast()  # what setup drew at random
        players = list(stage.players())
        check_players(stage, players)
        self.model.train()
        for param in self.requires_grad:
            param.requires_grad_(False)
        trainees = [Trainee(player) for player in players]
        for trainee in trainees:
            for param in trainee.params:
                param.requires_grad_(True)
        seed = _stage_seed(self.settings.seed, stage.name)
        sampler = stage.sampler(Context(self.data, seed, self.shards))
        shares = [s.share for s in self.stages]
        allotment = self.settings.length.allot(
            shares, self.at.stage, self.at.began, sampler.epoch_length
        )
        self.store.load_stage(trainees, sampler)
        stage.prepare()
        if self.settings.compile:
            self._compile(stage)
        return _Active(stage, trainees, sampler, allotment)

    def _compile(self, stage: Stage) -> None:
        networks = [m for m in self.model.children() if any(True for _ in m.parameters())]
        for module in stage.compile_targets() or networks:
            if module not in self.compiled:
                module.compile()
                self.compiled.append(module)

    def _progress(self, stage: Stage, fraction: float) -> Progress:
        shares = [s.share for s in self.stages]
        done = sum(shares[: self.at.stage]) + shares[self.at.stage] * fraction
        divisor = divisor_at(stage.resolutions(), fraction)
        return Progress(self.at.step, fraction, min(done / sum(shares), 1.0), divisor)

    # ------------------------------------------------------------------ a step

    def _one_step(self, active: _Active, progress: Progress) -> None:
        began = time.perf_counter()
        batch = self.batcher.next(active.sampler, progress.divisor)
        with self.fabric.autocast():
            result = active.stage.step(batch, progress)
        check_losses(result.losses, active.trainees, active.stage.name)
        active.losses, stopping = self._agree(result.losses)
        for name, value in active.losses.items():
            if not math.isfinite(value):
                self._diverged(f"the loss of player {name} became {value}", active.stage.name)
        optimise(active.trainees, result.losses, progress)
        active.stage.after_step(progress)
        self.at.step += 1
        self.at.total_step += 1
        busy = time.perf_counter() - began
        images = sum(view.batch for view in batch.values())
        active.busy, active.images = active.busy + busy, active.images + images
        self._keep_up(active, progress, result, busy, images)
        if stopping or self._alone_and_stopped():
            self._save(active)
            self._stop()

    def _agree(self, losses: Mapping[str, Tensor]) -> tuple[dict[str, float], bool]:
        """Losses as means over processes; time and stop signal become the same for all."""
        numbers = torch.stack([v.detach().reshape(()).float() for v in losses.values()]).tolist()
        elapsed, stopping = self.clock.elapsed(), self.stop.raised
        if self.world > 1:
            own = [*numbers, elapsed if self.rank == 0 else 0.0, float(stopping)]
            shared = torch.tensor(own, dtype=torch.float64, device=self.device)
            dist.all_reduce(shared)
            *sums, elapsed, stops = shared.tolist()
            numbers, stopping = [s / self.world for s in sums], stops > 0
        self.elapsed = elapsed
        return dict(zip(losses, numbers, strict=True)), stopping

    def _alone_and_stopped(self) -> bool:
        """A signal that need not be agreed on, so that it acts at the end of this very step."""
        return self.world == 1 and self.stop.raised

    def _stop(self) -> NoReturn:
        kept = "; --resume continues" if self.run is not None else ""
        self.logger.say(f"stopped after step {self.at.total_step}{kept}")
        self.stop.act()

    def _diverged(self, what: str, stage: str) -> NoReturn:
        kept = "no checkpoint was written yet"
        if self.run is not None and self.run.checkpoint.exists():
            kept = f"the last good checkpoint is {self.run.checkpoint}"
        advice = "try a lower learning rate"
        if self.report.precision == "bf16":
            advice += " or --precision float32"
        raise DivergedError(f"{what} in stage {stage} at step {self.at.step}; {kept}; {advice}")

    # ------------------------------------------------------------------ around the steps

    def _keep_up(
        self, active: _Active, progress: Progress, result: StepResult, busy: float, images: int
    ) -> None:
        """Logs, pictures and checkpoints that are due."""
        fraction = active.allotment.fraction(self.at.step, self.elapsed)
        record = StepRecord(
            active.stage.name,
            self.at.step,
            self.at.total_step,
            self.elapsed,
            busy,
            images,
            self._progress(active.stage, fraction).total_fraction,
            lambda: {k: v for t in active.trainees for k, v in t.rates(progress).items()},
            active.losses,
            result.logs,
        )
        self.logger.step(record, last=fraction >= 1)
        if fraction < 1 and self.sample_timer.due(self.elapsed):
            self._picture(active.stage.name)
        if fraction < 1 and self.save_timer.due(self.elapsed):
            self._save(active)

    def _picture(self, stage: str) -> None:
        if self.preview is None or not self.settings.sample_every:
            return
        modes = {module: module.training for module in self.model.modules()}
        self.model.eval()
        with randomness.preserved(self.device), torch.no_grad():
            picture = self.preview()
        for module, training in modes.items():
            module.training = training
        if self.run is not None and self.rank == 0:
            from PIL import Image

            pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
            image = Image.fromarray(pixels)
            path = self.run.sample(stage, self.at.step)
            replace_file(path, lambda file: image.save(file, format="PNG"))

    def _save(self, active: _Active | None) -> None:
        """Write a checkpoint: within a stage, or between two (active is None)."""
        seconds = self.clock.elapsed()
        if active is None:
            bad = self.store.save(self.at, seconds)
        else:
            bad = self.store.save(self.at, seconds, active.trainees, active.sampler)
        if bad is not None:
            done = active is None  # the position is already the next stage's
            stage = self.stages[self.at.stage - done].name
            self._diverged(f"{bad} holds values that are not finite", stage)


def _stage_seed(seed: int, stage: str) -> int:
    digest = hashlib.sha256(f"{seed}/{stage}".encode()).digest()
    return int.from_bytes(digest[:6], "little")
