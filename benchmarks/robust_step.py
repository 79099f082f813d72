"""How fast a step of robust disentangling is, and against what.

    python benchmarks/robust_step.py           # paper networks beside a plain float32 version
    python benchmarks/robust_step.py laptop    # images/s of the laptop preset at full and half size
    python benchmarks/robust_step.py profile   # where the time of the paper step goes

The plain version is the paper's step as one would first write it: float32, NCHW, the classifiers
run on joint and on shuffled pairs one after the other, each loss back-propagated through everything
it was made of (what reaches networks that are not to learn from it is thrown away, as in the
release), autograd left on inside the perceptual network and for the features of the true images.
Both see the same sizes (64x64x3, batch 16, VGG16 features, both visualisers; the weights are
random, which changes no time) and are stepped in turn in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from _steps import beside_plain, library_step, profiled, random_images, run, timed
from lord_step import PlainVGG
from torch import Tensor, nn

from unmingle.data import FactorDataset
from unmingle.methods import RobustDisentangling

BATCH = 16  # pairs


def data() -> FactorDataset:
    return random_images(2112, {"class": 24})


def ours(preset: str, divisor: int = 1) -> Callable[[], None]:
    """A step of the library's own stage, after the warm-up."""
    perceptual = "vgg16" if preset == "paper" else "efficientnet-lite0"
    method = RobustDisentangling(preset=preset, batch=BATCH, perceptual=perceptual)
    return library_step(method, data(), divisor=divisor)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.relu(x))


def plain_encoder(outputs: int) -> nn.Module:
    widths = (16, 32, 128, 256, 256)
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1)]
    for before, after in pairwise(widths):
        layers += [Residual(before), nn.Conv2d(before, after, 4, 2, padding=1)]
    layers += [Residual(256) for _ in range(5)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(256, outputs, 3, padding=1))


class PlainDecoder(nn.Module):
    def __init__(self, codes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(16, 256, 3, padding=1), *(Residual(256) for _ in range(4)))
            for _ in range(codes)
        )
        layers: list[nn.Module] = [nn.Conv2d(256 * codes, 256, 3, padding=1)]
        widths = (256, 128, 64, 32, 16)
        for before, after in pairwise(widths):
            layers += [Residual(before), nn.Conv2d(before, 4 * after, 3, padding=1)]
            layers.append(nn.PixelShuffle(2))
        self.rest = nn.Sequential(*layers, Residual(16), nn.Conv2d(16, 3, 3, padding=1))

    def forward(self, *codes: Tensor) -> Tensor:
        parts = [branch(code) for branch, code in zip(self.branches, codes, strict=True)]
        return torch.sigmoid(self.rest(torch.cat(parts, 1)))


class PlainClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 512, 3, padding=1),
                *(Residual(512) for _ in range(4)),
                nn.ReLU(),
                nn.Conv2d(512, 16, 3, padding=1),
            )
            for _ in range(2)
        )

    def forward(self, pose: Tensor, appearance: Tensor) -> Tensor:
        return (self.nets[0](pose) * self.nets[1](appearance)).sum((1, 2, 3))


def plain() -> Callable[[], None]:
    """A step of the plain float32 version."""
    rows = data()
    images = torch.from_numpy(rows.images).permute(0, 3, 1, 2).float().div(255).contiguous()
    pose_encoder, appearance_encoder = plain_encoder(32), plain_encoder(16)
    decoder, vgg = PlainDecoder(2), PlainVGG()
    shows = nn.ModuleList([PlainDecoder(1), PlainDecoder(1)])
    classifiers = [PlainClassifier(), PlainClassifier()]
    model = nn.ModuleList([pose_encoder, appearance_encoder, decoder, shows])
    adam = torch.optim.Adam(model.parameters(), 2e-4, betas=(0.5, 0.9))
    others = [torch.optim.Adam(t.parameters(), 4e-4, betas=(0.5, 0.9)) for t in classifiers]
    state = {"lambda": torch.zeros(()), "gamma": torch.ones(())}

    def classify(net: nn.Module, pose: Tensor, appearance: Tensor) -> tuple[Tensor, Tensor]:
        joint, shuffled = net(pose, appearance), net(pose, appearance.flip(0))
        return joint.mean(), 0.5 * (F.softplus(-joint) + F.softplus(shuffled)).mean()

    def step() -> None:
        x2, x1 = (images[torch.randint(len(images), (BATCH,))] for _ in range(2))
        mean, log_variance = pose_encoder(x2).chunk(2, 1)
        pose = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        appearance = appearance_encoder(x1)
        made = decoder(pose, appearance)
        rec = (made - x2).abs().mean()
        for a, b in zip(vgg(made), vgg(x2), strict=True):
            rec = rec + (a - b).abs().mean()
        rec = 5e-4 * 64 * 64 * 3 * rec
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean()
        t, t_loss = classify(classifiers[0], pose, appearance.detach())
        other, other_loss = classify(classifiers[1], pose.detach(), appearance.detach())
        shown = sum(
            ((show(code.detach()) - x2) ** 2).mean()
            for show, code in zip(shows, (pose, appearance), strict=True)
        )
        excess = t - 0.125
        penalty = state["lambda"] * excess + 0.05 * excess**2
        loss = rec + state["gamma"] * kl + penalty + shown
        for optimiser, its in zip(others, (t_loss, other_loss), strict=True):
            optimiser.zero_grad()
            its.backward(retain_graph=True)
        adam.zero_grad()
        kept = [[p.grad.clone() for p in net.parameters()] for net in classifiers]
        loss.backward()
        for net, grads in zip(classifiers, kept, strict=True):
            for param, grad in zip(net.parameters(), grads, strict=True):
                param.grad = grad
        for optimiser in (*others, adam):
            optimiser.step()
        with torch.no_grad():
            state["lambda"] = (state["lambda"] + 0.1 * excess).clamp_min(0)
            state["gamma"] = (state["gamma"] + 0.01 * (other - t - 0.01)).clamp_min(0)

    return step


def compare() -> None:
    beside_plain(plain(), ours("paper"), 2 * BATCH, 9)  # a pair is two images


def laptop() -> None:
    for size, divisor in (("64x64", 1), ("32x32", 2)):
        value = timed({"": ours("laptop", divisor)}, 25)[""]
        print(f"laptop at {size}: {2 * BATCH / value:.0f} images/s, {1 / value:.2f} steps/s")


if __name__ == "__main__":
    run(compare=compare, laptop=laptop, profile=lambda: profiled(ours("paper")))
