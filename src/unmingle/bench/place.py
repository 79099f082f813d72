"""Where runs, data and records of a bench lie, and what of the data is there.

OUT/runs/NAME is a run folder, OUT/runs/NAME.json what was planned and measured, OUT/data what was
drawn, OUT/TABLE.md and OUT/TABLE.json a table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmingle.errors import RunError

from .plan import Run, Setting
from .sets import DRAWN

_SIZE = "64"  # of pictures in a folder, as of those in the files


@dataclass(frozen=True)
class Place:
    """Where runs go, where data are, and on what they run."""

    out: Path
    data: Path | None = None
    """Folder of the .npz sets, or of folders of pictures."""
    device: str = "auto"
    threads: int | None = None

    def missing(self, setting: Setting) -> str:
        """What of a setting's data is not there, and how to get it; "" if nothing."""
        if setting.data in DRAWN:
            return ""
        if setting.data.endswith(".npz"):
            if self.data is None:
                return f"{setting.data}: give its folder with --data FOLDER"
            if (self.data / setting.data).is_file() or self.pictures(setting) is not None:
                return ""
            other = f" (or its folder of {setting.levels})" if setting.levels else ""
            return f"{setting.data}{other} is not in {self.data}"
        from unmingle.data.catalogue import named_set

        known = named_set(setting.files or setting.data)
        if known.here():
            return ""
        how = f"unmingle data get {known.name}" if known.downloads else f"to be had at {known.url}"
        return f"{known.name}: not in {known.place()}; {how}"

    def pictures(self, setting: Setting) -> Path | None:
        """The folder of pictures that is there in place of a file; None if there is none."""
        if self.data is None or not setting.levels or (self.data / setting.data).is_file():
            return None
        folder = self.data / Path(setting.data).stem
        return folder if folder.is_dir() else None

    def source(self, setting: Setting) -> str:
        """DATA as `unmingle train` is given it."""
        if setting.data in DRAWN:
            return str(self.out / "data" / setting.data)
        pictures = self.pictures(setting)
        if pictures is not None:
            return str(pictures)
        if setting.data.endswith(".npz") and self.data is not None:
            return str(self.data / setting.data)
        return setting.data

    def files(self, setting: Setting) -> Path | None:
        """Folder of the set that the data are made of; None where they are a set themselves."""
        if not setting.files:
            return None
        from unmingle.data.catalogue import named_set

        return named_set(setting.files).place()

    def folder(self, run: Run) -> Path:
        """The run folder."""
        return self.out / "runs" / run.name

    def record(self, run: Run) -> Path:
        """What is known of the run, JSON."""
        return self.out / "runs" / f"{run.name}.json"

    def words(self, run: Run) -> list[str]:
        """The words after `unmingle train`, without --resume."""
        files = self.files(run.setting)
        pictures = self.pictures(run.setting) is not None
        return [
            *run.words(self.source(run.setting), self.out / "runs"),
            *(("--factors", run.setting.levels, "--size", _SIZE) if pictures else ()),
            *(() if files is None else ("--folder", str(files))),
            *(() if self.device == "auto" else ("--device", self.device)),
            *(() if self.threads is None else ("--threads", str(self.threads))),
            *("--out", str(self.folder(run))),
        ]


def read_record(run: Run, place: Place) -> dict[str, Any]:
    """What is known of a run; {} if nothing.

    Raises:
        RunError: it was planned with other settings, or the file is damaged.
    """
    file = place.record(run)
    if not file.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text())
        command = found["command"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{file} is damaged ({error}); remove it, and its run is scored again"
        ) from error
    if command != run.command:
        raise RunError(
            f"{file} is of another plan: choose another folder with --out (there: {command}; "
            f"here: {run.command})"
        )
    return found


def save_record(run: Run, place: Place, values: dict[str, Any]) -> None:
    """Keep what is known of a run."""
    from unmingle.evaluation.output import write_file

    text = json.dumps(values, indent=1, default=float) + "\n"
    write_file(place.record(run), text.encode(), overwrite=True)
