import numpy as np
import pytest

from moda.metrics import METRICS, ClipPair, VideoTrack
from moda.metrics.framing import Framed, NotScored, frame_pair


@pytest.fixture
def landmarks(make_face, opening) -> np.ndarray:
    return make_face(opening, moving=True).landmarks


def framed(true: VideoTrack, generated: VideoTrack) -> Framed:
    result = frame_pair(true, generated)
    assert isinstance(result, Framed), result
    return result


def refusal(true: VideoTrack, generated: VideoTrack) -> str:
    result = frame_pair(true, generated)
    assert isinstance(result, NotScored)
    return result.why


def test_pixels_are_those_of_the_512_frame_whatever_the_resolution(landmarks) -> None:
    true = VideoTrack(landmarks / 2, 256, 256)
    shifted = landmarks + np.array([3.0, 4.0, 0])
    result = framed(true, VideoTrack(shifted * 1.5, 768, 768))
    assert METRICS["lmd"].measure(ClipPair(result.pair)) == pytest.approx(5.0)
    assert result.notes == ("other resolution: generated 768x768, true 256x256",)


def test_the_common_part_is_compared_and_said(landmarks) -> None:
    result = framed(VideoTrack(landmarks, 512, 512), VideoTrack(landmarks[:90], 512, 512))
    assert len(result.pair) == 90
    assert result.notes == ("other length: generated 90 frames, true 100; the first 90 compared",)


def test_a_wide_video_is_measured_in_the_crop_of_preparation(landmarks) -> None:
    true = VideoTrack(landmarks + np.array([300.0, 100, 0]), 1280, 720)
    result = framed(true, VideoTrack(true.landmarks / 2, 640, 360))
    assert "not square" in result.notes[1]
    size = np.ptp(result.pair.true.landmarks[..., :2], axis=1).max(axis=1)
    assert np.median(size) == pytest.approx(256, rel=0.02)  # the crop is twice the face
    assert METRICS["lmd"].measure(ClipPair(result.pair)) == pytest.approx(0.0, abs=1e-9)


def test_other_crops_are_refused_with_the_figures(landmarks) -> None:
    true = VideoTrack(landmarks, 512, 512)
    assert "other aspect ratio: generated 640x360, true 512x512" in refusal(true, VideoTrack(landmarks, 640, 360))
    larger = (landmarks - [256, 256, 0]) * 1.4 + [256, 256, 0]
    assert "1.40 times as large" in refusal(true, VideoTrack(larger, 512, 512))
    assert "20% of the frame away" in refusal(true, VideoTrack(landmarks + np.array([102.4, 0, 0]), 512, 512))


@pytest.mark.parametrize("missing", [10, 11])
def test_a_tenth_without_a_face_is_the_limit(landmarks, missing) -> None:
    holes = landmarks.copy()
    holes[5 : 5 + missing] = np.nan
    true, generated = VideoTrack(landmarks, 512, 512), VideoTrack(holes, 512, 512)
    if missing == 10:
        assert framed(true, generated).notes == ("no face in 10 of 100 frames, left out",)
    else:
        assert refusal(true, generated) == "generated video: no face in 11 of 100 frames (more than 10%)"
        assert refusal(generated, true).startswith("true video: no face in 11")


def test_a_video_without_frames_is_refused(landmarks) -> None:
    empty = VideoTrack(np.zeros((0, 478, 3)), 512, 512)
    assert refusal(VideoTrack(landmarks, 512, 512), empty) == "generated video: no frames"
