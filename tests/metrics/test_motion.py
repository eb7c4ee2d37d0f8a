import numpy as np
import pytest

from moda.geometry import to_image
from moda.landmarks import LEFT_EYELID_PAIRS, RIGHT_EYELID_PAIRS, eye_opening
from moda.metrics import METRICS, ClipPair, FaceTrack, NotAvailable, PairedTracks
from moda.metrics.motion import at_rest, find_blinks, rotation, settled_silence, spread_ratio
from moda.representation import HeadPose
from tests.metrics.waves import noise as speech


def measure(name: str, true: FaceTrack, generated: FaceTrack, wave: np.ndarray | None = None) -> float:
    value = METRICS[name].measure(ClipPair(PairedTracks(true, generated), wave=wave))
    assert not isinstance(value, NotAvailable), value.why
    return value


def why(name: str, true: FaceTrack, generated: FaceTrack, wave: np.ndarray | None = None) -> str:
    value = METRICS[name].measure(ClipPair(PairedTracks(true, generated), wave=wave))
    assert isinstance(value, NotAvailable), value
    return value.why


def eyes(frames: int, *dips: tuple[int, list[float]]) -> np.ndarray:
    """An eye opening of 0.3 with dips: (first frame, shares of 0.3)."""
    opening = np.full(frames, 0.3)
    for first, shares in dips:
        opening[first : first + len(shares)] = 0.3 * np.array(shares)
    return opening


def lidded(face: FaceTrack, opening: np.ndarray) -> FaceTrack:
    """A face whose lid distance is scaled by `opening` over its first value."""
    landmarks = face.landmarks.copy()
    for upper, lower in LEFT_EYELID_PAIRS + RIGHT_EYELID_PAIRS:
        share = (opening / opening[0])[:, None]
        landmarks[:, upper] = landmarks[:, lower] + share * (landmarks[:, upper] - landmarks[:, lower])
    return FaceTrack(landmarks)


def test_a_blink_lasts_between_its_crossings_of_70_percent() -> None:
    # Falls from 1 to 0.4 after frame 19: crosses 0.7 halfway; back from 0.2 to 1 after frame 22: at 0.625.
    blinks = find_blinks(eyes(100, (20, [0.4, 0.1, 0.2])))
    assert len(blinks) == 1
    assert blinks[0] == pytest.approx((19.5, 22.625))
    assert blinks[0].seconds == pytest.approx(3.125 / 25)


@pytest.mark.parametrize(
    ("shares", "count"),
    [
        ([0.1, 0.1], 1),
        ([0.1], 0),  # about 0.05 s: the tracker's noise
        ([0.65, 0.62, 0.65], 0),  # not low enough
        ([0.65, 0.59, 0.65], 1),
        ([0.1] * 12, 1),
        ([0.1] * 13, 0),  # over 0.5 s: eyes held closed
        ([0.1, 0.1, 0.65, 0.1, 0.1], 1),  # does not reopen between
        ([0.1, 0.1, 0.8, 0.1, 0.1], 2),
    ],
)
def test_what_counts_as_a_blink(shares, count) -> None:
    assert len(find_blinks(eyes(100, (40, shares)))) == count


def test_blinks_that_are_cut_off_do_not_count() -> None:
    assert find_blinks(eyes(100, (0, [0.1, 0.1, 0.1]), (97, [0.1, 0.1, 0.1]))) == []
    opening = eyes(100, (40, [0.1, 0.1, 0.1]), (60, [0.1, 0.1, 0.1]))
    opening[43] = np.nan
    assert [round(blink.start) for blink in find_blinks(opening)] == [59]
    assert find_blinks(np.full(50, np.nan)) == []


def test_rate_and_duration_of_a_face(make_face) -> None:
    face = make_face(np.full(150, 5.0), moving=True)
    opening = eyes(150, (30, [0.4, 0.1, 0.4]), (90, [0.4, 0.1, 0.1, 0.4]))
    generated = lidded(face, opening)
    share = eye_opening(generated.landmarks) / eye_opening(generated.landmarks)[0]
    assert share == pytest.approx(opening / 0.3, abs=0.02)
    assert measure("blink_rate", face, generated) == pytest.approx(2 / 6 * 60)  # two in 6 seconds
    assert measure("blink_duration", face, generated) == pytest.approx((3 + 4) / 2 / 25, abs=0.005)
    assert measure("blink_rate", generated, face) == 0
    assert why("blink_duration", generated, face) == "no blink"
    generated.landmarks[100:] = np.nan  # only frames with a face count
    assert measure("blink_rate", face, FaceTrack(generated.landmarks)) == pytest.approx(2 / 4 * 60)
    short = face.cut(0, 74)
    assert "75 frames" in why("blink_rate", short, short)


def test_duration_is_the_mean_of_all_blinks(make_face) -> None:
    face = make_face(np.full(200, 5.0))
    dips = [(30, [0.4, 0.1, 0.4]), (90, [0.4, 0.1, 0.4]), (140, [0.4] + [0.1] * 7 + [0.4])]
    assert measure("blink_duration", face, lidded(face, eyes(200, *dips))) == pytest.approx(
        (3 + 3 + 9) / 3 / 25, abs=0.005
    )


def test_rest_is_measured_by_what_the_mouth_does_often() -> None:
    opening = np.r_[np.full(30, 1.0), np.full(69, 10.0), 50.0]  # one wide yawn is not the measure
    assert at_rest(opening).tolist() == [True] * 30 + [False] * 70
    opening[:30] = 2.0
    assert not at_rest(opening).any()


def turning(face: FaceTrack, angles: np.ndarray) -> FaceTrack:
    """The face's first frame turned by pitch, yaw, roll (T, 3) degrees."""
    frames = len(angles)
    canonical = np.repeat(face.canonical[:1], frames, axis=0)
    return FaceTrack(to_image(canonical, HeadPose(angles, np.full((frames, 3), 200.0), np.ones(frames))))


def test_head_ratios_by_hand(make_face) -> None:
    face = make_face(np.full(1, 5.0))
    swing = np.where(np.arange(60) % 2, 1.0, -1.0)[:, None]  # spread 1, 2 a step, on every axis
    true, generated = turning(face, swing * [2, 4, 1]), turning(face, swing * [1, 6, 2])
    assert rotation(true)[1] == pytest.approx([2, 4, 1], abs=0.01)
    assert measure("head_spread", true, generated) == pytest.approx((1 / 2 + 6 / 4 + 2) / 3, rel=0.01)
    wanted = np.linalg.norm([1, 6, 2]) / np.linalg.norm([2, 4, 1])
    assert measure("head_speed", true, generated) == pytest.approx(wanted, rel=0.01)
    assert measure("head_spread", true, true) == 1 and measure("head_speed", true, true) == 1


def test_axes_that_do_not_turn_are_left_out(make_face) -> None:
    swing = np.where(np.arange(60) % 2, 1.0, -1.0)[:, None]
    assert spread_ratio(swing * [2, 0.05, 1], swing * [1, 9, 1]) == pytest.approx((0.5 + 1) / 2)
    assert spread_ratio(swing * 0.05, swing) is None
    still = make_face(np.full(60, 5.0))
    moving = make_face(np.full(60, 5.0), moving=True)
    for name in ("head_spread", "head_speed"):
        assert "does not turn" in why(name, still, moving)
        assert measure(name, moving, still) == pytest.approx(0, abs=0.01)
        assert "25 frames" in why(name, moving.cut(0, 24), moving.cut(0, 24))


def test_steps_across_frames_without_a_face_do_not_count(make_face) -> None:
    face = make_face(np.full(1, 5.0))
    swing = np.where(np.arange(80) % 2, 1.0, -1.0)[:, None]
    angles = swing * [0, 4, 0]
    angles[40:] += [0, 30, 0]  # a jump while the face is lost
    true, generated = turning(face, swing * [0, 4, 0]), turning(face, angles)
    generated.landmarks[39] = np.nan
    assert measure("head_speed", true, FaceTrack(generated.landmarks)) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("floor", [0.0, 0.001])  # nothing at all, and noise 40 dB under the speech
def test_silence_begins_to_count_after_a_fifth_of_a_second(floor) -> None:
    wave = speech((1, 0.1), (0.4, floor), (1, 0.1), (0.24, floor), (0.4, 0.1))
    silent = settled_silence(wave, 76)
    assert np.flatnonzero(silent).tolist() == [30, 31, 32, 33, 34]  # 0.4 s less 0.2 s; 0.24 s is too short


def test_what_is_quiet_but_audible_and_what_is_unknown_is_no_silence() -> None:
    assert not settled_silence(speech((1, 0.1), (0.6, 0.01)), 40).any()  # 20 dB under
    wave = speech((1, 0.1), (0.4, 0.0))
    assert np.flatnonzero(settled_silence(wave, 60)).tolist() == [30, 31, 32, 33, 34]  # not after the audio's end
    assert settled_silence(np.zeros(16000, np.float32), 25).sum() == 20  # all silent, none of it speech
    assert not settled_silence(np.zeros(0, np.float32), 25).any()


def test_share_of_silent_frames_with_lips_at_rest(make_face) -> None:
    wave = speech((1, 0.1), (0.4, 0.0), (1, 0.1))
    opening = np.full(60, 20.0)
    assert at_rest(np.array([20.0] * 30 + [2.9, 3.1])).tolist() == [False] * 30 + [True, False]
    opening[32:40] = 1.0  # at rest in 3 of the 5 frames 30..34, and later, when speech is back
    face = make_face(opening)
    assert measure("silence", face, face, wave) == pytest.approx(3 / 5)
    lost = face.landmarks.copy()
    lost[30:32] = np.nan
    assert measure("silence", face, FaceTrack(lost), wave) == 1


def test_silence_that_is_not_available_has_a_reason(make_face) -> None:
    opening = 10 + 5 * np.sin(np.arange(60.0))
    face = make_face(opening)
    assert "no silent stretch of 0.3 s" in why("silence", face, face, speech((2.4, 0.1)))
    still = make_face(np.full(60, 5.0))
    assert "do not move" in why("silence", face, still, speech((1, 0.1), (1, 0.0)))
    assert "audio" in why("silence", face, face, None)
