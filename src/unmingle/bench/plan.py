"""What a table of a paper is made of: rows, data sets at both scales, published figures.

Nothing here trains or reads data, or imports what does.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unmingle.errors import ConfigError, nearest

Scale = Literal["laptop", "paper"]


@dataclass(frozen=True)
class Setting:
    """A data set of a table: how it is read and split, how long runs last, what is known of it."""

    name: str
    """Short, for names of runs."""
    data: str
    """A set by name, a file of the folder given by --data, or one that is drawn (`sets.DRAWN`)."""
    scale: Scale
    budget: str
    reading: str = ""
    """Flags of `unmingle train` that say how it is read."""
    split: str = "--test 0.1"
    """Flags that say which rows are scored, and held out unless a row says otherwise."""
    identity: str = ""
    """The factor that items of a class share: who, which object."""
    rest: str = ""
    """The factor that is everything else; "" where it is not known."""
    judged: str = ""
    """The column probed and judged in place of `rest`, where some of its values look the same."""
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """{method: settings it has on these data}."""
    files: str = ""
    """The set by name whose files these data are made of."""
    parts: tuple[str, str] = ("", "")
    """Reading of the rows that linear models are fitted to and scored on, where they are others."""
    halved: bool = False
    """Whether they are fitted to one half of the held-out rows and scored on the other."""
    columns: tuple[str, ...] = ()
    """What linear models look for: continuous columns and factors."""
    units: Mapping[str, float] = field(default_factory=dict)
    """{continuous column: what its errors are divided by}."""
    levels: str = ""
    """What the folders are, where --data has a folder of pictures in place of the file: a,b."""

    def probe_words(self, space: str) -> list[str]:
        """Flags of `unmingle evaluate` for a model whose code `space` carries `rest`."""
        judged = ["--probe-factor", f"{space}={self.judged}"] if self.judged else []
        return ["--role", f"{space}={self.rest}", *judged]


@dataclass(frozen=True)
class Row:
    """A row of a table that is measured here."""

    key: str
    """Short, for --only and for names of runs."""
    label: str
    """As the paper's table has it."""
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Beside the preset's; "{identity}" stands for the data's column."""
    by_data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """{setting: settings it has there in place of these}."""
    budgets: Mapping[str, str] = field(default_factory=dict)
    """{setting: budget it has there}."""
    split: str | None = None
    """Other flags than the data's for what is held out: "--test 0" where all rows are seen."""
    on: tuple[str, ...] = ()
    """Settings of the table it is measured in; all if empty."""
    after: Row | None = None
    """The row whose trained model, of the same data and seed, it starts from."""


@dataclass(frozen=True)
class Run:
    """One training and its scoring."""

    row: Row
    setting: Setting
    seed: int = 0

    @property
    def budget(self) -> str:
        """How long it trains."""
        return self.row.budgets.get(self.setting.name, self.setting.budget)

    @property
    def name(self) -> str:
        """Of its folder. Runs that are the same in two tables have one name."""
        return f"{self.row.key}-{self.setting.name}-{self.budget}-{self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """The method's settings."""
        preset = {"preset": "paper"} if self.setting.scale == "paper" else {}
        told = self.setting.told.get(self.row.method, {})
        here = self.row.by_data.get(self.setting.name, {})
        own = {**preset, **told, **self.row.settings, **here}
        return {name: self._filled(value) for name, value in own.items()}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._filled, value))
        return value.format(identity=self.setting.identity) if isinstance(value, str) else value

    @property
    def first(self) -> Run | None:
        """The run that it starts from."""
        return None if self.row.after is None else Run(self.row.after, self.setting, self.seed)

    def words(self, source: str | None = None, runs: Path | None = None) -> list[str]:
        """What `unmingle train` is given, but --out: METHOD DATA, flags, budget and seed.

        Args:
            source: where the data are, if not under their own name.
            runs: the folder with the run that it starts from, if that is named by its path.
        """
        split = self.setting.split if self.row.split is None else self.row.split
        words = [
            self.row.method,
            source or self.setting.data,
            *self.setting.reading.split(),
            *split.split(),
            *setting_words(self.settings),
            *("--budget", self.budget, "--seed", str(self.seed)),
        ]
        if self.first is not None:
            words += ["--start-from", str((runs or Path()) / self.first.name)]
        return words

    @property
    def command(self) -> str:
        """As the plan has it, whatever the places of data and runs: what tells plans apart."""
        return shlex.join(["unmingle", "train", *self.words()])


@dataclass(frozen=True)
class Figures:
    """A published table, as it was printed."""

    source: str
    columns: tuple[tuple[str, str], ...]
    """(data set, key of the measure) of each column."""
    rows: Mapping[str, str]
    """{label: figures, "-" for none}; the labels are those of `Row` where there is one."""

    def by_data(self, label: str) -> dict[str, dict[str, str]]:
        """{data set: {measure: figure}} of a row; {} if the paper has none of that label."""
        found: dict[str, dict[str, str]] = {}
        if label in self.rows:
            for (data, measure), figure in zip(self.columns, self.rows[label].split(), strict=True):
                if figure != "-":
                    found.setdefault(data, {})[measure] = figure
        return found


@dataclass(frozen=True)
class Table:
    """A table of a paper, with what is run for it."""

    name: str
    title: str
    paper: str
    """What it is of: a paper, or a sentence."""
    score: str
    """How a run is scored: a key of `scores.SCORES`."""
    measures: Mapping[str, str]
    """{key: heading} of the columns."""
    rows: tuple[Row, ...]
    settings: tuple[Setting, ...]
    published: Figures | None = None
    """None for a table of no paper."""
    notes: tuple[str, ...] = ()

    def runs(self, seed: int = 0, scale: Scale | None = None) -> Iterator[Run]:
        """All runs of a seed, of one scale or of both."""
        for setting in self.settings:
            for row in self.rows:
                if scale in (None, setting.scale) and (not row.on or setting.name in row.on):
                    yield Run(row, setting, seed)

    def row(self, key: str) -> Row:
        """The row of that key.

        Raises:
            ConfigError: there is none.
        """
        rows = {row.key: row for row in self.rows}
        if key not in rows:
            raise ConfigError(f"{self.name} has no row {key!r}.{nearest(key, rows)}")
        return rows[key]

    def setting(self, name: str) -> Setting:
        """The setting of that name."""
        return next(setting for setting in self.settings if setting.name == name)


def setting_words(settings: Mapping[str, Any]) -> list[str]:
    """A method's settings as flags."""
    words: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *map(str, values)]
    return words
