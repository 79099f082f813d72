"""Which device, which precision, how many processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ..errors import ConfigError
from .settings import TrainSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX or AVX512-BF16)."""
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        supported = getattr(torch.cpu, probe, None)
        if supported is not None and supported():
            return True
    return False


def choose_device(device: str) -> str:
    """Resolve "auto" and refuse what is not there.

    Raises:
        ConfigError: a GPU was asked for that this machine does not have.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("--device mps: this machine has no Apple GPU that torch can use")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device {device}: torch sees {torch.cuda.device_count()} GPUs here")
    return device


def choose_precision(precision: str, device: str) -> str:
    """Either "float32" or "bf16"; "auto" is bf16 where the hardware computes in it."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bf16" if device == "cpu" and cpu_has_bf16() else "float32"


def launched_processes() -> tuple[int, int]:
    """(processes, machines) that torchrun or SLURM started this program with; (1, 1) if alone."""
    env = os.environ
    if "LOCAL_RANK" in env and int(env.get("WORLD_SIZE", "1")) > 1:
        world = int(env["WORLD_SIZE"])
        return world, world // int(env.get("LOCAL_WORLD_SIZE", world))
    if "SLURM_PROCID" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        return int(env.get("SLURM_NTASKS", "1")), int(env.get("SLURM_NNODES", "1"))
    return 1, 1


def make_fabric(settings: TrainSettings) -> tuple[Fabric, str]:
    """A launched Fabric (device, autocast, process group: gloo on CPU), and its precision.

    Raises:
        ConfigError: the device is not there.
    """
    from lightning_fabric import Fabric  # slow to import

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the run says it itself

    # Its notes on precision and seeds say nothing that our own lines do not.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device = choose_device(settings.device)
    kind, _, number = device.partition(":")
    precision = choose_precision(settings.precision, device)
    world, nodes = launched_processes()
    alone: list[int] | int = [int(number)] if number else 1
    fabric = Fabric(
        accelerator=kind,
        devices=alone if world == 1 else world // nodes,
        num_nodes=nodes,
        strategy="auto" if world == 1 else "ddp",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric, precision


@contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Inside, torch uses this many CPU threads (its own choice if None)."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
