"""The data sets that several tables have, at both scales, and those that are drawn here.

At `laptop` scale: scenes, which are always there, and the files sprites.npz, chairs.npz and
cmu_faces.npz (or folders of these names) of the folder given by --data. At `paper` scale: the
published sets, as their named splits have them. A table gives them its budget by `replace`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unmingle.data.catalogue import named_set
from unmingle.data.sets.celeba import POINTS

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
    levels="character,pose",
)
CHAIRS = Setting(
    "chairs",
    "chairs.npz",
    "laptop",
    "15min",
    "--values model=0:40",
    identity="model",
    rest="azimuth,elevation",
    levels="model,azimuth,elevation",
)
FACES = Setting(
    "faces",
    "cmu_faces.npz",
    "laptop",
    "15min",
    identity="person",
    rest="pose",
    levels="person,pose,expression",
)


SKELETONS = Setting(
    "stick-figures",
    "stick-figures.npz",
    "laptop",
    "8min",
    "--views 12",
    "--test-by character --test 4",
    identity="character",
    rest="motion",
)


def published(name: str, data: str, split: str, *others: str) -> Setting:
    """A set by name at the paper's scale: read, split and told as its named split has it.

    Args:
        name: of the setting.
        data: of the set.
        split: what is held out; its first experiment says how the set is read and how long.
        others: further named splits, whose experiments tell their methods of the same data.
    """
    splits = named_set(data).splits
    protocol, first = splits[split], splits[split].experiments[0]
    experiments = [found for key in (split, *others) for found in splits[key].experiments]
    return Setting(
        name,
        data,
        "paper",
        first.budget,
        first.reading,
        f"--test-protocol {split}",
        identity=protocol.identity,
        rest=protocol.rest,
        told={e.method: {**e.settings, **e.paper, **e.downloads} for e in experiments},
    )


CARS3D = published("cars3d", "cars3d", "lord", "content-style")
SMALLNORB = published("smallnorb", "smallnorb", "smallnorb")
SMALLNORB_POSES = published("smallnorb-poses", "smallnorb", "smallnorb-poses")
CELEBA = replace(
    published("celeba", "celeba", "lord", "content-style"),
    columns=POINTS,
    units=dict.fromkeys(POINTS, 2.0),  # 128 pixels of a picture are 64 here
)
CHAIRS_3D = published("3d-chairs", "chairs", "content-style")


# ---------------------------------------------------------------------- drawn here, kept as .npz


def _scenes() -> FactorDataset:
    from unmingle.commands.demo import scenes

    return scenes()


def _stick_figures() -> FactorDataset:
    from .skeletons import stick_figures

    return stick_figures()


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
    "stick-figures.npz": _stick_figures,
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
