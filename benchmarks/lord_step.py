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

from collections.abc import Callable

import torch
import torch.nn.functional as F
from _steps import library_step, profiled, random_images, run, timed
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unmingle.data import FactorDataset
from unmingle.methods import LORD

ROWS, CLASSES = 2112, 24


def data() -> FactorDataset:
    return random_images(ROWS, {"class": CLASSES})


def ours(preset: str, batch: int, divisor: int = 1) -> Callable[[], None]:
    """A step of the library's own stage 1."""
    perceptual = "vgg16" if preset == "paper" else "efficientnet-lite0"
    return library_step(
        LORD(preset=preset, batch=batch, perceptual=perceptual), data(), divisor=divisor
    )


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


def matmul_peak(dtype: torch.dtype) -> float:
    """Best of several 4096x4096 products, in TFLOP/s."""
    a = torch.randn(4096, 4096).to(dtype)
    best = min(timed({"": lambda: a @ a}, 1)[""] for _ in range(5))
    return 2 * 4096**3 / best / 1e12


def floating_point_work(step: Callable[[], None]) -> float:
    """TFLOP of the convolutions and matrix products of a step."""
    step()  # what is made once, such as the features of the true images
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops()) / 1e12


def compare() -> None:
    batch = 32
    steps = {"plain float32": plain(batch), "unmingle": ours("paper", batch)}
    work = {name: floating_point_work(step) for name, step in steps.items()}
    seconds = timed(steps, 7)
    peaks = {"plain float32": torch.float32, "unmingle": torch.bfloat16}
    for name, value in seconds.items():
        peak = matmul_peak(peaks[name])
        rate = work[name] / value
        print(
            f"{name:14} {value * 1e3:7.0f} ms a step  {batch / value:6.1f} images/s  "
            f"{work[name]:.3f} TFLOP a step, {rate:.2f} TFLOP/s: {rate / peak:.0%} of the "
            f"{peak:.2f} that {str(peaks[name]).removeprefix('torch.')} matrix products reach"
        )
    print(f"ratio {seconds['plain float32'] / seconds['unmingle']:.2f}")


def laptop() -> None:
    for divisor in (1, 2):
        value = timed({"": ours("laptop", 64, divisor)}, 25)[""]
        print(f"laptop at {64 // divisor}x{64 // divisor}: {64 / value:.0f} images/s")


if __name__ == "__main__":
    run(compare=compare, laptop=laptop, profile=lambda: profiled(ours("paper", 32)))
