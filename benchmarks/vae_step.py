"""How fast a VAE trains, and against what.

    python benchmarks/vae_step.py             # paper networks beside a plain float32 version
    python benchmarks/vae_step.py laptop      # images/s of every method, laptop preset, 64x64
    python benchmarks/vae_step.py profile     # where the time of the paper step goes

The plain version is the same VAE as one would first write it: float32, NCHW, convolution and
pooling apart, up-sampling and convolution apart, normalisation left to autograd. Both see the same
sizes (64x64x3, batch 36, the `paper` preset) and are stepped in turn in one process, so that a
slower or busier machine slows both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from _steps import beside_plain, library_step, profiled, random_images, run, timed
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.methods import METHODS

ROWS, CODE, WIDTHS = 2000, 32, (32, 64, 128, 256, 256)
VARIATIONAL = [name for name in METHODS if name.endswith("vae")]


def data() -> FactorDataset:
    return random_images(ROWS, {"set": 2})


def ours(name: str, preset: str) -> tuple[Callable[[], None], int]:
    """A step of the library's own, and how many images it sees."""
    settings = {"reference": "set=1"} if "reference" in name else {}
    method = METHODS[name](preset=preset, **settings)
    return library_step(method, data()), method.config.batch * (2 if settings else 1)


def normal(x: Tensor) -> Tensor:
    x = F.leaky_relu(x, 0.2)
    return x / torch.sqrt(x.square().mean(1, keepdim=True) + 1e-8)


class PlainEncoder(nn.Module):
    """The same blocks, each operation by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, WIDTHS[0], 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(WIDTHS))
        self.last = nn.Linear(WIDTHS[-1] * 16, 2 * CODE)

    def forward(self, x: Tensor) -> Tensor:
        x = normal(self.first(x))
        for conv in self.convs:
            x = normal(F.avg_pool2d(conv(x), 2))
        return self.last(x.flatten(1))


class PlainGenerator(nn.Module):
    """Likewise."""

    def __init__(self) -> None:
        super().__init__()
        widths = WIDTHS[::-1]
        self.first = nn.Linear(CODE, widths[0] * 16)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = normal(self.first(z).view(-1, WIDTHS[-1], 4, 4))
        for conv in self.convs:
            x = normal(conv(F.interpolate(x, scale_factor=2)))
        return torch.tanh(self.last(x))


def plain(batch: int) -> Callable[[], None]:
    """A step of the plain float32 version."""
    images = torch.from_numpy(data().images).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    images = images.contiguous()
    encoder, generator = PlainEncoder(), PlainGenerator()
    parameters = [*encoder.parameters(), *generator.parameters()]
    adam = torch.optim.Adam(parameters, 1e-4, betas=(0.5, 0.99))

    def step() -> None:
        x = images[torch.randint(ROWS, (batch,))]
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = (generator(z) - x).abs().sum((1, 2, 3)).mean() / 0.01 + divergence
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def compare() -> None:
    step, batch = ours("vae", "paper")
    beside_plain(plain(batch), step, batch, 15)


def laptop() -> None:
    for name in VARIATIONAL:
        step, images = ours(name, "laptop")
        print(f"{name:24} {images / timed({'': step}, 10)['']:6.0f} images/s at 64x64")


if __name__ == "__main__":
    run(compare=compare, laptop=laptop, profile=lambda: profiled(ours("vae", "paper")[0]))
