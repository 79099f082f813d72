"""The methods, one file a paper. `METHODS` is the register that the command line reads."""

from .annealed_vae import AnnealedVAE
from .base import CodeSpace, Method, load
from .disunknown import DisUnknown
from .content_style import ContentStyle
from .lord import LORD
from .robust import RobustDisentangling

METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (LORD, RobustDisentangling)}

__all__ = ["LORD", "METHODS", "CodeSpace", "Method", "RobustDisentangling", "load"]
METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (LORD, DisUnknown)}

__all__ = ["LORD", "METHODS", "CodeSpace", "DisUnknown", "Method", "load"]
from .beta_tcvae import BetaTCVAE
from .beta_vae import BetaVAE
from .dip_vae import DIPVAE
from .factor_vae import FactorVAE
from .lord import LORD
from .reference_vae import ReferenceVAE, SymmetricReferenceVAE
from .symmetric_vae import SymmetricVAE
from .vae import VAE

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (
        LORD,
        ReferenceVAE,
        SymmetricReferenceVAE,
        VAE,
        BetaVAE,
        DIPVAE,
        FactorVAE,
        BetaTCVAE,
        AnnealedVAE,
        SymmetricVAE,
    )
}

__all__ = [
    "DIPVAE",
    "LORD",
    "METHODS",
    "VAE",
    "AnnealedVAE",
    "BetaTCVAE",
    "BetaVAE",
    "CodeSpace",
    "FactorVAE",
    "Method",
    "ReferenceVAE",
    "SymmetricReferenceVAE",
    "SymmetricVAE",
    "load",
]
METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (LORD, ContentStyle)}

__all__ = ["LORD", "METHODS", "CodeSpace", "ContentStyle", "Method", "load"]
