"""Text lists and MATLAB files, as many sets have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmingle.errors import DataError


def read_lines(file: Path) -> list[str]:
    """The lines of a list of the set that are not empty.

    Raises:
        DataError: it cannot be read as text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text ({error})") from error
    return [line for line in text.splitlines() if line.strip()]


def read_mat(file: Path, *names: str) -> list[NDArray[Any]]:
    """Some variables of a MATLAB file up to version 7.2; the others are not read.

    Raises:
        DataError: it is damaged or of another version, or lacks a variable.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(file, variable_names=names)
    # The reader raises errors of many kinds on damaged files.
    except Exception as error:
        raise DataError(f"{file}: not a whole MATLAB file of version 5 ({error!r})") from error
    for name in names:
        if name not in found:
            raise DataError(f"{file}: there is no {name!r} inside; {' and '.join(names)} expected")
    return [np.asarray(found[name]) for name in names]
