"""What `moda infer` does once its arguments are good: read, animate, encode, and say how long it took."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moda.animation import InferenceConfig
from moda.device import choose_device, describe_device
from moda.imaging.framing import FullFraming, Still, motion_reach, still_picture
from moda.media.audio import read_audio
from moda.media.picture import read_picture
from moda.media.video import VideoWriter
from moda.pipeline import Animator, fit_motion
from moda.representation import SAMPLE_RATE, Motion, Portrait
from moda.tracking.portrait import make_reference

MAX_UNNOTED_ENLARGEMENT = 1.3
"""The square may be enlarged so many times in the whole picture before a larger --size is suggested."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """What the video shows: a portrait, and with framing "full" the still picture around it."""

    portrait: Portrait
    still: Still | None

    def size(self) -> tuple[int, int]:
        """Width and height of the video."""
        side = len(self.portrait.image)
        return (side, side) if self.still is None else self.still.size


class Timings:
    """Seconds spent by stage, in the order of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time the block takes to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def report(self, frames: int, fps: float) -> str:
        """Where the time went, and how fast that is."""
        total = sum(self.seconds.values())
        parts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        rendering = self.seconds["rendering+encoding"]
        return (
            f"{frames} frames in {total:.1f} s: {parts}\n"
            f"{frames / total:.1f} frames/s in all ({frames / fps / total:.2f} x real time), "
            f"{frames / rendering:.1f} frames/s rendering and encoding"
        )


def animate(arguments: argparse.Namespace, config: InferenceConfig, output: Path) -> int:
    """Make the video; returns the exit code."""
    device = choose_device(arguments.device)
    print(f"device: {describe_device(device)}", flush=True)
    timings = Timings()
    with timings.measure("reading"):
        wave = read_audio(arguments.audio)
        motion = None
        if arguments.motion is not None:
            given = Motion.load(arguments.motion, seconds=len(wave) / SAMPLE_RATE)
            motion = fit_motion(given, config.fps, len(wave))
        scene = _scene(arguments, config)
    with timings.measure("loading"):
        animator = Animator.from_config(config, device, with_motion=motion is None)
    if motion is None:
        with timings.measure("motion"):
            motion = animator.motion(wave, scene.portrait, arguments.seed)
    if arguments.save_motion is not None:
        motion.save(arguments.save_motion)
    with timings.measure("rendering+encoding"):
        _encode(animator, motion, scene, output, arguments.audio)
    print(timings.report(len(motion), config.fps))
    width, height = scene.size()
    print(f"{output}: {len(wave) / SAMPLE_RATE:.2f} s, {width}x{height}, {config.fps:g} fps")
    return 0


def _scene(arguments: argparse.Namespace, config: InferenceConfig) -> Scene:
    """Read the picture; say what becomes of it where that is not what a reader would expect."""
    image, full = read_picture(arguments.picture), config.framing == "full"
    reference = make_reference(
        image, config.size, number=arguments.face, over_border=full, accept=config.accept_face, source=arguments.picture
    )
    image = reference.picture  # upright
    if not full:
        return Scene(reference.portrait, None)
    still = still_picture(image, reference.box, config.long_side)
    width, height = still.size
    if max(width, height) < max(image.shape[:2]) - 1:
        log.info("%s: %dx%d scaled to %dx%d (--long-side)", arguments.picture, *image.shape[1::-1], width, height)
    if still.square.width > MAX_UNNOTED_ENLARGEMENT * config.size:
        log.info(
            "the animated square is %.0f px wide in the video and rendered at %d: --size %d is sharper, and slower",
            still.square.width, config.size, 2 * round(still.square.width / 2),
        )  # fmt: skip
    return Scene(reference.portrait, still)


def _encode(animator: Animator, motion: Motion, scene: Scene, output: Path, audio: Path) -> None:
    config, portrait, still = animator.config, scene.portrait, scene.still
    frames = animator.frames(motion, portrait)
    tags: dict[str, str] = {}
    if still is not None:
        reach = motion_reach(animator.landmark_parts(motion, portrait), portrait)
        frames = map(FullFraming(still, portrait.person, reach), frames)
        tags = still.square.tag(still.size)
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"))
    with (
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        VideoWriter(
            output, scene.size(), config.fps, audio, crf=config.crf, preset=config.preset, metadata=tags
        ) as writer,
    ):
        for frame in progress.track(frames, total=len(motion)):
            writer.write(frame)
