"""SmallNORB: 50 toys from many sides in several lights, each seen by two cameras."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import Download, NamedSet, Protocol, by_values, held_out, missing
from unmingle.data.sets._items import read_image_blocks
from unmingle.data.sets._papers import GABBAY_2020, gabbay_2020
from unmingle.data.splits import hold_rows
from unmingle.data.storage import Items, blank, check_memory, row_blocks
from unmingle.errors import ConfigError, DataError, nearest

TRAIN = "smallnorb-5x46789x9x18x6x2x96x96-training"
TEST = "smallnorb-5x01235x9x18x6x2x96x96-testing"
CAMERAS = ("rows", "first", "second", "channels")
_URL = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_PAPER = (
    "Y. LeCun, F. J. Huang, L. Bottou, Learning Methods for Generic Object Recognition with "
    "Invariance to Pose and Lighting, CVPR 2004"
)
_HASHES = {
    f"{TRAIN}-dat": (
        "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
        131_896_188,
    ),
    f"{TRAIN}-cat": ("2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa", 348),
    f"{TRAIN}-info": ("de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32", 71_052),
    f"{TEST}-dat": (
        "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
        130_799_817,
    ),
    f"{TEST}-cat": ("ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff", 347),
    f"{TEST}-info": ("16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2", 10_428),
}
_TYPES = {0x1E3D4C55: "u1", 0x1E3D4C54: "i4", 0x1E3D4C51: "f4", 0x1E3D4C53: "f8"}
_SIDE = 96
_NAMES = {
    "category": ("animal", "human", "plane", "truck", "car"),
    "instance": tuple(str(value) for value in range(10)),
    "elevation": tuple(str(30 + 5 * value) for value in range(9)),
    "azimuth": tuple(str(20 * value) for value in range(18)),
    "lighting": tuple(str(value) for value in range(6)),
    "camera": ("first", "second"),
}


def read(
    folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0, cameras: str = "rows"
) -> FactorDataset:
    """Grey toys, uint8 [N, 96, 96, 1]: the training file's pairs, then the testing file's.

    Factors `category` (5), `instance` (10, the toy in its category), `elevation` (9, 30 to 70
    degrees), `azimuth` (18, 0 to 340 degrees), `lighting` (6), `camera` (2, for rows); continuous
    `elevation_degrees` and `azimuth_degrees`.

    Args:
        folder: With the six .mat files, also gzipped.
        options: Size, channels, the memory limit.
        rows: None for all, a number drawn, or row numbers.
        seed: Of the draw.
        cameras: "rows": both pictures of a pair are rows; "first" or "second": one of them;
            "channels": a pair is one image [H, W, 2].

    Raises:
        ConfigError: an unknown `cameras`, or channels= with a pair as channels.
        DataError: a file is missing, damaged or of another layout.
    """
    if cameras not in CAMERAS:
        raise ConfigError(f"cameras={cameras!r}: {nearest(cameras, CAMERAS).strip()}")
    if cameras == "channels" and options.geometry.channels is not None:
        raise ConfigError("cameras='channels' makes the two channels; give no channels=")
    files = [_find(folder, f"{part}-dat") for part in (TRAIN, TEST)]
    labels = np.concatenate([_labels(folder, part) for part in (TRAIN, TEST)])
    of_pair = 2 if cameras == "rows" else 1
    chosen = pick_rows(rows, len(labels) * of_pair, seed)
    pair = chosen // of_pair
    camera = chosen % 2 if cameras == "rows" else np.full(len(pair), int(cameras == "second"))
    pictures = 2 * pair + camera
    if cameras == "channels":
        pictures = (2 * pair[:, None] + np.arange(2)).reshape(-1)

    def blocks() -> Iterator[NDArray[np.uint8]]:
        for file in files:
            yield from _pictures(file)

    names = [file.name for file in files]
    images: Items = read_image_blocks(folder, names, (_SIDE, _SIDE), blocks, pictures, options)
    if cameras == "channels" and not options.pixels:
        images = blank((len(pair), *images.shape[1:3], 2))
    elif cameras == "channels":
        check_memory(images.nbytes, f"{len(pair):,} pairs (fewer: rows=)")
        whole = np.asarray(images)
        images = np.ascontiguousarray(whole.reshape(-1, 2, *whole.shape[1:3]).transpose(0, 2, 3, 1))
    columns = {name: labels[pair, at] for at, name in enumerate(_NAMES) if name != "camera"}
    if cameras == "rows":
        columns["camera"] = camera
    return FactorDataset(
        images=images,
        factors=columns,
        value_names={name: _NAMES[name] for name in columns},
        continuous={
            "elevation_degrees": 30 + 5 * columns["elevation"],
            "azimuth_degrees": 20 * columns["azimuth"],
        },
        ids=chosen,
        name=SET.name,
    )


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.mat", folder / f"{name}.mat.gz"):
        if candidate.is_file():
            return candidate
    raise missing(SET, folder, f"{name}.mat (or .mat.gz)")


def _open(file: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb"))


def _header(stream: BinaryIO, file: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type, with its byte order, and sides of the NORB matrix that a stream is at.

    The header is a magic number, the rank, and the sides, of which there are at least three; the
    writer's byte order is that in which the magic number reads right.
    """
    head = stream.read(8)
    for order in "<>":
        magic, rank = np.frombuffer(head, f"{order}i4") if len(head) == 8 else (0, 0)
        if int(magic) in _TYPES and 1 <= rank <= 6:
            stored = stream.read(4 * max(3, int(rank)))
            sides = np.frombuffer(stored, f"{order}i4")[: int(rank)].tolist()
            return np.dtype(order + _TYPES[int(magic)]), tuple(sides)
    raise DataError(f"{file}: it does not begin like a NORB matrix")


def _matrix(file: Path) -> NDArray[Any]:
    """A whole small matrix."""
    try:
        with _open(file) as stream:
            dtype, sides = _header(stream, file)
            return np.frombuffer(stream.read(), dtype).reshape(sides)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: not a whole NORB matrix ({error})") from error


def _labels(folder: Path, part: str) -> NDArray[np.int64]:
    """Category, instance, elevation, azimuth, lighting int64 [pairs, 5] as codes from 0."""
    category_file, info_file = (_find(folder, f"{part}-{kind}") for kind in ("cat", "info"))
    category, info = _matrix(category_file), _matrix(info_file)
    if category.ndim != 1 or info.shape != (len(category), 4):
        raise DataError(
            f"{info_file}: {info.shape} beside {category.shape} categories, expected [N] and [N,4]"
        )
    table = np.column_stack([category, info]).astype(np.int64)
    if (table[:, 3] % 2).any():
        row = int(np.argmax(table[:, 3] % 2))
        raise DataError(f"{info_file}: row {row}: azimuth is {table[row, 3]}, expected 0, 2, … 34")
    table[:, 3] //= 2
    for at, (name, values) in enumerate(list(_NAMES.items())[:5]):
        wrong = np.flatnonzero((table[:, at] < 0) | (table[:, at] >= len(values)))
        if len(wrong):
            file = info_file if at else category_file
            raise DataError(
                f"{file}: row {wrong[0]}: {name} is {table[wrong[0], at]}, expected 0 to "
                f"{len(values) - 1}"
            )
    return table


def _pictures(file: Path) -> Iterator[NDArray[np.uint8]]:
    """The pictures of all pairs, uint8 [n, 96, 96], in pieces: first camera, second, first, …"""
    try:
        with _open(file) as stream:
            dtype, sides = _header(stream, file)
            if dtype != np.uint8 or sides[1:] != (2, _SIDE, _SIDE):
                raise DataError(f"{file}: {dtype} {sides}, expected bytes [N,2,96,96]")
            for rows in row_blocks(2 * sides[0], _SIDE**2):
                wanted = (rows.stop - rows.start) * _SIDE**2
                data = stream.read(wanted)
                if len(data) < wanted:
                    raise EOFError("it ends early")
                yield np.frombuffer(data, np.uint8).reshape(-1, _SIDE, _SIDE)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: not a whole NORB matrix ({error})") from error


def _poses(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    return held_out(data, hold_rows(len(data), 0.1, 0), "the split smallnorb-poses")


SET = NamedSet(
    name="smallnorb",
    title="SmallNORB",
    summary="50 toys of 5 categories from many sides in 6 lights, by two cameras",
    rows=97_200,
    shape="96x96x1",
    factors={
        **{name: len(values) for name, values in _NAMES.items()},
        "elevation_degrees": 0,
        "azimuth_degrees": 0,
    },
    licence="research only; not to be sold",
    paper=_PAPER,
    url=_URL,
    layout="\n".join(f"{name}.mat.gz   (or unpacked)" for name in _HASHES),
    read=read,
    traps=(
        "Pictures come in pairs of two cameras: both are rows with the factor camera; "
        "cameras=first, second or channels takes one of them, or a pair as one image.",
        "An image of two channels counts as grey and alpha where it is shown or resized later.",
        "The files have azimuths as 0, 2, … 34; here they are 0 to 17.",
        "The paper of the splits does not say what becomes of the cameras: as its release does, "
        "both are read and the camera is part of the class, in smallnorb-poses (which the release "
        "lacks) too.",
        "smallnorb-poses draws images, not pairs: cameras=first or second keeps the other camera's "
        "picture of the same pose out of training.",
        "The instance counts within its category: a toy is category,instance.",
    ),
    downloads=tuple(
        Download(f"{_URL}{name}.mat.gz", f"{name}.mat.gz", sha256=digest, bytes=size)
        for name, (digest, size) in _HASHES.items()
    ),
    splits={
        "smallnorb": Protocol(
            "the 25 toys of the training file to train, the other 25 to test (official); class "
            "category,instance,elevation,lighting,camera, content azimuth",
            GABBAY_2020,
            by_values("instance", (0, 1, 2, 3, 5), "the split smallnorb"),
            "category,instance,elevation,lighting,camera",
            "azimuth",
            (gabbay_2020("category,instance,elevation,lighting,camera"),),
        ),
        "smallnorb-poses": Protocol(
            "all toys to train, a tenth of the images, drawn once for all, to test; class "
            "category,instance,lighting,camera, content azimuth and elevation",
            GABBAY_2020,
            _poses,
            "category,instance,lighting,camera",
            "azimuth,elevation",
            (gabbay_2020("category,instance,lighting,camera"),),
        ),
    },
)
