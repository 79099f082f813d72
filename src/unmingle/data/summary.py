"""A data set in words, and in one number."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from unmingle.data.storage import format_bytes, row_blocks

if TYPE_CHECKING:
    from unmingle.data.dataset import FactorDataset

_SHOWN_VALUES = 4
_SHOWN_LETTERS = 24


def describe(data: FactorDataset) -> str:
    """See `FactorDataset.describe`."""
    kind = "images" if data.is_images else "vectors"
    place = "on disk" if isinstance(data.backing()[0], np.memmap) else "in memory"
    shape = "x".join(map(str, data.shape))
    lines = [
        f"{data.name}: {len(data):,} {kind} of {shape}, {format_bytes(data.items.nbytes)} {place}"
    ]
    lines += describe_columns(data)
    lines += [f"  skipped {entry}" for entry in data.skipped]
    return "\n".join(lines)


def describe_columns(data: FactorDataset) -> list[str]:
    """A line a column: its values and how evenly they occur."""
    width = max((len(name) for name in (*data.factors, *data.continuous)), default=0)
    lines = [f"  {name:<{width}}  {_factor(data, name)}" for name in data.factors]
    for name, column in data.continuous.items():
        lines.append(f"  {name:<{width}}  {column.min():.4g} to {column.max():.4g}")
    if width == 0:
        lines.append("  no factors")
    return lines


def _factor(data: FactorDataset, name: str) -> str:
    counts = np.bincount(data.factors[name], minlength=data.cardinality(name))
    present = np.flatnonzero(counts)
    few, many = int(counts[present].min()), int(counts.max())
    rows = f"{few:,} to {many:,} rows" if few < many else "1 row" if few == 1 else f"{few:,} rows"
    of_all = "" if len(present) == len(counts) else f" of {len(counts)}"
    texts = [data.value_names[name][value] for value in present[:_SHOWN_VALUES]]
    texts = [t if len(t) <= _SHOWN_LETTERS else t[: _SHOWN_LETTERS - 1] + "…" for t in texts]
    texts += ["…"] if len(present) > _SHOWN_VALUES else []
    return f"{len(present)}{of_all} values, {rows} each: {', '.join(texts)}"


def fingerprint(data: FactorDataset) -> str:
    """See `FactorDataset.fingerprint`; blocks are hashed by several threads."""
    items = data.items
    head = {
        "shape": items.shape,
        "dtype": items.dtype.str,
        "value_names": data.value_names,
        "continuous": sorted(data.continuous),
    }
    whole = hashlib.sha256(json.dumps(head, sort_keys=True).encode())

    def digest(rows: slice) -> bytes:
        return hashlib.sha256(np.ascontiguousarray(items[rows]).data).digest()

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for part in pool.map(digest, row_blocks(len(items), items.nbytes // len(items))):
            whole.update(part)
    for name in sorted(data.factors):
        whole.update(np.ascontiguousarray(data.factors[name], "<i8").data)
    for name in sorted(data.continuous):
        whole.update(np.ascontiguousarray(data.continuous[name], "<f4").data)
    return whole.hexdigest()
