"""The data sets of the tables, at both scales. A table gives them its budget by `replace`.

At `laptop` scale: scenes, which are always there, and the files sprites.npz, chairs.npz and
cmu_faces.npz of the folder given by --data. At `paper` scale: the published sets.
"""

from __future__ import annotations

from ._plan import Setting

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
