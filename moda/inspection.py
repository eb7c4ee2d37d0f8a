"""What a file or folder is, by its content: checkpoints, videos, audio, pictures, motion files, clip stores."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from moda.errors import DataError, MediaError

Facts = dict[str, Any]
"""Names and plain values, in the order to show them; `kind` first."""


def inspect(path: Path) -> Facts:
    """Facts about a file or folder, or about the checkpoint of that name that ships; a `ModaError` if it is of no
    kind known here or damaged.
    """
    if not os.path.exists(path):
        from moda.locations import find_checkpoint

        path = find_checkpoint(path)
    facts = _of_folder(path) if path.is_dir() else _of_file(path)
    return {"kind": facts.pop("kind"), "path": str(path), **facts}


def _of_folder(path: Path) -> Facts:
    if (path / "store.json").is_file():
        return _store(path)
    if (path / "clip.json").is_file():
        return _clip(path)
    if (path / "config.json").is_file():
        return _model_folder(path)
    raise DataError(f"{path} is a folder without store.json, clip.json or config.json: no clip store, clip or model")


def _of_file(path: Path) -> Facts:
    from moda.reading import require_file

    require_file(path, "file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/data.pkl") for name in names):
            return _checkpoint(path)
        if "lips.npy" in names:
            return _motion(path)
        raise DataError(f"{path} is an archive, but neither a checkpoint nor a motion file of this project")
    if path.suffix.lower() in (".pt", ".safetensors"):
        return _checkpoint(path)  # says what is wrong with it
    if path.suffix.lower() == ".csv":
        return _table(path)
    return _media(path)


def _checkpoint(path: Path) -> Facts:
    from moda import checkpoint
    from moda.checkpoint_versions import VERSION
    from moda.file_hash import file_hash
    from moda.stages.registry import load_network

    loaded = checkpoint.load(path)
    network = load_network(loaded, {}, source=str(path))
    return {
        "kind": "checkpoint",
        "stage": loaded.stage,
        "parameters": sum(value.numel() for value in network.parameters()),
        "step": loaded.info.get("step"),
        "scores": loaded.info.get("metrics") or loaded.info.get("best_score") or loaded.info.get("score"),
        "trained from": loaded.info.get("init"),
        "can be resumed": loaded.trainer is not None,
        "network": loaded.config.get("network"),
        "format": VERSION,
        "bytes": path.stat().st_size,
        "sha256": file_hash(path),
    }


def _motion(path: Path) -> Facts:
    from moda.representation import SHAPES, Motion

    motion = Motion.load(path)
    ranges = {}
    for name in SHAPES:
        values = np.asarray(getattr(motion, name), np.float64).reshape(len(motion), -1)
        ranges[name] = f"{values.shape[1]} channels, {values.min():.4g} to {values.max():.4g}"
    return {
        "kind": "motion",
        "frames": len(motion),
        "fps": motion.fps,
        "seconds": round(len(motion) / motion.fps, 3),
        **ranges,
    }


def _table(path: Path) -> Facts:
    from moda.exchange.sources import read_motion

    table = read_motion(path)
    facts: Facts = {"kind": "motion table", "frames": len(table.motion), "fps": table.motion.fps}
    return facts | {"seconds": round(len(table.motion) / table.motion.fps, 3), "parts": ", ".join(sorted(table.parts))}


def _model_folder(path: Path) -> Facts:
    from moda.hub import load_pretrained

    stages = {}
    for stage, file in load_pretrained(path).networks().items():
        facts = _checkpoint(file)
        stages[stage] = {name: facts[name] for name in ("parameters", "step", "bytes", "sha256")}
    return {"kind": "model folder", **stages}


def _media(path: Path) -> Facts:
    """Video, audio or picture: the first that it can be read as."""
    from PIL import Image, UnidentifiedImageError

    from moda.media.container import open_container, seconds_of, tracks

    try:
        with Image.open(path) as picture:
            return {"kind": "picture", "format": picture.format, "width": picture.width, "height": picture.height}
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        pass
    try:
        with open_container(path, "file") as container:
            video, audio = tracks(container, "video"), tracks(container, "audio")
            facts: Facts = {"kind": "audio", "container": container.format.name, "seconds": seconds_of(container)}
            for stream in audio[:1]:
                facts["audio"] = f"{stream.codec_context.name}, {getattr(stream.codec_context, 'sample_rate', 0)} Hz"
            tags = dict(container.metadata)
    except MediaError as error:
        raise MediaError(
            f"{path} is of no kind that is known here: checkpoint, video, audio, picture, motion file or clip store"
        ) from error
    return facts if not video else _video(path, facts, tags)


def _video(path: Path, facts: Facts, tags: dict[str, str]) -> Facts:
    from moda.media.marking import read_source_type
    from moda.media.probe import probe
    from moda.provenance import read_record

    info = probe(path)
    record = read_record(path)
    facts |= {
        "kind": "video",
        "seconds": round(info.seconds, 3),
        "size": f"{info.width}x{info.height}",
        "fps": round(info.fps, 3),
        "comment": tags.get("comment"),
        "digital source type": read_source_type(path),
    }
    facts["signature"] = _signature(path)
    made = {name: record[name] for name in record if name not in ("format", "generated")} if record else None
    return facts | {"provenance": made or "none of this project"}


def _signature(path: Path) -> object:
    from moda.errors import ConfigError
    from moda.signing import read_manifest

    try:
        return read_manifest(path) or "none"
    except ConfigError:
        return "not looked for, needs moda[c2pa]"


def _store(path: Path) -> Facts:
    from moda.data.store import SPLITS, ClipStore
    from moda.representation import FPS

    store = ClipStore.open(path)
    facts: Facts = {"kind": "clip store", "size": f"{store.size}x{store.size}"}
    total = 0
    for name in SPLITS:
        try:
            clips = store.split(name)
        except DataError as error:
            facts[name] = f"none ({error})"
            continue
        frames = sum(clip.frames for clip in clips)
        people = len({clip.identity for clip in clips})
        facts[name] = f"{len(clips)} clips of {people} people, {frames / FPS / 60:.1f} minutes"
        total += frames
    return facts | {"minutes": round(total / FPS / 60, 2)}


def _clip(path: Path) -> Facts:
    from moda.data.clip import Clip
    from moda.representation import FPS

    clip = Clip.open(path)
    return {
        "kind": "clip",
        "id": clip.id,
        "identity": clip.identity,
        "seconds": clip.frames / FPS,
        "audio": clip.has_audio,
        "quality": clip.quality,
    }


def lines(facts: Facts, indent: str = "") -> list[str]:
    """Facts as text, a line each; what is None is left out."""
    shown = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            shown += [f"{indent}{name}:", *lines(value, f"{indent}  ")]
        elif value is not None and value != {}:
            shown.append(f"{indent}{name}: {_text(value)}")
    return shown


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) and abs(value) < 1e4 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
