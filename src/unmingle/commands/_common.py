"""What the verbs share: parsing flags, messages, and files that are written."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from unmingle.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unmingle.methods import Method

T = TypeVar("T")


def flag(metavar: str, *aliases: str, unset: str = "") -> Any:
    """What help shows of a flag: a name for its value, and what holds when it is not given."""
    return tyro.conf.arg(metavar=metavar, aliases=aliases or None, help_behavior_hint=unset)


def required(metavar: str, *aliases: str) -> Any:
    """What help shows of a flag or position that must be given."""
    return tyro.conf.arg(metavar=metavar, aliases=aliases or None)


@dataclass(frozen=True, kw_only=True)
class Using:
    """What every verb that uses a trained model takes."""

    run: Annotated[tyro.conf.Positional[Path], required("RUN")]
    """The run folder of a trained model."""
    overwrite: bool = False
    """Replace what is written if it exists."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""

    def model(self) -> Method:
        """The trained model, on its device.

        Raises:
            RunError: if there is none in the run folder.
            ConfigError: if there is no such device.
        """
        from unmingle.methods import load
        from unmingle.training.hardware import choose_device

        device = choose_device(self.device)
        model: Method = load(self.run)
        model.network.to(device)
        return model


def parse(kind: type[T], argv: Sequence[str], verb: str, about: str, *examples: str) -> T:
    """The flags of a verb, as the dataclass `kind`; prints help and exits if asked for it."""
    shown = "\n".join(f"  unmingle {example}" for example in examples)
    return tyro.cli(
        kind,
        args=list(argv),
        prog=f"unmingle {verb}",
        description=f"{about}\n\nExample:\n{shown}",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def say(text: str) -> None:
    """A line for people on stderr; of several processes only the first speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)


def check_output(
    path: Path, endings: Sequence[str], overwrite: bool, flag: str = "--output"
) -> Path:
    """Refuse, before any work, a file that exists or ends in something that cannot be written.

    Raises:
        ConfigError: naming the file and what would be right.
    """
    if path.suffix.lower() not in endings:
        raise ConfigError(f"{flag} {path}: the name must end in {' or '.join(endings)}")
    if path.is_dir():
        raise ConfigError(f"{flag} {path} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise ConfigError(f"{flag} {path} exists: choose another name or add --overwrite")
    return path


def check_output_folder(path: Path, overwrite: bool) -> Path:
    """Refuse, before any work, a folder that already holds something.

    Raises:
        ConfigError: naming the folder and what would be right.
    """
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--output {path} is a file, and several images need a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise ConfigError(
            f"--output {path} already holds files: choose another folder or add --overwrite"
        )
    return path


def save_picture(image: NDArray[np.uint8], path: Path, overwrite: bool) -> None:
    """Write uint8 [H,W,C] (C 1 to 4) in the format of the path's ending.

    Raises:
        ConfigError: if the format has no room for the image's transparency.
        RunError: if the file exists and `overwrite` is not set, or it cannot be written.
    """
    from PIL import Image

    from unmingle.evaluation.output import write_file

    channels = image.shape[2]
    ending = path.suffix.lower()
    if channels in (2, 4) and ending in (".jpg", ".jpeg", ".bmp"):
        raise ConfigError(f"--output {path}: these images are transparent, which .png can hold")
    buffer = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    picture.save(buffer, Image.registered_extensions()[ending])
    write_file(path, buffer.getvalue(), overwrite=overwrite)


def named(pairs: Sequence[str], flag: str, example: str) -> dict[str, str]:
    """`{"class": "x.png"}` from ["class=x.png"].

    Raises:
        ConfigError: for a text without "=", or a name given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{flag} {pair}: write SPACE=VALUE, as in {flag} {example}")
        if name in found:
            raise ConfigError(f"{flag} {name}= is given twice")
        found[name] = value
    return found


def check_space(model: Method, space: str, flag: str = "--space", also: Sequence[str] = ()) -> str:
    """`space` if the model has it.

    Raises:
        ConfigError: with the spaces there are, and what else the flag takes (`also`).
    """
    if space not in model.code_spaces:
        raise ConfigError(f"{flag} {space}: it is {' or '.join([*model.code_spaces, *also])}")
    return space
