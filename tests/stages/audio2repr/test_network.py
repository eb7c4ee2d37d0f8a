from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moda import checkpoint
from moda.config import load_yaml, parse, to_dict
from moda.errors import CheckpointError, ConfigError
from moda.nn.wav2vec import SpeechConfig, SpeechEncoder
from moda.normalization import Moments
from moda.representation import SIGNATURE
from moda.stages.audio2repr.config import Audio2ReprConfig, NetworkConfig, PaperConfig
from moda.stages.audio2repr.network import CHANNELS, FlowAudio2Repr, PaperAudio2Repr, build, create

CONFIGS = Path(__file__).parents[3] / "configs"
TINY = SpeechConfig(
    hidden=32, layers=1, heads=2, ffn=32, conv_dim=16, conv_norm="layer", conv_bias=True, pre_norm=True,
    layerdrop=0.0, spec_augment=False, freeze_cnn=False, quiet=0.01,
)  # fmt: skip
FRAMES = 30
WAVE = 640 * FRAMES


def config_of(size: str) -> Audio2ReprConfig:
    path = CONFIGS / size / "audio2repr.yaml"
    return parse(NetworkConfig, load_yaml(path)["network"], source=str(path), section="network")


def small(kind: str, **changes: object) -> Audio2ReprConfig:
    tree = {"kind": kind, "d": 16, "layers": 1, "ffn": 16, "lip_hidden": [16], "wav2vec": TINY.model_dump()}
    return parse(NetworkConfig, {**tree, **changes}, source="test")


def network(config: Audio2ReprConfig) -> PaperAudio2Repr | FlowAudio2Repr:
    """Random weights, none at a start without effect (the flow's last layer begins at zero)."""
    torch.manual_seed(0)
    net = create(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return net


def paper(**changes: object) -> PaperAudio2Repr:
    net = network(small("paper", **{"other_hidden": [16], **changes}))
    assert isinstance(net, PaperAudio2Repr)
    return net


def flow(config: Audio2ReprConfig | None = None, **changes: object) -> FlowAudio2Repr:
    net = network(config or small("flow", **{"blinks": False, **changes}))
    assert isinstance(net, FlowAudio2Repr)
    return net


def inputs(frames: int = FRAMES, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    wave = 0.1 * torch.randn(batch, 640 * frames, generator=generator)
    return wave, torch.randn(batch, 478, 3, generator=generator)


def noise_of(net: PaperAudio2Repr | FlowAudio2Repr, frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, frames, net.latent_dim, generator=torch.Generator().manual_seed(seed))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_parameters_in_all_and_part_by_part() -> None:
    with torch.device("meta"):
        net = create(config_of("paper"))
    assert isinstance(net, PaperAudio2Repr)
    assert count(net) == 96_718_185
    assert count(net.wav2vec) == 94_371_712
    assert count(net) - count(net.wav2vec) == 2_346_473
    assert count(net.audio) == 115_200
    assert count(net.subject) == 217_216
    assert net.spec is not None and count(net.spec) == 497_664
    assert net.prob is not None and count(net.prob) == 862_464
    assert {name: count(head) for name, head in net.heads.items()} == {
        "lips": 194_168, "eyes": 178_868, "head": 134_407, "torso": 146_486,
    }  # fmt: skip
    assert net.latent_dim == 128


def test_defaults_of_the_class_are_the_papers_but_for_the_weights_it_starts_from() -> None:
    config = config_of("paper")
    assert config.wav2vec.pretrained == "facebook/wav2vec2-base-960h"
    assert PaperConfig(kind="paper") == config.without_initial_weights()


def test_a_head_of_six_channels_leaves_the_scale_alone() -> None:
    with torch.device("meta"):
        net = create(config_of("paper").model_copy(update={"head_channels": 6}))
    assert count(net.heads["head"]) == 134_150 and count(net) == 96_718_185 - 257
    six = paper(head_channels=6)
    wave, subject = inputs()
    with torch.no_grad():
        head = six(wave, subject, FRAMES, noise_of(six, FRAMES)).head
    assert head.shape == (1, FRAMES, 7) and (head[..., 6] == 0).all() and (head[..., :6].abs().amax((0, 1)) > 0).all()


def test_default_is_small_enough_to_train_and_ship() -> None:
    with torch.device("meta"):
        net = create(config_of("default"))
    assert 4e6 < count(net.wav2vec) < 5e6
    # Half precision in a checkpoint of under 20 MB.
    assert 2 * sum(value.numel() for value in net.state_dict().values()) < 18e6
    assert net.latent_dim == 25 + 2


@pytest.mark.parametrize("frames", [25, 77, 300])
def test_default_lips_are_bit_equal_under_any_noise_and_the_head_is_not(frames: int) -> None:
    net = flow(config_of("default").model_copy(update={"wav2vec": TINY}))
    wave, subject = inputs(frames)
    with torch.no_grad():
        one, two, again = (net(wave, subject, frames, noise_of(net, frames, seed)) for seed in (1, 2, 1))
        alone = net.predict_lips(net.features(wave, subject, frames))
    assert torch.equal(one.lips, two.lips) and torch.equal(one.lips, alone)
    for group in ("eyes", "head", "torso"):
        assert (getattr(one, group) - getattr(two, group)).abs().amax() > 1e-2
        assert torch.equal(getattr(one, group), getattr(again, group))
    shapes = {name: tuple(getattr(one, name).shape) for name in CHANNELS}
    assert shapes == {
        "lips": (1, frames, 40, 3), "eyes": (1, frames, 60, 3), "head": (1, frames, 7), "torso": (1, frames, 18, 3),
    }  # fmt: skip


def test_of_the_head_the_flow_keeps_what_channels_share_and_not_what_has_large_units() -> None:
    """One component kept: pitch, yaw and roll that move together by a degree, not pixels of one axis alone."""
    net = flow(flow={"eyes": 1, "head": 1, "torso": 1})
    random = np.random.default_rng(0)
    head = np.concatenate(
        [random.normal(size=(500, 1)).repeat(3, 1), random.normal(size=(500, 4)) * [30, 9, 9, 0.1]], 1
    )
    groups = {"eyes": random.normal(size=(500, 180)), "head": head, "torso": random.normal(size=(500, 54))}
    net.flow.fit_basis({name: Moments.of(values, scatter=True) for name, values in groups.items()})
    basis = dict(net.flow._named_bases())["head"]
    turned, shifted = torch.zeros(1, 1, 7), torch.zeros(1, 1, 7)
    turned[..., :3], shifted[..., 3] = 1.0, 30.0
    rest = basis.encode(torch.zeros(1, 1, 7))
    assert (basis.encode(turned) - rest).abs() > 0.8 > 0.3 > (basis.encode(shifted) - rest).abs()


def test_blinks_are_added_to_the_eyes_of_the_flow() -> None:
    """The flow's part of the noise is the same without the process; eyes differ in blinks and by them alone."""
    with_blinks, without = flow(blinks=True), flow()
    missing = without.load_state_dict(with_blinks.state_dict(), strict=False).unexpected_keys
    assert missing and all(name.startswith("blinks.") for name in missing)
    assert with_blinks.latent_dim == without.latent_dim + 2
    blinks = with_blinks.blinks
    assert blinks is not None and without.blinks is None
    blinks.displacement[:] = torch.tensor([0.0, 1.0, 0.0])
    frames = 300
    wave, subject = inputs(frames)
    noise = noise_of(with_blinks, frames)
    noise[:, 40, with_blinks.latent_dim - 2] = -8.0  # an onset, whatever the rate
    with torch.no_grad():
        one = with_blinks(wave, subject, frames, noise)
        two = without(wave, subject, frames, noise[..., :-2])
        features = with_blinks.features(wave, subject, frames)
        closure = blinks.draw(features.both, noise[..., -2:])
        assert torch.equal(one.eyes, blinks.close(two.eyes, subject, closure))
    for group in ("lips", "head", "torso"):
        assert torch.equal(getattr(one, group), getattr(two, group))
    assert (closure[0, 40:50] > 0.5).any() and (closure == 0).any()
    assert torch.equal((one.eyes != two.eyes).any(dim=(-1, -2)), closure > 0)


def test_likelihood_of_blinks_leaves_the_features_alone() -> None:
    net = flow(blinks=True).train()
    wave, subject = inputs(batch=2)
    onsets, seen = torch.zeros(2, FRAMES), torch.ones(2, FRAMES)
    net.blink_loss(net.features(wave, subject, FRAMES), onsets, seen, torch.full((2,), 0.01)).backward()
    with_gradient = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None}
    assert with_gradient == {"blinks"}
    plain = flow()
    with pytest.raises(ValueError, match="blinks: true"):
        plain.blink_loss(plain.features(wave, subject, FRAMES), onsets, seen, torch.full((2,), 0.01))


def test_default_stochastic_motion_follows_the_audio() -> None:
    net = network(config_of("default").model_copy(update={"wav2vec": TINY}))
    wave, subject = inputs()
    noise = noise_of(net, FRAMES)
    with torch.no_grad():
        one, two = net(wave, subject, FRAMES, noise), net(wave.flip(-1), subject, FRAMES, noise)
    assert (one.lips - two.lips).abs().max() > 1e-3
    assert (one.head - two.head).abs().max() > 1e-4


def test_debug_is_tiny() -> None:
    net = network(config_of("debug"))
    assert count(net) < 200_000
    wave, subject = inputs()
    assert net(wave, subject, FRAMES, noise_of(net, FRAMES)).lips.shape == (1, FRAMES, 40, 3)


@pytest.mark.parametrize(
    ("kind", "changes", "stochastic"),
    [
        ("paper", {}, CHANNELS.keys()),
        ("paper", {"lips_read": "spec"}, CHANNELS.keys() - {"lips"}),
        ("paper", {"attention": "prob"}, CHANNELS.keys()),
        ("paper", {"attention": "spec"}, ()),
        ("paper", {"attention": "lstm"}, ()),
        ("paper", {"attention": "none", "lips_read": "spec"}, ()),
        ("flow", {}, {"eyes", "head", "torso"}),
        ("paper", {"slopes": "single", "norm": "layer"}, CHANNELS.keys()),
    ],
)
def test_what_depends_on_the_noise(kind: str, changes: dict[str, object], stochastic: object) -> None:
    """Also the paper's ablation rows: without a probabilistic branch, one audio gives one motion."""
    net = network(small(kind, **changes))
    wave, subject = inputs(batch=2)
    with torch.no_grad():
        one, two = (
            net(wave, subject, FRAMES, torch.randn(2, FRAMES, net.latent_dim) if net.latent_dim else None) for _ in "ab"
        )
    varying = {name for name in CHANNELS if not torch.equal(getattr(one, name), getattr(two, name))}
    assert varying == set(stochastic)
    assert (one.latent is not None) == (kind == "paper" and bool(net.latent_dim))


@pytest.mark.parametrize(
    ("attention", "branches"),
    [("dual", {"spec", "prob"}), ("spec", {"spec"}), ("prob", {"prob"}), ("lstm", {"lstm"}), ("none", set())],
)
def test_an_ablation_has_the_branches_of_its_name(attention: str, branches: set[str]) -> None:
    """The paper's rows: the parts that are there, and the width that the heads read."""
    net = paper(attention=attention)
    assert {name for name in ("spec", "prob", "lstm") if getattr(net, name) is not None} == branches
    for name, lips_read in (("lips", "both"), ("lips", "spec"), ("eyes", "spec")):
        width = paper(attention=attention, lips_read=lips_read).heads[name].layers[0].in_features
        alone = name == "lips" and lips_read == "spec"
        assert width == (16 if attention in ("spec", "prob", "none") or (attention == "dual" and alone) else 32)


def test_noise_is_required_where_it_is_needed() -> None:
    wave, subject = inputs()
    with pytest.raises(ValueError, match=r"noise of shape \(B, T, 16\)"):
        paper()(wave, subject, FRAMES)


def test_lips_at_a_frame_do_not_wait_for_later_speech_features() -> None:
    """SpecAttn is causal in s_a: features after t leave the lips up to t alone."""
    net = flow()
    wave, subject = inputs()
    with torch.no_grad():
        features = net.features(wave, subject, FRAMES)
        audio = features.audio.clone()
        audio[:, 20:] += 1.0
        later = replace(features, audio=audio, both=audio + features.subject[:, None])
        one, two = net.predict_lips(features), net.predict_lips(later)
    torch.testing.assert_close(one[:, :20], two[:, :20], rtol=0, atol=1e-5)
    assert (one[:, 20:] - two[:, 20:]).abs().max() > 1e-3


def test_branches_read_what_the_paper_says() -> None:
    """SpecAttn: target s = s_a + v_s, memory s_a. The VAE: s_a, v_s and the noise."""
    net = paper()
    seen: dict[str, tuple[torch.Tensor, ...]] = {}
    assert net.spec is not None and net.prob is not None
    net.spec.register_forward_pre_hook(lambda module, given: seen.update(spec=given))
    net.prob.register_forward_pre_hook(lambda module, given: seen.update(prob=given))
    wave, subject = inputs(batch=2)
    noise = torch.randn(2, FRAMES, 16)
    with torch.no_grad():
        net(wave, subject, FRAMES, noise)
        s_a, v_s = net.audio(net.wav2vec(wave, FRAMES)), net.subject(subject.flatten(1))
    for found, wanted in zip(seen["spec"] + seen["prob"], (s_a + v_s[:, None], s_a, s_a, v_s, noise), strict=True):
        torch.testing.assert_close(found, wanted)


def test_output_is_in_physical_units() -> None:
    net = paper(attention="spec")
    wave, subject = inputs()
    with torch.no_grad():
        plain = net(wave, subject, FRAMES)
        for name in CHANNELS:
            net.normalizer(name).mean.fill_(5.0)
            net.normalizer(name).std.fill_(3.0)
        scaled = net(wave, subject, FRAMES)
    for name in CHANNELS:
        torch.testing.assert_close(getattr(scaled, name), getattr(plain, name) * 3 + 5)


def test_subject_enters_in_physical_units() -> None:
    net = paper(attention="spec")
    wave, subject = inputs()
    with torch.no_grad():
        plain = net(wave, subject, FRAMES)
        net.normalizer("subject").mean.fill_(100.0)
        net.normalizer("subject").std.fill_(10.0)
        moved = net(wave, subject * 10 + 100, FRAMES)
    torch.testing.assert_close(moved.lips, plain.lips, rtol=1e-3, atol=1e-4)


def test_silence_is_finite() -> None:
    net = flow()
    out = net(torch.zeros(1, WAVE), torch.zeros(1, 478, 3), FRAMES, torch.randn(1, FRAMES, net.latent_dim))
    assert all(torch.isfinite(getattr(out, name)).all() for name in CHANNELS)


def test_flow_loss_trains_the_features_and_the_field() -> None:
    net = flow().train()
    wave, subject = inputs(batch=2)
    features = net.features(wave, subject, FRAMES)
    targets = [torch.randn(2, FRAMES, *shape) for shape in ((60, 3), (7,), (18, 3))]
    net.flow_loss(features, *targets, torch.Generator().manual_seed(0)).backward()
    assert all(p.grad is not None for p in [*net.flow.parameters(), *net.audio.parameters(), *net.wav2vec.parameters()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "'network.kind' is missing, wanted one of paper, flow"),
        ({"kind": "flwo"}, "'network.kind' is 'flwo', wanted one of paper, flow; did you mean 'flow'"),
        ({"kind": "flow", "lips_read": "spec"}, "unknown key 'network.lips_read'"),
        ({"kind": "flow", "attention": "dual"}, "unknown key 'network.attention'"),
        ({"kind": "paper", "blinks": True}, "unknown key 'network.blinks'"),
        ({"kind": "paper", "wav2vec": {"hiden": 3}}, r"unknown key 'network\.wav2vec\.hiden'; did you mean 'hidden'"),
        ({"kind": "flow", "flow": {"step": 3}}, r"unknown key 'network\.flow\.step'; did you mean 'steps'"),
        ({"kind": "paper", "attention": "dual_"}, "'network.attention'.*got 'dual_'"),
        ({"kind": "flow", "period": 0}, "'network.period'"),
    ],
)
def test_settings_that_contradict_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(NetworkConfig, changes, source="test", section="network")


def speech_checkpoint(
    path: Path, weights: dict[str, torch.Tensor], stage: str = "speech", encoder: SpeechConfig = TINY
) -> Path:
    config = {"network": {"wav2vec": to_dict(encoder)}}
    checkpoint.save(path, checkpoint.Checkpoint(stage, config, weights, dict(SIGNATURE), None, {}))
    return path


@pytest.mark.parametrize("stage", ["speech", "audio2repr"])
def test_speech_encoder_starts_from_a_checkpoint_that_holds_one_and_keeps_it(stage: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    trained = SpeechEncoder(TINY)
    weights = {f"wav2vec.{name}": value for name, value in trained.state_dict().items()}
    path = speech_checkpoint(tmp_path / "speech.pt", {**weights, "phonemes.weight": torch.zeros(2)}, stage)
    config = small("flow", wav2vec=TINY.model_copy(update={"init": str(path), "dropout": 0.3}).model_dump())
    net = create(config)
    for name, value in trained.state_dict().items():
        assert torch.equal(net.wav2vec.state_dict()[name], value)
    path.unlink()
    assert count(build(config)) == count(net)  # inference does not look for it


def test_speech_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    def start(path: Path) -> None:
        create(small("paper", wav2vec=TINY.model_copy(update={"init": str(path)}).model_dump()))

    with pytest.raises(CheckpointError, match="bare"):
        start(speech_checkpoint(tmp_path / "bare.pt", {"phonemes.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="is of stage 'faco', wanted a speech encoder: speech, audio2repr"):
        start(speech_checkpoint(tmp_path / "other.pt", {}, stage="faco"))
    louder = speech_checkpoint(tmp_path / "louder.pt", {}, encoder=TINY.model_copy(update={"quiet": 0.5}))
    with pytest.raises(CheckpointError, match=r"holds another speech encoder: quiet is 0.5, here 0.01"):
        start(louder)
    wider = SpeechEncoder(TINY.model_copy(update={"ffn": 48}))
    weights = {f"wav2vec.{name}": value for name, value in wider.state_dict().items()}
    with pytest.raises(CheckpointError, match="feed_forward"):
        start(speech_checkpoint(tmp_path / "wide.pt", weights))
