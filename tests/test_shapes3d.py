"""The 3D Shapes renderer and the reader of the published file."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from unmingle.data import shapes3d
from unmingle.data.shapes3d import factors_to_index, index_to_factors, load, read_h5, render
from unmingle.data.shapes3d_scene import geometry
from unmingle.errors import DataError

FLOOR, WALL, OBJECT, SCALE, SHAPE, ORIENTATION = range(6)
CUBE, CYLINDER, SPHERE, CAPSULE = range(4)
BASE = (3, 8, 1, 4, SPHERE, 3)


def picture(size: int | tuple[int, int] = 64, **changes: int) -> np.ndarray:
    row = [changes.get(name, value) for name, value in zip(shapes3d.NAMES, BASE, strict=True)]
    return render(np.array([row]), size)[0]


def shown(scale: float, shape: int, degrees: float, size: int = 64) -> dict[str, np.ndarray]:
    """Which pixels show nothing but one thing."""
    maps = geometry(scale, shape, degrees, size, size)
    floor, wall, thing, sky, white = maps > 0
    return {
        "floor": floor & ~wall & ~thing & ~sky & ~white,
        "wall": wall & ~floor & ~thing & ~sky & ~white,
        "object": thing & ~floor & ~wall & ~sky,
        "sky": sky & ~floor & ~wall & ~thing,
    }


def test_factors_are_the_published_ones():
    assert shapes3d.FACTORS == (
        ("floor_hue", 10),
        ("wall_hue", 10),
        ("object_hue", 10),
        ("scale", 8),
        ("shape", 4),
        ("orientation", 15),
    )
    assert shapes3d.ROWS == 480_000
    assert all(len(shapes3d.VALUE_NAMES[name]) == count for name, count in shapes3d.FACTORS)
    assert shapes3d.VALUE_NAMES["scale"][:2] == ("0.75", "0.82")
    assert shapes3d.VALUE_NAMES["orientation"][::7] == ("-30.0", "0.0", "30.0")


def test_rows_are_in_the_published_order():
    # Orientation varies fastest, floor hue slowest; 48,000 = 10*10*8*4*15 rows a floor hue.
    assert index_to_factors([0, 14, 15, 60, 480, 4_800, 48_000, 479_999]).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 14],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [9, 9, 9, 7, 3, 14],
    ]
    rows = np.random.default_rng(0).integers(0, 480_000, 1000)
    np.testing.assert_array_equal(factors_to_index(index_to_factors(rows)), rows)


def test_same_bits_alone_in_any_batch_and_after_other_sizes(monkeypatch):
    factors = index_to_factors(np.random.default_rng(1).integers(0, 480_000, 40))
    together = render(factors, 32)
    assert together.shape == (40, 32, 32, 3) and together.dtype == np.uint8
    monkeypatch.setattr(shapes3d, "_cache", shapes3d._Cache(2**20))
    render(factors[:3], 48)
    backwards = np.concatenate([render(row[None], 32) for row in factors[::-1]])[::-1]
    np.testing.assert_array_equal(together, backwards)


def test_cache_is_bounded_and_forgets_the_least_used():
    one = 32 * 32 * 5 * 4
    cache = shapes3d._Cache(2 * one)
    first = cache.get((0, SPHERE, 7, 32, 32))
    cache.get((1, SPHERE, 7, 32, 32))
    assert cache.get((0, SPHERE, 7, 32, 32)) is first
    cache.get((2, SPHERE, 7, 32, 32))
    assert cache.used == 2 * one
    assert cache.get((0, SPHERE, 7, 32, 32)) is first
    again = cache.get((1, SPHERE, 7, 32, 32))
    assert cache.used == 2 * one
    np.testing.assert_array_equal(again, shapes3d._Cache(0).get((1, SPHERE, 7, 32, 32)))


@pytest.mark.parametrize("name", ["floor_hue", "wall_hue", "object_hue"])
def test_a_hue_changes_its_own_surface_and_no_other(name):
    pixels = shown(shapes3d.SCALES[4], SPHERE, shapes3d.ORIENTATIONS[3])
    assert min(mask.sum() for mask in pixels.values()) > 100
    changed = (picture() != picture(**{name: 6})).any(axis=2)
    for surface, mask in pixels.items():
        if name.startswith(surface):
            assert changed[mask].all()
        else:
            assert not changed[mask].any()


@pytest.mark.parametrize("name", ["scale", "shape", "orientation"])
def test_every_value_of_a_geometry_factor_gives_another_picture(name):
    count = dict(shapes3d.FACTORS)[name]
    pictures = [picture(**{name: value}).astype(int) for value in range(count)]
    for one in range(count):
        for other in range(one):
            assert np.abs(pictures[one] - pictures[other]).max() > 40


@pytest.mark.parametrize("name", ["scale", "shape"])
def test_the_object_leaves_the_sky_and_far_walls_alone(name):
    changed = (picture() != picture(**{name: 1})).any(axis=2)
    assert changed[20:50, 20:44].any()
    assert not changed[:8].any()
    assert not changed[:24, :10].any() and not changed[:24, -10:].any()


@pytest.mark.parametrize("hue", range(10))
def test_surfaces_have_their_hue(hue):
    image = picture(floor_hue=hue, wall_hue=(hue + 3) % 10, object_hue=(hue + 5) % 10) / 255
    pixels = shown(shapes3d.SCALES[4], SPHERE, shapes3d.ORIENTATIONS[3])
    for surface, expected in (("floor", hue), ("wall", hue + 3), ("object", hue + 5)):
        red, green, blue = np.median(image[pixels[surface]], axis=0)
        found, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        apart = (found - expected / 10 + 0.5) % 1 - 0.5
        assert abs(apart) < 0.01
        assert saturation > (0.7 if surface == "object" else 0.99)  # the object shines a little
        assert 0.5 < value <= 1


def test_hue_colours_match_the_hsv_formula():
    expected = [colorsys.hsv_to_rgb(hue / 10, 1, 1) for hue in range(10)]
    np.testing.assert_allclose(shapes3d._hue_tenths() / 10, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [CUBE, CYLINDER, SPHERE, CAPSULE])
def test_opposite_orientations_are_mirror_images(shape):
    # Room and objects are symmetric, so turning the other way is looking into a mirror.
    for orientation in (0, 3, 6):
        left = picture(shape=shape, orientation=orientation).astype(int)
        right = picture(shape=shape, orientation=14 - orientation).astype(int)
        assert np.abs(left - right[:, ::-1]).max() <= 2
        assert np.abs(left - right).max() > 40
    middle = picture(shape=shape, orientation=7).astype(int)
    assert np.abs(middle - middle[:, ::-1]).max() <= 2


def test_only_the_cube_has_sides():
    for shape in range(4):
        ahead = geometry(1.0, shape, 0.0, 64, 64)[2]
        turned = geometry(1.0, shape, 30.0, 64, 64)[2]
        assert (np.abs(ahead - turned).max() > 0.1) == (shape == CUBE)


EYE = np.array([0, -3.2, 1.4])
AHEAD = (np.array([0, 0, 0.52]) - EYE) / np.linalg.norm([0, 3.2, -0.88])
ABOVE = np.cross([1, 0, 0], AHEAD)
HALF_VIEW = np.tan(np.radians(24))


@pytest.mark.parametrize("scale", [0.75, 1.0, 1.25])
def test_projection_of_the_cube_against_its_corners(scale):
    # Seen face on: lowest the front edge on the floor, highest the back edge of the top.
    maps = geometry(scale, CUBE, 0.0, 256, 256)
    covered = maps[2] > 0.3
    half = 0.45 * scale
    corners = np.array([[half, -half, 0], [half, half, 2 * half], [half, -half, 2 * half]]) - EYE
    depth = corners @ AHEAD
    lowest, highest, _ = 128 - 128 * corners @ ABOVE / depth / HALF_VIEW
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    assert abs(rows[0] - highest) < 1.5 and abs(rows[-1] + 1 - lowest) < 1.5
    # Widest where nearest: the upper corners of the front.
    widest = 128 * half / depth[2] / HALF_VIEW
    assert abs(columns[-1] + 1 - (128 + widest)) < 1.5
    assert abs(columns[0] - (128 - widest)) < 1.5


def test_projection_of_the_sphere_against_its_cone():
    # Its silhouette is the cone of half angle asin(radius / distance) around its centre.
    radius = 0.55
    maps = geometry(1.0, SPHERE, 0.0, 256, 256)
    covered = maps[2] > 0.3
    across = (np.arange(256) + 0.5 - 128) / 128 * HALF_VIEW
    rays = AHEAD + across[None, :, None] * [1, 0, 0] - across[:, None, None] * ABOVE
    rays /= np.linalg.norm(rays, axis=2, keepdims=True)
    to_centre = np.array([0, 0, radius]) - EYE
    distance = np.linalg.norm(to_centre)
    inside = rays @ (to_centre / distance) > np.sqrt(1 - (radius / distance) ** 2)
    assert inside.sum() > 5000
    assert (covered != inside).sum() < 0.02 * inside.sum()


@pytest.mark.parametrize("shape", range(4))
def test_weights_share_each_pixel_and_the_floor_is_darker_at_the_object(shape):
    maps = geometry(1.0, shape, -8.5, 64, 64)
    assert maps.min() >= 0 and maps.sum(axis=0).max() < 1 + 1e-6
    bottom = np.flatnonzero((maps[2] > 0.3).any(axis=1))[-1]
    beside = maps[0][bottom + 2, 26:38].mean()
    assert 0.2 < beside < 0.9 * maps[0][-2, 26:38].mean()


@pytest.mark.parametrize(
    ("size", "shape"),
    [(16, (16, 16)), (64, (64, 64)), ((100, 80), (100, 80)), ((33, 150), (33, 150))],
)
def test_sizes(size, shape):
    image = picture(size)
    assert image.shape == (*shape, 3)
    # Sky above, wall behind, floor below, the object in the middle: their hues at their places.
    height, width = shape
    row = np.array([[0, 4, 7, 4, SPHERE, 7]])
    top, centre, bottom = render(row, size)[0, [0, height // 2, height - 1], width // 2].astype(int)
    assert top[2] > top[0] > 60
    assert centre[2] > centre[1]
    assert bottom[0] > 100 and bottom[1] == bottom[2] == 0


def test_a_larger_picture_is_the_smaller_one_in_more_detail():
    large = picture(128).reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(large - picture(64)).mean() < 1


def test_load_draws_seeded_rows_with_names_and_ids():
    data = load(rows=50, size=16, seed=3)
    assert len(data) == 50 and data.shape == (16, 16, 3) and data.name == "shapes3d"
    assert (np.diff(data.ids) > 0).all()
    np.testing.assert_array_equal(data.ids, load(rows=50, size=16, seed=3).ids)
    assert (data.ids != load(rows=50, size=16, seed=4).ids).any()
    factors = np.stack([data.factor(name) for name in shapes3d.NAMES], axis=1)
    np.testing.assert_array_equal(factors_to_index(factors), data.ids)
    np.testing.assert_array_equal(data.take(), render(factors, 16))
    assert [data.cardinality(name) for name in shapes3d.NAMES] == [10, 10, 10, 8, 4, 15]
    assert data.value_names["shape"] == ("cube", "cylinder", "sphere", "capsule")


def test_load_keeps_the_order_of_given_rows():
    data = load(rows=[479_999, 0, 15], size=16)
    assert data.ids.tolist() == [479_999, 0, 15]
    assert data.factor("shape").tolist() == [CAPSULE, CUBE, CYLINDER]


def test_more_pictures_than_memory_are_refused_before_rendering(monkeypatch):
    monkeypatch.setattr("unmingle.data.storage.free_memory", lambda: 10**9)
    with pytest.raises(DataError, match=r"480,000 pictures.*rows="):
        load()


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.zeros((2, 5), int), r"\(2, 5\).*floor_hue"),
        (np.zeros(6, int), r"\(6,\)"),
        (np.zeros((1, 6)), "float64"),
        (np.array([[0, 0, 0, 0, 0, 0], [0, 10, 0, 0, 0, 0]]), "row 1: wall_hue is 10.*0 to 9"),
        (np.array([[0, 0, 0, 0, -1, 0]]), "row 0: shape is -1.*0 to 3"),
    ],
)
def test_wrong_factors_are_named(factors, message):
    with pytest.raises(DataError, match=message):
        render(factors)


@pytest.mark.parametrize("size", [15, (64, 8), (64, 64, 3), 64.0, "64", True, None])
def test_wrong_size(size):
    with pytest.raises(DataError, match="size="):
        render(np.zeros((1, 6), int), size)


def test_wrong_row_numbers():
    with pytest.raises(DataError, match=r"indices\[1\] is 480000"):
        index_to_factors([0, 480_000])
    with pytest.raises(DataError, match="float64"):
        index_to_factors([0.5])


# The published file

VALUES = (
    *[np.arange(10) / 10] * 3,
    np.linspace(0.75, 1.25, 8),
    np.arange(4),
    np.linspace(-30, 30, 15),
)


def write_h5(path, *, images=None, labels=None, **layout):
    h5py = pytest.importorskip("h5py")
    rows = np.arange(0, 480_000, 4_799)
    factors = index_to_factors(rows)
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, (len(rows), 64, 64, 3), np.uint8)
    if labels is None:
        labels = np.stack([VALUES[at][factors[:, at]] for at in range(6)], axis=1)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **layout)
        file.create_dataset("labels", data=labels)
    return images, factors


@pytest.mark.parametrize(
    "layout", [{}, {"chunks": (7, 64, 64, 3), "compression": "gzip"}, {"chunks": (90, 8, 8, 3)}]
)
def test_h5_rows_and_codes(tmp_path, layout):
    path = tmp_path / "3dshapes.h5"
    images, factors = write_h5(path, **layout)
    data = read_h5(path)
    assert len(data) == len(images) == 101
    np.testing.assert_array_equal(data.take(), images)
    codes = np.stack([data.factor(name) for name in shapes3d.NAMES], axis=1)
    np.testing.assert_array_equal(codes, factors)

    picked = [100, 3, 64, 63, 0]
    some = read_h5(path, rows=picked)
    np.testing.assert_array_equal(some.take(), images[picked])
    np.testing.assert_array_equal(some.factor("orientation"), factors[picked, ORIENTATION])
    assert some.ids.tolist() == picked

    drawn = read_h5(path, rows=20, seed=1)
    assert len(drawn) == 20 and (np.diff(drawn.ids) > 0).all()
    np.testing.assert_array_equal(drawn.take(), images[drawn.ids])


def test_h5_errors(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "3dshapes.h5"
    with pytest.raises(DataError, match="no such file"):
        read_h5(path)
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        read_h5(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(DataError, match="no 'labels'"):
        read_h5(path)
    write_h5(path, images=np.zeros((101, 64, 64, 3)))
    with pytest.raises(DataError, match="images are float64"):
        read_h5(path)
    labels = np.stack([values[[0, 1]] for values in VALUES], axis=1)
    labels[1, SCALE] = 2
    write_h5(path, images=np.zeros((2, 64, 64, 3), np.uint8), labels=labels)
    with pytest.raises(DataError, match=r"labels row 1: scale is 2, none of 0\.75"):
        read_h5(path)
    assert len(read_h5(path, rows=[0])) == 1
    with pytest.raises(DataError, match=r"rows\[0\] is 2; rows are 0 to 1"):
        read_h5(path, rows=[2])
