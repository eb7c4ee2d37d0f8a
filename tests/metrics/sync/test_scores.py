"""Sync scores: curves by hand, SyncNet's protocol against a slow one, the landmark network on made-up talk."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from moda.errors import CheckpointError
from moda.imaging.syncnet_crop import face_boxes, steady, sync_crops
from moda.metrics import METRICS, ClipPair, FaceTrack, MetricSettings, NotAvailable, PairedTracks
from moda.metrics.sync import syncnet_scorer as sync_pictures
from moda.metrics.sync.curve import MAX_OFFSET_FRAMES, SyncScore, masked_curve, published_curve, read_curve
from moda.metrics.sync.landmark_scorer import LandmarkSyncScorer
from moda.metrics.sync.scores import sync_score
from moda.metrics.sync.syncnet_scorer import SyncNetScorer
from moda.nn.mfcc import mfcc
from moda.nn.syncnet import SyncNet
from tests.talking_clips import talk

NAMES = ("sync_c", "sync_d", "sync_offset", "sync_c0")


@pytest.fixture(scope="module")
def landmark_scorer() -> LandmarkSyncScorer:
    return LandmarkSyncScorer()


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    return path


def scored(value: SyncScore | NotAvailable) -> SyncScore:
    assert isinstance(value, SyncScore), value.why
    return value


def late_talk(late: int, frames: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Canonical landmarks (T, 478, 3) and wave, the picture `late` frames late."""
    face, wave = talk(frames + 2 * abs(late), seed)
    return face[abs(late) :][:frames], wave[640 * (abs(late) + late) :][: 640 * frames]


def clip_of(face: np.ndarray, wave: np.ndarray | None, **rest: object) -> ClipPair:
    track = FaceTrack(face.astype(np.float64) + 256)
    return ClipPair(PairedTracks(track, track), wave, **rest)  # type: ignore[arg-type]


def test_a_curve_is_read_by_hand() -> None:
    """Distances 1 .. 30 and one that is far away, in another order: the median is 16, the least is 1, at offset +4;
    within a frame of 0 it is 8.
    """
    rest = [value for value in (*range(2, 31), 1000) if value not in (8, 20, 30)]
    curve = np.array([*rest[:14], 20, 30, 8, *rest[14:]], float)
    curve = np.insert(curve, 19, 1)
    score = read_curve(curve)
    assert (score.confidence, score.distance, score.offset, score.in_step) == (15, 1, 4, 8)
    with pytest.raises(ValueError, match="finite"):
        read_curve(np.where(curve == 1, np.nan, curve))


@pytest.mark.parametrize("late", [-15, -2, 0, 7])
def test_published_curve_is_that_of_the_definition(late: int) -> None:
    """For every frame a distance to each of the 31 recordings, zeros beyond the clip; then the mean over frames."""
    random = np.random.default_rng(0)
    audio = random.normal(size=(24, 6)).astype(np.float32)
    picture = np.roll(audio, late, axis=0) + 0.1 * random.normal(size=audio.shape).astype(np.float32)
    found = published_curve(torch.from_numpy(picture), torch.from_numpy(audio))
    for i, lag in enumerate(range(-15, 16)):
        far = []
        for t in range(24):
            beside = audio[t - lag] if 0 <= t - lag < 24 else np.zeros(6)
            far.append(float(np.sqrt(((picture[t].astype(float) - beside + 1e-6) ** 2).sum())))
        assert found[i] == pytest.approx(np.mean(far), rel=1e-5)
    if abs(late) < 10:
        assert read_curve(found).offset == late


def test_pairs_that_mean_nothing_do_not_count() -> None:
    random = torch.Generator().manual_seed(0)
    audio = torch.nn.functional.normalize(torch.randn(60, 4, generator=random), dim=1)
    picture = audio.roll(3, dims=0)
    seen, audible = torch.ones(60, dtype=torch.bool), torch.ones(60, dtype=torch.bool)
    seen[:3] = False
    picture[:3], picture[20], audio[40] = torch.nan, torch.nan, torch.nan
    seen[20] = audible[40] = False
    sums, counts = masked_curve(picture, audio, seen, audible)
    assert sums[MAX_OFFSET_FRAMES + 3] == pytest.approx(0.0, abs=1e-4) and counts[MAX_OFFSET_FRAMES + 3] == 57 - 2
    assert counts[MAX_OFFSET_FRAMES] == 60 - 3 - 2 and counts[0] == 45 - 3 - 2
    assert read_curve(sums / counts).offset == 3


def test_landmark_network_finds_the_offset_of_talk(landmark_scorer: LandmarkSyncScorer) -> None:
    truth = None
    for late in (0, 4, -7):
        face, wave = late_talk(late)
        score = scored(landmark_scorer.score(face, np.ones(len(face), bool), wave))
        assert abs(score.offset - late) <= 1
        assert score.confidence > 0.12 and 0 < score.distance < 1.3
        truth = truth or score
        assert (score.in_step > 0.12) == (late == 0), "only what is in step as it is has Sync-C0"
    assert truth is not None
    face, _ = late_talk(0)
    other = scored(landmark_scorer.score(face, np.ones(len(face), bool), late_talk(0, seed=9)[1]))
    still = scored(landmark_scorer.score(np.repeat(face[:1], len(face), 0), np.ones(len(face), bool), wave))
    assert truth.confidence > other.confidence > still.confidence
    assert truth.distance < other.distance
    assert still.confidence < 0.02


def test_frames_without_a_face_or_sound_leave_the_rest_alone(landmark_scorer: LandmarkSyncScorer) -> None:
    face, wave = late_talk(0, frames=250)
    tracked = np.ones(250, bool)
    whole = scored(landmark_scorer.score(face, tracked, wave))
    gappy, tracked[100:104] = face.copy(), False
    gappy[100:104] = np.nan
    assert scored(landmark_scorer.score(gappy, tracked, wave)).confidence == pytest.approx(whole.confidence, abs=0.05)
    short = scored(landmark_scorer.score(face, np.ones(250, bool), wave[: 640 * 200]))
    cut = scored(landmark_scorer.score(face[:200], np.ones(200, bool), wave[: 640 * 200]))
    assert np.abs(short.curve - cut.curve).max() < 0.03, "frames beyond the audio are not compared with silence"


def test_what_cannot_be_scored_has_a_reason(landmark_scorer: LandmarkSyncScorer) -> None:
    face, wave = late_talk(0, frames=60)
    tracked = np.ones(60, bool)
    silent = landmark_scorer.score(face, tracked, np.zeros_like(wave))
    assert isinstance(silent, NotAvailable) and "audible speech" in silent.why
    short = landmark_scorer.score(face[:50], tracked[:50], wave[: 50 * 640])
    assert isinstance(short, NotAvailable) and "too short: 19 frames" in short.why
    assert isinstance(landmark_scorer.score(face[:51], tracked[:51], wave[: 51 * 640]), SyncScore)
    with pytest.raises(ValueError, match="468"):
        landmark_scorer.score(face[:, :468], tracked, wave)


def made_up_video(frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (T, 512, 512, 3), landmarks in them that wander, and noise for audio."""
    random = np.random.default_rng(0)
    picture = np.kron(random.integers(0, 256, (64, 64, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    pictures = np.stack([np.roll(picture, 5 * t, axis=1) for t in range(frames)])
    mesh = random.uniform(-80, 80, (1, 478, 3)) + np.array([256.0, 240.0, 0.0])
    landmarks = mesh + np.arange(frames)[:, None, None] * [2.0, 1.0, 0.0]
    return pictures, landmarks, (0.1 * random.standard_normal(640 * frames)).astype(np.float32)


def test_syncnet_follows_the_published_protocol(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the protocol window by window: of T frames T - 5 windows, audio 4 cepstral frames on for each."""
    monkeypatch.setattr(sync_pictures, "MIN_TRACK_FRAMES", 10)
    pictures, landmarks, wave = made_up_video(14)
    scorer = SyncNetScorer(random_weights)
    found = scored(scorer.score(pictures, landmarks, wave))
    crops = np.stack(list(sync_crops(pictures, steady(face_boxes(landmarks)))))
    bgr, cepstra = torch.from_numpy(crops[..., ::-1].copy()).float(), torch.from_numpy(mfcc(wave).T).float()
    with torch.inference_mode():
        picture = [scorer.network.picture(bgr[t : t + 5].permute(3, 0, 1, 2)[None])[0, 0] for t in range(14 - 5)]
        audio = [scorer.network.audio(cepstra[None, None, :, 4 * t : 4 * t + 20])[0] for t in range(14 - 5)]
    assert float((audio[0] - audio[5]).abs().max()) > 1e-4 and float((picture[0] - picture[5]).abs().max()) > 1e-4
    wanted = published_curve(torch.stack(picture), torch.stack(audio))
    assert found.curve == pytest.approx(wanted, rel=1e-4)
    assert np.ptp(wanted) > 1e-3 * wanted.mean()


def test_syncnet_refuses_what_its_pipeline_would_drop(random_weights: Path) -> None:
    scorer = SyncNetScorer(random_weights)
    landmarks = np.repeat(made_up_video(1)[1], 130, axis=0)
    wave = np.zeros(640 * 130, np.float32)
    nothing: list[np.ndarray] = []  # refused before a picture is looked at

    def why(landmarks: np.ndarray, wave: np.ndarray, side: int = 512) -> str:
        value = scorer.score(nothing, landmarks, wave, side)
        assert isinstance(value, NotAvailable)
        return value.why

    assert "100 frames" in why(landmarks[:100], wave)
    assert "100 frames" in why(landmarks, wave[: 640 * 100])
    assert "a face of 80 px" in why(landmarks, wave, side=256)
    gap = landmarks.copy()
    gap[104:] = np.nan
    assert "26 consecutive frames" in why(gap, wave)


def test_columns_share_one_score_and_name_their_network(random_weights: Path) -> None:
    face, wave = late_talk(0)
    clip = clip_of(face, wave)
    score = scored(sync_score(clip))
    values = [METRICS[name].measure(clip) for name in NAMES]
    assert values == [score.confidence, score.distance, score.offset, score.in_step]
    other = clip_of(*late_talk(5))
    assert METRICS["sync_offset"].measure(other) == pytest.approx(5, abs=1), "not the score of the clip before"
    del clip
    gc.collect()
    assert METRICS["sync_offset"].measure(clip_of(face, wave)) == pytest.approx(0, abs=1)
    keys = {METRICS["sync_c"].key(MetricSettings(sync_weights=weights)) for weights in (None, random_weights)}
    assert len(keys) == 2
    assert any("landmark network of this project, sync.pt" in key for key in keys)
    assert any("SyncNet, syncnet_v2.model" in key for key in keys)


def test_the_generated_face_is_scored_and_the_true_one_plays_no_part() -> None:
    (late, wave), (face, _) = late_talk(5), late_talk(0)
    true, generated = (FaceTrack(points.astype(np.float64) + 256) for points in (face, late))
    clip = ClipPair(PairedTracks(true, generated), wave)
    assert METRICS["sync_offset"].measure(clip) == METRICS["sync_offset"].measure(clip_of(late, wave)) == 5


def test_cells_without_sound_pictures_or_weights_say_so(random_weights: Path, tmp_path: Path) -> None:
    face, wave = late_talk(0, frames=60)
    assert "no audio" in str(METRICS["sync_c"].measure(clip_of(face, None)))
    pictures = NotAvailable("a control made of landmarks")
    drawn = clip_of(face, wave, pictures=pictures, settings=MetricSettings(sync_weights=random_weights))
    assert METRICS["sync_c"].measure(drawn) == pictures
    absent = MetricSettings(sync_weights=tmp_path / "absent.model")
    lost = clip_of(face, wave, pictures=pictures, settings=absent)
    assert METRICS["sync_c"].measure(lost) == pictures
    with pytest.raises(CheckpointError, match=r"no weights at .*absent\.model"):
        METRICS["sync_c"].key(absent)
