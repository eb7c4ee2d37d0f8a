"""The trials of an ablation after training: each animates the clips, then all are scored together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from moda.device import choose_device
from moda.evaluation.ablation.plan import AblationConfig, Trial
from moda.evaluation.ablation.runs import Failures, Log, attempt
from moda.evaluation.evaluate import evaluate
from moda.evaluation.folders import find_generated, find_true
from moda.evaluation.generate import CheckpointSet, generate_set
from moda.evaluation.report.records import write_report
from moda.evaluation.results import Evaluation
from moda.locations import locate


def failed_trials(trials: Sequence[Trial], failures: Failures) -> dict[str, str]:
    """Trials that cannot be scored, and why: a run of their own failed, or one that they share with "full"."""
    failed = {}
    for trial in trials:
        whys = [
            f"stage {stage}{'' if run.variant == trial.variant else f' of {run.variant}'}: {failures[run.output]}"
            for stage, run in trial.uses.items()
            if run.output in failures
        ]
        if whys:
            failed[trial.name] = "; ".join(whys)
    return failed


def score_trials(
    config: AblationConfig, trials: Sequence[Trial], failed: dict[str, str], log: Log
) -> tuple[Evaluation | None, dict[str, str]]:
    """Animate every trial that has not failed, then score all of them together, so that true clips are tracked once.

    Returns the evaluation, None if no trial is left, and the failed trials with those that failed here.
    """
    store, device = locate(config.store), choose_device(config.device)
    true = find_true(store, config.split)
    clips = {clip: paths[0] for clip, paths in true.videos.items() if len(paths) == 1}
    failed, folders = dict(failed), {}

    def animate(trial: Trial, folder: Path) -> None:
        made_by = CheckpointSet(trial.name, trial.animation(config.animation))
        generate_set(made_by, clips, folder, device, seeds=config.samples)
        find_generated(folder)  # raises for a folder without a video

    for trial in trials:
        if trial.name in failed:
            continue
        log(f"animating {trial.name}")
        folder = config.output / "generated" / trial.name
        _, why = attempt(partial(animate, trial, folder))
        if why is None:
            folders[trial.name] = folder
        else:
            failed[trial.name] = f"animating: {why}"
    if not folders:
        return None, failed
    evaluation = evaluate(store, folders, config.output, split=config.split, jobs=config.jobs, skip=config.skip)
    write_report(evaluation, config.output)
    for row in evaluation.rows:
        if not row.control and not row.scores:
            failed[row.name] = f"no clip could be scored: {'; '.join(dict.fromkeys(row.refused.values()))}"
    return evaluation, failed
