import numpy as np
import pytest

from moda.blinks import (
    CLOSING_FRAMES,
    COURSE_TIMES,
    OPENING_FRAMES,
    Blink,
    find_blinks,
    measure_blink,
    onsets,
    without_blinks,
)

SHARES = [0.9, 0.4, 0.1, 0.2, 0.55, 0.85]


def opening(frames: int, *starts: int) -> np.ndarray:
    """An eye opening of 0.3 with a blink of six frames at each start."""
    values = np.full(frames, 0.3)
    for start in starts:
        values[start : start + len(SHARES)] *= SHARES
    return values


def test_onsets_are_at_the_frame_a_blink_starts_in_and_none_outside() -> None:
    blinks = [Blink(-2.5, 1.0), Blink(3.7, 7.0), Blink(9.0, 12.0), Blink(20.0, 23.0)]
    assert onsets(blinks, 20).tolist() == [float(t in (3, 9)) for t in range(20)]


def test_a_straight_line_takes_the_place_of_a_blink_and_the_rest_stays() -> None:
    values = opening(60, 20) + np.linspace(0, 0.1, 60)  # a slow movement under it
    (blink,) = find_blinks(values)
    first, last = blink.anchors
    assert (first, last) == (20 - CLOSING_FRAMES, 25 + OPENING_FRAMES)  # below 70 % between 20.x and 24.x
    points = values[:, None, None] * np.ones((2, 3))
    taken_out = without_blinks(points, [blink])
    np.testing.assert_allclose(taken_out[:, 1, 2], 0.3 + np.linspace(0, 0.1, 60), atol=1e-12)
    outside = np.r_[0 : first + 1, last:60]
    assert np.array_equal(taken_out[outside], points[outside])
    assert points[22, 0, 0] == values[22]  # what was given is not changed


def test_blinks_at_the_ends_hold_the_nearest_open_frame() -> None:
    values = np.arange(20.0)
    assert without_blinks(values, [Blink(-1.5, 2.2)])[:8].tolist() == [6, 6, 6, 6, 6, 6, 6, 7]
    assert without_blinks(values, [Blink(15.5, 40.0)])[12:].tolist() == [12, 13, 13, 13, 13, 13, 13, 13]
    # so near that there is no open frame between: one line over both
    assert without_blinks(values**2, [Blink(5.0, 8.0), Blink(10.0, 12.0)])[3:16].tolist() == pytest.approx(
        np.linspace(9, 225, 13)
    )
    assert np.array_equal(without_blinks(values, [Blink(-5.0, 40.0)]), values)
    assert np.array_equal(without_blinks(values, []), values)


def test_the_course_of_a_blink_is_its_share_of_the_open_eye() -> None:
    usual = 0.3 * np.linspace(1.0, 2.5, 60)  # eyes that open wider all the time
    values = usual * opening(60, 20) / 0.3
    (blink,) = find_blinks(values)
    shape = measure_blink(blink, values)
    assert shape is not None
    assert shape.depth == pytest.approx(0.9)
    assert blink.anchors[0] + shape.deepest == 22
    assert shape.seconds == blink.seconds
    at = blink.start + COURSE_TIMES * (blink.stop - blink.start)
    closure = np.interp(at, np.arange(60), 1 - values / usual) / 0.9
    np.testing.assert_allclose(shape.course, closure, atol=1e-9)
    assert COURSE_TIMES[shape.course.argmax()] < 0.5  # it closes faster than it opens


@pytest.mark.parametrize("hidden", [slice(0, 19), slice(21, 22), slice(28, 29)])
def test_blinks_that_are_not_shown_in_full_are_not_measured(hidden: slice) -> None:
    values = opening(60, 20)
    (blink,) = find_blinks(values)
    values[hidden] = np.nan
    assert measure_blink(blink, values) is None
    assert measure_blink(Blink(1.0, 4.0), values) is None
    assert measure_blink(Blink(54.0, 58.0), values) is None
