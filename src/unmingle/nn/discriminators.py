"""Discriminators that look at an item and its codes, or at codes alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pyramid import MLP, SLOPE, make_encoder


class JointDiscriminator(nn.Module):
    """A number for an item together with its codes: d(x, z, e) of Ruiz et al. (2019), Fig. 6.

    Item and codes go through networks of their own; the features come together in the last
    layers. Whole inputs of these can be zeroed: a discriminator that finds the images alone
    telling enough would otherwise never look at the codes (Appendix D).

    Args:
        shape: (H, W, C) or (D,) of the items.
        codes: size of each code.
        widths: channels of the image network.
        hidden: features of each input, and of the last hidden layer.
        patch: stride of the image network's first convolution.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: Sequence[int],
        widths: Sequence[int],
        hidden: int,
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.item = make_encoder(shape, hidden, widths, norm=False, patch=patch)
        self.codes = nn.ModuleList(MLP((size, hidden, hidden), norm=False) for size in codes)
        self.last = MLP((hidden * (1 + len(codes)), hidden, 1), norm=False)

    @property
    def inputs(self) -> int:
        """How many inputs there are: the item and each code."""
        return 1 + len(self.codes)

    def forward(self, items: Tensor, codes: Sequence[Tensor], keep: Tensor | None = None) -> Tensor:
        """Numbers float32 [B].

        Args:
            items: [B, C, H, W] in [-1, 1], or vectors [B, D].
            codes: one [B, size] for each code.
            keep: [B, inputs], 0 where an input of the last layers is zeroed and 1 elsewhere; all
                are kept if None.
        """
        features = [self.item(items).float()]
        features += [network(code) for network, code in zip(self.codes, codes, strict=True)]
        stacked = torch.stack([F.leaky_relu(x, SLOPE) for x in features], dim=1)
        if keep is not None:
            stacked = stacked * keep.unsqueeze(2)
        found: Tensor = self.last(stacked.flatten(1))
        return found.squeeze(1)


class CodeDiscriminator(nn.Module):
    """A number for a code: six layers with LeakyReLU (FactorVAE, Appendix A).

    Args:
        code: size of the code.
        width: of the five hidden layers; 1000 in the paper.
    """

    def __init__(self, code: int, width: int) -> None:
        super().__init__()
        self.layers = MLP((code, *[width] * 5, 1), norm=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers float32 [B] of codes [B, code]."""
        found: Tensor = self.layers(codes)
        return found.squeeze(1)
