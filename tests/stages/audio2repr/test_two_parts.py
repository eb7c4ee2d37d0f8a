"""Stage 1 in two parts: the lips first, then the stochastic groups, with the lips left as they are."""

from __future__ import annotations

import pytest
import torch

from moda.data.store import ClipStore
from tests.stages.audio2repr.test_stage import first_batch, flow_network, make_stage, terms_of


def test_audio_features_have_mean_0_and_deviation_1_after_preparation(clip_store: ClipStore) -> None:
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


def test_a_network_that_does_not_standardise_has_no_such_statistics(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "network.standardise=false")
    assert "audio_features" not in stage.net.normalizers
    train, batch = first_batch(stage)
    stage.prepare(train)
    assert "lips" in terms_of(stage, batch)


def test_the_first_part_learns_the_lips_alone(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "loss.train=lips")
    train, batch = first_batch(stage)
    stage.prepare(train)
    terms = terms_of(stage, batch)
    assert set(terms) == {"lips", "lips_velocity", "opening"}
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is None for module in ("flow", "blinks") for p in getattr(stage.net, module).parameters())
    assert all(p.grad is not None for p in stage.net.audio.parameters())
    stage.eval()
    with torch.no_grad():
        scores = stage.validate(batch)
    assert scores["score"] == pytest.approx(1 - scores["opening_correlation"] + scores["lips_px"] / 100)


def test_the_second_part_moves_the_flow_and_leaves_the_lips_bit_equal(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "loss.train=stochastic")
    net = flow_network(stage)
    train, batch = first_batch(stage)
    stage.prepare(train)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1)

    def lips() -> torch.Tensor:
        stage.eval()
        with torch.no_grad():
            windows = batch[0]
            return net.predict_lips(net.features(windows["wave"], windows["subject"], windows["lips"].shape[1]))

    before, flow_before = lips(), [p.detach().clone() for p in net.flow.parameters()]
    stage.train()
    terms = terms_of(stage, batch)
    assert set(terms) == {"flow", "blinks"}
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    assert torch.equal(lips(), before)
    assert any(not torch.equal(a, b) for a, b in zip(flow_before, net.flow.parameters(), strict=True))
    stage.eval()
    with torch.no_grad():
        scores = stage.validate(batch)
    assert scores["score"] == scores["flow"] > 0
