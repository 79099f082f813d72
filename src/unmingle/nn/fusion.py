"""Fusion of content and style: a shared distribution that the style scales and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .generator import ModulatedGenerator

Normalisation = Literal["instance", "l2", "none"]
Fusion = Literal["multiple", "single", "concat"]

_EPS = 1e-5


def normalise_codes(codes: Tensor, kind: Normalisation, missing: float = 0.0) -> Tensor:
    """Content codes brought to the shared distribution (content-style, section 3.2).

    Args:
        codes: [b, dim].
        kind: "instance": mean 0 and variance 1 over a code's entries (Gaussian). "l2": length
            sqrt(dim), the same root mean square, on the sphere (uniform). "none": unchanged.
        missing: variance, for each entry, of noise that the codes had in training and have not
            here. It is added to what is divided by, so that a code without its noise comes out as
            the mean over the noise would and not blown up to full size; zero codes stay zero.

    Returns:
        float32 [b, dim].
    """
    codes = codes.float()
    if kind == "none":
        return codes
    if kind == "instance":
        codes = codes - codes.mean(dim=1, keepdim=True)
    square = codes.square().mean(dim=1, keepdim=True)
    normal: Tensor = codes * torch.rsqrt(square + (missing + _EPS))
    return normal


class FusionBlock(nn.Module):
    """z = f_sigma(s) * norm(c) + f_mu(s) (content-style, Eq. 3).

    Args:
        style: size of the style code.
        content: size of the content code.
        normalisation: see `normalise_codes`.
    """

    def __init__(self, style: int, content: int, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation: Normalisation = normalisation
        self.affine = nn.Linear(style, 2 * content)
        with torch.no_grad():  # starts as the normalised content plus a little of the style
            self.affine.bias[:content].fill_(1)
            self.affine.bias[content:].zero_()

    def forward(self, content: Tensor, style: Tensor, missing: float = 0.0) -> Tensor:
        """content [b, content], style [b, style] -> float32 [b, content]."""
        scale, shift = self.affine(style).float().chunk(2, dim=1)
        fused: Tensor = scale * normalise_codes(content, self.normalisation, missing) + shift
        return fused


class _Modulation(nn.Module):
    """Scale and shift of each channel by a code, without normalising (ablation)."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(code, 2 * channels)
        with torch.no_grad():
            self.affine.bias[:channels].fill_(1)
            self.affine.bias[channels:].zero_()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.affine(code)[..., None, None].chunk(2, dim=1)
        modulated: Tensor = x * scale.to(x.dtype) + shift.to(x.dtype)
        return modulated


class _Unmodulated(nn.Module):
    """In the place of a block's modulation: nothing."""

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return x


class FusionGenerator(nn.Module):
    """Images from content and style (content-style, Fig. 10).

    Args:
        content: size of the content code.
        style: size of the style code.
        shape: (H, W, C) of the images.
        widths, head, head_kernels: see `ModulatedGenerator`.
        fusion: "multiple": a fusion block before the fully-connected layers and one after every
            up-sampling block, there as AdaIN, which is Eq. 3 with instance normalisation over the
            positions of a feature map. "single": only the first. "concat": the two codes side by
            side (Fig. 2a).
        normalisation: of the content code; with "none" feature maps are not normalised either
            (Fig. 2b).
    """

    def __init__(
        self,
        content: int,
        style: int,
        shape: tuple[int, int, int],
        widths: Sequence[int] = (256, 256, 256, 256, 256),
        head: int = 64,
        head_kernels: tuple[int, int] = (5, 7),
        fusion: Fusion = "multiple",
        normalisation: Normalisation = "instance",
    ) -> None:
        super().__init__()
        start = content + style if fusion == "concat" else content
        self.block: FusionBlock | None = None
        if fusion != "concat":
            self.block = FusionBlock(style, content, normalisation)
        self.synthesis = ModulatedGenerator(start, style, shape, widths, head, head_kernels)
        for layer, channels in zip(self.synthesis.blocks, widths[1:], strict=True):
            if fusion != "multiple":
                layer.adain = _Unmodulated()
            elif normalisation == "none":
                layer.adain = _Modulation(style, channels)

    def forward(
        self,
        content: Tensor,
        style: Tensor,
        divisor: int = 1,
        *,
        missing: float = 0.0,
        fine: Tensor | None = None,
        fine_blocks: int = 1,
    ) -> Tensor:
        """Images [b, C, H / divisor, W / divisor] in [0, 1].

        Args:
            content: [b, content].
            style: [b, style].
            divisor: see `ModulatedGenerator`.
            missing: see `normalise_codes`.
            fine: another style [b, style] for the last `fine_blocks` blocks (Fig. 6d).
            fine_blocks: how many; they must be fewer than there are.
        """
        if self.block is None:
            start = torch.cat([content, style], dim=1)
        else:
            start = self.block(content, style, missing)
        styles = [style] * len(self.synthesis.blocks)
        if fine is not None:
            styles[-fine_blocks:] = [fine] * fine_blocks
        images: Tensor = self.synthesis(start, styles, divisor)
        return images
