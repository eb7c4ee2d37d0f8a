"""The training runs of an ablation: all checked before the first one, then trained one by one."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from moda import checkpoint
from moda.config import parse
from moda.errors import ModaError
from moda.evaluation.ablation.plan import AblationConfig, TrainRun, Trial
from moda.locations import find_checkpoint
from moda.stages.registry import build_stage, find_sections
from moda.training.config import TrainConfig
from moda.training.trainer import Trainer

T = TypeVar("T")
Log = Callable[[str], None]
Train = Callable[[TrainConfig, str], int]
"""Trains by a config, which the second argument names in messages; returns an exit code, 0 or of an interruption."""
Failures = dict[Path, str]
"""Why a run did not end, by its output folder."""


def check_runs(config: AblationConfig, trials: Sequence[Trial]) -> None:
    """Check all planned runs before anything is trained.

    Every variant's stages are built and open their data, runs that exist have the same settings, renderers render at
    the animation's size, and checkpoints that are not trained here can be read. Raises `ModaError` naming the variant.
    """
    checked: set[object] = set()
    for trial in trials:
        try:
            for run in trial.runs:
                kind = (trial.variant, run.stage)
                if kind not in checked or run.last.exists():  # seeds differ in nothing else
                    with without_log():
                        open_run(run).check()
                checked.add(kind)
            _check_animation(config, trial, checked)
        except ModaError as error:
            raise type(error)(f"variant '{trial.variant}': {error}") from error


def _check_animation(config: AblationConfig, trial: Trial, checked: set[object]) -> None:
    animation = trial.animation(config.animation)
    renderer = trial.uses.get("renderer")
    if renderer is not None:
        tree, source = renderer.settings.network, str(renderer.config)
        section = parse(find_sections("renderer").network, tree, source=source, section="network")
        section.check_size(animation.size)
    for stage, path in animation.named().items():
        if stage not in trial.uses and path not in checked:
            checkpoint.load(find_checkpoint(path), stage=stage)
            checked.add(path)


def train_runs(runs: Sequence[TrainRun], train: Train, log: Log) -> tuple[Failures, int]:
    """Train every run, or continue it; a failure is recorded and the other runs continue.

    Returns the failures, and 0 or the exit code of an interruption, after which nothing more was trained.
    """
    failures: Failures = {}
    for number, run in enumerate(runs, start=1):
        log(f"run {number} of {len(runs)}: {run.output}")
        code, why = attempt(lambda run=run: train(run.settings, str(run.config)))  # type: ignore[misc]
        if why is not None:
            failures[run.output] = why
            log(f"run {number} of {len(runs)} failed: {why}")
        elif code:
            return failures, code
    return failures, 0


def attempt(work: Callable[[], T]) -> tuple[T | None, str | None]:
    """The result of `work`, or in one line why it failed; for a defect of this program the traceback is printed."""
    try:
        return work(), None
    except ModaError as error:
        return None, " ".join(str(error).split())
    except Exception as error:
        traceback.print_exc()
        return None, f"{type(error).__name__}: {' '.join(str(error).split())} (a defect of this program)"


def unfinished(runs: Iterable[TrainRun]) -> Failures:
    """Runs that were not trained to their end, with the step they have reached."""
    found: Failures = {}
    for run in runs:
        steps, done = run.settings.trainer.steps, step_of(run)
        if done < steps:
            found[run.output] = f"not trained to its end: step {done} of {steps}"
    return found


def step_of(run: TrainRun) -> int:
    """The step that a run has reached; 0 where there is none."""
    return int(checkpoint.load(run.last, stage=run.stage).info["step"]) if run.last.exists() else 0


def open_run(run: TrainRun) -> Trainer:
    """The trainer of a run; nothing is written yet."""
    return Trainer(run.settings, build_stage(run.settings, source=str(run.config)))


@contextmanager
def without_log() -> Iterator[None]:
    """Suppress the lines that a run logs at its start."""
    log = logging.getLogger("moda")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
