"""The mesh warp of the reference."""

import numpy as np
import pytest

from moda.geometry import apply_head, fit_head_pose, subject_mesh, to_canonical, to_image
from moda.imaging.conditioning import ReferenceConditioner
from moda.imaging.drawing import draw_condition
from moda.imaging.warping import PixelBox, ReferenceWarp
from moda.imaging.windows import FACE_STRENGTH, cut, eyes_region, eyes_window, mouth_region, mouth_window, paint_region
from moda.landmarks import (
    INNER_LIP_PAIRS,
    INNER_LIPS,
    LEFT_EYE_CONTOUR,
    OUTER_LIP_PAIRS,
    OUTER_LIPS,
    RIGHT_EYE_CONTOUR,
    canonical_face,
)
from moda.representation import Portrait
from tests.imaging.test_drawing import frontal_face, shoulders

SIZE = 128


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    """A smooth colour pattern with a face-shaped person in front of a plain background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:256, 0:256] / 256
    image = np.stack([128 + 100 * np.sin(9 * x + 3 * y), 128 + 90 * np.cos(7 * y), 60 + 150 * x], -1)
    person = (((x - 0.5) / 0.28) ** 2 + ((y - 0.45) / 0.36) ** 2 < 1) | (y > 0.8)
    image[~person] = rng.integers(100, 110, 3)
    landmarks = frontal_face()
    pose = fit_head_pose(landmarks[None])
    subject = subject_mesh(to_canonical(landmarks[None], pose))
    return Portrait(image.astype(np.uint8), landmarks, pose[0], subject, shoulders(), person.astype(np.float32))


def moved(portrait: Portrait, **head: float) -> np.ndarray:
    channels = {"pitch": 0, "yaw": 1, "roll": 2, "x": 3, "y": 4}
    motion = np.zeros((1, 7))
    for name, value in head.items():
        motion[0, channels[name]] = value
    pose = fit_head_pose(portrait.landmarks[None])
    return to_image(to_canonical(portrait.landmarks[None], pose), apply_head(pose[0], motion))


def warp(portrait: Portrait, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    warper = ReferenceWarp(portrait, SIZE)
    return warper.warp(warper.targets(landmarks, portrait.torso[None])[0])


def reference_picture(portrait: Portrait) -> np.ndarray:
    return portrait.image.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for the odd pixel on the border of the window, where polygons are clipped."""
    return (a != b).reshape(a.shape[0] * a.shape[1], -1).any(axis=1).mean() < 0.01


def test_no_motion_gives_the_reference_back(portrait):
    picture, validity = warp(portrait, portrait.landmarks[None])
    error = np.abs(picture.astype(float) - reference_picture(portrait))
    assert np.median(error) < 1.0
    inside = portrait.person.reshape(SIZE, 2, SIZE, 2).min(axis=(1, 3)) > 0
    assert np.quantile(error[inside], 0.99) < 8
    assert validity[inside].mean() > 0.97


def test_the_face_moves_and_the_background_stays(portrait):
    picture, _ = warp(portrait, moved(portrait, x=24.0))
    reference = reference_picture(portrait)
    face = slice(45, 70), slice(50, 78)
    shifted = np.abs(picture[face].astype(float) - np.roll(reference, 6, axis=1)[face]).mean()
    still = np.abs(picture[face].astype(float) - reference[face]).mean()
    assert shifted < 0.3 * still
    corner = slice(0, 20), slice(0, 20)
    assert np.abs(picture[corner].astype(float) - reference[corner]).max() <= 2


@pytest.mark.parametrize("head", [{"yaw": 30.0}, {"yaw": -35.0}, {"pitch": 20.0, "roll": 15.0}])
def test_large_turns_leave_no_holes(portrait, head):
    picture, validity = warp(portrait, moved(portrait, **head))
    assert np.isfinite(picture).all()
    assert (validity[40:75, 50:78] > 0.2).mean() > 0.97


def test_an_opened_mouth_is_marked_unknown_and_dark(portrait):
    landmarks = portrait.landmarks[None].copy()
    for upper, lower in INNER_LIP_PAIRS:
        middle = 0.5 * (landmarks[0, upper] + landmarks[0, lower])
        landmarks[0, upper], landmarks[0, lower] = middle, middle
    closed = Portrait(portrait.image, landmarks[0], portrait.pose, portrait.subject, portrait.torso, portrait.person)
    opened = landmarks.copy()
    for upper, lower in INNER_LIP_PAIRS + OUTER_LIP_PAIRS:
        opened[0, upper, 1] -= 12
        opened[0, lower, 1] += 12
    picture, validity = warp(closed, opened)
    x, y = (opened[0, list(INNER_LIPS), :2].mean(0) * SIZE / 512).astype(int)
    assert validity[y, x] < 0.1
    assert picture[y, x].max() < 90


def test_a_window_is_a_part_of_the_whole(portrait):
    warper = ReferenceWarp(portrait, SIZE)
    (target,) = warper.targets(moved(portrait, yaw=12.0, y=5.0), portrait.torso[None])
    whole, validity = warper.warp(target)
    part, part_validity = warper.warp(target, PixelBox(30, 40, 48, 36))
    assert same(part, whole[40:76, 30:78])
    assert same(part_validity, validity[40:76, 30:78])


def test_window_and_region_hold_the_mouth(portrait):
    window = mouth_window(portrait.landmarks, SIZE)
    region = mouth_region(portrait.landmarks, SIZE)
    x, y = portrait.landmarks[13, :2] * SIZE / 512
    assert window.left < x < window.left + window.width
    assert window.top < y < window.top + window.height
    assert region[int(y), int(x)] > 0.9
    outside = region.copy()
    outside[window.top : window.top + window.height, window.left : window.left + window.width] = 0
    assert outside.max() < 1e-3, "the region ends inside the window"


def test_the_network_may_change_the_mouth_in_full_and_the_face_around_it_by_half(portrait):
    window = mouth_window(portrait.landmarks, SIZE)
    region = paint_region(portrait.landmarks, SIZE, window)
    mouth = cut(mouth_region(portrait.landmarks, SIZE), window)
    assert region.shape == (window.height, window.width)
    assert (region >= mouth).all() and region.max() > 0.9
    around = region[mouth < 1e-3]
    assert around.max() == pytest.approx(FACE_STRENGTH)
    rim = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
    assert rim.max() < 1e-3, "no seam at the window's border"


def test_the_mouth_is_in_the_middle_of_its_window_and_the_region_reaches_beyond_the_lips(portrait):
    window = mouth_window(portrait.landmarks, SIZE)
    middle = portrait.landmarks[list(INNER_LIPS), :2].mean(axis=0) * SIZE / 512
    assert np.abs(np.array([window.left, window.top]) + window.width / 2 - middle).max() <= 1
    region = mouth_region(portrait.landmarks, 512)
    lips = portrait.landmarks[list(OUTER_LIPS), :2]
    for scale, least, most in ((1.0, 0.6, 1.0), (1.15, 0.4, 1.0), (2.0, 0.0, 0.1)):
        ends = lips.mean(axis=0) + scale * (lips[[0, 10]] - lips.mean(axis=0))  # the corners of the mouth
        for x, y in ends.astype(int):
            assert least <= region[y, x] <= most, scale


def test_the_eyes_window_holds_both_eyes_open_or_shut(portrait):
    """Lids move inside the region, which ends before the window does; also for a head that leans."""
    for degrees in (0.0, 20.0):
        landmarks = moved(portrait, roll=degrees)[0]
        window = eyes_window(landmarks, SIZE)
        region = eyes_region(landmarks, SIZE, window)
        assert region.shape == (window.height, window.width) == (round(SIZE * 0.1875), round(SIZE * 0.375))
        lids = landmarks[[*LEFT_EYE_CONTOUR, *RIGHT_EYE_CONTOUR], :2] * SIZE / 512
        x, y = (lids - [window.left, window.top]).astype(int).T
        assert (region[y, x] > 0.6).all(), degrees
        rim = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
        assert rim.max() == 0, "no seam at the window's border"
        assert region[:, region.shape[1] // 2].max() == pytest.approx(FACE_STRENGTH), "between the eyes, by half"


def test_without_a_warp_every_frame_has_its_own_landmarks_and_shoulders(portrait):
    landmarks = np.concatenate([moved(portrait, x=0.0), moved(portrait, x=20.0)])
    torso = np.stack([portrait.torso, portrait.torso + np.array([9.0, 9.0, 0.0])])
    frames = ReferenceConditioner(portrait, SIZE, warp=False).frames(landmarks, torso, 3)
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.condition, draw_condition(landmarks[index], torso[index], SIZE))
        assert frame.frame == 3 + index
        assert np.abs(frame.reference.astype(int) - reference_picture(portrait)).max() <= 1


def test_where_the_person_was_the_background_is_seen(portrait):
    """The head goes to the right: at its left there is wall then, which is grey of 100 to 109."""
    before, _ = warp(portrait, portrait.landmarks[None])
    after, _ = warp(portrait, moved(portrait, x=40.0))
    row = round(0.45 * SIZE)
    edge = np.flatnonzero(portrait.person[2 * row] > 0)[0] // 2
    left = slice(edge + 1, edge + 6)
    assert np.ptp(before[row, left].mean(axis=0)) > 30, "the person has colours"
    assert (np.abs(after[row, left].astype(int) - 104.5) < 15).all()


def test_what_is_nearer_hides_what_is_farther(portrait):
    """A turned head: of the triangles over a pixel, that in front is drawn, as for a brute-force painter."""
    landmarks = moved(portrait, yaw=45.0)[0]
    corners = landmarks[canonical_face().triangles]
    scaled, depth = corners[..., :2] * SIZE / 512, corners[..., 2].mean(axis=1)
    faces = (-1) ** (_turn(canonical_face().vertices[canonical_face().triangles, :2]) < 0) * _turn(scaled) > 0.05
    warp = ReferenceWarp(portrait, SIZE)
    (target,) = warp.targets(landmarks[None], portrait.torso[None])
    index, _ = warp._rasterise(target, PixelBox(0, 0, SIZE, SIZE))
    hidden = 0
    for y, x in np.argwhere(index < len(corners)):
        point = np.array([x, y]) + 0.5
        parts = np.stack(
            [
                _turn(np.stack([np.broadcast_to(point, (len(scaled), 2)), scaled[:, i], scaled[:, j]], 1))
                for i, j in ((1, 2), (2, 0), (0, 1))
            ]
        ) / _turn(scaled)
        over = np.flatnonzero(faces & (parts > 0.1).all(axis=0))
        if len(over) > 1 and np.ptp(depth[over]) > 5:
            hidden += 1
            assert depth[index[y, x]] < depth[over].min() + 5
    assert hidden >= 5


def _turn(corners):
    """Twice the signed area of triangles (N, 3, 2)."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return ax * by - ay * bx


def test_window_stays_inside_the_picture():
    landmarks = frontal_face()
    for shift in ([-400, 0, 0], [400, 400, 0]):
        left, top, side, _ = mouth_window(landmarks + shift, SIZE)
        assert 0 <= left <= SIZE - side
        assert 0 <= top <= SIZE - side


def test_training_and_inference_see_the_same_window(portrait):
    conditioner = ReferenceConditioner(portrait, SIZE, warp=True)
    landmarks = moved(portrait, yaw=8.0)
    (whole,) = conditioner.frames(landmarks, portrait.torso[None], 5)
    (windowed,) = conditioner.frames(landmarks, portrait.torso[None], 5, whole=False)
    for name in ("condition", "reference", "warped", "validity", "region"):
        assert same(getattr(whole, name), getattr(windowed, name)), name
    assert whole.frame == windowed.frame == 5
