"""`unmingle encode`: the codes of images as an .npz."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ._common import Using, check_output, parse, required, say
from ._data import Part, Reading, rows_for


@dataclass(frozen=True, kw_only=True)
class Encode(Using):
    """Flags of `encode`."""

    data: Annotated[tyro.conf.Positional[str], required("DATA")]
    """A data set, a folder of images or an image file."""
    output: Annotated[Path, required("FILE", "-o")]
    """The .npz to write."""
    reading: Reading
    part: Part = "all"
    """Which rows, if the run was trained on DATA."""


def run(argv: Sequence[str]) -> None:
    """Run the verb."""
    args = parse(
        Encode,
        argv,
        "encode",
        "Write the codes of images: an array [N,d] for each code space (code_class, code_content, "
        "...), the row ids, the factors (factor_<name>) and, of image files, their names (files).",
        "encode runs/a photos/ -o codes.npz",
    )
    output = check_output(args.output, (".npz",), args.overwrite)
    import numpy as np

    from unmingle.evaluation.model import Encoded
    from unmingle.evaluation.output import write_file

    model = args.model()
    data = rows_for(model, args.data, args.reading).part(args.part)
    arrays = {f"code_{name}": code for name, code in Encoded(model, data.items).codes.items()}
    arrays |= {f"factor_{name}": column for name, column in data.factors.items()}
    arrays |= {f"{name}_names": np.array(names) for name, names in data.value_names.items()}
    arrays["ids"] = data.ids
    if data.files is not None:
        arrays["files"] = data.files
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_file(output, buffer.getvalue(), overwrite=args.overwrite)
    shapes = ", ".join(f"{name} {space.dim}" for name, space in model.code_spaces.items())
    say(f"{output}: codes of {len(data):,} rows ({shapes})")
