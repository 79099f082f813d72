"""Pictures a second of the `shapes3d` renderer, with an empty and with a full cache.

    python benchmarks/render_shapes3d.py

Cold is the first call of a process, which ray-casts every geometry it needs; each cold run is a
process of its own. Warm is a later call in the same process. Random rows, 64x64, medians.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from unmingle.evaluation.record import machine

RUNS = 5
COUNTS = (1000, 5000)


def measure(count: int) -> list[float]:
    """Pictures a second of a first call and of `RUNS` later ones with other rows."""
    import numpy as np

    from unmingle.data import shapes3d

    rng = np.random.default_rng(0)
    speeds = []
    for _ in range(1 + RUNS):
        factors = shapes3d.index_to_factors(rng.permutation(shapes3d.ROWS)[:count])
        start = time.perf_counter()
        shapes3d.render(factors, 64)
        speeds.append(count / (time.perf_counter() - start))
    return speeds


def main() -> None:
    print(machine("numpy"))
    for count in COUNTS:
        cold, warm = [], []
        for _ in range(RUNS):
            command = [sys.executable, __file__, str(count)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            first, *later = map(float, output.split())
            cold.append(first)
            warm.append(median(later))
        print(
            f"{count} pictures 64x64: {median(cold):,.0f} a second cold, "
            f"{median(warm):,.0f} warm (medians of {RUNS} processes)"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*measure(int(sys.argv[1])))
    else:
        main()
