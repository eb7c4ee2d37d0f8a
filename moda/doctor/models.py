"""The checkpoints of a configuration and the tracker's models: there, whole, and those that ship."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from moda.doctor.findings import Finding
from moda.errors import ModaError

TRACKER_FILES = ("face_landmarker.task", "face_detector_far.tflite", "person_segmenter.tflite", "canonical_face.npz")
_POINTER = b"version https://git-lfs"


def models() -> Iterator[Finding]:
    """The default checkpoints and the tracker's files."""
    try:
        from moda.animation import AnimationConfig
        from moda.checkpoint import load
        from moda.file_hash import file_hash
        from moda.locations import SYNC_NETWORK, find_checkpoint
    except Exception as error:  # whatever is broken above
        yield Finding("checkpoints", f"not looked at: {type(error).__name__}")
        return
    networks = {name: (name, file) for name, file in AnimationConfig().named().items()}
    networks["renderer 512"] = "renderer", AnimationConfig(size=512).named()["renderer"]
    networks["sync"] = "sync", SYNC_NETWORK
    for name, (stage, file) in networks.items():
        try:
            path = find_checkpoint(file)
            if is_pointer(path):
                yield _pointer(name, path)
                continue
            loaded = load(path, stage=stage)
        except ModaError as error:
            cure = "install the package again, or fetch the file from the release"
            yield Finding(f"model {name}", str(file), str(error), cure)
            continue
        step = loaded.info.get("step", "?")
        yield Finding(f"model {name}", f"{path}, step {step}, sha256 {file_hash(path)[:12]}")
    for name in TRACKER_FILES:
        model = Path(str(resources.files("moda") / "package_data" / name))
        if not model.is_file():
            cure = f"{sys.executable} -m pip install --force-reinstall --no-deps ."
            yield Finding("tracker", name, f"there is no {model}", cure)
        elif is_pointer(model):
            yield _pointer("tracker", model)


def is_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS puts in the place of one that was not fetched."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _pointer(name: str, path: Path) -> Finding:
    return Finding(
        f"model {name}", str(path), "it is a pointer of Git LFS, not the file", "git lfs install; git lfs pull"
    )
