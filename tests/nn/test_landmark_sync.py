"""The two towers, and the curve of similarity over lags."""

from __future__ import annotations

import pytest
import torch

from moda.config import parse
from moda.nn.landmark_sync import MARGIN_FRAMES, LipSyncConfig, LipSyncNet, lag_curves, lip_motion, whole_fields

FRAMES = 60


@pytest.fixture
def net() -> LipSyncNet:
    torch.manual_seed(0)
    return LipSyncNet(parse(LipSyncConfig, {"channels": 16, "embedding": 8, "components": 4}, source="test")).eval()


@torch.no_grad()
def test_an_embedding_depends_on_its_receptive_field_and_no_more(net: LipSyncNet) -> None:
    changed = FRAMES // 2
    for embed, width in ((net.embed_lips, 4), (net.embed_audio, net.mel.channels)):
        one = torch.randn(1, FRAMES, width)
        other = one.clone()
        other[:, changed] += 1
        before, after = embed(one), embed(other)
        assert before.shape == (1, FRAMES - 2 * MARGIN_FRAMES, 8)
        torch.testing.assert_close(before.norm(dim=-1), torch.ones(before.shape[:2]))
        centres = torch.arange(before.shape[1]) + MARGIN_FRAMES
        differs = (before != after).any(-1)[0]
        assert differs.tolist() == ((centres - changed).abs() <= MARGIN_FRAMES).tolist()


@torch.no_grad()
def test_where_a_clip_ends_leaves_no_mark(net: LipSyncNet) -> None:
    levels = torch.randn(1, FRAMES, net.mel.channels)
    torch.testing.assert_close(
        net.embed_audio(levels)[:, 10:30], net.embed_audio(levels[:, 10 : 30 + 2 * MARGIN_FRAMES])
    )


@torch.no_grad()
def test_sound_of_a_frame_is_embedded_at_that_frame(net: LipSyncNet) -> None:
    wave = 0.1 * torch.randn(1, 640 * FRAMES)
    moved = torch.cat([0.1 * torch.randn(1, 640 * 5), wave], dim=1)[:, : 640 * FRAMES]
    torch.testing.assert_close(net.audio(moved, FRAMES)[:, 7:], net.audio(wave, FRAMES)[:, 2:-5], atol=0.1, rtol=0)


@pytest.mark.parametrize("late", [-7, -1, 0, 4])
def test_the_curve_is_highest_where_the_picture_is_late(late: int) -> None:
    directions = torch.nn.functional.normalize(torch.randn(2, 100, 16), dim=-1)
    lips = directions[:, 20 - late : 80 - late]  # what the lips show now was heard `late` frames ago
    audio = directions[:, 20:80]
    every = torch.ones(2, 60)
    curve, total = lag_curves(lips, audio, every, every, 10)
    assert (curve.argmax(1) - 10).tolist() == [late, late]
    torch.testing.assert_close(curve[:, 10 + late], torch.ones(2))
    assert total[0].tolist() == [60 - abs(lag) for lag in range(-10, 11)]


def test_frames_without_weight_do_not_count() -> None:
    lips, audio = (torch.nn.functional.normalize(torch.randn(1, 60, 16), dim=-1) for _ in range(2))
    seen, audible = torch.rand(1, 60) > 0.3, torch.rand(1, 60) > 0.3
    curve, total = lag_curves(lips, audio, seen, audible, 5)
    lips[~seen], audio[~audible] = 9.0, -9.0
    again, _ = lag_curves(lips, audio, seen, audible, 5)
    torch.testing.assert_close(curve, again)
    assert total[0, 5] == (seen & audible).sum()


def test_lags_beyond_the_clip_have_no_weight() -> None:
    short = torch.ones(1, 3, 4)
    curve, total = lag_curves(short, short, torch.ones(1, 3), torch.ones(1, 3), 5)
    assert total[0].tolist() == [0, 0, 0, 1, 2, 3, 2, 1, 0, 0, 0]
    assert torch.isfinite(curve).all()


def test_one_gap_spoils_the_fields_that_hold_it() -> None:
    valid = torch.ones(1, FRAMES, dtype=torch.bool)
    valid[0, 30] = False
    whole = whole_fields(valid)[0]
    assert whole.shape == (FRAMES - 2 * MARGIN_FRAMES,)
    assert (~whole).nonzero().flatten().tolist() == list(range(30 - 2 * MARGIN_FRAMES, 31))


def test_lip_motion_knows_neither_shape_nor_size_of_a_mouth() -> None:
    moving = 5 * torch.randn(1, FRAMES, 40, 3)
    tracked = torch.ones(1, FRAMES, dtype=torch.bool)
    base = lip_motion(moving, tracked)
    torch.testing.assert_close(lip_motion(moving + 30 * torch.randn(1, 1, 40, 3), tracked), base, atol=1e-4, rtol=1e-4)
    assert base.std().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(lip_motion(2 * moving, tracked), base, atol=0.03, rtol=0.02)
    assert lip_motion(0.01 * moving, tracked).std() < 0.15, "a still mouth stays still"
    tracked[:, 50:] = False
    wild = moving.clone()
    wild[:, 50:] = 1e4
    torch.testing.assert_close(lip_motion(wild, tracked)[:, :50], lip_motion(moving, tracked)[:, :50])
    assert torch.isfinite(lip_motion(moving, torch.zeros_like(tracked))).all()


def test_fit_whitens_both_inputs(net: LipSyncNet) -> None:
    moved = torch.randn(500, 12) @ torch.randn(12, 120)
    net.fit(moved, 3 + 2 * torch.randn(500, net.mel.channels))
    components = moved @ net.basis
    torch.testing.assert_close(components.T @ components / 500, torch.eye(4), atol=1e-3, rtol=0)
    assert net.mel_mean.mean().item() == pytest.approx(3, abs=0.05)
    assert net.mel_spread.mean().item() == pytest.approx(2.1, abs=0.1)
