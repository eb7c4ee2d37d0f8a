"""`moda convert SOURCE TARGET`: motion into files of other programs and back, checkpoints into safetensors and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moda.cli.main import Parser, run
from moda.errors import ConfigError, OutputError
from moda.locations import command

FORMATS = {"motion": ".npz", "table": ".csv", "arkit": ".csv", "live-link": ".csv", "bvh": ".bvh", "gltf": ".gltf"}
"""Of motion, and the end of the file's name."""
_CHECKPOINTS = (".pt", ".safetensors")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of convert; returns the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = Parser(
        prog=command("convert"),
        description="Motion (a motion file, a table, Live Link Face's, or a video whose face is tracked) into a "
        "motion file, table, ARKit's curves, BVH or glTF; a checkpoint into safetensors and back, or ONNX; or, with "
        "a folder as TARGET and a configuration as SOURCE, all its networks into a folder for a model hub.",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("target", type=Path, metavar="TARGET", help="the end of its name says the format")
    parser.add_argument("--format", choices=FORMATS, help="of motion; .csv alone is a table of all channels")
    parser.add_argument(
        "--picture", type=Path, help="a portrait whose face the blendshape curves are of (default: an average face)"
    )
    arguments = parser.parse_args(argv)
    source, target = arguments.source, arguments.target
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"the target would overwrite the source {source}; name another")
    if source.suffix == ".yaml" or (source.suffix == "" and not source.exists()):
        return _to_folder(source, target)
    if target.suffix in _CHECKPOINTS:
        return _checkpoint(source, target)
    if target.suffix == ".onnx":
        from moda.onnx_export import export

        print(", ".join(map(str, export(source, target))))
        return 0
    kind = arguments.format or next((name for name, end in FORMATS.items() if end == target.suffix.lower()), None)
    if kind is None or FORMATS[kind] != target.suffix.lower():
        ends = ", ".join(dict.fromkeys((*FORMATS.values(), *_CHECKPOINTS, ".onnx")))
        raise ConfigError(f"the target should end in {FORMATS[kind] if kind else ends}, got {target}")
    return _motion(source, target, kind, arguments.picture)


def _motion(source: Path, target: Path, kind: str, picture: Path | None) -> int:
    from moda.media.video_writer import require_writable
    from moda.reading import require_file

    require_file(source, "source of motion")
    require_writable(target)

    from moda.exchange.sources import read_motion

    motion = read_motion(source).motion
    if kind == "motion":
        motion.save(target)
    elif kind == "table":
        from moda.exchange.table import write_table

        write_table(target, motion)
    elif kind == "bvh":
        from moda.exchange.bvh import write_bvh

        write_bvh(target, motion)
    elif kind == "gltf":
        from moda.exchange.gltf import write_gltf

        write_gltf(target, motion)
    else:
        from moda.exchange.arkit import write_curves, write_live_link
        from moda.exchange.curves import average_face, face_curves
        from moda.stages.animation import load_stage

        subject = average_face()
        if picture is not None:
            from moda.media.picture import read_picture
            from moda.tracking.portrait import make_portrait

            subject = make_portrait(read_picture(picture), 256, source=picture).subject
        curves = face_curves(motion, load_stage("faco"), subject)  # type: ignore[arg-type]
        if kind == "arkit":
            write_curves(target, curves, motion.fps)
        else:
            write_live_link(target, curves, motion)
    print(f"{target}: {len(motion)} frames, {motion.fps:g} fps, {len(motion) / motion.fps:.2f} s")
    return 0


def _checkpoint(source: Path, target: Path) -> int:
    from moda import checkpoint

    loaded = checkpoint.load(source)
    checkpoint.save(target, loaded)
    left_out = " (without the state that training resumes from)" if loaded.trainer and target.suffix != ".pt" else ""
    print(f"{target}: stage {loaded.stage}, {len(loaded.weights)} tensors{left_out}")
    return 0


def _to_folder(source: Path, target: Path) -> int:
    from moda.animation import AnimationConfig
    from moda.config import load_yaml, parse
    from moda.hub import save_pretrained

    config = parse(AnimationConfig, load_yaml(source), source=str(source))
    folder = save_pretrained(target, config)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    return 0
