"""Motion in files of other programs: what is written is read back, here and by independent readers."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from moda.cli.convert import main
from moda.cli.info import main as info
from moda.controls import blinking
from moda.errors import DataError
from moda.exchange.arkit import LIVE_LINK, POSES, timecode
from moda.exchange.curves import average_face, face_curves
from moda.exchange.skeleton import METRES_PER_PIXEL
from moda.exchange.sources import read_motion
from moda.exchange.table import read_table, write_table
from moda.geometry import rotation_matrix
from moda.landmarks import EYES, LIPS, eye_opening, lip_opening
from moda.representation import SHAPES, Motion
from moda.stages.animation import load_stage
from moda.tracking.blendshapes import NAMES, blendshapes


@pytest.fixture
def motion() -> Motion:
    random = np.random.default_rng(0)
    arrays = {name: random.normal(0, 3, (7, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    arrays["head"][:, 6] *= 0.01
    return Motion(**arrays, fps=30.0)


def convert(source: Path, target: Path, *options: str) -> None:
    assert main([str(source), str(target), *options]) == 0


def test_tables_and_motion_files_both_ways(motion: Motion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "ein öl.csv")
    convert(tmp_path / "ein öl.csv", tmp_path / "b.npz")
    again = Motion.load(tmp_path / "b.npz")
    assert again.fps == 30 and len(again) == 7
    for name in SHAPES:
        assert np.allclose(getattr(again, name), getattr(motion, name), rtol=1e-5, atol=1e-6)
    assert info([str(tmp_path / "ein öl.csv"), "--json"]) == 0


def test_a_hand_written_curve_of_keys(tmp_path: Path) -> None:
    (tmp_path / "nod.csv").write_text("\ufeffseconds, head_pitch,gaze_x\r\n0,0,1\r\n1,10,1\r\n\r\n3,-10,3\r\n")
    table = read_table(tmp_path / "nod.csv")
    assert table.parts == {"head", "gaze"} and table.motion.fps == 25 and len(table.motion) == 76
    assert np.allclose(table.motion.head[[0, 25, 50, 75], 0], [0, 10, 0, -10])
    assert not table.motion.head[:, 1:].any() and not table.motion.lips.any()
    rows = [EYES.index(point) for point in (474, 469)]
    assert np.allclose(table.motion.eyes[75][rows], [3, 0, 0]) and np.count_nonzero(table.motion.eyes[75]) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seconds,head_pich\n0,1\n", "did you mean 'head_pitch'?"),
        ("time,head_yaw\n0,1\n", "has a column 'time'"),
        ("head_yaw\n1\n", "has no column 'seconds'"),
        ("seconds,head_yaw\n0,1\n1\n", "line 3 has 1 cells, wanted 2"),
        ("seconds,head_yaw\n0,nan\n", "line 2: 'head_yaw' is nan"),
        ("seconds,head_yaw\n0,abc\n", "line 2: could not convert"),
        ("seconds,head_yaw\n1,0\n0,0\n", "should rise"),
        ("seconds,head_yaw\n0,0\n1e9,0\n", "'seconds' is 1e+09"),
        ("seconds,head_yaw\n", "no rows"),
        ("seconds,head_yaw,head_yaw\n", "twice"),
        ("Timecode,HeadYaw\n", "no column 'HeadPitch'"),
        ("Timecode,HeadPitch,HeadYaw,HeadRoll\n00:00,1,1,1\n", "line 2 is not as Live Link Face writes it"),
        ("Timecode,HeadPitch,HeadYaw,HeadRoll\n00:00:00:00.0,99,1,1\n00:00:00:01.0,1,1,1\n", "in radians"),
    ],
)
def test_tables_that_are_none_are_told(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read_motion(tmp_path / "a.csv")
    assert words in str(error.value)


def bvh_rows(path: Path) -> tuple[list[str], np.ndarray, float]:
    """Joints, values a frame (T, 6 each), seconds a frame: by the rules of the format, words separated by spaces."""
    words = path.read_text().split()
    at = words.index("MOTION")
    joints = [words[i + 1] for i, word in enumerate(words[:at]) if word in ("ROOT", "JOINT")]
    channels = sum(int(words[i + 1]) for i, word in enumerate(words[:at]) if word == "CHANNELS")
    assert words[at + 1] == "Frames:" and words[at + 3 : at + 5] == ["Frame", "Time:"]
    values = np.array(words[at + 6 :], float).reshape(int(words[at + 2]), channels)
    assert words[:at].count("{") == words[:at].count("}")
    return joints, values, float(words[at + 5])


def test_bvh_turns_the_head_as_the_motion_does(motion: Motion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "a.bvh")
    joints, values, seconds = bvh_rows(tmp_path / "a.bvh")
    assert joints == ["Root", "Head", "RightShoulder", "LeftShoulder"] and seconds == pytest.approx(1 / 30)
    flip = np.diag([1.0, -1.0, -1.0])
    turned = Rotation.from_euler("ZYX", values[:, 9:12], degrees=True).as_matrix()  # as its channels are listed
    assert np.allclose(turned, flip @ rotation_matrix(motion.head[:, :3].astype(float)) @ flip, atol=1e-5)
    moved = values[:, 6:9] / 100 - [0, 0.12, 0]
    assert np.allclose(moved, motion.head[:, 3:6] * [1, -1, -1] * METRES_PER_PIXEL, atol=1e-6)
    right = motion.torso[:, :9].mean(axis=1)[:, 1]
    assert np.allclose(values[:, 13] / 100 + 0.05, -right * METRES_PER_PIXEL, atol=1e-6)


def test_bvh_is_read_by_another_reader(motion: Motion, tmp_path: Path) -> None:
    bvh = pytest.importorskip("bvh", reason="pip install bvh reads the file independently")
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "a.bvh")
    tree = bvh.Bvh((tmp_path / "a.bvh").read_text())
    assert tree.get_joints_names() == ["Root", "Head", "RightShoulder", "LeftShoulder"] and tree.nframes == 7
    assert tree.frame_joint_channel(3, "Head", "Xrotation") == pytest.approx(motion.head[3, 0], abs=1e-4)
    assert tree.frame_joint_channel(3, "Head", "Yrotation") == pytest.approx(-motion.head[3, 1], abs=1e-4)


def gltf_curves(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """(node, path) -> values, by the rules of glTF 2.0; the times under ("", "time")."""
    tree = json.loads(path.read_text())
    data = base64.b64decode(tree["buffers"][0]["uri"].split(",")[1])
    assert len(data) == tree["buffers"][0]["byteLength"] and tree["asset"]["version"] == "2.0"

    def accessor(number: int) -> np.ndarray:
        entry = tree["accessors"][number]
        view = tree["bufferViews"][entry["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[entry["type"]]
        assert entry["componentType"] == 5126 and view["byteOffset"] % 4 == 0
        values = np.frombuffer(data, "<f4", entry["count"] * width, view["byteOffset"]).reshape(-1, width)
        assert np.allclose(values.min(axis=0), entry["min"]) and np.allclose(values.max(axis=0), entry["max"])
        return values

    (animation,) = tree["animations"]
    found = {("", "time"): accessor(animation["samplers"][0]["input"])}
    for channel in animation["channels"]:
        node = tree["nodes"][channel["target"]["node"]]["name"]
        sampler = animation["samplers"][channel["sampler"]]
        found[node, channel["target"]["path"]] = accessor(sampler["output"])
    assert tree["nodes"][tree["scenes"][tree["scene"]]["nodes"][0]]["children"] == [1, 2, 3]
    return found


def test_gltf_turns_the_head_as_the_motion_does(motion: Motion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "a.gltf")
    curves = gltf_curves(tmp_path / "a.gltf")
    assert np.allclose(curves["", "time"][:, 0], np.arange(7) / 30)
    flip = np.diag([1.0, -1.0, -1.0])
    turned = Rotation.from_quat(curves["Head", "rotation"]).as_matrix()
    assert np.allclose(turned, flip @ rotation_matrix(motion.head[:, :3].astype(float)) @ flip, atol=1e-5)
    assert np.allclose(curves["Head", "scale"], 1 + motion.head[:, 6:7], atol=1e-6)
    assert np.allclose(curves["Head", "translation"][:, 0], motion.head[:, 3] * METRES_PER_PIXEL, atol=1e-6)


def test_gltf_is_read_by_another_reader(motion: Motion, tmp_path: Path) -> None:
    pygltflib = pytest.importorskip("pygltflib", reason="pip install pygltflib reads the file independently")
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "a.gltf")
    tree = pygltflib.GLTF2().load(str(tmp_path / "a.gltf"))
    assert [node.name for node in tree.nodes] == ["Root", "Head", "RightShoulder", "LeftShoulder"]
    assert len(tree.animations[0].channels) == 5 and tree.accessors[0].count == 7
    data = tree.get_data_from_buffer_uri(tree.buffers[0].uri)
    for channel in tree.animations[0].channels:
        if (tree.nodes[channel.target.node].name, channel.target.path) == ("Head", "scale"):
            values = tree.accessors[tree.animations[0].samplers[channel.sampler].output]
            start = tree.bufferViews[values.bufferView].byteOffset + (values.byteOffset or 0)
            assert np.allclose(np.frombuffer(data, "<f4", 3 * 7, start).reshape(7, 3), 1 + motion.head[:, 6:7])
            return
    raise AssertionError("the head has no scale")


def test_curves_tell_closed_eyes_and_parted_lips() -> None:
    """Of the face that stage 2 makes; a motion that parts the lips and shuts the eyes, by the mesh's own geometry."""
    subject = average_face()
    zeros = {name: np.zeros((30, *shape), np.float32) for name, shape in SHAPES.items()}
    lips = zeros["lips"].copy()
    lower = [LIPS.index(point) for point in (14, 17, 87, 317, 84, 314, 178, 402, 181, 405)]
    lips[10:, lower, 1] += 20
    spoken = blinking(Motion(**{**zeros, "lips": lips}), [0.8], subject)
    curves = face_curves(spoken, load_stage("faco"), subject)  # type: ignore[arg-type]
    blink, lowered = (curves[:, NAMES.index(name)] for name in ("eyeBlinkLeft", "mouthFunnel"))
    assert blink[20] > blink[15] + 0.3 and blink[20] > 0.6 and lowered[15] > lowered[5] + 0.3
    assert np.allclose(blendshapes(subject[None])[0], curves[0], atol=0.1)  # at rest stage 2 changes little
    assert lip_opening(subject) < 5 and 0.2 < eye_opening(subject) < 0.6


def test_live_link_is_as_the_app_writes_it_and_its_head_comes_back(motion: Motion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "a.csv", "--format", "live-link")
    lines = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    assert lines[0] == ["Timecode", "BlendShapeCount", *LIVE_LINK, *POSES] and len(LIVE_LINK) == 52
    assert lines[4][:2] == ["00:00:00:06.000", "61"] and all(len(line) == 63 for line in lines)
    values = np.array([line[2:54] for line in lines[1:]], float)
    assert ((values >= 0) & (values <= 1)).all() and not values[:, -1].any()
    back = read_motion(tmp_path / "a.csv")
    assert back.parts == {"head"} and back.motion.fps == 30
    turns = motion.head[:, :3] - np.median(motion.head[:, :3], axis=0)
    assert np.allclose(back.motion.head[:, :3], turns, atol=1e-3)
    convert(tmp_path / "a.npz", tmp_path / "c.csv", "--format", "arkit")
    head = (tmp_path / "c.csv").read_text().splitlines()[0].split(",")
    assert head == ["seconds", *NAMES]
    assert timecode(3723.5) == "01:02:03:30.000"


def test_live_link_is_read_by_another_reader(motion: Motion, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas reads the table independently")
    motion.save(tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "a.csv", "--format", "live-link")
    convert(tmp_path / "a.npz", tmp_path / "b.csv", "--format", "arkit")
    table, curves = pandas.read_csv(tmp_path / "a.csv"), pandas.read_csv(tmp_path / "b.csv")
    assert (table["BlendShapeCount"] == 61).all() and len(table) == 7
    for name in NAMES[1:]:
        assert np.allclose(table[name[0].upper() + name[1:]], curves[name], atol=1e-5), name
    assert np.allclose(np.rad2deg(table["HeadYaw"]), motion.head[:, 1], atol=1e-3)
    places = [table.columns.get_loc(name) - 2 for name in ("JawRight", "JawLeft", "MouthRight", "MouthLeft")]
    assert places == [15, 16, 21, 22], "as in the app's tables; what it sends by UDP has left before right"


def test_live_link_has_the_names_of_another_library() -> None:
    library = pytest.importorskip("pylivelinkface", reason="pip install pylivelinkface knows the names")
    assert {*LIVE_LINK, *POSES} == {shape.name for shape in library.FaceBlendShape}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.npz", "b.bvh"], "no such source of motion"),
        (["a.npz", "b.fbx"], "the target should end in .npz, .csv, .bvh, .gltf, .pt, .safetensors, .onnx"),
        (["a.npz", "b.csv", "--format", "bvh"], "the target should end in .bvh"),
        (["a.npz", "a.npz"], "would overwrite the source"),
        (["a.npz", "nowhere/b.bvh"], "no such folder to write into"),
        (["a.npz", "b.safetensors"], "not a checkpoint"),
        (["text.npz", "b.bvh"], "not a video that can be read"),
    ],
)
def test_what_cannot_be_converted_is_one_line(
    motion: Motion, tmp_path: Path, arguments: list[str], words: str, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(logging.getLogger("moda"), "handlers", [])
    monkeypatch.chdir(tmp_path)
    motion.save(tmp_path / "a.npz")
    (tmp_path / "text.npz").write_text("no archive")
    assert main(arguments) == 2
    err = capfd.readouterr().err
    assert words in err and "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "text.npz"}


def test_a_motion_of_many_frames_keeps_its_times(tmp_path: Path) -> None:
    zeros = {name: np.zeros((3000, *shape), np.float32) for name, shape in SHAPES.items() if name == "head"}
    few = {name: np.zeros((3000, *shape), np.float32) for name, shape in SHAPES.items() if name != "head"}
    write_table(tmp_path / "a.csv", Motion(**few, **zeros, fps=29.97))
    read = read_table(tmp_path / "a.csv").motion
    assert len(read) == 3000 and read.fps == pytest.approx(29.97, rel=1e-4)
