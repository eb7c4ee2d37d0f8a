"""A video is made of a job: read, animate, encode, and how long each took. Every way to ask for a video ends here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from moda import controls
from moda.animation import InferenceConfig
from moda.errors import DataError
from moda.exchange.sources import read_motion
from moda.exchange.table import Table
from moda.expressions import express
from moda.file_hash import file_hash
from moda.files import scratch_folder
from moda.imaging.framing import FullFraming, Still, motion_reach, still_picture
from moda.imaging.visible_mark import VisibleMark
from moda.jobs.job import Job
from moda.media.audio import read_audio
from moda.media.picture import read_picture
from moda.media.tempo import write_at_tempo
from moda.media.video import VideoWriter
from moda.pipeline import Animator, fit_motion
from moda.provenance import made_by, record_of, tags
from moda.representation import PARTS, SAMPLE_RATE, Motion, Portrait
from moda.signing import sign_video
from moda.tracking.portrait import make_reference

if TYPE_CHECKING:
    import torch

MAX_UNNOTED_ENLARGEMENT = 1.3
"""The square may be enlarged so many times in the whole picture before a larger --size is suggested."""

Watch = Callable[[Iterator[np.ndarray], int], Generator[np.ndarray]]
"""Passes the frames of a video on and sees how far it is: given the frames and their number."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """What the video shows: a portrait, and with framing "full" the still picture around it."""

    portrait: Portrait
    still: Still | None

    def size(self) -> tuple[int, int]:
        """Width and height of the video."""
        side = len(self.portrait.image)
        return (side, side) if self.still is None else self.still.size


class Timings:
    """Seconds spent by stage, in the order of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time the block takes to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def report(self, frames: int, fps: float) -> str:
        """Where the time went, and how fast that is."""
        total = sum(self.seconds.values())
        parts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        rendering = self.seconds["rendering+encoding"]
        return (
            f"{frames} frames in {total:.1f} s: {parts}\n"
            f"{frames / total:.1f} frames/s in all ({frames / fps / total:.2f} x real time), "
            f"{frames / rendering:.1f} frames/s rendering and encoding"
        )


class Models:
    """The networks of a configuration on a device, loaded when first asked for, and the last scene."""

    def __init__(self, config: InferenceConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self._animators: dict[bool, Animator] = {}
        self._scene: tuple[object, Scene] | None = None
        self._sources: dict[Path, Table] = {}

    def animator(self, *, with_motion: bool) -> Animator:
        """The chain of networks; with_motion: with stage 1."""
        if with_motion not in self._animators and not self._animators.get(True):
            self._animators[with_motion] = Animator.from_config(self.config, self.device, with_motion=with_motion)
        return self._animators.get(True) or self._animators[with_motion]

    def under(self, config: InferenceConfig) -> Models:
        """The same networks for jobs of other settings; raises `ConfigError` for settings of other networks."""
        models = Models(config, self.device)
        models._animators = {motion: animator.with_config(config) for motion, animator in self._animators.items()}
        return models

    def scene(self, picture: Path, face: int) -> Scene:
        """The scene of a picture; that of the last one is kept."""
        state = picture.stat()
        key = (picture, state.st_mtime_ns, state.st_size, face)
        if self._scene is None or self._scene[0] != key:
            self._scene = (key, _scene(picture, face, self.config))
        return self._scene[1]

    def controlled(self, motion: Motion, portrait: Portrait) -> Motion:
        """The motion with the changes that the configuration asks for; a source of a part is read once."""
        wanted = self.config.controls
        for part, path in wanted.take.items():
            if path not in self._sources:
                self._sources[path] = read_motion(path)
            source = self._sources[path]
            if part not in source.parts:
                raise DataError(f"{path} holds no {part}, it holds {', '.join(sorted(source.parts)) or 'nothing'}")
            motion = controls.take(motion, part, source.motion, portrait.subject)
        motion = controls.offset(controls.freeze(motion, wanted.freeze), wanted.offset)
        if wanted.expression:
            motion = express(motion, wanted.expression, portrait.subject)
        return motion if wanted.blinks is None else controls.blinking(motion, wanted.blinks, portrait.subject)


class Target(NamedTuple):
    """A video to write: its file, its audio, and what it states of its making."""

    path: Path
    audio: Path
    record: dict[str, Any]
    mark: str | None
    """A text in the corner of every frame."""


class Made(NamedTuple):
    """A video that was made: frames, seconds of its audio, width and height."""

    frames: int
    seconds: float
    size: tuple[int, int]


def unwatched(frames: Iterator[np.ndarray], count: int) -> Generator[np.ndarray]:
    """Pass frames on, unseen."""
    yield from frames


def provenance_of(job: Job, config: InferenceConfig) -> dict[str, Any]:
    """What the video of a job states of its making (`moda.provenance`)."""
    more = {} if job.motion is None else {"motion": job.motion}
    more |= {f"{part} taken": path for part, path in config.controls.take.items()}
    return record_of(
        config,
        config.networks(with_motion=job.motion is None),
        seed=job.seed if job.motion is None else None,
        inputs={"audio": job.audio, "picture": job.picture, **more},
        choices={"face": job.face, "signed by": None if job.sign is None else file_hash(job.sign[0])},
        consent=job.consent,
    )


def make_unless_made(job: Job, models: Models, watch: Watch = unwatched) -> bool:
    """Make the video of a job unless it stands there, of these inputs and settings; returns whether it was made."""
    record = provenance_of(job, models.config)
    if made_by(job.output, record) and (job.save_motion is None or job.save_motion.is_file()):
        return False
    if job.output.exists():
        log.info("%s: made of other inputs or settings, or not by this version: making it again", job.output)
    make_video(job, models, Timings(), record, watch)
    return True


def make_video(job: Job, models: Models, timings: Timings, record: dict[str, Any], watch: Watch = unwatched) -> Made:
    """Make the video of a job, which states `record`."""
    speed = models.config.controls.speed
    if speed == 1:
        return _make_video(job, job.audio, models, timings, record, watch)
    with scratch_folder() as folder:
        write_at_tempo(job.audio, folder / "voice.wav", speed)
        return _make_video(job, folder / "voice.wav", models, timings, record, watch)


def _make_video(job: Job, audio: Path, models: Models, timings: Timings, record: dict[str, Any], watch: Watch) -> Made:
    """The same, with the audio at the speed of the video."""
    config = models.config
    with ThreadPoolExecutor(1) as beside:  # what a clip of some seconds would wait for
        loaded = beside.submit(models.animator, with_motion=job.motion is None)
        with timings.measure("reading"):
            wave = read_audio(audio)
            motion = None
            if job.motion is not None:
                motion = fit_motion(_given(job.motion, len(wave) / SAMPLE_RATE), config.fps, len(wave))
            scene = models.scene(job.picture, job.face)
        with timings.measure("loading"):
            animator = loaded.result()
        opened = beside.submit(animator.open_portrait, scene.portrait)
        if motion is None:
            with timings.measure("motion"):
                motion = animator.motion(wave, scene.portrait, job.seed)
    with timings.measure("controls"):
        motion = models.controlled(motion, scene.portrait)
    if job.save_motion is not None:
        motion.save(job.save_motion)
    with timings.measure("rendering+encoding"):
        target = Target(job.output, audio, record, config.visible_mark)
        frames = animator.frames(motion, scene.portrait, opened.result())
        if job.sign is None:
            _encode(frames, animator, motion, scene, target, watch)
        else:
            with scratch_folder() as folder:
                unsigned = target._replace(path=folder / "unsigned.mp4")
                _encode(frames, animator, motion, scene, unsigned, watch)
                sign_video(unsigned.path, job.output, *job.sign)
    return Made(len(motion), len(wave) / SAMPLE_RATE, scene.size())


def _given(path: Path, seconds: float) -> Motion:
    """The whole motion in a file, for audio that lasts so long; raises `DataError` for a file with a part of one."""
    if path.suffix.lower() != ".csv":
        return Motion.load(path, seconds=seconds)
    table = read_motion(path)
    missing = [part for part in PARTS if part not in table.parts]
    if missing:
        raise DataError(f"{path} holds no {', no '.join(missing)}; --take takes single parts of a table")
    return table.motion


def _scene(picture: Path, face: int, config: InferenceConfig) -> Scene:
    """Read the picture; say what becomes of it where that is not what a reader would expect."""
    image, full = read_picture(picture), config.framing == "full"
    reference = make_reference(
        image, config.size, number=face, over_border=full, accept=config.accept_face, source=picture
    )
    image = reference.picture  # upright
    if not full:
        return Scene(reference.portrait, None)
    still = still_picture(image, reference.box, config.long_side)
    width, height = still.size
    if max(width, height) < max(image.shape[:2]) - 1:
        log.info("%s: %dx%d scaled to %dx%d (--long-side)", picture, *image.shape[1::-1], width, height)
    if still.square.width > MAX_UNNOTED_ENLARGEMENT * config.size:
        log.info(
            "the animated square is %.0f px wide in the video and rendered at %d: --size %d is sharper, and slower",
            still.square.width, config.size, 2 * round(still.square.width / 2),
        )  # fmt: skip
    return Scene(reference.portrait, still)


def _encode(
    frames: Iterator[np.ndarray], animator: Animator, motion: Motion, scene: Scene, target: Target, watch: Watch
) -> None:
    config, portrait, still = animator.config, scene.portrait, scene.still
    metadata = tags(target.record)
    if still is not None:
        reach = motion_reach(animator.landmark_parts(motion, portrait), portrait)
        frames = map(FullFraming(still, portrait.person, reach), frames)
        metadata |= still.square.tag(still.size)
    if target.mark is not None:
        frames = map(VisibleMark(target.mark, scene.size()), frames)
    with (
        closing(watch(frames, len(motion))) as watched,
        VideoWriter(
            target.path, scene.size(), config.fps, target.audio,
            crf=config.crf, preset=config.preset, metadata=metadata,
        ) as writer,
    ):  # fmt: skip
        for frame in watched:
            writer.write(frame)
