"""The clip store: prepared clips on disk, format version 1.

    STORE/store.json            {"format": 1, "fps": 25, "size": 512, "sample_rate": 16000}
    STORE/clips/<id>/video.mp4  size x size, 25 fps, short groups of pictures, for random access
                     audio.wav  16 kHz mono, `samples_at(frames)` samples; absent if the source is silent
                     track.npz  landmarks (T, 478, 3) pixels of the square frame, tracked (T,) bool
                     motion.npz rotation (T, 3), translation (T, 3), scale (T,), canonical (T, 478, 3),
                                subject (478, 3), torso (T, 18, 3)
                     clip.json  who and what, written last: a folder without it is not a clip
    STORE/splits/{train,val,test}.txt  clip ids, one a line; no identity is in two of them

Frame `t` is the picture at `t / 25` seconds in all of these.
"""

from __future__ import annotations

import json
import os
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from moda.errors import DataError, OutputError
from moda.media.audio import read_audio
from moda.representation import FPS, SAMPLE_RATE, HeadPose

FORMAT = 1
SPLITS = ("train", "val", "test")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; raises `OutputError` if the place cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises `DataError` naming the file if it is missing or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds {type(value).__name__}, wanted a JSON object")
    return value


class Clip:
    """One prepared clip. Arrays are read from disk when first asked for, then kept."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record
        """What clip.json says."""
        try:
            self.id = str(record["id"])
            self.identity = str(record["identity"])
            self.frames = int(record["frames"])
            self.has_audio = bool(record["has_audio"])
            self.quality: dict[str, float] = dict(record.get("quality", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{folder / 'clip.json'} is not a clip's record: {error}; prepare the clip again"
            ) from error

    @staticmethod
    def open(folder: Path) -> Clip:
        """Open a clip folder; raises `DataError` if it is not a finished clip."""
        return Clip(folder, read_json(folder / "clip.json"))

    def __repr__(self) -> str:
        return f"Clip({self.id!r}, identity={self.identity!r}, frames={self.frames})"

    def __len__(self) -> int:
        return self.frames

    @property
    def video_path(self) -> Path:
        """The square 25 fps video."""
        return self.folder / "video.mp4"

    @property
    def audio_path(self) -> Path:
        """The 16 kHz mono sound; exists only if `has_audio`."""
        return self.folder / "audio.wav"

    def _read(self, name: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        path = self.folder / name
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays = {key: data[key] for key in shapes}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot read {path}: {error}; prepare the clip again") from error
        for key, shape in shapes.items():
            if arrays[key].shape != shape:
                raise DataError(
                    f"'{key}' in {path} has shape {arrays[key].shape}, wanted {shape}; prepare the clip again"
                )
        return arrays

    @cached_property
    def _track(self) -> dict[str, np.ndarray]:
        return self._read("track.npz", {"landmarks": (self.frames, 478, 3), "tracked": (self.frames,)})

    @cached_property
    def _motion(self) -> dict[str, np.ndarray]:
        frames = self.frames
        return self._read(
            "motion.npz",
            {
                "rotation": (frames, 3),
                "translation": (frames, 3),
                "scale": (frames,),
                "canonical": (frames, 478, 3),
                "subject": (478, 3),
                "torso": (frames, 18, 3),
            },
        )

    @property
    def landmarks(self) -> np.ndarray:
        """(T, 478, 3) float32, pixels of the square frame; untracked frames are filled from their neighbours."""
        return self._track["landmarks"]

    @property
    def tracked(self) -> np.ndarray:
        """(T,) bool: the face was really found in this frame (or in a gap of a few frames around it)."""
        return self._track["tracked"]

    @property
    def pose(self) -> HeadPose:
        """Smoothed head pose, (T, ...), float64: `canonical` is the exact inverse of the landmarks under it."""
        return HeadPose(self._motion["rotation"], self._motion["translation"], self._motion["scale"])

    @property
    def canonical(self) -> np.ndarray:
        """(T, 478, 3) float32 landmarks without the head's motion."""
        return self._motion["canonical"]

    @property
    def subject(self) -> np.ndarray:
        """(478, 3) float32 canonical mesh of this person at rest."""
        return self._motion["subject"]

    @property
    def torso(self) -> np.ndarray:
        """(T, 18, 3) float32 shoulder points, pixels of the square frame."""
        return self._motion["torso"]

    def audio(self) -> np.ndarray:
        """(N,) float32 sound at 16 kHz; raises `DataError` for a silent clip (see `has_audio`)."""
        if not self.has_audio:
            raise DataError(f"clip {self.id} has no sound ({self.folder})")
        return read_audio(self.audio_path)

    def release(self) -> None:
        """Forget the arrays read so far."""
        self.__dict__.pop("_track", None)
        self.__dict__.pop("_motion", None)


class ClipStore:
    """A folder of prepared clips with their splits."""

    def __init__(self, root: Path, size: int) -> None:
        self.root = root
        self.size = size
        """Side of every video, pixels."""
        self._clips: dict[str, Clip] = {}

    @staticmethod
    def open(root: Path | str) -> ClipStore:
        """Open a store; raises `DataError` if there is none, or it is of another format version or rate."""
        root = Path(root)
        if not (root / "store.json").is_file():
            raise DataError(f"no clip store at {root} (store.json is missing); make one with scripts/prepare.py")
        record = read_json(root / "store.json")
        wanted = {"format": FORMAT, "fps": FPS, "sample_rate": SAMPLE_RATE}
        wrong = [
            f"{key} {record.get(key)!r}, wanted {value}" for key, value in wanted.items() if record.get(key) != value
        ]
        if wrong:
            raise DataError(
                f"clip store {root} does not fit this version: {'; '.join(wrong)}; prepare the videos again"
            )
        size = record.get("size")
        if not isinstance(size, int) or size < 1:
            raise DataError(f"clip store {root} has size {size!r}, wanted a positive whole number")
        return ClipStore(root, size)

    @staticmethod
    def create(root: Path | str, size: int) -> ClipStore:
        """Make an empty store, or open the one that is there; `DataError` if that one has another size."""
        root = Path(root)
        if (root / "store.json").exists():
            store = ClipStore.open(root)
            if store.size != size:
                raise DataError(
                    f"clip store {root} has size {store.size}, wanted {size}: choose another folder or that size"
                )
            return store
        try:
            (root / "clips").mkdir(parents=True, exist_ok=True)
            (root / "splits").mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make a clip store at {root}: {error.strerror or error}") from error
        write_json(root / "store.json", {"format": FORMAT, "fps": FPS, "size": size, "sample_rate": SAMPLE_RATE})
        return ClipStore(root, size)

    @property
    def ids(self) -> list[str]:
        """Ids of the finished clips, sorted."""
        return sorted(path.parent.name for path in (self.root / "clips").glob("[!.]*/clip.json"))

    def clip(self, clip_id: str) -> Clip:
        """One clip by id; the same object each time."""
        if clip_id not in self._clips:
            folder = self.root / "clips" / clip_id
            if not (folder / "clip.json").is_file():
                raise DataError(f"no clip '{clip_id}' in store {self.root}; prepare the videos again")
            self._clips[clip_id] = Clip.open(folder)
        return self._clips[clip_id]

    def split(self, name: str) -> list[Clip]:
        """The clips of 'train', 'val' or 'test', in the list's order; raises `DataError` if there is no list."""
        path = self.root / "splits" / f"{name}.txt"
        try:
            lines = path.read_text(encoding="utf-8").split()
        except OSError as error:
            raise DataError(f"clip store {self.root} has no split '{name}': {error.strerror or error}") from error
        return [self.clip(line) for line in lines]

    def write_splits(self, splits: dict[str, list[str]]) -> None:
        """Write the lists of clip ids; a split that is not named is written empty."""
        (self.root / "splits").mkdir(exist_ok=True)
        for name in SPLITS:
            write_text(
                self.root / "splits" / f"{name}.txt", "".join(f"{clip_id}\n" for clip_id in splits.get(name, []))
            )
