"""How long `unmingle report RUN DATA` takes, and how large the file is.

    python benchmarks/report_time.py RUN DATA [--runs 3] [FLAG ...]

Each report is made by a process of its own, as it is typed, into a folder that is removed. Further
flags are passed on (`--role content=pose`). Prints medians.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from unmingle.evaluation.record import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--runs", type=int, default=3, help="how often")
    settings, flags = parser.parse_known_args()
    words = ["unmingle", "report", settings.run, settings.data, *flags]
    print(f"{machine('torch', 'scikit-learn')}\n$ {shlex.join(words)}", flush=True)
    seconds, size = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(settings.runs):
            out = Path(folder) / f"{number}.html"
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", *words, "-o", str(out)], check=True)
            seconds.append(time.perf_counter() - began)
            size = out.stat().st_size
    each = ", ".join(f"{value:.1f}" for value in seconds)
    print(f"{median(seconds):.1f} s (runs: {each}), {size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
