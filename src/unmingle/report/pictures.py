"""Pictures of a model on held-out rows: swaps, reconstructions, interpolations, retrieval."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.data.splits import varied_rows
from unmingle.errors import DataError
from unmingle.evaluation.image_metrics import to_rgb
from unmingle.evaluation.model import Encoded, space_factors
from unmingle.evaluation.retrieval import nearest, retrieval_precision
from unmingle.plots import interpolation_grid, swap_grid, tile
from unmingle.report.html import Child, Markup, Section, join, paragraph, table, tag

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_ROWS = 8
_STEPS = 7
_FOUND = 8
_QUERIES = 4
_SEARCHED = 5000
_SPACES = 6  # code spaces shown
_SAMPLES = 6
_WIDEST = 1400  # pixels
_LARGEST = 400_000  # bytes of a PNG, beyond which a JPEG is taken
_APART = 14  # pixels between sources and what was made of them
_CELL = 56  # pixels; smaller images are shown larger


def picture(sheet: Array, alt: str, caption: Child, cell: int | None = None) -> Markup:
    """An image uint8 [H,W,C] inside the page.

    Args:
        sheet: C 1 to 4; scaled down if wider than 1400 pixels.
        alt: what it shows, for those who do not see it.
        caption: below it.
        cell: pixels of a side of one of the images in it, if they may be shown larger.
    """
    from PIL import Image

    image = Image.fromarray(to_rgb(np.asarray(sheet)))
    if image.width > _WIDEST:
        height = max(1, round(image.height * _WIDEST / image.width))
        image = image.resize((_WIDEST, height), Image.Resampling.LANCZOS)
    times = 1 if cell is None else max(1, min(-(-_CELL // cell), 1000 // image.width))
    return tag(
        "figure",
        tag(
            "img",
            src=_data_uri(image),
            alt=alt,
            width=image.width * times,
            height=image.height * times,
            class_="sharp" if times > 1 else None,
        ),
        tag("figcaption", caption),
    )


def _data_uri(image: Any) -> str:
    buffer, kind = io.BytesIO(), "png"
    image.save(buffer, "PNG", optimize=True)
    if buffer.tell() > _LARGEST:
        buffer, kind = io.BytesIO(), "jpeg"
        image.save(buffer, "JPEG", quality=90)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def swaps_section(
    model: Any, data: FactorDataset, roles: Mapping[str, str], which: str, seed: int
) -> Section | None:
    """Grids of swaps, and images beside what their own codes decode to."""
    names = list(model.code_spaces)
    known = sorted(names, key=lambda name: space_factors(model).get(name) is None)
    pairs = [(known[0], known[-1])] if len(names) == 2 else []
    if len(names) > 2:
        pairs = [(name, next(n for n in names if n != name)) for name in names[:_SPACES]]
    figures = []
    for rows, columns in pairs:
        down, across = (
            data.take(varied_rows(data, roles.get(space), _ROWS, seed + number))
            for number, space in enumerate((rows, columns))
        )
        sheet = _sources_apart(swap_grid(model, down, across, rows, columns), data.shape)
        rest = f"the {columns} code" if len(names) == 2 else "all other codes"
        said = (
            f"Each row keeps the {rows} code of the image at its left, each column {rest} of the "
            f"image at its top. Left and top are {which}; everything else was made."
        )
        figures.append(picture(sheet, f"Grid of swaps: {said}", said, data.shape[0]))
    chosen = data.take(varied_rows(data, next(iter(roles.values()), None), 2 * _ROWS, seed))
    made = model.decode(model.encode(chosen))
    half = -(-len(chosen) // 2)
    blank = np.full((2 * half - len(chosen), *data.shape), 255, np.uint8)
    true, made = (np.concatenate([part, blank]) for part in (chosen, made))
    pairs_of_lines = [np.stack([true[:half], made[:half]]), np.stack([true[half:], made[half:]])]
    sheet = _below([tile(lines) for lines in pairs_of_lines], gap=_APART)
    said = f"First and third line: {which}; below each, what its own codes decode to."
    figures += [tag("h3", "Reconstruction")] if pairs else []
    figures.append(picture(sheet, f"Reconstructions. {said}", said, data.shape[0]))
    return Section("swaps", "Swaps" if pairs else "Reconstruction", join(figures))


def interpolation_section(
    model: Any, data: FactorDataset, roles: Mapping[str, str], which: str, seed: int
) -> Section | None:
    """Codes moved from one image to another, one at a time and two at once."""
    names = list(model.code_spaces)[:_SPACES]
    rows = varied_rows(data, next(iter(roles.values()), None), 8, seed + 7)
    pairs = [(a, b) for a, b in zip(rows[::2], rows[1::2], strict=False)]
    if not pairs:
        return None
    figures: list[Child] = []
    if len(names) > 1:
        a, b = data.take([pairs[0][0], pairs[0][1]])
        down, across = names[0], names[1]
        sheet = interpolation_grid(model, a, b, _STEPS, rows=down, columns=across)
        said = (
            f"Between two {which}: down the grid the {down} code goes from one to the other, "
            f"across it the {across} code. The corners are the pure recombinations."
        )
        figures.append(picture(sheet, f"Grid of interpolations. {said}", said, data.shape[0]))
    for space in names:
        lines = []
        for pair in pairs:
            a, b = data.take(list(pair))
            line = interpolation_grid(model, a, b, _STEPS, rows=None, columns=space)
            ends = (tile(end[None, None]) for end in (a, b))
            lines.append(_beside(next(ends), line, next(ends)))
        said = (
            f"The {space} code moves from that of the image at the left towards that of the image "
            f"at the right ({which})"
        )
        said += "; all other codes stay those of the left one." if len(names) > 1 else "."
        figures.append(tag("h3", f"The {space} code" + (" alone" if len(names) > 1 else "")))
        figures.append(picture(_below(lines), f"Interpolation of one code. {said}", said,
                               data.shape[0]))  # fmt: skip
    return Section("interpolations", "Interpolations", join(figures))


def retrieval_section(
    test: Encoded,
    data: FactorDataset,
    searched: Encoded,
    pool: FactorDataset,
    roles: Mapping[str, str],
    which: tuple[str, str],
    seed: int,
) -> Section | None:
    """Nearest neighbours in each code space, and how often they share a factor.

    Args:
        test, data: the queries' codes and rows.
        searched, pool: codes and rows that are searched.
        which: what the queries and the searched rows are, in words.
    """
    figures: list[Child] = []
    same = pool is data
    for space in list(test.spaces)[:_SPACES]:
        found_rows = min(_FOUND + same, len(pool))
        if found_rows - same < 1:
            return None
        rows = varied_rows(data, roles.get(space), _QUERIES, seed + 13)
        found, _ = nearest(test.codes[space][rows], searched.codes[space], found_rows)
        if same:  # a query's own row is the first that it finds, or among equal ones
            found = np.stack([
                line[line != row][: found_rows - 1] for line, row in zip(found, rows, strict=True)
            ])  # fmt: skip
        if data.is_images:
            lines = [
                _beside(tile(data.take([row])[None]), tile(pool.take(line)[None]))
                for row, line in zip(rows, found, strict=True)
            ]
            said = (
                f"At the left {which[0]}, then the {found.shape[1]} {which[1]} whose {space} code "
                "is nearest (cosine), the nearest first."
            )
            figures.append(tag("h3", f"By the {space} code"))
            figures.append(picture(_below(lines), f"Retrieval. {said}", said, data.shape[0]))
    shares = _precision(test, data, roles, seed)
    if shares is not None:
        figures.append(shares)
    return Section("retrieval", "Retrieval", join(figures)) if figures else None


def _precision(
    test: Encoded, data: FactorDataset, roles: Mapping[str, str], seed: int
) -> Markup | None:
    factors = {f: data.factor(f) for f in dict.fromkeys(roles.values())}
    count = min(_SEARCHED, len(data))
    k = min(5, count - 1)
    if not factors or k < 1:
        return None
    lines = []
    for space in test.spaces:
        codes = test.codes[space][:count]
        columns = {name: values[:count] for name, values in factors.items()}
        for name, share in retrieval_precision(codes, columns, k, seed=seed).items():
            lines.append([
                space, name, f"{share.precision:.1%} [{share.low:.1%}, {share.high:.1%}]",
                f"{share.chance:.1%}",
            ])  # fmt: skip
    text = paragraph(
        f"How many of the {k} nearest of the other {count - 1:,} rows share a factor's value. A "
        "code should find its own factor and be at chance for those of other codes."
    )
    head = ["code", "factor", "shared by the nearest", "chance"]
    return join([text, table(head, lines, label="Retrieval precision", numbers=(2, 3))])


def samples_section(folder: Path, stages: Sequence[str]) -> Section | None:
    """Pictures drawn while it trained, evenly chosen."""
    from PIL import Image

    found = []
    for file in folder.glob("*.png"):
        match = re.fullmatch(r"(.+)-(\d+)", file.stem)
        if match is not None:
            place = stages.index(match[1]) if match[1] in stages else len(stages)
            found.append((place, match[1], int(match[2]), file))
    found.sort()
    if len(found) > _SAMPLES:
        chosen = np.linspace(0, len(found) - 1, _SAMPLES).round().astype(int)
        found = [found[i] for i in chosen]
    figures = []
    for _, stage, step, file in found:
        try:
            with Image.open(file) as opened:
                sheet = np.asarray(opened.convert("RGB"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file} is not a picture ({error})") from error
        figures.append(
            picture(sheet, f"Sample of stage {stage} after {step} steps", f"{stage}, step {step:,}")
        )
    if not figures:
        return None
    text = paragraph(
        "Swaps of training images, drawn while it learnt: the left column keeps one code, the top "
        "row the others."
    )
    shown = tag("div", *figures, class_="panels")
    return Section("samples", "While it trained", join([text, shown]))


def searched_rows(data: FactorDataset, seed: int) -> FactorDataset:
    """At most 5,000 rows, drawn by the seed."""
    if len(data) <= _SEARCHED:
        return data
    rng = np.random.default_rng(seed)
    return data.select(np.sort(rng.choice(len(data), _SEARCHED, replace=False)))


def _beside(*sheets: Array) -> Array:
    """Sheets of one height with a wide gap between them."""
    return np.asarray(_below([sheet.swapaxes(0, 1) for sheet in sheets], _APART).swapaxes(0, 1))


def _below(sheets: Sequence[Array], gap: int = 2) -> Array:
    """Sheets of one width with `gap` white pixels between them; a wide gap has a grey line."""
    between = np.full((gap, sheets[0].shape[1], 3), 255, np.uint8)
    if gap >= _APART:
        between[gap // 2 - 1 : gap // 2 + 1] = 190
    parts = [sheets[0]]
    for sheet in sheets[1:]:
        parts += [between, sheet]
    return np.concatenate(parts)


def _sources_apart(sheet: Array, shape: Sequence[int]) -> Array:
    """A swap grid of cells `shape` whose left column and top row are set apart."""
    height, width = shape[:2]
    left = _beside(sheet[:, :width], sheet[:, width + 2 :])
    return _below([left[:height], left[height + 2 :]], _APART)
