"""ST-LPIPS, the perceptual distance of the evaluation (Ghildyal and Liu 2022).

"Shift-tolerant perceptual similarity metric": LPIPS (Zhang et al. 2018) on trunks whose max-pools
have stride 1 and are followed by a blur that halves the size. The weights come with the package
`stlpips_pytorch`; its code is not imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from unmingle.errors import ConfigError, DataError, MissingExtraError, nearest
from unmingle.evaluation.image_metrics import check_pair, to_rgb

Array = npt.NDArray[Any]

_BATCH_PIXELS = 1 << 17  # 32 images of 64x64
_SMALLEST = 24  # below, the last blur of a trunk has fewer pixels than its padding reflects
_VGG_BLOCKS = ((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32))


def _weights_file(trunk: str) -> Path:
    spec = importlib.util.find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "ST-LPIPS needs the weights in the package stlpips_pytorch: pip install stlpips_pytorch"
        )
    folder = Path(spec.submodule_search_locations[0])
    path = folder / "weights" / "vST0.0" / f"{trunk}_shift_tolerant.pth"
    if not path.is_file():
        raise MissingExtraError(
            f"{path} is missing: pip install --force-reinstall stlpips_pytorch==0.0.2"
        )
    return path


def _blur(x: Tensor) -> Tensor:
    """Smooth by [1,2,1]x[1,2,1]/16 and halve the size; 2 reflected pixels on each side."""
    line = x.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), kernel, stride=2, groups=x.shape[1])


def _alex_taps(weights: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Activations after the five convolutions; the first is blurred before its ReLU."""

    def conv(name: str, x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, weights[name + ".weight"], weights[name + ".bias"], padding=padding)

    taps = [F.relu(_blur(conv("net.slice1.0", x, 2)))]
    for name, pool, padding in (
        ("net.slice2.5", True, 2),
        ("net.slice3.9", True, 1),
        ("net.slice4.11", False, 1),
        ("net.slice5.13", False, 1),
    ):
        x = _blur(F.max_pool2d(taps[-1], 3, 1)) if pool else taps[-1]
        taps.append(F.relu(conv(name, x, padding)))
    return taps


def _vgg_taps(weights: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Activations relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""
    taps: list[Tensor] = []
    for block, layers in enumerate(_VGG_BLOCKS, start=1):
        if taps:
            x = _blur(F.max_pool2d(x, 2, 1))
        for layer in layers:
            name = f"net.slice{block}.{layer}"
            x = F.relu(F.conv2d(x, weights[name + ".weight"], weights[name + ".bias"], padding=1))
        taps.append(x)
    return taps


_TAPS = {"alex": _alex_taps, "vgg": _vgg_taps}


class STLPIPS:
    """Perceptual distance between pairs of images.

    Each tap is scaled to unit length over its channels; the squared difference is weighted by a
    1x1 head, averaged over positions, and summed over the five taps (LPIPS, Eq. 1).

    Args:
        trunk: "alex" or "vgg".
        device: where the trunk runs; float32 everywhere.

    Raises:
        ConfigError: unknown trunk.
        MissingExtraError: the weights are not installed.
    """

    def __init__(self, trunk: str, device: str | torch.device = "cpu") -> None:
        if trunk not in _TAPS:
            raise ConfigError(f"unknown ST-LPIPS trunk {trunk!r}.{nearest(trunk, _TAPS)}")
        self.trunk = trunk
        self.device = torch.device(device)
        stored = torch.load(_weights_file(trunk), weights_only=True, map_location="cpu")
        self._weights = {name: value.float().to(self.device) for name, value in stored.items()}

    def distance(self, a: Array, b: Array) -> npt.NDArray[np.float32]:
        """Distance of each pair: float32 [N], 0 for equal images.

        Args:
            a, b: uint8 [N,H,W,C], C 1 to 4 (grey is repeated, transparency laid on white).
                Images with a side under 24 pixels, too small for the trunks, are enlarged by
                repeating pixels.

        Raises:
            DataError: different shapes, other types.
        """
        return self.distances(a, [b])[0]

    def distances(self, reference: Array, others: Sequence[Array]) -> list[npt.NDArray[np.float32]]:
        """As `distance`, from each row of `reference` to the same row of every one of `others`."""
        for other in others:
            check_pair(reference, other)
        count, height, width = reference.shape[:3]
        if min(height, width) == 0:
            raise DataError(f"images have no pixels: shape {reference.shape}")
        step = max(1, _BATCH_PIXELS // max(height * width, _SMALLEST**2))
        found = [np.zeros(count, np.float32) for _ in others]
        with torch.inference_mode():
            for start in range(0, count, step):
                rows = slice(start, start + step)
                base = self._features(reference[rows])
                for other, out in zip(others, found, strict=True):
                    out[rows] = self._compare(base, self._features(other[rows])).cpu().numpy()
        return found

    def pooled(self, images: Array, tap: int) -> npt.NDArray[np.float64]:
        """The activations of one of the trunk's five taps, averaged over positions: [N,channels].

        Args:
            images: as for `distance`.
            tap: 1 to 5. AlexNet's have 64, 192, 384, 256 and 256 channels, VGG16's 64, 128, 256,
                512 and 512.
        """
        step = max(1, _BATCH_PIXELS // max(images.shape[1] * images.shape[2], _SMALLEST**2))
        with torch.inference_mode():
            parts = [
                self._taps(images[start : start + step])[tap - 1].mean((2, 3)).double().cpu()
                for start in range(0, len(images), step)
            ]
        found: npt.NDArray[np.float64] = torch.cat(parts).numpy()
        return found

    def _features(self, images: Array) -> list[Tensor]:
        taps = self._taps(images)
        return [tap / (tap.square().sum(1, keepdim=True).sqrt() + 1e-10) for tap in taps]

    def _taps(self, images: Array) -> list[Tensor]:
        rgb = to_rgb(images)
        repeat = -(-_SMALLEST // min(rgb.shape[1:3]))
        if repeat > 1:
            rgb = np.repeat(np.repeat(rgb, repeat, 1), repeat, 2)
        x = torch.from_numpy(rgb.astype(np.float32)).to(self.device).permute(0, 3, 1, 2)
        x = (x / 127.5 - 1 - self._weights["scaling_layer.shift"]) / self._weights[
            "scaling_layer.scale"
        ]
        return _TAPS[self.trunk](self._weights, x)

    def _compare(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        total = torch.zeros(len(a[0]), device=self.device)
        for level, (u, v) in enumerate(zip(a, b, strict=True)):
            head = self._weights[f"lin{level}.model.1.weight"].flatten()
            total += (u - v).square().mean((2, 3)) @ head
        return total


@lru_cache(maxsize=4)
def st_lpips(trunk: str, device: str = "cpu") -> STLPIPS:
    """The distance with its weights loaded, made once per trunk and device."""
    return STLPIPS(trunk, device)
