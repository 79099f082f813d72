"""What methods share whose codes can be drawn: `draw` and `sample`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmingle.data.storage import Items
from unmingle.errors import ConfigError, DataError, nearest
from unmingle.nn.code_statistics import CodeStatistics
from unmingle.training.images import ImageSource

from .base import Method

_MOST_ROWS, _BLOCK = 8192, 256


@torch.no_grad()
def fit_moments(
    statistics: CodeStatistics,
    posterior: Callable[[Tensor], tuple[Tensor, Tensor]],
    items: Items,
    rows: NDArray[np.int64] | None = None,
) -> None:
    """Fit the moments of codes to those of the training data, or of at most 8192 of its rows.

    A Gaussian fitted to the codes after the training makes better samples than the prior, which
    they only tend to (Ghosh et al. 2020, "From Variational to Deterministic Autoencoders", 4).

    Args:
        statistics: what is fitted.
        posterior: from a batch, as a stage gets it, to means and standard deviations [b, dim].
        items: of the training data.
        rows: those to be looked at; all if None.
    """
    rows = np.arange(len(items)) if rows is None else rows
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64)]
    source = ImageSource(items, statistics.mean.device)
    found = [posterior(source.batch(b)) for b in torch.split(torch.from_numpy(some), _BLOCK)]
    mean, std = (torch.cat(parts) for parts in zip(*found, strict=True))
    statistics.fit(mean, std)


class DrawingMethod(Method):
    """A method that draws codes as the training data have them."""

    @abstractmethod
    def _drawn(self, space: str, count: int, random: np.random.Generator) -> NDArray[np.float32]:
        """Codes of one space, float32 [count, dim]."""

    def _has_prior(self, space: str) -> bool:
        """Whether a code has the prior N(0, I); one that is the embedding of a label has not."""
        return True

    def _labelled(self, space: str, value: str) -> NDArray[np.float32]:
        """The code [1, dim] of a labelled factor's value.

        Raises:
            ConfigError: the code has no labels, or not this one.
        """
        raise ConfigError(f"{space} has no labels in {self.name}: draw it, or take it from an item")

    def draw(
        self, space: str, count: int, seed: int = 0, *, prior: bool = False
    ) -> NDArray[np.float32]:
        """Codes drawn as the training data have them, float32 [count, dim].

        Of codes without labels: a Gaussian with the mean and covariance of the training codes.
        Of a labelled factor: codes of values drawn by their frequency.

        Args:
            space: the code space.
            count: how many.
            seed: of the draw.
            prior: codes without labels come from their prior N(0, I) instead, of which the
                training codes may fill a part only.

        Raises:
            ConfigError: no such code space, or a count below 1.
        """
        self._require_trained()
        self._check_spaces([*self.code_spaces, space])
        if count < 1:
            raise ConfigError(f"count must be at least 1, not {count}")
        # A stream for each space, so that drawing one more leaves the others as they were.
        number = list(self.code_spaces).index(space)
        random = np.random.default_rng([seed, number])
        if prior and self._has_prior(space):
            noise = random.standard_normal((count, self.code_spaces[space].dim))
            return noise.astype(np.float32)
        return self._drawn(space, count, random)

    def sample(
        self,
        count: int,
        *,
        items: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        seed: int = 0,
        prior: bool = False,
    ) -> NDArray[Any]:
        """Make items; what is not given is drawn as in `draw`.

        Args:
            count: how many.
            items: {code space: items} whose codes are taken; `count` of them, or one for all.
            labels: {labelled factor: name of its value}.
            seed: of the draws.
            prior: as for `draw`.

        Returns:
            uint8 [count, H, W, C], or float32 [count, D].

        Raises:
            ConfigError: an unknown code space or value, or one given twice.
            DataError: another number of items.
        """
        self._require_trained()
        items, labels = dict(items or {}), dict(labels or {})
        codes: dict[str, Any] = {}
        for space in [*items, *labels]:
            if space not in self.code_spaces:
                raise ConfigError(f"no code space {space!r}.{nearest(space, self.code_spaces)}")
        for space in self.code_spaces:
            if space in items and space in labels:
                raise ConfigError(f"{space} is given twice, by items and by a label")
            if space in items:
                codes[space] = self.encode(items[space])[space]
                if len(codes[space]) not in (1, count):
                    raise DataError(f"{len(codes[space])} items for {space}: give 1 or {count}")
            elif space in labels:
                codes[space] = self._labelled(space, labels[space])
            else:
                codes[space] = self.draw(space, count, seed, prior=prior)
        return self.decode({s: np.broadcast_to(c, (count, c.shape[1])) for s, c in codes.items()})

    def _by_moments(
        self, statistics: Any, count: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Codes of a `CodeStatistics`."""
        noise = random.standard_normal((count, len(statistics.mean)))
        drawn: Tensor = statistics.draw(torch.from_numpy(noise).float().to(self._device()))
        return drawn.cpu().numpy()
