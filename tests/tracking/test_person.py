import numpy as np
import pytest

from moda.imaging.crop import crop_square, square_box, to_frame
from moda.landmarks import FACE_OVAL
from moda.representation import FRAME
from moda.tracking.person import PersonSegmenter, shoulder_points, shoulders_over_time, upper_edge
from tests.tracking.detect import detect_faces

Y, X = np.mgrid[0:256, 0:256] * 2.0 + 1.0
CHIN = 350.0


def shoulder_line(x):
    """The upper edge of the body of the drawn person: 400 at the neck, lower outwards."""
    return 400 + 0.4 * np.maximum(np.abs(x - 256) - 50, 0)


def drawn_mask(hair=False):
    head = ((X - 256) / 90) ** 2 + ((Y - 230) / 130) ** 2 < 1
    neck = (np.abs(X - 256) < 50) & (Y > 230)
    body = shoulder_line(X) < Y
    mask = head | neck | body
    if hair:
        mask |= (np.abs(X - 256) < 120) & (Y > 150)
    return mask.astype(np.float32)


def landmarks():
    """An oval face over the drawn head: 160 wide, 240 high, chin at 350."""
    points = np.zeros((478, 3))
    points[:] = 256, 230, 7
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    points[list(FACE_OVAL), 0] = 256 + 80 * np.sin(angle)
    points[list(FACE_OVAL), 1] = 230 - 120 * np.cos(angle)
    return points


def test_points_lie_on_the_shoulders_from_the_neck_outwards():
    points = shoulder_points(drawn_mask(), landmarks())
    assert points.shape == (18, 3)
    right, left = points[:9], points[9:]
    assert (np.diff(right[:, 0]) < 0).all() and (np.diff(left[:, 0]) > 0).all()
    assert right[0, 0] < 256 < left[0, 0]
    np.testing.assert_allclose(points[:, 1], shoulder_line(points[:, 0]), atol=2.0)
    np.testing.assert_allclose(right[:, 0] - 256, 256 - left[:, 0], atol=1e-6)  # a symmetric person
    steps = np.linalg.norm(np.diff(left[:, :2], axis=0), axis=1)
    assert steps.max() < 1.1 * steps.min()


def test_depth_is_the_mean_of_the_head():
    points = landmarks()
    assert (shoulder_points(drawn_mask(), points)[:, 2] == points[:, 2].mean()).all()


def test_the_resolution_of_the_mask_does_not_matter():
    fine = np.repeat(np.repeat(drawn_mask(), 2, axis=0), 2, axis=1)
    difference = np.abs(shoulder_points(fine, landmarks()) - shoulder_points(drawn_mask(), landmarks()))
    assert difference.max() < 3.0


def test_hair_hides_the_neck_but_the_line_goes_on():
    bare, hairy = (shoulder_points(drawn_mask(hair), landmarks()) for hair in (False, True))
    assert np.abs(hairy - bare)[:, :2].max() < 30
    outer = np.abs(hairy[:, 0] - 256) > 125
    np.testing.assert_allclose(hairy[outer, 1], shoulder_line(hairy[outer, 0]), atol=3.0)


@pytest.mark.parametrize("mask", [np.zeros((256, 256)), np.ones((256, 256)), (Y < 300).astype(float)])
def test_without_visible_shoulders_a_plausible_line_is_returned(mask):
    points = shoulder_points(mask.astype(np.float32), landmarks())
    assert np.isfinite(points).all()
    assert (points[:, 1] >= CHIN).all() and (points[:, 1] < CHIN + 200).all()


def test_a_face_at_the_picture_border_does_not_break_it():
    for shift in (-400.0, 400.0):
        moved = landmarks() + np.array([shift, shift / 2, 0])
        assert np.isfinite(shoulder_points(drawn_mask(), moved)).all()


def test_the_edge_is_found_between_rows():
    mask = np.zeros((100, 100), np.float32)
    mask[60:] = 1.0
    mask[59] = 0.25
    edge = upper_edge(mask) * 100 / FRAME
    # Row centres: 59.5 holds 1/4, 60.5 holds 1; 1/2 lies a third of the way down from 59.5.
    np.testing.assert_allclose(edge, 59.5 + 1 / 3, rtol=1e-5)


def test_what_ends_above_the_bottom_is_no_shoulder():
    mask = np.zeros((100, 100), np.float32)
    mask[20:60, :30] = 1.0  # a hand held up
    mask[40:85, 30:60] = 1.0
    edge = upper_edge(mask) * 100 / FRAME
    assert np.isnan(edge[:30]).all() and np.isnan(edge[60:]).all()
    np.testing.assert_allclose(edge[30:60], 40.0, atol=0.1)


def test_the_edge_is_all_that_is_needed():
    np.testing.assert_array_equal(
        shoulder_points(drawn_mask(), landmarks()),
        shoulders_over_time(upper_edge(drawn_mask())[None], landmarks()[None])[0],
    )


def moments(count=40):
    """Outlines of a person who sinks by 6 pixels, and the landmarks of each moment."""
    sinking = np.linspace(0, 3, count)
    rolled = [np.roll(drawn_mask(), round(down), axis=0) for down in sinking]
    return np.stack([upper_edge(mask) for mask in rolled]), np.repeat(landmarks()[None], count, axis=0)


def test_shoulders_follow_the_body_over_time():
    points = shoulders_over_time(*moments())
    moved = points[-1, :, :2] - points[0, :, :2]
    np.testing.assert_allclose(moved[:, 1], 6.0, atol=1.5)
    np.testing.assert_allclose(moved[:, 0], 0.0, atol=1e-6)


def test_an_arm_or_hair_that_hides_the_end_for_a_while_moves_no_point_along_the_shoulder():
    edges, faces = moments()
    still = shoulders_over_time(edges, faces)
    hidden = edges.copy()
    hidden[10:18, 170:] = np.nan  # the end of the shoulder at the right is not to be seen
    hidden[25:30, 185:200] -= 90.0  # a hand
    points = shoulders_over_time(hidden, faces)
    assert np.abs(points - still)[..., 0].max() < 6, "no sliding"
    assert np.abs(points - still)[:, :9].max() < 1e-6, "the other shoulder is as it was"
    assert np.abs(np.diff(points[..., 1], axis=0)).max() < 6, "no jump"


def test_a_mask_that_fails_for_some_moments_does_not_throw_the_shoulders():
    edges, faces = moments()
    failed = edges.copy()
    failed[15:22] += 70.0
    points = shoulders_over_time(failed, faces)
    assert np.abs(points - shoulders_over_time(edges, faces))[..., 1].max() < 12


def test_a_real_person_is_segmented(astronaut):
    face = detect_faces(astronaut)[0]
    box = square_box(face, astronaut.shape[1], astronaut.shape[0])
    picture, points = crop_square(astronaut, box, 300), to_frame(face, box)
    with PersonSegmenter() as segmenter:
        mask = segmenter.mask(picture)
    assert mask.shape == (300, 300) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    columns, rows = (points[:, :2] * 300 / FRAME).astype(int).T
    assert mask[rows, columns].mean() > 0.95
    assert mask[:20, :20].mean() < 0.2
    shoulders = shoulder_points(mask, points)
    assert (shoulders[:, 1] > points[152, 1]).all() and (shoulders[:9, 0].max() < shoulders[9:, 0].min())
