"""The network of stage 1 of a kind."""

from __future__ import annotations

from moda.stages.audio2repr.base import CHANNELS, Audio2Repr, Features, Prediction
from moda.stages.audio2repr.config import Audio2ReprConfig, FlowNetworkConfig, PaperConfig
from moda.stages.audio2repr.flow import FlowAudio2Repr
from moda.stages.audio2repr.paper import PaperAudio2Repr

__all__ = ["CHANNELS", "Audio2Repr", "Features", "FlowAudio2Repr", "PaperAudio2Repr", "Prediction", "build", "create"]


def create(config: Audio2ReprConfig) -> PaperAudio2Repr | FlowAudio2Repr:
    """The network for training, started from the weights that `config.wav2vec` names."""
    if isinstance(config, FlowNetworkConfig):
        return FlowAudio2Repr(config)
    assert isinstance(config, PaperConfig)
    return PaperAudio2Repr(config)


def build(config: Audio2ReprConfig) -> PaperAudio2Repr | FlowAudio2Repr:
    """The network for inference: its weights are to be loaded, so none to start from are read."""
    return create(config.without_initial_weights())
