"""The process's random states: seeded for a run, given back afterwards."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def capture(device: torch.device) -> dict[str, Tensor]:
    """The global states of torch (and its device), numpy and random, of fixed shapes."""
    state = {"torch": torch.get_rng_state(), "python": _pack_python(), "numpy": _pack_numpy()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `capture` took."""
    torch.set_rng_state(state["torch"])
    _unpack_python(state["python"])
    _unpack_numpy(state["numpy"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def seed_all(seed: int) -> None:
    """Seed torch, numpy and random."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def preserved(device: torch.device | str = "cpu") -> Iterator[None]:
    """Leave the global random states as they were, whatever happens inside."""
    device = torch.device(device)
    state = capture(device)
    try:
        yield
    finally:
        restore(state, device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, everything random follows from `seed`; outside nothing changes.

    For making networks whose initial values depend on the run's seed alone.
    """
    with preserved():
        seed_all(seed)
        yield


def _bits(value: float | None) -> list[int]:
    return [value is not None, struct.unpack("<q", struct.pack("<d", value or 0.0))[0]]


def _float(present: int, bits: int) -> float | None:
    return float(struct.unpack("<d", struct.pack("<q", bits))[0]) if present else None


def _pack_python() -> Tensor:
    version, words, gauss = random.getstate()
    return torch.tensor([version, *_bits(gauss), *words], dtype=torch.int64)


def _unpack_python(state: Tensor) -> None:
    version, present, bits, *words = state.tolist()
    random.setstate((version, tuple(words), _float(present, bits)))


def _pack_numpy() -> Tensor:
    state: Any = np.random.get_state(legacy=True)
    _, words, position, has_gauss, gauss = state
    head = [position, has_gauss, *_bits(gauss)]
    return torch.tensor([*head, *words.tolist()], dtype=torch.int64)


def _unpack_numpy(state: Tensor) -> None:
    position, has_gauss, present, bits, *words = state.tolist()
    gauss = _float(present, bits)
    np.random.set_state(("MT19937", np.array(words, np.uint32), position, has_gauss, gauss or 0.0))


def latin_normal(uniform: Tensor, places: Tensor) -> Tensor:
    """Standard normal noise whose B numbers in a column fall one into each of B equal slices.

    Args:
        uniform: [B, ...] in [0, 1).
        places: int64 [B, ...], a permutation of 0..B-1 in every column.
    """
    level = (places + uniform) / len(uniform)
    noise: Tensor = math.sqrt(2) * torch.erfinv((2 * level - 1).clamp(-0.999999, 0.999999))
    return noise
