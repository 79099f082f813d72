"""Time of a training step with a latent table of 1,000 and of 1,000,000 rows.

    python benchmarks/latent_table.py

A step looks up 64 random rows of 128, sends them through a small network, and updates network and
rows; its cost should not depend on the number of rows. The two tables take turns within one run, so
that whatever else slows the machine slows both. Medians, and the ratio of each pair of turns. The
table alone (lookup and update with a given gradient) is timed the same way, and dense Adam on the
small table for comparison.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from unmingle.evaluation.record import machine
from unmingle.nn.latent import LatentTable

SIZES = (1_000, 1_000_000)
DIM, BATCH = 128, 64
TURN = 10  # steps timed together


def step_with(table: LatentTable) -> Callable[[], None]:
    """One whole training step on random rows of the table."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(DIM, 512), nn.LeakyReLU(0.01), nn.Linear(512, 1024))
    adam = torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.5, 0.999), fused=True)
    target = torch.rand(BATCH, 1024)

    def step() -> None:
        codes = table.lookup(torch.randint(table.rows, (BATCH,)))
        loss = (net(codes) - target).abs().mean() + 1e-3 * codes.square().sum(1).mean()
        loss.backward()
        adam.step()
        adam.zero_grad(set_to_none=True)
        table.update(1e-3, (0.5, 0.999))

    return step


def table_alone(table: LatentTable) -> Callable[[], None]:
    """Lookup and update with a given gradient."""
    gradient = torch.randn(BATCH, DIM)

    def step() -> None:
        table.lookup(torch.randint(table.rows, (BATCH,))).backward(gradient)
        table.update(1e-3, (0.5, 0.999))

    return step


def dense_adam(rows: int) -> Callable[[], None]:
    """What the table's update replaces: fused Adam over all rows."""
    weight = nn.Parameter(torch.empty(rows, DIM).uniform_(-0.05, 0.05))
    adam = torch.optim.Adam([weight], lr=1e-3, betas=(0.5, 0.999), fused=True)
    gradient = torch.randn(BATCH, DIM)

    def step() -> None:
        weight[torch.randint(rows, (BATCH,))].backward(gradient)
        adam.step()
        adam.zero_grad(set_to_none=True)

    return step


def compare(steps: list[Callable[[], None]], turns: int) -> list[list[float]]:
    """Microseconds a step in each turn, for each of the steps; a fifth of the turns warms up."""
    times: list[list[float]] = [[] for _ in steps]
    for turn in range(turns + turns // 5):
        for step, found in zip(steps, times, strict=True):
            begin = time.perf_counter()
            for _ in range(TURN):
                step()
            if turn >= turns // 5:
                found.append((time.perf_counter() - begin) / TURN * 1e6)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=150, help=f"turns of {TURN} steps each")
    turns = parser.parse_args().turns
    print(machine("torch"))
    print(f"batch {BATCH}, codes of {DIM}, {torch.get_num_threads()} threads, {turns} turns")
    tables = [LatentTable(rows, DIM) for rows in SIZES]
    for table in tables:
        table.begin_training()
    for name, make in (("training step", step_with), ("table alone", table_alone)):
        small, large = compare([make(table) for table in tables], turns)
        ratio = median(b / a for a, b in zip(small, large, strict=True))
        print(
            f"{name}: {median(small):.0f} us with {SIZES[0]:,} rows, {median(large):.0f} us with "
            f"{SIZES[1]:,}; ratio {median(large) / median(small):.3f} (of pairs {ratio:.3f})"
        )
    (dense,) = compare([dense_adam(SIZES[0])], turns)
    print(f"dense Adam alone, {SIZES[0]:,} rows: {median(dense):.0f} us")


if __name__ == "__main__":
    main()
