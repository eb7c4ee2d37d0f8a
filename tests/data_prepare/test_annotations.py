"""Pose and masks made elsewhere: formats, signs, time, crops, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_prepare.annotations import Annotations
from moda.errors import DataError
from moda.geometry import fit_head_pose, rotation_matrix, to_image
from moda.imaging.crop import Box, crop_square, from_frame
from moda.landmarks import canonical_face
from moda.media.video import VideoWriter
from moda.representation import FRAME, HeadPose

NOSE_TIP, LEFT, RIGHT = 1, 234, 454
"""The face's side at the picture's left is LEFT."""


def save(folder: Path, name: str = "pose.npz", video: str = "v", **arrays: object) -> Annotations:
    (folder / video).mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / video / name, **{key: np.asarray(value) for key, value in arrays.items()})
    found = Annotations.find(folder, f"{video}.mp4")
    assert found is not None
    return found


def face(rotation: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """(T, 478, 3) landmarks of the canonical face in the middle of the square frame."""
    vertices = canonical_face().vertices
    mesh = np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)])
    count = len(rotation)
    return to_image(mesh[None], HeadPose(rotation, np.full((count, 3), 256.0), np.full(count, scale)))


def nodding(count: int = 50) -> np.ndarray:
    t = np.arange(count) / 25
    return np.stack([8 * np.sin(4 * t) + 3, 15 * np.sin(3 * t) - 2, 6 * np.cos(5 * t)], axis=1)


def test_files_are_found_by_the_name_of_the_video(tmp_path):
    (tmp_path / "may" / "take1.b").mkdir(parents=True)
    np.savez(tmp_path / "may" / "take1.b" / "pose.npz", fps=25, rotation=nodding())
    found = Annotations.find(tmp_path, "may/take1.b.mp4")
    assert found is not None and found.has_pose and not found.has_masks and found.files == ("pose.npz",)
    assert Annotations.find(None, "may/take1.b.mp4") is None
    assert Annotations.find(tmp_path, "may/take2.mp4") is None
    assert Annotations.find(tmp_path, "may.mp4") is None, "only folders in it"
    with pytest.raises(DataError, match="no such folder"):
        Annotations.find(tmp_path / "nowhere", "v.mp4")


def test_files_of_other_names_or_two_masks_are_refused(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "Pose.npy").touch()
    with pytest.raises(DataError, match=r"Pose\.npy, wanted one of pose\.npz"):
        Annotations.find(tmp_path, "v.mp4")
    (tmp_path / "v" / "person.npz").touch()
    (tmp_path / "v" / "person.mp4").touch()
    with pytest.raises(DataError, match="wanted one of them"):
        Annotations.find(tmp_path, "v.mp4")


def test_the_stamp_changes_with_the_files(tmp_path):
    first = save(tmp_path, fps=25, rotation=nodding())
    stamp = first.stamp(["pose.npz"])
    assert Annotations.find(tmp_path, "v.mkv").stamp(["pose.npz"]) == stamp and stamp.startswith("pose.npz:")
    assert (
        save(tmp_path, fps=25, rotation=nodding() + 1).stamp(["pose.npz"]) != stamp
        and first.stamp(["person.npz"]) == ""
    )


def test_signs_of_the_documented_convention():
    """Nose down, nose to the picture's left, clockwise: each for a positive angle."""
    still, down, left, clockwise = face(np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]], float))
    assert down[NOSE_TIP, 1] > still[NOSE_TIP, 1] + 5
    assert left[NOSE_TIP, 0] < still[NOSE_TIP, 0] - 5
    assert still[LEFT, 0] < still[RIGHT, 0] and clockwise[RIGHT, 1] > clockwise[LEFT, 1] + 5


def whenet_axes(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """(2, 3) where that family's published formula draws the face's right, down and forward axes."""
    p, y, r = np.radians([pitch, -yaw, roll])
    return np.array(
        [
            [np.cos(y) * np.cos(r), -np.cos(y) * np.sin(r), np.sin(y)],
            [
                np.cos(p) * np.sin(r) + np.cos(r) * np.sin(p) * np.sin(y),
                np.cos(p) * np.cos(r) - np.sin(p) * np.sin(y) * np.sin(r),
                -np.cos(y) * np.sin(p),
            ],
        ]
    )


def ddfa_axes(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """(2, 3) the same for the matrix of which 3DDFA_V2 reads these angles."""
    matrix = Rotation.from_euler("xyz", [pitch, -yaw, roll], degrees=True).as_matrix()  # x right, y up, z to the camera
    assert np.allclose(np.degrees(np.arcsin(matrix[2, 0])), yaw)
    assert np.allclose(np.degrees(np.arctan2(matrix[2, 1], matrix[2, 2])), pitch)
    assert np.allclose(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])), roll)
    return (matrix * np.array([[1], [-1], [-1]]) * np.array([1, -1, 1]))[:2]


@pytest.mark.parametrize(("convention", "axes"), [("whenet", whenet_axes), ("3ddfa_v2", ddfa_axes)])
def test_other_conventions_mean_the_same_head(tmp_path, convention, axes):
    angles = np.random.default_rng(0).uniform(-40, 40, (20, 3))
    annotations = save(tmp_path, fps=25, rotation=angles, convention=convention)
    matrices = rotation_matrix(annotations.rotation(np.arange(20) / 25))
    ours = matrices[:, :2] * [1, 1, -1]  # the face looks along -z
    assert np.allclose(ours, [axes(*angle) for angle in angles], atol=1e-9)


def test_rotation_is_taken_by_time_and_across_the_turn(tmp_path):
    annotations = save(tmp_path, fps=10, rotation=[[0, 0, 170], [10, 0, -170], [10, 20, -170]])
    assert np.allclose(
        annotations.rotation(np.array([0.05, 0.1, 0.15, 0.5])),
        [[5, 0, 180], [10, 0, 190], [10, 10, 190], [10, 20, 190]],
    )
    with pytest.raises(DataError, match=r"pose\.npz holds 3 frames at 10 fps = 0\.30 s, wanted 1\.50 s"):
        annotations.rotation(np.array([0.0, 1.5]))


def test_place_and_size_come_from_the_landmarks_where_the_file_has_none(tmp_path):
    rotation = nodding()
    landmarks = face(rotation, 1.2)
    pose = save(tmp_path, fps=25, rotation=rotation).pose(np.arange(50) / 25, Box(0, 0, 512), landmarks)
    assert np.allclose(pose.rotation, rotation) and np.allclose(pose.scale, 1.2)
    assert np.allclose(pose.translation, 256.0, atol=1e-6)


def test_place_and_size_of_the_file_are_moved_into_the_crop(tmp_path):
    box, rotation = Box(300, 40, 768), nodding()
    landmarks = face(rotation, 1.2)
    fields = {"fps": 25, "rotation": rotation, "scale": np.full(50, 1.3 * box.side / FRAME)}
    place = from_frame(np.full((50, 3), 250.0), box)
    times = np.arange(50) / 25
    pose = save(tmp_path, **fields, translation=place).pose(times, box, landmarks)
    assert np.allclose(pose.scale, 1.3) and np.allclose(pose.translation, 250.0)
    flat = save(tmp_path, **fields, translation=place[:, :2]).pose(times, box, landmarks)
    assert np.allclose(flat.translation[:, :2], 250.0) and np.allclose(flat.translation[:, 2], 256.0, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_angle_of_the_other_sign_is_found_out(tmp_path, axis):
    rotation, signs = nodding(), np.ones(3)
    signs[axis] = -1
    annotations = save(tmp_path, fps=25, rotation=rotation * signs)
    with pytest.raises(DataError, match=f"{('pitch', 'yaw', 'roll')[axis]} runs against the tracked face"):
        annotations.pose(np.arange(50) / 25, Box(0, 0, 512), face(rotation))


def test_another_head_is_refused(tmp_path):
    annotations = save(tmp_path, fps=25, rotation=np.full((50, 3), [0.0, 80.0, 0.0]))
    with pytest.raises(DataError, match="degrees from the tracked face"):
        annotations.pose(np.arange(50) / 25, Box(0, 0, 512), face(nodding()))


def test_a_noisy_measurement_of_the_same_head_passes(tmp_path):
    rotation = nodding()
    noisy = rotation + np.random.default_rng(0).normal(0, 3, rotation.shape) + [6.0, 0.0, 2.0]
    landmarks = face(rotation)
    pose = save(tmp_path, fps=25, rotation=noisy).pose(np.arange(50) / 25, Box(0, 0, 512), landmarks)
    assert np.allclose(pose.rotation, noisy)
    assert np.abs(pose.scale - fit_head_pose(landmarks).scale).max() < 0.1


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"rotation": nodding()}, "fps is missing"),
        ({"fps": 0, "rotation": nodding()}, "fps is 0"),
        ({"fps": 25}, "holds no rotation"),
        ({"fps": 25, "rotation": nodding()[:, :2]}, r"rotation is float64 \(50, 2\)"),
        ({"fps": 25, "rotation": np.full((5, 3), np.nan)}, "rotation holds NaN"),
        ({"fps": 25, "rotation": np.full((5, 3), "a")}, "rotation is <U1"),
        ({"fps": 25, "rotation": np.zeros((0, 3))}, r"rotation is float64 \(0, 3\)"),
        ({"fps": 25, "rotation": nodding(), "convention": "mine"}, "convention is 'mine'"),
        ({"fps": 25, "rotation": nodding(), "scale": np.ones(50)}, "wanted both or none"),
        ({"fps": 25, "rotation": nodding(), "scale": np.ones(50), "translation": np.ones((50, 4))}, "translation is"),
        ({"fps": 25, "rotation": nodding(), "scale": np.ones(49), "translation": np.ones((50, 2))}, "scale 49 frames"),
        ({"fps": 25, "rotation": nodding(), "scale": np.zeros(50), "translation": np.ones((50, 2))}, "scale is 0"),
    ],
)
def test_a_pose_that_cannot_be_used_is_named(tmp_path, arrays, said):
    with pytest.raises(DataError, match=rf"v/pose\.npz.*{said}"):
        save(tmp_path, **arrays).rotation(np.zeros(1))


def test_files_that_are_no_npz_are_named(tmp_path):
    (tmp_path / "v").mkdir()
    for content in (b"", b"not a zip", b"PK\x03\x04 broken"):
        (tmp_path / "v" / "pose.npz").write_bytes(content)
        (tmp_path / "v" / "person.npz").write_bytes(content)
        annotations = Annotations.find(tmp_path, "v.mp4")
        with pytest.raises(DataError, match=r"cannot read .*pose\.npz"):
            annotations.rotation(np.zeros(1))
        with pytest.raises(DataError, match=r"cannot read .*person\.npz"):
            annotations.masks(np.zeros(1), Box(0, 0, 16), 16, 16)
    with (tmp_path / "v" / "pose.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"cannot read .*pose\.npz"):
        annotations.rotation(np.zeros(1))


def disc(width: int, height: int, x: float, y: float, radius: float) -> np.ndarray:
    """(height, width) uint8: a disc at this share of width and height, radius in heights."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    distance = np.hypot(columns - x * width, rows - y * height) - radius * height
    return (np.clip(0.5 - distance, 0, 1) * 255).astype(np.uint8)


WIDTH, HEIGHT, BOX = 640, 360, Box(200, 60, 240)


def discs(height: int, count: int = 10) -> np.ndarray:
    width = round(height * WIDTH / HEIGHT)
    return np.stack([disc(width, height, 0.4 + 0.02 * i, 0.5, 0.25) for i in range(count)])


def wanted_masks(times: np.ndarray, fps: float) -> np.ndarray:
    """Cut with the picture's own crop from full-size discs."""
    frames = discs(HEIGHT)
    return np.stack([crop_square(frames[round(t * fps)], BOX, 256) / 255.0 for t in times])


@pytest.mark.parametrize("height", [360, 90, 1080])
@pytest.mark.parametrize("kind", ["uint8", "bool", "float32", "labels"])
def test_masks_of_any_size_and_kind_are_cut_like_the_picture(tmp_path, height, kind):
    masks = discs(height)
    if kind == "labels":
        annotations = save(tmp_path, "parsing.npz", fps=12.5, labels=np.where(masks > 127, 17, 0).astype(np.uint8))
    elif kind == "bool":
        annotations = save(tmp_path, "person.npz", fps=12.5, mask=masks > 127)
    else:
        mask = masks if kind == "uint8" else (masks / 255).astype(np.float32)
        annotations = save(tmp_path, "person.npz", fps=12.5, mask=mask)
    times = np.array([0.0, 0.08, 0.16, 0.16, 0.64])
    found = list(annotations.masks(times, BOX, WIDTH, HEIGHT))
    assert annotations.has_masks and all(mask.shape == (256, 256) and mask.dtype == np.float32 for mask in found)
    edge = 256 / 240 * 360 / height  # of one pixel of the mask, in pixels of the result
    for mask, wanted in zip(found, wanted_masks(times, 12.5), strict=True):
        assert abs((mask >= 0.5).sum() - (wanted >= 0.5).sum()) < 600 * max(edge, 1) * 0.2
        assert ((mask >= 0.5) != (wanted >= 0.5)).sum() < 600 * max(edge, 1) * 0.35, "an edge's length, a part wide"
        assert mask.min() >= 0 and mask.max() > 0.99


def test_a_mask_goes_before_parsing(tmp_path):
    save(tmp_path, "parsing.npz", fps=25, labels=np.zeros((5, 36, 64), np.uint8))
    annotations = save(tmp_path, "person.npz", fps=25, mask=np.ones((5, 36, 64), bool))
    assert next(annotations.masks(np.zeros(1), BOX, WIDTH, HEIGHT)).min() == 1


@pytest.mark.parametrize("size", [(640, 360), (320, 180)])
def test_a_grey_video_of_another_rate_is_a_mask(tmp_path, size):
    masks = discs(size[1], 10)
    (tmp_path / "v").mkdir()
    with VideoWriter(tmp_path / "v" / "person.mp4", size, 12.5) as writer:
        for mask in masks:
            writer.write(np.repeat(mask[..., None], 3, axis=2))
    annotations = Annotations.find(tmp_path, "v.mp4")
    times = np.array([0.0, 0.08, 0.16, 0.16, 0.64, 0.72, 1.0])
    found = list(annotations.masks(times, BOX, WIDTH, HEIGHT))
    wanted = wanted_masks(np.minimum(times, 0.72), 12.5)
    assert len(found) == len(times), "the last stands for what little is asked beyond the end"
    for mask, truth in zip(found, wanted, strict=True):
        assert mask.shape == (256, 256) and mask.dtype == np.float32
        assert ((mask >= 0.5) != (truth >= 0.5)).sum() < 300
    with pytest.raises(DataError, match=r"person\.mp4 holds 20 frames"):
        annotations.masks(np.array([3.0]), BOX, WIDTH, HEIGHT)
    with pytest.raises(DataError, match="wanted the whole picture"):
        annotations.masks(np.zeros(1), Box(0, 0, 100), 480, 360)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"mask": np.ones((5, 36, 64), bool)}, "fps is missing"),
        ({"fps": 25}, "it has no 'mask'; wanted mask"),
        ({"fps": 25, "mask": np.ones((36, 64), bool)}, r"mask is bool \(36, 64\)"),
        ({"fps": 25, "mask": np.ones((5, 36, 64), np.int64)}, "mask is int64"),
        ({"fps": 25, "mask": np.ones((0, 36, 64), bool)}, r"\(0, 36, 64\)"),
        ({"fps": 25, "mask": np.asfortranarray(np.ones((5, 36, 64), bool))}, "Fortran"),
        ({"fps": 25, "mask": np.ones((5, 64, 64), bool)}, "wanted the whole picture of the source, 640x360"),
        ({"fps": 25, "mask": np.ones((5, 36, 64), bool)}, r"5 frames at 25 fps = 0\.20 s, wanted 2\.00 s"),
        ({"fps": 25, "mask": np.full((60, 36, 64), np.nan, np.float32)}, "NaN"),
        ({"fps": 25, "mask": np.full((60, 36, 64), 255, np.float32)}, "outside 0..1"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(tmp_path, arrays, said):
    with pytest.raises(DataError, match=rf"v/person\.npz.*{said}"):
        list(save(tmp_path, "person.npz", **arrays).masks(np.array([0.0, 2.0]), BOX, WIDTH, HEIGHT))


def test_masks_are_read_forwards_only(tmp_path):
    annotations = save(tmp_path, "person.npz", fps=25, mask=np.ones((60, 36, 64), bool))
    with pytest.raises(ValueError, match="forwards"):
        list(annotations.masks(np.array([1.0, 0.5]), BOX, WIDTH, HEIGHT))
