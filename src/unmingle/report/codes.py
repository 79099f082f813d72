"""Every code in two dimensions, coloured by factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.evaluation.model import Encoded
from unmingle.report.html import Markup, Section, join, paragraph, tag
from unmingle.report.svg import COLOURS, scatter

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]

_POINTS = 400
_PANELS = 3  # for each code
_FEW = 12  # values of a factor that is not a role, at most


def codes_section(
    encoded: Encoded, data: FactorDataset, roles: Mapping[str, str], which: str, seed: int
) -> Section:
    """A scatter of each code, coloured by its factor, by those of other codes, and by one more.

    Args:
        encoded, data: the codes and their rows.
        roles: {code space: factor column}.
        which: what the rows are, in words.
    """
    rows = np.arange(len(data))
    if len(rows) > _POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _POINTS, replace=False))
    shown = data.select(rows)
    parts = [
        paragraph(
            f"Each point is one of {len(rows):,} {which}, at the first two principal axes of its "
            "code; hover to see its value. A code that knows a factor keeps its values apart, one "
            "that does not mixes them. What two axes do not show may still be there: the probes "
            "look at all of them. Where a factor has many values, the commonest have a colour and "
            "the rest are grey."
        )
    ]
    for space, codes in encoded.codes.items():
        points, share = principal_plane(codes[rows])
        panels = [
            _panel(points, shown, factor, space, _role(factor, space, roles))
            for factor in _factors(codes[rows], shown, space, roles)
        ]
        title = f"The {space} code: {codes.shape[1]} entries"
        if len(points) > 1:
            title += f", of whose variance {share:.0%} is shown"
        parts.append(tag("h3", title))
        parts.append(tag("div", *panels, class_="panels"))
    return Section("codes", "Codes", join(parts))


def principal_plane(codes: Array) -> tuple[Array, float]:
    """Codes [N,d] at their first two principal axes [N,2], and the share of variance they hold.

    The signs are such that the largest entry of each axis is positive. Codes of one entry have 0
    as the second coordinate.
    """
    centred = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    points = np.zeros((len(codes), 2))
    points[:, : len(axes)] = centred @ axes.T
    whole = float(np.square(strength).sum())
    return points, float(np.square(strength[:2]).sum()) / whole if whole else 1.0


def explained(codes: Array, values: Array) -> float:
    """Share of the variance of codes [N,d] that lies between the values [N] of a factor.

    Corrected for the number of values (omega squared without its last term): 0 is chance, 1 all.
    """
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    rows, count = len(values), len(counts)
    centred = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    whole = float(np.square(centred).sum())
    if whole == 0 or count < 2 or count >= rows:
        return 0.0
    sums = np.zeros((count, codes.shape[1]))
    np.add.at(sums, groups, centred)
    between = float((np.square(sums).sum(1) / counts).sum())
    inside = (whole - between) / (rows - count)
    return (between - (count - 1) * inside) / whole


def _factors(
    codes: Array, data: FactorDataset, space: str, roles: Mapping[str, str]
) -> list[str | None]:
    """Columns to colour by: the code's own, those of other codes, the best explained other."""
    own = [roles[space]] if space in roles else []
    chosen = list(dict.fromkeys([*own, *roles.values()]))
    found = {}
    for name, values in data.factors.items():
        if name not in chosen and 2 <= len(np.unique(values)) <= _FEW:
            found[name] = explained(codes, values)
    chosen = chosen[:_PANELS]
    spare = sorted(found, key=lambda name: -found[name])[: _PANELS - len(chosen)]
    return [*chosen, *spare] or [None]


def _role(factor: str | None, space: str, roles: Mapping[str, str]) -> str:
    if factor is None:
        return ""
    if roles.get(space) == factor:
        return "its own factor"
    return "another code's factor" if factor in roles.values() else "no code's factor"


def _panel(points: Array, data: FactorDataset, factor: str | None, space: str, role: str) -> Markup:
    if factor is None:
        titles = [f"row {number}" for number in data.ids]
        return tag("figure", scatter(points, [None] * len(points), titles, f"The {space} code"))
    values = data.factor(factor)
    names = data.names(factor)
    present, counts = np.unique(values, return_counts=True)
    common = present[np.argsort(-counts, kind="stable")][:COLOURS]
    colour = {int(value): place for place, value in enumerate(np.sort(common))}
    titles = [f"{names[v]} (row {i})" for v, i in zip(values, data.ids, strict=True)]
    label = f"The {space} code, coloured by {factor}"
    drawn = scatter(points, [colour.get(int(v)) for v in values], titles, label)
    items = [
        tag("span", tag("i", class_=f"f{place}"), names[value], title=names[value])
        for value, place in colour.items()
    ]
    rest = len(present) - len(colour)
    if rest:
        items.append(tag("span", tag("i", class_="rest"), f"{rest} more"))
    head = join([tag("b", f"by {factor}"), tag("span", f" {role}", class_="small")])
    return tag("figure", head, drawn, tag("div", *items, class_="legend"))
