from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moda.config import parse
from moda.errors import ConfigError
from moda.representation import Motion
from moda.smoothing import SmoothingConfig, gaussian, smooth_motion

PAPER = SmoothingConfig(lips=1.5, eyes=2, rotation=4, translation=6, torso=4, face=5)
OFF = SmoothingConfig(lips=0, eyes=0, rotation=0, translation=0, torso=0)


def make_motion(frames: int, fps: float = 25.0) -> Motion:
    rng = np.random.default_rng(0)
    shapes = ((40, 3), (60, 3), (7,), (18, 3))
    lips, eyes, head, torso = (rng.normal(size=(frames, *shape)).astype(np.float32) for shape in shapes)
    return Motion(lips, eyes, head, torso, fps)


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 60), sigma=st.floats(0, 8), value=st.floats(-500, 500, width=32))
def test_constants_stay_what_they_are(frames: int, sigma: float, value: float) -> None:
    values = np.full((frames, 2), value, np.float32)
    smooth = gaussian(values, sigma)
    assert smooth.dtype == np.float32 and smooth.shape == values.shape
    assert np.array_equal(smooth, values)


def test_nothing_is_delayed() -> None:
    pulse = np.zeros(81)
    pulse[40] = 1
    smooth = gaussian(pulse, 3)
    assert smooth.argmax() == 40 and np.allclose(smooth, smooth[::-1])
    assert smooth.sum() == pytest.approx(1)
    spread = np.sqrt((smooth * (np.arange(81) - 40) ** 2).sum())
    assert spread == pytest.approx(3, rel=0.02)
    time = np.arange(200) / 25
    wave = np.sin(2 * np.pi * time)
    lags = [np.corrcoef(wave[20:180], np.roll(gaussian(wave, 2), -lag)[20:180])[0, 1] for lag in range(-3, 4)]
    assert int(np.argmax(lags)) == 3


def test_a_straight_line_stays_inside_and_ends_do_not_fly_off() -> None:
    line = np.linspace(0, 50, 60)
    smooth = gaussian(line, 2)
    assert np.allclose(smooth[10:-10], line[10:-10])
    assert line.min() <= smooth.min() and smooth.max() <= line.max()


def test_axis_zero_sigma_and_integers() -> None:
    values = np.random.default_rng(0).normal(size=(3, 30))
    assert np.allclose(gaussian(values, 1.5, axis=1), gaussian(values.T, 1.5).T)
    same = gaussian(values, 0)
    assert np.array_equal(same, values) and same is not values
    assert gaussian(np.array([0, 10, 0]), 1).dtype == np.float64
    with pytest.raises(ValueError, match="sigma is -1"):
        gaussian(values, -1)


def test_each_part_gets_its_own_width() -> None:
    motion = make_motion(120)
    for name in ("lips", "eyes", "torso"):
        config = OFF.model_copy(update={name: 2.0})
        smooth = smooth_motion(motion, config)
        for part in ("lips", "eyes", "head", "torso"):
            changed = not np.array_equal(getattr(smooth, part), getattr(motion, part))
            assert changed == (part == name)
    turned = smooth_motion(motion, OFF.model_copy(update={"rotation": 4.0})).head
    assert np.allclose(turned[:, :3], gaussian(motion.head[:, :3], 4.0)) and np.array_equal(
        turned[:, 3:], motion.head[:, 3:]
    )
    moved = smooth_motion(motion, OFF.model_copy(update={"translation": 6.0})).head
    assert np.allclose(moved[:, 3:], gaussian(motion.head[:, 3:], 6.0))
    assert np.array_equal(moved[:, :3], motion.head[:, :3])


def test_sigmas_are_frames_at_25_fps() -> None:
    fast = smooth_motion(make_motion(100, fps=50.0), PAPER)
    assert fast.fps == 50.0
    assert np.allclose(fast.lips, gaussian(make_motion(100).lips, 3.0))


def test_one_frame_and_the_defaults_are_lighter_than_the_paper() -> None:
    motion = make_motion(1)
    assert np.allclose(smooth_motion(motion, PAPER).head, motion.head)
    light, paper = SmoothingConfig().model_dump(), PAPER.model_dump()
    assert all(light[name] < paper[name] for name in paper)
    with pytest.raises(ConfigError, match="'lips'"):
        parse(SmoothingConfig, {"lips": -1}, source="x")
