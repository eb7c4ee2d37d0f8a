"""A protocol: a file that fixes all on which scores depend, so that two people's numbers can be compared."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

import moda
from moda.config import Config, load_yaml, parse
from moda.errors import ConfigError, few
from moda.evaluation.folders import GeneratedClips, TrueClips
from moda.locations import SYNC_NETWORK, find_config, shipped
from moda.metrics.registry import MetricSettings, SpeechDetector
from moda.metrics.weights import sha256
from moda.representation import FPS, FRAME, SAMPLE_RATE

SHIPPED_WEIGHTS = (
    shipped(SYNC_NETWORK),
    Path(moda.__file__).parent / "package_data" / "face_landmarker.task",
    Path(moda.__file__).parent / "package_data" / "niqe_pris_params.npz",
)
"""Networks and tables that ship and that scores depend on."""
PACKAGES = ("av", "mediapipe", "numpy", "opencv-contrib-python", "scikit-image", "scipy", "torch")
"""Packages whose versions are recorded: other ones may decode, track or compute a little otherwise."""


class Encoder(Config):
    """How generated videos should be written."""

    codec: str
    crf: int
    preset: str


class Protocol(Config):
    """Fields of configs/eval/protocol.yaml."""

    name: str
    """How scores refer to it."""
    clips: list[str]
    """Names of the clips, without an ending: these and no others are scored."""
    frames: int
    """Of each clip, from its first, at `fps`."""
    fps: float
    audio_rate: int
    crop: Literal["square"]
    """That of HDTF's lists where the store was cut by them, else preparation's own."""
    frame_px: int
    encoder: Encoder
    reference: str
    seeds: list[int]
    speech: SpeechDetector
    weights: dict[str, str]
    """SHA-256 by name of file."""


@dataclass(frozen=True)
class FixedProtocol:
    """A protocol and the file that it was read from, by its SHA-256."""

    protocol: Protocol
    sha256: str


def read_protocol(path: Path) -> FixedProtocol:
    """Read a protocol; raises `ConfigError` if it is none, or is of frames that this version does not score."""
    file = find_config(path)
    protocol = parse(Protocol, load_yaml(file), source=str(file))
    for name, wanted, here in (
        ("fps", protocol.fps, FPS),
        ("frame_px", protocol.frame_px, FRAME),
        ("audio_rate", protocol.audio_rate, SAMPLE_RATE),
    ):
        if wanted != here:
            raise ConfigError(f"{file}: {name} is {wanted:g}, this version of MODA scores at {here:g}")
    if protocol.frames < 1 or not protocol.clips or len(set(protocol.clips)) != len(protocol.clips):
        raise ConfigError(f"{file}: wanted clips that differ, and at least one frame of each")
    return FixedProtocol(protocol, sha256(file))


def weights_of(settings: MetricSettings) -> dict[str, str]:
    """SHA-256 of every network that scores depend on, by name of file: those that ship and those that are named."""
    named = [path for path in vars(settings).values() if isinstance(path, Path)]
    files = [*SHIPPED_WEIGHTS]
    for path in named:
        files += sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return {file.name: sha256(file) for file in files}


def check_weights(protocol: Protocol, settings: MetricSettings) -> None:
    """Raises `ConfigError` where a network is another than the protocol's, or speech is told otherwise."""
    for name, found in weights_of(settings).items():
        wanted = protocol.weights.get(name)
        if wanted is None:
            raise ConfigError(
                f"{name} is no file of the protocol {protocol.name}; it has {', '.join(protocol.weights)}"
            )
        if wanted != found:
            raise ConfigError(f"{name} is another file than the protocol {protocol.name} has: {found}, wanted {wanted}")
    if settings.speech != protocol.speech:
        raise ConfigError(f"speech is {settings.speech}, the protocol {protocol.name} has {protocol.speech}")


def chosen_clips(
    protocol: Protocol, true: TrueClips, methods: Mapping[str, GeneratedClips]
) -> tuple[TrueClips, dict[str, GeneratedClips]]:
    """Of both sides the protocol's clips; raises `ConfigError` if true ones are missing."""
    missing = [clip for clip in protocol.clips if clip not in true.videos]
    if missing:
        raise ConfigError(
            f"the protocol {protocol.name} has {len(protocol.clips)} clips; without a true video: {few(missing)}"
        )
    kept = set(protocol.clips)
    chosen = {
        name: replace(
            method,
            videos={clip: paths for clip, paths in method.videos.items() if clip in kept},
            failed={clip: why for clip, why in method.failed.items() if clip in kept},
        )
        for name, method in methods.items()
    }
    return replace(true, videos={clip: true.videos[clip] for clip in protocol.clips}), chosen


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that scores depend on."""
    found = {"python": platform.python_version(), "moda": moda.__version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
