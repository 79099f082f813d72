"""What benchmarks/disunknown_quality.py measures on held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from unmingle.bench.scores import squared_error
from unmingle.data import FactorDataset
from unmingle.data.views import look, project
from unmingle.evaluation import measure_gaps
from unmingle.evaluation.probes import probe
from unmingle.evaluation.recogniser import fit_recogniser
from unmingle.plots import draw_points, ellipses, save_png, scatter, swap_grid, tile

Array = NDArray[Any]
UNKNOWN = "unknown"
SWAPS = 1500
VIEWS = 24
HELD_OUT_MOTIONS = ("02_05", "02_10")


# ---------------------------------------------------------------------- all factors known


def shapes(model: Any, train: FactorDataset, test: FactorDataset, picture: Path) -> dict[str, Any]:
    """Probes, judges of recombined images, MIG, reconstruction, pictures."""
    labelled = list(model.config.labelled)
    factors = [f for f in test.factors if test.factor(f).min() < test.factor(f).max()]
    (rest,) = [f for f in factors if f not in labelled]
    spaces = {**{f: f for f in labelled}, rest: UNKNOWN}
    codes, known = model.encode(test), model.encode(train)
    found = {
        **_probes(known, codes, train, test, labelled),
        "judges": judges(model, train, test, spaces),
        **gaps(model, test, {rest: UNKNOWN}),
        "mse": squared_error(model, test),
        **clusters(codes[UNKNOWN]),
    }
    _pictures(model, test, spaces, codes, picture)
    return found


def gaps(model: Any, test: FactorDataset, owners: dict[str, str] | None = None) -> dict[str, float]:
    """MIG of the labelled factors, and of all with a code: those too that `owners` names."""
    found = measure_gaps(model, test, owners)
    return {"mig_labelled": found.labelled.score, "mig_all": found.every.score}


def _probes(
    known: dict[str, Array],
    codes: dict[str, Array],
    train: FactorDataset,
    test: FactorDataset,
    labelled: list[str],
) -> dict[str, Any]:
    """What an MLP reads of every factor from `unknown`, and of each labelled one from its own."""

    def read(factor: str, space: str) -> Any:
        y = train.factor(factor), test.factor(factor)
        return probe(known[space], y[0], codes[space], y[1], "mlp")

    told = {f: read(f, UNKNOWN) for f in test.factors if np.ptp(test.factor(f))}
    return {
        "unknown_tells": {
            f: {"accuracy": float(p.accuracy), "chance": float(p.chance)} for f, p in told.items()
        },
        "own_tells": {f: float(read(f, f).accuracy) for f in labelled},
    }


def judges(
    model: Any, train: FactorDataset, test: FactorDataset, spaces: dict[str, str]
) -> dict[str, dict[str, float]]:
    """For images whose every code is another held-out image's: is each factor its source's?"""
    random = np.random.default_rng(0)
    codes = model.encode(test)
    source = {space: random.integers(0, len(test), SWAPS) for space in codes}
    made = model.decode({space: codes[space][rows] for space, rows in source.items()})
    found = {}
    for factor, space in spaces.items():
        recognise = fit_recogniser(train.take(), train.factor(factor))
        truth = test.factor(factor)
        found[factor] = {
            "right": float((recognise(made) == truth[source[space]]).mean()),
            "real": float((recognise(test.take()) == truth).mean()),
        }
    return found


def clusters(codes: Array) -> dict[str, float]:
    """Silhouette of the unknown codes in two to five clusters."""
    some = codes[:2000]
    return {
        f"silhouette_{k}": float(
            silhouette_score(some, KMeans(k, n_init=5, random_state=0).fit_predict(some))
        )
        for k in (2, 3, 4, 5)
    }


def _some(test: FactorDataset) -> Array:
    """16 images for a grid, from anywhere in the set."""
    return test.take(np.random.default_rng(0).permutation(len(test))[:16])


def _pictures(
    model: Any,
    test: FactorDataset,
    spaces: dict[str, str],
    codes: dict[str, Array],
    picture: Path,
) -> None:
    images = _some(test)
    for factor, space in spaces.items():
        other = next(s for s in codes if s != space)
        grid = swap_grid(model, images[:8], images[8:], space, other)
        save_png(f"{picture}-{factor}.png", grid, overwrite=True)
        if space != UNKNOWN:
            mean, std, names = model.embedding(factor)
            out = f"{picture}-{factor}-embedding.png"
            ellipses(mean, std, out, names=names, cyclic="hue" in factor, overwrite=True)
        labels, names = test.factor(factor), test.names(factor)
        for part in {space, UNKNOWN}:
            out = f"{picture}-{part}-by-{factor}.png"
            scatter(codes[part], labels, out, names=names, cyclic="hue" in factor, overwrite=True)


# ---------------------------------------------------------------------- faces, digits


def faces(model: Any, train: FactorDataset, test: FactorDataset, picture: Path) -> dict[str, Any]:
    """Where expression and eyes end up: probes of all codes, over folds of all images."""
    whole = np.concatenate([train.take(), test.take()])
    codes = model.encode(whole)
    fold = np.random.default_rng(0).permutation(len(whole)) % 5
    tells: dict[str, Any] = {}
    for factor in test.factors:
        y = np.concatenate([train.factor(factor), test.factor(factor)])
        tells[factor] = {}
        for space, code in codes.items():
            right, chance = [], []
            for k in range(5):
                rest, held = fold != k, fold == k
                found = probe(code[rest], y[rest], code[held], y[held], "mlp")
                right.append(found.accuracy)
                chance.append(found.chance)
            tells[factor][space] = float(np.mean(right))
        tells[factor]["chance"] = float(np.mean(chance))
    images = _some(test)
    for space in codes:
        other = next(s for s in codes if s != space)
        grid = swap_grid(model, images[:8], images[8:], space, other)
        save_png(f"{picture}-{space}.png", grid, overwrite=True)
    return {"tells": tells, "mse": squared_error(model, test)}


def stage_2(model: Any, train: FactorDataset, test: FactorDataset, picture: Path) -> dict[str, Any]:
    """Table 2: reconstruction and MIG; and whether swaps have the wanted label."""
    (factor,) = model.config.labelled
    found = gaps(model, test)
    judged = judges(model, train, test, {factor: factor})
    images = _some(test)
    grid = swap_grid(model, images[:8], images[8:], factor, UNKNOWN)
    save_png(f"{picture}.png", grid, overwrite=True)
    return {"mse": squared_error(model, test), "mig": found["mig_labelled"], "swaps": judged}


# ---------------------------------------------------------------------- skeletons


def skeleton_points(data: Path) -> tuple[FactorDataset, Any]:
    """All frames of all builds as points in space, and the file."""
    file = np.load(data / "skeletons.npz")
    joints = file["joints"]
    builds, frames = joints.shape[:2]
    points = FactorDataset(
        vectors=joints.reshape(builds * frames, -1),
        factors={
            "build": np.repeat(np.arange(builds), frames),
            "motion": np.tile(file["motion"], builds),
            "frame": np.tile(np.arange(frames), builds),
        },
        value_names={"motion": [str(n) for n in file["motion_names"]]},
        name="skeletons",
    )
    return points, file


def skeleton_data(data: Path) -> tuple[FactorDataset, FactorDataset]:
    """Two motions held out; every frame from random directions, projected when it is read."""
    points, file = skeleton_points(data)
    train, test = points.split(by="motion", values=list(HELD_OUT_MOTIONS))
    held = project(test, VIEWS, seed=1)
    held.parents = file["parents"]  # type: ignore[attr-defined]
    held.points = test  # type: ignore[attr-defined]
    return project(train, VIEWS), held


def retargeting(
    model: Any, train: FactorDataset, test: FactorDataset, picture: Path
) -> dict[str, Any]:
    """Held-out frames on other builds, against the true joints, in metres; with baselines."""
    points, parents = test.points, test.parents  # type: ignore[attr-defined]
    random = np.random.default_rng(0)
    source, giver = random.integers(0, len(test), 4000), random.integers(0, len(train), 4000)
    build, target = test.factor("build")[source], train.factor("build")[giver]
    other = build != target
    source, giver, build, target = (v[other] for v in (source, giver, build, target))
    items = test.take(source)
    codes, given = model.encode(items), model.encode(train.take(giver))
    made = model.decode({**codes, "build": given["build"]})
    # The same frame on the wanted build, from the same direction.
    frame = points.factor("frame")
    place = {
        (int(b), int(f)): n
        for n, (b, f) in enumerate(zip(points.factor("build"), frame, strict=True))
    }
    rows = [
        place[int(b), int(f)] for b, f in zip(target, test.factor("frame")[source], strict=True)
    ]
    true = look(points.take(np.array(rows)), test.continuous["view_angle"][source])
    lengths = bone_lengths(train, parents)
    found = {
        "model": made,
        "copy": items,
        "one scale (mean bone length)": items
        * (lengths[target].mean(1) / lengths[build].mean(1))[:, None],
        "a scale for each bone (knows the tree)": scale_bones(
            items, lengths[target] / lengths[build], parents
        ),
    }
    errors = {
        name: {"mse": float(np.square(v - true).mean()), "mae": float(np.abs(v - true).mean())}
        for name, v in found.items()
    }
    own = model.reconstruct(items)
    errors["reconstruction"] = {
        "mse": float(np.square(own - items).mean()), "mae": float(np.abs(own - items).mean())
    }  # fmt: skip
    _draw_skeletons([items, train.take(giver), made, true], parents, picture)
    return {"retarget": errors, "mae": errors["model"]["mae"]}


def bone_lengths(data: FactorDataset, parents: Array) -> Array:
    """Mean length of every bone (0 for the root) in 2-D over some rows of each build: [B, J]."""
    rows = np.arange(0, len(data), 97)
    joints = data.take(rows).reshape(len(rows), -1, 2)
    lengths = np.linalg.norm(joints - joints[:, np.maximum(parents, 0)], axis=2)
    build = data.factor("build")[rows]
    return np.stack([lengths[build == b].mean(0) for b in range(data.cardinality("build"))])


def scale_bones(items: Array, ratios: Array, parents: Array) -> Array:
    """Every bone multiplied by its own ratio [N, J], from the root outwards."""
    joints = items.reshape(len(items), -1, 2)
    result = joints.copy()
    ratios = np.nan_to_num(ratios, nan=1.0, posinf=1.0)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            result[:, joint] = result[:, parent] + bone * ratios[:, joint, None]
    return result.reshape(len(items), -1)


def _draw_skeletons(rows: list[Array], parents: Array, picture: Path) -> None:
    """Source, who gives the build, what was made, and the truth, below each other."""
    bones = [(n, int(p)) for n, p in enumerate(parents) if p >= 0]
    sheet = [
        draw_points(row[:10], bones, like=np.concatenate([r[:10] for r in rows])) for row in rows
    ]
    save_png(f"{picture}.png", tile(np.stack(sheet)), overwrite=True)
