"""Is the identity of generated images found again? Retrieval by an encoder of its own.

As in Esser, Haux and Ommer (ICCV 2019), Table 2: an encoder trained with the triplet loss of
Hermans, Beyer and Leibe (2017) on real images ranks real images by their likeness to a generated
one, and the mean average precision says how high those of the true identity come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.errors import ConfigError, DataError
from unmingle.evaluation.bootstrap import Estimate, mean_interval
from unmingle.evaluation.model import Encoded, Model
from unmingle.evaluation.record import context
from unmingle.nn.encoder import ConvEncoder

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Embed = Callable[[Any], npt.NDArray[np.float32]]

_DIM, _WIDTHS, _RATE, _STEPS = 64, (24, 48, 64, 96, 96), 1e-3, 600
_IDENTITIES, _EACH = 16, 4  # in a batch
_SIDE, _SHIFT, _BLOCK = 64, 2, 512


@dataclass(frozen=True)
class Reidentification:
    """Mean average precision of finding an identity among real test images.

    Attributes:
        factor: the identity; `space`: the code space that should carry it.
        real: queries are the real images themselves: the most that can be asked.
        reconstruction: queries are made from both codes of one image.
        transfer: queries have the identity's code of one image and the other codes of another.
        chance: of a ranking at random, for the transfer's queries.
        queries: how many of each; `gallery`: real images that are ranked.
        context: seed, settings, data fingerprints, versions, the model's run.
    """

    factor: str
    space: str
    real: Estimate
    reconstruction: Estimate
    transfer: Estimate
    chance: float
    queries: int
    gallery: int
    context: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def batch_hard(codes: Tensor, identities: Tensor) -> Tensor:
    """Triplet loss with the farthest positive and the nearest negative of each row of a batch.

    Hermans et al. (2017), Eq. 5, with the soft margin ln(1 + exp(d_positive - d_negative)). Rows
    without another of their identity, or without one of another, are left out.

    Args:
        codes: float32 [b, d].
        identities: int64 [b].
    """
    squared = (codes[:, None] - codes[None]).square().sum(2)
    distances = (squared + 1e-8).sqrt()
    same = identities[:, None] == identities[None]
    itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    farthest = distances.masked_fill(~same | itself, -torch.inf).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    usable = farthest.isfinite() & nearest.isfinite()
    return F.softplus(farthest[usable] - nearest[usable]).mean()


def fit_reidentifier(
    images: Any, identities: Ints, *, seed: int = 0, device: str = "cpu", steps: int = _STEPS
) -> Embed:
    """Train the encoder on real images.

    Args:
        images: uint8 [N, H, W, C].
        identities: int64 [N], two values or more that occur twice.
        seed: of its start and its batches.
        device: where it is trained and run.
        steps: of 64 images (16 identities with 4 each).

    Returns:
        Function from images to embeddings float32 [M, 64], near each other where identities agree.

    Raises:
        DataError: not images, or too few identities.
    """
    if len(images.shape) != 4:
        raise DataError("re-identification needs images")
    _, labels, counts = np.unique(identities, return_inverse=True, return_counts=True)
    groups = [np.flatnonzero(labels == value) for value in np.flatnonzero(counts > 1)]
    if len(groups) < 2:
        raise DataError("re-identification needs two identities or more with two images each")
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = tuple(_prepared(images[:1], device).shape[2:])
        net = ConvEncoder(
            (shape[0], shape[1], images.shape[3]), _DIM, _WIDTHS, first_stride=2, slope=0.1
        ).to(device)
        _train(net, images, groups, rng, steps, device)
    net.eval()

    def embed(items: Any) -> npt.NDArray[np.float32]:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(items), _BLOCK):
                parts.append(net(_prepared(items[start : start + _BLOCK], device)).cpu().numpy())
        return np.concatenate(parts)

    return embed


def _train(
    net: nn.Module,
    images: Any,
    groups: list[Ints],
    rng: np.random.Generator,
    steps: int,
    device: str,
) -> None:
    adam = torch.optim.Adam(net.parameters(), lr=_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        chosen = rng.permutation(len(groups))[:_IDENTITIES]
        rows = np.concatenate([rng.choice(groups[number], _EACH) for number in chosen])
        labels = torch.from_numpy(np.repeat(chosen, _EACH)).to(device)
        batch = _shifted(_prepared(np.asarray(images[rows]), device), rng)
        adam.zero_grad()
        torch.autograd.backward(batch_hard(net(batch), labels))
        adam.step()
        schedule.step()


def _prepared(images: Any, device: str) -> Tensor:
    """uint8 [N, H, W, C] as float [N, C, h, w] in [0, 1], halved until at most 64 on a side."""
    array = np.ascontiguousarray(np.asarray(images))
    found = torch.from_numpy(array).to(device).permute(0, 3, 1, 2) / 255
    while max(found.shape[2:]) > _SIDE and min(found.shape[2:]) >= 32:
        found = F.avg_pool2d(found, 2)
    return found


def _shifted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The batch moved by up to two pixels and half of the time blurred: generated images are."""
    top, left = rng.integers(0, 2 * _SHIFT + 1, 2)
    height, width = images.shape[2:]
    padded = F.pad(images, (_SHIFT,) * 4, mode="replicate")
    moved = padded[:, :, top : top + height, left : left + width]
    if rng.random() < 0.5:
        moved = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return moved


def average_precision(
    queries: Array, wanted: Ints, gallery: Array, identities: Ints, left_out: Ints
) -> npt.NDArray[np.float64]:
    """Average precision [Q] of ranking a gallery by Euclidean distance to each query.

    Args:
        queries, gallery: embeddings [Q, d] and [N, d].
        wanted: identities [Q]; `identities`: of the gallery [N].
        left_out: rows of the gallery [Q, k] that do not count for each query, such as the images
            that it was made from.

    Returns:
        The mean of the precisions at the ranks of the rows wanted, equal distances in row order;
        NaN where no such row is left.
    """
    found = np.empty(len(queries))
    offset = np.square(gallery).sum(1) / 2
    for number, query in enumerate(queries):
        counts = np.ones(len(gallery), bool)
        counts[left_out[number]] = False
        order = np.argsort(offset - gallery @ query, kind="stable")
        hits = (identities[order] == wanted[number])[counts[order]]
        ranks = np.flatnonzero(hits) + 1
        found[number] = (np.arange(1, len(ranks) + 1) / ranks).mean() if len(ranks) else np.nan
    return found


def reidentify(
    model: Model,
    test: FactorDataset,
    train: FactorDataset,
    *,
    factor: str,
    space: str,
    queries: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    steps: int = _STEPS,
) -> Reidentification:
    """Table 2: mean average precision of the appearance of generated images.

    The encoder is no part of the method: it is trained here, on the real training images, and sees
    generated ones only when they are queries. The gallery are the real test images, without those
    that a query was made from.

    Args:
        model: with `space` and other code spaces.
        test: images that the model did not see.
        train: real images for the encoder, which shares nothing with the model.
        factor: the identity, a factor column of both.
        space: the code space that carries it.
        queries: how many images are made, at most.
        seed, device, steps: of the encoder and the choice of queries.

    Raises:
        ConfigError: unknown code space, or none besides it.
        DataError: unknown factor, or identities without a second test image.
    """
    known = train.factor(factor)
    embed = fit_reidentifier(train.items, known, seed=seed, device=device, steps=steps)
    encoded = Encoded(model, test.items)
    encoded.require(space)
    if len(encoded.spaces) < 2:
        raise ConfigError("re-identification needs a second code space to recombine with")
    identities = test.factor(factor)
    _, group, counts = np.unique(identities, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(seed)
    i = rng.permutation(np.flatnonzero(counts[group] > 1))[:queries]
    if len(i) == 0 or len(counts) < 2:
        raise DataError(f"{test.name}: no {factor} has two test images, so none can be found again")
    j = _others(identities, i, rng)
    gallery = embed(test.items)

    def precision(images: Array, sources: Ints) -> npt.NDArray[np.float64]:
        return average_precision(embed(images), identities[i], gallery, identities, sources)

    alone = i[:, None]
    both = np.stack([i, j], 1)
    swapped = encoded.combine({s: i if s == space else j for s in encoded.spaces})
    again = encoded.combine(dict.fromkeys(encoded.spaces, i))
    anything = rng.standard_normal(gallery.shape)
    at_random = average_precision(anything[i], identities[i], anything, identities, both)
    return Reidentification(
        factor,
        space,
        real=mean_interval(precision(np.asarray(test.items[i]), alone), seed=seed),
        reconstruction=mean_interval(precision(again, alone), seed=seed),
        transfer=mean_interval(precision(swapped, both), seed=seed),
        chance=float(at_random.mean()),
        queries=len(i),
        gallery=len(gallery),
        context=context(model, test, train, seed, queries=queries, steps=steps),
    )


def _others(identities: Ints, rows: Ints, rng: np.random.Generator) -> Ints:
    """For each row, one at random with another identity."""
    found = rng.integers(0, len(identities), len(rows))
    while (same := identities[found] == identities[rows]).any():
        found[same] = rng.integers(0, len(identities), int(same.sum()))
    return np.asarray(found)
