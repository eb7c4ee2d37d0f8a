"""The small computations inside the steps."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data_prepare.job import Job, Span
from data_prepare.steps import pose, torso
from data_prepare.steps.audio import loudness
from data_prepare.steps.normalise import contrast
from data_prepare.steps.pose import smooth_pose
from data_prepare.steps.quality import sharpness, spread
from moda.geometry import to_image
from moda.landmarks import INNER_LIP_PAIRS, LIPS, canonical_face
from moda.representation import HeadPose


def test_loudness_of_a_sine_and_of_silence():
    time = np.arange(16_000) / 16_000
    assert loudness(np.sin(2 * np.pi * 100 * time)) == pytest.approx(-3.01, abs=0.01)
    assert loudness(np.zeros(100)) == loudness(np.zeros(0)) == -120.0


def test_blur_lowers_sharpness_and_a_fade_lowers_contrast():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (100, 100, 3)).astype(np.uint8)
    box = np.zeros((478, 3))
    box[:, :2] = rng.uniform(20, 80, (478, 2))
    blurred = gaussian_filter(picture, (1.5, 1.5, 0))
    assert sharpness(blurred, box) < 0.1 * sharpness(picture, box)
    faded = (200 + 0.2 * (picture.astype(float) - 128)).astype(np.uint8)
    assert contrast(faded, box) == pytest.approx(0.2 * contrast(picture, box), rel=0.1)
    assert sharpness(picture, box + 500) == contrast(picture, box + 500) == 0.0  # out of the picture


def test_smoothing_a_pose_goes_over_the_half_turn_and_keeps_constants():
    rotation = np.zeros((20, 3))
    rotation[:, 1] = np.where(np.arange(20) % 2, 179.0, -179.0)
    pose = smooth_pose(HeadPose(rotation, np.full((20, 3), 7.0), np.full(20, 1.5)))
    assert (np.abs(np.abs(pose.rotation[:, 1]) - 180) < 2).all()
    np.testing.assert_allclose(pose.translation, 7.0)
    np.testing.assert_allclose(pose.scale, 1.5)


def test_spread_ignores_outliers():
    values = np.concatenate([np.linspace(0, 10, 101), [1000.0]])
    assert 8 < spread(values) < 10


def test_the_mesh_at_rest_is_of_frames_in_which_the_face_was_seen():
    job = object.__new__(Job)
    vertices = canonical_face().vertices
    face = np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)])
    job.tracked = np.arange(20) < 10
    job.annotations, job.span = None, Span(0, 20)
    faces = np.repeat(face[None], 20, axis=0)
    faces[10:, :, 1] *= 1.3  # what fills a gap; the mouth is closed there alone
    for _, lower in INNER_LIP_PAIRS:
        faces[:10, lower, 1] += 5
    pose_of_all = HeadPose(np.zeros((20, 3)), np.full((20, 3), 256.0), np.ones(20))
    job.landmarks = to_image(faces, pose_of_all).astype(np.float32)
    pose.run(job)
    others = [point for point in range(478) if point not in LIPS]
    assert np.abs(job.subject - face)[others, 1].max() < 4 < 0.05 * np.ptp(face[:, 1])
    assert job.pose.translation.shape == (20, 3)


def test_shoulders_have_the_depth_of_the_head_in_their_frame():
    job = object.__new__(Job)
    vertices = canonical_face().vertices
    face = np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)]) + np.array([256.0, 200.0, 0.0])
    job.landmarks = np.repeat(face[None], 12, axis=0).astype(np.float32)
    job.landmarks[..., 2] += 10 * np.arange(12)[:, None]
    job.outlined = np.array([0, 6])
    job.outlines = np.full((2, 256), 400.0, np.float32)
    torso.run(job)
    assert job.torso.shape == (12, 18, 3)
    np.testing.assert_allclose(job.torso[..., 2], job.landmarks[..., 2].mean(axis=1)[:, None].repeat(18, 1), atol=1e-3)
