"""A page that is being served, with small networks of random weights, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from moda.animation import InferenceConfig
from moda.app.limits import Limits
from moda.config import load_yaml, parse
from moda.device import choose_device
from moda.media.audio import write_wav
from tests.cli.conftest import config as config  # the same small networks
from tests.conftest import REPOSITORY, speech_like

LIMITS = Limits(upload_mb=1, seconds=3, queue=30)


@dataclass(frozen=True)
class Files:
    """What clients bring."""

    voice: Path
    other_voice: Path
    face: Path
    no_picture: Path
    long_voice: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("brought")
    made = Files(*(folder / name for name in ("voice.wav", "other.wav", "face.png", "no picture.png", "long.wav")))
    write_wav(made.voice, speech_like(0.5))
    write_wav(made.other_voice, speech_like(0.8, seed=1))
    write_wav(made.long_voice, speech_like(4.0))
    Image.open(REPOSITORY / "assets" / "demo.png").convert("RGB").crop((96, 0, 352, 256)).save(made.face)
    made.no_picture.write_text("these are words")
    return made


@pytest.fixture(scope="module")
def settings(config: Path) -> InferenceConfig:
    return parse(InferenceConfig, load_yaml(config), source=str(config))


@pytest.fixture(scope="module")
def serve(settings: InferenceConfig) -> Callable[..., AbstractContextManager[Any]]:
    """serve(limits, mcp=False): a page at a free port, in a block."""
    pytest.importorskip("gradio", reason="needs Gradio (moda[app])")
    from moda.app.server import serving

    return lambda limits=LIMITS, **more: serving(settings, choose_device("cpu"), limits, port=0, **more)


@pytest.fixture(scope="module")
def url(serve: Callable[..., AbstractContextManager[Any]]) -> Iterator[str]:
    with serve() as served:
        yield served.url
