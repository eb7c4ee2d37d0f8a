"""The dry run of an ablation: what would be done, and about how long it would take, measured with a few steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from moda.data.clip import Clip
from moda.device import choose_device
from moda.evaluation.ablation.plan import AblationConfig, TrainRun, Trial
from moda.evaluation.ablation.runs import Log, attempt, open_run, step_of, without_log
from moda.evaluation.generate import drive_of
from moda.pipeline import Animator
from moda.representation import FPS, samples_at
from moda.training.dry_run import measure
from moda.training.logger import duration

MEASURED_STEPS = 3
"""Training steps measured for each kind of run."""
MEASURED_FRAMES = 50
"""Frames animated to measure animation."""
SCORING_SECONDS_A_VIDEO_SECOND = 0.8
"""Seconds of one core that a second of video takes to be tracked and scored (benchmarks/evaluate.py)."""


def log_forecast(config: AblationConfig, trials: Sequence[Trial], clips: Sequence[Clip], log: Log) -> None:
    """Log every trial, and the time that training, animating and scoring would take."""
    for trial in trials:
        trained = ", ".join(f"{run.stage} ({run.config.name})" for run in trial.runs) or "nothing"
        changes = "".join(f", {change}" for change in trial.changes)
        log(f"  {trial.name}: trains {trained}{changes}")
    log("training")
    total = training = training_seconds([run for trial in trials for run in trial.runs], log)
    videos = len(trials) * len(config.samples)
    seconds = sum(clip.frames for clip in clips) / FPS
    log(
        f"animating and scoring {len(clips)} clips of the list '{config.split}' ({seconds:.0f} s), {videos} times "
        f"({len(trials)} trials, {len(config.samples)} samples)"
    )
    pace, why = attempt(partial(_animation_pace, config, clips[0]))
    scoring = SCORING_SECONDS_A_VIDEO_SECOND * (videos + 1) * seconds / config.jobs
    total += scoring
    parts = [
        f"training {duration(training)} (from {MEASURED_STEPS} steps of each kind, measured here)",
        f"scoring {duration(scoring)} (estimate: {SCORING_SECONDS_A_VIDEO_SECOND:g} s a second of video and core)",
    ]
    if pace is None:
        parts.append(f"animating not known ({why})")
    else:
        animating = videos * seconds * pace
        total += animating
        parts.append(f"animating {duration(animating)} (from {MEASURED_FRAMES} frames by {config.animation})")
    log(f"about {duration(total)}: {', '.join(parts)}; what exists already is not made again")


def training_seconds(runs: Sequence[TrainRun], log: Log) -> float:
    """Seconds that the runs will take, from real steps of each kind that is not finished; logs them by kind.

    Runs of one kind differ in the seed only.
    """
    kinds: dict[str, list[TrainRun]] = {}
    for run in runs:
        kinds.setdefault(f"{run.variant}, {run.stage} ({run.config.name})", []).append(run)
    total = 0.0
    for kind, same in kinds.items():
        todo = [(run, left) for run in same if (left := run.settings.trainer.steps - step_of(run)) > 0]
        if not todo:
            log(f"  {kind}: {len(same)} runs, finished")
            continue
        with without_log():
            pace = measure(open_run(todo[0][0]), MEASURED_STEPS)
        total += sum(pace.of(run.settings.trainer, left) for run, left in todo)
        left = sum(left for _, left in todo)
        log(f"  {kind}: {len(todo)} of {len(same)} runs to do, {left} steps of {pace.step:.2g} s")
    return total


def _animation_pace(config: AblationConfig, clip: Clip) -> float:
    """Seconds that a second of video takes by the checkpoints of the animation's own file."""
    animation = Trial("", 0, (), {}, tuple(config.set)).animation(config.animation)
    animator = Animator.from_config(animation, choose_device(config.device))
    drive = drive_of(clip.video_path, None, animation.size)
    began = time.perf_counter()
    motion = animator.motion(drive.wave[: samples_at(MEASURED_FRAMES)], drive.portrait)
    frames = sum(1 for _ in animator.frames(motion, drive.portrait))
    return (time.perf_counter() - began) * FPS / frames
