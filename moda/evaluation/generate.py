"""Generates the videos of a test list by a set of checkpoints, for eval to score.

FOLDER/<clip>.mp4, or FOLDER/seed_<n>/<clip>.mp4 for several seeds; generation.json beside the videos records of
each what it was made from (stamp), which square of the true picture it shows, and how long it took.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import moda
from moda.config import to_dict
from moda.device import choose_device, describe_device
from moda.errors import CheckpointError, ConfigError, MediaError
from moda.evaluation.config import EvaluationConfig
from moda.evaluation.folders import GENERATION_RECORD, audio_file, find_true
from moda.evaluation.tracking import content_hash
from moda.files import clear_litter, make_folder, write_json
from moda.imaging.crop import Box, square_box
from moda.locations import find_checkpoint, locate
from moda.media.audio import read_audio
from moda.media.picture import read_picture
from moda.media.video import VideoWriter, probe
from moda.pipeline import AnimationConfig, Animator
from moda.reading import read_json
from moda.representation import SAMPLE_RATE, Portrait
from moda.tracking.face import FaceTracker
from moda.tracking.portrait import make_portrait

FORMAT = 1
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CheckpointSet:
    """A row of ours: its name and how it animates; people: how clips of these identities are animated instead."""

    name: str
    animation: AnimationConfig
    people: Mapping[str, AnimationConfig] = field(default_factory=dict)

    def of(self, identity: str | None) -> AnimationConfig:
        """How a clip of this person is animated."""
        return self.animation if identity is None else self.people.get(identity, self.animation)


@dataclass(frozen=True)
class Drive:
    """Audio and portrait that a clip is generated from."""

    wave: np.ndarray
    audio: Path
    portrait: Portrait
    shown: Box | None
    """The square of the true picture that the portrait is; None where it is another picture."""


def generate_set(
    made_by: CheckpointSet,
    clips: Mapping[str, Path],
    folder: Path,
    device: torch.device,
    *,
    identities: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0,),
    reference: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Generate every clip with every seed, except those that exist with the same stamp.

    clips: true videos by clip; the audio of each drives it, from its first frame or from `reference`, a picture.
    identities: who is in them, where that is known; raises `ConfigError` if the set names people who are in none.
    A clip that cannot be made (no audio, no face) is recorded with the reason and the rest continues. Raises
    `CheckpointError` for checkpoints that cannot be used and `OutputError` for a place that cannot be written.
    """
    folders = {seed: folder if len(seeds) == 1 else folder / f"seed_{seed}" for seed in seeds}
    records = {seed: _Record(path, made_by, device) for seed, path in folders.items()}
    identities = identities or {}
    absent = sorted(set(made_by.people) - {who for clip, who in identities.items() if clip in clips})
    if absent:
        raise ConfigError(f"the set '{made_by.name}' names people of whom there is no clip: {', '.join(absent)}")
    common: dict[str | None, tuple[object, ...]] = {}
    animator: Animator | None = None
    for number, (clip, video) in enumerate(clips.items(), start=1):
        who = identities.get(clip) if identities.get(clip) in made_by.people else None
        animation = made_by.of(who)
        if who not in common:
            common[who] = _common_stamp(animation, reference)
        stamps = {seed: _stamp(common[who], video, seed) for seed in seeds}
        wanted = [seed for seed in seeds if not records[seed].has(clip, stamps[seed])]
        if wanted:
            if animator is None or animator.config != animation:
                animator = Animator.from_config(animation, device)
            start = time.perf_counter()
            try:
                drive = drive_of(video, reference, animation.size)
            except MediaError as error:
                for seed in wanted:
                    records[seed].fail(clip, str(error))
                wanted = []
            prepared = time.perf_counter() - start
        for seed in wanted:
            assert animator is not None
            start = time.perf_counter()
            _animate(animator, drive, folders[seed] / f"{clip}.mp4", seed)
            seconds = prepared + time.perf_counter() - start
            records[seed].add(clip, stamps[seed], drive.shown, seconds, len(drive.wave) / SAMPLE_RATE)
        if progress is not None:
            progress(number, len(clips), clip)


def generate_sets(
    config: EvaluationConfig,
    animations: Mapping[str, AnimationConfig],
    progress: Callable[[str, int, int, str], None],
    log: Callable[[str], None],
) -> dict[str, Path]:
    """Generate the videos of all sets of an evaluation; returns their folders by name."""
    device = choose_device(config.device)
    log(f"device: {describe_device(device)}")
    true = find_true(locate(config.truth), config.split)
    clips = {clip: paths[0] for clip, paths in true.videos.items() if len(paths) == 1}
    folders = {name: config.output / "generated" / name for name in animations}
    for name, animation in animations.items():
        generate_set(
            CheckpointSet(name, animation, config.people(name)),
            clips,
            folders[name],
            device,
            identities=true.identities,
            seeds=config.seeds,
            reference=config.reference,
            progress=partial(progress, f"generating {name}"),
        )
    return folders


class _Record:
    """generation.json of one folder, written after every clip."""

    def __init__(self, folder: Path, made_by: CheckpointSet, device: torch.device) -> None:
        self.folder, self.path = folder, folder / GENERATION_RECORD
        make_folder(folder)
        clear_litter(folder)
        old: dict[str, Any] = read_json(self.path) if self.path.is_file() else {}
        self.clips: dict[str, Any] = dict(old.get("clips") or {})
        self.failed: dict[str, str] = {}
        self.facts = {
            "format": FORMAT,
            "moda": moda.__version__,
            "device": describe_device(device),
            "animation": to_dict(made_by.animation),
            **({"people": {who: to_dict(own) for who, own in made_by.people.items()}} if made_by.people else {}),
        }

    def has(self, clip: str, stamp: str) -> bool:
        """The clip exists, made from the very same."""
        return self.clips.get(clip, {}).get("stamp") == stamp and (self.folder / f"{clip}.mp4").is_file()

    def add(self, clip: str, stamp: str, shown: Box | None, seconds: float, length: float) -> None:
        """Record a clip that was made. seconds: of work; length: of the audio, seconds."""
        self.clips[clip] = {
            "stamp": stamp,
            "shown": None if shown is None else list(shown),
            "seconds": round(seconds, 3),
            "real_time_factor": round(seconds / length, 4),
        }
        self._write()

    def fail(self, clip: str, why: str) -> None:
        """Record a clip that could not be made; an older video of it is not of this test list, and is removed."""
        self.failed[clip] = " ".join(why.split())
        if self.clips.pop(clip, None) is not None:  # made here, by the record
            (self.folder / f"{clip}.mp4").unlink(missing_ok=True)
        self._write()

    def _write(self) -> None:
        write_json(self.path, {**self.facts, "clips": self.clips, "failed": self.failed})


def _common_stamp(animation: AnimationConfig, reference: Path | None) -> tuple[object, ...]:
    """All that the clips of a set depend on: settings, weights, the reference and this version."""
    digests = []
    for path in animation.named().values():
        try:
            digests.append(content_hash(find_checkpoint(path)))
        except OSError as error:
            raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    settings = {name: value for name, value in to_dict(animation).items() if name != "checkpoints"}
    try:
        picture = None if reference is None else content_hash(reference)
    except OSError as error:
        raise ConfigError(f"cannot read the reference picture {reference}: {error.strerror or error}") from error
    return moda.__version__, FORMAT, sorted(settings.items(), key=str), digests, picture


def _stamp(common: tuple[object, ...], video: Path, seed: int) -> str:
    audio = audio_file(video)
    contents = [content_hash(path) for path in dict.fromkeys((video, audio))]
    return hashlib.sha256(repr((common, contents, seed)).encode()).hexdigest()[:24]


def drive_of(video: Path, reference: Path | None, size: int) -> Drive:
    """Audio and portrait of a clip; raises `MediaError` if it has no audio or no face to animate."""
    audio = audio_file(video)
    if audio == video and not probe(video).has_audio:
        raise MediaError("the true video has no audio")
    wave = read_audio(audio)
    source = reference or video
    image = read_picture(source)
    with FaceTracker(video=False, max_faces=8) as tracker:
        faces = tracker.faces(image)
    if not faces:  # it searches at other scales, or raises with the reason
        return Drive(wave, audio, make_portrait(image, size, source=source), None)
    portrait = make_portrait(image, size, face=faces[0], source=source)
    shown = square_box(faces[0], image.shape[1], image.shape[0]) if reference is None else None
    return Drive(wave, audio, portrait, shown)


def _animate(animator: Animator, drive: Drive, path: Path, seed: int) -> None:
    config = animator.config
    motion = animator.motion(drive.wave, drive.portrait, seed)
    with VideoWriter(path, config.size, config.fps, drive.audio, crf=config.crf, preset=config.preset) as writer:
        for frame in animator.frames(motion, drive.portrait):
            writer.write(frame)
