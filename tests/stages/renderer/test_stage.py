"""Losses and validation of the renderer stage."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moda import checkpoint
from moda.config import load_yaml, parse
from moda.data.store import ClipStore
from moda.errors import CheckpointError, ConfigError, DataError
from moda.representation import SIGNATURE
from moda.stages.renderer.compositing import RendererOutput
from moda.stages.renderer.inputs import NetworkConfig, RendererInput, to_inputs, to_signed
from moda.stages.renderer.network import build
from moda.stages.renderer.stage import FramesConfig, RendererLossConfig, RendererStage
from moda.stages.renderer.terms import gradient_l1, masked_l1, sharpness, weight_of
from moda.training.initial_weights import start_from


@pytest.fixture
def stage(clip_store: ClipStore) -> RendererStage:
    tree = load_yaml("configs/debug/renderer.yaml")
    tree["data"]["store"] = str(clip_store.root)
    torch.manual_seed(0)
    sections = [
        parse(cls, tree[name], source="debug")
        for cls, name in (
            (RendererStage.DataConfig, "data"),
            (RendererStage.NetworkConfig, "network"),
            (RendererStage.LossConfig, "loss"),
        )
    ]
    return RendererStage(*sections)


def batch_of(stage: RendererStage) -> dict[str, torch.Tensor]:
    train, _ = stage.datasets()
    np.random.seed(0)
    return stage.collate([train[0], train[1]])


def test_items_become_one_batch(stage: RendererStage) -> None:
    assert batch_of(stage)["target"].shape[:2] == (4, 3)


def test_the_light_changes_in_training_as_configured_and_never_in_validation(stage: RendererStage) -> None:
    def first(colour: float, which: int) -> torch.Tensor:
        stage.data_config = stage.data_config.model_copy(update={"colour": colour})
        np.random.seed(0)
        target: torch.Tensor = stage.datasets()[which][0]["target"]
        return target

    assert not torch.equal(first(0.0, 0), first(0.5, 0))
    assert torch.equal(first(0.0, 1), first(0.5, 1))


def test_discriminator_goes_first_and_the_generator_learns(stage: RendererStage) -> None:
    batch = batch_of(stage)
    optimisers = {name: torch.optim.Adam(trainable.parameters(), 2e-3) for name, trainable in stage.trainables.items()}
    first, history = None, []
    for _ in range(25):
        order = []
        for trainable, terms in stage.losses(batch, torch.Generator()):
            order.append(trainable)
            optimisers[trainable].zero_grad()
            torch.stack(list(terms.values())).sum().backward(inputs=list(stage.trainables[trainable].parameters()))
            optimisers[trainable].step()
            if trainable == "generator":
                history.append(float(terms["l1"].detach()))
        first = first or order
    assert first == ["discriminator", "generator"]
    assert np.mean(history[-3:]) < 0.8 * history[0], history


def test_detail_alone_is_trained_and_the_rest_stays_to_the_bit(stage: RendererStage) -> None:
    loss = stage.loss_config.model_copy(update={"train": "detail"})
    network = stage.network_config.model_copy(update={"eye_widths": stage.network_config.widths})
    torch.manual_seed(0)
    detail = RendererStage(stage.data_config, network, loss)
    before = {name: value.clone() for name, value in detail.generator.state_dict().items()}
    optimiser = torch.optim.Adam([p for p in detail.generator.parameters() if p.requires_grad], 1e-2)
    for terms in (dict(detail.losses(batch_of(detail), torch.Generator()))["generator"] for _ in range(2)):
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    changed = {n for n, value in detail.generator.state_dict().items() if not torch.equal(value, before[n])}
    layers = ("unfold", "paint")
    assert changed == {n for n in before if n.removeprefix("eyes.").split(".")[0] in layers}
    assert "name the checkpoint of a smaller size" in (detail.frozen_at_random(network, loss) or "")
    assert detail.frozen_at_random(network, stage.loss_config) is None


def test_small_faces_are_left_out_of_training(stage: RendererStage) -> None:
    def people(least: float) -> int:
        stage.data_config = stage.data_config.model_copy(update={"min_face_px": least})
        return len(stage.datasets()[0]._parts)

    clips = ClipStore.open(stage.data_config.store).split("train")
    sizes = sorted(clip.quality["face_px"] for clip in clips)
    for least in (0.0, *sizes):
        assert people(least) == len({clip.identity for clip in clips if clip.quality["face_px"] >= least})
    with pytest.raises(DataError, match=f"the largest spans {sizes[-1]:.0f} px of its source, wanted data.min_face_px"):
        people(sizes[-1] + 1)


def test_losses_look_at_the_region_only() -> None:
    region = torch.zeros(1, 1, 8, 8)
    region[..., 2:4, 2:4] = 1
    picture, target = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    target[..., 6:, 6:] = 1
    assert masked_l1(picture, target, region) == 0
    target[..., 2:4, 2:4] = 0.5
    assert masked_l1(picture, target, region) == pytest.approx(0.5)
    assert gradient_l1(picture, target, torch.ones_like(region)) > 0


def test_the_mouth_counts_four_times_the_face_around_it(stage: RendererStage) -> None:
    inputs = to_inputs(batch_of(stage))
    assert inputs.region is not None
    weight = weight_of(inputs)
    assert torch.allclose(weight, inputs.region**2)
    assert (weight_of(inputs._replace(region=None)) == 1).all()


def test_sharpness_falls_with_blur() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 32, 32)
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    ones = torch.ones(1, 1, 32, 32)
    assert sharpness(blurred, ones) < 0.5 * sharpness(picture, ones)


def test_validation_compares_with_the_warp(stage: RendererStage) -> None:
    stage.eval()
    with torch.no_grad():
        scores = stage.summarise(stage.validate(batch_of(stage)))
    assert scores.keys() == {"l1", "l1_warp", "l1_to_warp", "sharpness", "sharpness_warp", "score"}
    assert all(np.isfinite(value) and value >= 0 for value in scores.values())
    assert scores["score"] == pytest.approx(scores["l1"] * (1 + max(0.0, 0.7 - scores["sharpness"])))
    assert scores["l1_to_warp"] == pytest.approx(scores["l1"] / scores["l1_warp"])


def test_a_blurred_picture_scores_worse_than_its_l1(stage: RendererStage) -> None:
    batch = batch_of(stage)
    small = nn.functional.interpolate(batch["target"].float(), scale_factor=0.25, mode="area")
    blurred = to_signed(nn.functional.interpolate(small, batch["target"].shape[-2:], mode="bilinear"))

    class Paint(nn.Module):
        def __init__(self, picture: torch.Tensor) -> None:
            super().__init__()
            self.picture = picture

        def forward(self, inputs: RendererInput) -> RendererOutput:
            return RendererOutput(self.picture, self.picture, torch.ones_like(self.picture[:, :1]))

    for picture, worse in ((blurred, True), (to_signed(batch["target"]) + 0.05, False)):
        stage.generator = Paint(picture)  # type: ignore[assignment]
        scores = stage.summarise(stage.validate(batch))
        assert (scores["sharpness"] < 0.7) == worse
        assert (scores["score"] > 1.1 * scores["l1"]) == worse


def test_the_end_of_the_video_is_held_out(
    clip_store: ClipStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = (clip_store.split(name)[0] for name in ("train", "val"))
    shutil.copytree(clip_store.root, tmp_path / "store")
    ClipStore.open(tmp_path / "store").write_splits({"train": [first.id, last.id]})
    config = FramesConfig(store=tmp_path / "store", held_out=0.45, targets=2)
    network = NetworkConfig(size=256, warp=False, width=4)  # with a warp, training shifts the frames' numbers
    stage = RendererStage(config, network, RendererLossConfig(perceptual=0, style=0))
    with caplog.at_level(logging.INFO, logger="moda"):
        train, end = stage.datasets()
    cut = round(0.55 * (first.frames + last.frames))
    assert first.frames < cut
    held_out = first.frames + last.frames - cut
    assert f"the last {held_out / 25:.1f} s of the video; trained on: {(cut - 25) / 25:.1f} s before" in caplog.text
    np.random.seed(0)
    trained = np.concatenate([train[i % len(train)]["frame"].numpy() for i in range(20)])
    assert trained.max() < cut - 25
    held = np.concatenate([end[i]["frame"].numpy() for i in range(len(end))])
    assert held.min() == cut - first.frames and held.max() == last.frames - 1 and (np.diff(held) > 0).all()


def test_a_video_is_made_into_a_store_first() -> None:
    with pytest.raises(ConfigError, match="neither video nor store is given"):
        parse(FramesConfig, {}, source="test")
    config = FramesConfig(video=Path("me.mp4"))
    stage = RendererStage(config, NetworkConfig(size=64, widths=(8, 8)), RendererLossConfig(perceptual=0, style=0))
    with pytest.raises(ConfigError, match=r"me\.mp4 has not been made into a clip store"):
        stage.datasets()


def test_an_older_checkpoint_starts_mouth_and_eyes(stage: RendererStage, tmp_path: Path) -> None:
    """A renderer without eyes, of another size, gives its weights to both; one of other widths is refused."""
    older = stage.network_config.model_copy(update={"size": 64, "eye_widths": ()})
    path = tmp_path / "older.pt"
    weights = build(older).state_dict()
    config = {"stage": "renderer", "network": older.model_dump(mode="json")}
    checkpoint.save(path, checkpoint.Checkpoint("renderer", config, weights, SIGNATURE, None, {}))
    settings = stage.network_config.model_copy(update={"eye_widths": older.widths})
    started = RendererStage(stage.data_config, settings, stage.loss_config)
    start_from(path, started)
    own = started.generator.state_dict()
    for name, tensor in weights.items():
        assert torch.equal(own[name], tensor) and torch.equal(own[f"eyes.{name}"], tensor), name
    other = RendererStage(stage.data_config, settings.model_copy(update={"eye_widths": (4, 4)}), stage.loss_config)
    with pytest.raises(CheckpointError, match=r"network\.eye_widths is"):
        start_from(path, other)


def test_preview_is_a_sheet_of_pictures(stage: RendererStage) -> None:
    stage.eval()
    with torch.no_grad():
        batch = batch_of(stage)
        pictures = stage.preview(batch)
    sheet, video = pictures["frames"], pictures["moving"]
    assert sheet.dtype == np.uint8
    assert sheet.shape == (4 * 24, 5 * 24, 3)
    assert video.shape == (4, 24, 2 * 24, 3)
    assert np.array_equal(video[:, :, 24:], batch["target"].permute(0, 2, 3, 1)), "the truth is on the right"


def test_one_person_of_a_store(stage: RendererStage, clip_store: ClipStore) -> None:
    """A renderer of one of several people: their clips alone, of both lists."""
    both = ClipStore.open(clip_store.root)
    train, val = (both.split(name)[0] for name in ("train", "val"))

    def sets(identity: str, train_on: str = "train") -> tuple[set[str], int]:
        data = stage.data_config.model_copy(update={"identity": identity, "train": train_on})
        chosen = RendererStage(data, stage.network_config, stage.loss_config).datasets()
        return {part.clip.id for parts in chosen[0]._parts.values() for part in parts}, len(chosen[1])

    assert sets(train.identity) == ({train.id}, 0)
    assert sets(val.identity, "val")[0] == {val.id}
    with pytest.raises(
        DataError, match=f"no clip of data.identity 'nobody' in the 'train' split.*it has {train.identity}"
    ):
        sets("nobody")
