"""The small computations inside the steps."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data_prepare.steps.normalise import contrast
from data_prepare.steps.pose import smooth_pose
from data_prepare.steps.quality import sharpness, spread
from data_prepare.steps.sound import loudness
from data_prepare.steps.torso import interpolate
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


def test_interpolation_is_exact_for_straight_lines():
    at = np.array([1, 3, 5])
    values = interpolate(np.stack([at, 2 * at], axis=1).astype(float), at, 8)
    np.testing.assert_allclose(values[:, 1], [2, 2, 4, 6, 8, 10, 10, 10])
    assert interpolate(np.ones((1, 18, 3)), np.array([0]), 4).shape == (4, 18, 3)


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
