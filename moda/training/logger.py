"""What a run shows: TensorBoard files and other trackers', and progress on the terminal or in the log."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import yaml
from accelerate.tracking import GeneralTracker, MLflowTracker, TrackioTracker, WandBTracker
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from moda.config import Tree, differences
from moda.errors import ConfigError
from moda.representation import FPS

log = logging.getLogger(__name__)


PROJECT = "moda"
"""Name under which trackers other than TensorBoard keep the runs of this framework."""


def require_loggers(names: Iterable[str]) -> None:
    """Raises `ConfigError` for a tracker whose package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"trainer.loggers names {name}, whose package is not installed: "
                f"pip install 'moda[{name}]', or leave it out"
            )


def open_tracker(name: str, folder: Path) -> GeneralTracker:
    """Accelerate's tracker of this name, started; its files go into `folder`, and nothing over a network unless the
    tracker's own environment variables say so.
    """
    run = folder.resolve().name
    if name == "wandb":
        own = {"name": run, "dir": str(folder), "mode": os.environ.get("WANDB_MODE", "offline")}
        tracker = WandBTracker(PROJECT, **own)
    elif name == "trackio":
        os.environ.setdefault("TRACKIO_DIR", str(folder.resolve() / "trackio"))
        tracker = TrackioTracker(PROJECT, name=run, embed=False)
    else:
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        tracker = MLflowTracker(PROJECT, logging_dir=(folder.resolve() / "mlflow").as_uri(), run_name=run)
    try:
        tracker.start()
    except Exception as error:  # each has its own, for a server that does not answer or a folder that is not its own
        raise ConfigError(f"{name} of trainer.loggers does not start: {' '.join(str(error).split())}") from error
    return tracker


class Logger:
    """What a run leaves for people to look at, in its folder; in TensorBoard, points after `step` that a lost run wrote
    are hidden on a resume.
    """

    def __init__(self, folder: Path, step: int, names: Iterable[str] = ("tensorboard",)) -> None:
        """folder: of the run; TensorBoard's files are in tensorboard/ in it. names: as trainer.loggers."""
        names = list(names)
        shown = "tensorboard" in names
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1) if shown else None
        self._trackers = [open_tracker(name, folder) for name in names if name != "tensorboard"]

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Points named group/name."""
        points = {f"{group}/{name}": value for name, value in values.items()}
        if self._writer is not None:
            for name, value in points.items():
                self._writer.add_scalar(name, value, step)
        for tracker in self._trackers:
            tracker.log(points, step=step)

    def settings(self, tree: Tree, step: int) -> None:
        """The run's configuration."""
        if self._writer is not None:
            self._writer.add_text("config", f"```\n{yaml.safe_dump(tree, sort_keys=False)}\n```", step)
        flat = {name: str(value) for name, _, value in differences({}, tree)}
        for tracker in self._trackers:
            tracker.store_init_configuration(flat)

    def pictures(self, pictures: Mapping[str, np.ndarray], step: int) -> None:
        """Pictures (H, W, 3) and videos (T, H, W, 3), uint8 RGB; a video becomes a moving picture.

        Of the other trackers W&B gets the pictures, none the videos: Accelerate's other two take neither.
        """
        for tracker in self._trackers:
            if isinstance(tracker, WandBTracker):
                still = {f"preview/{name}": [picture] for name, picture in pictures.items() if picture.ndim == 3}
                tracker.log_images(still, step=step)
        if self._writer is None:
            return
        for name, picture in pictures.items():
            if picture.ndim == 3:
                self._writer.add_image(f"preview/{name}", picture, step, dataformats="HWC")
            else:
                self._writer.flush()
                image = Summary.Image(
                    height=picture.shape[1],
                    width=picture.shape[2],
                    colorspace=3,
                    encoded_image_string=encode_gif(picture),
                )
                summary = Summary(value=[Summary.Value(tag=f"preview/{name}", image=image)])
                self._writer._get_file_writer().add_summary(summary, step)  # add_video wants moviepy

    def close(self) -> None:
        """Write out what is pending."""
        if self._writer is not None:
            self._writer.close()
        for tracker in self._trackers:
            tracker.finish()


def encode_gif(video: np.ndarray, fps: float = FPS) -> bytes:
    """A looping GIF of a video (T, H, W, 3) uint8."""
    frames = [Image.fromarray(frame) for frame in video]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0)
    return file.getvalue()


class Reporter:
    """Progress with speed and time left: a bar on a terminal, else a log line every so often."""

    def __init__(self, step: int, steps: int, *, quiet: bool = False) -> None:
        """quiet: show nothing (processes besides the main one)."""
        self._steps, self._from, self._quiet = steps, step, quiet
        self._began = time.monotonic()
        self._bar: Bar | None = None
        self._task = TaskID(0)
        if sys.stderr.isatty() and not quiet:
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[losses]}"))
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=steps, completed=step, losses="")
            self._bar.start()

    def advance(self, step: int) -> None:
        """A step is done."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Losses of the last steps."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar:
            self._bar.update(self._task, completed=step, losses=text)
        elif not self._quiet:
            speed = (step - self._from) / max(1e-9, time.monotonic() - self._began)
            left = (self._steps - step) / max(1e-9, speed)
            log.info("step %d/%d  %s  %.2f steps/s  %s left", step, self._steps, text, speed, duration(left))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()


def duration(seconds: float) -> str:
    """Seconds for people: 45 s, 12 min, 3 h 05."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d}"
