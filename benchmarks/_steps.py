"""What the benchmarks of training steps share: data, a step of the library, times, a profile."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from unmingle.data import FactorDataset
from unmingle.evaluation.record import processor
from unmingle.methods import Method, distance
from unmingle.nn.perceptual import VGG16
from unmingle.training.batches import Batcher
from unmingle.training.hardware import choose_precision
from unmingle.training.players import Trainee, optimise
from unmingle.training.stage import Context, Progress

Step = Callable[[], None]
_shipped = distance.feature_net


def random_images(rows: int, factors: dict[str, int], size: int = 64) -> FactorDataset:
    """Random images and labels: no time here depends on what they show.

    Args:
        rows: how many.
        factors: {name: number of values}.
        size: pixels a side.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
    columns = {name: np.arange(rows) % values for name, values in factors.items()}
    return FactorDataset(images=images, factors=columns)


def library_step(
    method: Method, rows: FactorDataset, stage: int | str = 0, divisor: int = 1
) -> Step:
    """A step of one of a method's stages, as the training loop makes it.

    VGG16's weights are random here, which changes no time and needs no download.

    Args:
        method: not yet fitted.
        rows: what it would train on.
        stage: its number, or its name.
        divisor: of the image size.
    """
    distance.feature_net = lambda name: VGG16(None) if name == "vgg16" else _shipped(name)
    method.data_shape, method.facts = tuple(rows.shape), method.check(rows)
    method.network = method.build(method.data_shape, method.facts)
    method.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stages = {key: s for n, s in enumerate(method.stages(rows)) for key in (n, s.name)}
    chosen = stages[stage]
    chosen.setup()
    trainees = [Trainee(player) for player in chosen.players()]
    chosen.prepare()
    sampler = chosen.sampler(Context(rows, 0, 1))
    batcher = Batcher(rows, torch.device("cpu"), torch.Generator().manual_seed(0))
    bf16 = choose_precision("auto", "cpu") == "bf16"
    made = 2000  # beyond every warm-up

    def step() -> None:
        nonlocal made
        made += 1
        progress = Progress(made, 0.5, 0.5, divisor)
        batch = batcher.next(sampler, divisor)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = chosen.step(batch, progress).losses
        optimise(trainees, losses, progress)
        chosen.after_step(progress)

    return step


def timed(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Median seconds of each step, made in turn; two rounds of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def beside_plain(plain: Step, ours: Step, images: int, rounds: int) -> None:
    """Print both times of a step of so many images, and their ratio."""
    seconds = timed({"plain float32": plain, "unmingle": ours}, rounds)
    for name, value in seconds.items():
        print(f"{name:14} {value * 1e3:7.0f} ms a step  {images / value:6.1f} images/s")
    print(f"ratio {seconds['plain float32'] / seconds['unmingle']:.2f}")


def profiled(step: Step) -> None:
    """Print where the time of a step goes."""
    step()
    with torch.profiler.profile() as found:
        step()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    for row in rows[:15]:
        share = row.self_cpu_time_total / total
        print(f"{share:6.1%} {row.self_cpu_time_total / 1e3:8.1f} ms {row.count:5} {row.key}")


def run(**verbs: Step) -> None:
    """Say what the machine is and run the verb of the command line, or `compare`."""
    torch.manual_seed(0)
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    verb = "".join(sys.argv[1:2]) or "compare"
    if verb not in verbs:
        sys.exit(f"no {verb!r}; there is: {', '.join(verbs)}")
    verbs[verb]()
