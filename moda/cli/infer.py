"""`moda infer AUDIO PICTURE`: a talking video from a sound and a portrait."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moda.animation import AnimationConfig
from moda.cli.main import Parser, run
from moda.config import apply_overrides, load_yaml, parse
from moda.errors import OutputError
from moda.locations import command, shipped
from moda.media.audio import read_audio
from moda.media.framing import FullFraming, Still, motion_reach, still_picture
from moda.media.picture import make_reference, read_picture
from moda.media.video import VideoWriter
from moda.media.video_writer import require_writable
from moda.pipeline import Animator, choose_device, describe_device, fit_motion
from moda.representation import SAMPLE_RATE, Motion, Portrait

DEFAULT_CONFIG = shipped("configs/default/infer.yaml")
BLURRED = 1.3
"""The square may be enlarged so many times in the whole picture before a larger --size is suggested."""

log = logging.getLogger(__name__)


class InferenceConfig(AnimationConfig):
    """How a portrait is animated, and what of its picture the video shows."""

    framing: Literal["crop", "full"] = "crop"
    """crop: the animated square; full: the whole picture, in which it moves."""
    long_side: int = Field(1280, ge=64, le=4096)
    """Longest side of a video that shows the whole picture, pixels: a larger picture is scaled down."""


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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of inference; returns the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    config = _config(arguments)
    device = choose_device(arguments.device)
    print(f"device: {describe_device(device)}", flush=True)
    output = arguments.output or Path(f"{arguments.audio.stem}.mp4")
    _check_outputs(arguments, output)

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
    with timings.measure("faces"):
        face, torso = animator.landmarks(motion, scene.portrait)
    with timings.measure("rendering+encoding"):
        _encode(animator, face, torso, scene, output, arguments.audio)
    print(timings.report(len(motion), config.fps))
    width, height = scene.size()
    print(f"{output}: {len(wave) / SAMPLE_RATE:.2f} s, {width}x{height}, {config.fps:g} fps")
    return 0


def _scene(arguments: argparse.Namespace, config: InferenceConfig) -> Scene:
    """Read the picture; say what becomes of it where that is not what a reader would expect."""
    image, full = read_picture(arguments.picture), config.framing == "full"
    reference = make_reference(image, config.size, number=arguments.face, over_border=full, source=arguments.picture)
    if not full:
        return Scene(reference.portrait, None)
    still = still_picture(image, reference.box, config.long_side)
    width, height = still.size
    if max(width, height) < max(image.shape[:2]) - 1:
        log.info("%s: %dx%d scaled to %dx%d (--long-side)", arguments.picture, *image.shape[1::-1], width, height)
    if still.square.width > BLURRED * config.size:
        log.info(
            "the animated square is %.0f px wide in the video and rendered at %d: --size %d is sharper, and slower",
            still.square.width, config.size, 2 * round(still.square.width / 2),
        )  # fmt: skip
    return Scene(reference.portrait, still)


def _encode(animator: Animator, face: np.ndarray, torso: np.ndarray, scene: Scene, output: Path, audio: Path) -> None:
    config, portrait, still = animator.config, scene.portrait, scene.still
    frames = animator.render(face, torso, portrait)
    tags: dict[str, str] = {}
    if still is not None:
        frames = map(FullFraming(still, portrait.person, motion_reach(face, torso, portrait)), frames)
        tags = still.square.tag(still.size)
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"))
    with (
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        VideoWriter(
            output, scene.size(), config.fps, audio, crf=config.crf, preset=config.preset, metadata=tags
        ) as writer,
    ):
        for frame in progress.track(frames, total=len(face)):
            writer.write(frame)


def _config(arguments: argparse.Namespace) -> InferenceConfig:
    tree = apply_overrides(load_yaml(arguments.config or DEFAULT_CONFIG), arguments.set)
    given = {name: getattr(arguments, name) for name in ("fps", "size", "framing", "long_side")}
    tree |= {name: value for name, value in given.items() if value is not None}
    return parse(InferenceConfig, tree, source=str(arguments.config or DEFAULT_CONFIG))


def _check_outputs(arguments: argparse.Namespace, output: Path) -> None:
    """Refuse, before any work, places that cannot be written and names of inputs."""
    if output.suffix.lower() != ".mp4":
        raise OutputError(f"the output is an MP4, its name should end in .mp4, got {output}")
    outputs = [output] + ([] if arguments.save_motion is None else [arguments.save_motion])
    inputs = [path for path in (arguments.audio, arguments.picture, arguments.motion, arguments.config) if path]
    for path in outputs:
        for source in inputs:
            if path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
                raise OutputError(f"the output would overwrite the input {source}; name another with --output")
        require_writable(path)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"wanted 1 or more, got {text}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("infer"), description="Make a portrait speak. Writes an MP4 (H.264, AAC) as long as the sound."
    )
    parser.add_argument("audio", type=Path, help="sound: WAV, FLAC, MP3, OGG, Opus, or a video with sound")
    parser.add_argument("picture", type=Path, help="portrait: PNG, JPEG, WebP, or a video (its first frame)")
    parser.add_argument("--output", "-o", type=Path, help="the MP4 to write; default: the sound's name, here")
    parser.add_argument("--seed", type=int, default=0, help="of the head, eye and shoulder motion (default 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--fps", type=float, help="frames per second (default 25)")
    parser.add_argument("--size", type=int, help="side of the video in pixels (default 256)")
    parser.add_argument("--face", type=_positive, default=1, metavar="N", help="which face, by size (1 = the largest)")
    parser.add_argument(
        "--framing", choices=("crop", "full"), help="the animated square (default) or the whole picture"
    )
    parser.add_argument("--long-side", type=int, help="with --framing full: largest side in pixels (default 1280)")
    parser.add_argument("--config", type=Path, help="YAML, or a name (default: default/infer)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the config"
    )
    parser.add_argument("--save-motion", type=Path, metavar="NPZ", help="keep the motion, to render it again")
    parser.add_argument("--motion", type=Path, metavar="NPZ", help="render this motion instead of making one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
