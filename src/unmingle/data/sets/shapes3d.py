"""3D Shapes: rendered here, or the published file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unmingle.data import shapes3d
from unmingle.data.dataset import FactorDataset
from unmingle.data.files import read_file
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import Download, NamedSet, need

_FILE = "3dshapes.h5"


def read(
    folder: Path | None, options: ReadOptions, *, rows: Any = None, seed: int = 0
) -> FactorDataset:
    """Rendered scenes without a folder, else the published pixels of its 3dshapes.h5.

    Returns:
        images uint8 [N, H, W, 3]: 64x64, rendered at `size` where there is no folder.

    Raises:
        DataError: a wrong row or size, a missing or damaged file.
        MissingExtraError: the file is to be read and h5py is not installed.
    """
    if folder is None:
        if not options.pixels:
            return shapes3d.columns(rows, options.geometry.size or 64, seed)
        return shapes3d.load(rows, options.geometry.size or 64, seed)
    chosen = {} if rows is None else {"rows": rows, "seed": seed}
    return read_file(need(SET, folder, _FILE), options, chosen)


SET = NamedSet(
    name="shapes3d",
    title="3D Shapes",
    summary="an object in a room, all combinations of six factors, rendered on demand",
    rows=480_000,
    shape="64x64x3",
    factors=dict(shapes3d.FACTORS),
    licence="Apache 2.0",
    paper="C. Burgess, H. Kim, 3D Shapes Dataset, 2018",
    url="https://github.com/google-deepmind/3d-shapes",
    layout=f"""
        {_FILE}
    """,
    read=read,
    traps=(
        "Without folder= the scenes are rendered here and look alike without being the published "
        "pixels; folder= (--folder) with the published 3dshapes.h5 reads those.",
    ),
    downloads=(
        Download(
            "https://storage.googleapis.com/3d-shapes/3dshapes.h5",
            _FILE,
            sha256="0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
            bytes=267_573_662,
        ),
    ),
    embedded=True,
)
