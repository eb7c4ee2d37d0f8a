"""`moda infer AUDIO PICTURE`: a talking video from an audio file and a portrait.

The arguments are checked before anything heavy is loaded; `moda.jobs.making` does the work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moda.cli.main import Parser, importing, positive, run
from moda.device import DEVICE_NAMES
from moda.errors import ConfigError, OutputError
from moda.jobs.job import Job
from moda.locations import command, shipped

if TYPE_CHECKING:
    from moda.animation import InferenceConfig
    from moda.jobs.job_list import Row

DEFAULT_CONFIG = shipped("configs/default/infer.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of inference; returns the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.jobs is None and arguments.picture is None:
        parser.error("wanted an audio file and a picture, or --jobs")
    if arguments.jobs is not None and arguments.audio is not None:
        parser.error("--jobs names the audio files and pictures: leave the others out")
    if arguments.jobs is not None or arguments.audio.is_dir() or arguments.picture.is_dir():
        if arguments.motion is not None or arguments.save_motion is not None:
            parser.error("--motion and --save-motion are of one video; with --jobs they are columns of the list")
        return _batch(arguments)
    if arguments.queue is not None:
        parser.error("--queue takes many videos: --jobs, or folders")
    config = _config(arguments)
    job = Job(
        arguments.audio, arguments.picture, arguments.output or Path(f"{arguments.audio.stem}.mp4"),
        seed=arguments.seed, face=arguments.face, motion=arguments.motion, save_motion=arguments.save_motion,
        consent=arguments.consent, sign=arguments.sign,
    )  # fmt: skip
    job.check(*_other_inputs(arguments))
    _check_files(config, arguments.sign, with_motion=job.motion is None)

    with importing():
        from moda.cli.animate import animate

    return animate(job, config, arguments.device)


def _batch(arguments: argparse.Namespace) -> int:
    """Many videos: --jobs, or folders in the place of files."""
    from moda.files import make_folder
    from moda.jobs.job_list import checked, paired_jobs, read_jobs

    config, folder = _config(arguments), arguments.output
    if folder is not None and folder.suffix.lower() == ".mp4":
        raise OutputError(f"--output is the folder for many videos, got {folder}")
    if arguments.jobs is None:
        folder = folder or Path("videos")
        rows = paired_jobs(arguments.audio, arguments.picture, folder, arguments.seed, arguments.consent)
    else:
        rows = read_jobs(arguments.jobs, folder, arguments.seed, arguments.consent)
        folder = folder or arguments.jobs.parent
    _check_files(config, arguments.sign, with_motion=any(row.job and row.job.motion is None for row in rows))
    make_folder(folder)
    rows = checked(rows, *_other_inputs(arguments))
    if arguments.sign:
        rows = [replace(row, job=row.job and replace(row.job, sign=arguments.sign)) for row in rows]

    if arguments.queue is not None:
        return _send(rows, config, arguments)
    with importing():
        from moda.cli.batch import run_batch

    return run_batch(rows, config, arguments.device, folder)


def _send(rows: Sequence[Row], config: InferenceConfig, arguments: argparse.Namespace) -> int:
    """Put the rows on a queue and name those that cannot be used; returns 1 if there is one."""
    from moda.cli.worker import QUEUE, connected

    redis = connected(arguments.queue)
    from moda.jobs.queued import send

    jobs = [row.job for row in rows if row.job is not None and row.problem is None]
    send(jobs, config, redis, QUEUE)
    bad = [row for row in rows if row.job is None or row.problem is not None]
    for row in bad:
        print(f"{row.place}: {row.problem}")
    print(f"{len(jobs)} of {len(rows)} jobs sent; `{command('worker')} {arguments.queue}` does them", flush=True)
    return 1 if bad else 0


def _other_inputs(arguments: argparse.Namespace) -> list[Path]:
    return [path for path in (arguments.config, arguments.jobs) if path]


def _config(arguments: argparse.Namespace) -> InferenceConfig:
    from moda.animation import InferenceConfig
    from moda.config import apply_overrides, load_yaml, parse

    tree = apply_overrides(load_yaml(arguments.config or DEFAULT_CONFIG), arguments.set)
    given = {name: getattr(arguments, name) for name in ("fps", "size", "framing", "long_side", "accept_face")}
    given["visible_mark"] = arguments.mark
    tree |= {name: value for name, value in given.items() if value is not None}
    controls = {
        "take": _pairs(arguments.take, "--take", str), "offset": _pairs(arguments.offset, "--offset", float),
        "expression": _pairs([_amount(each) for each in arguments.expression], "--expression", float),
        "freeze": arguments.freeze, "blinks": arguments.blinks, "speed": arguments.speed,
    }  # fmt: skip
    if any(value not in (None, {}) for value in controls.values()):
        own = tree.get("controls") or {}
        tree["controls"] = own | {name: value for name, value in controls.items() if value not in (None, {})}
    return parse(InferenceConfig, tree, source=str(arguments.config or DEFAULT_CONFIG))


def _pairs(given: list[str], option: str, kind: Callable[[str], Any]) -> dict[str, Any]:
    """NAME=VALUE of an option that may be given several times."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            found[name] = kind(value)
        except ValueError:
            equals = ""
        if not (name and equals and value):
            raise ConfigError(f"{option} is '{text[:60]}', wanted NAME=VALUE")
    return found


def _amount(text: str) -> str:
    """An expression without its amount is the whole of it."""
    return text if "=" in text else f"{text}=1"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _times(text: str) -> list[float]:
    return [float(each) for each in text.split(",") if each.strip()]


def _check_files(config: InferenceConfig, sign: Sequence[Path] | None, *, with_motion: bool) -> None:
    """Refuse, before anything is loaded, files that are not there or cannot be used."""
    from moda.reading import require_file

    config.networks(with_motion=with_motion)
    for path in config.controls.take.values():
        require_file(path, "source of motion")
    if sign is not None:
        from moda.signing import check_signer

        check_signer(*sign)
    if config.visible_mark is not None:
        from moda.imaging.visible_mark import check_mark

        check_mark(config.visible_mark)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("infer"), description="Make a portrait speak. Writes an MP4 (H.264, AAC) as long as the audio."
    )
    parser.add_argument(
        "audio", type=Path, nargs="?", help="audio: WAV, FLAC, MP3, OGG, Opus, a video with audio, or a folder of them"
    )
    parser.add_argument(
        "picture", type=Path, nargs="?", help="portrait: PNG, JPEG, WebP, a video (its first frame), or a folder"
    )
    parser.add_argument(
        "--jobs",
        type=Path,
        metavar="CSV",
        help="a list of videos to make, with columns audio, picture, output, seed ...",
    )
    parser.add_argument("--queue", metavar="URL", help="send many videos to `moda worker`, by Redis at this address")
    parser.add_argument(
        "--output", "-o", type=Path, help="the MP4 to write (default: the audio's name, here), or the folder for many"
    )
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
    parser.add_argument(
        "--take", action="append", default=[], metavar="PART=FILE",
        help="lips, eyes, head, torso, gaze or blinks from a motion file or a video",
    )  # fmt: skip
    parser.add_argument("--freeze", type=_names, metavar="PARTS", help="lips, eyes, head, torso, gaze stay at rest")
    parser.add_argument("--blinks", type=_times, metavar="SECONDS", help="when eyes are shut, as 0.8,2.5; '' = never")
    parser.add_argument(
        "--offset", action="append", default=[], metavar="NAME=VALUE",
        help="turn or move the head: pitch, yaw, roll (degrees), x, y, z (pixels of 512), scale",
    )  # fmt: skip
    parser.add_argument(
        "--expression", action="append", default=[], metavar="NAME[=AMOUNT]",
        help="smile, frown, brows_up, brows_down or surprise, -1.5 to 1.5, over the speech, or neutral, without the "
        "picture's own; may be given again",
    )  # fmt: skip
    parser.add_argument("--speed", type=float, help="play the voice 0.5 to 2 times as fast, at its pitch")
    parser.add_argument("--mark", metavar="TEXT", help="a text in the corner of every frame")
    parser.add_argument(
        "--sign", nargs=2, type=Path, metavar=("CERTIFICATES", "KEY"),
        help="sign the video as C2PA asks, with these PEM files (moda[c2pa])",
    )  # fmt: skip
    parser.add_argument(
        "--consent", metavar="NOTE", help="who agreed to this video; it is written into it, where `moda info` shows it"
    )
    return parser
