"""Named sets of people: joints in pictures, skeletons, landmarks and animations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from unmingle.data.options import read_options
from unmingle.data.sets import _bvh, bbc_pose, mixamo, ntu, voxceleb_landmarks
from unmingle.data.views import project
from unmingle.errors import ConfigError, DataError


def load(entry, folder, *, rows=None, seed=0, own=None, **options):
    return entry.load(read_options(**options), folder, rows=rows, seed=seed, **(own or {}))


def names(data, factor) -> list[str]:
    return [data.names(factor)[code] for code in data.factor(factor)]


# BBC Pose

FIELDS = (
    "videoName", "type", "source", "train_frames", "train_joints", "test_frames", "test_joints",
)  # fmt: skip


def write_bbc(folder: Path, videos: dict[int, tuple]) -> None:
    """bbcpose.mat as a 1xM struct array of the published fields; frames as pictures."""
    table = np.zeros((1, 22), [(name, object) for name in FIELDS])
    for number in range(22):
        kind, frames, tested = videos.get(number + 1, ("train", [], []))
        joints = [np.zeros((2, 7, len(part))) for part in (frames, tested)]
        for offset, part, values in ((0, frames, joints[0]), (1000, tested, joints[1])):
            for at, frame in enumerate(part):
                values[0, :, at] = offset + 10 * frame + np.arange(7)  # x
                values[1, :, at] = offset + 10 * frame + np.arange(7) + 0.5  # y
        table[0, number] = (
            f"video {number + 1}", kind, "buehler11",
            np.array([frames], float), joints[0], np.array([tested], float), joints[1],
        )  # fmt: skip
        for frame in {*frames, *tested} if number + 1 in videos else ():
            (folder / str(number + 1)).mkdir(parents=True, exist_ok=True)
            grey = 20 * (number + 1) + frame
            image = Image.new("RGB", (36, 24), (grey, grey, grey))
            image.save(folder / str(number + 1) / f"{frame}.jpg", format="PNG")
    (folder / "code").mkdir(parents=True, exist_ok=True)
    savemat(folder / "code" / "bbcpose.mat", {"bbcpose": table})


def test_bbc_pose(tmp_path):
    write_bbc(
        tmp_path,
        {1: ("train", [2, 10, 5], []), 2: ("val", [1], []), 3: ("test", [3, 4], [4, 6])},
    )
    data = load(bbc_pose.SET, tmp_path)
    assert data.shape == (24, 36, 3)
    assert data.take()[:, 0, 0, 0].tolist() == [22, 25, 30, 41, 63, 64, 66]
    assert names(data, "video") == ["1"] * 3 + ["2"] + ["3"] * 3 and data.cardinality("video") == 20
    assert names(data, "part") == ["train"] * 3 + ["val"] + ["test"] * 3
    assert names(data, "label") == ["automatic"] * 5 + ["manual"] * 2
    assert data.continuous["head_x"].tolist() == [20, 50, 100, 10, 30, 1040, 1060]
    assert data.continuous["head_y"].tolist() == [20.5, 50.5, 100.5, 10.5, 30.5, 1040.5, 1060.5]
    assert data.continuous["left_shoulder_x"][0] == 26 and len(data.continuous) == 14
    train, test = bbc_pose.SET.split(data, "official")
    assert train.ids.tolist() == [0, 1, 2] and test.ids.tolist() == [4, 5, 6]
    some = load(bbc_pose.SET, tmp_path, rows=[6, 0], size=16)
    assert some.take()[:, 0, 0, 0].tolist() == [66, 22]
    assert some.continuous["right_wrist_x"].tolist() == [1061, 21]


def test_bbc_pose_refuses_other_files(tmp_path):
    write_bbc(tmp_path, {1: ("train", [1], [])})
    (tmp_path / "1" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"1\.jpg is listed and not there"):
        load(bbc_pose.SET, tmp_path)
    (tmp_path / "1").rmdir()
    with pytest.raises(DataError, match=r"no folder of frames .*robots\.ox\.ac\.uk"):
        load(bbc_pose.SET, tmp_path)
    write_bbc(tmp_path, {1: ("holiday", [1], [])})
    with pytest.raises(DataError, match="video 1: its type is 'holiday'"):
        load(bbc_pose.SET, tmp_path)
    savemat(tmp_path / "code/bbcpose.mat", {"bbcpose": np.zeros((1, 1), [("type", object)])})
    with pytest.raises(DataError, match="bbcpose has no field 'test_frames'"):
        load(bbc_pose.SET, tmp_path)
    (tmp_path / "code/bbcpose.mat").write_bytes(b"no")
    with pytest.raises(DataError, match=r"bbcpose\.mat: not a whole MATLAB file"):
        load(bbc_pose.SET, tmp_path)
    (tmp_path / "code/bbcpose.mat").unlink()
    with pytest.raises(DataError, match=r"no code/bbcpose\.mat or bbcpose\.mat"):
        load(bbc_pose.SET, tmp_path)


# NTU RGB+D

ONE, TWO, SEAT = "72057594037931101", "72057594037931102", "72057594037931103"


def body(name: str, x: float, y: float, z: float, swing: float = 0.0) -> str:
    """A body whose joint j is at (x + 0.01 j, y, z); the last joint swings upwards."""
    lines = [f"{name} 0 1 1 1 1 0 -0.1 0.2 2", "25"]
    for joint in range(25):
        place = f"{x + 0.01 * joint:.4f} {y + swing * (joint == 24):.4f} {z:.4f}"
        lines.append(f"{place} 277.4 191.6 1036.2 519.1 -0.2 0.04 0.9 -0.03 2")
    return "\n".join(lines)


def write_sample(folder: Path, name: str, frames: list[list[str]]) -> None:
    lines = [str(len(frames))]
    for bodies in frames:
        lines += [str(len(bodies)), *bodies]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.skeleton").write_text("\r\n".join(lines) + "\r\n")


def test_ntu(tmp_path):
    folder = tmp_path / "nturgb+d_skeletons"
    first = [
        [body(SEAT, 5, 0, 4), body(ONE, 0, 1, 3, swing=0.5)],
        [],
        [body(ONE, 0.2, 1, 3, swing=1.5), body(TWO, 1, 1, 3.5, swing=0.25)],
    ]
    write_sample(folder, "S001C001P001R001A001", first)
    write_sample(folder, "S002C003P003R002A060", [[body(ONE, 1, 2, 3)]])
    write_sample(folder, "S001C002P005R002A008", [[body(ONE, 9, 9, 9)]])  # on the authors' list
    data = load(ntu.SET, tmp_path)
    assert len(data) == 3 and data.shape == (75,) and data.ids.tolist() == [0, 2, 3]
    points = data.take().reshape(3, 25, 3)
    np.testing.assert_allclose(points[0, 24], [0.24, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(points[1, 24], [0.24, 1.5, 0], atol=1e-6)
    np.testing.assert_allclose(points[1, 7], [0.07, 0, 0], atol=1e-6)
    assert (points[:, 0] == 0).all()
    assert names(data, "setup") == ["1", "1", "2"] and data.cardinality("setup") == 17
    assert names(data, "camera") == ["1", "1", "3"] and names(data, "performer")[2] == "3"
    assert names(data, "replication") == ["1", "1", "2"]
    assert names(data, "action") == ["drink water", "drink water", "walking apart"]
    assert data.continuous["frame"].tolist() == [0, 1, 0]
    far = load(ntu.SET, tmp_path, own={"centre": False})
    np.testing.assert_allclose(far.take()[1, :6], [0.2, 1, 3, 0.21, 1, 3], rtol=1e-6)
    both = load(ntu.SET, tmp_path, own={"bodies": 2}).take().reshape(3, 50, 3)
    np.testing.assert_allclose(both[:, :25], points, atol=1e-6)
    np.testing.assert_array_equal(both[0, 25:], np.zeros((25, 3)))  # the seat varies least
    np.testing.assert_allclose(both[1, 25], [0.8, 0, 0.5], atol=1e-6)
    assert project(data, 2).shape == (50,)


def test_ntu_draws_frames_in_which_somebody_is_tracked(tmp_path):
    frames = [[body(ONE, n, 0, 1)] if n % 3 == 0 else [] for n in range(12)]
    write_sample(tmp_path, "S001C001P001R001A001", frames)
    write_sample(tmp_path, "S001C001P002R001A001", frames)
    whole = load(ntu.SET, tmp_path)
    assert whole.ids.tolist() == [0, 3, 6, 9, 12, 15, 18, 21]
    for seed in range(3):
        some = load(ntu.SET, tmp_path, rows=5, seed=seed, own={"centre": False})
        assert len(some) == 5 and set(some.ids.tolist()) <= set(whole.ids.tolist())
        assert some.take()[:, 0].tolist() == (some.ids % 12).tolist()
        assert names(some, "performer") == [str(1 + n // 12) for n in some.ids]
    assert load(ntu.SET, tmp_path, rows=[15, 3]).ids.tolist() == [15, 3]
    with pytest.raises(DataError, match="rows has 4, a frame in which nobody"):
        load(ntu.SET, tmp_path, rows=[3, 4])
    with pytest.raises(DataError, match="rows=9: somebody is tracked in 8 frames only"):
        load(ntu.SET, tmp_path, rows=9)
    with pytest.raises(DataError, match="rows=25 must be 1 to 24"):
        load(ntu.SET, tmp_path, rows=25)


def test_ntu_protocols(tmp_path):
    for name in (
        "S001C001P001R001A001", "S002C002P003R001A002", "S017C003P040R001A003",
        "S018C001P103R001A061",
    ):  # fmt: skip
        write_sample(tmp_path, name, [[body(ONE, 0, 0, 1)]])
    data = load(ntu.SET, tmp_path)
    assert data.cardinality("action") == 120 and names(data, "action")[3] == "put on headphone"
    train, test = ntu.SET.split(data, "cross-subject")
    assert names(train, "performer") == ["1", "103"] and names(test, "performer") == ["3", "40"]
    train, test = ntu.SET.split(data, "cross-view")
    assert names(train, "camera") == ["2", "3"] and names(test, "camera") == ["1", "1"]
    train, test = ntu.SET.split(data, "cross-setup")
    assert names(train, "setup") == ["2", "18"] and names(test, "setup") == ["1", "17"]
    with pytest.raises(DataError, match="the split by performers leaves no row to hold out"):
        ntu.SET.split(data.select([0, 3]), "cross-subject")
    (tmp_path / "NTU_RGBD120_samples_with_missing_skeletons.txt").write_text(
        "535 of the samples\n\nS018C001P103R001A061\n"
    )
    assert len(load(ntu.SET, tmp_path)) == 3


def test_ntu_lists():
    missing = (Path(ntu.__file__).parent / "ntu_missing.txt").read_text().split()
    assert len(set(missing)) == 302 and all(ntu._NAME.fullmatch(name) for name in missing)
    assert len(ntu.ACTIONS) == 120 and ntu.ACTIONS[49] == "punch or slap"
    assert sum(number <= 40 for number in ntu.TRAINING_PERFORMERS) == 20
    assert len(ntu.TRAINING_PERFORMERS) == 53
    assert len(ntu.BONES) == 24 and {b for _, b in ntu.BONES} | {0} == set(range(25))


def test_ntu_refuses_damaged_files(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"no file such as S001.*rose1\.ntu"):
        load(ntu.SET, tmp_path)
    path = tmp_path / "S001C001P001R001A001.skeleton"
    write_sample(tmp_path, path.stem, [[body(ONE, 0, 0, 1)]])
    whole = path.read_text()
    for text, message in (
        (whole[:400], "ends before its 1 frames do"),
        (whole + "1\n", "goes on after its 1 frames"),
        (whole.replace("\n25\n", "\n24\n", 1), "frame 1 has a body of 24 joints"),
        (whole.replace("0.0200", "0.02x", 1), "holds what is no number"),
        ("frames\n", "first line is 'frames', expected the number of frames"),
        ("1\n0\n", "in no frame of these samples is anybody tracked"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            load(ntu.SET, tmp_path)
    path.rename(tmp_path / "S001C004P001R001A001.skeleton")
    with pytest.raises(DataError, match=r"S001C004P001R001A001\.skeleton: its name"):
        load(ntu.SET, tmp_path)
    with pytest.raises(ConfigError, match="size= and channels= are for images"):
        load(ntu.SET, tmp_path, size=64)
    with pytest.raises(ConfigError, match="bodies=3"):
        load(ntu.SET, tmp_path, own={"bodies": 3})


# VoxCeleb landmarks


def write_clip(path: Path, points: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, landmarks=points)
    else:
        np.savetxt(path, points.reshape(len(points), -1), fmt="%.3f")


def test_voxceleb_landmarks(tmp_path):
    points = np.arange(5 * 68 * 2, dtype=np.float32).reshape(5, 68, 2)
    write_clip(tmp_path / "dev/id00012/21Uxsk56VDQ/00001.npz", points[:2])
    write_clip(tmp_path / "dev/id00012/21Uxsk56VDQ/00002.txt", points[2:3])
    write_clip(tmp_path / "dev/id00015/0fijmz4vTVU/00001.npz", points[3:4])
    write_clip(tmp_path / "test/id00017/01dfn2spqyE/00001.npz", points[4:])
    data = load(voxceleb_landmarks.SET, tmp_path)
    assert len(data) == 5 and data.shape == (136,)
    assert data.take()[1, :4].tolist() == [136, -137, 138, -139]
    np.testing.assert_array_equal(np.abs(data.take()), points.reshape(5, -1))
    assert names(data, "identity") == ["id00012"] * 3 + ["id00015", "id00017"]
    assert names(data, "video")[1:4] == ["id00012/21Uxsk56VDQ"] * 2 + ["id00015/0fijmz4vTVU"]
    assert names(data, "part") == ["dev"] * 4 + ["test"]
    assert data.continuous["frame"].tolist() == [0, 1, 0, 0, 0]
    train, test = voxceleb_landmarks.SET.split(data, "disunknown")
    assert train.ids.tolist() == [0, 1, 2, 3] and test.ids.tolist() == [4]
    some = load(voxceleb_landmarks.SET, tmp_path, rows=[4, 1])
    assert some.take()[:, 0].tolist() == [544, 136] and some.cardinality("identity") == 3


def test_voxceleb_landmarks_draw_1000_identities():
    from unmingle.data import FactorDataset

    identity = np.arange(1202)
    part = (identity >= 1200).astype(int)
    data = FactorDataset(
        vectors=np.zeros((1202, 4)),
        factors={"identity": identity, "part": part},
        value_names={"part": ("dev", "test")},
    )
    train, test = voxceleb_landmarks.SET.split(data, "disunknown")
    assert len(train) == 1000 and test.ids.tolist() == [1200, 1201]
    again, _ = voxceleb_landmarks.SET.split(data, "disunknown")
    assert again.ids.tolist() == train.ids.tolist()
    with pytest.raises(DataError, match="rows of dev and of test"):
        voxceleb_landmarks.SET.split(data.select(part == 0), "disunknown")


def test_voxceleb_landmarks_in_space(tmp_path):
    points = np.arange(12.0).reshape(2, 2, 3)
    write_clip(tmp_path / "id1/v/1.txt", points)
    data = load(voxceleb_landmarks.SET, tmp_path, own={"axes": 3})
    assert data.take()[0].tolist() == [0, -1, 2, 3, -4, 5] and "part" not in data.factors
    assert project(data, 2).shape == (4,)
    write_clip(tmp_path / "id1/v/2.npz", points[:, :, :2])
    with pytest.raises(DataError, match=r"2\.npz: 2 points of 2 numbers, and .*1\.txt has 2 of 3"):
        load(voxceleb_landmarks.SET, tmp_path, own={"axes": 3})


def test_voxceleb_landmarks_refuses_other_files(tmp_path):
    (tmp_path / "notes.md").touch()
    entry = voxceleb_landmarks.SET
    with pytest.raises(DataError, match=r"no file identity/video/clip\.npz"):
        load(entry, tmp_path)
    with pytest.raises(ConfigError, match="axes=4"):
        load(entry, tmp_path, own={"axes": 4})
    clip = tmp_path / "id1/v/1.npz"
    write_clip(clip, np.zeros((2, 5)))
    with pytest.raises(DataError, match=r"float64 of shape \(2, 5\), expected numbers \[T, P, 2\]"):
        load(entry, tmp_path)
    np.savez(clip, points=np.zeros(3))
    with pytest.raises(DataError, match="expected the array 'landmarks'; found points"):
        load(entry, tmp_path)
    np.savez(clip, landmarks=np.array([{}], object))
    with pytest.raises(DataError, match="never unpickled"):
        load(entry, tmp_path)
    clip.unlink()
    for text, message in (
        ("1 2 3\n", r"3 numbers a line are no points of 2"),
        ("1 2\n1 2 3 4\n", "a frame a line, all as long"),
    ):
        clip.with_suffix(".txt").write_text(text)
        with pytest.raises(DataError, match=message):
            load(entry, tmp_path)
    clip.with_suffix(".txt").rename(tmp_path / "id1/1.txt")
    with pytest.raises(DataError, match=r"1\.txt: expected identity/video/clip"):
        load(entry, tmp_path)


# Mixamo

ARM = """HIERARCHY
ROOT mixamorig:Hips
{
\tOFFSET 0.0 0.0 0.0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
\tJOINT mixamorig:Spine
\t{
\t\tOFFSET 0.0 10.0 0.0
\t\tCHANNELS 3 Xrotation Zrotation Yrotation
\t\tJOINT mixamorig:Head
\t\t{
\t\t\tOFFSET 0.0 5.0 2.0
\t\t\tCHANNELS 3 Zrotation Yrotation Xrotation
\t\t\tEnd Site
\t\t\t{
\t\t\t\tOFFSET 0.0 1.0 0.0
\t\t\t}
\t\t}
\t}
\tJOINT mixamorig:LeftUpLeg
\t{
\t\tOFFSET 3.0 -1.0 0.0
\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0.0 -8.0 0.0
\t\t}
\t}
}
MOTION
Frames: 3
Frame Time: 0.033333
1 90 2 0 0 0 0 0 0 0 0 0 0 0 0
0 0 0 90 0 0 90 90 0 0 0 0 0 0 0
0 0 0 0 90 90 0 0 90 30 40 50 10 20 30
"""

# Frame 2: the hips turn by 90 about z, so x goes to y and y to -x: the spine, 10 up, is at
# (-10, 0, 0), the leg (3, -1, 0) at (1, 3, 0). The spine turns about x, then z: Rx Rz. Its child
# (0, 5, 2) is (-5, 0, 2) after Rz, (-5, -2, 0) after Rx (y to z, z to -y), and (2, -5, 0) after the
# hips: the head is at (-8, -5, 0). The other order, Rz Rx, would give (-12, 0, 5).
# Frame 3: the hips have Rz = 1, Rx(90) Ry(90): (0, 10, 0) stays under Ry and Rx takes it to
# (0, 0, 10). (3, -1, 0) becomes (0, -1, -3) under Ry (x to -z) and (0, 3, -1) under Rx. The spine
# has Ry(90): (0, 5, 2) becomes (2, 5, 0); then under the hips' Ry (2, 5, 0) becomes (0, 5, -2) and
# under Rx (0, 2, 5): the head is at (0, 2, 15). The head's own rotation moves no joint.
EXPECTED = np.array(
    [
        [[1, 90, 2], [1, 100, 2], [1, 105, 4], [4, 89, 2]],
        [[0, 0, 0], [-10, 0, 0], [-8, -5, 0], [1, 3, 0]],
        [[0, 0, 0], [0, 0, 10], [0, 2, 15], [0, 3, -1]],
    ],
    float,
)


def write_bvh(path: Path, text: str = ARM) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_forward_kinematics_by_hand(tmp_path):
    write_bvh(tmp_path / "a.bvh")
    skeleton, motion = _bvh.read_bvh(tmp_path / "a.bvh")
    assert skeleton.names == ("Hips", "Spine", "Head", "LeftUpLeg")
    assert skeleton.parents == (-1, 0, 1, 0) and skeleton.frames == 3 and skeleton.width == 15
    np.testing.assert_allclose(_bvh.positions(skeleton, motion), EXPECTED, atol=1e-12)


def test_a_joint_with_positions_of_its_own(tmp_path):
    text = ARM.replace(
        "3 Xrotation Zrotation Yrotation", "4 Yposition Xrotation Zrotation Yrotation"
    )
    text = text.split("Frames:")[0] + "Frames:\t1\nFrame Time:\t0.04\n"
    write_bvh(tmp_path / "a.bvh", text + "0 0 0 0 0 0 7 0 0 0 0 0 0 0 0 0\n")
    skeleton, motion = _bvh.read_bvh(tmp_path / "a.bvh")
    found = _bvh.positions(skeleton, motion)[0]
    assert found[1].tolist() == [0, 7, 0] and found[2].tolist() == [0, 12, 2]


def test_mixamo(tmp_path):
    write_bvh(tmp_path / "ybot/Walking.bvh")
    write_bvh(tmp_path / "mousey/Walking.bvh", ARM.replace("10.0", "20.0"))
    toe = ARM.replace("mixamorig:Head", "mixamorig:Toe").replace("mixamorig:", "mixamorig7:")
    data = load(mixamo.SET, tmp_path)
    assert len(data) == 6 and data.shape == (12,)
    centred = EXPECTED - EXPECTED[:, :1]
    np.testing.assert_allclose(data.take()[3:].reshape(3, 4, 3), centred, atol=1e-5)
    np.testing.assert_allclose(data.take()[0, 3:6], [0, 20, 0], atol=1e-5)
    assert names(data, "character") == ["mousey"] * 3 + ["ybot"] * 3
    assert names(data, "motion") == ["Walking"] * 6
    assert data.continuous["frame"].tolist() == [0, 0.5, 1] * 2
    far = load(mixamo.SET, tmp_path, rows=[5, 3], own={"centre": False})
    np.testing.assert_allclose(far.take().reshape(2, 4, 3), EXPECTED[[2, 0]], atol=1e-5)
    assert far.ids.tolist() == [5, 3] and far.cardinality("character") == 2
    assert project(data, 2).shape == (8,)
    assert mixamo.bones(tmp_path)[1] == [(0, 1), (1, 2), (0, 3)]
    assert mixamo.bones(tmp_path, "Hips,Head") == (("Hips", "Head"), [(0, 1)])
    two = load(mixamo.SET, tmp_path, own={"joints": "Spine,mixamorig:Head"})
    np.testing.assert_allclose(two.take()[4], [0, 0, 0, 2, -5, 0], atol=1e-5)
    write_bvh(tmp_path / "ybot/Falling.bvh", toe)
    common = load(mixamo.SET, tmp_path)
    assert len(common) == 9 and common.shape == (9,)
    with pytest.raises(DataError, match=r"ybot/Falling\.bvh: there is no joint 'Head'"):
        load(mixamo.SET, tmp_path, own={"joints": ["Hips", "Head"]})


def test_mixamo_protocol(tmp_path):
    for character in range(9):
        for motion in range(10):
            write_bvh(tmp_path / f"c{character}/m{motion}.bvh")
    data = load(mixamo.SET, tmp_path)
    train, test = mixamo.SET.split(data, "disunknown")
    assert len(train) == 8 * 9 * 3 and len(test) == 3
    for factor in ("character", "motion"):
        assert not set(train.factor(factor)) & set(test.factor(factor))
    with pytest.raises(DataError, match="several characters and motions"):
        mixamo.SET.split(data.select(data.factor("character") == 0), "disunknown")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Frames: 3", "Frames: 4", "45 values for 4 frames of 15 channels, expected 60"),
        ("Frames: 3", "Frames: many", "line 31 is 'Frames: many'"),
        ("Frame Time: 0.033333\n", "", "line 32 is '1 90 2"),
        ("1 90 2", "1 x 2", "its frames hold what is no number"),
        ("CHANNELS 3 Xrotation", "CHANNELS 2 Xrotation", "line 9 is 'CHANNELS 2"),
        ("Zrotation Yrotation Xrotation", "Zrotation Yrotation Wrotation", "line 13"),
        ("OFFSET 3.0 -1.0 0.0", "OFFSET 3.0 -1.0", "line 22 is 'OFFSET 3.0 -1.0'"),
        ("HIERARCHY", "SKELETON", "line 1 is 'SKELETON'"),
        ("MOTION\n", "ROOT second\n", "line 30 is 'ROOT second'"),
    ],
)
def test_damaged_bvh_files_are_refused(tmp_path, old, new, message):
    assert old in ARM
    write_bvh(tmp_path / "ybot/Walking.bvh", ARM.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load(mixamo.SET, tmp_path)


def test_mixamo_refuses_other_folders(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"no file character/motion\.bvh .*mixamo\.com"):
        load(mixamo.SET, tmp_path)
    write_bvh(tmp_path / "Walking.bvh")
    with pytest.raises(DataError, match=r"Walking\.bvh: expected character/motion\.bvh"):
        load(mixamo.SET, tmp_path)
    (tmp_path / "Walking.bvh").unlink()
    write_bvh(tmp_path / "a/b.bvh", ARM.split("MOTION")[0])
    with pytest.raises(DataError, match="it ends before MOTION"):
        load(mixamo.SET, tmp_path)


@pytest.mark.parametrize(
    "entry",
    [module.SET for module in (bbc_pose, mixamo, ntu, voxceleb_landmarks)],
    ids=lambda entry: entry.name,
)
def test_a_set_says_what_it_is(entry, tmp_path):
    assert re.fullmatch(r"[a-z0-9-]+", entry.name) and entry.url.startswith("http")
    assert "\n" not in entry.summary and all(trap.endswith(".") for trap in entry.traps)
    with pytest.raises(DataError, match=rf"{entry.name}: there is no folder"):
        load(entry, tmp_path / "nowhere")
