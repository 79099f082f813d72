"""How fast LORD's stage 1 trains, and against what.

    python benchmarks/lord_step.py             # paper networks beside a plain float32 version
    python benchmarks/lord_step.py laptop      # images/s of the laptop preset at 64x64 and 32x32
    python benchmarks/lord_step.py profile     # where the time of the paper step goes

The plain version is the paper's stage 1 as one would first write it: float32, NCHW, up-sampling
and convolution apart, autograd left on inside the perceptual network and for the features of the
true images, tables trained by dense Adam. Both see the same sizes (64x64x3, batch 32, 2,112
images, VGG16 features; the weights are random, which changes no time) and are stepped in turn in
one process, so that a slower or busier machine slows both.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unmingle.data import FactorDataset
from unmingle.methods import LORD, lord
from unmingle.nn.perceptual import VGG16
from unmingle.training.batches import Batcher
from unmingle.training.hardware import choose_precision
from unmingle.training.players import Trainee
from unmingle.training.stage import Context, Progress

ROWS, CLASSES = 2112, 24


def data() -> FactorDataset:
    """Random images: no time here depends on what they show."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (ROWS, 64, 64, 3), dtype=np.uint8)
    return FactorDataset(images=images, factors={"class": np.arange(ROWS) % CLASSES})


def ours(preset: str, batch: int, divisor: int = 1) -> Callable[[], None]:
    """A step of the library's own stage 1, as the training loop makes it."""
    perceptual = "vgg16" if preset == "paper" else "efficientnet-lite0"
    lord.feature_net = lambda name: VGG16(None) if name == "vgg16" else original(name)
    rows = data()
    method = LORD(preset=preset, batch=batch, perceptual=perceptual)
    method.network = method.build((64, 64, 3), method.check(rows))
    method.network.to(memory_format=torch.channels_last)
    stage = method.stages(rows)[0]
    trainees = [Trainee(player) for player in stage.players()]
    stage.prepare()
    sampler = stage.sampler(Context(rows, 0, 1))
    batcher = Batcher(rows, torch.device("cpu"), torch.Generator().manual_seed(0))
    bf16 = choose_precision("auto", "cpu") == "bf16"
    progress = Progress(100, 0.5, 0.5, divisor)

    def step() -> None:
        images = batcher.next(sampler, divisor)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = stage.step(images, progress).losses
        for trainee in trainees:
            trainee.backward(losses[trainee.name], retain_graph=False)
            trainee.step(progress)

    return step


original = lord.feature_net


class PlainGenerator(nn.Module):
    """LORD's generator (A.1), D = 256."""

    def __init__(self) -> None:
        super().__init__()
        size = 4 * 4 * 256
        self.fc = nn.Sequential(
            nn.Linear(128, size // 8), nn.LeakyReLU(0.01),
            nn.Linear(size // 8, size // 4), nn.LeakyReLU(0.01),
            nn.Linear(size // 4, size), nn.LeakyReLU(0.01),
        )  # fmt: skip
        self.convs = nn.ModuleList(nn.Conv2d(256, 256, 3, padding=1) for _ in range(4))
        self.affines = nn.ModuleList(nn.Linear(256, 512) for _ in range(4))
        self.head = nn.Sequential(
            nn.Conv2d(256, 64, 5, padding=2), nn.LeakyReLU(0.01), nn.Conv2d(64, 3, 7, padding=3)
        )

    def forward(self, content: Tensor, classes: Tensor) -> Tensor:
        x = self.fc(content).view(-1, 256, 4, 4)
        for conv, affine in zip(self.convs, self.affines, strict=True):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2)), 0.01)
            scale, shift = affine(classes)[:, :, None, None].chunk(2, dim=1)
            x = F.instance_norm(x) * scale + shift
        return torch.sigmoid(self.head(x))


class PlainVGG(nn.Module):
    """VGG16 up to relu5_3, five taps; its own parameters keep their gradients."""

    def __init__(self) -> None:
        super().__init__()
        inputs, stages = 3, []
        for widths in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if inputs > 3 else []
            for width in widths:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def plain(batch: int) -> Callable[[], None]:
    """A step of the plain float32 version."""
    rows = data()
    images = torch.from_numpy(rows.images).permute(0, 3, 1, 2).float().div(255).contiguous()
    labels = torch.from_numpy(rows.factor("class"))
    generator, vgg = PlainGenerator(), PlainVGG()
    content, classes = nn.Embedding(ROWS, 128), nn.Embedding(CLASSES, 256)
    codes = [*content.parameters(), *classes.parameters()]
    adam = torch.optim.Adam(
        [{"params": generator.parameters(), "lr": 1e-4}, {"params": codes, "lr": 1e-3}],
        betas=(0.5, 0.999),
    )

    def step() -> None:
        chosen = torch.randint(ROWS, (batch,))
        x, c = images[chosen], content(chosen)
        made = generator(c + torch.randn_like(c), classes(labels[chosen]))
        loss = (made - x).abs().mean() + 1e-3 * c.square().sum(1).mean()
        for a, b in zip(vgg(made), vgg(x), strict=True):
            loss = loss + (a - b).abs().mean()
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


def matmul_peak(dtype: torch.dtype) -> float:
    """Best of several 4096x4096 products, in TFLOP/s."""
    a = torch.randn(4096, 4096).to(dtype)
    best = min(timed({"": lambda: a @ a}, 1)[""] for _ in range(5))
    return 2 * 4096**3 / best / 1e12


def describe_machine() -> None:
    cpu = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as lines:
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    print(f"{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}")


def compare() -> None:
    batch = 32
    steps = {"plain float32": plain(batch), "unmingle": ours("paper", batch)}
    with FlopCounterMode(display=False) as counter:
        steps["plain float32"]()
    work = counter.get_total_flops() / 1e12
    seconds = timed(steps, 7)
    peaks = {"plain float32": torch.float32, "unmingle": torch.bfloat16}
    print(f"work of the plain step: {work:.3f} TFLOP (convolutions and matrix products)")
    for name, value in seconds.items():
        peak = matmul_peak(peaks[name])
        rate = work / value
        print(
            f"{name:14} {value * 1e3:7.0f} ms a step  {batch / value:6.1f} images/s  "
            f"{rate:.2f} TFLOP/s of plain work, {rate / peak:.0%} of the {peak:.2f} that "
            f"{str(peaks[name]).removeprefix('torch.')} matrix products reach"
        )
    print(f"ratio {seconds['plain float32'] / seconds['unmingle']:.2f}")


def laptop() -> None:
    for divisor in (1, 2):
        value = timed({"": ours("laptop", 64, divisor)}, 25)[""]
        print(f"laptop at {64 // divisor}x{64 // divisor}: {64 / value:.0f} images/s")


def profile() -> None:
    step = ours("paper", 32)
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
