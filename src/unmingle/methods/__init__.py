"""The methods, one file a paper. `METHODS` is the register that the command line reads."""

from .base import CodeSpace, Method, load
from .disunknown import DisUnknown
from .lord import LORD
from .robust import RobustDisentangling

METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (LORD, RobustDisentangling)}

__all__ = ["LORD", "METHODS", "CodeSpace", "Method", "RobustDisentangling", "load"]
METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (LORD, DisUnknown)}

__all__ = ["LORD", "METHODS", "CodeSpace", "DisUnknown", "Method", "load"]
