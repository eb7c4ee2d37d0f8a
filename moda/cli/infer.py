"""`moda infer AUDIO PICTURE`: a talking video from an audio file and a portrait.

The arguments are checked before anything heavy is loaded; `moda.cli.animate` does the work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moda.cli.main import Parser, positive, run
from moda.device import DEVICE_NAMES
from moda.errors import OutputError
from moda.locations import command, shipped

if TYPE_CHECKING:
    from moda.animation import InferenceConfig

DEFAULT_CONFIG = shipped("configs/default/infer.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of inference; returns the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    config = _config(arguments)
    output = arguments.output or Path(f"{arguments.audio.stem}.mp4")
    _check_inputs(arguments, config)
    _check_outputs(arguments, output)

    from moda.cli.animate import animate

    return animate(arguments, config, output)


def _config(arguments: argparse.Namespace) -> InferenceConfig:
    from moda.animation import InferenceConfig
    from moda.config import apply_overrides, load_yaml, parse

    tree = apply_overrides(load_yaml(arguments.config or DEFAULT_CONFIG), arguments.set)
    given = {name: getattr(arguments, name) for name in ("fps", "size", "framing", "long_side", "accept_face")}
    tree |= {name: value for name, value in given.items() if value is not None}
    return parse(InferenceConfig, tree, source=str(arguments.config or DEFAULT_CONFIG))


def _check_inputs(arguments: argparse.Namespace, config: InferenceConfig) -> None:
    """Refuse, before anything is loaded, files that are not there."""
    from moda.reading import require_file

    require_file(arguments.audio, "audio file")
    require_file(arguments.picture, "picture")
    if arguments.motion is not None:
        require_file(arguments.motion, "motion file")
    for stage in config.stages(with_motion=arguments.motion is None):
        config.network(stage)


def _check_outputs(arguments: argparse.Namespace, output: Path) -> None:
    """Refuse, before any work, places that cannot be written and names of inputs."""
    from moda.media.video_writer import require_writable

    if output.suffix.lower() != ".mp4":
        raise OutputError(f"the output is an MP4, its name should end in .mp4, got {output}")
    outputs = [output] + ([] if arguments.save_motion is None else [arguments.save_motion])
    inputs = [path for path in (arguments.audio, arguments.picture, arguments.motion, arguments.config) if path]
    for path in outputs:
        for source in inputs:
            if path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
                raise OutputError(f"the output would overwrite the input {source}; name another with --output")
        require_writable(path)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("infer"), description="Make a portrait speak. Writes an MP4 (H.264, AAC) as long as the audio."
    )
    parser.add_argument("audio", type=Path, help="audio: WAV, FLAC, MP3, OGG, Opus, or a video with audio")
    parser.add_argument("picture", type=Path, help="portrait: PNG, JPEG, WebP, or a video (its first frame)")
    parser.add_argument("--output", "-o", type=Path, help="the MP4 to write; default: the audio's name, here")
    parser.add_argument("--seed", type=int, default=0, help="of the head, eye and shoulder motion (default 0)")
    parser.add_argument("--device", choices=DEVICE_NAMES, default="auto")
    parser.add_argument("--fps", type=float, help="frames per second (default 25)")
    parser.add_argument("--size", type=int, help="side of the video in pixels (default 256)")
    parser.add_argument("--face", type=positive, default=1, metavar="N", help="which face, by size (1 = the largest)")
    parser.add_argument(
        "--framing", choices=("crop", "full"), help="the animated square (default) or the whole picture"
    )
    parser.add_argument(
        "--accept-face", action="store_true", default=None, help="take a face that is refused: covered mouth, profile"
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
