"""MPI3D: a robot arm that holds an object, drawn simply, realistically, or photographed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import Download, NamedSet, need
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.tables import NpzTable
from unmingle.errors import DataError

_STEPS = tuple(str(value) for value in range(40))
_COMMON = {
    "object_size": ("small", "large"),
    "camera_height": ("top", "center", "bottom"),
    "background_color": ("purple", "sea green", "salmon"),
    "horizontal_axis": _STEPS,
    "vertical_axis": _STEPS,
}
FINAL = {
    "object_color": ("white", "green", "red", "blue", "brown", "olive"),
    "object_shape": ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
    **_COMMON,
}
CHALLENGE = {
    "object_color": ("green", "red", "blue", "brown"),
    "object_shape": ("cone", "cube", "hexagonal prism", "sphere"),
    **_COMMON,
}
LAYOUTS = {math.prod(map(len, factors.values())): factors for factors in (FINAL, CHALLENGE)}
"""Names of all factors' values, slowest factor first, by the number of pictures."""
_URL = "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/"
_PAPER = (
    "M. W. Gondal et al., On the Transfer of Inductive Bias from Simulation to the Real World: a "
    "New Disentanglement Dataset, NeurIPS 2019 (arXiv:1906.03292)"
)


def _reader(kind: str) -> Callable[..., FactorDataset]:
    def read(
        folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0
    ) -> FactorDataset:
        """Pictures uint8 [N, 64, 64, 3] in the file's order: the vertical axis varies fastest.

        The file is read from its beginning up to the last row wanted, piece by piece.

        Raises:
            DataError: the file is missing, damaged or not the published one.
        """
        entry = {"toy": TOY, "realistic": REALISTIC, "real": REAL}[kind]
        name = f"mpi3d_{kind}.npz"
        file = need(entry, folder, name)
        with NpzTable(file) as table:
            keys = table.keys()
            if "images" not in keys:
                raise DataError(f"{file}: there is no images inside; it is not the published file")
            shape, dtype = table.header("images")
            factors = LAYOUTS.get(shape[0])
            if factors is None or shape[1:] != (64, 64, 3) or dtype != np.uint8:
                counts = " or ".join(f"{count:,}" for count in LAYOUTS)
                raise DataError(
                    f"{file}: images are {dtype} {shape}, expected {counts} of uint8 (64, 64, 3)"
                )
            chosen = pick_rows(rows, shape[0], seed)
            images = read_image_blocks(
                folder, [name], shape[1:], lambda: table.blocks("images"), chosen, options
            )
        codes = np.unravel_index(chosen, [len(values) for values in factors.values()])
        return FactorDataset(
            images=images,
            factors=dict(zip(factors, codes, strict=True)),
            value_names=factors,
            ids=chosen,
            name=entry.name,
        )

    return read


def _set(kind: str, title: str, summary: str, md5: str) -> NamedSet:
    file = f"mpi3d_{kind}.npz"
    return NamedSet(
        name=f"mpi3d-{kind}",
        title=title,
        summary=summary,
        rows=math.prod(map(len, FINAL.values())),
        shape="64x64x3",
        factors={name: len(values) for name, values in FINAL.items()},
        licence="CC BY 4.0",
        paper=_PAPER,
        url="https://github.com/rr-learning/disentanglement_dataset",
        layout=file,
        read=_reader(kind),
        traps=(
            "An earlier release for a competition has 460,800 pictures: 4 colours and 4 shapes, "
            "numbered otherwise; it is told by its number of pictures.",
            "Unpacked it is 12.7 GB: rows= (--draw) takes some; all go to a memory-mapped file.",
        ),
        downloads=(Download(f"{_URL}{file}", file, md5=md5),),
    )


TOY = _set(
    "toy",
    "MPI3D, simple renderings",
    "a robot arm with an object, simply rendered, all combinations of seven factors",
    "55889cb7c7dfc655d6e0277beee88868",
)
REALISTIC = _set(
    "realistic",
    "MPI3D, realistic renderings",
    "a robot arm with an object, realistically rendered, all combinations of seven factors",
    "59a6225b88b635365f70c91b3e52f70f",
)
REAL = _set(
    "real",
    "MPI3D, photographs",
    "photographs of a robot arm with an object, all combinations of seven factors",
    "0f33f609918fb5c97996692f91129802",
)
