"""Batches of pixels from a uint8 array, at full, half or quarter size."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError

_BLOCK = 512  # images shrunk at a time


def shrunk(size: int, divisor: int) -> int:
    """Height or width of an image at 1/divisor, rounded up."""
    return -(-size // divisor)


def _shrink(images: Tensor, divisor: int) -> Tensor:
    """uint8 [b, H, W, C] to uint8 [b, h, w, C] by area averaging."""
    height, width = shrunk(images.shape[1], divisor), shrunk(images.shape[2], divisor)
    small = F.adaptive_avg_pool2d(images.permute(0, 3, 1, 2).float(), (height, width))
    return small.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class ImageSource:
    """Hands out batches of images, or of vectors, as float32 tensors."""

    def __init__(self, items: Any, device: torch.device | str = "cpu") -> None:
        """Wrap uint8 images [N, H, W, C] or vectors [N, D].

        An array in memory keeps one smaller copy per divisor, made at its first use. Anything else
        that is indexed like an array (a memory map, rows of one) is read and shrunk batch by
        batch, to the same values.
        """
        self.device = torch.device(device)
        self.is_images = items.ndim == 4
        in_memory = isinstance(items, np.ndarray) and not isinstance(items, np.memmap)
        self._lazy = None if in_memory else items
        self._copies: dict[int, Tensor] = {}
        if in_memory:
            with warnings.catch_warnings():  # of read-only arrays: nothing here writes to it
                warnings.simplefilter("ignore", UserWarning)
                self._copies[1] = torch.from_numpy(np.ascontiguousarray(items))

    def batch(self, rows: Tensor, divisor: int = 1) -> Tensor:
        """Images of `rows` [b]: float32 [b, C, h, w] in [0, 1], channels-last; or vectors [b, D].

        Raises:
            ConfigError: vectors at a divisor other than 1.
        """
        if not self.is_images:
            if divisor != 1:
                raise ConfigError("vectors have no lower resolution: resolutions() must stay at 1")
            return self._rows(rows).to(self.device, torch.float32)
        if self._lazy is None:
            chosen = self._copy(divisor).index_select(0, rows)
        else:
            chosen = self._rows(rows)
            chosen = chosen if divisor == 1 else _shrink(chosen, divisor)
        pixels = chosen.to(self.device).permute(0, 3, 1, 2).to(torch.float32).div_(255)
        return pixels.contiguous(memory_format=torch.channels_last)

    def copy_bytes(self, divisors: Iterable[int]) -> int:
        """Memory that smaller copies for these divisors take."""
        if self._lazy is not None or not self.is_images:
            return 0
        return sum(self._copies[1].numel() // d**2 for d in divisors if d > 1)

    def _rows(self, rows: Tensor) -> Tensor:
        if self._lazy is None:
            return self._copies[1].index_select(0, rows)
        return torch.from_numpy(np.array(self._lazy[rows.numpy()]))

    def _copy(self, divisor: int) -> Tensor:
        if divisor not in self._copies:
            full = self._copies[1]
            blocks = [full[i : i + _BLOCK] for i in range(0, len(full), _BLOCK)]
            self._copies[divisor] = torch.cat([_shrink(block, divisor) for block in blocks])
        return self._copies[divisor]
