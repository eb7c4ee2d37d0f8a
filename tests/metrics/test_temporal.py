import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from skimage.data import astronaut

from moda.imaging.optical_flow import backward_flow, pull
from moda.metrics import METRICS, ClipPair, NotAvailable, PairedTracks
from moda.metrics.pictures import PicturePair
from moda.metrics.temporal import consistency, neighbours, residual, temporal_consistency
from tests.metrics.picture_pairs import write_pair, write_video

SIDE = 256


@pytest.fixture(scope="module")
def moving() -> list[np.ndarray]:
    """11 frames of a picture that glides 2 px right and 1 px down a frame, with a light that comes and goes."""
    picture = astronaut().astype(np.float64)
    lights = 10 * np.sin(np.arange(11))
    frames = [
        picture[60 - t : 60 - t + SIDE, 160 - 2 * t : 160 - 2 * t + SIDE] + light for t, light in enumerate(lights)
    ]
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]


def noisy(frames: list[np.ndarray], deviation: float) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [np.clip(f + generator.normal(0, deviation, f.shape), 0, 255).astype(np.uint8) for f in frames]


def test_flow_of_a_shift_points_back_to_where_it_was() -> None:
    before = gaussian_filter(astronaut()[:SIDE, 100 : 100 + SIDE], (1, 1, 0))
    after = shift(before, (3, -5, 0), order=1, mode="nearest")  # 3 px down, 5 px left
    flow = backward_flow(before, after)
    inside = flow[40:-40, 40:-40]
    assert np.median(inside[..., 0]) == pytest.approx(5, abs=0.2)
    assert np.median(inside[..., 1]) == pytest.approx(-3, abs=0.2)
    aligned, still = (np.abs(after - p.astype(float))[40:-40, 40:-40].mean() for p in (pull(before, flow), before))
    assert aligned < 0.2 * still


def test_pull_by_hand() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4, 1).repeat(3, axis=2)
    flow = np.zeros((3, 4, 2), np.float32)
    flow[..., 0] = 1.0
    assert pull(picture, flow)[..., 0] == pytest.approx(np.array([[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]))
    flow[..., 0], flow[..., 1] = 0, -0.5
    assert pull(picture, flow)[:, 0, 0] == pytest.approx([0, 2, 6], abs=0.05)  # the top row's upper neighbour is itself


def test_residual_of_a_change_of_light_by_hand() -> None:
    flat = np.full((32, 32, 3), 100, np.uint8)
    brighter = flat.copy()
    brighter[..., 0] += 6
    assert residual(flat, brighter) == pytest.approx(36 / 3)
    assert residual(flat, flat) == 0


def test_consistency_by_hand() -> None:
    assert consistency(4.0, 4.0) == 1
    assert consistency(4.0, 8.0) == pytest.approx(math.exp(-1))
    assert consistency(4.0, 2.0) == pytest.approx(math.exp(-0.5))
    assert consistency(4.0, 0.0) == pytest.approx(math.exp(-1))


def test_neighbours_are_every_fifth_pair() -> None:
    assert list(neighbours(np.arange(12), 5)) == [(4, 5), (9, 10)]
    assert list(neighbours(np.arange(5), 5)) == []
    assert list(neighbours(np.arange(4), 1)) == [(0, 1), (1, 2), (2, 3)]


def tcm(true: list[np.ndarray], generated: list[np.ndarray], every: int) -> float:
    return temporal_consistency(*([residual(*pair) for pair in neighbours(v, every)] for v in (true, generated)))


def test_the_truth_scores_one_and_noise_blur_and_standing_still_less(moving) -> None:
    assert tcm(moving, moving, 2) == 1
    blurred = [gaussian_filter(frame, (2, 2, 0)) for frame in moving]
    scores = [tcm(moving, frames, 2) for frames in (noisy(moving, 2), noisy(moving, 8), blurred)]
    assert max(scores) < 0.95 and scores[1] < 0.5 * scores[0]
    assert tcm(moving, [moving[0]] * 11, 2) == pytest.approx(math.exp(-1))


def test_frames_that_the_true_video_repeats_are_left_out(moving) -> None:
    true = [*moving[:4], moving[3], *moving[5:]]  # frame 4 repeats frame 3
    generated = noisy(moving, 2)
    scores = [
        consistency(residual(true[t - 1], true[t]), residual(generated[t - 1], generated[t])) for t in (2, 6, 8, 10)
    ]
    assert tcm(true, generated, 2) == pytest.approx(np.mean(scores))
    assert math.isnan(tcm([moving[0]] * 11, generated, 2))


def test_registered_score_reads_videos(tmp_path, make_face, moving) -> None:
    faces = make_face(np.full(11, 5.0))
    pictures = write_pair(tmp_path, moving, noisy(moving, 6))
    value = METRICS["tcm"].measure(ClipPair(PairedTracks(faces, faces), pictures=pictures))
    wanted = tcm(list(pictures.true(1, 256)), list(pictures.generated(1, 256)), 5)
    assert value == pytest.approx(wanted)
    assert isinstance(value, float) and value < 0.9
    truth = PicturePair(pictures.true_video, pictures.true_video, 11)
    assert METRICS["tcm"].measure(ClipPair(PairedTracks(faces, faces), pictures=truth)) == 1
    still = write_video(tmp_path / "still.mp4", [np.full((64, 64, 3), 80, np.uint8)] * 11)
    value = METRICS["tcm"].measure(
        ClipPair(PairedTracks(faces, faces), pictures=PicturePair(still, pictures.true_video, 11))
    )
    assert isinstance(value, NotAvailable) and "stands still" in value.why


def test_rows_that_show_the_same_frames_share_their_residuals(tmp_path, make_face, moving) -> None:
    faces = make_face(np.full(6, 5.0))
    fresh, used = (write_pair(tmp_path, moving, noisy(moving, 6)) for _ in range(2))
    clips = [
        ClipPair(PairedTracks(faces, faces), pictures=PicturePair(pair.true_video, pair.true_video, 6, 0, start))
        for pair, start in ((used, 0), (used, 5), (fresh, 5))
    ]
    values = [METRICS["tcm"].measure(clip) for clip in clips]
    assert values[0] == 1 and values[1] == values[2] != 1
    assert sorted(used.true_video.known("tcm")) == [5, 10]
