import hashlib
import re
from importlib import resources

import numpy as np
import pytest

from moda.imaging.crop import crop_square, face_size, square_box
from moda.landmarks import EYE_CORNERS
from moda.tracking.face import FaceTracker
from tests.tracking.detect import detect_faces

CHIN, FOREHEAD, NOSE = 152, 10, 1


@pytest.fixture(scope="module")
def mesh(astronaut):
    faces = detect_faces(astronaut)
    assert len(faces) == 1
    return faces[0]


def test_axes_x_right_y_down_z_away(mesh, astronaut):
    height, width = astronaut.shape[:2]
    assert mesh.shape == (478, 3) and np.isfinite(mesh).all()
    assert (mesh[:, :2] > 0).all() and (mesh[:, 0] < width).all() and (mesh[:, 1] < height).all()
    right_eye, left_eye = mesh[EYE_CORNERS[0]], mesh[EYE_CORNERS[1]]
    assert right_eye[0] < left_eye[0]  # the subject's right is at the picture's left
    assert mesh[FOREHEAD, 1] < mesh[NOSE, 1] < mesh[CHIN, 1]
    assert mesh[NOSE, 2] < right_eye[2]  # the nose is nearer to the camera


def test_pixels_do_not_depend_on_the_shape_of_the_picture(mesh, astronaut):
    height, width = astronaut.shape[:2]
    bottom = int(mesh[:, 1].max() + 60)
    wide = detect_faces(astronaut[:bottom])[0]
    assert np.abs(wide - mesh)[:, :2].mean() < 0.02 * float(face_size(mesh))
    moved = np.zeros((height, width + 200, 3), np.uint8)
    moved[:, 200:] = astronaut
    assert np.abs(detect_faces(moved)[0] - mesh - [200, 0, 0])[:, :2].mean() < 0.02 * float(face_size(mesh))


def test_a_rolled_face_keeps_its_shape_in_a_wide_picture(mesh, astronaut):
    """Face Mesh distorts turned faces in pictures that are not square; the tracker hands it squares."""
    from PIL import Image

    turned = np.asarray(Image.fromarray(astronaut).rotate(25, center=tuple(mesh[NOSE, :2])))
    square = detect_faces(turned)[0]
    bottom = int(square[:, 1].max() + 40)
    wide = detect_faces(turned[:bottom])[0]
    assert bottom < 0.75 * turned.shape[1]
    assert np.abs(wide - square)[:, :2].mean() < 0.02 * float(face_size(square))


def test_the_largest_face_comes_first(astronaut):
    from PIL import Image

    side = astronaut.shape[0]
    small = np.asarray(Image.fromarray(astronaut).resize((side * 2 // 3, side * 2 // 3)))
    pair = np.zeros((side, side + side * 2 // 3, 3), np.uint8)
    pair[: side * 2 // 3, : side * 2 // 3] = small
    pair[:, side * 2 // 3 :] = astronaut
    faces = detect_faces(pair)
    assert len(faces) == 2
    assert face_size(faces[0]) > 1.2 * face_size(faces[1])
    assert faces[0][:, 0].min() > side * 2 // 3


def test_a_small_face_in_a_large_picture_is_found(mesh, astronaut):
    from PIL import Image

    share = 0.6
    side = int(astronaut.shape[0] * share)
    picture = np.full((2 * astronaut.shape[0], 2 * astronaut.shape[1], 3), 90, np.uint8)
    picture[300 : 300 + side, 400 : 400 + side] = np.asarray(Image.fromarray(astronaut).resize((side, side)))
    faces = detect_faces(picture)
    assert len(faces) == 1
    expected = mesh * share + [400, 300, 0]
    assert np.abs(faces[0] - expected)[:, :2].mean() < 0.03 * float(face_size(expected))


def test_following_a_face_over_frames_stays_near_single_pictures(mesh, astronaut):
    with FaceTracker(video=True) as tracker:
        tracks = [tracker.track(np.roll(astronaut, shift, axis=1)) for shift in range(0, 20, 4)]
    for shift, track in zip(range(0, 20, 4), tracks, strict=True):
        assert track is not None
        assert np.abs(track - mesh - [shift, 0, 0])[:, :2].mean() < 0.03 * float(face_size(mesh))


def test_landmarks_do_not_shift_with_the_size_of_the_picture(astronaut):
    """Areas are averaged, so pixel i of the small picture covers 2i and 2i + 1 of the large one, exactly."""
    large = astronaut[:1024, :1024] if len(astronaut) >= 1024 else astronaut
    box = square_box(detect_faces(large)[0], large.shape[1], large.shape[0])
    found = {}
    for side in (256, 320, 512):
        with FaceTracker(video=False) as tracker:
            picture = crop_square(large, box, side)
            turned = picture[:, ::-1]
            mesh, mirrored = tracker.track(picture), tracker.track(np.ascontiguousarray(turned))
        assert mesh is not None and mirrored is not None
        found[side] = mesh * 512 / side, mirrored * 512 / side
    for side in (256, 320):
        for mesh, reference in zip(found[side], found[512], strict=True):
            bias = (mesh - reference)[:, :2].mean(axis=0)
            assert np.abs(bias).max() < 0.3, (side, bias)


def test_no_face_is_none():
    grey = np.full((200, 300, 3), 128, np.uint8)
    assert detect_faces(grey) == []
    with FaceTracker(video=True) as tracker:
        assert tracker.track(grey) is None


def test_the_native_code_stays_quiet(astronaut, capfd):
    detect_faces(astronaut)
    assert capfd.readouterr().err == ""


def test_a_moving_face_is_followed_without_delay(mesh, astronaut):
    """MediaPipe smooths what it follows: at the true rate the points of a face that moves would lag behind."""
    step = 6
    with FaceTracker(video=True) as tracker:
        tracks = [tracker.track(np.roll(astronaut, step * frame, axis=1)) for frame in range(8)]
    moved = [(track - mesh)[:, 0].mean() for track in tracks]
    np.testing.assert_allclose(np.diff(moved), step, atol=0.5)
    assert abs(moved[-1] - 7 * step) < 1


def test_the_models_are_those_that_the_notice_names():
    folder = resources.files("moda") / "package_data"
    named = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "NOTICE").read_text(), re.MULTILINE)
    assert len(named) == 3
    for digest, name in named:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
