"""Pose fit, exact inverses, rest mesh."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moda import geometry
from moda.landmarks import (
    INNER_LIP_PAIRS,
    LEFT_EYELID_PAIRS,
    N_LANDMARKS,
    RIGHT_EYELID_PAIRS,
    canonical_face,
    lip_opening,
)
from moda.representation import HeadPose

ANGLES = st.tuples(*[st.floats(-50, 50)] * 3)


def face_with_irises() -> np.ndarray:
    vertices = canonical_face().vertices
    return np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)])


def one_pose(angles: tuple[float, ...], shift: tuple[float, float, float], scale: float) -> HeadPose:
    return HeadPose(np.array([angles]), np.array([shift]), np.array([scale]))


@settings(max_examples=50, deadline=None)
@given(ANGLES, st.tuples(*[st.floats(-600, 600)] * 3), st.floats(0.2, 4.0), st.integers(0, 2**31))
def test_canonical_and_image_are_exact_inverses(angles, shift, scale, seed):
    points = np.random.default_rng(seed).normal(0, 100, (1, N_LANDMARKS, 3))
    pose = one_pose(angles, shift, scale)
    assert np.abs(geometry.to_canonical(geometry.to_image(points, pose), pose) - points).max() < 1e-4
    assert np.abs(geometry.to_image(geometry.to_canonical(points, pose), pose) - points).max() < 1e-4


@settings(max_examples=50, deadline=None)
@given(ANGLES, st.floats(0.3, 3.0))
def test_pose_of_the_canonical_face_is_found(angles, scale):
    pose = one_pose(angles, (250.0, 240.0, 10.0), scale)
    found = geometry.fit_head_pose(geometry.to_image(face_with_irises()[None], pose))
    assert np.allclose(geometry.rotation_matrix(found.rotation), geometry.rotation_matrix(pose.rotation), atol=1e-4)
    assert found.scale[0] == pytest.approx(scale, rel=1e-4)
    assert np.allclose(found.translation, pose.translation, atol=0.05)


def test_detected_depth_does_not_change_the_rotation():
    pose = one_pose((5.0, -20.0, 3.0), (256.0, 256.0, 0.0), 1.0)
    landmarks = geometry.to_image(face_with_irises()[None], pose)
    stretched = landmarks * [1.0, 1.0, 1.5]
    assert np.allclose(geometry.fit_head_pose(stretched).rotation, geometry.fit_head_pose(landmarks).rotation)


def test_degenerate_points_fall_back_to_a_finite_pose():
    landmarks = np.random.default_rng(0).normal(256, 80, (3, N_LANDMARKS, 3))
    found = geometry.fit_head_pose(landmarks)
    assert all(np.isfinite(values).all() for values in (found.rotation, found.translation, found.scale))
    assert (found.scale > 0).all()


def test_under_its_own_rotation_a_face_gets_its_own_pose():
    rng = np.random.default_rng(5)
    count = 12
    pose = HeadPose(rng.uniform(-30, 30, (count, 3)), rng.normal(250, 30, (count, 3)), rng.uniform(0.5, 2, count))
    landmarks = geometry.to_image(face_with_irises()[None], pose) + rng.normal(0, 1, (count, N_LANDMARKS, 3))
    fitted = geometry.fit_head_pose(landmarks)
    found = geometry.fit_under_rotation(landmarks, fitted.rotation)
    assert np.array_equal(found.rotation, fitted.rotation)
    assert np.abs(found.scale - fitted.scale).max() < 1e-6
    assert np.abs(found.translation - fitted.translation).max() < 1e-6


def test_under_another_rotation_no_other_scale_or_place_fits_better():
    pose = one_pose((4.0, -15.0, 2.0), (250.0, 230.0, 20.0), 1.2)
    landmarks = geometry.to_image(face_with_irises()[None], pose)
    found = geometry.fit_under_rotation(landmarks, pose.rotation + np.array([3.0, 5.0, -4.0]))
    face = canonical_face()

    def error(scale: float, shift: float) -> float:
        moved = HeadPose(found.rotation, found.translation + np.array([shift, 0.0, 0.0]), found.scale * scale)
        gap = geometry.to_image(face.vertices[None], moved)[:, face.rigid, :2] - landmarks[:, face.rigid, :2]
        return float(np.einsum("v,tvc->", face.rigid_weights, gap**2))

    assert 0 < error(1.0, 0.0) < min(error(1.01, 0.0), error(0.99, 0.0), error(1.0, 0.3), error(1.0, -0.3))
    turned = geometry.fit_under_rotation(landmarks, pose.rotation + np.array([0.0, 0.0, 180.0]))
    assert turned.scale[0] < 0, "upside down contradicts the landmarks"


def test_relative_head_and_apply_head_are_inverses():
    rng = np.random.default_rng(1)
    pose = HeadPose(rng.normal(0, 10, (20, 3)), rng.normal(250, 9, (20, 3)), rng.uniform(0.8, 1.2, 20))
    reference = geometry.rest_pose(pose)
    back = geometry.apply_head(reference, geometry.relative_head(pose, reference))
    assert np.allclose(back.rotation, pose.rotation)
    assert np.allclose(back.translation, pose.translation)
    assert np.allclose(back.scale, pose.scale)


def test_subject_mesh_is_a_closed_mouth_even_from_one_open_frame():
    mesh = face_with_irises()
    for _, lower in INNER_LIP_PAIRS:
        mesh[lower, 1] += 12.0
    assert lip_opening(mesh) > 12
    subject = geometry.subject_mesh(mesh[None])
    assert lip_opening(subject) < 1e-3
    assert np.allclose(subject[10], mesh[10], atol=1e-4), "only lips may move"


def test_the_mesh_at_rest_is_of_frames_with_a_closed_mouth_and_open_eyes():
    """Of 20 frames the mouth is most closed in 0 to 3, of these the eyes are open in 2 and 3."""
    frames = np.repeat(face_with_irises()[None], 20, axis=0)
    for index, frame in enumerate(frames):
        for _, lower in INNER_LIP_PAIRS:
            frame[lower, 1] += index
        if index < 2:
            for upper, lower in LEFT_EYELID_PAIRS + RIGHT_EYELID_PAIRS:
                frame[upper] = frame[lower]
        frame[10, 0] += 10 * index  # the forehead says which frames were taken
    subject = geometry.subject_mesh(frames)
    assert subject[10, 0] - face_with_irises()[10, 0] == pytest.approx(25, abs=1e-3)


def test_motion_is_relative_to_where_the_clip_is_half_of_the_time():
    """Not to its first frame, nor to a mean that one frame could move."""
    away = np.array([3.0, 0.0, 0.0, 0.0, 50.0])
    pose = HeadPose(np.zeros((5, 3)) + away[:, None], 200 + np.zeros((5, 3)) + away[:, None], 1 + away / 100)
    torso = 300 + np.zeros((5, 18, 3)) + away[:, None, None]
    canonical = np.repeat(face_with_irises()[None], 5, axis=0)
    motion = geometry.motion_targets(canonical, pose, torso, canonical[0])
    assert np.allclose(motion.head[:, :6], away[:, None]) and np.allclose(motion.head[:, 6], away / 100)
    assert np.allclose(motion.torso, away[:, None, None])


def test_motion_targets_rebuild_the_tracked_face():
    rng = np.random.default_rng(2)
    pose = HeadPose(rng.normal(0, 5, (30, 3)), rng.normal(250, 5, (30, 3)), rng.uniform(0.9, 1.1, 30))
    canonical = face_with_irises()[None] + rng.normal(0, 1, (30, N_LANDMARKS, 3))
    torso = rng.normal(300, 3, (30, 18, 3))
    subject = geometry.subject_mesh(canonical)
    motion = geometry.motion_targets(canonical, pose, torso, subject)
    assert len(motion) == 30
    pose_back = geometry.apply_head(geometry.rest_pose(pose), motion.head)
    rebuilt = geometry.to_image(subject + geometry.face_offsets(canonical, subject), pose_back)
    assert np.abs(rebuilt - geometry.to_image(canonical, pose)).max() < 1e-4
