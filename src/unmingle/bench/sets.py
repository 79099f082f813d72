"""The data sets that several tables have, at both scales, and those that are drawn here.

At `laptop` scale: scenes, which are always there, and the files sprites.npz, chairs.npz and
cmu_faces.npz of the folder given by --data. At `paper` scale: the published sets. A table gives
them its budget by `replace`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .plan import Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unmingle.data import FactorDataset

SCENES = Setting(
    "scenes",
    "scenes.npz",
    "laptop",
    "15min",
    identity="shape,object_hue",
    rest="orientation,wall_hue",
)
SPRITES = Setting(
    "sprites",
    "sprites.npz",
    "laptop",
    "15min",
    "--values character=0:24",
    identity="character",
    rest="pose",
    judged="pose_merged",
)
CHAIRS = Setting(
    "chairs",
    "chairs.npz",
    "laptop",
    "15min",
    "--values model=0:40",
    identity="model",
    rest="azimuth,elevation",
)
FACES = Setting("faces", "cmu_faces.npz", "laptop", "15min", identity="person", rest="pose")

CARS3D = Setting(
    "cars3d",
    "cars3d",
    "paper",
    "400epochs",
    "--size 64",
    "--test-protocol lord",
    identity="object",
    rest="azimuth,elevation",
)
SMALLNORB = Setting(
    "smallnorb",
    "smallnorb",
    "paper",
    "400epochs",
    "--size 64 --option cameras=first",
    "--test-protocol smallnorb",
    identity="category,instance,elevation,lighting",
    rest="azimuth",
)
SMALLNORB_POSES = Setting(
    "smallnorb-poses",
    "smallnorb",
    "paper",
    "400epochs",
    "--size 64 --option cameras=first",
    "--test-protocol smallnorb-poses",
    identity="category,instance,lighting",
    rest="azimuth,elevation",
)
CELEBA = Setting(
    "celeba",
    "celeba",
    "paper",
    "400epochs",
    "--size 64 --fit crop",
    "--test-protocol lord",
    identity="identity",
)
CHAIRS_3D = Setting(
    "3d-chairs",
    "chairs",
    "paper",
    "400epochs",
    "--size 64",
    "--test-protocol content-style",
    identity="model",
    rest="azimuth,elevation",
)


# ---------------------------------------------------------------------- drawn here, kept as .npz


def _scenes() -> FactorDataset:
    from unmingle.commands.demo import scenes

    return scenes()


def correlated_rows(count: int | None = None) -> NDArray[np.int64]:
    """Rows of 3D Shapes whose floor and wall hue are the same or neighbours, ascending.

    Xiang et al. (2021), supplement 4.

    Args:
        count: that many drawn at random; None: all 144,000.
    """
    import numpy as np

    from unmingle.data import shapes3d

    rows = np.random.default_rng(0).permutation(shapes3d.ROWS)
    factors = shapes3d.index_to_factors(rows)
    near = (factors[:, 0] - factors[:, 1] + 1) % 10 <= 2
    found: NDArray[np.int64] = np.sort(rows[near][:count])
    return found


def _correlated(count: int | None) -> FactorDataset:
    from unmingle.data import shapes3d

    return shapes3d.load(rows=correlated_rows(count))


DRAWN: dict[str, Callable[[], FactorDataset]] = {
    "scenes.npz": _scenes,
    "shapes3d-correlated.npz": lambda: _correlated(16_000),
    "shapes3d-correlated-all.npz": lambda: _correlated(None),
}
"""Name of the file and what draws it."""


def drawn(name: str, folder: Path) -> Path:
    """The file in `folder`; it is drawn if it is not there yet."""
    file = folder / name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        DRAWN[name]().save(file)
    return file
