"""Content transfer and reconstruction, measured against true images.

The protocol of LORD (Gabbay and Hoshen 2020), Table 1: codes of two test images i and j are put
together and the result is compared with the true image of that combination.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unmingle.errors import ConfigError, DataError, nearest
from unmingle.evaluation.bootstrap import Estimate, mean_interval, ratio_interval
from unmingle.evaluation.image_metrics import mse, ssim
from unmingle.evaluation.model import Encoded, Model

if TYPE_CHECKING:
    from unmingle.data import FactorDataset

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

METRICS = ("st_lpips_alex", "st_lpips_vgg", "mse", "ssim")
RISING = ("ssim",)  # higher is better; their error is 1 - value
_ROWS = 2000  # test rows whose pairs are all listed
_BLOCK = 256
_MADE = ""  # label of the model's images among code spaces


@dataclass(frozen=True)
class TransferMetric:
    """One distance to the true images: means over the pairs with 95 % bootstrap intervals.

    `copies` is the same for the floors: handing back the image a code was taken from. `ratio` is
    the model's error as a share of that of the better copy, `floor` (for SSIM, error = 1 - SSIM).
    """

    model: Estimate
    copies: dict[str, Estimate]
    ratio: Estimate
    floor: str


@dataclass(frozen=True)
class Transfer:
    """Scores of putting the code `take` of one image together with all other codes of another.

    `pairs` were scored of the `possible` ones that have a true image (if there are more than 2000
    test rows: among a random choice of that many).
    """

    take: str
    roles: dict[str, str]
    pairs: int
    possible: int
    metrics: dict[str, TransferMetric]


@dataclass(frozen=True)
class Pairs:
    """Rows [P] of the test set a code is taken from, and where the true image is."""

    taken: Ints
    kept: Ints
    source: Ints
    truth: Ints
    possible: int


def find_pairs(
    test: FactorDataset,
    truth: Sequence[FactorDataset],
    take: str,
    keep: Sequence[str],
    *,
    pairs: int = 1000,
    seed: int = 0,
) -> Pairs:
    """Choose pairs (i, j) of test rows whose combination exists.

    i and j differ in factor `take` and in the factors `keep` (as a whole), and some row of one of
    the sets `truth` has the first from i and the others from j. Where several have, one is drawn.

    Returns:
        Up to `pairs` pairs in ascending order, chosen by `seed`.

    Raises:
        DataError: unknown factors, or no such pair.
        ConfigError: `pairs` below 1.
    """
    if pairs < 1:
        raise ConfigError(f"pairs must be at least 1, got {pairs}")
    rng = np.random.default_rng(seed)
    sets = [test, *truth]
    a = np.concatenate([data.factor(take) for data in sets])
    rest = np.stack([np.concatenate([data.factor(k) for data in sets]) for k in keep], 1)
    b = np.unique(rest, axis=0, return_inverse=True)[1].reshape(-1)
    width = int(b.max()) + 1
    cells = a * width + b
    home = np.repeat(np.arange(len(sets)), [len(data) for data in sets])
    position = np.concatenate([np.arange(len(data)) for data in sets])
    there = rng.permutation(np.flatnonzero(home > 0))  # so that equal cells come in random order
    there = there[np.argsort(cells[there], kind="stable")]

    limit = max(_ROWS, math.isqrt(8 * pairs) + 1)
    rows = np.arange(len(test))
    if len(rows) > limit:
        rows = np.sort(rng.choice(rows, limit, replace=False))
    wanted = a[rows][:, None] * width + b[rows][None, :]
    first = np.searchsorted(cells[there], wanted, "left")
    found = np.searchsorted(cells[there], wanted, "right") - first
    valid = found > 0
    valid &= (a[rows][:, None] != a[rows][None, :]) & (b[rows][:, None] != b[rows][None, :])
    i, j = np.nonzero(valid)
    if not len(i):
        raise DataError(
            f"no two test rows have a true image for {take} of one and {', '.join(keep)} of the"
            " other; give the training rows as well (train=)"
        )
    possible = len(i)
    if possible > pairs:
        chosen = np.sort(rng.choice(possible, pairs, replace=False))
        i, j = i[chosen], j[chosen]
    pick = first[i, j] + (rng.random(len(i)) * found[i, j]).astype(np.int64)
    return Pairs(rows[i], rows[j], home[there[pick]] - 1, position[there[pick]], possible)


def measure_transfer(
    model: Model,
    test: FactorDataset,
    roles: Mapping[str, str],
    *,
    truth: Sequence[FactorDataset] = (),
    take: str | None = None,
    pairs: int = 1000,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    encoded: Encoded | None = None,
    device: str = "cpu",
) -> Transfer:
    """Recombine codes of pairs of test images and compare with the true images.

    Args:
        model: see `unmingle.evaluation.model.Model`.
        test: the rows whose codes are combined.
        roles: {code space: the factor column it should carry}, two or more.
        truth: further sets in which a true image may be found (the training rows); `test` is
            always searched.
        take: the code space taken from image i; all other spaces come from image j. The first of
            `roles` by default.
        pairs: at most this many pairs.
        seed: of the choice of pairs and of the intervals.
        metrics: of `METRICS`; all for images, "mse" for vectors.
        encoded: `test` encoded already.
        device: where the ST-LPIPS networks run.

    Raises:
        ConfigError: unknown code space or metric, fewer than two roles.
        DataError: unknown factor, or no pair has a true image.
    """
    encoded = encoded or Encoded(model, test.items)
    for space in roles:
        encoded.require(space)
    take = take or next(iter(roles), "")
    if len(set(roles.values())) < 2:
        raise ConfigError(
            f"roles={dict(roles)}: two code spaces with different factors are needed, such as"
            " roles={'class': 'character', 'content': 'pose'}"
        )
    if take not in roles:
        raise ConfigError(f"take={take!r} is not in roles.{nearest(take, roles)}")
    names = _metric_names(test, metrics)
    others = [space for space in roles if space != take]
    sets = [test, *truth]
    found = find_pairs(
        test, sets, roles[take], [roles[space] for space in others], pairs=pairs, seed=seed
    )
    rest = others[0] if len(encoded.spaces) == 2 else "rest"
    errors: dict[str, dict[str, list[Array]]] = {n: {} for n in names}
    for start in range(0, len(found.taken), _BLOCK):
        block = slice(start, start + _BLOCK)
        i, j = found.taken[block], found.kept[block]
        made = encoded.combine({space: i if space == take else j for space in encoded.spaces})
        images = {_MADE: made, take: test.items[i], rest: test.items[j]}
        true = gather_rows(sets, found.source[block], found.truth[block])
        for name, values in image_distances(true, images, names, device).items():
            for label, value in values.items():
                errors[name].setdefault(label, []).append(value)
    scores = {
        name: _summary(name, {k: np.concatenate(v) for k, v in by_label.items()}, seed)
        for name, by_label in errors.items()
    }
    return Transfer(take, dict(roles), len(found.taken), found.possible, scores)


def measure_reconstruction(
    model: Model,
    data: FactorDataset,
    *,
    rows: int = 1000,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    encoded: Encoded | None = None,
    device: str = "cpu",
) -> dict[str, Estimate]:
    """Distance from decode(encode(x)) to x, mean and interval by metric.

    Args:
        rows: at most this many rows of `data`, chosen by `seed`.
        encoded: `data` encoded already. The rest as for `measure_transfer`.
    """
    names = _metric_names(data, metrics)
    chosen = np.arange(len(data))
    if len(chosen) > rows:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, rows, replace=False))
    if encoded is None:
        data, chosen = data.select(chosen), np.arange(len(chosen))
        encoded = Encoded(model, data.items)
    found: dict[str, list[Array]] = {name: [] for name in names}
    for start in range(0, len(chosen), _BLOCK):
        block = chosen[start : start + _BLOCK]
        made = encoded.combine({space: block for space in encoded.spaces})
        for name, values in image_distances(
            data.items[block], {_MADE: made}, names, device
        ).items():
            found[name].append(values[_MADE])
    return {name: mean_interval(np.concatenate(v), seed=seed) for name, v in found.items()}


def image_distances(
    truth: Array,
    images: Mapping[str, Array],
    metrics: Sequence[str] = METRICS,
    device: str = "cpu",
) -> dict[str, dict[str, Array]]:
    """Each metric [N] between `truth` [N,...] and every set in `images`: {metric: {set: [N]}}."""
    found: dict[str, dict[str, Array]] = {}
    for metric in metrics:
        if metric.startswith("st_lpips_"):
            from unmingle.evaluation.st_lpips import st_lpips

            judge = st_lpips(metric.removeprefix("st_lpips_"), device)
            distances = judge.distances(truth, list(images.values()))
            found[metric] = dict(zip(images, distances, strict=True))
        else:
            function = mse if metric == "mse" else ssim
            found[metric] = {name: function(truth, other) for name, other in images.items()}
    return found


def _metric_names(data: FactorDataset, metrics: Sequence[str] | None) -> tuple[str, ...]:
    allowed = METRICS if data.is_images else ("mse",)
    for name in metrics or ():
        if name not in allowed:
            raise ConfigError(f"metric {name!r} is not for these data.{nearest(name, allowed)}")
    return tuple(allowed if metrics is None else metrics)


def gather_rows(sets: Sequence[FactorDataset], source: Ints, rows: Ints) -> Array:
    """Rows of several sets as one array, in the order given."""
    items = None
    for number, data in enumerate(sets):
        mine = source == number
        if mine.any():
            block = np.asarray(data.items[rows[mine]])
            if items is None:
                items = np.empty((len(rows), *block.shape[1:]), block.dtype)
            if block.shape[1:] != items.shape[1:]:
                raise DataError(
                    f"{data.name}: items are {block.shape[1:]}, elsewhere {items.shape[1:]}"
                )
            items[mine] = block
    assert items is not None
    return items


def _summary(metric: str, values: Mapping[str, Array], seed: int) -> TransferMetric:
    copies = [label for label in values if label != _MADE]
    errors = {k: 1 - v if metric in RISING else v for k, v in values.items()}
    floor = min(copies, key=lambda label: float(errors[label].mean()))
    return TransferMetric(
        mean_interval(values[_MADE], seed=seed),
        {label: mean_interval(values[label], seed=seed) for label in copies},
        ratio_interval(errors[_MADE], errors[floor], seed=seed),
        floor,
    )
