"""A small method with everything the engine must carry; also a program that trains it.

Stage "codes": generator, per-sample and per-class codes against a critic, with noise and half
resolution first. Stage "encode": an encoder with dropout regresses the frozen codes.
"""

from __future__ import annotations

import contextlib
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as logistic
from torch.nn.functional import interpolate

from unmingle.data import FactorDataset
from unmingle.nn.latent import LatentTable
from unmingle.training.loop import train
from unmingle.training.randomness import seeded
from unmingle.training.run import RunFolder
from unmingle.training.schedules import Cosine, Ramp
from unmingle.training.settings import TrainSettings
from unmingle.training.stage import Group, Player, Stage, StepResult

ROWS, CLASSES, BATCH = 25, 3, 6


def toy_data(rows=ROWS):
    generator = np.random.default_rng(0)
    return FactorDataset(
        images=generator.integers(0, 256, (rows, 16, 16, 1), dtype=np.uint8),
        factors={"kind": np.arange(rows) % CLASSES},
        continuous={"angle": np.linspace(0, 1, rows)},
    )


class ToyModel(nn.Module):
    def __init__(self, rows=ROWS, mode="dense"):
        super().__init__()
        self.content = LatentTable(rows, 4, mode=mode)
        self.kinds = LatentTable(CLASSES, 3, owned=False)
        self.generator = nn.Sequential(
            nn.Linear(7, 2 * 4 * 4), nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 1, 3, padding=1)
        )
        self.critic = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 4))
        self.register_buffer("multiplier", torch.zeros(()))


def small(images):
    return interpolate(images, size=(4, 4), mode="area")


class Codes(Stage):
    name, share = "codes", 2.0

    def __init__(self, model, lr=0.01):
        self.model, self.lr = model, lr
        self.sizes, self.finished, self.began = [], 0, 0
        self.hook = lambda progress: None

    def setup(self):
        self.began += 1

    def players(self):
        m, cosine = self.model, Cosine(0.1) * Ramp(steps=3)
        return [
            Player(
                "maker",
                [
                    Group(list(m.generator.parameters()), self.lr, cosine, (0.5, 0.999)),
                    Group(m.content, 5 * self.lr, cosine, (0.5, 0.999)),
                    Group(m.kinds, 5 * self.lr),
                ],
            ),
            Player("critic", [Group(list(m.critic.parameters()), self.lr)]),
        ]

    def sampler(self, context):
        return context.rows(BATCH)

    def resolutions(self):
        return [(0.5, 2), (0.5, 1)]

    def step(self, batch, progress):
        x, m = batch["x"], self.model
        self.sizes.append(x.images.shape[-1])
        content = m.content.lookup(x.rows)
        kind = m.kinds.lookup(x.factors["kind"])
        codes = torch.cat([content + 0.1 * x.randn(4), kind], dim=1)
        made, real = m.generator(codes), small(x.images)
        fool = m.critic(made)
        maker = (made - real).abs().mean() + content.square().sum(1).mean()
        maker = maker + 0.1 * logistic(fool, torch.ones_like(fool))
        # The spread of codes over the whole batch: a loss that is no mean over samples.
        maker = maker + x.mean(content).square().sum() + x.gather(content).var(0).mean()
        maker = maker + m.multiplier * content.abs().mean()
        real_score, made_score = m.critic(real), m.critic(made.detach())
        critic = logistic(real_score, torch.ones_like(fool)) + logistic(
            made_score, torch.zeros_like(fool)
        )
        self.spread = x.mean(content.detach().abs()).mean()
        return StepResult({"maker": maker, "critic": critic}, {"spread": self.spread})

    def after_step(self, progress):
        self.model.multiplier.add_(0.01 * self.spread)
        self.hook(progress)

    def finish(self):
        self.finished += 1


class Encode(Stage):
    name, share = "encode", 1.0

    def __init__(self, model):
        self.model = model
        self.hook = lambda progress: None

    def setup(self):
        with torch.no_grad():
            self.model.encoder[2].bias.normal_()

    def players(self):
        return [Player("encoder", [Group(list(self.model.encoder.parameters()), 0.01)])]

    def sampler(self, context):
        return context.rows(BATCH)

    def step(self, batch, progress):
        x = batch["x"]
        with torch.no_grad():
            wanted = self.model.content.lookup(x.rows)
        return StepResult({"encoder": (self.model.encoder(x.images) - wanted).square().mean()})

    def after_step(self, progress):
        self.hook(progress)


def toy(rows=ROWS, seed=0, **options):
    """The model and its stages; everything initial follows from the seed."""
    with seeded(seed):
        model = ToyModel(rows, **options)
    return model, [Codes(model), Encode(model)]


def settings(budget="30steps", **options):
    options = {"device": "cpu", "precision": "float32", "quiet": True, **options}
    return TrainSettings(budget, **options)


class Stopped(BaseException):
    """Ends a run without giving it a chance to tidy up."""


def stop_after(step):
    """A hook that ends the run there."""

    def hook(progress):
        if progress.step == step:
            raise Stopped

    return hook


def forever(out):
    """Train until killed, writing after every step: the kill often falls into a write."""
    model, stages = toy()
    chosen = settings("100000steps", checkpoint_every=1e-9)
    train(model, stages, toy_data(), chosen, RunFolder(out))


def distributed(folder):
    """As one of several processes: a whole run, half a run, and the other half of one's."""
    rank = os.environ["RANK"]
    for name, hook, resume in (
        ("whole", None, False),
        ("half", stop_after(12), False),
        ("continued", None, True),
    ):
        model, stages = toy()
        stages[0].hook = hook or stages[0].hook
        run = RunFolder(f"{folder}/{name}", resume=resume)
        chosen = settings(checkpoint_every=1e-9, shards=2)
        with contextlib.suppress(Stopped):
            train(model, stages, toy_data(), chosen, run)
        torch.save(model.state_dict(), f"{folder}/{name}-{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"forever": forever, "distributed": distributed}[sys.argv[1]](sys.argv[2])
