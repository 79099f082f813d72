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

import platform
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.methods import METHODS
from unmingle.training.batches import Batcher
from unmingle.training.hardware import choose_precision
from unmingle.training.players import Trainee, optimise
from unmingle.training.stage import Context, Progress

ROWS, CODE, WIDTHS = 2000, 32, (32, 64, 128, 256, 256)
VARIATIONAL = [name for name in METHODS if name.endswith("vae")]


def data() -> FactorDataset:
    """Random images: no time here depends on what they show."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (ROWS, 64, 64, 3), dtype=np.uint8)
    return FactorDataset(images=images, factors={"set": np.arange(ROWS) % 2})


def ours(name: str, preset: str) -> tuple[Callable[[], None], int]:
    """A step of the library's own, as the training loop makes it, and how many images it sees."""
    rows = data()
    settings = {"reference": "set=1"} if "reference" in name else {}
    method = METHODS[name](preset=preset, **settings)
    method.network = method.build((64, 64, 3), method.check(rows))
    method.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    (stage,) = method.stages(rows)
    trainees = [Trainee(player) for player in stage.players()]
    stage.prepare()
    sampler = stage.sampler(Context(rows, 0, 1))
    batcher = Batcher(rows, torch.device("cpu"), torch.Generator().manual_seed(0))
    bf16 = choose_precision("auto", "cpu") == "bf16"
    progress = Progress(100, 0.5, 0.5)

    def step() -> None:
        batch = batcher.next(sampler, 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = stage.step(batch, progress).losses
        optimise(trainees, losses, progress)

    return step, method.config.batch * (2 if "reference" in name else 1)


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


def timed(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each step, made in turn; two rounds of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def describe_machine() -> None:
    cpu = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as lines:
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    print(f"{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")


def compare() -> None:
    step, batch = ours("vae", "paper")
    seconds = timed({"plain float32": plain(batch), "unmingle": step}, 15)
    for name, value in seconds.items():
        print(f"{name:14} {value * 1e3:7.0f} ms a step  {batch / value:6.1f} images/s")
    print(f"ratio {seconds['plain float32'] / seconds['unmingle']:.2f}")


def laptop() -> None:
    for name in VARIATIONAL:
        step, images = ours(name, "laptop")
        print(f"{name:24} {images / timed({'': step}, 10)['']:6.0f} images/s at 64x64")


def profile() -> None:
    step, _ = ours("vae", "paper")
    step()
    with torch.profiler.profile() as found:
        step()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    for row in rows[:15]:
        share = row.self_cpu_time_total / total
        print(f"{share:6.1%} {row.self_cpu_time_total / 1e3:8.1f} ms {row.count:5} {row.key}")


def main() -> None:
    torch.manual_seed(0)
    describe_machine()
    {"laptop": laptop, "profile": profile}.get("".join(sys.argv[1:2]), compare)()


if __name__ == "__main__":
    main()
