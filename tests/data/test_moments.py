"""Sums of clips: those of the parts make those of the whole, and the statistics are today's."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from moda.data import moments
from moda.data.clip import Clip
from moda.data.sequences import MotionSequences, SequenceConfig
from moda.data.store import ClipStore
from moda.errors import DataError
from moda.geometry import face_offsets, motion_targets
from moda.nn.flow import LinearBasis
from moda.normalization import Moments, Normalizer


@pytest.fixture
def clips(tmp_path: Path, write_moving_clip: Callable[..., Clip]) -> list[Clip]:
    store = ClipStore.create(tmp_path / "store", 128)
    return [write_moving_clip(store, f"clip{frames}", frames) for frames in (30, 47, 91)]


def everything(clips: list[Clip], group: str) -> np.ndarray:
    """The group's values over all frames of all clips, computed without `moments`."""
    if group == "face":
        return np.concatenate([face_offsets(clip.canonical, clip.subject) for clip in clips])
    motions = [motion_targets(clip.canonical, clip.pose, clip.torso, clip.subject) for clip in clips]
    return np.concatenate([getattr(motion, group) for motion in motions])


@pytest.mark.parametrize("group", moments.SHAPES)
def test_statistics_are_those_of_all_frames(clips: list[Clip], group: str) -> None:
    values = everything(clips, group)
    merged = reduce(Moments.merge, (clip.moments([group])[group] for clip in clips))
    assert merged.count == 168 and merged.mean.shape == moments.SHAPES[group]
    direct = Normalizer.from_moments(Moments.of(values))
    found = Normalizer.from_moments(merged)
    np.testing.assert_allclose(found.mean, direct.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.std, direct.std, rtol=1e-6)
    if group in moments.COVARIANCE_GROUPS:
        assert merged.scatter is not None
        covariance = np.cov(values.reshape(len(values), -1).astype(np.float64).T, bias=True)
        np.testing.assert_allclose(merged.scatter / merged.count, covariance, rtol=1e-5, atol=1e-6 * covariance.max())
        basis = LinearBasis(len(covariance), len(covariance))
        assert basis.set_moments(merged.mean.ravel(), merged.scatter / merged.count, per_channel=True) > 0.999


def test_a_training_set_sums_its_clips_and_the_subject_once_a_clip(clips: list[Clip]) -> None:
    config = SequenceConfig(store=clips[0].folder.parents[1], lengths=(40,))
    train = MotionSequences(clips, config, training=True)
    assert [clip.frames for clip in train.clips] == [47, 91], "the short one does not count"
    lips = everything(clips[1:], "lips")
    np.testing.assert_allclose(train.moments(["lips"])["lips"].mean, lips.mean(axis=0, dtype=float), atol=1e-5)
    subjects = np.stack([clip.subject for clip in clips[1:]]).astype(float)
    np.testing.assert_allclose(train.moments(["subject"])["subject"].mean, subjects.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(train.moments(["subject"])["subject"].variance, subjects.var(axis=0), rtol=1e-6)
    alone = MotionSequences(clips[1:2], config, training=True)
    assert (Normalizer.from_moments(alone.moments(["subject"])["subject"], floor=2.0).std == 2.0).all()


def test_long_clips_are_summed_in_chunks(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips[2]
    whole = moments.clip_moments(clip.landmarks, clip.pose, clip.torso, clip.subject)
    monkeypatch.setattr(moments, "CHUNK_FRAMES", 20)
    chunked = moments.clip_moments(clip.landmarks, clip.pose, clip.torso, clip.subject)
    for name, group in whole.groups.items():
        assert chunked.groups[name].count == group.count == 91
        np.testing.assert_allclose(chunked.groups[name].squares, group.squares, rtol=1e-9)
        np.testing.assert_allclose(chunked.groups[name].mean, group.mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(chunked.rest.torso, whole.rest.torso)


def test_writing_twice_gives_the_same_bytes(clips: list[Clip]) -> None:
    clip = clips[0]
    first = (clip.folder / "moments.npz").read_bytes()
    moments.write_moments(clip.folder, moments.clip_moments(clip.landmarks, clip.pose, clip.torso, clip.subject))
    assert (clip.folder / "moments.npz").read_bytes() == first
    assert not list(clip.folder.glob(".*"))


def test_what_is_not_finite_is_neither_written_nor_read(clips: list[Clip]) -> None:
    clip = clips[0]
    broken = np.array(clip.landmarks)
    broken[3, 5] = np.nan
    sums = moments.clip_moments(broken, clip.pose, clip.torso, clip.subject)
    with pytest.raises(DataError, match=r"'face' in .*moments\.npz: it is not finite"):
        moments.write_moments(clip.folder, sums)
    with np.load(clip.folder / "moments.npz") as data:
        arrays = dict(data)
    arrays["lips"][150] = np.inf
    np.savez(clip.folder / "moments.npz", **arrays)
    with pytest.raises(DataError, match=r"'lips' in .*clip30/moments\.npz is not finite"):
        clip.moments(["lips"])


def test_missing_damaged_and_foreign_files_are_named(clips: list[Clip]) -> None:
    path = clips[0].folder / "moments.npz"
    path.write_bytes((clips[1].folder / "moments.npz").read_bytes())
    with pytest.raises(DataError, match=r"clip30/moments\.npz sums 47 frames, wanted 30"):
        clips[0].moments(["lips"])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"cannot read .*clip30/moments\.npz"):
        clips[0].moments(["lips"])
    path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*clip30/moments\.npz"):
        _ = clips[0].rest
    np.savez(path, lips=np.zeros(2))
    with pytest.raises(DataError, match=r"'lips' in .* has shape \(2,\), wanted \(241,\)"):
        clips[0].moments(["lips"])
    with pytest.raises(DataError, match=r"cannot read .*clip30/moments\.npz: .*eyes"):
        clips[0].moments(["eyes"])
