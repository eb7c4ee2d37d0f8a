"""The face crop of SyncNet's pipeline, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from moda.imaging.syncnet_crop import face_boxes, steady, sync_crops


def faces(centre: tuple[float, float], width: float, height: float, frames: int) -> np.ndarray:
    """(T, 478, 3): a mesh whose box has this centre and size; the irises (last ten points) lie far outside."""
    corners = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3))
    corners[0], corners[1] = -0.5, 0.5
    landmarks = np.repeat((corners * [width, height, 10.0])[None], frames, axis=0)
    landmarks[..., :2] += centre
    landmarks[:, 468:] = 10_000
    return landmarks


def test_the_box_is_that_of_the_mesh() -> None:
    boxes = face_boxes(faces((250.0, 240.0), 150, 200, 3))
    assert boxes == pytest.approx(np.repeat([[250, 240, 100]], 3, axis=0))


def test_frames_without_a_face_lie_between_their_neighbours() -> None:
    landmarks = faces((100.0, 100.0), 80, 80, 5)
    landmarks[4, :, :2] += 40
    landmarks[[0, 2, 3]] = np.nan
    assert face_boxes(landmarks)[:, 0] == pytest.approx([100, 100, 100 + 40 / 3, 100 + 80 / 3, 140])
    with pytest.raises(ValueError, match="no frame with a face"):
        face_boxes(landmarks * np.nan)


def test_the_median_takes_out_six_odd_frames_and_no_seventh() -> None:
    boxes = np.tile([[200.0, 210.0, 90.0]], (40, 1))
    boxes[10:16] = 300
    assert steady(boxes)[12] == pytest.approx([200, 210, 90])
    boxes[16] = 300
    assert steady(boxes)[13] == pytest.approx([300, 300, 300])


def test_the_cut_is_1_4_to_the_sides_1_above_and_1_8_below() -> None:
    """s = 80 about (250, 200): x from 138 to 362, y from 120 to 344, exactly 224 pixels each: no scaling."""
    picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    (crop,) = sync_crops([picture], np.array([[250.0, 200.0, 80.0]]))
    assert np.array_equal(crop, picture[120:344, 138:362])


def test_beyond_the_picture_is_grey_110() -> None:
    picture = np.full((512, 512, 3), 7, np.uint8)
    (crop,) = sync_crops([picture], np.array([[0.0, 500.0, 80.0]]))  # x from -112, y from 420 to 644
    assert (crop[:, :112] == 110).all() and (crop[92:] == 110).all()
    assert (crop[:92, 112:] == 7).all()
    (outside,) = sync_crops([picture], np.array([[-2000.0, 100.0, 80.0]]))
    assert (outside == 110).all()
    with pytest.raises(ValueError, match="cannot be cut"):
        list(sync_crops([picture], np.array([[100.0, 100.0, 0.0]])))
