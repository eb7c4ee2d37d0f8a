"""Prepared clips on disk, in a store (`store.py`) of format version 2.

    STORE/store.json            {"format": 2, "fps": 25, "size": 512, "sample_rate": 16000}
    STORE/clips/<id>/video.mp4  size x size, 25 fps, short groups of pictures, for random access
                     audio.wav  16 kHz mono, in time with the picture; absent if the source is silent
                     *.npy      one array each, see `arrays.ARRAYS`
                     moments.npz  sums for training statistics, see `moments`
                     clip.json  the clip's record, written last: a folder without it is not a clip
    STORE/splits/{train,val,test}.txt  clip ids, one a line; no identity is in two of them
    STORE/index.json            what a run needs to know of every clip before it trains, see `index`

Frame `t` is the picture at `t / 25` seconds in all of these. A clip holds no arrays and no open
files: an array is memory-mapped on access, and only the part in use is read. A store may lie behind an
address, see `remote`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from moda.data.arrays import ARRAYS, map_array, write_array
from moda.data.index import files_digest
from moda.data.moments import FILE as MOMENTS
from moda.data.moments import GROUPS, read_moments, read_rest
from moda.data.remote import RemoteStore
from moda.errors import DataError
from moda.geometry import Rest, motion_targets, to_canonical
from moda.landmarks import EYES, LIPS, N_LANDMARKS
from moda.media.audio import read_audio
from moda.moments import Moments
from moda.reading import read_json
from moda.representation import SAMPLE_RATE, HeadPose, Motion

if TYPE_CHECKING:
    from moda.media.video import VideoReader

__all__ = ["ARRAYS", "Clip", "fetch_all", "write_array"]

MAX_FRAMES = 1 << 31
"""Limit of a clip's frames: more than two years."""


def _checked(path: Path, record: dict[str, Any], name: str, kind: type, default: object = None) -> Any:
    """A value of clip.json; raises `DataError` unless it is of this kind."""
    value = record.get(name, default)
    if type(value) is not kind:
        raise DataError(
            f"{path} is not a clip's record: '{name}' is {str(value)[:60]!r}, wanted {kind.__name__}; "
            "prepare the clip again"
        )
    return value


class Clip:
    """One prepared clip; may be sent to another process."""

    def __init__(
        self,
        folder: Path,
        record: dict[str, Any],
        *,
        whole: bool = True,
        digest: str | None = None,
        remote: RemoteStore | None = None,
    ) -> None:
        """record: the contents of clip.json, or (not `whole`) what the index holds of it.

        digest: of its files, where that is known. remote: where they are fetched from, into `folder`.
        """
        self.folder = folder
        self.remote = remote
        self._record, self._digest = record if whole else None, digest
        path = folder / "clip.json"
        self.id: str = _checked(path, record, "id", str)
        self.identity: str = _checked(path, record, "identity", str)
        self.frames: int = _checked(path, record, "frames", int)
        self.has_audio: bool = _checked(path, record, "has_audio", bool)
        self.quality: dict[str, float] = _checked(path, record, "quality", dict, {})
        self.offset: Any = record.get("offset")
        """What preparation found of the audio's offset, as in clip.json; None for a silent clip."""
        if not 0 < self.frames < MAX_FRAMES:
            raise DataError(f"{path}: 'frames' is {self.frames}, wanted 1 or more; prepare the clip again")

    @property
    def record(self) -> dict[str, Any]:
        """The contents of clip.json."""
        if self._record is None:
            self._record = read_json(self.file("clip.json"))
        return self._record

    @property
    def digest(self) -> str:
        """Of pieces of its files: equal for equal ones, see `index`."""
        if self._digest is None:
            self._digest = files_digest(self.folder)
        return self._digest

    def file(self, name: str) -> Path:
        """One of its files; of a store behind an address it is fetched if need be (`DataError` if that fails)."""
        return self.folder / name if self.remote is None else self.remote.fetch(f"clips/{self.id}/{name}")

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
        return self.file("video.mp4")

    def open_video(self) -> VideoReader:
        """Its frames by number; raises `DataError` if they are fewer than the clip has, or not square."""
        from moda.media.video import VideoReader

        video = VideoReader(self.video_path)
        if len(video) < self.frames or video.width != video.height:
            video.close()
            raise DataError(
                f"{self.video_path} has {len(video)} frames of {video.width}x{video.height}, wanted {self.frames} that "
                "are square; prepare the clip again"
            )
        return video

    @property
    def audio_path(self) -> Path:
        """The 16 kHz mono audio; exists only if `has_audio`."""
        return self.file("audio.wav")

    def _map(self, name: str) -> np.ndarray:
        return map_array(self.file(f"{name}.npy").parent, name, self.frames)

    @property
    def landmarks(self) -> np.ndarray:
        """(T, 478, 3) float32, pixels of the square frame; untracked frames are filled from their neighbours."""
        return self._map("landmarks")

    @property
    def tracked(self) -> np.ndarray:
        """(T,) bool: the face was really found in this frame (or in a gap of a few frames around it)."""
        return self._map("tracked")

    @property
    def pose(self) -> HeadPose:
        """Smoothed head pose, (T, ...), float64."""
        return HeadPose(self._map("rotation"), self._map("translation"), self._map("scale"))

    @property
    def subject(self) -> np.ndarray:
        """(478, 3) float32 canonical mesh of this person at rest."""
        return self._map("subject")

    @property
    def torso(self) -> np.ndarray:
        """(T, 18, 3) float32 shoulder points, pixels of the square frame."""
        return self._map("torso")

    @property
    def canonical(self) -> np.ndarray:
        """(T, 478, 3) float32 landmarks without the head's motion: all of them, computed; see `canonical_at`."""
        return self.canonical_at(slice(None))

    def canonical_at(self, frames: slice | np.ndarray) -> np.ndarray:
        """Canonical landmarks of some frames, (frames, 478, 3) float32."""
        return to_canonical(self.landmarks[frames], self.pose[frames]).astype(np.float32)

    @cached_property
    def rest(self) -> Rest:
        """What the clip's motion is relative to; stored, so that it needs no footage."""
        return read_rest(self.file(MOMENTS).parent)

    def motion(self, start: int = 0, stop: int | None = None, canonical: np.ndarray | None = None) -> Motion:
        """Motion of frames [start, stop), float32: `motion_targets` of the whole clip, of which a part is read.

        canonical: `canonical_at` of these frames, where it is at hand.
        """
        span = slice(start, stop)
        pose = self.pose[span]
        if canonical is None:
            points = [*LIPS, *EYES]
            canonical = np.zeros((len(pose.scale), N_LANDMARKS, 3), np.float32)
            canonical[:, points] = to_canonical(self.landmarks[span][:, points], pose)  # no other is in a motion
        motion = motion_targets(canonical, pose, self.torso[span], self.subject, rest=self.rest)
        lips, eyes, head, torso = (getattr(motion, name).astype(np.float32) for name in GROUPS)
        return Motion(lips, eyes, head, torso)

    def moments(self, groups: Iterable[str]) -> dict[str, Moments]:
        """Sums of "lips", "eyes", "head", "torso", "face" over the clip, and "subject", which counts as one value."""
        names = list(groups)
        found = read_moments(self.file(MOMENTS).parent, [name for name in names if name != "subject"], self.frames)
        return found | ({"subject": Moments.of(self.subject[None])} if "subject" in names else {})

    def _require_sound(self) -> None:
        if not self.has_audio:
            raise DataError(f"clip {self.id} has no audio ({self.folder})")
        if not self.audio_path.is_file():
            raise DataError(f"cannot read {self.audio_path}: no such file; prepare the clip again")

    def audio(self) -> np.ndarray:
        """(N,) float32 audio at 16 kHz; raises `DataError` for a silent clip (see `has_audio`)."""
        self._require_sound()
        return read_audio(self.audio_path)

    def audio_between(self, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop) of the audio, float32; zeros where the clip has none. Reads that part only.

        Raises `DataError` for a silent clip, and an audio recording that cannot be read or is not 16 kHz mono.
        """
        self._require_sound()
        wave = np.zeros(stop - start, np.float32)
        try:
            with soundfile.SoundFile(os.fsencode(self.audio_path)) as file:
                if (file.samplerate, file.channels) != (SAMPLE_RATE, 1):
                    raise DataError(
                        f"{self.audio_path} has {file.channels} channels at {file.samplerate} Hz, wanted 1 at "
                        f"{SAMPLE_RATE}; prepare the clip again"
                    )
                low, high = max(start, 0), min(stop, file.frames)
                if high > low:
                    file.seek(low)
                    wave[low - start : high - start] = file.read(high - low, dtype="float32")
        except (OSError, ValueError, soundfile.LibsndfileError) as error:
            raise DataError(f"cannot read {self.audio_path}: {error}; prepare the clip again") from error
        return wave


def fetch_all(clips: Iterable[Clip], names: Sequence[str]) -> None:
    """Fetch these files of all clips that lie behind an address, many at once: one after the other takes hours."""
    wanted: dict[RemoteStore, list[str]] = {}
    for clip in clips:
        if clip.remote is not None:
            wanted.setdefault(clip.remote, []).extend(f"clips/{clip.id}/{name}" for name in names)
    for remote, files in wanted.items():
        remote.fetch_all(files)
