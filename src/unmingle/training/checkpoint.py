"""What a run can be continued from: one safetensors file, tensors and JSON, replaced atomically."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import RunError
from ..nn.latent import LatentTable

_VERSION = 1


@dataclass
class Snapshot:
    """The state of a run between two steps."""

    meta: dict[str, Any]
    """JSON: identity, position, seconds, sampler."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """"model/...", "player/<name>/...", "table/<name>/...", "random/<rank>/...", "noise"."""

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under "prefix/", without it."""
        start = f"{prefix}/"
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}

    def add(self, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        """Put tensors under "prefix/"."""
        self.tensors.update({f"{prefix}/{name}": value for name, value in tensors.items()})


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that at any moment `path` is the old one or the new one, whole.

    `write` fills a temporary file beside it, which is flushed to the disk and renamed.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(temporary)
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _flush(path.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write the checkpoint file."""
    tensors = {k: v.detach().to("cpu").contiguous() for k, v in snapshot.tensors.items()}
    seen: set[int] = set()
    for key, value in tensors.items():  # the format refuses two names for one memory
        if value.data_ptr() in seen:
            tensors[key] = value.clone()
        seen.add(value.data_ptr())
    meta = {**snapshot.meta, "version": _VERSION, "checksum": _checksum(tensors)}
    replace_file(path, lambda file: save_file(tensors, file, {"unmingle": json.dumps(meta)}))


def load_snapshot(path: Path) -> Snapshot:
    """Read a checkpoint file; nothing in it is executed.

    Raises:
        RunError: it is missing, damaged, or of another version.
    """
    if not path.exists():
        raise RunError(f"there is no checkpoint at {path}")
    damaged = (
        f"the checkpoint {path} is damaged: start again with --overwrite, "
        "or put back a copy of the file"
    )
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["unmingle"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RunError(damaged) from error
    if meta.get("version") != _VERSION:
        raise RunError(f"the checkpoint {path} was written by another version of unmingle")
    if meta.pop("checksum", None) != _checksum(tensors):
        raise RunError(damaged)
    return Snapshot(meta, tensors)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    total = 0
    for key in sorted(tensors):
        data = tensors[key].reshape(-1).view(torch.uint8).numpy().data
        total = zlib.crc32(data, zlib.crc32(key.encode(), total))
    return total


def latent_tables(model: nn.Module) -> dict[str, LatentTable]:
    """The model's latent tables by their module name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LatentTable)}


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict with every latent table whole. A collective when tables are sharded."""
    state: dict[str, Tensor] = dict(model.state_dict())
    for name, table in latent_tables(model).items():
        if table.sharded:
            state[f"{name}.weight" if name else "weight"] = table.gather_full()
    return state


def load_model_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load `model_state`, before tables are sharded.

    Raises:
        RunError: the checkpoint is of another model.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    saved = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(own.keys() | saved.keys()):
        if own.get(name) != saved.get(name):
            raise RunError(
                f"the checkpoint {path} is of another model: {name} is {saved.get(name, 'absent')}"
                f" there and {own.get(name, 'absent')} here"
            )
    model.load_state_dict(dict(state))


def first_bad(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor with a NaN or infinity, if there is one."""
    for name, value in tensors.items():
        # The sum of finite numbers may overflow: look closer only then.
        if (
            value.is_floating_point()
            and not bool(value.sum().isfinite())
            and not bool(value.isfinite().all())
        ):
            return name
    return None
