"""A small network that tells a factor's value from an image or a vector."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.errors import DataError
from unmingle.evaluation.probes import fit, fitter_of

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_SIDE = 64  # larger images are halved until they are at most this
_WIDTHS = (24, 48, 64, 96)
_BATCH, _STEPS = 64, 600
_RATE, _DECAY, _SMOOTHING = 3e-3, 0.05, 0.05
_SHIFT = 1  # pixels
_BLOCK = 512
_KEPT = 8

Recogniser = Callable[[Any], Ints]
_fitted: OrderedDict[bytes, Recogniser] = OrderedDict()
"""The last ones of this process: several models of a data set are judged by the same."""


def fit_recogniser(
    items: Any, y: Ints, *, seed: int = 0, device: str = "cpu", steps: int | None = None
) -> Recogniser:
    """Train a recogniser on all rows; the same one again for the same rows, values and seed.

    Images: four convolutions with batch normalisation and one linear layer, trained with small
    random shifts, blur and changes of brightness, because it will be shown images that are a
    little off. Vectors: the MLP of the probes.

    Args:
        items: uint8 [N,H,W,C] or float32 [N,D].
        y: int64 [N], any values.
        steps: of 64 images each; 600 by default.

    Returns:
        Function from items to values [M].

    Raises:
        DataError: fewer than two rows.
    """
    if len(items) < 2:
        raise DataError(f"{len(items)} real images are too few to learn from")
    rows = np.asarray(items[:])
    key = _digest(rows, np.asarray(y), (seed, device, steps, rows.shape, str(rows.dtype)))
    if key not in _fitted:
        if rows.ndim == 2:
            values = np.unique(y)
            found = fit(fitter_of("mlp"), rows.astype(np.float32, copy=False), y, values, seed)
        else:
            found = _recogniser(rows, y, seed, device, steps or _STEPS)
        _fitted[key] = found
        if len(_fitted) > _KEPT:
            _fitted.popitem(last=False)
    _fitted.move_to_end(key)
    return _fitted[key]


def _digest(rows: Array, y: Ints, settings: tuple[Any, ...]) -> bytes:
    """Tells what is fitted from what was."""
    digest = hashlib.blake2b(repr(settings).encode())
    for values in (rows, y):
        digest.update(np.ascontiguousarray(values).data)
    return digest.digest()


def _recogniser(images: Array, y: Ints, seed: int, device: str, steps: int) -> Recogniser:
    values = np.unique(y)
    labels = torch.from_numpy(np.searchsorted(values, y)).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _train(images, labels, len(values), steps, device)

    def recognise(items: Any) -> Ints:
        found = []
        with torch.inference_mode():
            for start in range(0, len(items), _BLOCK):
                block = _prepared(np.asarray(items[start : start + _BLOCK]), device)
                found.append(net(block).argmax(1).cpu().numpy())
        return np.asarray(values[np.concatenate(found)])

    return recognise


def _prepared(images: Array, device: str) -> Tensor:
    """uint8 [N,H,W,C] as float [N,C,H,W] in 0..1, at most 64 pixels on a side (but 16 or more)."""
    found = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2) / 255
    while max(found.shape[2:]) > _SIDE and min(found.shape[2:]) >= 32:
        found = F.avg_pool2d(found, 2)
    return found


def _train(images: Array, labels: Tensor, count: int, steps: int, device: str) -> nn.Module:
    """One-cycle training; every number drawn on the CPU, so that devices see the same."""
    blocks = range(0, len(images), _BLOCK)
    # bytes, so that a set of a size that fits once fits twice
    pixels = torch.cat([
        (_prepared(images[start : start + _BLOCK], device) * 255).round().byte()
        for start in blocks
    ])  # fmt: skip
    net = _network(pixels.shape[1:], count).to(device)
    adam = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, _RATE, total_steps=steps, pct_start=0.2)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(order) < _BATCH:
            order = torch.cat([order, torch.randperm(len(pixels))])
        rows, order = order[:_BATCH].to(device), order[_BATCH:]
        scores = net(_disturbed(pixels[rows] / 255))
        adam.zero_grad()
        torch.autograd.backward(F.cross_entropy(scores, labels[rows], label_smoothing=_SMOOTHING))
        adam.step()
        schedule.step()
    return net.eval()


def _network(shape: Sequence[int], count: int) -> nn.Module:
    """Scores [B,count] of images [B,C,H,W]. Without the normalisation many values are not learnt
    in so few steps."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for outputs in _WIDTHS:
        layers += [
            nn.Conv2d(channels, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
        channels, height, width = outputs, -(-height // 2), -(-width // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, count))


def _disturbed(images: Tensor) -> Tensor:
    """The batch moved by up to a pixel, half of the time blurred, a little lighter or darker."""
    down, across = (int(n) for n in torch.randint(-_SHIFT, _SHIFT + 1, (2,)))
    padded = F.pad(images, (_SHIFT,) * 4, mode="replicate")
    height, width = images.shape[2:]
    top, left = _SHIFT + down, _SHIFT + across
    images = padded[:, :, top : top + height, left : left + width]
    if torch.rand(()) < 0.5:
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    light = 1 + 0.1 * torch.randn(len(images), 1, 1, 1)
    noise = 0.02 * torch.randn(images.shape)
    return (images * light.to(images.device) + noise.to(images.device)).clamp(0, 1)
