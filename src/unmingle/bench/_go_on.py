"""Trainings that begin where another one's first stages ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import nn

if TYPE_CHECKING:
    from unmingle.data import FactorDataset
    from unmingle.methods import Method
    from unmingle.training.stage import Stage


def go_on(kind: type[Method], first: Path, skip: int, without: tuple[str, ...]) -> type[Method]:
    """The method, starting from the tensors of a trained run.

    Args:
        kind: the method.
        first: the run's folder.
        skip: stages that it has done, which are left out.
        without: first parts of the names of tensors that start as usual.
    """

    class GoesOn(kind):  # type: ignore[valid-type, misc]
        def build(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> nn.Module:
            network: nn.Module = super().build(shape, facts)
            state = load_file(first / "model.safetensors")
            kept = {name: t for name, t in state.items() if not name.startswith(without)}
            network.load_state_dict(kept, strict=False)
            return network

        def stages(self, data: FactorDataset) -> Sequence[Stage]:
            stages: Sequence[Stage] = super().stages(data)
            return stages[skip:]

    return GoesOn
