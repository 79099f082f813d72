"""dSprites, Cars3D, SmallNORB, MPI3D, Chairs, Sprites, 3D Shapes: tiny files of their formats."""

from __future__ import annotations

import gzip

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import unmingle as um
from unmingle.data.catalogue import named_set
from unmingle.data.sets import _sprites2d, chairs, dsprites, mpi3d, smallnorb
from unmingle.errors import ConfigError, DataError

# dSprites


def write_dsprites(folder, **changes):
    """Six rows: colour, shape, scale, orientation, x, y, as the published file has them."""
    codes = np.array(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 0, 5, 10, 31, 1],
            [0, 1, 2, 20, 3, 4],
            [0, 1, 2, 39, 3, 5],
            [0, 2, 1, 39, 31, 31],
            [0, 2, 0, 1, 7, 9],
        ]
    )
    values = np.stack(
        [
            np.ones(6),
            codes[:, 1] + 1.0,
            0.5 + 0.1 * codes[:, 2],
            codes[:, 3] * 2 * np.pi / 39,
            codes[:, 4] / 31,
            codes[:, 5] / 31,
        ],
        axis=1,
    )
    images = np.zeros((6, 64, 64), np.uint8)
    images[np.arange(6), 10 + np.arange(6), 3] = 1
    arrays = {"imgs": images, "latents_values": values, "latents_classes": codes, **changes}
    # The published metadata are a pickled dictionary, which must never be unpickled.
    metadata = np.array({"latents_sizes": [1, 3, 6, 40, 32, 32]}, dtype=object)
    folder.mkdir(exist_ok=True)
    kept = {key: array for key, array in arrays.items() if array is not None}
    np.savez_compressed(folder / dsprites.FILE, metadata=metadata, **kept)
    return folder


def test_dsprites_pixels_and_factors(tmp_path):
    folder = write_dsprites(tmp_path / "d")
    data = um.load_data("dsprites", folder=folder)
    assert len(data) == 6 and data.shape == (64, 64, 1)
    for row in range(6):
        assert data.images[row, 10 + row, 3, 0] == 255 and (data.images[row] > 0).sum() == 1
    assert data.factor("shape").tolist() == [0, 0, 1, 1, 2, 2]
    assert data.factor("scale").tolist() == [0, 5, 2, 2, 1, 0]
    assert data.factor("orientation").tolist() == [0, 10, 20, 39, 39, 1]
    assert data.factor("position_x").tolist() == [0, 31, 3, 3, 31, 7]
    assert data.factor("position_y").tolist() == [0, 1, 4, 5, 31, 9]
    assert [data.cardinality(f) for f in data.factors] == [3, 6, 40, 32, 32]
    assert data.names("shape") == ("square", "ellipse", "heart")
    np.testing.assert_allclose(data.continuous["size"], [0.5, 1, 0.7, 0.7, 0.6, 0.5])
    np.testing.assert_allclose(data.continuous["angle"][3], 2 * np.pi, rtol=1e-6)
    np.testing.assert_allclose(data.continuous["x"][5], 7 / 31, rtol=1e-6)
    some = um.load_data("dsprites", folder=folder, rows=[4, 1], memory_limit=0)
    assert some.ids.tolist() == [4, 1] and some.images[0, 14, 3, 0] == 255


def test_dsprites_orientations_can_be_merged(tmp_path):
    folder = write_dsprites(tmp_path / "d")
    data = um.load_data("dsprites", folder=folder, orientations="distinct")
    assert data.ids.tolist() == [0, 1, 2, 5] and data.cardinality("orientation") == 39
    assert data.factor("orientation").tolist() == [0, 10, 20, 1]
    data = um.load_data("dsprites", folder=folder, orientations="symmetric")
    # 10 steps of 360/39 degrees are a quarter turn and 10/39 of a degree step: 1 of 39 in 90 deg.
    assert data.factor("orientation").tolist() == [0, 1, 1, 1]
    assert data.images[3, 15, 3, 0] == 255
    one = um.load_data("dsprites", folder=folder, orientations="distinct", rows=[3])
    assert one.ids.tolist() == [5]
    with pytest.raises(ConfigError, match=r"'symetric'.*'symmetric'"):
        um.load_data("dsprites", folder=folder, orientations="symetric")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imgs": None}, "no imgs inside"),
        ({"imgs": np.full((6, 64, 64), 2, np.uint8)}, "imgs has 2, expected 0 and 1"),
        ({"imgs": np.zeros((6, 32, 64), np.uint8)}, r"uint8 \(6, 32, 64\)"),
        ({"latents_classes": np.zeros((6, 5), int)}, r"latents are \(6, 5\)"),
        ({"latents_classes": np.full((6, 6), 3)}, "row 0: shape is 3"),
        ({"latents_classes": np.array([{}] * 6)}, "never unpickled"),
    ],
)
def test_other_dsprites_files_are_refused(tmp_path, changes, message):
    folder = write_dsprites(tmp_path / "d", **changes)
    with pytest.raises(DataError, match=message):
        um.load_data("dsprites", folder=folder)


def rendered(shape, scale=5, orientation=0, x=0, y=0):
    return _sprites2d.render(np.array([[shape, scale, orientation, x, y]]))[0, :, :, 0]


def extent(image):
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return rows[0], rows[-1], columns[0], columns[-1]


def test_rendered_sprites_have_the_sizes_and_places_worked_out_by_hand():
    # The centre is the middle of pixel 16 + position; the square reaches 11 pixels at scale 1.
    assert extent(rendered(0)) == (5, 27, 5, 27) and (rendered(0) > 0).sum() == 23 * 23
    assert extent(rendered(0, x=31, y=2)) == (7, 29, 36, 58)
    assert extent(rendered(0, scale=0)) == (11, 21, 11, 21)
    # The ellipse reaches 14 across and 7 down; pixels of other rows by its equation.
    ellipse = rendered(1)
    assert extent(ellipse) == (9, 23, 2, 30)
    for down in range(-7, 8):
        half = int(np.sqrt(14**2 * (1 - (down / 7) ** 2)))
        assert (ellipse[16 + down] > 0).sum() == 2 * half + 1
    heart = rendered(2)
    assert (heart[heart.any(1)][-1] > 0).sum() == 1  # the tip is below
    assert (heart == heart[:, np.arange(63, -1, -1)][:, np.r_[31:64, 0:31]]).all()
    for shape in range(3):
        assert set(np.unique(rendered(shape, 3, 7))) == {0, 255}
        for place in (0, 31):  # nothing is cut off at the border
            whole = (rendered(shape, 5, 5, 15, 15) > 0).sum()
            assert (rendered(shape, 5, 5, place, place) > 0).sum() == whole


def test_rendered_orientation_turns_and_the_last_is_the_first():
    for shape in range(3):
        assert (rendered(shape, 4, 39, 3, 8) == rendered(shape, 4, 0, 3, 8)).all()
        assert (rendered(shape, 4, 1) != rendered(shape, 4, 0)).any()
    # After 10 of 39 steps, a quarter turn counter-clockwise, the heart's tip is on the right.
    turned = rendered(2, orientation=10)
    columns = (turned > 0).sum(0)
    present = np.flatnonzero(columns)
    assert columns[present[-1]] <= 2 < columns[present[0]]
    ellipse = rendered(1, orientation=10)
    top, bottom, left, right = extent(ellipse)
    # 92.3 degrees: it reaches sqrt(14² cos² + 7² sin²) of 2.3 degrees, 13.99 and 7.02 pixels.
    assert bottom - top == 2 * 13 and right - left == 2 * 7


def test_rendered_symmetric_codes_put_like_looks_together():
    data = um.load_data("dsprites-rendered", rows=2000, orientations="symmetric")
    assert data.cardinality("orientation") == 39
    square = [rendered(0, orientation=k) for k in range(39)]
    by_code = {(4 * k) % 39: image for k, image in enumerate(square)}
    order = [by_code[code] for code in range(39)]
    apart = [(a != b).sum() for a, b in zip(order, [*order[1:], order[0]], strict=True)]
    plain = [(a != b).sum() for a, b in zip(square, [*square[1:], square[0]], strict=True)]
    assert max(apart) < min(plain)


def test_rendered_hearts_all_differ():
    codes = [[2, scale, k, 0, 0] for scale in range(6) for k in range(39)]
    assert len({image.tobytes() for image in _sprites2d.render(np.array(codes))}) == 6 * 39


def test_rendered_rows_are_those_of_the_published_order():
    data = um.load_data("dsprites-rendered", rows=[0, 1, 32, 1024, 737_279])
    assert [data.factor(name).tolist() for name in data.factors] == [
        [0, 0, 0, 0, 2],
        [0, 0, 0, 0, 5],
        [0, 0, 0, 1, 39],
        [0, 0, 1, 0, 31],
        [0, 1, 0, 0, 31],
    ]
    assert extent(data.images[1, :, :, 0])[0] == 12 and data.ids[-1] == 737_279
    with pytest.raises(ConfigError, match="no folder"):
        um.load_data("dsprites-rendered", folder=".")


# Cars3D


def write_cars(folder, names=("car_b_mesh", "car_a_mesh", "car_c_mesh")):
    """`im` [128,128,3,24,4]: pixel (row 1, column 2) of red is the car, of green the view."""
    (folder / "cars").mkdir(parents=True)
    (folder / "cars/list.txt").write_text("\n".join(names) + "\n")
    for number, name in enumerate(names):
        im = np.zeros((128, 128, 3, 24, 4), np.uint8)
        im[1, 2, 0] = 50 + number
        azimuth, elevation = np.meshgrid(np.arange(24), np.arange(4), indexing="ij")
        im[1, 2, 1] = 30 * elevation + azimuth
        im[5, 7, 2] = 9
        mask = np.zeros((128, 128, 24, 4), np.uint8)
        savemat(folder / f"cars/{name}.mat", {"im": im, "mask": mask}, do_compression=True)
    return folder


def test_cars3d_pixels_factors_and_order(tmp_path):
    folder = write_cars(tmp_path / "cars3d")
    data = um.load_data("cars3d", folder=folder)
    assert len(data) == 4 * 24 * 3 and data.shape == (128, 128, 3)
    assert data.names("object") == ("car_b_mesh", "car_a_mesh", "car_c_mesh")
    rows = np.arange(len(data))
    assert data.factor("elevation").tolist() == (rows // 72).tolist()
    assert data.factor("azimuth").tolist() == (rows // 3 % 24).tolist()
    assert data.factor("object").tolist() == (rows % 3).tolist()
    assert (data.images[:, 1, 2, 0] == 50 + rows % 3).all()
    assert (data.images[:, 1, 2, 1] == 30 * (rows // 72) + rows // 3 % 24).all()
    assert (data.images[:, 5, 7, 2] == 9).all() and (data.images[:, 7, 5] == 0).all()


def test_cars3d_opens_only_what_is_wanted(tmp_path):
    folder = write_cars(tmp_path / "cars3d")
    (folder / "cars").rename(folder / "moved")
    (folder / "data").mkdir()
    (folder / "moved").rename(folder / "data/cars")  # as the archive unpacks
    (folder / "data/cars/car_c_mesh.mat").unlink()
    data = um.load_data("cars3d", folder=folder, rows=[217, 3, 4], size=32)
    assert data.shape == (32, 32, 3) and data.ids.tolist() == [217, 3, 4]
    assert data.factor("elevation").tolist() == [3, 0, 0]
    with pytest.raises(DataError, match=r"no data/cars/car_c_mesh\.mat"):
        um.load_data("cars3d", folder=folder)
    (folder / "data/cars/car_c_mesh.mat").write_bytes(b"MATLAB 5.0 but not at all")
    with pytest.raises(DataError, match=r"car_c_mesh\.mat: not a whole MATLAB file"):
        um.load_data("cars3d", folder=folder)
    savemat(folder / "data/cars/car_c_mesh.mat", {"im": np.zeros((4, 4), np.uint8)})
    with pytest.raises(DataError, match=r"im is uint8 \(4, 4\), expected uint8 \(128, 128, 3"):
        um.load_data("cars3d", folder=folder)


def test_cars3d_holds_out_20_of_183_models():
    codes = np.arange(183)
    images = np.zeros((183, 16, 16, 1), np.uint8)
    data = um.FactorDataset(images=images, factors={"object": codes})
    train, test = named_set("cars3d").split(data, "lord")
    assert (len(train), len(test)) == (163, 20)
    data = um.FactorDataset(images=np.zeros((1393, 16, 16, 1), np.uint8), factors={
        "model": np.arange(1393),
    })  # fmt: skip
    assert len(named_set("chairs").split(data, "content-style")[1]) == 100


# SmallNORB

MAGIC = {"u1": 0x1E3D4C55, "i4": 0x1E3D4C54}


def norb(array, kind, order="<"):
    """Magic number, rank, at least three sides, values, all in the writer's byte order."""
    sides = [*array.shape, *[1] * max(0, 3 - array.ndim)]
    head = np.array([MAGIC[kind], array.ndim, *sides], f"{order}i4").tobytes()
    return head + array.astype(order + kind).tobytes()


# category, instance, elevation, azimuth (0 to 34), lighting
TRAIN = [[0, 4, 0, 0, 5], [4, 9, 8, 34, 0], [2, 6, 3, 12, 1]]
TEST = [[1, 0, 1, 2, 2], [3, 5, 7, 30, 3]]


def write_norb(folder, order="<", zipped=False, train=TRAIN):
    folder.mkdir(exist_ok=True)
    first = 0
    for part, labels in ((smallnorb.TRAIN, train), (smallnorb.TEST, TEST)):
        table = np.array(labels)
        pairs = np.zeros((len(table), 2, 96, 96), np.uint8)
        for pair in range(len(table)):
            for camera in range(2):
                pairs[pair, camera, 3, 80] = 100 + 2 * (first + pair) + camera
        first += len(table)
        contents = {
            "dat": norb(pairs, "u1", order),
            "cat": norb(table[:, 0], "i4", order),
            "info": norb(table[:, 1:], "i4", order),
        }
        for kind, content in contents.items():
            name = f"{part}-{kind}.mat" + (".gz" if zipped else "")
            (folder / name).write_bytes(gzip.compress(content, 1) if zipped else content)
    return folder


@pytest.mark.parametrize(("order", "zipped"), [("<", False), ("<", True), (">", False)])
def test_smallnorb_pixels_and_factors(tmp_path, order, zipped):
    folder = write_norb(tmp_path / "n", order, zipped)
    data = um.load_data("smallnorb", folder=folder)
    assert len(data) == 10 and data.shape == (96, 96, 1)
    assert data.images[:, 3, 80, 0].tolist() == list(range(100, 110))
    assert data.images[:, 80, 3].max() == 0
    pairs = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    expected = {
        "category": [0, 4, 2, 1, 3],
        "instance": [4, 9, 6, 0, 5],
        "elevation": [0, 8, 3, 1, 7],
        "azimuth": [0, 17, 6, 1, 15],
        "lighting": [5, 0, 1, 2, 3],
    }
    for name, values in expected.items():
        assert data.factor(name).tolist() == [values[pair] for pair in pairs], name
    assert data.factor("camera").tolist() == [0, 1] * 5
    assert data.names("category")[4] == "car" and data.names("azimuth")[17] == "340"
    assert data.continuous["azimuth_degrees"][2] == 340
    assert data.continuous["elevation_degrees"].tolist()[2:5:2] == [70, 45]


def test_smallnorb_cameras(tmp_path, monkeypatch):
    folder = write_norb(tmp_path / "n")
    second = um.load_data("smallnorb", folder=folder, cameras="second", rows=[4, 1])
    assert second.images[:, 3, 80, 0].tolist() == [109, 103] and "camera" not in second.factors
    first = um.load_data("smallnorb", folder=folder, cameras="first")
    assert first.images[:, 3, 80, 0].tolist() == [100, 102, 104, 106, 108]
    both = um.load_data("smallnorb", folder=folder, cameras="channels", rows=[3, 0])
    assert both.shape == (96, 96, 2)
    assert both.images[:, 3, 80].tolist() == [[106, 107], [100, 101]]
    with monkeypatch.context() as patch:
        patch.setattr("unmingle.data.storage.free_memory", lambda: 96 * 96 * 3)
        with pytest.raises(DataError, match=r"2 pairs \(fewer: rows=\) needs 36\.9 kB of memory"):
            um.load_data("smallnorb", folder=folder, cameras="channels", rows=2, memory_limit=0)
    half = um.load_data("smallnorb", folder=folder, cameras="channels", size=48)
    plain = um.load_data("smallnorb", folder=folder, size=48)
    np.testing.assert_array_equal(half.images[..., 1], plain.images[1::2, ..., 0])
    for options, word in (({"cameras": "third"}, "'third'"), ({"channels": 3}, "no channels=")):
        with pytest.raises(ConfigError, match=word):
            um.load_data("smallnorb", folder=folder, **{"cameras": "channels", **options})


def test_smallnorb_splits(tmp_path):
    data = um.load_data("smallnorb", folder=write_norb(tmp_path / "n"))
    train, test = data.split(protocol="smallnorb")
    assert train.ids.tolist() == [0, 1, 2, 3, 4, 5] and test.ids.tolist() == [6, 7, 8, 9]
    train, test = data.split(protocol="smallnorb-poses")
    assert len(test) == 1 and sorted([*train.ids, *test.ids]) == list(range(10))
    again = data.split(protocol="smallnorb-poses")[1]
    assert again.ids.tolist() == test.ids.tolist()


def test_smallnorb_is_taken_as_in_the_release_of_the_paper(tmp_path):
    # Both cameras are read, which is the default, and the camera is part of the class.
    data = um.load_data("smallnorb", folder=write_norb(tmp_path / "n"))
    for name, rest in (("smallnorb", "azimuth"), ("smallnorb-poses", "azimuth,elevation")):
        split = smallnorb.SET.splits[name]
        assert split.identity.endswith(",lighting,camera") and split.rest == rest
        assert "elevation" in f"{split.identity},{rest}"
        assert len(data.factor(split.identity)) == len(data.factor(rest)) == 10
        (experiment,) = split.experiments
        assert experiment.settings == {"class_factor": split.identity}
        assert experiment.reading == "--size 64"


def test_damaged_smallnorb_files_are_named(tmp_path):
    folder = write_norb(tmp_path / "n")
    (folder / f"{smallnorb.TEST}-dat.mat").write_bytes(norb(np.zeros((2, 2, 96, 96)), "u1")[:-5])
    with pytest.raises(DataError, match=r"testing-dat\.mat: not a whole NORB matrix"):
        um.load_data("smallnorb", folder=folder)
    (folder / f"{smallnorb.TEST}-dat.mat").write_bytes(b"\x93NUMPY, not a norb matrix")
    with pytest.raises(DataError, match=r"testing-dat\.mat: it does not begin like"):
        um.load_data("smallnorb", folder=folder)
    for wrong, message in (
        ([[0, 4, 0, 3, 5]], r"training-info.*row 0: azimuth is 3, expected 0, 2"),
        ([[0, 4, 9, 2, 5]], r"training-info.*row 0: elevation is 9, expected 0 to 8"),
        ([[5, 4, 0, 2, 5]], r"training-cat.*row 0: category is 5, expected 0 to 4"),
    ):
        write_norb(folder, train=wrong)
        with pytest.raises(DataError, match=message):
            um.load_data("smallnorb", folder=folder)
    (folder / f"{smallnorb.TRAIN}-cat.mat").unlink()
    with pytest.raises(DataError, match=r"training-cat\.mat.*data get smallnorb"):
        um.load_data("smallnorb", folder=folder)


# MPI3D


def test_mpi3d_layouts_are_those_published():
    final, challenge = mpi3d.LAYOUTS["toy"]
    assert [len(names) for names in final.values()] == [6, 6, 2, 3, 3, 40, 40]
    assert [len(names) for names in challenge.values()] == [4, 4, 2, 3, 3, 40, 40]
    assert final["object_color"][5] == "olive" and challenge["object_shape"][2] == "hexagonal prism"
    assert mpi3d.LAYOUTS["realistic"] == (final, challenge) and mpi3d.LAYOUTS["real"] == (final,)
    (everyday,) = mpi3d.LAYOUTS["complex"]
    assert [len(names) for names in everyday.values()] == [4, 4, 2, 3, 3, 40, 40]
    assert everyday["object_color"] == ("yellow", "green", "olive", "red")
    assert everyday["object_shape"] == ("coffee-cup", "tennis-ball", "croissant", "beer-cup")
    assert (mpi3d.REAL.rows, mpi3d.COMPLEX.rows) == (1_036_800, 460_800)
    for entry in (mpi3d.TOY, mpi3d.REALISTIC, mpi3d.REAL):
        (item,) = entry.downloads
        where = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/"
        assert item.url == f"{where}{entry.name.replace('-', '_')}.npz"
    assert mpi3d.COMPLEX.downloads == ()


@pytest.mark.parametrize("kind", ["toy", "realistic", "real", "complex"])
def test_mpi3d_pixels_and_factors(tmp_path, monkeypatch, kind):
    factors = {"object_color": ("white", "green", "red"), "vertical_axis": ("0", "1", "2", "3")}
    monkeypatch.setitem(mpi3d.LAYOUTS, kind, (factors,))
    images = np.zeros((12, 64, 64, 3), np.uint8)
    images[np.arange(12), 1, 2, 0] = 20 + np.arange(12)
    file = f"mpi3d_{kind}.npz" if kind != "complex" else "real3d_complicated_shapes_ordered.npz"
    np.savez(tmp_path / file, images=images)
    data = um.load_data(f"mpi3d-{kind}", folder=tmp_path, rows=[7, 2, 11])
    assert data.images[:, 1, 2, 0].tolist() == [27, 22, 31] and data.ids.tolist() == [7, 2, 11]
    assert data.factor("object_color").tolist() == [1, 0, 2]
    assert data.factor("vertical_axis").tolist() == [3, 2, 3]
    assert data.name == f"mpi3d-{kind}"
    np.savez(tmp_path / file, images=images[:5])
    with pytest.raises(DataError, match=r"uint8 \(5, 64, 64, 3\), expected 12 of uint8"):
        um.load_data(f"mpi3d-{kind}", folder=tmp_path)


def test_mpi3d_names_are_never_those_of_another_file(tmp_path, monkeypatch):
    def layout(*colours):
        return {"object_color": colours, "vertical_axis": ("0", "1")}

    final, earlier, everyday = layout("a", "b", "c"), layout("d", "e"), layout("f", "g")
    for kind, layouts in (
        ("toy", (final, earlier)),
        ("realistic", (final, earlier)),
        ("real", (final,)),
        ("complex", (everyday,)),
    ):
        monkeypatch.setitem(mpi3d.LAYOUTS, kind, layouts)
    images = np.zeros((4, 64, 64, 3), np.uint8)
    for kind in ("toy", "realistic", "real"):
        np.savez(tmp_path / f"mpi3d_{kind}.npz", images=images)
    np.savez(tmp_path / "real3d_complicated_shapes_ordered.npz", images=images)
    for kind, names in (("toy", ("d", "e")), ("realistic", ("d", "e")), ("complex", ("f", "g"))):
        assert um.load_data(f"mpi3d-{kind}", folder=tmp_path).names("object_color") == names
    # No earlier release of the photographs is known: these may be those of everyday objects.
    with pytest.raises(DataError, match=r"expected 6 of .*; so many are in .*mpi3d-complex"):
        um.load_data("mpi3d-real", folder=tmp_path)


# 3D Chairs


def write_chairs(folder, models=("b7", "a3"), side=20):
    """Red tells the model, green the number of the file."""
    for model, name in enumerate(models):
        place = folder / "rendered_chairs" / name / "renders"
        place.mkdir(parents=True)
        for elevation in range(2):
            for step in (0, 1, 20, 30):
                number = 32 * elevation + step
                file = f"image_{number:03d}_p{20 + 10 * elevation:03d}_t{step * 360 // 31:03d}_r096"
                pixels = np.full((side, side, 3), (100 + model, number, 0), np.uint8)
                Image.fromarray(pixels).save(place / f"{file}.png")
    (folder / "rendered_chairs/all_chair_names.mat").write_bytes(b"MATLAB")
    return folder


def test_chairs_file_names_are_those_published():
    # As listed by the authors of DisUnknown, and three names that are quoted elsewhere.
    assert chairs.AZIMUTHS[:6] == (0, 11, 23, 34, 46, 58) and chairs.AZIMUTHS[30] == 348
    place = chairs.Path("x")
    assert chairs._pose(place, "image_001_p020_t011_r096.png") == (0, 1)
    assert chairs._pose(place, "image_020_p020_t232_r096.png") == (0, 20)
    assert chairs._pose(place, "image_052_p030_t232_r096.png") == (1, 20)


def test_chairs_pixels_and_factors(tmp_path):
    folder = write_chairs(tmp_path / "chairs")
    data = um.load_data("chairs", folder=folder)
    assert len(data) == 16 and data.shape == (20, 20, 3)
    assert data.names("model") == ("a3", "b7")
    assert data.factor("model").tolist() == [0] * 8 + [1] * 8
    assert data.factor("elevation").tolist() == [0, 0, 0, 0, 1, 1, 1, 1] * 2
    assert data.factor("azimuth").tolist() == [0, 1, 20, 30] * 4
    numbers = 32 * data.factor("elevation") + data.factor("azimuth")
    assert (data.images[:, 5, 5, 1] == numbers).all()
    assert (data.images[:, 5, 5, 0] == 101 - data.factor("model")).all()
    assert data.cardinality("azimuth") == 31
    np.testing.assert_allclose(data.continuous["azimuth_degrees"][1], 360 / 31, rtol=1e-6)
    some = um.load_data("chairs", folder=folder / "rendered_chairs", rows=[9, 2], size=16)
    assert some.images[:, 3, 3, 1].tolist() == [1, 20] and some.ids.tolist() == [9, 2]
    assert some.factor("model").tolist() == [1, 0]


def test_the_doubled_view_is_left_out_and_strange_names_are_refused(tmp_path):
    folder = write_chairs(tmp_path / "chairs")
    place = folder / "rendered_chairs/a3/renders"
    pixels = Image.fromarray(np.zeros((20, 20, 3), np.uint8))
    pixels.save(place / "image_031_p020_t360_r096.png")
    (place / "notes.txt").write_text("x")
    assert len(um.load_data("chairs", folder=folder)) == 16
    for name in ("image_003_p025_t034_r096.png", "image_003_p020_t035_r096.png", "other.png"):
        pixels.save(place / name)
        with pytest.raises(DataError, match=f"{name}: the name is not understood"):
            um.load_data("chairs", folder=folder)
        (place / name).unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/all_chair_names.mat").touch()
    with pytest.raises(DataError, match=r"rendered_chairs/<model>/renders.*seeing3Dchairs"):
        um.load_data("chairs", folder=tmp_path / "empty")


# Sprites

LENGTHS = [2, 2, 2, 2] + [1] * 16  # of the 20 animations; the 21st has 3 frames


def write_sprites(folder, characters=4, splits=((1, 2), (3,), (4,))):
    """MATLAB 7.3 as HDF5: `sprites` is a cell array of [10800, frames], columns first."""
    base = folder / "sprites"
    base.mkdir(parents=True, exist_ok=True)
    for character in range(characters):
        with h5py.File(base / f"sprites_{character}.mat", "w") as file:
            cells = np.empty((21, 1), dtype=h5py.ref_dtype)
            frame = 0
            for animation, length in enumerate([*LENGTHS, 3]):
                pictures = np.zeros((length, 60, 60, 3))  # row, column, channel
                for at in range(length):
                    pictures[at, 7, 50, 0] = (40 + character) / 255
                    pictures[at, 7, 50, 1] = frame / 255
                    pictures[at, 8, 2, 2] = 1.0
                    frame += 1
                flat = pictures.transpose(0, 3, 2, 1).reshape(length, -1)
                cells[animation, 0] = file.create_dataset(f"#refs#/{animation}", data=flat).ref
            file.create_dataset("sprites", data=cells, dtype=h5py.ref_dtype)
            file["labels"] = np.array(
                [[1], [0], [character], [2], [0], [1], [character % 2]], float
            )
    train, validation, test = splits
    arrays = {"trainidx": [train], "validx": [validation], "testidx": [test]}
    savemat(base / "sprites_splits.mat", {k: np.array(v, float) for k, v in arrays.items()})
    return folder


def test_sprites_pixels_and_factors(tmp_path):
    folder = write_sprites(tmp_path / "s")
    data = um.load_data("sprites", folder=folder)
    assert len(data) == 4 * 24 and data.shape == (60, 60, 3)
    rows = np.arange(96)
    assert (data.images[:, 7, 50, 0] == 40 + rows // 24).all()
    assert (data.images[:, 7, 50, 1] == rows % 24).all()
    assert (data.images[:, 8, 2, 2] == 255).all() and (data.images[:, 50, 7] == 0).all()
    assert data.factor("character").tolist() == (rows // 24).tolist()
    assert data.factor("pose").tolist() == (rows % 24).tolist()
    assert data.factor("action")[:24].tolist() == [0] * 8 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert data.factor("view")[:12].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3]
    assert data.factor("frame")[:10].tolist() == [0, 1] * 4 + [0, 0]
    assert data.names("pose")[3] == "spellcast 1 1"
    assert data.factor("hair")[::24].tolist() == [0, 1, 2, 3]
    assert data.factor("weapon")[::24].tolist() == [0, 1, 0, 1]
    assert data.factor("body").tolist() == [1] * 96
    assert data.factor("part")[::24].tolist() == [0, 0, 1, 2]
    some = um.load_data("sprites", folder=folder, rows=[50, 3], size=30)
    assert some.shape == (30, 30, 3) and some.factor("character").tolist() == [2, 0]
    assert some.value_names == data.value_names


def test_sprites_splits(tmp_path):
    data = um.load_data("sprites", folder=write_sprites(tmp_path / "s"), size=16)
    train, test = data.split(protocol="official")
    assert set(train.factor("character")) == {0, 1} and set(test.factor("character")) == {3}
    train, test = data.split(protocol="robust-disentangling")
    assert set(train.factor("character")) == {0} and set(test.factor("character")) == {2}


def test_damaged_sprites_are_named(tmp_path):
    folder = write_sprites(tmp_path / "s", splits=((1, 2), (3,), (9,)))
    with pytest.raises(DataError, match=r"testidx names characters 9 to 9.*files of 4"):
        um.load_data("sprites", folder=folder)
    write_sprites(folder, splits=((1, 2), (3,), (3,)))
    with pytest.raises(DataError, match="character 4 is in no part"):
        um.load_data("sprites", folder=folder)
    write_sprites(folder)
    (folder / "sprites/sprites_2.mat").write_bytes(b"no")
    with pytest.raises(DataError, match=r"sprites_2\.mat: not a whole MATLAB 7\.3"):
        um.load_data("sprites", folder=folder)
    with h5py.File(folder / "sprites/sprites_2.mat", "w") as file:
        file["labels"] = np.zeros((7, 1))
        file["sprites"] = np.zeros((1, 21))  # numbers in place of references
    with pytest.raises(DataError, match=r"sprites_2\.mat: not a whole MATLAB 7\.3"):
        um.load_data("sprites", folder=folder)
    with h5py.File(folder / "sprites/sprites_2.mat", "w") as file:
        file["labels"] = np.full((7, 1), 0.5)
    with pytest.raises(DataError, match=r"sprites_2\.mat: labels is"):
        um.load_data("sprites", folder=folder)
    (folder / "sprites/sprites_splits.mat").unlink()
    with pytest.raises(DataError, match=r"no sprites/sprites_splits\.mat or .*data get sprites"):
        um.load_data("sprites", folder=folder)


# 3D Shapes


def test_shapes3d_with_a_folder_is_the_published_file(tmp_path):
    images = np.zeros((3, 64, 64, 3), np.uint8)
    images[:, 4, 5, 1] = [7, 8, 9]
    labels = np.array(
        [
            [0.0, 0.1, 0.9, 0.75, 0, -30],
            [0.5, 0.0, 0.2, 1.25, 3, 30],
            [0.3, 0.3, 0.3, 0.75, 2, 0],
        ]
    )
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"], file["labels"] = images, labels
    data = um.load_data("shapes3d", folder=tmp_path)
    assert data.images[:, 4, 5, 1].tolist() == [7, 8, 9] and data.origin == "shapes3d"
    assert data.factor("orientation").tolist() == [0, 14, 7]
    some = um.load_data("shapes3d", folder=tmp_path, rows=[2, 0], size=32)
    assert some.factor("wall_hue").tolist() == [3, 1] and some.shape == (32, 32, 3)
    assert len(um.load_data("shapes3d", rows=5)) == 5  # rendered
    (tmp_path / "3dshapes.h5").rename(tmp_path / "shapes.h5")
    with pytest.raises(DataError, match=r"no 3dshapes\.h5 in"):
        um.load_data("shapes3d", folder=tmp_path)
