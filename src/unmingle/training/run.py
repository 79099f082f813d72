"""The run folder: config.json, model.safetensors, checkpoint/, metrics.jsonl, samples/."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..data.storage import format_bytes, free_memory
from ..errors import RunError

_OWN = (
    "config.json",
    "model.safetensors",
    "metrics.jsonl",
    "report.html",
    "scores.json",
    "checkpoint/state.safetensors",
    "samples/*.png",
    "tensorboard/events.out.tfevents.*",
)
_HEADROOM = 32 * 2**20


class RunFolder:
    """Where a run keeps its files. Of several processes only the first writes."""

    def __init__(
        self, path: str | os.PathLike[str], *, resume: bool = False, overwrite: bool = False
    ) -> None:
        """Take a folder for a run; it is made if need be.

        Args:
            path: the folder.
            resume: continue the run in it from its checkpoint (from the start if it has none yet).
            overwrite: remove an earlier run's files first.

        Raises:
            RunError: the folder holds something and neither flag is given, or holds files that are
                not a run's.
        """
        self.path, self.resume = Path(path), resume
        if resume and overwrite:
            raise RunError("--resume and --overwrite exclude each other")
        self.writes = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0
        if self.writes:
            self._claim(overwrite)

    def _claim(self, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; a run needs a folder")
        content = sorted(self.path.iterdir()) if self.path.exists() else []
        if content and not (self.resume or overwrite):
            raise RunError(
                f"{self.path} already holds {content[0].name}"
                f"{' and more' if len(content) > 1 else ''}: continue that run with --resume, "
                "replace it with --overwrite, or choose another folder"
            )
        own = set(self._own_files())
        if overwrite:
            foreign = [f for f in self.path.rglob("*") if not f.is_dir() and f not in own]
            if foreign:
                raise RunError(
                    f"{self.path} holds files that no run wrote, such as "
                    f"{foreign[0].relative_to(self.path)}: nothing was removed; "
                    "move them or choose another folder"
                )
            for file in own:
                file.unlink()
        elif content and not own:
            raise RunError(f"{self.path} holds no run to continue; choose another folder")
        self.path.mkdir(parents=True, exist_ok=True)
        for left in (*self.path.glob(".*.tmp"), *self.checkpoint.parent.glob(".*.tmp")):
            left.unlink()  # of a write that was killed

    def _own_files(self) -> Iterator[Path]:
        for pattern in _OWN:
            folder, _, name = pattern.rpartition("/")
            yield from (self.path / folder).glob(name)
            yield from (self.path / folder).glob(f".{name}.tmp")

    @property
    def checkpoint(self) -> Path:
        """The checkpoint file."""
        return self.path / "checkpoint" / "state.safetensors"

    @property
    def config(self) -> Path:
        """The settings and what is known about the run, JSON."""
        return self.path / "config.json"

    @property
    def model(self) -> Path:
        """The trained model's tensors."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    def sample(self, stage: str, step: int) -> Path:
        """Where a sample picture goes."""
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        return folder / f"{stage}-{step:07d}.png"

    def truncate_metrics(self, total_step: int) -> None:
        """Drop what was logged after step `total_step` of the run, and half-written lines."""
        if not (self.writes and self.metrics.exists()):
            return
        kept = []
        for line in self.metrics.read_text().splitlines():
            try:
                if json.loads(line)["total_step"] <= total_step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        temporary = self.metrics.with_name(".metrics.jsonl.tmp")
        temporary.write_text("".join(kept))
        os.replace(temporary, self.metrics)


def check_room(run: RunFolder | None, model_bytes: int, extra_memory: int) -> None:
    """Refuse a run that would fill the disk or the memory, before it starts.

    Args:
        run: the folder to write to, if any.
        model_bytes: size of the model's parameters and tables. A checkpoint holds them and their
            two moments; while it is replaced there are two.
        extra_memory: bytes the run takes beside the model and its optimisers.

    Raises:
        RunError: saying what is needed and what there is.
    """
    if run is not None and run.writes:
        needed, free = 7 * model_bytes + _HEADROOM, shutil.disk_usage(run.path).free
        if needed > free:
            raise RunError(
                f"this run writes up to {format_bytes(needed)} to {run.path} and "
                f"{format_bytes(free)} are free: choose another disk with --out"
            )
    needed, free = 3 * model_bytes + extra_memory, free_memory()
    if needed > free:
        raise RunError(
            f"training needs about {format_bytes(needed)} more memory and {format_bytes(free)} "
            "are free: use fewer or smaller images, smaller codes or a smaller network"
        )
