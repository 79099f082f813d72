"""KTH, Recognition of Human Actions: videos such as boxing/person01_boxing_d1_uncomp.avi.

00sequences.txt lists the frames, counted from 1, in which somebody acts:
`person01_boxing_d1		frames	1-95, 96-185, 186-245, 246-360`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.data.catalogue import pick_rows
from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import find_images, listing_stamp
from unmingle.data.options import ReadOptions
from unmingle.data.sets._base import NamedSet, Protocol, by_values, missing
from unmingle.data.sets._files import read_lines
from unmingle.data.sets._papers import GABBAY_2020, gabbay_2020
from unmingle.data.sets._photos import random_rows, read_listed
from unmingle.data.videos import VideoFrames
from unmingle.errors import DataError

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
SCENARIOS = ("outdoors", "outdoors, scale varies", "outdoors, other clothes", "indoors")
PERSONS = 25
_VIDEO = re.compile(rf"(person(\d\d)_({'|'.join(ACTIONS)})_d([1-4]))(?:_uncomp)?")
_FRAMES = re.compile(r"(person\d\d_[a-z]+_d\d)\s+frames\s+([\d,\s-]+)")
_SEQUENCES = "00sequences.txt"
# The published file ends early; its last listed sequence (246-370) cannot be decoded.
_LAST_FRAME = {"person01_boxing_d4": 245}
_TEST_PERSONS = (2, 3, 5, 6, 7, 8, 9, 10, 22)
_PAPER = "C. Schuldt, I. Laptev, B. Caputo, Recognizing Human Actions: A Local SVM Approach, 2004"


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Frames of people acting, 120x160 (height x width), grey unless channels=3 is given.

    Args:
        folder: with the videos, in folders below it or not (needs the extra `video`), or with a
            folder of frames for each video. With 00sequences.txt beside them only frames of the
            videos in which somebody acts are taken; pictures are all taken.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of these frames in the order of the videos' paths; the ids.

    Returns:
        Factors `person` (25), `action` (6), `scenario` (4: outdoors, with varying scale, in other
        clothes, indoors) and `video`; continuous `frame`, the place in the video, 0 to 1.

    Raises:
        DataError: no videos, one of another name, damaged or of another size; wrong `rows`.
        MissingExtraError: PyAV is not installed, and these are videos.
    """
    if options.geometry.channels is None:
        options = replace(options, geometry=replace(options.geometry, channels=1))
    videos = sorted(
        PurePath(os.path.relpath(os.path.join(above, name), folder))
        for above, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(".avi")
    )
    if not videos:
        return _from_pictures(folder, options, rows, seed)
    keys = [_parsed(folder / path, path.stem)[1] for path in videos]
    damaged = [path for path, key in zip(videos, keys, strict=True) if key in _LAST_FRAME]
    reader = VideoFrames(folder, videos, options, damaged)
    wanted = _acting(folder, keys, reader.counts)
    owner = np.repeat(np.arange(len(videos)), [len(frames) for frames in wanted])
    chosen = pick_rows(rows, len(owner), seed)
    order = np.argsort(chosen)
    video, number = owner[chosen[order]], np.concatenate(wanted)[chosen[order]]
    frames = [number[video == at] for at in range(len(videos))]
    digest = hashlib.sha256(np.stack([video, number]).astype("<i8").tobytes()).hexdigest()
    cache = options.cache_for(folder, lambda: listing_stamp(folder, videos), frames=digest)
    if options.pixels:
        items, notes = cache.open() or reader.decode(frames, cache)
    else:
        items, notes = reader.blank(frames)
    # A video that ends before its header says lacks the last of its frames.
    found = np.arange(len(video)) - np.searchsorted(video, video) < np.array(notes["frames"])[video]
    decoded = order[found]
    data = FactorDataset(
        images=items,
        **_columns([keys[at] for at in owner[chosen[decoded]]], sorted(set(keys))),
        continuous={"frame": np.asarray(notes["places"], np.float32)},
        ids=chosen[decoded],
        name="kth",
    )
    ascending = bool((np.diff(decoded) > 0).all())
    return data if ascending else data.select(np.argsort(decoded))


def _parsed(path: Path, name: str) -> re.Match[str]:
    match = _VIDEO.fullmatch(name)
    if match is None or not 1 <= int(match[2]) <= PERSONS:
        raise DataError(
            f"{path}: its name does not say what it shows, as person01_boxing_d1_uncomp.avi"
        )
    return match


def _columns(keys: Sequence[str], videos: Sequence[str]) -> dict[str, Any]:
    """Factor columns of rows that come from the videos `keys`."""
    parts = {key: _VIDEO.fullmatch(key) for key in videos}
    codes = {
        key: (int(part[2]) - 1, ACTIONS.index(part[3]), int(part[4]) - 1)
        for key, part in parts.items()
        if part is not None
    }
    table = np.array([codes[key] for key in keys], np.int64)
    return {
        "factors": {
            "person": table[:, 0], "action": table[:, 1], "scenario": table[:, 2], "video": keys,
        },
        "value_names": {
            "person": [str(number) for number in range(1, PERSONS + 1)],
            "action": ACTIONS,
            "scenario": SCENARIOS,
            "video": videos,
        },
    }  # fmt: skip


def _acting(folder: Path, keys: list[str], counts: Sequence[int]) -> list[NDArray[np.int64]]:
    """The frames of each video, counted from 0, that are taken."""
    listing = folder / _SEQUENCES if (folder / _SEQUENCES).is_file() else None
    ranges: dict[str, str] = {}
    if listing is not None:
        for line in read_lines(listing):
            match = _FRAMES.fullmatch(line.strip())
            if match is not None:
                ranges[match[1]] = match[2]
    taken = []
    for key, count in zip(keys, counts, strict=True):
        mask = np.zeros(count, np.bool_)
        if listing is None:
            mask[:] = True
        elif key not in ranges:
            raise DataError(f"{listing}: there is no line of frames for {key}")
        else:
            for span in re.finditer(r"(\d+)\s*-\s*(\d+)", ranges[key]):
                mask[max(int(span[1]) - 1, 0) : int(span[2])] = True
        mask[_LAST_FRAME.get(key, count) :] = False
        taken.append(np.flatnonzero(mask))
    return taken


def _from_pictures(folder: Path, options: ReadOptions, rows: Any, seed: int) -> FactorDataset:
    try:
        files = find_images(folder)
    except DataError as error:
        raise missing(SET, folder, "video (….avi) or folder of frames") from error
    keys = [_parsed(folder / file, file.parent.name)[1] for file in files]
    order: dict[str, int] = {}
    place = []
    for key in keys:
        place.append(order.setdefault(key, 0))
        order[key] += 1
    frame = [at / max(1, order[key] - 1) for at, key in zip(place, keys, strict=True)]
    return read_listed(
        folder,
        files,
        options,
        name="kth",
        **_columns(keys, sorted(order)),
        continuous={"frame": frame},
        rows=rows,
        seed=seed,
    )


SET = NamedSet(
    name="kth",
    title="KTH",
    summary="599 videos of 25 people in six actions and four scenarios",
    rows=None,
    shape="120x160x1",
    factors={"person": 25, "action": 6, "scenario": 4, "video": 599, "frame": 0},
    licence="non-commercial use",
    paper=_PAPER,
    url="https://www.csc.kth.se/cvap/actions/",
    layout=(
        "boxing/person01_boxing_d1_uncomp.avi …   (boxing.zip; needs the extra video)\n"
        "handclapping/…, handwaving/…, jogging/…, running/…, walking/…\n"
        "00sequences.txt                          (which frames show somebody)\n"
        "or a folder of frames for each video: boxing/person01_boxing_d1/image_0001.png …"
    ),
    read=read,
    traps=(
        "Much of the jogging, running and walking shows nobody; with 00sequences.txt those frames "
        "are left out.",
        "person13_handclapping_d3 was never published, so there are 599 videos, not 600.",
        "person01_boxing_d4 is damaged in the published file: what can be decoded of its first 245 "
        "frames is kept.",
        "The release of the paper of the split lord takes handwaving indoors alone; the paper all.",
    ),
    splits={
        "official": Protocol(
            "the nine persons of the authors' test set held out, the other 16 to train",
            _PAPER,
            by_values("person", [number - 1 for number in _TEST_PERSONS], "the test persons"),
        ),
        "lord": Protocol(
            "all persons to train, a tenth of the frames held out at random; class person",
            GABBAY_2020,
            random_rows(0.1),
            "person",
            experiments=(gabbay_2020("person"),),
        ),
    },
)
