"""The five stages with their debug configurations on small data, for tests that concern all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prepare.speech import list_sources, prepare_speech
from moda.config import apply_overrides, load_yaml, parse
from moda.media.audio import write_wav
from moda.training.config import TrainConfig
from tests.conftest import REPOSITORY, speech_like
from tests.talking_clips import talking_store

STAGES = ("audio2repr", "faco", "renderer", "speech", "sync")
ENCODER = {"hidden": 32, "layers": 1, "heads": 2, "ffn": 32, "conv_dim": [8] * 7, "freeze": False, "freeze_cnn": False}
PAPER: dict[str, Any] = {
    "kind": "paper", "d": 32, "layers": 1, "heads": 2, "ffn": 32, "lip_hidden": [32], "other_hidden": [32],
    "wav2vec": ENCODER,
}  # fmt: skip
WHISPER = {"front": "whisper", "hidden": 16, "layers": 1, "heads": 2, "ffn": 16, "read": [1], "freeze": True}
WHOLE_FRAMES = {"warp": False, "size": 256, "width": 4}
VARIANTS = [
    *((stage, ()) for stage in STAGES),
    ("audio2repr", (f"network={json.dumps(PAPER)}",)),
    ("audio2repr", (f"network.wav2vec={json.dumps(WHISPER)}",)),
    ("renderer", ("network.eye_widths=[8, 8]", "trainer.channels_last=true")),
    ("renderer", (*(f"network.{name}={json.dumps(value)}" for name, value in WHOLE_FRAMES.items()), "data.targets=1")),
]
"""Stages with settings that bring other networks."""


class Data(NamedTuple):
    """talking: a store of drawn motion. filmed: a store with videos. speech: a folder of labelled speech."""

    talking: Path
    filmed: Path
    speech: Path


class LoudnessTeacher:
    """Labels speech by how loud each 20 ms are."""

    name, symbols = "loudness 1", tuple("01234")

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        frames = np.pad(wave, (0, -len(wave) % 320)).reshape(-1, 320)
        level = np.log10(np.square(frames).mean(axis=1) + 1e-4)[:, None]
        logits = -4 * (level - np.linspace(-4, 0, len(self.symbols))) ** 2
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), np.float32)


def make_data(folder: Path, filmed: Path) -> Data:
    """Data for every stage; filmed: a prepared clip store."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    for number in range(6):
        write_wav(recordings / f"{number}.wav", speech_like(3, 120 + 20 * number, number))
    assert prepare_speech(list_sources(recordings, None), recordings, folder / "speech", LoudnessTeacher()) == []
    return Data(talking_store(folder / "talking", clips=4).root, filmed, folder / "speech")


def settings(stage: str, data: Data) -> list[str]:
    """Overrides of a debug configuration."""
    if stage == "speech":
        return [f"data.root={data.speech}", "network.symbols=5", "network.wav2vec.freeze=false"]
    return [f"data.store={data.filmed if stage == 'renderer' else data.talking}"]


def train_config(stage: str, data: Data, output: Path, *changes: str, device: str = "cpu") -> TrainConfig:
    """A debug run of a stage."""
    tree = load_yaml(REPOSITORY / "configs" / "debug" / f"{stage}.yaml")
    tree = apply_overrides(tree, [*settings(stage, data), f"output={output}", f"device={device}", *changes])
    return parse(TrainConfig, tree, source=stage)
