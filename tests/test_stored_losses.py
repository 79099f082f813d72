"""The losses of every method's first steps are those that are stored: no refactoring changes them.

After a change that is meant to, `python tests/test_stored_losses.py` stores them anew.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from test_methods import ROWS, fit

from unmingle.training import logs

STORED = Path(__file__).parent / "stored_losses.json"


def losses(name):
    """Stage and losses of every step of a tiny training, six digits each."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_RECORD_SECONDS", 0.0)  # every step
        fit(name, out=Path(folder) / "run")
        text = (Path(folder) / "run/metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [
        [line["stage"], {player: float(f"{loss:.6g}") for player, loss in line["losses"].items()}]
        for line in lines
    ]


@pytest.mark.parametrize("name", ROWS)
def test_losses_are_those_that_are_stored(name):
    stored = json.loads(STORED.read_text())[name]
    found = losses(name)
    assert [stage for stage, _ in found] == [stage for stage, _ in stored]
    for (_, ours), (_, theirs) in zip(found, stored, strict=True):
        # Processors round differently, and what a step rounds the next ones go on from.
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


if __name__ == "__main__":
    STORED.write_text(json.dumps({name: losses(name) for name in ROWS}, indent=1) + "\n")
