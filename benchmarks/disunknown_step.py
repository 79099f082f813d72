"""How fast DisUnknown's stage I trains, and against what.

    python benchmarks/disunknown_step.py           # paper networks beside a plain float32 version
    python benchmarks/disunknown_step.py laptop    # images/s of the laptop preset, all four stages
    python benchmarks/disunknown_step.py profile   # where the time of the paper step goes

The plain version is the same step as one would first write it: float32, NCHW, weight normalisation
by torch's parametrisation, a step for the classifier on detached images and then one for the
others, whose gradients run through everything. Both see the same sizes (64x64x3, batch 32, five
factors of ten values, compound classifier) and are stepped in turn in one process, so that a
slower or busier machine slows both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from _steps import beside_plain, library_step, profiled, random_images, run, timed
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from unmingle.data import FactorDataset
from unmingle.methods import DisUnknown

ROWS, FACTORS, VALUES = 2048, 5, 10
UNKNOWN, LABEL = 64, 8
WIDTHS = (32, 64, 128, 256, 384, 512)


def data() -> FactorDataset:
    return random_images(ROWS, {f"f{i}": VALUES for i in range(FACTORS)})


def ours(preset: str, batch: int, stage: str = "distil", divisor: int = 1) -> Callable[[], None]:
    """A step of one of the library's own stages; all four are there."""
    rows = data()
    method = DisUnknown(
        preset=preset, batch=batch, labelled=tuple(rows.factors), shares=(60.0, 5.0, 25.0, 10.0)
    )
    return library_step(method, rows, stage, divisor)


class Residual(nn.Module):
    """A convolution beside a shortcut; down or up by two."""

    def __init__(self, before: int, after: int, up: bool) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if up else nn.Conv2d
        self.residue = weight_norm(kind(before, after, 4, 2, 1))
        self.shortcut = weight_norm(nn.Conv2d(before, after, 1))
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            shortcut = F.interpolate(self.shortcut(x), scale_factor=2)
        else:
            shortcut = self.shortcut(F.avg_pool2d(x, 2))
        return F.leaky_relu(self.residue(x), 0.2) + shortcut


class Dense(nn.Module):
    """A residual fully-connected layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = weight_norm(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + F.leaky_relu(self.linear(x), 0.2)


def trunk(outputs: int, blocks: int) -> nn.Module:
    """From 64x64x3 images to some numbers."""
    return nn.Sequential(
        weight_norm(nn.Conv2d(3, WIDTHS[0], 6, 2, 2)), nn.LeakyReLU(0.2),
        *[Residual(a, b, False) for a, b in pairwise(WIDTHS)], nn.Flatten(),
        weight_norm(nn.Linear(512, 512)), nn.LeakyReLU(0.2),
        *[Dense(512) for _ in range(blocks)], weight_norm(nn.Linear(512, outputs)),
    )  # fmt: skip


class PlainGenerator(nn.Module):
    """From codes to 64x64x3 images and a standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        codes = UNKNOWN + FACTORS * LABEL
        self.dense = nn.Sequential(weight_norm(nn.Linear(2 * codes, 512)), Dense(512), Dense(512))
        self.spread = weight_norm(nn.Linear(512, 1))
        self.convs = nn.Sequential(
            weight_norm(nn.Linear(512, 512)), nn.LeakyReLU(0.2), nn.Unflatten(1, (512, 1, 1)),
            *[Residual(a, b, True) for a, b in pairwise(WIDTHS[::-1])],
            weight_norm(nn.ConvTranspose2d(WIDTHS[0], 3, 6, 2, 2)), nn.Tanh(),
        )  # fmt: skip

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        x = self.dense(torch.cat([codes, torch.zeros_like(codes)], 1))
        return self.convs(x), F.softplus(self.spread(x)).squeeze(1)


def plain(batch: int) -> Callable[[], None]:
    """A step of the plain float32 version."""
    rows = data()
    images = torch.from_numpy(rows.images).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    images = images.contiguous()
    labels = torch.from_numpy(np.stack(list(rows.factors.values()), 1))
    encoder, generator = trunk(2 * UNKNOWN, 2), PlainGenerator()
    looker = trunk(FACTORS * VALUES, 0)
    widths = (2 * UNKNOWN, 512, 512, 512, 512)
    layers = [x for a, b in pairwise(widths)
              for x in (weight_norm(nn.Linear(a, b)), nn.LeakyReLU(0.2))]  # fmt: skip
    reader = nn.Sequential(*layers, weight_norm(nn.Linear(512, FACTORS * VALUES)))
    tables = nn.ModuleList(nn.Embedding(VALUES, 2 * LABEL) for _ in range(FACTORS))
    classifier = nn.ModuleList([looker, reader])
    model_parameters = [
        {"params": [*encoder.parameters(), *generator.parameters()], "lr": 1e-4},
        {"params": tables.parameters(), "lr": 1e-3},
    ]
    adam = torch.optim.Adam(model_parameters)
    other = torch.optim.Adam(classifier.parameters(), lr=1e-4)

    def draw(mean: Tensor, std: Tensor) -> Tensor:
        return mean + std * torch.randn_like(mean)

    def embedded(chosen: Tensor) -> tuple[list[Tensor], Tensor]:
        codes, kl = [], torch.zeros(())
        for i, table in enumerate(tables):
            mean, log_std = table.weight.chunk(2, 1)
            spread = (mean.var(0) + log_std.exp().square().mean(0)).sqrt()
            mean, std = (mean - mean.mean(0)) / spread, log_std.exp() / spread
            kl = kl + (0.5 * (mean**2 + std**2 - 1) - std.log()).sum(1).mean()
            codes.append(draw(mean[chosen[:, i]], std[chosen[:, i]]))
        return codes, kl

    def logits(made: Tensor, u: Tensor) -> Tensor:
        found = looker(made) + reader(torch.cat([u, torch.zeros_like(u)], 1))
        return F.log_softmax(found.view(-1, FACTORS, VALUES), 2)

    def step() -> None:
        chosen = torch.randint(ROWS, (batch,))
        x, y = images[chosen], labels[chosen]
        mean, spread = encoder(x).chunk(2, 1)
        std = F.softplus(spread)
        u = draw(mean, std)
        own, label_kl = embedded(y)
        made, sigma = generator(torch.cat([u, *own], 1))
        error = (made - x).square().flatten(1).mean(1)
        loss = (error / (2 * sigma**2) + sigma.log()).mean()
        loss = loss + 1e-3 * ((0.5 * (mean**2 + std**2 - 1) - std.log()).sum(1).mean() + label_kl)
        variance = mean.var(0) + std.square().mean(0)
        loss = loss + 0.05 * (mean.mean(0) ** 2 + variance - 1 - variance.log()).sum()
        foreign, _ = embedded(torch.stack([column.roll(1 + i) for i, column in enumerate(y.T)], 1))
        crossed, _ = generator(torch.cat([u, *foreign], 1))
        likely = logits(crossed.detach(), u.detach()).gather(2, y[..., None])
        other.zero_grad()
        (-likely.squeeze(2).sum(1).mean()).backward()
        other.step()
        p = logits(crossed, u).gather(2, y[..., None]).exp()
        adversary = -(VALUES - 1) * (1 - p).clamp_min(1e-8).log().squeeze(2).sum(1).mean()
        adam.zero_grad()
        (loss + 0.5 * adversary).backward()
        adam.step()

    return step


def compare() -> None:
    batch = 32
    beside_plain(plain(batch), ours("paper", batch), batch, 9)


def laptop() -> None:
    for name in ("distil", "classifier", "generator", "encoders"):
        for divisor in (1, 2):
            value = timed({"": ours("laptop", 64, name, divisor)}, 15)[""]
            print(f"laptop {name:10} at {64 // divisor}x{64 // divisor}: {64 / value:.0f} images/s")


if __name__ == "__main__":
    run(compare=compare, laptop=laptop, profile=lambda: profiled(ours("paper", 32)))
