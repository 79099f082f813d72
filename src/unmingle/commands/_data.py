"""Flags for reading and splitting data, and how a run's training and test rows are found again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from unmingle.errors import ConfigError, DataError, nearest

from ._common import flag, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unmingle.data import FactorDataset
    from unmingle.methods import Method

Part = Literal["held-out", "train", "all"]
Fit = Literal["resize", "crop", "pad"]


@dataclass(frozen=True)
class Reading:
    """How DATA is read; a verb that uses a run reads them as the run did unless told otherwise."""

    size: Annotated[str | None, flag("N|HxW")] = None
    """Bring images to N x N, or to H high and W wide; needed where they differ in size."""
    fit: Annotated[Fit | None, flag("resize|crop|pad")] = None
    """How images get to that size: stretch, cut about the centre, or fill the border."""
    channels: Annotated[Literal[1, 2, 3, 4] | None, flag("1|2|3|4")] = None
    """Grey, grey and alpha, RGB, or RGBA."""
    factors: Annotated[str | None, flag("A,B")] = None
    """Names of the folder levels, or the factors of a file to keep: person,pose."""
    values: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("FACTOR=VALUES")] = ()
    """Only rows with these: character=0:24 (24 not included), pose=left,right; repeatable."""
    buckets: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("COLUMNS=N")] = ()
    """Cut continuous columns into N values each, as factors: azimuth=24, "light_*=16:quantile",
    angle=24:circular; repeatable."""
    views: Annotated[int | None, flag("N")] = None
    """See vectors of points in space (x, y, z of each) from N random directions: adds `view`."""
    draw: Annotated[int | None, flag("N")] = None
    """Draw this many rows of a data set by name, of 3dshapes.h5 or of videos."""
    folder: Annotated[str | None, flag("FOLDER", unset="($UNMINGLE_DATA or ~/.cache)")] = None
    """Where the files of a data set by name are."""
    option: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("NAME=VALUE")] = ()
    """An option of a data set by name: cameras=channels; repeatable."""
    pixel_limit: Annotated[int | None, flag("N", unset="(64000000)")] = None
    """Pictures of more pixels are refused: they may be made to fill the memory."""
    memory_limit: Annotated[str | None, flag("4GB", unset="(half of the free memory)")] = None
    """Larger data are decoded into a memory-mapped file."""
    cache: Annotated[Path | None, flag("FOLDER", unset="(a hidden one beside the data)")] = None
    """Where that file goes."""
    skip_bad: bool = False
    """Leave out images that cannot be read, and list them."""

    def load(self, source: str) -> FactorDataset:
        """The data set, `values` not yet applied.

        Raises:
            DataError, ConfigError: as `load_data`.
        """
        from unmingle.data import load_data

        return self._derived(load_data(source, **(self._settings() | self._own())))

    def load_columns(self, name: str) -> FactorDataset:
        """A set by name with its columns; its images are not read where these do without them.

        Raises:
            DataError, ConfigError: as `load_data`.
        """
        from unmingle.data.catalogue import named_set
        from unmingle.data.options import read_options
        from unmingle.data.readers import changed

        options = replace(read_options(**self._settings()), pixels=False)
        return self._derived(changed(named_set(name).load(options, **self._own()), options))

    def _own(self) -> dict[str, Any]:
        """Options of one kind of source."""
        options = _options(self.option)
        options |= {} if self.draw is None else {"rows": self.draw}
        options |= {} if self.folder is None else {"folder": self.folder}
        return options

    def _settings(self) -> dict[str, Any]:
        """What all sources take."""
        return {
            "size": _size(self.size),
            "fit": self.fit,
            "channels": self.channels,
            "factors": None if self.factors is None else self.factors.split(","),
            "memory_limit": self.memory_limit,
            "cache": self.cache,
            "skip_bad": self.skip_bad,
            "progress": True,
            **({} if self.pixel_limit is None else {"pixel_limit": self.pixel_limit}),
        }

    def _derived(self, data: FactorDataset) -> FactorDataset:
        """With what is made from the columns and items that were read."""
        if self.buckets:
            from unmingle.data.buckets import cut_as_told

            for text in self.buckets:
                data = cut_as_told(data, text)
        if self.views is not None:
            from unmingle.data.views import project

            data = project(data, self.views)
        return data

    def given(self) -> dict[str, Any]:
        """The settings that are not at their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if self.is_set(f.name)}

    def is_set(self, name: str) -> bool:
        """Whether a setting is not at its default."""
        return getattr(self, name) not in (None, (), False)


@dataclass(frozen=True)
class Splitting:
    """What is held out from training, so that scores are of rows the model never saw."""

    test: Annotated[float | None, flag("SHARE", unset="(0.1)")] = None
    """Share (or number, from 1) of rows held out, or of values or combinations; 0 for none."""
    test_by: Annotated[str | None, flag("FACTOR")] = None
    """Hold out whole values of this factor: classes that the model never saw."""
    test_values: Annotated[str | None, flag("VALUES")] = None
    """Which values of --test-by: 80:96, or names."""
    test_cells: Annotated[str | None, flag("A,B")] = None
    """Hold out combinations of two factors: character,pose."""
    test_protocol: Annotated[str | None, flag("NAME")] = None
    """Hold out what a paper did, for data sets by name that have such splits: lord."""
    split_seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        if self.test is not None and self.test < 0:
            raise ConfigError(f"--test {self.test:g}: a share from 0 to 1, or a number of rows")
        if self.test_values is not None and (self.test_by is None or self.test is not None):
            raise ConfigError("--test-values needs --test-by, the factor, and no --test")
        if self.test_cells is not None and self.test_cells.count(",") != 1:
            raise ConfigError(f"--test-cells {self.test_cells}: two factors, as character,pose")
        others = (self.test, self.test_by, self.test_values, self.test_cells)
        if self.test_protocol is not None and any(other is not None for other in others):
            raise ConfigError(
                f"--test-protocol {self.test_protocol} says itself what is held out; it takes no "
                "--test, --test-by, --test-values or --test-cells"
            )

    def apply(self, data: FactorDataset) -> tuple[FactorDataset, FactorDataset | None]:
        """(train, test); test is None with `--test 0`.

        Raises:
            DataError, ConfigError: as `FactorDataset.split`.
        """
        if self.test == 0:
            return data, None
        if self.test_protocol is not None:
            return data.split(protocol=self.test_protocol)
        if self.test_values is not None and self.test_by is not None:
            chosen = value_codes(data, self.test_by, self.test_values, "--test-values")
            return data.split(by=self.test_by, values=chosen, seed=self.split_seed)
        whole = self.test is not None and self.test >= 1
        if whole and self.test != int(self.test or 0):
            raise ConfigError(f"--test {self.test:g}: from 1 on it is a whole number of rows")
        share = int(self.test or 0) if whole else self.test
        cells = None
        if self.test_cells is not None:
            first, second = self.test_cells.split(",")
            cells = (first, second)
        return data.split(share, self.split_seed, by=self.test_by, cells=cells)


@dataclass(frozen=True)
class Recipe:
    """How a run's training rows were made from DATA; kept in its config.json."""

    source: str
    fingerprint: str
    """Of the data as read, before `values` and the split."""
    reading: Reading
    splitting: Splitting

    def record(self) -> dict[str, Any]:
        """As JSON. Where decoded files lay and how large memory was are no part of the data."""
        reading = asdict(replace(self.reading, memory_limit=None, cache=None))
        if self.reading.folder is not None:
            reading["folder"] = str(Path(self.reading.folder).expanduser().absolute())
        return {
            "source": self.source,
            "fingerprint": self.fingerprint,
            "reading": reading,
            "splitting": asdict(self.splitting),
        }

    @classmethod
    def of(cls, model: Method) -> Recipe | None:
        """The recipe of a trained model; None if it was trained from Python."""
        found = model.run_info.get("recipe")
        if found is None:
            return None
        lists = {k: tuple(v) for k, v in found["reading"].items() if isinstance(v, list)}
        reading = {**found["reading"], **lists}
        return cls(
            found["source"],
            found["fingerprint"],
            Reading(**reading),
            Splitting(**found["splitting"]),
        )


@dataclass(frozen=True)
class Rows:
    """DATA as a run sees it; `train` is None if the run was not trained on them."""

    source: str
    whole: FactorDataset
    train: FactorDataset | None = None
    test: FactorDataset | None = None

    def part(self, part: Part | None) -> FactorDataset:
        """The rows asked for; by default the held-out ones, or all with a word on why.

        Raises:
            ConfigError: if the run held out none, or the data are not what it was trained on.
        """
        held_out = "it held out no row" if self.train else "it was not trained on these data"
        if part is None:
            if self.test is not None:
                return self.test
            say(f"{self.source}: all {len(self.whole):,} rows are used: for the run, {held_out}")
            return self.whole
        chosen = {"held-out": self.test, "train": self.train, "all": self.whole}[part]
        if chosen is None:
            raise ConfigError(
                f"--part {part}: for the run, {held_out} ({self.source}); use --part all"
            )
        return chosen


def rows_for(model: Method, source: str, given: Reading) -> Rows:
    """DATA as the run read them, at the model's size; split again if they are the same data.

    Raises:
        DataError, ConfigError: if they cannot be read or do not fit the model.
    """
    recipe = Recipe.of(model)
    whole, changed = _fitting(model, source, given, recipe)
    if recipe is None or whole.fingerprint() != recipe.fingerprint:
        if changed:
            say(changed)
        return Rows(source, keep_values(whole, given.values))
    trained = keep_values(whole, recipe.reading.values)
    train, test = recipe.splitting.apply(trained)
    return Rows(
        source,
        keep_values(trained, given.values),
        keep_values(train, given.values),
        None if test is None else keep_values(test, given.values),
    )


def _fitting(
    model: Method, source: str, given: Reading, recipe: Recipe | None
) -> tuple[FactorDataset, str]:
    """DATA at the model's size and channels, and a line on how that was changed, if it was."""
    from unmingle.data import load_data
    from unmingle.data.catalogue import CATALOGUE
    from unmingle.data.folders import ENDINGS

    reading = given
    if recipe is not None:
        same = Path(source).name == Path(recipe.source).name
        theirs = recipe.reading
        known = theirs if same else Reading(fit=theirs.fit, pixel_limit=theirs.pixel_limit)
        reading = replace(known, **given.given())
    shape, changed = tuple(model.data_shape), ""
    size: dict[str, Any] = {}
    if len(shape) == 3:
        size = {"size": f"{shape[0]}x{shape[1]}", "channels": shape[2]}
    path, named = Path(source), source in CATALOGUE
    if size and (named or path.is_dir() or path.suffix.lower() in ENDINGS):
        # Pictures of different sizes can be read at one size only, large ones most quickly so.
        data = replace(reading, **size).load(source)
        changed = "" if named else _changed_size(path, data, shape, reading.pixel_limit)
    else:
        # A file is read as it is: the run's way to a size is for the step to the model's, below.
        first = reading if reading.size else replace(reading, fit=None)
        data = first.load(source)
        if size and data.is_images and data.shape != shape:
            changed = f"{source}: {_sides(data.shape)} brought to the model's {_sides(shape)}"
            data = load_data(data, size=shape[:2], fit=reading.fit, channels=shape[2])
    if data.shape != shape:
        raise DataError(
            f"{source}: items of shape {_sides(data.shape)}, and the model was trained on "
            f"{_sides(shape)}"
        )
    return data, changed


def _changed_size(
    path: Path, data: FactorDataset, shape: Sequence[int], pixel_limit: int | None
) -> str:
    """A line if the first picture had another size than the model's."""
    from unmingle.data.options import PIXEL_LIMIT
    from unmingle.data.pixels import read_header

    if data.files is None:
        return ""
    first = (path if path.is_dir() else path.parent) / str(data.files[0])
    header = read_header(first, pixel_limit or PIXEL_LIMIT)
    if (header.height, header.width) == tuple(shape[:2]):
        return ""
    return f"{first}: {header.width}x{header.height} brought to the model's {shape[1]}x{shape[0]}"


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _options(texts: Sequence[str]) -> dict[str, Any]:
    """`{"cameras": "channels", "part": 2}` from ["cameras=channels", "part=2"].

    Raises:
        ConfigError: for a text without "=", and for what has a flag of its own.
    """
    flags = {"rows": "--draw"} | {f.name: f"--{f.name.replace('_', '-')}" for f in fields(Reading)}
    words = {"true": True, "false": False, "none": None}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"--option {text}: write NAME=VALUE, as in --option cameras=channels")
        name = name.replace("-", "_")
        if name in flags:
            raise ConfigError(f"--option {text}: that is the flag {flags[name]}")
        number = int(value) if re.fullmatch(r"-?\d+", value) else value
        found[name] = words.get(value.lower(), number)
    return found


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise ConfigError(f"--size {text}: a number of pixels, or HEIGHTxWIDTH as in 64x48")
    height, width = match.groups()
    return int(height) if width is None else (int(height), int(width))


def keep_values(data: FactorDataset, filters: Sequence[str]) -> FactorDataset:
    """The rows that pass every `factor=values` filter.

    Raises:
        ConfigError: for a filter that cannot be read.
        DataError: for factors and values that do not exist, and if no row is left.
    """
    import numpy as np

    for text in filters:
        factor, equals, values = text.partition("=")
        if not (factor and equals and values):
            raise ConfigError(f"--values {text}: write FACTOR=VALUES, as in --values pose=0:24")
        mask = np.isin(data.factor(factor), value_codes(data, factor, values, "--values"))
        if not mask.any():
            raise DataError(f"--values {text}: no row of {data.name} has one of these values")
        data = data.select(mask)
    return data


def value_codes(data: FactorDataset, factor: str, text: str, flag: str) -> list[int]:
    """Codes from "0:24", "3,5", "left,right" or a mixture; names go before numbers.

    Raises:
        DataError: for a value that the factor does not have.
    """
    names, count = data.names(factor), data.cardinality(factor)
    codes: list[int] = []
    for item in [text] if text in names else text.split(","):
        span = re.fullmatch(r"(\d*):(\d*)", item)
        if item in names:
            codes.append(names.index(item))
        elif span is not None:
            first, end = int(span[1] or 0), int(span[2] or count)
            if not first < end <= count:
                raise DataError(f"{flag} {item}: {factor} has the values 0:{count}")
            codes += range(first, end)
        elif item.isdecimal() and int(item) < count:
            codes.append(int(item))
        else:
            raise DataError(f"{flag}: {factor} has no value {item!r}.{nearest(item, names)}")
    return codes


@dataclass(frozen=True)
class Pictures:
    """Images [N,H,W,C] at the model's size, and the names of their files without the ending."""

    source: str
    images: NDArray[np.uint8]
    names: list[str]

    def single(self) -> NDArray[np.uint8]:
        """The one image [H,W,C].

        Raises:
            ConfigError: if there are several.
        """
        if len(self.images) != 1:
            raise ConfigError(f"{self.source} holds {len(self.images)} images; name one of them")
        image: NDArray[np.uint8] = self.images[0]
        return image


def pictures(model: Method, source: str) -> Pictures:
    """Image files for a model of images: one file, or all of a folder in the order of their names.

    Raises:
        DataError: if they cannot be read.
        ConfigError: if the model is not for images.
    """
    if len(model.data_shape) != 3:
        raise ConfigError("this run was trained on vectors; picture files are for models of images")
    data, changed = _fitting(model, source, Reading(), Recipe.of(model))
    if data.files is None:
        raise ConfigError(f"{source}: an image file or a folder of them is wanted here")
    if changed:
        say(changed)
    return Pictures(source, data.take(), [Path(file).stem for file in data.files])
