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

Layout = dict[str, tuple[str, ...]]

_STEPS = tuple(str(value) for value in range(40))
_COMMON: Layout = {
    "object_size": ("small", "large"),
    "camera_height": ("top", "center", "bottom"),
    "background_color": ("purple", "sea green", "salmon"),
    "horizontal_axis": _STEPS,
    "vertical_axis": _STEPS,
}
FINAL: Layout = {
    "object_color": ("white", "green", "red", "blue", "brown", "olive"),
    "object_shape": ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
    **_COMMON,
}
CHALLENGE: Layout = {
    "object_color": ("green", "red", "blue", "brown"),
    "object_shape": ("cone", "cube", "hexagonal prism", "sphere"),
    **_COMMON,
}
EVERYDAY: Layout = {
    "object_color": ("yellow", "green", "olive", "red"),
    "object_shape": ("coffee-cup", "tennis-ball", "croissant", "beer-cup"),
    **_COMMON,
}
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "toy": (FINAL, CHALLENGE),
    "realistic": (FINAL, CHALLENGE),
    "real": (FINAL,),
    "complex": (EVERYDAY,),
}
"""Names of all factors' values, slowest factor first, of the files that each set has; they are told
apart by their number of pictures."""
_FILES = {kind: f"mpi3d_{kind}.npz" for kind in ("toy", "realistic", "real")} | {
    "complex": "real3d_complicated_shapes_ordered.npz"
}
_URL = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/"
_PAGE = "https://github.com/rr-learning/disentanglement_dataset"
_PAPER = (
    "M. W. Gondal et al., On the Transfer of Inductive Bias from Simulation to the Real World: a "
    "New Disentanglement Dataset, NeurIPS 2019 (arXiv:1906.03292)"
)


def _count(layout: Layout) -> int:
    return math.prod(map(len, layout.values()))


def _reader(kind: str) -> Callable[..., FactorDataset]:
    def read(
        folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0
    ) -> FactorDataset:
        """Pictures uint8 [N, 64, 64, 3] in the file's order: the vertical axis varies fastest.

        The file is read from its beginning up to the last row wanted, piece by piece.

        Raises:
            DataError: the file is missing, damaged or not the published one.
        """
        entry = {"toy": TOY, "realistic": REALISTIC, "real": REAL, "complex": COMPLEX}[kind]
        name = _FILES[kind]
        file = need(entry, folder, name)
        layouts = {_count(layout): layout for layout in LAYOUTS[kind]}
        with NpzTable(file) as table:
            keys = table.keys()
            if "images" not in keys:
                raise DataError(f"{file}: there is no images inside; it is not the published file")
            shape, dtype = table.header("images")
            factors = layouts.get(shape[0])
            if factors is None or shape[1:] != (64, 64, 3) or dtype != np.uint8:
                counts = " or ".join(f"{count:,}" for count in layouts)
                raise DataError(
                    f"{file}: images are {dtype} {shape}, expected {counts} of uint8 (64, 64, 3)"
                    f"{_other(kind, shape[0])}"
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


def _other(kind: str, count: int) -> str:
    """What a file with that number of pictures may be, if not one of `kind`."""
    others = [k for k, known in LAYOUTS.items() if k != kind and count in map(_count, known)]
    return f"; so many are in {' and '.join(f'mpi3d-{k}' for k in others)}" if others else ""


def _set(kind: str, title: str, summary: str, *traps: str, md5: str | None = None) -> NamedSet:
    file, first = _FILES[kind], LAYOUTS[kind][0]
    downloads = () if md5 is None else (Download(f"{_URL}{file}", file, md5=md5),)
    return NamedSet(
        name=f"mpi3d-{kind}",
        title=title,
        summary=summary,
        rows=_count(first),
        shape="64x64x3",
        factors={name: len(values) for name, values in first.items()},
        licence="CC BY 4.0",
        paper=_PAPER,
        url=_PAGE,
        layout=file,
        read=_reader(kind),
        traps=traps,
        downloads=downloads,
    )


_EARLIER = (
    "An earlier release for a competition has 460,800 pictures: 4 colours and 4 shapes, numbered "
    "otherwise; it is told by its number of pictures."
)
_LARGE = "Unpacked it is 12.7 GB: rows= (--draw) takes some; all go to a memory-mapped file."

TOY = _set(
    "toy",
    "MPI3D, simple renderings",
    "a robot arm with an object, simply rendered, all combinations of seven factors",
    _EARLIER,
    _LARGE,
    md5="55889cb7c7dfc655d6e0277beee88868",
)
REALISTIC = _set(
    "realistic",
    "MPI3D, realistic renderings",
    "a robot arm with an object, realistically rendered, all combinations of seven factors",
    _EARLIER,
    _LARGE,
    md5="59a6225b88b635365f70c91b3e52f70f",
)
REAL = _set(
    "real",
    "MPI3D, photographs",
    "photographs of a robot arm with an object, all combinations of seven factors",
    "The photographs of everyday objects, 460,800, are another set: mpi3d-complex.",
    _LARGE,
    md5="0f33f609918fb5c97996692f91129802",
)
COMPLEX = _set(
    "complex",
    "MPI3D, photographs of everyday objects",
    "photographs of a robot arm with a cup, ball or croissant, all combinations of seven factors",
    "Colours and shapes are others than those of mpi3d-real.",
    "It is linked on the authors' page and no hash of it is published, so it is not fetched.",
    "Unpacked it is 5.7 GB: rows= (--draw) takes some.",
)
