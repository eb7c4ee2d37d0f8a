import numpy as np
import pytest

from moda.evaluation.framing import Framed, NotScored, frame_pair, scaled_box
from moda.imaging.crop import Box
from moda.metrics import METRICS, ClipPair, NotAvailable, VideoTrack


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


def test_the_common_part_is_compared_and_noted(landmarks) -> None:
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


def test_other_crops_keep_the_aligned_measures_and_say_so(landmarks) -> None:
    true = VideoTrack(landmarks, 512, 512)
    larger = (landmarks - [256, 256, 0]) * 1.4 + [256, 256, 0]
    for generated, why in [
        (VideoTrack(landmarks, 640, 360), "other aspect ratio: generated 640x360, true 512x512"),
        (VideoTrack(larger, 512, 512), "1.40 times as large"),
        (VideoTrack(landmarks + np.array([102.4, 0, 0]), 512, 512), "20% of the frame away"),
    ]:
        result = framed(true, generated)
        assert result.other_framing is not None and why in result.other_framing
        assert any(why in note and "only aligned measures" in note for note in result.notes)
        clip = ClipPair(result.pair, other_framing=result.other_framing)
        assert METRICS["lmd"].measure(clip) == NotAvailable(result.other_framing)
        assert METRICS["lmd_aligned"].measure(clip) == pytest.approx(0.0, abs=1e-6)
        assert METRICS["lip_corr"].measure(clip) == pytest.approx(1.0)


def test_a_head_a_little_elsewhere_is_compared_and_noted(landmarks) -> None:
    true = VideoTrack(landmarks, 512, 512)
    result = framed(true, VideoTrack(landmarks + np.array([25.6, 0, 0]), 512, 512))
    assert result.other_framing is None
    assert result.notes == (
        "the generated head is 1.00 times as large and 5% of the frame away: LMD, LMD-v and MA hold that too",
    )


def test_a_crop_that_is_known_is_put_back_into_the_true_picture(landmarks) -> None:
    true = VideoTrack(landmarks, 512, 512)
    shown = Box(100, 60, 320)
    cut = VideoTrack((landmarks - [100, 60, 0]) * (256 / 320), 256, 256)
    result = frame_pair(true, cut, shown)
    assert isinstance(result, Framed) and result.other_framing is None
    assert result.pair.generated.landmarks[..., :2] == pytest.approx(landmarks[..., :2])
    assert (result.true_box, result.generated_box) == (shown, Box(0, 0, 256))
    assert result.notes == ("shows the square of the true picture at (100, 60), side 320",)


def test_squares_of_the_pictures_show_the_same(landmarks) -> None:
    true = VideoTrack(landmarks + np.array([300.0, 100, 0]), 1280, 720)
    result = framed(true, VideoTrack(true.landmarks / 2, 640, 360))
    box = result.true_box
    assert result.generated_box == pytest.approx([box.left / 2, box.top / 2, box.side / 2], abs=0.5)
    assert scaled_box(Box(63, 0, 65), 2.0, 128, 128) == Box(0, 0, 128)  # inside, whatever is asked for


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
