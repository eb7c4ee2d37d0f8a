"""`infer.py AUDIO PICTURE`: a talking video from a sound and a portrait."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moda.cli.main import run
from moda.config import apply_overrides, load_yaml, parse
from moda.errors import OutputError
from moda.media.audio import read_audio
from moda.media.picture import make_portrait, read_picture
from moda.media.video import VideoWriter
from moda.media.video_writer import require_writable
from moda.pipeline import ROOT, AnimationConfig, Animator, choose_device, describe_device, fit_motion
from moda.representation import SAMPLE_RATE, Motion, Portrait

DEFAULT_CONFIG = ROOT / "configs" / "default" / "infer.yaml"


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
        given = None if arguments.motion is None else Motion.load(arguments.motion)
        motion = None if given is None else fit_motion(given, config.fps, len(wave))
        portrait = make_portrait(read_picture(arguments.picture), config.size, source=arguments.picture)
    with timings.measure("loading"):
        animator = Animator.from_config(config, device, with_motion=motion is None)
    if motion is None:
        with timings.measure("motion"):
            motion = animator.motion(wave, portrait, arguments.seed)
    if arguments.save_motion is not None:
        _save_motion(motion, arguments.save_motion)
    with timings.measure("faces"):
        face, torso = animator.landmarks(motion, portrait)
    with timings.measure("rendering+encoding"):
        _encode(animator, face, torso, portrait, output, arguments.audio)
    print(timings.report(len(motion), config.fps))
    print(f"{output}: {len(wave) / SAMPLE_RATE:.2f} s, {config.size}x{config.size}, {config.fps:g} fps")
    return 0


def _encode(
    animator: Animator, face: np.ndarray, torso: np.ndarray, portrait: Portrait, output: Path, audio: Path
) -> None:
    config = animator.config
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"))
    with (
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        VideoWriter(output, config.size, config.fps, audio, crf=config.crf, preset=config.preset) as writer,
    ):
        for frame in progress.track(animator.render(face, torso, portrait), total=len(face)):
            writer.write(frame)


def _config(arguments: argparse.Namespace) -> AnimationConfig:
    tree = load_yaml(arguments.config) if arguments.config is not None else {}
    if arguments.config is None and DEFAULT_CONFIG.exists():
        tree = load_yaml(DEFAULT_CONFIG)
    tree = apply_overrides(tree, arguments.set)
    tree |= {name: value for name in ("fps", "size") if (value := getattr(arguments, name)) is not None}
    return parse(AnimationConfig, tree, source=str(arguments.config or DEFAULT_CONFIG))


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


def _save_motion(motion: Motion, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.npz")
    try:
        motion.save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infer.py", description="Make a portrait speak. Writes an MP4 (H.264, AAC) as long as the sound."
    )
    parser.add_argument("audio", type=Path, help="sound: WAV, FLAC, MP3, OGG, Opus, or a video with sound")
    parser.add_argument("picture", type=Path, help="portrait: PNG, JPEG, WebP, or a video (its first frame)")
    parser.add_argument("--output", "-o", type=Path, help="the MP4 to write; default: the sound's name, here")
    parser.add_argument("--seed", type=int, default=0, help="of the head, eye and shoulder motion (default 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--fps", type=float, help="frames per second (default 25)")
    parser.add_argument("--size", type=int, help="side of the video in pixels (default 256)")
    parser.add_argument("--config", type=Path, help=f"default: {DEFAULT_CONFIG.relative_to(ROOT)}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the config"
    )
    parser.add_argument("--save-motion", type=Path, metavar="NPZ", help="keep the motion, to render it again")
    parser.add_argument("--motion", type=Path, metavar="NPZ", help="render this motion instead of making one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
