"""Features of a frozen encoder, kept on disk: of which audio, of which frames, and when they are computed again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moda.config import parse
from moda.data.clip import Clip
from moda.data.encoded_audio import EncodedAudio
from moda.data.sequences import MotionSequences, Window
from moda.data.settings import AudioAugmentation, SequenceConfig
from moda.data.store import ClipStore
from moda.errors import ConfigError

LOUDER = AudioAugmentation(gain_db=6.0, noise=0.0)


class Mean(nn.Module):
    """The mean of each frame's samples, times a weight: (1, N), T -> (1, T, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.rule = "the frame's own samples"
        self.calls = 0

    def forward(self, wave: Tensor, frames: int) -> Tensor:
        self.calls += 1
        return self.weight * wave.unflatten(1, (frames, 640)).mean(dim=-1)[..., None]


@pytest.fixture
def store(tmp_path: Path, write_known_clip: Callable[..., Clip]) -> ClipStore:
    made = ClipStore.create(tmp_path / "store", 128)
    for name in ("a", "b", "held"):
        write_known_clip(made, name, name, 90)
    made.write_splits({"train": ["a", "b"], "val": ["held"]})
    return made


def means(clip: Clip) -> np.ndarray:
    return clip.audio()[: 640 * clip.frames].reshape(clip.frames, 640).mean(axis=1)


def test_features_are_computed_once_and_kept(store: ClipStore, tmp_path: Path) -> None:
    clip = store.clip("a")
    encoded = EncodedAudio(Mean(), tmp_path / "kept", 1, LOUDER)
    np.testing.assert_allclose(encoded.between(clip, 0, 20, 50)[:, 0], means(clip)[20:50], atol=1e-3)
    encoded.between(clip, 0, 0, 90)
    assert encoded._encoder.calls == 1  # type: ignore[attr-defined]
    again = EncodedAudio(Mean(), tmp_path / "kept", 1, LOUDER)
    again.between(clip, 0, 0, 10)
    assert again._encoder.calls == 0  # type: ignore[attr-defined]


def test_another_encoder_clip_or_augmentation_has_its_own(store: ClipStore, tmp_path: Path) -> None:
    clip, other = store.clip("a"), Mean()
    with torch.no_grad():
        other.weight.fill_(2.0)
    first = EncodedAudio(Mean(), tmp_path, 2, LOUDER).between(clip, 0, 0, 90)
    np.testing.assert_allclose(EncodedAudio(other, tmp_path, 2, LOUDER).between(clip, 0, 0, 90), 2 * first, atol=2e-3)
    ruled = Mean()
    ruled.rule = "another"
    again = EncodedAudio(ruled, tmp_path, 2, LOUDER)
    again.between(clip, 0, 0, 90)
    assert again._encoder.calls == 1  # type: ignore[attr-defined]
    changed = [
        EncodedAudio(Mean(), tmp_path, 2, AudioAugmentation(gain_db=gain, noise=0.0)).between(clip, 1, 0, 90)
        for gain in (0.0, 6.0)
    ]
    np.testing.assert_allclose(changed[0], first, atol=1e-3)
    assert np.abs(changed[1] - first).max() > 0.01


def test_training_draws_versions_and_validation_hears_the_clip_itself(store: ClipStore, tmp_path: Path) -> None:
    config = SequenceConfig(
        store=store.root, lengths=(40,), augment=LOUDER, encoded=tmp_path / "kept", encoded_versions=2
    )
    train, held = MotionSequences.splits(config, encoder=Mean())
    drawn = [train[Window(0, 10, 40, seed)]["speech"].numpy()[:, 0] for seed in range(12)]
    own = means(train.clips[0])[10:50]
    kept = [np.allclose(each, own, atol=1e-3) for each in drawn]
    assert any(kept) and not all(kept)
    np.testing.assert_allclose(held[0]["speech"][:, 0], means(held.clips[0])[:40], atol=1e-3)
    plain, _ = MotionSequences.splits(config.model_copy(update={"encoded": None}), encoder=Mean())
    assert "speech" not in plain[Window(0, 10, 40, 0)]


def test_clips_of_unsettled_offset_can_be_left_out_of_training(store: ClipStore) -> None:
    store.clip("a").offset = {"settled": False}
    store.clip("b").offset = {"settled": True}
    clips = [store.clip("a"), store.clip("b")]
    config = SequenceConfig(store=store.root, lengths=(40,), settled_only=True)
    assert [clip.id for clip in MotionSequences(clips, config, training=True).clips] == ["b"]
    assert len(MotionSequences(clips, config, training=False).clips) == 2
    store.clip("b").offset = None
    with pytest.raises(Exception, match="settled"):
        MotionSequences(clips, config, training=True)


def test_there_is_a_version_at_the_least(store: ClipStore) -> None:
    with pytest.raises(ConfigError, match="encoded_versions"):
        parse(SequenceConfig, {"store": str(store.root), "encoded_versions": 0}, source="x")
