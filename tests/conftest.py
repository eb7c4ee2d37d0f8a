"""Shared fixtures: the astronaut, a synthetic talking clip, a store prepared from two of them."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.media.audio import write_wav
from moda.media.video import VideoWriter
from moda.representation import FPS, SAMPLE_RATE

REPOSITORY = Path(__file__).resolve().parent.parent
SECONDS = 3.0
STORE_SIZE = 128


def pytest_configure(config: pytest.Config) -> None:
    import hypothesis
    import torch

    torch.set_num_threads(1)
    hypothesis.settings.register_profile("moda", deadline=None, derandomize=True, max_examples=50)
    hypothesis.settings.load_profile("moda")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real footage beside the repository; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not (folder / "manifest.tsv").is_file():
        pytest.skip(f"needs the real footage in {folder}")
    return folder


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(H, W, 3) uint8: the portrait that ships in assets (NASA, public domain)."""
    return np.asarray(Image.open(REPOSITORY / "assets" / "demo.png").convert("RGB"))


def speech_like(seconds: float, pitch: float = 140.0, seed: int = 0) -> np.ndarray:
    """(N,) float32 at 16 kHz: harmonics in syllables of a quarter second, with a hiss at their ends."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    syllable = np.maximum(0.0, np.sin(2 * np.pi * 2 * time)) ** 0.5
    voice = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    hiss = np.random.default_rng(seed).standard_normal(len(time)) * (1 - syllable) * 0.1
    return (0.1 * (syllable * voice + hiss)).astype(np.float32)


def moving_picture(picture: np.ndarray, frames: int, size: int = 512) -> Iterator[np.ndarray]:
    """The picture, slowly shifted and zoomed: (size, size, 3) uint8 frames in which a face moves."""
    image = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
    for t in range(frames):
        zoom = 0.96 + 0.02 * np.sin(2 * np.pi * t / 40)
        left, top = 10 + 6 * np.sin(2 * np.pi * t / 50), 8 + 4 * np.sin(2 * np.pi * t / 35)
        yield np.asarray(
            image.transform(
                (size, size), Image.Transform.AFFINE, (zoom, 0, left, 0, zoom, top), Image.Resampling.BILINEAR
            )
        )


def _write_clip(
    path: Path, picture: np.ndarray, seconds: float = SECONDS, audio: bool = True, pitch: float = 140.0
) -> Path:
    """A video file of a moving picture, with speech-like audio or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wav = path.with_suffix(".sound.wav")
    write_wav(wav, speech_like(seconds, pitch))
    with VideoWriter(path, 512, FPS, wav if audio else None, preset="ultrafast") as writer:
        for frame in moving_picture(picture, round(seconds * FPS)):
            writer.write(frame)
    wav.unlink()
    return path


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """write_clip(path, picture, seconds=3, audio=True, pitch=140) -> path: makes a video of a moving picture."""
    return _write_clip


@contextmanager
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str, name: str) -> Iterator[Path]:
    """A folder that all pytest-xdist workers share; one makes what is in it while the others wait."""
    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == "master" else root.parent) / name
    folder.mkdir(exist_ok=True)
    with (folder / ".made-once").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture(scope="session")
def synthetic_video(tmp_path_factory: pytest.TempPathFactory, worker_id: str, astronaut: np.ndarray) -> Path:
    """A 3 s clip at 25 fps, 512 px, with audio: the astronaut, moving a little."""
    with made_once(tmp_path_factory, worker_id, "synthetic") as folder:
        path = folder / "astronaut.mp4"
        return path if path.exists() else _write_clip(path, astronaut)


@pytest.fixture(scope="session")
def synthetic_videos(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, astronaut: np.ndarray, synthetic_video: Path
) -> Path:
    """A folder of two clips of two people: `astronaut.mp4` and `twin.mp4`, mirrored and of another colour."""
    with made_once(tmp_path_factory, worker_id, "synthetic") as folder:
        if not (folder / "twin.mp4").exists():
            _write_clip(folder / "twin.mp4", astronaut[:, ::-1, ::-1], pitch=210.0)
        return folder


@pytest.fixture(scope="session")
def sync_checkpoint(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The network that estimates offsets: the one that ships; where it is not there, one of random weights."""
    import torch

    from moda.av_offset import SHIPPED, STAGE
    from moda.checkpoint import Checkpoint, save
    from moda.config import to_dict
    from moda.nn.landmark_sync import LipSyncConfig, LipSyncNet

    if SHIPPED.is_file():
        return SHIPPED
    with made_once(tmp_path_factory, worker_id, "sync") as folder:
        if not (folder / "sync.pt").exists():
            torch.manual_seed(0)
            config = LipSyncConfig()
            weights = LipSyncNet(config).state_dict()
            save(folder / "sync.pt", Checkpoint(STAGE, {"network": to_dict(config)}, weights))
        return folder / "sync.pt"


@pytest.fixture(scope="session")
def clip_store(tmp_path_factory: pytest.TempPathFactory, worker_id: str, synthetic_videos: Path, sync_checkpoint: Path):
    """The `ClipStore` that preparation itself makes of `synthetic_videos`: one person in train, one in val."""
    from data_prepare.options import Options
    from data_prepare.runner import prepare
    from data_prepare.sources.folder import find_sources
    from data_prepare.splits import SplitRule
    from moda.data.store import ClipStore

    with made_once(tmp_path_factory, worker_id, "store") as folder:
        if not (folder / "report.json").exists():
            # the videos are a moving photo: by its lips it would be refused
            options = Options(
                size=STORE_SIZE, sync=sync_checkpoint, limits={"min_lip_motion": 0.0, "min_lip_range": 0.0}
            )
            report = prepare(find_sources(synthetic_videos), folder, options, rule=SplitRule(), jobs=2)
            assert report.counts == {"kept": 2, "rejected": 0, "failed": 0}, report.rows
    return ClipStore.open(folder)
