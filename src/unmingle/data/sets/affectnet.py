"""AffectNet, the manually annotated part, in either of the two forms it is handed out in.

training.csv and validation.csv beside Manually_Annotated_Images: a line a picture with its path,
the face's box, landmarks, expression, valence and arousal. Or train_set and val_set (the version
of eight labels): images/17.jpg with annotations/17_exp.npy, 17_val.npy and 17_aro.npy.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from unmingle.data.dataset import FactorDataset
from unmingle.data.folders import find_images
from unmingle.data.options import ReadOptions
from unmingle.data.pixels import in_threads
from unmingle.data.sets._base import NamedSet, Protocol, held_out, missing, need
from unmingle.data.sets._papers import RUIZ_2019, ruiz_2019
from unmingle.data.sets._photos import by_part, read_listed, some_pictures
from unmingle.errors import DataError

EXPRESSIONS = (
    "neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt",
)  # fmt: skip
PARTS = ("train", "validation")
_OTHERS = 3  # none, uncertain, no face: 8, 9, 10
_HELD_OUT = 1000  # of each expression: 500 to fit a classifier to, 500 to score it on
_PICTURES = "Manually_Annotated_Images"
_HEADER = "subDirectory_filePath"
# The columns of a list without a line of names.
_COLUMNS = (
    _HEADER, "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
_PAPER = (
    "A. Mollahosseini et al., AffectNet: A Database for Facial Expression, Valence, and Arousal "
    "Computing in the Wild, IEEE Transactions on Affective Computing 2017"
)


def read(folder: Path, options: ReadOptions, *, rows: Any = None, seed: int = 0) -> FactorDataset:
    """Faces with one of eight expressions; pictures differ in size, so size= is needed.

    Args:
        folder: with training.csv, validation.csv and Manually_Annotated_Images, or with train_set
            and val_set.
        options: size, fit, channels, memory limit.
        rows, seed: as `pick_rows`, of the pictures kept; training comes first.

    Returns:
        Factors `expression` (8) and `part` (train, validation); continuous `valence` and
        `arousal`, -1 to 1.

    Raises:
        DataError: a list, an annotation or a picture is missing or wrong; wrong `rows`.
    """
    if (folder / "train_set").is_dir():
        found = _from_arrays(folder, options)
    elif (folder / "training.csv").is_file():
        found = _from_lists(folder)
    else:
        raise missing(SET, folder, "training.csv or train_set")
    kept = [row for row in found if row[2] < len(EXPRESSIONS) and min(row[3:]) >= -1]
    some_pictures(SET, folder, [row[0] for row in kept], "picture with one of the expressions")
    files, part, expression, valence, arousal = zip(*kept, strict=True)
    return read_listed(
        folder,
        files,
        options,
        name="affectnet",
        factors={"expression": expression, "part": part},
        value_names={"expression": EXPRESSIONS, "part": PARTS},
        continuous={"valence": valence, "arousal": arousal},
        rows=rows,
        seed=seed,
    )


Row = tuple[PurePath, int, int, float, float]


def _row(where: str, path: PurePath, part: int, texts: list[str]) -> Row:
    """Checked; expression 0 to 10, valence and arousal from -1 to 1 or -2 for none."""
    try:
        expression, (valence, arousal) = int(texts[0]), (float(text) for text in texts[1:])
    except ValueError as error:
        raise DataError(
            f"{where}: expression, valence, arousal are {', '.join(texts)}, expected numbers"
        ) from error
    if not 0 <= expression < len(EXPRESSIONS) + _OTHERS:
        raise DataError(f"{where}: the expression is {expression}, expected 0 to 10")
    for name, value in (("valence", valence), ("arousal", arousal)):
        if not (-1 <= value <= 1 or value == -2):
            raise DataError(f"{where}: {name} is {value:g}, expected -1 to 1 (or -2 for none)")
    return path, part, expression, valence, arousal


def _from_lists(folder: Path) -> list[Row]:
    above = PurePath(need(SET, folder, _PICTURES).name)
    found = []
    for part, name in enumerate(("training.csv", "validation.csv")):
        for where, line in _lines(need(SET, folder, name)):
            texts = [line[column].strip() for column in ("expression", "valence", "arousal")]
            found.append(_row(where, above / line[_HEADER].strip(), part, texts))
    return found


def _lines(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each line is, and what it says by column."""
    columns: tuple[str, ...] = _COLUMNS
    for number, words in enumerate(_table(file), 1):
        if number == 1 and words[:1] == [_HEADER]:
            columns = tuple(words)
            lacking = next((name for name in _COLUMNS[6:] if name not in columns), None)
            if lacking is not None:
                raise DataError(f"{file}: there is no column {lacking!r}")
        elif words:
            if len(words) != len(columns):
                raise DataError(
                    f"{file}: line {number} has {len(words)} values, expected {len(columns)}: "
                    f"{', '.join(columns)}"
                )
            yield f"{file}: line {number}", dict(zip(columns, words, strict=True))


def _table(file: Path) -> Iterator[list[str]]:
    """The words of each line; with the landmarks the whole is half a gigabyte."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from csv.reader(lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as text ({error})") from error


def _from_arrays(folder: Path, options: ReadOptions) -> list[Row]:
    files: list[tuple[int, PurePath, Path]] = []
    for part, name in enumerate(("train_set", "val_set")):
        images = need(SET, folder, f"{name}/images")
        notes = need(SET, folder, f"{name}/annotations")
        files += [
            (part, PurePath(name, "images") / picture, notes / picture.stem)
            for picture in find_images(images)
        ]

    def row(number: int) -> Row:
        part, picture, note = files[number]
        texts = [_number(note.with_name(f"{note.name}_{key}.npy")) for key in ("exp", "val", "aro")]
        return _row(f"{note}_*.npy", picture, part, texts)

    return in_threads(row, len(files), "annotations", options.progress)


def _number(file: Path) -> str:
    """The one value of an .npy, which holds a number or its text."""
    try:
        value = np.load(file, allow_pickle=False)
        return str(value.item())
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: expected an .npy of one number ({error})") from error


def _ruiz(data: FactorDataset) -> tuple[FactorDataset, FactorDataset]:
    """1,000 faces of each expression but neutral held out, or half where there are fewer."""
    codes, random = data.factor("expression"), np.random.default_rng(0)
    test = np.zeros(len(data), np.bool_)
    for value in range(1, len(EXPRESSIONS)):
        rows = random.permutation(np.flatnonzero(codes == value))
        test[rows[: min(_HELD_OUT, len(rows) // 2)]] = True
    return held_out(data, test, "the split reference-vae")


SET = NamedSet(
    name="affectnet",
    title="AffectNet",
    summary="some 290,000 faces from the web with one of eight expressions, valence and arousal",
    rows=None,
    shape="any",
    factors={"expression": 8, "part": 2, "valence": 0, "arousal": 0},
    licence="research only, under an agreement signed by the head of a laboratory",
    paper=_PAPER,
    url="http://mohammadmahoor.com/pages/databases/affectnet/",
    layout=(
        f"training.csv\nvalidation.csv\n{_PICTURES}/1/….jpg\n"
        "or, as the version of eight labels:\n"
        "train_set/images/0.jpg …, train_set/annotations/0_exp.npy, 0_val.npy, 0_aro.npy …\n"
        "val_set/images …, val_set/annotations …"
    ),
    read=read,
    traps=(
        "Pictures without one of the eight expressions (none, uncertain, no face) are left out, "
        "and those without valence or arousal (-2).",
        "Each face was labelled by one person; many neutral ones are not, which is why Ruiz et al. "
        "(2019) collected a reference set of their own, which is no part of this.",
        "The pictures are not aligned by their landmarks, as those of Ruiz et al. are.",
    ),
    splits={
        "official": Protocol(
            "the set's own parts: training to train, validation to test",
            _PAPER,
            by_part("validation"),
        ),
        "reference-vae": Protocol(
            "1,000 faces of each of the seven expressions held out, drawn once for all, to fit a "
            "classifier to one half of them and to score it on the other; all others, and the "
            "neutral ones, to train",
            f"{RUIZ_2019}, section 5.3",
            _ruiz,
            experiments=tuple(
                ruiz_2019(method, "expression=neutral", "--size 96")
                for method in ("reference-vae", "symmetric-reference-vae")
            ),
        ),
    },
)
