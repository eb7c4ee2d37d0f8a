"""`moda live`: a portrait that speaks while the sound arrives: from a microphone, a file in real time, or nobody."""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moda.cli.main import Parser, importing, run
from moda.device import DEVICE_NAMES
from moda.errors import ConfigError
from moda.locations import command, shipped

if TYPE_CHECKING:
    import numpy as np

    from moda.streaming.frames import FrameStream

PIECE_SECONDS = 0.04
"""Of sound that is handed over at once."""
BEHIND_SECONDS = 1.0
"""Where frames are shown and not kept, those are skipped that are so much later than the sound allows."""
MICROPHONE = "mic"
CONFIG = shipped("configs/default/infer.yaml")


@dataclass
class Figures:
    """What is said at the end: frames that were made and skipped, and seconds by which they were behind their sound."""

    made: int = 0
    skipped: int = 0
    first: float = 0.0
    behind: list[float] = field(default_factory=list)

    def report(self) -> str:
        """In one line."""
        middle = sorted(self.behind)[len(self.behind) // 2] if self.behind else 0.0
        return (
            f"{self.made} frames, {self.skipped} skipped; the first came {self.first:.2f} s after the first sound; "
            f"behind their sound: median {middle:.2f} s, most {max(self.behind, default=0.0):.2f} s"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, play, return the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if (arguments.audio is None) == (arguments.idle is None):
        parser.error("wanted --audio mic, --audio FILE or --idle SECONDS")
    with importing():
        from moda.animation import AnimationConfig
        from moda.config import apply_overrides, load_yaml, parse
        from moda.device import choose_device
        from moda.media.audio import read_audio
        from moda.media.live import Window, microphone
        from moda.media.picture import read_picture
        from moda.media.video_writer import VideoWriter
        from moda.pipeline import Animator
        from moda.tracking.portrait import make_portrait

    tree = apply_overrides(load_yaml(arguments.config or CONFIG), ["windows=low_delay", *arguments.set])
    config = parse(AnimationConfig, tree, source=str(arguments.config or CONFIG))
    if arguments.output is None and not Window.possible():
        raise ConfigError("there is no display here; write with --output FILE.mp4, or --output - for raw RGB in a pipe")
    file = None if arguments.audio in (None, MICROPHONE) else Path(arguments.audio)
    if arguments.audio == MICROPHONE:
        pieces = microphone(PIECE_SECONDS)
    else:
        pieces = _in_time(read_audio(file) if file is not None else None, arguments.idle)
    portrait = make_portrait(read_picture(arguments.picture), config.size)
    animator = Animator.from_config(config, choose_device(arguments.device))
    raw, figures = str(arguments.output) == "-", Figures()
    notes = sys.stderr if raw else sys.stdout
    print(f"frames are {animator.delay:g} s behind their sound at most, beside computing; Ctrl-C ends", file=notes)
    with animator.open_stream(portrait, arguments.seed) as stream:
        played = _played(stream, pieces, config.fps, figures, skip=arguments.output is None)
        with closing(played) as frames:
            if raw:
                for frame in frames:
                    os.write(1, frame.tobytes())
            elif arguments.output is not None:
                with VideoWriter(arguments.output, config.size, config.fps, file, crf=config.crf) as writer:
                    for frame in frames:
                        writer.write(frame)
            else:
                with Window("moda live") as window:
                    for frame in frames:
                        if not window.show(frame):
                            break
    print(figures.report(), file=notes)
    return 0


def _in_time(wave: np.ndarray | None, seconds: float | None) -> Iterator[np.ndarray]:
    """Pieces of a sound (N,), or of so many seconds of silence, each when its time has come."""
    import numpy as np

    from moda.representation import SAMPLE_RATE

    if wave is None:
        wave = np.zeros(round((seconds or 0.0) * SAMPLE_RATE), np.float32)
    start, step = time.perf_counter(), round(PIECE_SECONDS * SAMPLE_RATE)
    for at in range(0, len(wave), step):
        time.sleep(max(0.0, start + min(at + step, len(wave)) / SAMPLE_RATE - time.perf_counter()))
        yield wave[at : at + step]


def _played(
    stream: FrameStream, pieces: Iterator[np.ndarray], fps: float, figures: Figures, *, skip: bool
) -> Generator[np.ndarray, None, None]:
    """Frames as they are made, while another thread takes the sound as it comes."""
    waiting: queue.Queue[Any] = queue.Queue()
    stop = threading.Event()

    def take() -> None:
        try:
            for piece in pieces:
                waiting.put(piece)
                if stop.is_set():
                    break
            waiting.put(None)
        except BaseException as error:  # told to the thread that reads
            waiting.put(error)

    thread = threading.Thread(target=take, daemon=True)
    start = time.perf_counter()
    thread.start()
    try:
        while (piece := waiting.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            before, late = stream.frames, skip and waiting.qsize() * PIECE_SECONDS > BEHIND_SECONDS
            for number, frame in enumerate(stream.each(piece, render=not late), before):
                yield _counted(frame, number, start, fps, figures)
            figures.skipped += stream.frames - before if late else 0
        for number, frame in enumerate(stream.rest(), stream.frames):
            yield _counted(frame, number, start, fps, figures)
    finally:
        stop.set()
        thread.join(2 * PIECE_SECONDS)


def _counted(frame: np.ndarray, number: int, start: float, fps: float, figures: Figures) -> np.ndarray:
    now = time.perf_counter() - start
    figures.first = figures.first or now
    figures.made += 1
    figures.behind.append(now - number / fps)
    return frame


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=command("live"), description="Make a portrait speak while the sound arrives.")
    parser.add_argument("picture", type=Path, help="portrait: PNG, JPEG, WebP")
    parser.add_argument("--audio", help=f"{MICROPHONE} (needs moda[live]), or a file, which is played in real time")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="no sound for so long: the person listens")
    parser.add_argument(
        "--output", "-o", type=Path, help="an MP4, or - for raw RGB frames in a pipe (default: a window)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the head, eye and shoulder motion (default 0)")
    parser.add_argument("--device", choices=DEVICE_NAMES, default="auto")
    parser.add_argument("--config", type=Path, help="YAML, or a name (default: default/infer)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change one value of the config; windows is low_delay here",
    )  # fmt: skip
    return parser
