"""THEval's scores by hand values, and against a plain second writing of their published definitions."""

from itertools import combinations

import numpy as np
import pytest

from moda.geometry import to_image
from moda.landmarks import LEFT_EYE, LEFT_EYEBROW, LIPS, RIGHT_EYE, RIGHT_EYEBROW
from moda.metrics import METRICS, SET_METRICS, ClipPair, ClipSet, FaceTrack, MetricSettings, NotAvailable, PairedTracks
from moda.metrics.quality import mouth_region
from moda.metrics.speech import speech_frames
from moda.metrics.theval import head_complexity, loudness_at
from moda.metrics.theval_total import MOTION
from moda.representation import HeadPose
from tests.metrics.waves import noise

UPPER = [191, 80, 81, 82, 13, 312, 311, 310]
LOWER = [95, 88, 178, 87, 14, 317, 402, 318]


def measure(name: str, face: FaceTrack, wave: np.ndarray | None = None):
    return METRICS[name].measure(ClipPair(PairedTracks(face, face), wave=wave))


@pytest.fixture
def face(make_face, opening) -> FaceTrack:
    """A face that turns, speaks, and is lost for three frames."""
    found = make_face(opening, moving=True).landmarks
    found[40:43] = np.nan
    return FaceTrack(found)


def test_lip_dynamics_is_the_spread_of_all_pairs(face) -> None:
    lips = face.landmarks[face.tracked][:, list(LIPS), :2] / 2  # the square at 256
    spreads = [np.linalg.norm(lips[:, i] - lips[:, j], axis=1).std() for i, j in combinations(range(40), 2)]
    assert len(spreads) == 780
    assert measure("theval_lips", face) == pytest.approx(np.mean(spreads))
    assert measure("theval_lips", face.cut(0, 24)) == NotAvailable("fewer than 25 frames with a face")


def test_brow_dynamics_is_the_change_of_brow_height(face) -> None:
    heights = []
    points = face.landmarks[face.tracked][..., :2]
    for frame in points:
        left, right = frame[list(LEFT_EYE)].mean(axis=0), frame[list(RIGHT_EYE)].mean(axis=0)
        scale = np.linalg.norm(left - right)
        brows = frame[list(LEFT_EYEBROW)].mean(axis=0), frame[list(RIGHT_EYEBROW)].mean(axis=0)
        heights.append([np.linalg.norm(brows[0] - left) / scale, np.linalg.norm(brows[1] - right) / scale])
    assert measure("theval_brows", face) == pytest.approx(np.abs(np.diff(heights, axis=0)).mean())


def test_head_dynamics_by_hand(make_face) -> None:
    # Swings of 2, 4 and 1 degrees: s = 7/3; steps are ± twice that, so d = (16 + 64 + 4) / 3 but for odd numbers.
    swing = np.where(np.arange(401) % 2, 1.0, -1.0)[:, None]
    moved = np.stack([3 * swing[:, 0], 5 * swing[:, 0]], axis=1)
    assert head_complexity(swing * [2, 4, 1], moved) == pytest.approx(np.sqrt(7 / 3 * 28 + 17), rel=1e-4)
    still = make_face(np.full(1, 5.0)).canonical
    pose = HeadPose(swing * [0, 0, 0], np.concatenate([200 + 2 * moved, 0 * swing], axis=1), np.ones(401))
    face = FaceTrack(to_image(np.repeat(still, 401, axis=0), pose))
    assert measure("theval_head", face) == pytest.approx(np.sqrt(17), rel=1e-3)  # 2 px of 512 are 1 of 256


def test_loudness_is_that_of_windows_around_the_moment() -> None:
    wave = np.concatenate([np.zeros(1200), np.full(800, 0.5), np.zeros(1200)])  # loud from 75 to 125 ms
    assert loudness_at(wave, np.array([0.0, 0.05, 0.1, 0.125, 0.15])) == pytest.approx([0, 0, 0.5, 0.25, 0])


def test_silent_lips_and_lip_sync(make_face, opening) -> None:
    wave = noise((2, 0.1), (1, 0.0), (1, 0.05))
    landmarks = make_face(opening, moving=True).landmarks
    landmarks[:, 318, 1] += np.linspace(0, 20, 100)  # the eighth pair is unlike the others
    landmarks[:, 324, 1] += np.linspace(50, 0, 100)  # the ninth does not count
    face = FaceTrack(landmarks)
    speech = speech_frames(wave, 100)
    assert np.flatnonzero(~speech).tolist() == list(range(50, 75))
    points = face.landmarks[..., :2]

    silent = points[~speech]
    eyes = np.linalg.norm(silent[:, 33] - silent[:, 263], axis=1)
    heights = np.abs(silent[:, UPPER, 1] - silent[:, LOWER, 1]).mean(axis=1) / eyes
    assert measure("theval_silence", face, wave) == pytest.approx(np.median(np.abs(heights - heights.mean())))

    spoken = points[speech]
    eyes = np.abs(spoken[:, [362, 263], 0].mean(axis=1) - spoken[:, [33, 133], 0].mean(axis=1))
    heights = np.abs(spoken[:, UPPER, 1].mean(axis=1) - spoken[:, LOWER, 1].mean(axis=1)) / eyes
    loudness = loudness_at(wave, np.flatnonzero(speech) / 25)
    one, two = ((v - v.min()) / np.ptp(v) for v in (heights, loudness))
    assert measure("theval_sync", face, wave) == pytest.approx(np.abs(one - two).mean(), rel=1e-5)
    assert measure("theval_silence", face, noise((4, 0.1))) == NotAvailable("no silent stretch of 0.3 s")
    assert measure("theval_sync", face, np.zeros(64000, np.float32)) == NotAvailable(
        "speech in less than 10% of the frames"
    )


def clip_set(true: dict, values: dict) -> ClipSet:
    clips = tuple("abcdefgh")[: len(next(iter(true.values())))]
    true, values = ({k: np.array(v, float) for k, v in each.items()} for each in (true, values))
    return ClipSet(clips, values, true, MetricSettings())


def test_the_total_is_of_means_over_clips() -> None:
    true = {"theval_lips": [1.0, 3.0], "theval_head": [10.0, 10.0], "theval_silence": [np.nan, np.nan]}
    made = {"theval_lips": [3.0, 3.0], "theval_head": [5.0, np.nan], "theval_silence": [1.0, 1.0]}
    clips = clip_set(true, made)
    total = SET_METRICS["theval_5"].measure(clips, clips.whole())
    # lips: 3 against 2; head: 5 against 10, of the clip that has it; what the truth has nowhere does not count.
    assert total == pytest.approx([((1 - 1 / 2) + (1 - 5 / 10)) / 2])
    draws = np.array([[0, 0], [1, 1]])  # lips 3 against 1, and 3 against 3; head as over all where no clip has it
    assert SET_METRICS["theval_5"].measure(clips, draws) == pytest.approx([(-1 + 0.5) / 2, (1 + 0.5) / 2])
    assert SET_METRICS["theval_8"].measure(clips, clips.whole()).why.startswith("not all eight scores")  # type: ignore[union-attr]
    same = clip_set({key: [2.0, 4.0] for key in MOTION}, {key: [2.0, 4.0] for key in MOTION})
    assert SET_METRICS["theval_5"].measure(same, same.whole()) == pytest.approx([1.0])


def test_a_total_without_a_value_says_which() -> None:
    clips = clip_set({"theval_lips": [1.0], "theval_head": [2.0]}, {"theval_lips": [1.0], "theval_head": [np.nan]})
    assert SET_METRICS["theval_5"].measure(clips, clips.whole()) == NotAvailable("no value of head dynamics")
    zero = clip_set({"theval_lips": [0.0]}, {"theval_lips": [1.0]})
    assert SET_METRICS["theval_5"].measure(zero, zero.whole()) == NotAvailable("the truth's lip dynamics is 0")


def test_quality_is_of_the_lips_and_asked_for() -> None:
    picture, landmarks = np.zeros((100, 80, 3), np.uint8), np.full((478, 3), 50.0)
    landmarks[LIPS[0]], landmarks[LIPS[1]] = 40.2, 75.9
    assert mouth_region(picture, landmarks).shape == (85 - 30, 80 - 30, 3)  # 40 - 10 to 75 + 10, inside the picture
