"""Named sets of photos: tiny files of the published formats, and what is read from them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from unmingle.data import FactorDataset
from unmingle.data.options import read_options
from unmingle.data.sets import (
    affectnet,
    celeba,
    cifar10,
    deepfashion,
    edges2shoes,
    kth,
    market1501,
    rafd,
    svhn,
)
from unmingle.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


def load(entry, folder, *, rows=None, seed=0, own=None, **options):
    return entry.load(read_options(**options), folder, rows=rows, seed=seed, **(own or {}))


def paint(path: Path, width: int, height: int, grey: int = 0) -> None:
    """A picture of one grey; PNG data under any name, so that its pixels are exact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (grey, grey, grey)).save(path, format="PNG")


def greys(data) -> list[int]:
    return data.take()[:, 0, 0, 0].tolist()


def names(data, factor) -> list[str]:
    return [data.names(factor)[code] for code in data.factor(factor)]


# SVHN


def write_svhn(folder: Path, part: str, labels: list[int], **more) -> np.ndarray:
    pixels = RNG.integers(0, 256, (32, 32, 3, len(labels)), dtype=np.uint8)
    content = {"X": pixels, "y": np.array(labels, np.uint8)[:, None], **more}
    savemat(folder / f"{part}_32x32.mat", content, do_compression=True)
    return pixels


def test_svhn(tmp_path):
    train = write_svhn(tmp_path, "train", [1, 10, 9])
    test = write_svhn(tmp_path, "test", [10, 2])
    data = load(svhn.SET, tmp_path)
    assert data.shape == (32, 32, 3) and data.name == "svhn"
    assert data.factor("digit").tolist() == [1, 0, 9, 0, 2]
    assert names(data, "part") == ["train"] * 3 + ["test"] * 2
    for row in range(3):
        np.testing.assert_array_equal(data.take()[row], train[:, :, :, row])
    np.testing.assert_array_equal(data.take()[4], test[:, :, :, 1])
    some = load(svhn.SET, tmp_path, rows=[4, 1])
    np.testing.assert_array_equal(some.take(), data.take()[[4, 1]])
    assert some.ids.tolist() == [4, 1] and some.factor("digit").tolist() == [2, 0]
    left, right = svhn.SET.split(data, "official")
    assert left.ids.tolist() == [0, 1, 2] and right.ids.tolist() == [3, 4]
    with pytest.raises(ConfigError, match="no split 'lord'"):
        svhn.SET.split(data, "lord")
    write_svhn(tmp_path, "extra", [7])
    more = load(svhn.SET, tmp_path, own={"extra": True}, size=16)
    assert more.factor("digit").tolist() == [1, 0, 9, 0, 2, 7] and more.shape == (16, 16, 3)
    with pytest.raises(DataError, match="no row of those read is of the part test"):
        svhn.SET.split(data.select([0, 1]), "official")


def test_svhn_refuses_other_files(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"no train_32x32\.mat .* unmingle data get svhn"):
        load(svhn.SET, tmp_path)
    write_svhn(tmp_path, "train", [1, 11])
    write_svhn(tmp_path, "test", [1])
    with pytest.raises(DataError, match=r"no .*extra_32x32\.mat; unmingle data get svhn --extra"):
        load(svhn.SET, tmp_path, own={"extra": True})
    with pytest.raises(DataError, match="y is 11 in row 1, expected 1 to 10"):
        load(svhn.SET, tmp_path)
    savemat(tmp_path / "train_32x32.mat", {"y": np.ones((2, 1)), "X": np.zeros((2, 32, 32, 3))})
    with pytest.raises(DataError, match=r"X is float64 of shape \(2, 32, 32, 3\)"):
        load(svhn.SET, tmp_path)
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros(3)})
    with pytest.raises(DataError, match="there is no 'y'"):
        load(svhn.SET, tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"MATLAB 5.0 no more")
    with pytest.raises(DataError, match=r"train_32x32\.mat: not a whole MATLAB file"):
        load(svhn.SET, tmp_path)


# CIFAR-10


def write_cifar(folder: Path) -> dict[int, np.ndarray]:
    """Two records a batch; record n of all has label n % 10. Returns the images [32, 32, 3]."""
    folder.mkdir(parents=True)
    images = {}
    batches = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]
    for batch, name in enumerate(batches):
        content = b""
        for row in (2 * batch, 2 * batch + 1):
            images[row] = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            content += bytes([row % 10]) + images[row].transpose(2, 0, 1).tobytes()
        assert len(content) == 2 * 3073
        (folder / name).write_bytes(content)
    return images


def test_cifar10(tmp_path):
    images = write_cifar(tmp_path / "cifar-10-batches-bin")
    data = load(cifar10.SET, tmp_path)
    assert len(data) == 12 and data.shape == (32, 32, 3)
    for row in (0, 5, 11):
        np.testing.assert_array_equal(data.take()[row], images[row])
    assert names(data, "class")[:4] == ["airplane", "automobile", "bird", "cat"]
    assert data.factor("class").tolist() == [*range(10), 0, 1]
    train, test = cifar10.SET.split(data, "official")
    assert train.ids.tolist() == [*range(10)] and test.ids.tolist() == [10, 11]
    some = load(cifar10.SET, tmp_path / "cifar-10-batches-bin", rows=5, seed=3)
    np.testing.assert_array_equal(some.take(), data.take()[some.ids])
    on_disk = load(cifar10.SET, tmp_path, memory_limit=0, cache=tmp_path / "cache")
    np.testing.assert_array_equal(np.asarray(on_disk.images), data.take())


def test_cifar10_refuses_other_files(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80")
    with pytest.raises(DataError, match=r"pickles .* never opened; the binary version"):
        load(cifar10.SET, tmp_path)
    write_cifar(tmp_path / "c")
    batch = tmp_path / "c" / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(DataError, match="6,145 bytes are no whole number of records of 3,073"):
        load(cifar10.SET, tmp_path / "c")
    batch.write_bytes(bytes([10]) * 3073)
    with pytest.raises(DataError, match="the label of record 0 is 10"):
        load(cifar10.SET, tmp_path / "c")


# CelebA

FACES = ("000001.jpg", "000002.jpg", "000003.jpg", "000004.jpg")


def write_celeba(folder: Path, identity: bool = True) -> None:
    for number, name in enumerate(FACES):
        paint(folder / "img_align_celeba" / name, 178, 218, 10 * number)
    (folder / "list_attr_celeba.txt").write_text(
        "4\nMale Smiling \n000001.jpg -1  1\n000002.jpg  1 -1\n000003.jpg -1 -1\n000004.jpg  1  1\n"
    )
    (folder / "list_eval_partition.txt").write_text(
        "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"
    )
    (folder / "list_landmarks_align_celeba.txt").write_text(
        "4\nlefteye_x lefteye_y\n"
        + "".join(f"{name} {69 + n}  {109 - n}\n" for n, name in enumerate(FACES))
    )
    if identity:
        (folder / "identity_CelebA.txt").write_text(
            "000001.jpg 3\n000002.jpg 1\n000003.jpg 3\n000004.jpg 2\n"
        )


def test_celeba(tmp_path):
    write_celeba(tmp_path)
    data = load(celeba.SET, tmp_path)
    assert data.shape == (218, 178, 3) and greys(data) == [0, 10, 20, 30]
    assert names(data, "Male") == ["no", "yes", "no", "yes"]
    assert names(data, "Smiling") == ["yes", "no", "no", "yes"]
    assert names(data, "identity") == ["3", "1", "3", "2"] and data.cardinality("identity") == 3
    assert names(data, "part") == ["train", "train", "validation", "test"]
    assert data.continuous["lefteye_x"].tolist() == [69, 70, 71, 72]
    assert data.files[1] == "img_align_celeba/000002.jpg"
    train, test = celeba.SET.split(data, "official")
    assert train.ids.tolist() == [0, 1] and test.ids.tolist() == [3]
    some = load(celeba.SET, tmp_path, rows=2, seed=1, size=16)
    assert some.shape == (16, 16, 3) and some.cardinality("identity") == 3
    assert greys(some) == [10 * row for row in some.ids]
    assert len(celeba.ATTRIBUTES) == 40 == len(set(celeba.ATTRIBUTES))


def test_celeba_holds_out_1000_identities(tmp_path):
    numbers = np.arange(1, 1013)
    with_faces = FactorDataset(
        vectors=np.zeros((2024, 1)), factors={"identity": np.tile(numbers - 1, 2)}
    )
    train, test = celeba.SET.split(with_faces, "lord")
    assert (len(train), len(test)) == (24, 2000)
    assert not set(train.factor("identity")) & set(test.factor("identity"))
    some = with_faces.select(np.sort(np.concatenate([train.ids, test.ids[:30]])))
    assert celeba.SET.split(some, "lord")[0].ids.tolist() == train.ids.tolist()


def test_celeba_as_on_the_site_and_without_identities(tmp_path):
    write_celeba(tmp_path / "a", identity=False)
    for name, inside in (
        ("img_align_celeba", "Img/img_align_celeba"),
        ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt"),
        ("list_eval_partition.txt", "Eval/list_eval_partition.txt"),
        ("list_landmarks_align_celeba.txt", "Anno/list_landmarks_align_celeba.txt"),
    ):
        (tmp_path / "a" / inside).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).rename(tmp_path / "a" / inside)
    data = load(celeba.SET, tmp_path / "a")
    assert list(data.factors) == ["part", "Male", "Smiling"] and greys(data) == [0, 10, 20, 30]
    with pytest.raises(DataError, match="there is no factor 'identity'"):
        celeba.SET.split(data, "lord")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "4\n", "5\n", "it says 5 pictures and has 4"),
        ("list_attr_celeba.txt", "000002.jpg  1 -1", "000002.jpg  1", "000002.jpg has 1 values"),
        ("list_attr_celeba.txt", "000001.jpg -1", "000001.jpg 0", "Male of 000001.jpg is 0"),
        ("identity_CelebA.txt", "000003.jpg 3\n", "", "there is no line for 000003.jpg"),
        ("list_eval_partition.txt", "000003.jpg 1", "000003.jpg 3", "000003.jpg has 3, .*0 to 2"),
        ("identity_CelebA.txt", "000001.jpg 3", "000001.jpg x", "expected a picture and a number"),
    ],
)
def test_celeba_refuses_wrong_lists(tmp_path, file, old, new, message):
    write_celeba(tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load(celeba.SET, tmp_path)


def test_celeba_takes_the_middle_of_a_picture(tmp_path):
    write_celeba(tmp_path)
    # The middle 128x128 of 218x178 is white: rows 45 to 172, columns 25 to 152.
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[45:173, 25:153] = 255
    for name in FACES:
        Image.fromarray(pixels).save(tmp_path / "img_align_celeba" / name, format="PNG")
    whole = load(celeba.SET, tmp_path)
    assert whole.shape == (218, 178, 3) and not whole.take().all()
    data = load(celeba.SET, tmp_path, own={"crop": 128}, rows=[3, 0])
    assert data.shape == (128, 128, 3) and (data.take() == 255).all()
    assert data.ids.tolist() == [3, 0]
    assert load(celeba.SET, tmp_path, own={"crop": 128}, size=64).shape == (64, 64, 3)
    wider = load(celeba.SET, tmp_path, own={"crop": 130}).take()
    assert (wider[:, 1:-1, 1:-1] == 255).all() and not wider[:, 0].any()
    assert not wider[:, :, -1].any()
    assert load(celeba.SET, tmp_path, own={"crop": 178}).shape == (178, 178, 3)
    for side in (15, 179, -1):
        with pytest.raises(ConfigError, match=f"crop={side}: 16 to 178 pixels, or 0"):
            load(celeba.SET, tmp_path, own={"crop": side})
    for split in ("lord", "content-style"):
        (experiment,) = celeba.SET.splits[split].experiments
        assert experiment.reading == "--size 64 --option crop=128"


def test_celeba_names_what_is_missing(tmp_path):
    write_celeba(tmp_path)
    (tmp_path / "img_align_celeba/000003.jpg").unlink()
    with pytest.raises(DataError, match=r"000003\.jpg is listed and not there"):
        load(celeba.SET, tmp_path)
    (tmp_path / "list_attr_celeba.txt").unlink()
    with pytest.raises(DataError, match=r"no list_attr_celeba\.txt .*mmlab"):
        load(celeba.SET, tmp_path)


# KTH


class FakeVideo:
    """A "video" is a text file: height, width and a grey value a frame; -1 for one that is lost, -2
    where decoding fails.
    """

    def __init__(self, name: str) -> None:
        self.height, self.width, *self.frames = map(int, Path(name).read_text().split())
        self.streams = SimpleNamespace(video=[self])

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass

    def demux(self, stream):
        yield from (SimpleNamespace(size=1) for _ in self.frames)

    def decode(self, video):
        for value in self.frames:
            if value == -2:
                raise RuntimeError("no more frames")
            if value < 0:
                continue
            image = Image.new("RGB", (self.width, self.height), (value,) * 3)
            yield SimpleNamespace(to_image=lambda image=image: image)


@pytest.fixture
def fake_av(monkeypatch):
    module = ModuleType("av")
    module.open, module.FFmpegError = FakeVideo, RuntimeError
    monkeypatch.setitem(sys.modules, "av", module)


def write_video(folder: Path, name: str, *values: int) -> None:
    path = folder / name.split("_")[1] / f"{name}_uncomp.avi"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(map(str, (120, 160, *values))))


def test_kth(fake_av, tmp_path):
    write_video(tmp_path, "person01_boxing_d1", 1, 2, 3, 4)
    write_video(tmp_path, "person02_walking_d4", *range(10, 20))
    data = load(kth.SET, tmp_path)
    assert data.shape == (120, 160, 1) and len(data) == 14
    (tmp_path / "00sequences.txt").write_text(
        "KTH\n\nTraining: person11\n\nperson01_boxing_d1\t\tframes\t1-2, 4-9\n"
        "person02_walking_d4\tframes\t3-4, 7-8\n"
    )
    data = load(kth.SET, tmp_path)
    assert greys(data) == [1, 2, 4, 12, 13, 16, 17]
    assert names(data, "person") == ["1"] * 3 + ["2"] * 4 and data.cardinality("person") == 25
    assert names(data, "action") == ["boxing"] * 3 + ["walking"] * 4
    assert names(data, "scenario") == ["outdoors"] * 3 + ["indoors"] * 4
    assert names(data, "video")[::6] == ["person01_boxing_d1", "person02_walking_d4"]
    np.testing.assert_allclose(data.continuous["frame"][:4], [0, 1 / 3, 1, 2 / 9], rtol=1e-6)
    some = load(kth.SET, tmp_path, rows=[6, 0, 3], channels=3, size=(30, 40))
    assert some.shape == (30, 40, 3) and greys(some) == [17, 1, 12]
    assert some.ids.tolist() == [6, 0, 3] and names(some, "person") == ["2", "1", "2"]
    np.testing.assert_allclose(some.continuous["frame"], [7 / 9, 0, 2 / 9], rtol=1e-6)
    assert len(load(kth.SET, tmp_path, rows=5, seed=2)) == 5
    train, test = kth.SET.split(data, "official")
    assert greys(train) == [1, 2, 4] and names(test, "person") == ["2"] * 4
    train, test = kth.SET.split(data, "lord")
    assert (len(train), len(test)) == (6, 1)


def test_kth_leaves_out_what_the_damaged_video_lacks(fake_av, tmp_path):
    write_video(tmp_path, "person01_boxing_d4", *[5] * 245, *[6] * 60)
    data = load(kth.SET, tmp_path, size=16)
    assert len(data) == 245 and set(greys(data)) == {5}


def test_kth_keeps_what_the_damaged_video_gives(fake_av, tmp_path):
    write_video(tmp_path, "person01_boxing_d4", 5, 6, -2, 7)
    write_video(tmp_path, "person02_walking_d4", 8, 9)
    data = load(kth.SET, tmp_path)
    assert greys(data) == [5, 6, 8, 9]
    assert names(data, "person") == ["1", "1", "2", "2"]
    write_video(tmp_path, "person02_walking_d4", 8, -2, 9)
    with pytest.raises(DataError, match=r"walking_d4_uncomp\.avi: damaged \(no more frames\)"):
        load(kth.SET, tmp_path)


def test_kth_rows_of_a_video_that_ends_early(fake_av, tmp_path):
    write_video(tmp_path, "person01_boxing_d1", 1, 2, -1, -1)
    write_video(tmp_path, "person02_walking_d4", 3, 4)
    data = load(kth.SET, tmp_path, rows=[5, 3, 0, 1])
    assert greys(data) == [4, 1, 2] and data.ids.tolist() == [5, 0, 1]
    assert names(data, "person") == ["2", "1", "1"]


def test_kth_decodes_again_when_the_list_of_frames_changes(fake_av, tmp_path):
    write_video(tmp_path / "kth", "person01_boxing_d1", 1, 2, 3, 4)
    for frames, expected in (("1-2", [2, 1]), ("3-4", [4, 3]), ("1-2", [2, 1])):
        (tmp_path / "kth/00sequences.txt").write_text(f"person01_boxing_d1\tframes\t{frames}\n")
        data = load(kth.SET, tmp_path / "kth", rows=[1, 0], memory_limit=0)
        assert greys(data) == expected and data.ids.tolist() == [1, 0]


def test_kth_frames_as_pictures(tmp_path):
    for name in ("person03_running_d2", "person25_handwaving_d3_uncomp"):
        for number in (1, 2, 3):
            folder = tmp_path / name.split("_")[1] / name
            paint(folder / f"image_{number:04d}.png", 160, 120, number + 100 * ("25" in name))
    data = load(kth.SET, tmp_path)
    assert greys(data) == [101, 102, 103, 1, 2, 3]
    assert names(data, "person") == ["25"] * 3 + ["3"] * 3
    assert data.continuous["frame"].tolist() == [0, 0.5, 1] * 2
    assert names(data, "video")[::3] == ["person25_handwaving_d3", "person03_running_d2"]


def test_kth_refuses_other_files(fake_av, tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"no video .*www\.csc\.kth\.se"):
        load(kth.SET, tmp_path)
    write_video(tmp_path, "person26_boxing_d1", 1)
    with pytest.raises(DataError, match=r"boxing_d1_uncomp\.avi: its name"):
        load(kth.SET, tmp_path)
    (tmp_path / "boxing/person26_boxing_d1_uncomp.avi").unlink()
    write_video(tmp_path, "person06_boxing_d1", 1)
    (tmp_path / "00sequences.txt").write_text("person01_boxing_d1\tframes\t1-2\n")
    with pytest.raises(DataError, match="no line of frames for person06_boxing_d1"):
        load(kth.SET, tmp_path)


# RaFD


def test_rafd(tmp_path):
    paint(tmp_path / "Rafd090_01_Caucasian_female_angry_frontal.jpg", 40, 60, 1)
    paint(tmp_path / "Rafd000_73_Moroccan_male_surprised_right.jpg", 40, 60, 2)
    paint(tmp_path / "Rafd135_01_Caucasian_female_happy_left.jpg", 40, 60, 3)
    data = load(rafd.SET, tmp_path)
    assert greys(data) == [2, 1, 3] and data.shape == (60, 40, 3)
    assert names(data, "angle") == ["0", "90", "135"]
    assert names(data, "model") == ["73", "01", "01"]
    assert names(data, "ethnicity") == ["Moroccan", "Caucasian", "Caucasian"]
    assert names(data, "gender") == ["male", "female", "female"]
    assert names(data, "expression") == ["surprised", "angry", "happy"]
    assert names(data, "gaze") == ["right", "frontal", "left"]
    assert [data.cardinality(f) for f in ("angle", "expression", "gaze")] == [5, 8, 3]
    train, test = rafd.SET.split(data, "lord")
    assert sorted([*greys(train), *greys(test)]) == [1, 3] and len(test) == 1
    with pytest.raises(DataError, match="angles 45, 90 or 135"):
        rafd.SET.split(data.select([0]), "lord")
    paint(tmp_path / "Rafd090_02_Caucasian_female_bored_frontal.jpg", 40, 60)
    with pytest.raises(DataError, match=r"bored_frontal\.jpg: its name"):
        load(rafd.SET, tmp_path)


# Edges2Shoes


def write_pair(path: Path, left: int, right: int, size=(512, 256)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), left, np.uint8)
    pixels[:, size[0] // 2 :] = right
    Image.fromarray(pixels).save(path, format="PNG")


def test_edges2shoes(tmp_path):
    for number in (1, 2, 10):
        write_pair(tmp_path / f"edges2shoes/train/{number}_AB.jpg", number, 100 + number)
    write_pair(tmp_path / "edges2shoes/val/1_AB.jpg", 51, 151)
    data = load(edges2shoes.SET, tmp_path)
    assert data.shape == (256, 256, 3) and greys(data) == [1, 101, 2, 102, 10, 110, 51, 151]
    assert (data.take() == data.take()[:, :1, :1, :1]).all()  # nothing of the other half
    assert names(data, "domain") == ["edge", "photo"] * 4
    assert names(data, "pair")[::2] == ["train/1", "train/2", "train/10", "val/1"]
    train, test = edges2shoes.SET.split(data, "official")
    assert len(train) == 6 and greys(test) == [51, 151]
    some = load(edges2shoes.SET, tmp_path / "edges2shoes", rows=[5, 0], size=32)
    assert greys(some) == [110, 1] and some.ids.tolist() == [5, 0]
    assert some.cardinality("pair") == 4
    write_pair(tmp_path / "edges2shoes/val/2_AB.jpg", 1, 2, size=(1024, 512))
    with pytest.raises(DataError, match=r"2_AB\.jpg: 1024x512 pixels .* expected 512x256"):
        load(edges2shoes.SET, tmp_path)
    (tmp_path / "edges2shoes/val/2_AB.jpg").rename(tmp_path / "edges2shoes/val/shoe.jpg")
    with pytest.raises(DataError, match=r"shoe\.jpg: its name"):
        load(edges2shoes.SET, tmp_path)


# AffectNet

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal\n"
)


def affect_line(path: str, expression: int, valence: float, arousal: float) -> str:
    return f"{path},1,2,30,40,1.5;2.5;3.5,{expression},{valence},{arousal}\n"


def test_affectnet_lists(tmp_path):
    (tmp_path / "training.csv").write_text(
        HEADER
        + affect_line("1/a.jpg", 1, 0.5, -0.25)
        + affect_line("1/b.jpg", 10, -2, -2)
        + affect_line("2/c.JPG", 7, -0.5, 1)
        + affect_line("2/d.jpg", 0, -2, -2)
        + affect_line("2/e.jpg", 8, 0.5, 0.5)
    )
    (tmp_path / "validation.csv").write_text(affect_line("3/f.jpg", 0, 0, 0))  # without names
    for grey, (name, size) in enumerate(
        [("1/a.jpg", (20, 20)), ("2/c.JPG", (40, 30)), ("3/f.jpg", (16, 18))]
    ):
        paint(tmp_path / "Manually_Annotated_Images" / name, *size, grey)
    data = load(affectnet.SET, tmp_path, size=16)
    assert greys(data) == [0, 1, 2] and data.shape == (16, 16, 3)
    assert names(data, "expression") == ["happy", "contempt", "neutral"]
    assert names(data, "part") == ["train", "train", "validation"]
    assert data.continuous["valence"].tolist() == [0.5, -0.5, 0]
    assert data.continuous["arousal"].tolist() == [-0.25, 1, 0]
    assert greys(load(affectnet.SET, tmp_path, size=16, rows=[1])) == [1]
    train, test = affectnet.SET.split(data, "official")
    assert greys(train) == [0, 1] and greys(test) == [2]
    with pytest.raises(DataError, match="different sizes"):
        load(affectnet.SET, tmp_path)
    (tmp_path / "validation.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"validation\.csv: cannot be read as text"):
        load(affectnet.SET, tmp_path, size=16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("valence", "v") + affect_line("a", 1, 0, 0), "no column 'valence'"),
        (HEADER + "1/a.jpg,1,2\n", "line 2 has 3 values, expected 9"),
        (affect_line("a", 11, 0, 0), "line 1: the expression is 11"),
        (affect_line("a", 1, 1.5, 0), "line 1: valence is 1.5"),
        (affect_line("a", "x", 0, 0), "are x, 0, 0, expected numbers"),
        (affect_line("a", 8, 0, 0), "no picture with one of the expressions"),
    ],
)
def test_affectnet_refuses_wrong_lists(tmp_path, text, message):
    (tmp_path / "Manually_Annotated_Images").mkdir()
    (tmp_path / "training.csv").write_text(text)
    (tmp_path / "validation.csv").write_text("")
    with pytest.raises(DataError, match=message):
        load(affectnet.SET, tmp_path, size=16)


def test_affectnet_holds_out_as_many_faces_of_each_expression_but_neutral():
    counts = [30, 2500, 2000, 40, 41, 40, 40, 40]
    expression = np.random.default_rng(0).permutation(np.repeat(np.arange(8), counts))
    data = FactorDataset(vectors=np.zeros((len(expression), 1)), factors={"expression": expression})
    train, test = affectnet.SET.split(data, "reference-vae")
    held = np.bincount(test.factor("expression"), minlength=8)
    assert held.tolist() == [0, 1000, 1000, 20, 20, 20, 20, 20]
    assert sorted([*train.ids, *test.ids]) == list(range(len(data)))
    again = affectnet.SET.split(data, "reference-vae")[1]
    assert again.ids.tolist() == test.ids.tolist()


def test_affectnet_arrays(tmp_path):
    for part, number, notes in (
        ("train_set", 0, ("2", "-0.5", "0.25")),
        ("train_set", 17, ("5", "-2.0", "-2.0")),
        ("val_set", 0, (6, -1.0, 0.5)),
    ):
        paint(tmp_path / part / f"images/{number}.jpg", 24, 24, number + 3)
        (tmp_path / part / "annotations").mkdir(exist_ok=True)
        for key, value in zip(("exp", "val", "aro"), notes, strict=True):
            np.save(tmp_path / part / f"annotations/{number}_{key}.npy", np.array(value))
    data = load(affectnet.SET, tmp_path)
    assert len(data) == 2 and names(data, "expression") == ["sad", "anger"]
    assert data.continuous["valence"].tolist() == [-0.5, -1]
    assert names(data, "part") == ["train", "validation"]
    note = tmp_path / "val_set/annotations/0_aro.npy"
    np.save(note, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"0_aro\.npy: expected an \.npy of one number"):
        load(affectnet.SET, tmp_path)
    with pytest.raises(DataError, match=r"no training\.csv or train_set .*mohammadmahoor"):
        load(affectnet.SET, tmp_path / "val_set")


# Market-1501


def test_market1501(tmp_path):
    for grey, name in enumerate(
        (
            "bounding_box_train/0002_c1s1_000451_03.jpg",
            "bounding_box_train/0007_c3s3_077419_03.jpg",
            "query/0001_c1s1_001051_00.jpg",
            "bounding_box_test/-1_c1s1_000401_03.jpg",
            "bounding_box_test/0000_c6s2_000401_02.jpg.jpg",
            "bounding_box_test/0001_c2s1_000301_00.jpg",
        )
    ):
        paint(tmp_path / name, 64, 128, grey)
    (tmp_path / "bounding_box_test/Thumbs.db").write_bytes(b"")
    data = load(market1501.SET, tmp_path)
    assert data.shape == (128, 64, 3) and greys(data) == [0, 1, 2, 5]
    assert names(data, "person") == ["0002", "0007", "0001", "0001"]
    assert names(data, "camera") == ["1", "3", "1", "2"] and data.cardinality("camera") == 6
    assert names(data, "sequence") == ["1", "3", "1", "1"]
    assert names(data, "part") == ["train", "train", "query", "gallery"]
    train, test = market1501.SET.split(data, "official")
    assert greys(train) == [0, 1] and greys(test) == [2, 5]
    more = load(market1501.SET, tmp_path, own={"distractors": True})
    assert greys(more) == [0, 1, 2, 4, 5] and names(more, "person")[3] == "0000"
    paint(tmp_path / "query/person.jpg", 64, 128)
    with pytest.raises(DataError, match=r"person\.jpg: its name does not say .* 0002_c1s1"):
        load(market1501.SET, tmp_path)
    with pytest.raises(ConfigError, match="no option 'junk'"):
        load(market1501.SET, tmp_path, own={"junk": True})


# DeepFashion

LISTED = (
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg        id_00000002 train",
    "img/WOMEN/Dresses/id_00000002/02_7_additional.jpg   id_00000002 train",
    "img/WOMEN/Dresses/id_00000002/04_4_full.jpg         id_00000002 train",
    "img/MEN/Tees_Tanks/id_00000007/01_3_back.jpg        id_00000007 query",
    "img/MEN/Tees_Tanks/id_00000007/01_6_flat.jpg        id_00000007 gallery",
)


def write_inshop(folder: Path, lines=LISTED, count=None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join((str(count or len(lines)), "image_name item_id evaluation_status", *lines))
    (folder / "list_eval_partition.txt").write_text(text + "\n")
    for grey, line in enumerate(lines):
        paint(folder / line.split()[0], 32, 32, grey)


def test_deepfashion(tmp_path):
    write_inshop(tmp_path)
    data = load(deepfashion.SET, tmp_path)
    assert greys(data) == [0, 1, 2, 3, 4]
    assert names(data, "item") == ["id_00000002"] * 3 + ["id_00000007"] * 2
    assert [name[-2:] for name in names(data, "look")] == ["02", "02", "04", "01", "01"]
    assert data.cardinality("look") == 3
    assert names(data, "pose") == ["front", "additional", "full", "back", "flat"]
    assert names(data, "gender") == ["WOMEN"] * 3 + ["MEN"] * 2
    assert names(data, "category")[::3] == ["Dresses", "Tees_Tanks"]
    train, test = deepfashion.SET.split(data, "official")
    assert greys(train) == [0, 1, 2] and greys(test) == [3, 4]
    for name, inside in (("img", "Img"), ("list_eval_partition.txt", "Eval")):
        (tmp_path / inside).mkdir()
        (tmp_path / name).rename(tmp_path / inside / name)
    again = load(deepfashion.SET, tmp_path, rows=[4])
    assert greys(again) == [4] and again.cardinality("look") == 3


@pytest.mark.parametrize(
    "inside", ["img_highres", "Img/img_highres", "Img/img_highres/img_highres"]
)
def test_deepfashion_large_pictures_have_a_folder_of_another_name(tmp_path, inside):
    write_inshop(tmp_path)
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "img").rename(tmp_path / inside)
    data = load(deepfashion.SET, tmp_path)
    assert greys(data) == [0, 1, 2, 3, 4]
    assert data.files[0] == f"{inside}/WOMEN/Dresses/id_00000002/02_1_front.jpg"
    write_inshop(tmp_path)  # where both are there, the smaller ones are taken
    assert load(deepfashion.SET, tmp_path).files[0].startswith("img/WOMEN")


@pytest.mark.parametrize(
    ("line", "count", "message"),
    [
        (LISTED[0], 9, "it says 9 pictures and has 6"),
        (LISTED[0].replace("front", "upside"), None, "line 8 is 'img/WOMEN/.*upside"),
        (LISTED[0].replace("02 train", "03 train"), None, "line 8"),
        (LISTED[0].replace("train", "training"), None, "line 8"),
    ],
)
def test_deepfashion_refuses_wrong_lists(tmp_path, line, count, message):
    write_inshop(tmp_path, (*LISTED, line), count)
    with pytest.raises(DataError, match=message):
        load(deepfashion.SET, tmp_path)


# All of them

SETS = [
    module.SET
    for module in (
        affectnet, celeba, cifar10, deepfashion, edges2shoes, kth, market1501, rafd, svhn,
    )
]  # fmt: skip


@pytest.mark.parametrize("entry", SETS, ids=lambda entry: entry.name)
def test_a_set_says_what_it_is(entry, tmp_path):
    assert re.fullmatch(r"[a-z0-9-]+", entry.name) and entry.url.startswith("http")
    assert "\n" not in entry.summary and all(trap.endswith(".") for trap in entry.traps)
    for file in entry.downloads:
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{32}", file.sha256 or file.md5)
    with pytest.raises(DataError, match=rf"{entry.name}: there is no folder"):
        load(entry, tmp_path / "nowhere")
