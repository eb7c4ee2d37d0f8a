"""Where shots begin, who speaks in them, and where he stays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from data_prepare.scan.shots import (
    MAX_MISSED_SAMPLES,
    SAMPLE_STEP_FRAMES,
    FaceRun,
    Sample,
    divided,
    face_runs,
    picture_cuts,
    speaker,
    stretches,
)
from moda.landmarks import INNER_LIP_PAIRS, canonical_face


def face(x: float, y: float, size: float, opening: float = 0.0) -> np.ndarray:
    """(478, 3): the canonical face, `size` pixels high, its mouth open by a share of its size."""
    vertices = canonical_face().vertices
    points = np.concatenate([vertices, np.repeat(vertices[:1], 478 - len(vertices), axis=0)]).astype(float)
    points -= 0.5 * (points.min(axis=0) + points.max(axis=0))
    points /= np.ptp(points[:, 1])
    points[sorted({pair[1] for pair in INNER_LIP_PAIRS}), 1] += opening
    return points * size + [x, y, 0]


def scene(seed: int, low: int = 0, high: int = 255) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (32, 32)).astype(np.uint8)


def test_cuts_are_found_to_the_frame():
    pictures = np.stack([scene(0)] * 20 + [scene(1)] * 13 + [scene(2)] * 40)
    noise = np.random.default_rng(9).integers(0, 6, pictures.shape)
    assert picture_cuts(np.clip(pictures.astype(int) + noise, 0, 255).astype(np.uint8)) == [20, 33]


def test_a_cut_between_similar_pictures_is_found_and_one_at_a_chunk_of_a_film():
    dark, bright = scene(0, 60, 120), scene(0, 100, 160)
    frames = np.concatenate([np.repeat(dark[None], 4097, axis=0), np.repeat(bright[None], 30, axis=0)])
    assert picture_cuts(frames) == [4097]
    assert picture_cuts(frames[1:]) == [4096]


def test_fast_motion_is_no_cut():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (32, 800))
    speed = np.concatenate([[0] * 15, [2, 5, 9, 13], [16] * 30, [12, 8, 4, 0], [0] * 15])
    pan = np.stack([wide[:, at : at + 32] for at in np.cumsum(speed)]).astype(np.uint8)
    assert np.abs(np.diff(pan.astype(int), axis=0)).mean(axis=(1, 2)).max() > 60  # as much as at any cut
    assert picture_cuts(pan) == []
    head = np.repeat(scene(1, 90, 110)[None], 60, axis=0)
    for frame, at in enumerate([0] * 25 + [3, 9, 15, 20] + [20] * 31):
        head[frame, 10:22, at : at + 12] = scene(2)[:12, :12]
    assert picture_cuts(head) == []


def test_a_fade_is_no_cut():
    shares = np.concatenate([np.ones(15), np.linspace(1, 0, 20), np.zeros(5), np.linspace(0, 1, 20), np.ones(15)])
    assert picture_cuts((shares[:, None, None] * scene(3)).astype(np.uint8)) == []
    assert picture_cuts(np.zeros((1, 32, 32), np.uint8)) == picture_cuts(np.zeros((0, 32, 32), np.uint8)) == []


def samples(*people, count=20):
    """people: functions of the sample's number to a face or None."""
    found = [[person(number) for person in people] for number in range(count)]
    return [
        Sample(number * SAMPLE_STEP_FRAMES, [f for f in faces if f is not None]) for number, faces in enumerate(found)
    ]


def talks(x, size, amount=0.06):
    rng = np.random.default_rng(int(x))
    openings = rng.uniform(0, amount, 100)
    return lambda number: face(x + 2 * number, 200, size, openings[number])


def silent(x, size):
    return lambda number: face(x - number, 210, size, 0.002 * (number % 2))


def test_faces_are_linked_by_place_whatever_their_order():
    runs = face_runs(
        [Sample(s.frame, s.faces[::-1] if s.frame % 24 else s.faces) for s in samples(talks(100, 90), silent(400, 95))]
    )
    assert sorted(len(run.frames) for run in runs) == [20, 20]
    assert {round(float(run.landmarks[0, :, 0].mean()), -2) for run in runs} == {100, 400}
    for run in runs:
        assert np.ptp(run.landmarks[:, :, 0].mean(axis=1)) < 60


def test_a_face_of_another_size_or_place_is_another_person():
    runs = face_runs(samples(lambda n: face(100, 100, 80) if n < 10 else face(100, 100, 140)))
    assert [len(run.frames) for run in runs] == [10, 10]
    runs = face_runs(samples(lambda n: face(100, 100, 80) if n < 10 else face(180, 100, 80)))
    assert [len(run.frames) for run in runs] == [10, 10]


def test_who_moves_the_lips_is_chosen_though_the_other_is_larger():
    run, people = speaker(face_runs(samples(silent(420, 110), talks(100, 90))))
    assert run is not None and people == 2
    assert run.size == pytest.approx(90, rel=0.05) and run.lip_movement > 0.01


def test_of_two_who_are_silent_the_larger_is_chosen():
    run, people = speaker(face_runs(samples(silent(420, 110), silent(100, 90))))
    assert run is not None and people == 2 and run.size == pytest.approx(110, rel=0.05)


def test_a_small_bystander_and_one_who_passes_are_nobody():
    small = face_runs(samples(silent(420, 110), talks(100, 50)))
    passing = face_runs(samples(silent(420, 110), lambda n: talks(100, 100)(n) if n < 8 else None))
    for runs in (small, passing):
        assert len(runs) == 2
        run, people = speaker(runs)
        assert run is not None and people == 1 and run.size == pytest.approx(110, rel=0.05)
    assert speaker([]) == (None, 0)


def run_at(*numbers: int) -> FaceRun:
    return FaceRun(np.array(numbers) * SAMPLE_STEP_FRAMES, np.stack([face(0, 0, 50)] * len(numbers)))


def test_a_face_stays_over_samples_in_which_it_is_missed_and_not_over_more():
    assert stretches(run_at(0, 1, 2, 3, 4), 0, 60) == [(0, 60)]
    assert stretches(run_at(0, 1, 2, 2 + MAX_MISSED_SAMPLES + 1, 6), 0, 80) == [(0, 80)]
    gone = run_at(0, 1, 2, 2 + MAX_MISSED_SAMPLES + 2, 7)
    assert stretches(gone, 0, 90) == [
        (0, 2 * SAMPLE_STEP_FRAMES + SAMPLE_STEP_FRAMES + 1),
        ((4 + MAX_MISSED_SAMPLES) * SAMPLE_STEP_FRAMES - SAMPLE_STEP_FRAMES, 90),
    ]


def test_a_stretch_ends_a_sample_away_from_the_face_and_inside_the_shot():
    assert stretches(run_at(3, 4, 5), 20, 300) == [(24, 73)]
    assert stretches(run_at(3, 4, 5), 30, 65) == [(30, 65)]
    assert stretches(run_at(3), 0, 300) == [(24, 49)]


@pytest.mark.parametrize(("start", "stop", "seconds"), [(0, 100, 10.0), (7, 1007, 10.0), (0, 501, 10.0), (3, 4, 2.0)])
def test_long_shots_are_divided_evenly_without_a_gap(start, stop, seconds):
    pieces = divided(start, stop, seconds)
    assert pieces[0][0] == start and pieces[-1][1] == stop
    assert all(before[1] == after[0] for before, after in pairwise(pieces))
    lengths = [b - a for a, b in pieces]
    assert max(lengths) <= seconds * 25 and max(lengths) - min(lengths) <= 1
    assert len(pieces) == int(np.ceil((stop - start) / (seconds * 25)))
