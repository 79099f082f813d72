"""Plots of codes: scattered by their most informative dimensions, and embeddings as ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError
from unmingle.plots.figures import PathLike, _figure, _save

Array = npt.NDArray[Any]

_BINS = 20
_MOST_NAMED = 20  # values that a legend can hold


def informative_dimensions(codes: Array, labels: Array, count: int = 2) -> list[int]:
    """The dimensions of codes [N, d] that tell most of labels [N], best first.

    By mutual information with each dimension cut into 20 equal widths (DisUnknown, 5.1).

    Raises:
        DataError: codes and labels do not fit.
        ConfigError: fewer dimensions than asked for.
    """
    from sklearn.metrics import mutual_info_score  # slow to import

    codes, labels = _checked(codes, labels)
    if not 1 <= count <= codes.shape[1]:
        raise ConfigError(f"{count} dimensions of codes that have {codes.shape[1]}")
    known = []
    for column in codes.T:
        edges = np.linspace(column.min(), column.max(), _BINS + 1)[1:-1]
        known.append(mutual_info_score(labels, np.searchsorted(edges, column, side="right")))
    return [int(n) for n in np.argsort(-np.array(known), kind="stable")[:count]]


def scatter(
    codes: Array,
    labels: Array,
    out: PathLike,
    *,
    names: Sequence[str] | None = None,
    dims: tuple[int, int] | None = None,
    cyclic: bool = False,
    overwrite: bool = False,
) -> Path:
    """Draw codes of one space, coloured by a factor, as PNG (DisUnknown, Fig. 3 to 5).

    Args:
        codes: [N, d]; of one dimension, the other axis counts the rows.
        labels: int [N], the factor's values.
        out: the PNG.
        names: of the values, for the legend.
        dims: which two dimensions; by default those that tell most of the factor.
        cyclic: the values close a circle, and so do the colours.

    Raises:
        DataError: codes and labels do not fit.
        RunError: `out` exists.
    """
    codes, labels = _checked(codes, labels)
    if codes.shape[1] == 1:
        across, up, axes = codes[:, 0], np.arange(len(codes)), ("code 0", "row")
    else:
        first, second = dims or informative_dimensions(codes, labels)
        across, up, axes = codes[:, first], codes[:, second], (f"code {first}", f"code {second}")
    figure = _figure(6.2, 5.0)
    axis = figure.subplots()
    values = np.unique(labels)
    for colour, value in zip(_colours(len(values), cyclic), values, strict=True):
        rows = labels == value
        name = str(value) if names is None else names[value]
        axis.scatter(across[rows], up[rows], s=6, color=colour, label=name, linewidths=0)
    axis.set_xlabel(axes[0])
    axis.set_ylabel(axes[1])
    if len(values) <= _MOST_NAMED:
        axis.legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _save(figure, out, overwrite)


def ellipses(
    mean: Array,
    std: Array,
    out: PathLike,
    *,
    names: Sequence[str] | None = None,
    dims: tuple[int, int] | None = None,
    cyclic: bool = False,
    overwrite: bool = False,
) -> Path:
    """Draw a Gaussian for each value of a factor as an ellipse of one standard deviation, as PNG.

    Args:
        mean, std: [K, d], d 2 or more.
        out: the PNG.
        names: of the values.
        dims: which two dimensions; by default those in which the means scatter most.
        cyclic: the values close a circle, and so do the colours.

    Raises:
        DataError: shapes that do not fit.
        RunError: `out` exists.
    """
    from matplotlib.patches import Ellipse

    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if mean.ndim != 2 or mean.shape != std.shape or mean.shape[1] < 2:
        raise DataError(
            f"means and deviations [K, 2 or more] needed, not {mean.shape}, {std.shape}"
        )
    if dims is None:
        order = np.argsort(-mean.var(0), kind="stable")
        dims = (int(order[0]), int(order[1]))
    chosen = list(dims)
    figure = _figure(5.6, 5.0)
    axis = figure.subplots()
    for number, colour in enumerate(_colours(len(mean), cyclic)):
        width, height = 2 * std[number, chosen]
        place = (mean[number, chosen[0]], mean[number, chosen[1]])
        axis.add_patch(Ellipse(place, width, height, facecolor=colour, alpha=0.5))
        name = str(number) if names is None else names[number]
        axis.annotate(name, place, fontsize=7, ha="center", va="center")
    reach = np.abs(mean[:, chosen]).max(0) + std[:, chosen].max(0)
    axis.set_xlim(-reach[0], reach[0])
    axis.set_ylim(-reach[1], reach[1])
    axis.set_xlabel(f"code {chosen[0]}")
    axis.set_ylabel(f"code {chosen[1]}")
    return _save(figure, out, overwrite)


def _colours(count: int, cyclic: bool) -> Array:
    """RGBA [count, 4]; of a circle all hues, else along a map from dark to light."""
    from matplotlib import colormaps

    places = np.arange(count) / count if cyclic else np.linspace(0, 0.95, count)
    return np.asarray(colormaps["hsv" if cyclic else "viridis"](places))


def _checked(codes: Array, labels: Array) -> tuple[Array, Array]:
    codes, labels = np.asarray(codes, np.float64), np.asarray(labels)
    if codes.ndim != 2 or labels.shape != (len(codes),) or not codes.size:
        raise DataError(f"codes [N, d] and labels [N] needed, not {codes.shape}, {labels.shape}")
    if not np.isfinite(codes).all():
        raise DataError("codes hold NaN or infinity")
    return codes, labels
