"""Writing one file at once, never over another unless asked."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from unmingle.errors import RunError


def write_file(path: str | os.PathLike[str], content: bytes, *, overwrite: bool = False) -> Path:
    """Write `content`; whole or not at all. Folders on the way are made.

    Raises:
        RunError: the file exists and `overwrite` is not set, or it cannot be written.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise RunError(f"{target} exists; give another name or overwrite=True (--overwrite)")
    if target.is_dir():
        raise RunError(f"{target} is a folder; a file name is needed")
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise RunError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
