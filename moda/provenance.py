"""What a generated video states of its making: tool, checkpoints, seed, inputs by their hashes, a note of consent.

The record is JSON in the MP4's `synopsis` tag, which a copy with another container keeps; `comment` says the same in a
sentence, and `moda.media.marking` marks the file for programs that look for generated content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import moda
from moda.animation import AnimationConfig
from moda.config import to_dict
from moda.errors import ConfigError, MediaError
from moda.file_hash import file_hash
from moda.media.container import open_container
from moda.media.marking import read_source_type

FORMAT = 1
TAG = "synopsis"
MAX_CONSENT = 500
"""Characters of a note of consent."""
_MAX_RECORD = 1 << 16


def record_of(
    config: AnimationConfig,
    checkpoints: Mapping[str, Path],
    *,
    seed: int | None,
    inputs: Mapping[str, Path],
    choices: Mapping[str, object] | None = None,
    consent: str | None = None,
) -> dict[str, Any]:
    """The record of a video. checkpoints: file of each stage that was used. seed: None where it is not known or motion
    comes from a file. inputs: what each file is to its path.

    choices: what else decides about the pictures (face, controls). consent: the user's words, one line.
    The record's `job` is a hash of everything in it and of all settings: equal for equal videos.
    """
    if consent is not None and (len(consent) > MAX_CONSENT or not consent.isprintable()):
        raise ConfigError(f"the note of consent should be one line of at most {MAX_CONSENT} characters")
    record: dict[str, Any] = {
        "format": FORMAT,
        "generated": True,
        "tool": "MODA",
        "version": moda.__version__,
        "checkpoints": {stage: {"file": path.name, "sha256": file_hash(path)} for stage, path in checkpoints.items()},
        "seed": seed,
        "inputs": {name: file_hash(path) for name, path in inputs.items()},
        "consent": consent,
    }
    settings = {**to_dict(config), "checkpoints": None, "batch": None}
    decided = json.dumps([record, settings, dict(choices or {})], sort_keys=True, default=str)
    return record | {"job": hashlib.sha256(decided.encode()).hexdigest()[:32]}


def tags(record: Mapping[str, Any]) -> dict[str, str]:
    """Tags of an MP4 that hold a record."""
    return {TAG: json.dumps(record, ensure_ascii=False)}


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a video; None where it has none of ours. Raises `MediaError` for what is no video."""
    with open_container(path, "video") as container:
        text = {name.lower(): value for name, value in container.metadata.items()}.get(TAG, "")  # SYNOPSIS in Matroska
    if not text.startswith("{") or len(text) > _MAX_RECORD:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("tool") == "MODA" else None


def made_by(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a file is the whole video of this very record: the mark behind the media shows that none is missing."""
    try:
        found = read_record(path) if path.is_file() else None
        return found is not None and found.get("job") == record["job"] and read_source_type(path) is not None
    except MediaError:
        return False
