"""The network behind the MLP probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.evaluation.probes import whitening

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_WIDTH = 256
_PATIENCE = 8  # looks at the validation rows without a better accuracy


@dataclass(frozen=True)
class Setting:
    rate: float
    decay: float
    deep: bool = True  # else the linear path alone
    noise: float = 0.0  # added to the standardised inputs while training
    whiten: bool = False  # brings out what hides in directions of small variance


_SETTINGS = (
    Setting(rate=3e-3, decay=1e-2, deep=False, noise=1.0),
    Setting(rate=1e-3, decay=1e-2, noise=1.0),
    Setting(rate=1e-3, decay=0.1, noise=0.3),
    Setting(rate=3e-3, decay=1.0, whiten=True),
)


class Net(nn.Module):
    """Two hidden layers beside a linear path, so that it can do all a linear probe does."""

    def __init__(self, size: int, count: int, setting: Setting) -> None:
        super().__init__()
        self.noise = setting.noise
        self.linear = nn.Linear(size, count)
        layers = (
            nn.Linear(size, _WIDTH),
            nn.ReLU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.ReLU(),
            nn.Linear(_WIDTH, count),
        )
        self.deep = nn.Sequential(*layers) if setting.deep else None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        found: Tensor = self.linear(x)
        return found if self.deep is None else found + self.deep(x)


def fit_mlp(
    x: Array, y: Ints, held: npt.NDArray[np.bool_], count: int, seed: int
) -> Callable[[Array], Ints]:
    """Fit a two-layer network on standardised codes `x` [N,d], labels `y` [N] in 0..count-1.

    The setting and the number of steps with the best accuracy on the rows `held` are used for a
    last fit on all rows. Returns the function from codes to labels.
    """
    labels = torch.from_numpy(y)
    best: tuple[float, float, int, Setting] | None = None
    for setting in _SETTINGS:
        prepare = _prepare(setting, x[~held])
        parts = [(prepare(x[rows]), labels[torch.from_numpy(rows)]) for rows in (~held, held)]
        accuracy, loss, steps, _ = _train(setting, parts[0], count, seed, parts[1])
        if best is None or (accuracy, -loss) > (best[0], -best[1]):
            best = (accuracy, loss, steps, setting)
        if accuracy == 1:
            break
    assert best is not None
    _, _, steps, setting = best
    prepare = _prepare(setting, x)
    net = _train(setting, (prepare(x), labels), count, seed, steps=steps)[3]

    def predict(codes: Array) -> Ints:
        with torch.inference_mode():
            return np.asarray(net(prepare(codes)).argmax(1).numpy())

    return predict


def _prepare(setting: Setting, x: Array) -> Callable[[Array], Tensor]:
    change = whitening(x) if setting.whiten else np.asarray
    return lambda codes: torch.from_numpy(change(codes))


def _train(
    setting: Setting,
    data: tuple[Tensor, Tensor],
    count: int,
    seed: int,
    validation: tuple[Tensor, Tensor] | None = None,
    steps: int | None = None,
) -> tuple[float, float, int, nn.Module]:
    """Train for `steps`, or until the validation accuracy stops rising.

    Returns accuracy and loss on the validation rows at their best, the steps taken until then,
    and the network as it is at the end.
    """
    x, y = data
    batch = 128 if len(x) < 5000 else 256
    epoch = -(-len(x) // batch)
    limit = steps or min(max(40 * epoch, 1000), 2000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Net(x.shape[1], count, setting)
        adam = torch.optim.AdamW(
            net.parameters(), lr=setting.rate, weight_decay=setting.decay, fused=True
        )
        best = (-1.0, float("inf"), limit)
        taken, looked, stale = 0, 0, 0
        while taken < limit and stale < _PATIENCE:
            for rows in torch.split(torch.randperm(len(x)), batch)[: limit - taken]:
                adam.zero_grad()
                torch.autograd.backward(F.cross_entropy(net(x[rows]), y[rows]))
                adam.step()
                taken += 1
            if validation is not None and taken - looked >= 50:
                looked = taken
                accuracy, loss = _score(net, *validation)
                stale += 1
                if (accuracy, -loss) > (best[0], -best[1]):
                    best, stale = (accuracy, loss, taken), 0
        net.eval()
    return (*best, net)


def _score(net: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    net.eval()
    with torch.inference_mode():
        logits = net(x)
        accuracy = (logits.argmax(1) == y).float().mean()
        loss = F.cross_entropy(logits, y)
    net.train()
    return float(accuracy), float(loss)
