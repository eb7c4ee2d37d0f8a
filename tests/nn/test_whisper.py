"""The encoder of Whisper: its form, its spectra, and what the features of a frame depend on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as Theirs

from moda.nn.settings import SpeechConfig
from moda.nn.wav2vec import speech_encoder
from moda.nn.whisper import (
    AHEAD_POSITIONS,
    BLOCK_FRAMES,
    KNOWN_POSITIONS,
    POSITION_SAMPLES,
    WINDOW_POSITIONS,
    RecordingFeatures,
    WhisperEncoder,
    stop_of,
)  # fmt: skip
from moda.representation import samples_at

SMALL = SpeechConfig(front="whisper", hidden=24, heads=2, ffn=32, layers=2, read=(1, 2), freeze=True, quiet=0.01)


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    torch.manual_seed(0)
    made = speech_encoder(SMALL)
    assert isinstance(made, WhisperEncoder)
    return made.eval()


def recording(seconds: float) -> torch.Tensor:
    return 0.1 * torch.randn(1, round(16_000 * seconds), generator=torch.Generator().manual_seed(1))


def test_the_network_is_that_of_transformers(encoder: WhisperEncoder) -> None:
    config = WhisperConfig(
        num_mel_bins=80, d_model=24, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32,
        max_source_positions=KNOWN_POSITIONS,
    )  # fmt: skip
    theirs = Theirs(config).eval()
    weights = {name: value for name, value in encoder.state_dict().items() if not name.startswith("norms.")}
    weights |= {f"layer_norm.{kind}": encoder.state_dict()[f"norms.2.{kind}"] for kind in ("weight", "bias")}
    theirs.load_state_dict(weights)
    spectra = torch.randn(1, 80, 2 * KNOWN_POSITIONS)
    with torch.no_grad():
        wanted = theirs(spectra).last_hidden_state
        for asked in (slice(None), slice(150, 170), slice(KNOWN_POSITIONS - 1, KNOWN_POSITIONS)):
            torch.testing.assert_close(list(encoder.encode(spectra, asked))[-1], wanted[:, asked])


def test_the_spectra_are_those_of_transformers(encoder: WhisperEncoder) -> None:
    wave = recording(8)
    extract = WhisperFeatureExtractor(chunk_length=8)
    theirs = extract(wave[0].numpy(), sampling_rate=16_000, return_tensors="pt", do_normalize=True).input_features
    # `quiet` makes a window of -20 dB softer by half a percent
    torch.testing.assert_close(encoder.spectra(wave), theirs, atol=3e-3, rtol=0)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (640 * 3 + 10, 4), (640 * 60, 60)])
def test_there_is_one_row_of_features_a_frame(encoder: WhisperEncoder, samples: int, frames: int) -> None:
    out = encoder(recording(8)[:, :samples], frames)
    assert out.shape == (1, frames, encoder.channels) == (1, frames, 2 * 2 * 24)
    assert torch.isfinite(out).all()
    assert torch.isfinite(encoder(torch.zeros(1, samples), frames)).all()


def test_features_do_not_depend_on_the_length_nor_on_the_pieces_asked_for(encoder: WhisperEncoder) -> None:
    """A recording of 30 s: whole, in any pieces, and its beginning alone, which has the context that a block sees."""
    wave = recording(30)
    with torch.no_grad():
        whole = encoder(wave, 750)
        for pieces in (
            [(0, 750)],
            [(0, 300), (150, 450), (300, 600), (450, 750)],
            [(i, i + 7) for i in range(0, 749, 7)],
        ):
            features = RecordingFeatures(encoder, wave[0])
            for start, stop in pieces:
                found = features.between(start, min(stop, 750))
                assert torch.equal(found, RecordingFeatures(encoder, wave[0]).between(start, min(stop, 750)))
                torch.testing.assert_close(found, whole[:, start:stop], atol=1e-4, rtol=1e-4)
        block = 5
        known = RecordingFeatures(encoder, wave[0, : stop_of(block)])
        frames = (0, BLOCK_FRAMES * (block + 1))
        assert torch.equal(known.between(*frames), RecordingFeatures(encoder, wave[0]).between(*frames))


def test_a_sound_changes_the_blocks_whose_window_holds_it(encoder: WhisperEncoder) -> None:
    wave = recording(30)
    clicked = wave.clone()
    at = 15 * 16_000
    clicked[:, at : at + 300] += 0.5
    with torch.no_grad():
        changed = (encoder(clicked, 750) != encoder(wave, 750)).any(dim=-1)[0].nonzero().flatten()
    window = WINDOW_POSITIONS * POSITION_SAMPLES
    holding = [block for block in range(30) if stop_of(block) - window < at + 300 and stop_of(block) > at]
    assert holding[0] * BLOCK_FRAMES <= changed.min() < changed.max() < (holding[-1] + 1) * BLOCK_FRAMES
    ahead = BLOCK_FRAMES + AHEAD_POSITIONS // 2
    assert 375 - ahead <= changed.min() <= 375


def test_features_are_those_of_the_time_of_their_frame() -> None:
    """With one position read before any attention, a click changes the frames around it alone."""
    config = SMALL.model_copy(update={"layers": 0, "read": (0,)})
    encoder = speech_encoder(config).eval()
    wave = torch.zeros(1, samples_at(200))
    wave[:, ::50] = 0.1
    clicked = wave.clone()
    clicked[:, samples_at(80) : samples_at(80) + 100] += 0.05
    with torch.no_grad():
        change = (encoder(clicked, 200) - encoder(wave, 200)).abs().amax(dim=-1)[0]
    assert change.argmax() in (79, 80)


def test_a_frozen_encoder_gets_no_gradient(encoder: WhisperEncoder) -> None:
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    encoder.requires_grad_(True)  # as a trainer switches a whole network
    assert not encoder(recording(2), 50).requires_grad
    encoder.requires_grad_(False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"read": ()}, "read"), ({"read": (2, 1)}, "rising"), ({"layers": 3}, "layers"), ({"phonetic": 8}, "phonetic"),
     ({"front": "mel"}, "read"), ({"phonetic": 8}, "phonetic")],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SpeechConfig.model_validate({**SMALL.model_dump(), **changes})


def test_the_file_that_ships_holds_the_weights(tmp_path: Path) -> None:
    from moda.stages.audio2repr.base import _start_speech_encoder

    shipped = Path(__file__).parents[2] / "assets/checkpoints/speech_encoder.pt"
    assert shipped.stat().st_size < 20e6
    config = SpeechConfig(front="whisper", hidden=384, heads=6, ffn=1536, layers=2, read=(2,), freeze=True, quiet=0.01)
    encoder = speech_encoder(config)
    _start_speech_encoder(encoder, shipped)
    with torch.no_grad():
        features = encoder(recording(3), 75)[0].numpy()
    assert 0.3 < np.std(features) < 3
