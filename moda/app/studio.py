"""The jobs of a page: one voice and one portrait each, checked against limits, made, and cleared away."""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from moda.animation import InferenceConfig
from moda.app.limits import Limits
from moda.app.owners import Owners
from moda.config import merge, parse, to_dict
from moda.errors import MediaError, ModaError
from moda.jobs.job import Job
from moda.jobs.making import Models, Timings, make_video, provenance_of
from moda.media.audio import read_audio
from moda.printing import printable
from moda.representation import SAMPLE_RATE
from moda.streaming.frames import FrameStream

log = logging.getLogger(__name__)

DEFECT = "this is a defect of the program; its log says more"
_WORDS = {"reading": "Reading the voice and the portrait", "loading": "Loading", "motion": "Making the motion"}
_ROUND_SECONDS = 0.2
"""Progress is told so often at most."""
_ESTIMATED_FROM_FRAMES = 24
"""Frames come in batches: the first ones say nothing of the rate."""


@dataclass(frozen=True)
class Order:
    """What somebody asks for. changes: keys of the configuration and their values, as in YAML."""

    voice: Path
    portrait: Path
    changes: Mapping[str, Any]
    seed: int
    face: int
    consent: str | None


class Step(NamedTuple):
    """How far a job is."""

    state: Literal["working", "done", "failed"]
    text: str
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    remarks: tuple[str, ...] = ()
    """What had to be assumed of the portrait or the voice."""


class Product(NamedTuple):
    """What a job made."""

    video: Path
    motion: Path


class _Left(Exception):
    """Nobody waits for the job any more."""


class Studio:
    """Makes videos with networks that are loaded once. Safe for several threads."""

    def __init__(self, config: InferenceConfig, device: torch.device, limits: Limits, owners: Owners) -> None:
        self.config, self.limits, self.owners = config, limits, owners
        self._models = Models(config, device)
        self._models.animator(with_motion=True)
        self._places = threading.BoundedSemaphore(limits.at_once)

    def make(self, order: Order, owner: str) -> Generator[Step | Product]:
        """Yield how far the job is, then what it made. Closing the generator ends the job.

        Raises `ModaError` for what cannot be used; messages name files as their owner does.
        """
        self.clear()
        news: queue.SimpleQueue[Step | Product | BaseException] = queue.SimpleQueue()
        left = threading.Event()
        worker = threading.Thread(target=self._work, args=(order, owner, news, left), name="moda job", daemon=True)
        worker.start()
        try:
            while True:
                item = news.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, Step) and item.state == "done":
                    return
        finally:
            left.set()
            worker.join()

    @contextmanager
    def stream(self, portrait: Path, seed: int) -> Iterator[FrameStream]:
        """A stream of frames of this portrait, for sound that arrives; raises `ModaError`."""
        names = {str(portrait): portrait.name}
        with self._places:
            try:
                models = self._models.under(self.config.model_copy(update={"framing": "crop"}))
                animator, scene = models.animator(with_motion=True), models.scene(portrait, 1)
                with animator.open_stream(scene.portrait, seed) as stream:
                    yield stream
            except ModaError as error:
                raise ModaError(_as_named(str(error), names)) from error

    def clear(self) -> None:
        """Remove what is older than `Limits.keep_minutes`, with its folder."""
        oldest = time.time() - 60 * self.limits.keep_minutes
        for folder in self.owners.private():
            with contextlib.suppress(OSError):
                if not any(path.stat().st_mtime > oldest for path in (folder, *folder.iterdir())):
                    shutil.rmtree(folder, ignore_errors=True)
        self.owners.forget()

    def _work(self, order: Order, owner: str, news: queue.SimpleQueue, left: threading.Event) -> None:
        names = {str(path): path.name for path in (order.voice, order.portrait)}
        try:
            with self._places, _remarks(names) as remarks:
                self._make(order, owner, _News(news, left), remarks)
        except _Left:
            news.put(Step("done", "Stopped"))
        except (ModaError, OSError) as error:
            text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            news.put(ModaError(_as_named(text, names)))
        except Exception:
            log.exception("a defect of this program, please report it")
            news.put(ModaError(DEFECT))

    def _make(self, order: Order, owner: str, news: _News, remarks: list[str]) -> None:
        config = parse(InferenceConfig, merge(to_dict(self.config), dict(order.changes)), source="the settings")
        folder = self.owners.root / secrets.token_urlsafe(24)
        folder.mkdir(mode=0o700)
        self.owners.grant(folder / "video", owner)
        try:
            name = order.voice.stem[:60] or "video"
            product = Product(folder / f"{name}_{order.seed}.mp4", folder / f"{name}_{order.seed}.npz")
            job = Job(
                order.voice, order.portrait, product.video, order.seed, order.face,
                save_motion=product.motion, consent=order.consent or None,
            )  # fmt: skip
            job.check()
            self._check_length(job.audio)
            timings = _Stages(news)
            made = make_video(job, self._models.under(config), timings, provenance_of(job, config), news.watch)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        seconds = sum(timings.seconds.values())
        text = f"{made.seconds:.1f} s of video, {made.size[0]}x{made.size[1]} px, made in {seconds:.1f} s"
        news.tell(product)
        news.tell(Step("done", text, made.frames, made.frames, 0.0, tuple(remarks)))

    def _check_length(self, voice: Path) -> None:
        limit = self.limits.seconds
        if len(read_audio(voice, 0, (limit + 1) * SAMPLE_RATE)) > limit * SAMPLE_RATE:
            raise MediaError(f"the voice lasts more than {limit} s, which is the limit here: {voice}; cut it")


class _News:
    """Tells how far a job is, and ends it when nobody listens."""

    def __init__(self, told: queue.SimpleQueue, left: threading.Event) -> None:
        self._told, self._left = told, left

    def tell(self, item: Step | Product) -> None:
        if self._left.is_set():
            raise _Left
        self._told.put(item)

    def watch(self, frames: Iterator[np.ndarray], count: int) -> Generator[np.ndarray]:
        """Pass frames on."""
        begun = last = time.monotonic()
        for done, frame in enumerate(frames):
            now = time.monotonic()
            if done and now - last > _ROUND_SECONDS:
                last, seconds_left = now, (now - begun) / done * (count - done)
                text = f"Rendering: {done} of {count} frames"
                if done < _ESTIMATED_FROM_FRAMES:
                    self.tell(Step("working", text, done, count))
                else:
                    text += f", {_duration(seconds_left)} left"
                    self.tell(Step("working", text, done, count, seconds_left))
            elif self._left.is_set():
                raise _Left
            yield frame


class _Stages(Timings):
    """Timings that tell which stage begins."""

    def __init__(self, news: _News) -> None:
        super().__init__()
        self._news = news

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        if stage in _WORDS:
            self._news.tell(Step("working", _WORDS[stage]))
        with super().measure(stage):
            yield


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _as_named(text: str, names: Mapping[str, str]) -> str:
    """A message with files called as their owner calls them, not by their places here."""
    for path, name in names.items():
        text = text.replace(path, name)
    return printable(" ".join(text.split()))


@contextmanager
def _remarks(names: Mapping[str, str]) -> Iterator[list[str]]:
    """What is warned of in the job of this thread, while the block runs."""
    said: list[str] = []
    here = threading.get_ident()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                said.append(_as_named(record.getMessage(), names))

    handler, logger = Handler(logging.WARNING), logging.getLogger("moda")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
