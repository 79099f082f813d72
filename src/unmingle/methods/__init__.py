"""The methods, one file a paper. `METHODS` is the register that the command line reads."""

from .base import CodeSpace, Method, load
from .content_style import ContentStyle
from .lord import LORD

METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (LORD, ContentStyle)}

__all__ = ["LORD", "METHODS", "CodeSpace", "ContentStyle", "Method", "load"]
