"""Stage 1 in two parts: lips first, then what the noise draws, with the lips left alone."""

from __future__ import annotations

import torch

from moda.data.clip import ClipStore
from tests.stages.test_audio2repr_stage import first_batch, make_stage, terms_of

DRAWS = ("loss.lips=0", "loss.lips_velocity=0", "loss.opening=0")


def test_what_is_heard_has_mean_0_and_spread_1_after_preparation(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "data.augment.noise=0", "data.augment.gain_db=0")
    train, batch = first_batch(stage)
    stage.eval()
    stage.prepare(train)
    with torch.no_grad():
        raw = stage.net.encode_audio(batch[0]["wave"], batch[0]["lips"].shape[1])
    audio_features = stage.net.normalizer("audio_features").normalize(raw).flatten(0, 1)
    assert audio_features.mean(0).abs().median() < 0.2  # two windows against all
    assert 0.7 < audio_features.std(0).median() < 1.3
    assert not 0.7 < raw.flatten(0, 1).std(0).median() < 1.3


def test_a_network_that_does_not_standardise_keeps_no_such_statistics(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "network.standardise=false")
    assert "audio_features" not in stage.net.normalizers
    train, batch = first_batch(stage)
    stage.prepare(train)
    assert "lips" in terms_of(stage, batch)


def test_the_second_part_moves_the_flow_and_leaves_the_lips_bit_equal(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, *DRAWS)
    train, batch = first_batch(stage)
    stage.prepare(train)
    optimizer = torch.optim.AdamW(stage.net.parameters(), lr=1e-2, weight_decay=0.1)

    def lips() -> torch.Tensor:
        stage.eval()
        with torch.no_grad():
            windows = batch[0]
            features = stage.net.features(windows["wave"], windows["subject"], windows["lips"].shape[1])
            return stage.net.predict_lips(features)

    assert stage.net.flow is not None
    before, flow_before = lips(), [p.detach().clone() for p in stage.net.flow.parameters()]
    stage.train()
    terms = terms_of(stage, batch)
    assert set(terms) == {"flow", "blinks"}
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    assert torch.equal(lips(), before)
    assert any(not torch.equal(a, b) for a, b in zip(flow_before, stage.net.flow.parameters(), strict=True))
    stage.eval()
    with torch.no_grad():
        scores = stage.validate(batch)
    assert scores["score"] == scores["flow"] > 0


def test_lips_may_read_the_sound_itself(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "network.lips_from=frame", "network.lip_hidden=[]")
    assert stage.net.spec is None and stage.net.flow is not None
    train, batch = first_batch(stage)
    stage.prepare(train)
    windows = batch[0]
    shape = (*windows["lips"].shape[:2], stage.net.latent_dim)
    stage.eval()
    with torch.no_grad():
        one, two = (
            stage.net(
                windows["wave"],
                windows["subject"],
                shape[1],
                torch.randn(shape, generator=torch.Generator().manual_seed(s)),
            )
            for s in (0, 1)
        )
    assert torch.equal(one.lips, two.lips) and not torch.equal(one.head, two.head)
