import numpy as np
import pytest

from data_prepare.job import Span
from data_prepare.scan.spans import choose_span, faded_ends, fill_gaps, find_jumps, short_gaps_filled


def flags(text):
    return np.array([letter == "x" for letter in text])


def test_short_gaps_count_as_tracked_and_long_ones_and_ends_do_not():
    found = flags("..xxx.....xxx......xxx.")
    assert (short_gaps_filled(found, np.zeros_like(found)) == flags("..xxxxxxxxxxx......xxx.")).all()


def test_a_gap_over_a_cut_is_not_filled():
    found, cuts = flags("xxx...xxx"), flags("......x..")
    assert (short_gaps_filled(found, cuts) == found).all()
    assert short_gaps_filled(found, np.zeros_like(cuts)).all()


def test_a_well_tracked_video_keeps_all_but_its_untracked_ends():
    tracked = np.ones(100, bool)
    tracked[[0, 1, 40, 41, 99]] = False
    assert choose_span(tracked, np.zeros(100, bool)) == Span(2, 99)


def test_of_a_badly_tracked_one_the_longest_run_is_kept():
    tracked = np.zeros(200, bool)
    tracked[10:40] = tracked[60:120] = True
    assert choose_span(tracked, np.zeros(200, bool)) == Span(60, 120)
    tracked[80:90] = False
    assert choose_span(tracked, np.zeros(200, bool)) is None
    assert choose_span(np.zeros(200, bool), np.zeros(200, bool)) is None


def test_a_cut_ends_a_run_even_if_all_is_tracked():
    cuts = np.zeros(200, bool)
    cuts[[50, 120]] = True
    assert choose_span(np.ones(200, bool), cuts) == Span(120, 200)


@pytest.mark.parametrize(("frames", "kept"), [(24, None), (25, Span(0, 25)), (30, Span(0, 30))])
def test_a_second_is_the_least_of_a_whole_video(frames, kept):
    assert choose_span(np.ones(frames, bool), np.zeros(frames, bool)) == kept


def test_gaps_are_filled_linearly_and_held_at_the_ends():
    landmarks = np.full((7, 478, 3), np.nan, np.float32)
    landmarks[2], landmarks[5] = 10.0, 40.0
    filled = fill_gaps(landmarks)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled[:, 0, 0], [10, 10, 10, 20, 30, 40, 40])


def moving_face(frames, jump_at=None):
    rng = np.random.default_rng(0)
    face = rng.uniform(-50, 50, (478, 3))
    centre = np.stack([200 + np.arange(frames), 200 + 0 * np.arange(frames), 0 * np.arange(frames)], axis=1)
    if jump_at is not None:
        centre[jump_at:] += [60, 0, 0]
    return face[None] + centre[:, None]


def test_a_jump_of_the_face_is_found_and_moving_is_not():
    assert not find_jumps(moving_face(30)).any()
    assert np.flatnonzero(find_jumps(moving_face(30, jump_at=12))).tolist() == [12]


def test_a_jump_in_size_is_found_and_over_a_short_gap_too():
    face = moving_face(30)
    face[14:] = 200 + 1.5 * (face[14:] - 200)
    assert np.flatnonzero(find_jumps(face)).tolist() == [14]
    jump = moving_face(30, jump_at=12)
    jump[12] = np.nan
    assert np.flatnonzero(find_jumps(jump)).tolist() == [13]
    jump[8:16] = np.nan  # where the face was not found for long, it may have moved
    assert not find_jumps(jump).any()
    assert not find_jumps(np.full((5, 478, 3), np.nan)).any()


def test_fades_at_the_ends_are_found_and_a_dim_middle_is_left():
    contrasts = np.array([0, 5, 20, 30, 38, 40, 40, 41, 40, 40, 20, 40, 41, 40, 30, 10, 0.0])
    assert np.flatnonzero(faded_ends(contrasts)).tolist() == [0, 1, 2, 3, 14, 15, 16]
    assert not faded_ends(np.full(9, 33.0)).any()
    assert faded_ends(np.zeros(4)).shape == (4,)


def test_how_much_must_be_tracked_is_an_option():
    tracked = np.ones(100, bool)
    tracked[40:60] = False
    no_cuts = np.zeros(100, bool)
    assert choose_span(tracked, no_cuts) == Span(0, 40)
    assert choose_span(tracked, no_cuts, share=0.8) == Span(0, 100)
