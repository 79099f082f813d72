"""How fast content-style trains its codes, beside LORD's stage 1.

    python benchmarks/content_style_step.py

Both with the `laptop` preset, batch 64, 2,112 random images (no time here depends on what they
show), stepped in turn in one process, so that a slower or busier machine slows both. Instance
discrimination is off, as in `laptop`; with it on the step is given as well.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from lord_step import data, describe_machine, timed

from unmingle.methods import LORD, ContentStyle, Method
from unmingle.training.batches import Batcher
from unmingle.training.hardware import choose_precision
from unmingle.training.players import Trainee
from unmingle.training.stage import Context, Progress

BATCH = 64


def stepper(method: Method, divisor: int) -> Callable[[], None]:
    """A step of the method's stage `latent`, as the training loop makes it."""
    rows = data()
    method.network = method.build((64, 64, 3), method.check(rows))
    method.network.to(memory_format=torch.channels_last)
    (stage,) = (s for s in method.stages(rows) if s.name == "latent")
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


def main() -> None:
    torch.manual_seed(0)
    describe_machine()
    for divisor in (1, 2):
        steps = {
            "LORD": stepper(LORD(batch=BATCH), divisor),
            "content-style": stepper(ContentStyle(batch=BATCH), divisor),
            "with instance discrimination": stepper(
                ContentStyle(batch=BATCH, discrimination_weight=1.0), divisor
            ),
        }
        seconds = timed(steps, 25)
        print(f"{64 // divisor}x{64 // divisor}")
        for name, value in seconds.items():
            share = seconds["LORD"] / value
            print(f"  {name:28} {BATCH / value:6.0f} images/s  {share:.2f} of LORD's")


if __name__ == "__main__":
    main()
