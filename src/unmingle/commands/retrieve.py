"""`unmingle retrieve`: the nearest images in one code space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from unmingle.errors import ConfigError

from ._common import Using, check_output, check_space, flag, parse, required
from ._data import Part, Reading, pictures, rows_for

if TYPE_CHECKING:
    from unmingle.data import FactorDataset


@dataclass(frozen=True, kw_only=True)
class Retrieve(Using):
    """Flags of `retrieve`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """Where to search: a data set or a folder of images."""
    query: Annotated[str, required("IMAGE")]
    """An image file, or a folder of them."""
    reading: Reading
    space: Annotated[str | None, flag("SPACE", unset="(the first)")] = None
    """The code space whose distances count."""
    count: Annotated[int, flag("K", "-k", unset="(8)")] = 8
    """How many to find for each query."""
    metric: Literal["cosine", "euclidean"] = "cosine"
    """What near means."""
    part: Part = "all"
    """Which rows, if the run was trained on DATA."""
    output: Annotated[Path | None, flag("FILE", "-o")] = None
    """Also write a .png: each row a query and what was found for it."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Retrieve,
        argv,
        "retrieve",
        "The images whose code in one space is nearest to the query's: same class whatever the "
        "content, or same content whatever the class.",
        "retrieve runs/a photos/ --query x.png --space class -k 8 -o found.png",
    )
    if args.output is not None:
        check_output(args.output, (".png",), args.overwrite)
    if args.count < 1:
        raise ConfigError(f"-k {args.count}: at least 1")
    model = args.model()
    space = next(iter(model.code_spaces)) if args.space is None else args.space
    check_space(model, space)
    queries = pictures(model, args.query)
    data = rows_for(model, args.data, args.reading).part(args.part)
    from unmingle.evaluation.model import Encoded
    from unmingle.evaluation.retrieval import nearest

    wanted = Encoded(model, queries.images).codes[space]
    there = Encoded(model, data.items).codes[space]
    found, distances = nearest(wanted, there, min(args.count, len(data)), args.metric)
    print("\t".join(("query", "rank", "distance", "image", *data.factors)))
    for name, row_distances, rows in zip(queries.names, distances, found, strict=True):
        for rank, (distance, row) in enumerate(zip(row_distances, rows, strict=True), 1):
            print("\t".join((name, str(rank), f"{distance:.4g}", *_row(data, row))))
    if args.output is not None:
        import numpy as np

        from unmingle.plots import save_png, tile

        sheet = [
            np.concatenate([query[None], data.take(rows)])
            for query, rows in zip(queries.images, found, strict=True)
        ]
        save_png(args.output, tile(np.stack(sheet)), overwrite=args.overwrite)


def _row(data: FactorDataset, row: int) -> list[str]:
    """File name or id of a row, and the names of its factors' values."""
    name = str(data.ids[row] if data.files is None else data.files[row])
    return [name, *(data.value_names[f][codes[row]] for f, codes in data.factors.items())]
