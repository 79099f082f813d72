"""What a benchmark says about the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine(*libraries: str) -> str:
    """Processor, cores, system, Python and the versions of some libraries, in one line."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in libraries]
    return ", ".join([
        processor(),
        f"{os.cpu_count()} cores",
        platform.system(),
        f"Python {platform.python_version()}",
        *versions,
    ])  # fmt: skip


def accelerator(device: str) -> str:
    """The name of the GPU that `device` is; "no GPU" for the processor."""
    if not device.startswith("cuda"):
        return "Apple GPU" if device.startswith("mps") else "no GPU"
    import torch

    return torch.cuda.get_device_name(device)
