"""Numbers and tables as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unmingle.evaluation.bootstrap import Estimate


def number(value: float) -> str:
    """Four decimals, or three digits where that would show too little."""
    return f"{value:.3g}" if abs(value) < 0.0095 or abs(value) >= 1000 else f"{value:.4f}"


def interval(estimate: Estimate) -> str:
    """The value, and its interval in brackets."""
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def share(estimate: Estimate) -> str:
    """A share as a percentage, and its interval in brackets."""
    return f"{estimate.value:6.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of cells as lines whose columns start at the same place."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()
