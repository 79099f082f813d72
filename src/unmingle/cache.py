"""Where files are kept that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$UNMINGLE_CACHE, else `unmingle` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "unmingle"
    return Path(os.environ.get("UNMINGLE_CACHE", default))
