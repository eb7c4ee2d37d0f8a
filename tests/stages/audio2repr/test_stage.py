"""Training of stage 1 on a prepared store: statistics, losses by hand, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moda.blinks import find_blinks
from moda.config import apply_overrides, load_yaml, parse
from moda.data.moments import GROUPS
from moda.data.sequences import Window
from moda.data.store import ClipStore
from moda.errors import ConfigError
from moda.landmarks import CENTRAL_LIP_PAIRS, EYES, INNER_LIP_PAIRS, LIPS, eye_opening, lip_opening, lip_rows
from moda.stages.audio2repr.measures import (
    blinks_per_minute,
    central_opening,
    correlation,
    vertical_openings,
)
from moda.stages.audio2repr.network import FlowAudio2Repr, PaperAudio2Repr
from moda.stages.audio2repr.stage import Audio2ReprStage
from moda.stages.registry import build_stage
from moda.training.config import TrainConfig
from moda.training.drawing import draw_curves
from tests.blinking_clips import blinking, mesh, write_blinking_clip
from tests.stages.loss_weights import check_weights

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "debug"
PAPER = "audio2repr_paper"


def make_stage(store: ClipStore, *overrides: str, name: str = "audio2repr") -> Audio2ReprStage:
    tree = apply_overrides(load_yaml(CONFIGS / f"{name}.yaml"), [f"data.store={store.root}", *overrides])
    stage = build_stage(parse(TrainConfig, tree, source="debug"), source="debug")
    assert isinstance(stage, Audio2ReprStage)
    return stage


def flow_network(stage: Audio2ReprStage) -> FlowAudio2Repr:
    assert isinstance(stage.net, FlowAudio2Repr)
    return stage.net


def first_batch(stage: Audio2ReprStage) -> tuple[Any, list[dict[str, Tensor]]]:
    train, _ = stage.datasets()
    keys = stage.sampler(train, 2, 0)[0]
    return train, stage.collate([train[key] for key in keys])


def terms_of(stage: Audio2ReprStage, batch: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    ((trainable, terms),) = stage.losses(batch, torch.Generator().manual_seed(0))
    assert trainable == "generator"
    return dict(terms)


def test_prepare_takes_the_statistics_of_the_training_clips(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store)
    train, _ = stage.datasets()
    stage.prepare(train)
    lips = np.concatenate([clip.motion().lips for clip in train.clips])
    found = stage.net.normalizer("lips")
    np.testing.assert_allclose(found.mean, lips.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found.std, np.maximum(lips.std(axis=0), 0.05), rtol=1e-3)
    assert (stage.net.normalizer("subject").std >= 1.0).all()
    head = np.concatenate([clip.motion().head for clip in train.clips])
    flow = flow_network(stage).flow
    groups = {
        name: torch.from_numpy(np.concatenate([getattr(clip.motion(), name) for clip in train.clips]))[None]
        for name in GROUPS
    }
    latents = flow.encode(groups)
    torch.testing.assert_close(flow.decode(latents)["head"][0], torch.from_numpy(head), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "overrides", "names"),
    [
        ("audio2repr", (), {"flow", "blinks", "lips", "lips_velocity", "opening"}),
        ("audio2repr", ("network.blinks=false",), {"flow", "lips", "lips_velocity", "opening"}),
        (
            PAPER,
            (),
            {"lips", "lips_velocity", "opening", "kl"} | {f"{g}{v}" for g in GROUPS[1:] for v in ("", "_velocity")},
        ),
        (
            PAPER,
            ("network.attention=spec",),
            {"lips", "lips_velocity", "opening"} | {f"{g}{v}" for g in GROUPS[1:] for v in ("", "_velocity")},
        ),
    ],
)
def test_each_kind_has_its_terms_and_all_of_it_learns(
    clip_store: ClipStore, name: str, overrides: tuple[str, ...], names: set[str]
) -> None:
    stage = make_stage(clip_store, *overrides, name=name)
    train, batch = first_batch(stage)
    stage.prepare(train)
    terms = terms_of(stage, batch)
    assert set(terms) == names
    torch.stack(list(terms.values())).sum().backward()
    without = [n for n, p in stage.net.named_parameters() if p.requires_grad and p.grad is None]
    assert [name for name in without if "masked_spec_embed" not in name] == []


LIP_WEIGHTS = {"lips": {"lips"}, "lips_velocity": {"lips_velocity"}, "opening": {"opening"}}
OTHER_WEIGHTS = {"others": set(GROUPS[1:]), "others_velocity": {f"{group}_velocity" for group in GROUPS[1:]}}


@pytest.mark.parametrize(
    ("name", "owners", "unused"),
    [
        ("audio2repr", {**LIP_WEIGHTS, "flow": {"flow"}, "blinks": {"blinks"}}, {"others", "others_velocity", "kl"}),
        (PAPER, {**LIP_WEIGHTS, **OTHER_WEIGHTS, "kl": {"kl"}}, {"flow", "blinks"}),
    ],
)
def test_each_weight_scales_its_own_terms(
    clip_store: ClipStore, name: str, owners: dict[str, set[str]], unused: set[str]
) -> None:
    stage = make_stage(clip_store, name=name)
    train, batch = first_batch(stage)
    stage.prepare(train)
    check_weights(stage, "generator", batch, owners, unused)


def test_the_kl_term_is_the_divergence_from_a_standard_normal(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "loss.kl=0.3", name=PAPER)
    train, batch = first_batch(stage)
    stage.prepare(train)
    stage.eval()
    with torch.no_grad():
        assert isinstance(stage.net, PaperAudio2Repr) and stage.net.prob is not None
        stage.net.prob.to_mu.bias.fill_(0.7)
        features = stage._features(batch[0])
        latent = stage.net.predict(features, torch.zeros(*features.audio.shape[:2], stage.net.latent_dim)).latent
        assert latent is not None
        posterior = torch.distributions.Normal(latent.mu, torch.exp(latent.logvar / 2))
        expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean()
        torch.testing.assert_close(terms_of(stage, batch)["kl"], 0.3 * expected)
    assert expected > 0.2


def test_targets_as_they_are(clip_store: ClipStore) -> None:
    """The paper's: L1 of pixels and degrees; the subject, an input, is standardised all the same."""
    stage = make_stage(clip_store, "loss.standardise=false", name=PAPER)
    train, batch = first_batch(stage)
    stage.prepare(train)
    for name in GROUPS:
        assert (stage.net.normalizer(name).std == 1).all() and (stage.net.normalizer(name).mean == 0).all()
    assert (stage.net.normalizer("subject").mean != 0).any()
    stage.eval()
    windows = {**batch[0], "tracked": torch.ones_like(batch[0]["tracked"])}
    terms = terms_of(stage, [windows])
    noise = torch.randn((*windows["lips"].shape[:2], stage.net.latent_dim), generator=torch.Generator().manual_seed(0))
    predicted = stage.net(windows["wave"], windows["subject"], windows["lips"].shape[1], noise)
    torch.testing.assert_close(terms["head"], (predicted.head - windows["head"]).abs().mean())
    torch.testing.assert_close(terms["lips"], (predicted.lips - windows["lips"]).abs().mean())


@pytest.mark.parametrize("train", ["lips", "stochastic"])
def test_the_papers_network_is_trained_as_a_whole(clip_store: ClipStore, train: str) -> None:
    with pytest.raises(ConfigError, match=rf"loss\.train: {train} needs network\.kind: flow"):
        make_stage(clip_store, f"loss.train={train}", name=PAPER)


def test_a_perfect_prediction_costs_nothing_and_units_are_standardised(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store)
    train, batch = first_batch(stage)
    stage.prepare(train)
    windows = batch[0]
    assert stage._standard_l1("lips", windows["lips"], windows) == (0, 0)
    assert stage._opening_l1(windows["lips"], windows) == 0
    off_by_a_deviation = windows["lips"] + stage.net.normalizer("lips").std
    position, velocity = stage._standard_l1("lips", off_by_a_deviation, windows)
    assert position == pytest.approx(1.0, abs=1e-3) and velocity < 1e-3


def test_frames_that_were_not_seen_do_not_count(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store)
    train, batch = first_batch(stage)
    stage.prepare(train)
    windows = {name: values.clone() for name, values in batch[0].items()}
    windows["tracked"][:, 4:9] = 0
    prediction = torch.zeros_like(windows["lips"])
    before = (*stage._standard_l1("lips", prediction, windows), stage._opening_l1(prediction, windows))
    windows["lips"][:, 4:9] = 1e4
    after = (*stage._standard_l1("lips", prediction, windows), stage._opening_l1(prediction, windows))
    torch.testing.assert_close(after, before)
    windows["tracked"][:] = 1
    assert stage._standard_l1("lips", prediction, windows)[0] > 10 * before[0]


def test_it_learns_a_batch_by_heart(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store)
    train, batch = first_batch(stage)
    stage.prepare(train)
    optimizer = torch.optim.Adam(stage.net.parameters(), lr=3e-3)
    history = []
    for _ in range(60):
        terms = terms_of(stage, batch)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        history.append(terms["lips"].item())
    assert np.mean(history[-5:]) < 0.7 * history[0]


def test_validation_has_a_score_and_pictures(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store)
    train, val = stage.datasets()
    stage.prepare(train)
    stage.eval()
    batch = stage.collate([val[0], val[1]])
    with torch.no_grad():
        metrics = stage.validate(batch)
        pictures = stage.preview(batch)
    assert set(metrics) == {
        "lips_px", "opening_correlation", "opening_ratio", "head_ratio", "head_speed_ratio", "blinks_per_minute",
        "flow", "score",
    }  # fmt: skip
    assert all(np.isfinite(list(metrics.values())))
    assert metrics["score"] == pytest.approx(1 - metrics["opening_correlation"] + metrics["lips_px"] / 100)
    assert set(pictures) == {"lip_opening", "head_yaw", "lips_and_eyes", "attention_spec", "attention_flow"}
    assert pictures["attention_spec"].shape == pictures["attention_flow"].shape == (27, 2 * 27, 3)
    assert not pictures["attention_spec"][1, 2:26].any(), "the first frame attends to itself alone"
    assert pictures["lips_and_eyes"].shape == (25, 240, 240, 3)
    for picture in (pictures[name] for name in ("lip_opening", "head_yaw", "lips_and_eyes")):
        assert picture.dtype == np.uint8
        assert (picture == (235, 235, 235)).all(-1).any() or (picture == (255, 150, 40)).all(-1).any()


def test_preview_shows_both_branches_of_the_paper(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, name=PAPER).eval()
    _, val = stage.datasets()
    with torch.no_grad():
        pictures = stage.preview(stage.collate([val[0]]))
    assert {name for name in pictures if name.startswith("attention")} == {
        "attention_spec", "attention_prob_encoder", "attention_prob_decoder", "attention_prob_latent",
    }  # fmt: skip


def test_validation_figures_by_hand(clip_store: ClipStore) -> None:
    stage = make_stage(clip_store, "network.attention=spec", name=PAPER)
    train, val = stage.datasets()
    stage.prepare(train)
    stage.eval()
    rows = []
    with torch.no_grad():
        metrics = stage.validate(stage.collate([val[0], val[1]]))
        for item in (val[0], val[1]):
            given = stage.net(item["wave"][None], item["subject"][None], len(item["lips"]))
            lips, true_lips = given.lips[0].double().numpy(), item["lips"].double().numpy()
            turn, true_turn = given.head[0, :, :3].double().numpy(), item["head"][:, :3].double().numpy()
            pairs = [(LIPS.index(upper), LIPS.index(lower)) for upper, lower in CENTRAL_LIP_PAIRS]
            opening, true = (np.mean([x[:, b, 1] - x[:, a, 1] for a, b in pairs], 0) for x in (lips, true_lips))
            rows.append(
                {
                    "lips_px": np.abs(lips - true_lips).mean(),
                    "opening_correlation": np.corrcoef(opening, true)[0, 1],
                    "opening_ratio": opening.std() / true.std(),
                    "head_ratio": turn.std(axis=0).mean() / true_turn.std(axis=0).mean(),
                    "head_speed_ratio": np.abs(np.diff(turn, axis=0)).mean()
                    / np.abs(np.diff(true_turn, axis=0)).mean(),
                }
            )
    for name in rows[0]:
        assert metrics[name] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-3), name


@pytest.fixture(scope="module")
def blinking_store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    store = ClipStore.create(tmp_path_factory.mktemp("blinking") / "store", 128)
    write_blinking_clip(store, "a", "a", 900, range(30, 880, 80))
    write_blinking_clip(store, "b", "b", 900, range(50, 880, 120), size=1.2)
    write_blinking_clip(store, "c", "c", 300, [100, 220])
    store.write_splits({"train": ["a", "b"], "val": ["c"]})
    return store


def test_people_who_only_blink_teach_it_to_blink_as_they_do(blinking_store: ClipStore) -> None:
    stage = make_stage(blinking_store, "data.lengths=[150]")
    train, val = stage.datasets()
    stage.prepare(train)
    stage.eval()
    process = flow_network(stage).blinks
    assert process is not None
    wanted = 60 * 25 * (11 / 900 + 7 / 900) / 2
    assert process.log_rate.exp() * 60 * 25 == pytest.approx(wanted, rel=1e-4)
    frames = 12_000
    noise = torch.randn(1, frames, 2, generator=torch.Generator().manual_seed(1))
    closure = process.draw(torch.zeros(1, frames, 32), noise)
    subject = val[0]["subject"][None]
    eyes = process.close(torch.zeros(1, frames, 60, 3), subject, closure)
    found = blinks_per_minute(eyes, subject)
    assert found.shape == (1,) and found.item() == pytest.approx(wanted, rel=0.25)
    opening = eye_opening(subject.numpy() + at_eyes(eyes[0].numpy()))
    seconds = [blink.seconds for blink in find_blinks(opening)]
    true = np.mean([blink.seconds for blinks in train.blinks for blink in blinks])
    assert np.mean(seconds) == pytest.approx(true, rel=0.15)


def test_the_flow_learns_open_eyes(blinking_store: ClipStore) -> None:
    """Blinks are all that these eyes do: without them they stand at one place in the flow's space."""
    stage = make_stage(blinking_store, "data.lengths=[150]")
    train, _ = stage.datasets()
    stage.prepare(train)
    seen: list[Tensor] = []
    flow = flow_network(stage).flow
    flow.loss = lambda x1, *_: seen.append(x1) or x1.sum() * 0  # type: ignore[method-assign,assignment,func-returns-value]
    batch = stage.collate([train[Window(0, 100, 150, 0)], train[Window(1, 0, 150, 0)]])
    terms_of(stage, batch)
    eyes = flow.decode(seen[0])["eyes"]
    assert eyes.abs().max() < 0.1 and batch[0]["eyes"].abs().max() > 5


def test_blinks_are_counted_of_each_window() -> None:
    face = torch.from_numpy(np.stack([blinking(250, [40, 100, 200]), blinking(250, [], 2.0)])).float()
    subject = torch.from_numpy(np.stack([mesh(), mesh(2.0)])).float()
    eyes = (face - subject[:, None])[:, :, list(EYES)]
    assert blinks_per_minute(eyes, subject).tolist() == [18.0, 0.0]


def at_eyes(eyes: np.ndarray) -> np.ndarray:
    """Offsets of the eyes group (T, 60, 3) as those of a whole mesh."""
    offsets = np.zeros((len(eyes), 478, 3))
    offsets[:, list(EYES)] = eyes
    return offsets


def test_openings_are_those_of_the_landmarks() -> None:
    lips = torch.zeros(1, 2, 40, 3)
    upper, lower = lip_rows(INNER_LIP_PAIRS)
    lips[0, 1, upper, 1] = -2.0  # y points down: the upper lip goes up
    lips[0, 1, lower, 1] = 5.0
    mesh = np.zeros((2, 478, 3))
    mesh[:, list(LIPS)] = lips[0].numpy()
    np.testing.assert_allclose(central_opening(lips)[0], lip_opening(mesh))
    torch.testing.assert_close(vertical_openings(lips)[0, 1], torch.full((9,), 7.0))


def test_correlation_against_numpy_and_of_a_still_mouth() -> None:
    a, b = torch.randn(3, 50), torch.randn(3, 50)
    b[1] = 2 * a[1] + 1
    b[2] = 4.0
    found = correlation(a, b)
    assert found[0] == pytest.approx(np.corrcoef(a[0], b[0])[0, 1], abs=1e-5)
    assert found[1] == pytest.approx(1.0, abs=1e-5)
    assert found[2] == 0


def test_curves_are_drawn_at_their_height() -> None:
    picture = draw_curves([np.linspace(0, 1, 30)], width=60, height=40)
    (left,) = np.nonzero((picture[:, 0] == 235).all(-1))
    (right,) = np.nonzero((picture[:, -1] == 235).all(-1))
    assert left.max() > 28 and right.min() < 12
    assert draw_curves([np.full(5, np.nan), np.zeros(5)]).shape == (160, 600, 3)
