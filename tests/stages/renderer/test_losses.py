"""The renderer's losses worked out by hand, and that both trainables look at all they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moda.nn.perceptual import vgg
from moda.stages.renderer.inputs import NetworkConfig, RendererInput, to_inputs
from moda.stages.renderer.network import build, build_discriminator, discriminator_inputs
from moda.stages.renderer.stage import FramesConfig, RendererLossConfig, RendererStage
from tests.stages.loss_weights import check_weights

PAPER = {"size": 256, "warp": False, "width": 4, "wrap_time": False}
WARP = {"size": 128, "widths": (8, 8), "shift": 3.0}
"""Small networks of both kinds."""
EYES = {**WARP, "eye_widths": (8, 8)}
"""One that refines the eyes too."""


def network_config(kind: dict[str, Any]) -> NetworkConfig:
    adversary = {"scales": 2, "layers": 2, "width": 4}
    return NetworkConfig.model_validate({**kind, "discriminator": adversary})


def make_batch(config: NetworkConfig) -> dict[str, Tensor]:
    """Two frames of noise; where there is a warp, something may be painted on a part of the window alone."""
    random = torch.Generator().manual_seed(3)
    side = 48 if config.warp else config.size
    names = ("condition", "reference", "target", *(["warped"] if config.warp else []))
    batch = {name: torch.randint(256, (2, 3, side, side), generator=random).byte() for name in names}
    batch["frame"] = torch.tensor([7, 400])
    if config.warp:
        batch["validity"] = torch.rand(2, 1, side, side, generator=random)
        batch["region"] = torch.zeros(2, 1, side, side)
        batch["region"][:, :, 8:40, 8:40] = 0.5
        batch["region"][:, :, 20:30, 16:32] = 1.0
    if config.eye_widths:
        for name in list(batch):
            wide = batch[name] if name == "frame" else batch[name][..., 4:28, :].flip(-1)
            batch[f"eyes.{name}"] = wide.contiguous()
    return batch


def make_stage(kind: dict[str, Any], **weights: float) -> RendererStage:
    torch.manual_seed(0)
    loss = RendererLossConfig(**{"perceptual": 0.0, "style": 0.0, **weights})  # type: ignore[arg-type]
    return RendererStage(FramesConfig(store="unused"), network_config(kind), loss).eval()  # type: ignore[arg-type]


def losses_of(stage: RendererStage, batch: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    with torch.no_grad():
        losses = list(stage.losses(batch, torch.Generator()))
    assert [trainable for trainable, _ in losses] == ["discriminator", "generator"]
    return {trainable: {name: float(term) for name, term in terms.items()} for trainable, terms in losses}


def mean(values: Tensor, weight: np.ndarray) -> float:
    """Mean of (B, C, h, w) weighted by (B, 1, H, W): a map's place weighs what the picture does there, on average."""
    maps = values.double().numpy()
    if (weight == 1).all():
        return float(maps.mean())
    height, width = maps.shape[2:]
    rows, columns = (
        [(i * whole // part, -(-(i + 1) * whole // part)) for i in range(part)]
        for part, whole in ((height, weight.shape[2]), (width, weight.shape[3]))
    )
    local = np.array([[[weight[b, 0, a:z, c:d].mean() for c, d in columns] for a, z in rows] for b in range(len(maps))])
    return float((maps * local[:, None]).sum() / (local.sum() * maps.shape[1]))


@pytest.mark.parametrize("kind", [PAPER, WARP], ids=["paper", "warp"])
def test_terms_by_hand(kind: dict[str, Any]) -> None:
    stage = make_stage(kind, l1=100, adversarial=2, feature_matching=10, edges=3, mask=0.5, smooth=4)
    config, batch = stage.network_config, make_batch(stage.network_config)

    def signed(name: str) -> Tensor:
        return batch[name].float() / 127.5 - 1

    condition, target = signed("condition"), signed("target")
    inputs = RendererInput(condition, signed("reference"), batch["frame"])
    weight, real = np.ones((2, 1, 256, 256)), target
    if config.warp:
        inputs = inputs._replace(warped=signed("warped"), validity=batch["validity"], region=batch["region"])
        weight = batch["region"].double().numpy() ** 2
        real = torch.where(batch["region"] > 0, target, inputs.warped)  # type: ignore[arg-type]
    with torch.no_grad():
        painting = stage.generator(inputs)
        fake = painting.picture
        seen = condition if config.warp else inputs.channels(config)
        true_maps, fake_maps = (stage.discriminator(torch.cat([seen, picture], 1)) for picture in (real, fake))
    found = losses_of(stage, batch)

    true_scores, fake_scores = ([maps[-1] for maps in each] for each in (true_maps, fake_maps))
    wanted = sum(mean((r - 1) ** 2, weight) + mean(f**2, weight) for r, f in zip(true_scores, fake_scores, strict=True))
    assert found["discriminator"] == {"discriminator": pytest.approx(wanted, rel=1e-4)}

    inner = [
        mean((f - r).abs(), weight)
        for scale_true, scale_fake in zip(true_maps, fake_maps, strict=True)
        for r, f in zip(scale_true[:-1], scale_fake[:-1], strict=True)
    ]
    error, picture_weight = (fake - target).double().numpy(), weight.repeat(3, axis=1)
    across, down = np.abs(np.diff(error, axis=3)), np.abs(np.diff(error, axis=2))
    terms = {
        "l1": 100 * np.average(np.abs(error), weights=picture_weight),
        "adversarial": 2 * sum(mean((f - 1) ** 2, weight) for f in fake_scores),
        "feature_matching": 10 * np.mean(inner),
        "edges": 3
        * (np.average(across, weights=picture_weight[..., 1:]) + np.average(down, weights=picture_weight[:, :, 1:])),
        "mask": 0.5 * float(painting.mask.double().sum()) / weight.sum(),
    }
    if config.warp:
        moved = painting.shift.double().numpy()
        terms["smooth"] = 4 * (np.abs(np.diff(moved, axis=3)).mean() + np.abs(np.diff(moved, axis=2)).mean())
    assert found["generator"] == pytest.approx(terms, rel=1e-4)
    assert min(found["generator"].values()) > 0 and len(inner) == 6


def test_each_weight_scales_its_own_term() -> None:
    stage = make_stage(WARP)
    stage.features = vgg("vgg19")
    names = ("l1", "edges", "adversarial", "feature_matching", "perceptual", "style", "mask", "smooth")
    check_weights(
        stage, "generator", make_batch(stage.network_config), {name: {name} for name in names}, ["perceptual_share"]
    )


def test_vgg_compares_the_painting_with_the_truth() -> None:
    stage = make_stage({**WARP, "face_change": 0.0})
    stage.features = vgg("vgg19")
    batch = make_batch(stage.network_config)
    stage.loss_config = stage.loss_config.model_copy(update={"perceptual": 1.0, "style": 1.0})
    far = losses_of(stage, batch)["generator"]
    with torch.no_grad():
        batch["target"] = ((stage.generator(to_inputs(batch)).picture + 1) * 127.5).round().byte()
    near = losses_of(stage, batch)["generator"]
    assert near["perceptual"] < 0.1 * far["perceptual"] and near["style"] < 0.1 * far["style"]


def test_the_eyes_have_the_same_terms_with_their_own_network_and_the_same_adversary() -> None:
    """The terms of the eyes' windows are those of a mouth's renderer with the eyes' weights."""
    stage = make_stage({**EYES, "face_change": 0.0}, adversarial=1.0, l1=2.0, mask=0.5, smooth=1.0)
    batch = make_batch(stage.network_config)
    found = losses_of(stage, batch)
    alone = make_stage({**WARP, "face_change": 0.0}, adversarial=1.0, l1=2.0, mask=0.5, smooth=1.0)
    apart = {}
    for prefix, network in (("", stage.generator), ("eyes_", stage.generator.eyes)):
        own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("eyes.")}
        alone.generator.load_state_dict(own)
        alone.discriminator.load_state_dict(stage.discriminator.state_dict())
        given = {name.removeprefix("eyes."): t for name, t in batch.items() if name.startswith("eyes.") == bool(prefix)}
        apart[prefix] = losses_of(alone, given)
    assert found["generator"] == pytest.approx(
        {prefix + name: term for prefix, both in apart.items() for name, term in both["generator"].items()}
    )
    both = [terms["discriminator"]["discriminator"] for terms in apart.values()]
    assert found["discriminator"]["discriminator"] == pytest.approx(np.mean(both))
    assert apart[""]["generator"]["l1"] != pytest.approx(apart["eyes_"]["generator"]["l1"])


def test_the_perceptual_terms_see_a_share_of_the_windows() -> None:
    stage = make_stage(WARP, perceptual=1.0)
    seen: list[int] = []
    stage.features = vgg("vgg16")
    stage.features.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    batch = make_batch(stage.network_config)
    for share, windows in ((1.0, 2), (0.5, 1), (0.1, 1)):
        stage.loss_config = stage.loss_config.model_copy(update={"perceptual_share": share})
        seen.clear()
        losses_of(stage, batch)
        assert seen == [windows, windows], share


@pytest.mark.parametrize("kind", [PAPER, WARP], ids=["paper", "warp"])
def test_both_players_look_at_all_they_are_given(kind: dict[str, Any]) -> None:
    """The paper's adversary sees what the generator does, and the picture; with a warp, condition and picture."""
    config = network_config(kind)
    torch.manual_seed(0)
    generator, adversary = build(config).eval(), build_discriminator(config).eval()
    batch = make_batch(config)
    pictures = {name: batch[name].float() / 127.5 - 1 for name in ("condition", "reference", "warped") if name in batch}
    inputs = RendererInput(frame=batch["frame"], validity=batch.get("validity"), region=batch.get("region"), **pictures)
    picture = batch["target"].float() / 127.5 - 1

    changes: dict[str, RendererInput] = {
        name: inputs._replace(**{name: value + 0.2 * torch.randn_like(value)})
        for name, value in inputs._asdict().items()
        if value is not None and name != "frame"
    }
    changes["frame"] = inputs._replace(frame=inputs.frame + 300)
    with torch.no_grad():
        painted, verdict = generator(inputs).picture, adversary(discriminator_inputs(inputs, picture, config))
        moved = {name for name, other in changes.items() if not torch.equal(generator(other).picture, painted)}
        reacted = {
            name
            for name, other in {**changes, "picture": inputs}.items()
            for found in [adversary(discriminator_inputs(other, picture if name != "picture" else -picture, config))]
            if all(not torch.equal(maps[-1], before[-1]) for maps, before in zip(found, verdict, strict=True))
        }
    assert moved == set(changes)
    assert reacted == ({"condition", "picture"} if config.warp else {"condition", "reference", "frame", "picture"})


@pytest.mark.parametrize("kind", [PAPER, WARP], ids=["paper", "warp"])
def test_validation_figures_by_hand(kind: dict[str, Any]) -> None:
    stage = make_stage(kind)
    batch = make_batch(stage.network_config)
    with torch.no_grad():
        scores, painted = stage.validate(batch), stage.generator(to_inputs(batch)).picture
    pictures = {"": painted.double().numpy(), "target": batch["target"].double().numpy() / 127.5 - 1}
    weight = np.ones((2, 1, 256, 256))
    if stage.network_config.warp:
        weight = batch["region"].double().numpy() ** 2
        pictures["_warp"] = batch["warped"].double().numpy() / 127.5 - 1

    def detail(picture: np.ndarray) -> float:
        """Mean square of the four neighbours less four times the pixel, 0 beyond the border, of the channels' mean."""
        light = np.pad(picture.mean(axis=1), ((0, 0), (1, 1), (1, 1)))
        around = light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:]
        return float(np.average((around - 4 * light[:, 1:-1, 1:-1]) ** 2, weights=weight[:, 0]))

    target = pictures.pop("target")
    wanted = {}
    for name, picture in pictures.items():
        error = np.abs(picture - target)
        wanted[f"l1{name}"] = 127.5 * np.average(error, weights=weight.repeat(3, axis=1))
        wanted[f"sharpness{name}"] = detail(picture) / detail(target)
    assert scores == pytest.approx(wanted, rel=1e-3)
