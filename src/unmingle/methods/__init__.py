"""The methods, one file a paper. `METHODS` is the register that the command line reads."""

from .annealed_vae import AnnealedVAE
from .base import CodeSpace, Method, load
from .beta_tcvae import BetaTCVAE
from .beta_vae import BetaVAE
from .content_style import ContentStyle
from .dip_vae import DIPVAE
from .disunknown import DisUnknown
from .factor_vae import FactorVAE
from .lord import LORD
from .reference_vae import ReferenceVAE, SymmetricReferenceVAE
from .robust import RobustDisentangling
from .symmetric_vae import SymmetricVAE
from .vae import VAE

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (
        LORD,
        ContentStyle,
        DisUnknown,
        RobustDisentangling,
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
    "ContentStyle",
    "DisUnknown",
    "FactorVAE",
    "Method",
    "ReferenceVAE",
    "RobustDisentangling",
    "SymmetricReferenceVAE",
    "SymmetricVAE",
    "load",
]
