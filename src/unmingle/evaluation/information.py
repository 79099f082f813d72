"""A lower bound on mutual information by a classifier of joint against shuffled pairs.

The second classifier T' of Esser, Haux and Ommer 2019, "Unsupervised Robust Disentangling of Latent
Characteristics for Image Synthesis": T is trained by logistic loss to tell pairs of the joint
distribution from pairs put together at random (Eq. 10-11), and I_T' is the mean of T over the joint
(Eq. 12). That is an estimate, which an untrue T can put too high; with the mean of e^T over
shuffled pairs it becomes a lower bound,

    I >= E_joint[T(a, b) - log E_shuffled b'[e^T(a, b')]],

for every T, here on rows that T was not fitted on. One sure mistake can cost such a bound more than
a hundred right answers gain, so T is tempered first, by factors chosen on validation rows: with
r = e^(sT) / E_shuffled[e^(sT)] the bound is that of log((1 - m) r + m).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.evaluation.mlp import Net, Setting
from unmingle.evaluation.probes import whitening

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_BATCH, _STEPS, _LOOK, _PATIENCE = 256, 1200, 50, 5
_SETTINGS = (
    Setting(rate=1e-3, decay=0.1, noise=0.3),
    Setting(rate=3e-3, decay=1.0, noise=0.3, whiten=True),
)
_SCALES = (0.3, 0.5, 0.7, 1.0, 1.4)
_MIXTURES = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)  # 1 says nothing and has the bound 0
_WIDTH = 64


@dataclass(frozen=True)
class Ratio:
    """A fitted T, its bound in nats on the validation rows, and how it was tempered for it."""

    bound: float
    tempering: tuple[float, float]
    score: Callable[..., Array]


def contributions(
    scores: Array, own: Ints, prior: Array, tempering: tuple[float, float] = (1.0, 0.0)
) -> Array:
    """T(a, b) - log E_b'[e^T(a, b')] of each row [M]; their mean is the bound.

    Args:
        scores: [M,K], T of each row with each of K values.
        own: [M], the value that the row has.
        prior: [K], how frequent the values are.
        tempering: s and m: T is replaced by log((1 - m) e^(sT) / E[e^(sT)] + m) first.
    """
    scale, mixture = tempering
    scores = scale * scores
    with np.errstate(divide="ignore"):
        inner = scores + np.log(prior)
    top = inner.max(1)
    expected = top + np.log(np.exp(inner - top[:, None]).sum(1))
    ratio = scores[np.arange(len(scores)), own] - expected
    if mixture == 0:
        return np.asarray(ratio)
    return np.asarray(np.log((1 - mixture) * np.exp(ratio) + mixture))


def _tempered(scores: Array, own: Ints, prior: Array) -> tuple[float, tuple[float, float]]:
    """The best bound on the validation rows, and the tempering that gives it."""
    choices = [(scale, mixture) for scale in _SCALES for mixture in _MIXTURES]
    bounds = [float(contributions(scores, own, prior, choice).mean()) for choice in choices]
    best = int(np.argmax(bounds))
    return bounds[best], choices[best]


def fit_factor_ratio(x: Array, y: Ints, prior: Array, held: Mask, seed: int) -> Ratio:
    """T between codes and the values of a factor.

    Args:
        x: standardised codes float32 [N,d].
        y: values [N] in 0..K-1.
        prior: [K], how frequent the values are.
        held: [N], the rows that choose the setting and when to stop.

    Returns:
        T as a function from codes [M,d] to scores [M,K].
    """
    values, weights = torch.from_numpy(y), torch.from_numpy(prior).float()
    best: Ratio | None = None
    for setting in _SETTINGS:
        prepare = whitening(x[~held]) if setting.whiten else np.asarray
        inside, outside = (torch.from_numpy(prepare(x[rows])) for rows in (~held, held))
        known = values[torch.from_numpy(~held)]

        def loss(net: nn.Module, rows: Tensor, x: Tensor = inside, y: Tensor = known) -> Tensor:
            scores = net(x[rows])
            result: Tensor = F.softplus(-scores.gather(1, y[rows, None])).mean()
            result = result + (F.softplus(scores) * weights).sum(1).mean()
            return result

        def look(net: nn.Module, x: Tensor = outside) -> Array:
            return np.asarray(net(x).numpy(), np.float64)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = Net(x.shape[1] if not setting.whiten else inside.shape[1], len(prior), setting)
            bound, tempering = _train(net, setting, len(inside), loss, look, y[held], prior)
        if best is None or bound > best.bound:
            best = Ratio(bound, tempering, _scorer(net, [prepare]))
    assert best is not None
    return best


class _Pairs(nn.Module):
    """T(a, b) = f(a)·g(b) / sqrt(d), f and g two-layer networks beside a linear path."""

    def __init__(self, sizes: tuple[int, int], setting: Setting) -> None:
        super().__init__()
        self.nets = nn.ModuleList(Net(size, _WIDTH, setting) for size in sizes)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Scores [A,B] of every a with every b."""
        products: Tensor = self.nets[0](a) @ self.nets[1](b).T
        return products / math.sqrt(_WIDTH)


def fit_pair_ratio(a: Array, b: Array, held: Mask, seed: int) -> Ratio:
    """T between two codes of the same rows, standardised float32 [N,d] and [N,e].

    Returns:
        T as a function from codes [M,d] and [L,e] to scores [M,L].
    """
    best: Ratio | None = None
    for setting in _SETTINGS:
        prepare = [whitening(x[~held]) if setting.whiten else np.asarray for x in (a, b)]
        inside = [torch.from_numpy(p(x[~held])) for p, x in zip(prepare, (a, b), strict=True)]
        outside = [torch.from_numpy(p(x[held])) for p, x in zip(prepare, (a, b), strict=True)]

        def loss(net: nn.Module, rows: Tensor, pair: list[Tensor] = inside) -> Tensor:
            scores = net(*(x[rows] for x in pair))
            count = len(rows)
            joint = F.softplus(-scores.diagonal()).mean()
            others = F.softplus(scores).sum() - F.softplus(scores.diagonal()).sum()
            result: Tensor = joint + others / max(1, count * (count - 1))
            return result

        def look(net: nn.Module, pair: list[Tensor] = outside) -> Array:
            return np.asarray(net(*pair).numpy(), np.float64)

        count = int(held.sum())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = _Pairs((inside[0].shape[1], inside[1].shape[1]), setting)
            uniform = np.full(count, 1 / count)
            bound, tempering = _train(
                net, setting, len(inside[0]), loss, look, np.arange(count), uniform
            )
        if best is None or bound > best.bound:
            best = Ratio(bound, tempering, _scorer(net, prepare))
    assert best is not None
    return best


def _train(
    net: nn.Module,
    setting: Setting,
    count: int,
    loss: Callable[[nn.Module, Tensor], Tensor],
    look: Callable[[nn.Module], Array],
    own: Ints,
    prior: Array,
) -> tuple[float, tuple[float, float]]:
    """Train `net`; leaves it as it was when its bound was best, and returns bound and tempering."""
    adam = torch.optim.AdamW(
        net.parameters(), lr=setting.rate, weight_decay=setting.decay, fused=True
    )
    best = (-1.0, (1.0, 1.0))
    kept: dict[str, Tensor] = {}
    taken, looked, stale = 0, 0, 0
    while taken < _STEPS and stale < _PATIENCE:
        for rows in torch.split(torch.randperm(count), _BATCH):
            adam.zero_grad()
            torch.autograd.backward(loss(net, rows))
            adam.step()
            taken += 1
        if taken - looked >= _LOOK or taken >= _STEPS:
            looked = taken
            net.eval()
            with torch.inference_mode():
                scores = look(net)
            net.train()
            found = _tempered(scores, own, prior)
            stale += 1
            if found[0] > best[0]:
                best, stale = found, 0
                kept = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(kept)
    net.eval()
    return best


def _scorer(net: nn.Module, prepare: Sequence[Callable[[Array], Array]]) -> Callable[..., Array]:
    def score(*codes: Array) -> Array:
        with torch.inference_mode():
            parts = [torch.from_numpy(p(x)) for p, x in zip(prepare, codes, strict=True)]
            return np.asarray(net(*parts).numpy(), np.float64)

    return score
