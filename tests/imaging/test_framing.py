"""The animated square in its whole picture: where it goes, what stays still, where it fades."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moda.imaging.crop import Box, crop_square
from moda.imaging.framing import (
    HAIR_REACH_FACTOR,
    LOWER_FADE_SHARE,
    MIN_REACH_PX,
    PERSON_FEATHER_SHARE,
    SIDE_FADE_SHARE,
    FullFraming,
    Square,
    Still,
    motion_reach,
    read_square,
    still_picture,
)
from moda.landmarks import FACE_OVAL
from moda.media.audio import write_wav
from moda.media.video import VideoWriter
from moda.representation import FRAME, HeadPose, Portrait

WHITE = 255


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """(240, 320, 3) noise, dark: no two neighbours are alike."""
    return np.random.default_rng(0).integers(0, 100, (240, 320, 3)).astype(np.uint8)


def everyone(side: int) -> np.ndarray:
    return np.ones((side, side), np.float32)


def test_a_picture_that_fits_is_not_scaled_and_its_sides_become_even(scene: np.ndarray) -> None:
    still = still_picture(scene[:239, :315], Box(10, 20, 100), 1280)
    assert still.size == (314, 238)
    assert np.array_equal(still.picture, scene[:238, :314])
    assert still.square == Square(10, 20, 100, 100)


def test_a_larger_picture_is_scaled_down_with_its_square() -> None:
    still = still_picture(np.zeros((1441, 2560, 3), np.uint8), Box(-100, 200, 400), 1280)
    assert still.size == (1280, 720)
    assert still.square.left == -50 and still.square.width == 200
    assert still.square.top == pytest.approx(200 * 720 / 1441)
    assert still.square.height == pytest.approx(400 * 720 / 1441)


@pytest.mark.parametrize("size", [100, 64, 150])
@pytest.mark.parametrize("box", [Box(40, 30, 100), Box(-20, -10, 100), Box(260, 180, 100)])
def test_the_reference_itself_gives_the_picture_itself(size: int, box: Box) -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    smooth = np.stack([rows * 0.9, columns * 0.7, (rows + columns) * 0.4], -1).astype(np.uint8)
    framed = FullFraming(still_picture(smooth, box, 1280), everyone(size), 0)(crop_square(smooth, box, size))
    error = np.abs(framed.astype(int) - smooth)
    assert error.max() <= (0 if size == 100 else 6)
    assert error.mean() < 0.3  # half a pixel out of place would be 0.3 where the square is, at least


def test_outside_the_square_and_on_its_borders_nothing_changes(scene: np.ndarray) -> None:
    framing = FullFraming(still_picture(scene, Box(60, 40, 150), 1280), everyone(64), 0)
    framed = framing(np.full((64, 64, 3), WHITE, np.uint8))
    changed = (framed != scene).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows[0] >= 41 and rows[-1] <= 40 + 150 - 2 and columns[0] >= 61 and columns[-1] <= 60 + 150 - 2
    below, beside = round(LOWER_FADE_SHARE * 150) + 1, round(SIDE_FADE_SHARE * 150) + 1
    assert (framed[40 + beside : 190 - below, 60 + beside : 210 - beside] == WHITE).all()
    # Towards the lower border the motion fades, row by row.
    fade = framed[190 - below : 190, 100:170].mean(axis=(1, 2))
    assert (np.diff(fade) < 3).all() and fade[0] > 250 and fade[-1] == pytest.approx(scene[189, 100:170].mean(), abs=1)


def test_where_the_picture_ends_there_is_no_border_to_hide(scene: np.ndarray) -> None:
    white = np.full((64, 64, 3), WHITE, np.uint8)
    framed = FullFraming(still_picture(scene, Box(120, 120, 120), 1280), everyone(64), 0)(white)
    assert (framed[-1, 140:220] == WHITE).all() and (framed[120, 120:240] == scene[120, 120:240]).all()
    framed = FullFraming(still_picture(scene, Box(-30, -20, 120), 1280), everyone(64), 0)(white)
    assert (framed[0, :60] == WHITE).all() and (framed[:60, 0] == WHITE).all()
    assert (framed[99, :90] == scene[99, :90]).all() and (framed[:100, 89] == scene[:100, 89]).all()


def test_the_background_in_the_square_is_still_up_to_where_the_person_goes(scene: np.ndarray) -> None:
    side = 200
    person = np.zeros((side, side), np.float32)
    person[:, :60] = 1
    reach = 20 * FRAME / side
    still = still_picture(scene, Box(60, 20, side), 1280)
    framed = FullFraming(still, person, reach)(np.full((side, side, 3), WHITE, np.uint8))
    row = framed[100, 60 : 60 + side].astype(int)
    assert (row[20:79] == WHITE).all()
    end = 60 + 20 + round(PERSON_FEATHER_SHARE * side) + 1
    assert (row[end:] == scene[100, 60 + end : 60 + side]).all()


def test_each_call_gives_its_own_picture(scene: np.ndarray) -> None:
    framing = FullFraming(still_picture(scene, Box(60, 40, 100), 1280), everyone(100), 0)
    white, black = (framing(np.full((100, 100, 3), value, np.uint8)) for value in (WHITE, 0))
    assert white[90, 110, 0] == WHITE and black[90, 110, 0] == 0
    assert white.flags.c_contiguous and white.dtype == np.uint8


def test_a_square_smaller_than_what_was_rendered_keeps_its_mean() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    still = Still(np.zeros((200, 200, 3), np.uint8), Square(40.5, 50.25, 90.0, 90.0))
    inner = FullFraming(still, everyone(256), 0)(stripes)[70:110, 60:110]
    assert inner.mean() == pytest.approx(100, abs=2) and inner.std() < 15


def test_reach_is_that_of_the_frame_that_goes_farthest() -> None:
    points, torso = np.zeros((478, 3), np.float32), np.zeros((18, 3), np.float32)
    pose = HeadPose(np.zeros(3), np.zeros(3), np.array(1.0))
    portrait = Portrait(np.zeros((64, 64, 3), np.uint8), points, pose, points, torso, np.zeros((64, 64), np.float32))
    face, shoulders = np.zeros((5, 478, 3)), np.zeros((5, 18, 3))
    parts = [(face[:2], shoulders[:2]), (face[2:], shoulders[2:])]
    assert motion_reach(parts, portrait) == MIN_REACH_PX
    face[3, FACE_OVAL[7]] = (3, 4, 100)
    assert motion_reach(parts, portrait) == pytest.approx(HAIR_REACH_FACTOR * 5)
    shoulders[1, 2] = (-12, 5, 0)
    assert motion_reach(parts, portrait) == pytest.approx(13)


@pytest.mark.parametrize("with_audio", [True, False])
def test_a_video_says_where_its_square_is(tmp_path: Path, with_audio: bool) -> None:
    square = Square(-12.5, 30.125, 200.4, 199.6)
    write_wav(tmp_path / "a.wav", np.zeros(1600))
    audio = tmp_path / "a.wav" if with_audio else None
    with VideoWriter(tmp_path / "a.mp4", (128, 96), 25, audio, metadata=square.tag((128, 96))) as writer:
        writer.write(np.zeros((96, 128, 3), np.uint8))
    assert read_square(tmp_path / "a.mp4") == square
    with VideoWriter(tmp_path / "b.mp4", 64, 25) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    assert read_square(tmp_path / "b.mp4") is None
