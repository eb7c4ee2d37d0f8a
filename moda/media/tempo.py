"""Audio played faster or slower at the same pitch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.filter import Graph

from moda.errors import MediaError
from moda.files import replacing
from moda.media.track import track_pieces

RATE_HZ = 48_000


def write_at_tempo(source: Path, target: Path, speed: float) -> None:
    """Write the audio of a file as WAV, `speed` (0.5 to 2) times as fast, at the same pitch.

    Raises `MediaError` for audio that cannot be read, `OutputError` if the target cannot be written.
    """
    pieces = track_pieces(source, rate=RATE_HZ)
    first = next(pieces, None)
    if first is None:
        raise MediaError(f"no audio in {source}")
    with (
        replacing(target) as temporary,
        soundfile.SoundFile(temporary, "w", RATE_HZ, len(first), subtype="FLOAT", format="WAV") as file,
    ):
        for piece in _stretched(chain([first], pieces), len(first), speed, source):
            file.write(piece.T)


def _stretched(pieces: Iterator[np.ndarray], channels: int, speed: float, source: Path) -> Iterator[np.ndarray]:
    layout = "mono" if channels == 1 else "stereo"
    graph = Graph()
    buffer = graph.add_abuffer(sample_rate=RATE_HZ, format="fltp", layout=layout)
    tempo, sink = graph.add("atempo", f"{speed:g}"), graph.add("abuffersink")
    buffer.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    sent = 0
    try:
        for piece in pieces:
            if len(piece) != channels:
                piece = np.broadcast_to(piece.mean(axis=0, keepdims=True), (channels, piece.shape[1]))
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(piece, np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = RATE_HZ, sent
            sent += piece.shape[1]
            graph.push(frame)
            yield from _ready(graph)
        graph.push(None)
        yield from _ready(graph)
    except FFmpegError as error:
        raise MediaError(f"cannot change the speed of {source}: {error.strerror or error}") from error


def _ready(graph: Graph) -> Iterator[np.ndarray]:
    """What the filter has made, (channels, N) float32."""
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame.to_ndarray()
