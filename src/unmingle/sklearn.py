"""Codes as features for scikit-learn: a transformer that trains a method, or uses a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from unmingle.errors import ConfigError, DataError, nearest


class CodeTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Items to codes, as a step of a scikit-learn pipeline.

    `CodeTransformer(method="vae", budget="5min")` trains on what `fit` is given;
    `CodeTransformer(run="runs/a")` uses a trained model and learns nothing.

    Pixels are whole numbers of any type from 0 to 255, or floats: from 0 to 1 if all that `fit`
    sees are, otherwise from 0 to 255 (and rounded).

    Args:
        method: name of the method to train ("vae", "reference-vae"); not with `run`.
        settings: the method's settings.
        run: run folder of a trained model; not with `method`.
        spaces: the code spaces to put side by side; all in the model's order if None.
        image_shape: (H, W) or (H, W, C), where X is of flattened images [N, H * W * C].
        label: name of the factor column that y becomes, for methods that must be told one.
        budget: how long to train: a time, steps or epochs.
        seed: of everything random.
        device: auto, cpu, cuda or mps.

    Attributes:
        model_: the trained model.
        n_features_in_: numbers of an item, if X is [N, D].
        scale_: what pixels that are floats are multiplied by to go to 255: 255 if those that `fit`
            saw go to 1, otherwise 1.
    """

    def __init__(
        self,
        method: str | None = None,
        settings: Mapping[str, Any] | None = None,
        run: str | os.PathLike[str] | None = None,
        spaces: tuple[str, ...] | None = None,
        image_shape: tuple[int, ...] | None = None,
        label: str = "class",
        budget: str | float = "5min",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.method = method
        self.settings = settings
        self.run = run
        self.spaces = spaces
        self.image_shape = image_shape
        self.label = label
        self.budget = budget
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the method on X, or open the run.

        Args:
            X: images [N, H, W, C] or [N, H, W], or with `image_shape` flattened ones, with pixels
                as the class says; numbers [N, D]; or a `FactorDataset`.
            y: labels [N], whole numbers or texts; they become the factor column `label`.

        Raises:
            ConfigError: neither `method` nor `run`, or both; an unknown method or code space.
            DataError: X is nothing a method can learn from.
        """
        from unmingle.data import FactorDataset
        from unmingle.methods import METHODS, load

        if (self.method is None) == (self.run is None):
            raise ConfigError("CodeTransformer needs method=, to train one, or run=, to use one")
        self.scale_ = 1.0 if isinstance(X, FactorDataset) else self._scale(X)
        if self.run is not None:
            self.model_ = load(self.run)
        else:
            if self.method not in METHODS:
                raise ConfigError(f"no method {self.method!r}.{nearest(str(self.method), METHODS)}")
            data = X if isinstance(X, FactorDataset) else self._data(X, y)
            model = METHODS[str(self.method)](**dict(self.settings or {}))
            self.model_ = model.fit(
                data, budget=self.budget, seed=self.seed, device=self.device, quiet=True
            )
        self._chosen()
        if not isinstance(X, FactorDataset) and np.ndim(X) == 2:
            self.n_features_in_ = int(np.shape(X)[1])
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The codes of X, float32 [N, dims], spaces side by side.

        Raises:
            NotFittedError: before `fit`.
            DataError: X is not like what the model was trained on.
        """
        from unmingle.data import FactorDataset

        check_is_fitted(self, "model_")
        items = X if isinstance(X, FactorDataset) else self._items(X)
        codes = self.model_.encode(items)
        return np.concatenate([codes[space] for space in self._chosen()], axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """`target0`, `target1`, …: code space and dimension."""
        check_is_fitted(self, "model_")
        spaces = self.model_.code_spaces
        names = [f"{space}{i}" for space in self._chosen() for i in range(spaces[space].dim)]
        return np.asarray(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _chosen(self) -> tuple[str, ...]:
        known = self.model_.code_spaces
        chosen = tuple(known) if self.spaces is None else tuple(self.spaces)
        for space in chosen:
            if space not in known:
                raise ConfigError(f"no code space {space!r}.{nearest(space, known)}")
        if not chosen:
            raise ConfigError("spaces=() chooses no code space")
        return chosen

    def _items(self, X: Any) -> NDArray[Any]:
        """Images uint8 [N, H, W, C], or float32 vectors."""
        items = np.asarray(X)
        if not self._are_images(items):
            return items.astype(np.float32) if items.ndim == 2 else items
        if items.ndim == 2 and self.image_shape is not None:
            if items.shape[1] != int(np.prod(self.image_shape)):
                sides = "x".join(map(str, self.image_shape))
                raise DataError(
                    f"X has {items.shape[1]} features, and images of {sides} have "
                    f"{int(np.prod(self.image_shape))}"
                )
            items = items.reshape(len(items), *self.image_shape)
        pixels = self._pixels(items)
        return pixels[..., None] if pixels.ndim == 3 else pixels

    def _are_images(self, items: NDArray[Any]) -> bool:
        return items.ndim in (3, 4) or (items.ndim == 2 and self.image_shape is not None)

    def _scale(self, X: Any) -> float:
        """See `scale_`: scikit-learn's scalers and loaders make floats of pixels, in both units."""
        items = np.asarray(X)
        if not self._are_images(items) or items.dtype.kind != "f" or not items.size:
            return 1.0
        return 255.0 if items.max() <= 1 else 1.0

    def _pixels(self, items: NDArray[Any]) -> NDArray[np.uint8]:
        """Whole numbers from 0 to 255, of those or of floats in the unit that `fit` saw."""
        if items.dtype == np.uint8:
            return items
        if items.dtype.kind not in "uif":
            raise DataError(f"pixels are whole numbers or floats, not {items.dtype}")
        if not items.size:
            return items.astype(np.uint8)
        floats = items.dtype.kind == "f"
        scale = self.scale_ if floats else 1.0
        if not (items.min() >= 0 and items.max() <= 255 / scale):  # of NaN too
            seen = ", as those that fit saw" if floats else ""
            raise DataError(f"pixels must be from 0 to {255 / scale:g}{seen}")
        if not floats:
            return items.astype(np.uint8)
        if scale == 1 and items.max() <= 1 and (items % 1 != 0).any():
            raise DataError("these pixels go from 0 to 1, and those that fit saw from 0 to 255")
        pixels: NDArray[np.uint8] = (items * scale).round().astype(np.uint8)
        return pixels

    def _data(self, X: Any, y: Any) -> Any:
        from unmingle.data import FactorDataset

        items = self._items(X)
        factors = None if y is None else {self.label: np.asarray(y)}
        if items.ndim == 2:
            return FactorDataset(vectors=items, factors=factors, name="X")
        return FactorDataset(images=items, factors=factors, name="X")
