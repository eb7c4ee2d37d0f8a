"""Checkpoints as a folder that model hubs know: safetensors, config.json and a card; reading one, and publishing it.

Nothing is fetched unless it is asked for: a repository's name is looked for in the cache of huggingface_hub alone.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import moda
from moda import checkpoint
from moda.animation import AnimationConfig, CheckpointPaths
from moda.config import parse, to_dict
from moda.errors import CheckpointError, ConfigError
from moda.files import make_folder, scratch_folder, write_json, write_text
from moda.locations import shipped
from moda.reading import read_json
from moda.safetensors_file import SUFFIX

CONFIG = "config.json"
LIBRARY = "moda"
FORMAT = 1
_CARD = """---
library_name: moda
license: apache-2.0
pipeline_tag: image-to-video
tags: [talking-head, portrait-animation, audio-driven, moda]
---

"""


def save_pretrained(folder: Path, config: AnimationConfig) -> Path:
    """Write the networks of a configuration as safetensors, config.json and a card (README.md) into a folder.

    Raises `CheckpointError`, `OutputError`.
    """
    make_folder(folder)
    stages: dict[str, Any] = {}
    for stage, source in config.networks().items():
        loaded = checkpoint.load(source, stage=stage)
        name = f"{stage}{SUFFIX}"
        checkpoint.save(folder / name, loaded)
        stages[stage] = {"file": name, "network": loaded.config.get("network"), "info": loaded.info}
    settings = {name: value for name, value in to_dict(config).items() if name != "checkpoints"}
    tree = {"library_name": LIBRARY, "format": FORMAT, "version": moda.__version__, "stages": stages}
    write_json(folder / CONFIG, json.loads(json.dumps(tree | {"animation": settings}, default=str)))
    card = shipped(Path("assets/MODEL_CARD.md"))
    write_text(folder / "README.md", _CARD + (card.read_text() if card.is_file() else "# MODA\n"))
    return folder


def load_pretrained(name: Path | str, *, revision: str | None = None, download: bool = False) -> AnimationConfig:
    """The configuration of a folder that `save_pretrained` wrote, or of a repository on the Hugging Face Hub.

    name: a folder, or OWNER/NAME. download: fetch what the cache has not; else nothing leaves this machine.
    Raises `CheckpointError` for what is no such folder, `ConfigError` if it cannot be had.
    """
    folder = Path(name) if Path(name).is_dir() else _cached(str(name), revision, download)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} has no {CONFIG}, so it is no folder of `save_pretrained`")
    tree = read_json(folder / CONFIG, error=CheckpointError)
    stages, settings = tree.get("stages"), tree.get("animation")
    if tree.get("library_name") != LIBRARY or not isinstance(stages, dict) or not isinstance(settings, dict):
        raise CheckpointError(f"{folder / CONFIG} is of no model of this project")
    if tree.get("format") != FORMAT:
        raise CheckpointError(f"{folder / CONFIG} is of format {tree.get('format')!r}, wanted {FORMAT}; update moda")
    files = {}
    for stage, entry in stages.items():
        file = entry.get("file") if isinstance(entry, dict) else None
        if stage not in CheckpointPaths.model_fields or not isinstance(file, str) or Path(file).name != file:
            raise CheckpointError(f"{folder / CONFIG} names {file!r} for the stage '{stage}', wanted a file beside it")
        files[stage] = str(folder / file)
    return parse(AnimationConfig, {**settings, "checkpoints": files}, source=str(folder / CONFIG))


def push_to_hub(config: AnimationConfig, repository: str, *, private: bool = False, token: str | None = None) -> str:
    """Publish the networks of a configuration as OWNER/NAME on the Hugging Face Hub; returns the commit's address.

    token: None = the one that `hf auth login` stored. Raises `ConfigError` where that fails.
    """
    hub = _hub()
    with scratch_folder() as folder:
        save_pretrained(folder / "model", config)
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repository, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repository, folder_path=folder / "model"))
        except Exception as error:  # of the network, the account and the name: a dozen kinds
            raise ConfigError(f"cannot publish {repository}: {type(error).__name__}: {error}") from error
        finally:
            shutil.rmtree(folder / "model", ignore_errors=True)


def _cached(name: str, revision: str | None, download: bool) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(f"no such folder: {name}; a repository is named OWNER/NAME")
    hub = _hub()
    patterns = ["config.json", f"*{SUFFIX}", "README.md"]
    try:
        found = hub.snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=not download)
    except Exception as error:  # as above
        advice = "" if download else "; download=True fetches it"
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot have {name}: {type(error).__name__}: {reason}{advice}") from error
    return Path(found)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError(f"huggingface_hub is not installed ({error}); pip install 'moda[hub]'") from error
    return huggingface_hub
