"""Training of stage 2: the order of the trainables, the losses by hand, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moda.config import apply_overrides, load_yaml, parse
from moda.data.store import ClipStore
from moda.landmarks import EYES, LIPS
from moda.stages.faco.stage import OTHERS, FaCoStage
from moda.stages.registry import build_stage
from moda.training.config import TrainConfig
from moda.training.drawing import draw_points
from tests.stages.loss_weights import check_weights

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "debug" / "faco.yaml"


def make_stage(store: ClipStore, *overrides: str) -> tuple[FaCoStage, Any, list[dict[str, Tensor]]]:
    tree = apply_overrides(load_yaml(CONFIG), [f"data.store={store.root}", *overrides])
    stage = build_stage(parse(TrainConfig, tree, source="debug"), source="debug")
    assert isinstance(stage, FaCoStage)
    train, _ = stage.datasets()
    stage.prepare(train)
    return stage, train, stage.collate([train[key] for key in stage.sampler(train, 2, 0)[0]])


def test_statistics_are_shared_and_are_those_of_the_clips(clip_store: ClipStore) -> None:
    stage, train, _ = make_stage(clip_store)
    face = np.concatenate([clip.canonical - clip.subject for clip in train.clips])
    np.testing.assert_allclose(stage.generator.normalizers["face"].mean, face.mean(axis=0), atol=1e-3)
    assert stage.discriminator.normalizers is stage.generator.normalizers
    for name, least in (("lips", 0.05), ("eyes", 0.05), ("face", 0.05), ("subject", 1.0)):
        assert stage.generator.normalizers[name].std.min() >= np.float32(least), name


def test_the_discriminator_goes_first_and_moves_alone(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store)
    losses = stage.losses(batch, torch.Generator())
    trainable, terms = next(losses)
    assert trainable == "discriminator" and set(terms) == {"lsgan"}
    terms["lsgan"].backward()
    assert all(p.grad is None for p in stage.generator.parameters())
    assert all(p.grad is not None for p in stage.discriminator.parameters())
    trainable, terms = next(losses)
    assert trainable == "generator" and set(terms) == {"l1", "lsgan"}
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None for p in stage.generator.parameters())
    assert next(losses, None) is None


def test_losses_by_hand(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store)
    windows = batch[0]
    windows["tracked"][:, 3:] = 0
    with torch.no_grad():
        terms = dict(stage.losses(batch, torch.Generator()))
        fake = stage.generator(windows["lips"], windows["eyes"], windows["subject"])
        args = (windows["lips"], windows["eyes"])
        real_score = stage.discriminator(*args, windows["face"], windows["subject"])
        fake_score = stage.discriminator(*args, fake, windows["subject"])
    error = ((fake - windows["face"]) / stage.generator.normalizers["face"].std)[:, :3].abs().mean()
    torch.testing.assert_close(terms["generator"]["l1"], 10 * error)
    torch.testing.assert_close(terms["generator"]["lsgan"], (fake_score - 1).square().mean())
    expected = (real_score - 1).square().mean() + fake_score.square().mean()
    torch.testing.assert_close(terms["discriminator"]["lsgan"], expected)


def test_each_weight_scales_its_own_terms(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store)
    check_weights(stage, "generator", batch, {"l1": {"l1"}, "adversarial": {"lsgan"}}, ())


def test_targets_in_pixels(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store, "loss.standardise=false")
    statistics = stage.generator.normalizers
    assert (statistics["face"].std == 1).all() and (statistics["face"].mean == 0).all()
    assert (statistics["lips"].std != 1).any() and (statistics["subject"].mean != 0).any()
    windows = {**batch[0], "tracked": torch.ones_like(batch[0]["tracked"])}
    with torch.no_grad():
        terms = dict(stage.losses([windows], torch.Generator()))
        fake = stage.generator(windows["lips"], windows["eyes"], windows["subject"])
    torch.testing.assert_close(terms["generator"]["l1"], 10 * (fake - windows["face"]).abs().mean())


def test_without_the_adversary_there_is_one_player(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store, "loss.adversarial=0")
    ((trainable, terms),) = stage.losses(batch, torch.Generator())
    assert trainable == "generator" and set(terms) == {"l1"}


def test_it_learns_a_batch_by_heart(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store, "loss.adversarial=0")
    optimizer = torch.optim.Adam(stage.generator.parameters(), lr=3e-3)
    history = []
    for _ in range(80):
        ((_, terms),) = stage.losses(batch, torch.Generator())
        optimizer.zero_grad()
        terms["l1"].backward()
        optimizer.step()
        history.append(terms["l1"].item())
    assert history[-1] < 0.5 * history[0]


def test_validation_is_in_pixels_of_the_points_named(clip_store: ClipStore) -> None:
    stage, _, batch = make_stage(clip_store)
    windows = batch[0]
    with torch.no_grad():
        metrics = stage.validate(batch)
        error = (stage.generator(windows["lips"], windows["eyes"], windows["subject"]) - windows["face"]).abs()
        pictures = stage.preview(batch)
    assert metrics["others_px"] == pytest.approx(float(error[:, :, OTHERS].mean()), rel=1e-5)
    assert metrics["face_px"] == pytest.approx(float(error.mean()), rel=1e-5)
    assert metrics["still_px"] == pytest.approx(float(windows["face"][:, :, OTHERS].abs().mean()), rel=1e-5)
    assert metrics["score"] == metrics["others_px"]
    assert pictures["face"].shape == (320, 320, 3)
    assert pictures["moving_face"].shape == (windows["face"].shape[1], 240, 240, 3)
    assert not set(OTHERS) & (set(LIPS) | set(EYES)) and len(OTHERS) == 378


def test_points_are_drawn_where_they_are() -> None:
    picture = draw_points([np.array([[0.0, 0.0], [10.0, 5.0]])], size=100)
    rows, columns = np.nonzero((picture == 235).all(-1))
    assert rows.min() == 8 and columns.min() == 8
    assert columns.max() - columns.min() == pytest.approx(2 * (rows.max() - rows.min()), abs=2)
