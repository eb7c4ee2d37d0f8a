"""The training runs of an ablation: looked at before the first one, trained one by one, and timed."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from moda import checkpoint
from moda.cli.train import train
from moda.config import parse
from moda.errors import ModaError
from moda.evaluation.ablation import AblationConfig, TrainRun, Trial
from moda.locations import find_checkpoint
from moda.stages.registry import build_stage, find_sections
from moda.training.dry_run import measure
from moda.training.trainer import Trainer

T = TypeVar("T")
Say = Callable[[str], None]
Failures = dict[Path, str]
"""Why a run did not end, by its output folder."""


def check_runs(config: AblationConfig, trials: Sequence[Trial]) -> None:
    """Look at all that is planned before anything is trained.

    Every variant's stages are built and open their data, runs that are there are of the same settings, renderers
    render at the animation's size, and checkpoints that are not trained here can be read. Raises `ModaError` naming
    the variant.
    """
    looked_at: set[object] = set()
    for trial in trials:
        try:
            for run in trial.runs:
                kind = (trial.variant, run.stage)
                if kind not in looked_at or run.last.exists():  # seeds differ in nothing else
                    with _quiet():
                        _opened(run).check()
                looked_at.add(kind)
            _check_animation(config, trial, looked_at)
        except ModaError as error:
            raise type(error)(f"variant '{trial.variant}': {error}") from error


def _check_animation(config: AblationConfig, trial: Trial, looked_at: set[object]) -> None:
    animation = trial.animation(config.animation)
    renderer = trial.uses.get("renderer")
    if renderer is not None:
        tree, source = renderer.settings.network, str(renderer.config)
        section = parse(find_sections("renderer").network, tree, source=source, section="network")
        section.check_size(animation.size)
    for stage, path in animation.checkpoints:
        if stage not in trial.uses and path not in looked_at:
            checkpoint.load(find_checkpoint(path), stage=stage)
            looked_at.add(path)


def train_runs(runs: Sequence[TrainRun], say: Say) -> tuple[Failures, int]:
    """Train every run, or go on with it; what fails is noted and the rest goes on.

    Returns what failed, and 0 or the exit code of an interruption, after which nothing more was trained.
    """
    failures: Failures = {}
    for number, run in enumerate(runs, start=1):
        say(f"run {number} of {len(runs)}: {run.output}")
        code, why = attempt(lambda run=run: train(run.settings, str(run.config)))  # type: ignore[misc]
        if why is not None:
            failures[run.output] = why
            say(f"run {number} of {len(runs)} failed: {why}")
        elif code:
            return failures, code
    return failures, 0


def attempt(work: Callable[[], T]) -> tuple[T | None, str | None]:
    """What `work` returns, or in one line why it failed; of a defect of this program the traceback is printed."""
    try:
        return work(), None
    except ModaError as error:
        return None, " ".join(str(error).split())
    except Exception as error:
        traceback.print_exc()
        return None, f"{type(error).__name__}: {' '.join(str(error).split())} (a defect of this program)"


def unfinished(runs: Iterable[TrainRun]) -> Failures:
    """Runs that were not trained to their end, and how far they are."""
    found: Failures = {}
    for run in runs:
        steps, done = run.settings.trainer.steps, step_of(run)
        if done < steps:
            found[run.output] = f"not trained to its end: step {done} of {steps}"
    return found


def step_of(run: TrainRun) -> int:
    """The step that a run is at; 0 where there is none."""
    return int(checkpoint.load(run.last, stage=run.stage).info["step"]) if run.last.exists() else 0


def seconds_left(runs: Sequence[TrainRun], steps: int, say: Say) -> float:
    """Seconds that the runs will take, from `steps` real steps of each kind that is not finished; says them."""
    total = 0.0
    for kind, same in _kinds(runs).items():
        todo = [(run, left) for run in same if (left := run.settings.trainer.steps - step_of(run)) > 0]
        if not todo:
            say(f"  {kind}: {len(same)} runs, finished")
            continue
        with _quiet():
            pace = measure(_opened(todo[0][0]), steps)
        total += sum(pace.of(run.settings.trainer, left) for run, left in todo)
        left = sum(left for _, left in todo)
        say(f"  {kind}: {len(todo)} of {len(same)} runs to do, {left} steps of {pace.step:.2g} s")
    return total


def _kinds(runs: Sequence[TrainRun]) -> dict[str, list[TrainRun]]:
    """Runs by what they are but for the seed."""
    kinds: dict[str, list[TrainRun]] = {}
    for run in runs:
        kinds.setdefault(f"{run.variant}, {run.stage} ({run.config.name})", []).append(run)
    return kinds


def _opened(run: TrainRun) -> Trainer:
    return Trainer(run.settings, build_stage(run.settings, source=str(run.config)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that a run logs at its start."""
    log = logging.getLogger("moda")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
