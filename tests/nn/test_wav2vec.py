from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2ForCTC, Wav2Vec2Model

from moda.errors import CheckpointError, ConfigError
from moda.nn.mel import normalise_wave
from moda.nn.pretrained import transformers_config
from moda.nn.wav2vec import SpeechConfig, SpeechEncoder

SMALL = SpeechConfig(
    hidden=32, layers=1, heads=2, ffn=32, conv_dim=(8, 8, 16, 16, 16, 16, 16), conv_norm="layer", conv_bias=True,
    pre_norm=True, layerdrop=0.0, spec_augment=False, freeze_cnn=False, quiet=0.01,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    return SpeechEncoder(SMALL).eval()


def test_base_size() -> None:
    with torch.device("meta"):
        network = SpeechEncoder(SpeechConfig())
    assert sum(p.numel() for p in network.parameters()) == 94_371_712


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (399, 2), (640 * 25, 25), (640 * 25 + 333, 25), (40_001, 63)])
def test_exactly_t_frames_whatever_the_number_of_samples(encoder: SpeechEncoder, samples: int, frames: int) -> None:
    out = encoder(torch.randn(2, samples) * 0.1, frames)
    assert out.shape == (2, frames, 32)
    assert torch.isfinite(out).all()


def test_frames_follow_the_sound_in_time(encoder: SpeechEncoder) -> None:
    """A click at second 2 of 4 changes the convolutions' features around frame 50, and nowhere else."""
    wave = 0.1 * torch.randn(1, 640 * 100)
    clicked = wave.clone()
    clicked[:, 32_000:32_320] += 0.3
    features = [encoder.model.feature_extractor(w / 0.1) for w in (wave, clicked)]
    per_frame = torch.nn.functional.interpolate(features[1] - features[0], size=100, mode="linear", align_corners=True)
    changed = per_frame[0].abs().amax(dim=0).nonzero().flatten()
    assert 48 <= changed.min() <= 50 <= changed.max() <= 52


def test_waveform_is_normalised_and_silence_survives() -> None:
    loud = normalise_wave(torch.randn(1, 5000) * 0.2 + 0.3, 1e-3)
    assert loud.mean().abs() < 1e-5
    assert loud.std().item() == pytest.approx(1, abs=0.01)
    assert normalise_wave(torch.zeros(2, 5000), 1e-3).eq(0).all()
    # The noise of a quiet room (-70 dB) is not blown up to the loudness of speech.
    assert normalise_wave(torch.randn(1, 5000) * 3e-4, 0.01).std() < 0.05


def test_silence_gives_finite_features_and_gradients(encoder: SpeechEncoder) -> None:
    out = encoder(torch.zeros(1, 16_000), 25)
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)
    encoder.zero_grad()


def test_layer_norm_in_the_convolutions_makes_a_window_see_what_the_clip_sees() -> None:
    torch.manual_seed(0)
    wave = torch.randn(1, 640 * 60) * torch.linspace(0.2, 2, 640 * 60)

    def difference(network: SpeechEncoder) -> float:
        with torch.no_grad():
            full = network.model.feature_extractor(wave)
            window = network.model.feature_extractor(wave[:, 640 * 20 : 640 * 40])
        return float((full[..., 40 : 40 + window.shape[-1]] - window).abs().max() / full.std())

    assert difference(SpeechEncoder(SMALL).eval()) < 1e-4
    assert difference(SpeechEncoder(SMALL.model_copy(update={"conv_norm": "group"})).eval()) > 0.05


def test_frozen_cnn_gets_no_gradient_even_if_a_trainer_switches_it_on() -> None:
    network = SpeechEncoder(SMALL.model_copy(update={"freeze_cnn": True})).train()
    assert not any(p.requires_grad for p in network.model.feature_extractor.parameters())
    network.requires_grad_(True)
    network(torch.randn(1, 3200), 5).sum().backward()
    assert all(p.grad is None for p in network.model.feature_extractor.parameters())
    assert all(p.grad is not None for p in network.model.encoder.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pre_norm": False, "conv_norm": "group", "conv_bias": False, "spec_augment": True},
        {"conv_norm": "group", "conv_bias": True, "layers": 3, "heads": 4},
    ],
)
def test_features_and_gradients_are_those_of_transformers(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    config = SMALL.model_copy(update=changes)
    theirs = Wav2Vec2Model(transformers_config(config)).eval()
    ours = SpeechEncoder(config).eval()
    ours.model.load_state_dict(theirs.state_dict())
    wave = 0.1 * torch.randn(2, 640 * 25)
    features = theirs.feature_extractor(normalise_wave(wave, config.quiet))
    features = torch.nn.functional.interpolate(features, size=25, mode="linear", align_corners=True)
    wanted = theirs.encoder(theirs.feature_projection(features.transpose(1, 2))[0]).last_hidden_state
    found = ours(wave, 25)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    for made in (wanted, found):
        made.square().mean().backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.model.named_parameters():
        if name != "masked_spec_embed":
            torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-4, atol=1e-7)


def test_random_weights_are_spread_as_those_of_transformers() -> None:
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"hidden": 256, "ffn": 512, "conv_dim": 128, "spec_augment": True})
    theirs = Wav2Vec2Model(transformers_config(config)).state_dict()
    for name, value in SpeechEncoder(config).model.state_dict().items():
        assert value.shape == theirs[name].shape
        if value.numel() > 5000 and "pos_conv_embed" not in name:  # there theirs does not reach the weights
            assert value.std().item() == pytest.approx(theirs[name].std().item(), rel=0.05), name


@pytest.mark.parametrize(("frames", "most"), [(25, 2), (300, 2), (1000, 6)])
def test_masks_cover_stretches_of_ten_frames(frames: int, most: int) -> None:
    torch.manual_seed(0)
    network = SpeechEncoder(SMALL.model_copy(update={"spec_augment": True})).model
    for _ in range(20):
        for row in (network.masked(torch.zeros(2, frames, 32)) != 0).all(-1):
            assert 10 < row.sum() <= 10 * most  # two that meet are shorter than both
            assert min(map(len, "".join("x" if masked else " " for masked in row).split())) >= 10
    assert network.masked(torch.zeros(1, 9, 32)).eq(0).all()


def test_spec_augment_masks_in_training_only() -> None:
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"spec_augment": True, "dropout": 0.0})
    network = SpeechEncoder(config)
    wave = torch.randn(1, 640 * 100)
    network.eval()
    torch.testing.assert_close(network(wave, 100), network(wave, 100), rtol=0, atol=0)
    before = network(wave, 100)
    network.train()
    assert not torch.allclose(network(wave, 100), before)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wav2vec")
    torch.manual_seed(7)
    Wav2Vec2Model(transformers_config(SMALL)).save_pretrained(folder)
    return folder


def test_pretrained_weights_are_unchanged_after_construction(pretrained: Path) -> None:
    """Defect of the released code: weight initialisation ran over the weights just loaded."""
    torch.manual_seed(1)
    network = SpeechEncoder(SMALL.model_copy(update={"pretrained": str(pretrained)}))
    stored = Wav2Vec2Model.from_pretrained(pretrained).state_dict()
    found = network.model.state_dict()
    assert found.keys() == stored.keys()
    for name, value in stored.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_pretrained_of_another_size_is_refused_with_both_sizes(pretrained: Path) -> None:
    config = SMALL.model_copy(update={"pretrained": str(pretrained), "ffn": 64})
    with pytest.raises(ConfigError, match="intermediate_size is 32, the configuration says 64"):
        SpeechEncoder(config)


def test_pretrained_that_is_absent_or_broken_is_refused(pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        SpeechEncoder(SMALL.model_copy(update={"pretrained": str(tmp_path / "absent")}))
    (tmp_path / "config.json").write_text((pretrained / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"truncated")
    with pytest.raises(CheckpointError, match="cannot load wav2vec weights"):
        SpeechEncoder(SMALL.model_copy(update={"pretrained": str(tmp_path)}))


@pytest.mark.parametrize(
    "name", ["moda-tests/there-is-no-such-model", "models/wav2vec2", "/no/such/folder", "no folder"]
)
def test_without_a_network_and_a_folder_one_line_says_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError) as refused:
        SpeechEncoder(SMALL.model_copy(update={"pretrained": name}))
    told = str(refused.value)
    assert f"there is no folder {name}" in told and "network.wav2vec.pretrained=FOLDER" in told
    assert "\n" not in told and capfd.readouterr().err == ""


def test_a_model_with_a_head_gives_its_encoder(tmp_path: Path) -> None:
    """facebook/wav2vec2-base-960h is one that was tuned to write text."""
    torch.manual_seed(3)
    stored = Wav2Vec2ForCTC(transformers_config(SMALL))
    stored.save_pretrained(tmp_path)
    found = SpeechEncoder(SMALL.model_copy(update={"pretrained": str(tmp_path)})).model.state_dict()
    for weight, value in stored.wav2vec2.state_dict().items():
        torch.testing.assert_close(found[weight], value, rtol=0, atol=0)


def test_pretrained_with_missing_weights_is_refused(pretrained: Path, tmp_path: Path) -> None:
    weights = load_file(pretrained / "model.safetensors")
    del weights["encoder.layer_norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((pretrained / "config.json").read_text())
    with pytest.raises(CheckpointError, match=r"incomplete: encoder\.layer_norm\.weight"):
        SpeechEncoder(SMALL.model_copy(update={"pretrained": str(tmp_path)}))


def test_interpolation_aligns_the_ends(encoder: SpeechEncoder) -> None:
    seen = []
    hook = encoder.model.feature_projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    wave = torch.randn(1, 640 * 25)
    with torch.no_grad():
        encoder(wave, 25)
        cnn = encoder.model.feature_extractor(normalise_wave(wave, 0.01)).transpose(1, 2)  # (1, 49, C)
    hook.remove()
    torch.testing.assert_close(seen[0], cnn[:, ::2], rtol=1e-4, atol=1e-4)
