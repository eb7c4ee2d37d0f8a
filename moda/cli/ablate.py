"""`moda ablate`: train variants over several seeds, animate, score, and hold the paper's claims against it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from moda.cli.main import Parser, run, say_on
from moda.locations import command, locate

if TYPE_CHECKING:
    from moda.cli.ablation_runs import Failures
    from moda.data.clip import Clip
    from moda.evaluation.ablation import AblationConfig, Trial
    from moda.evaluation.results import Evaluation

MEASURED_STEPS = 3
"""Steps that a dry run takes of every run."""
MEASURED_FRAMES = 50
"""Frames that it animates."""
SCORING_SECONDS_A_VIDEO_SECOND = 0.8
"""Seconds of one core that a second of video takes to be tracked and scored (benchmarks/evaluate.py)."""
EXIT_INCOMPLETE = 1
"""Exit code when the report is written, but a run failed or some clip could not be scored."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all variants scored, 1 a run failed or some clip could not be scored, 2 a mistake in the call."""
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("ablate"),
        description="Train variants of the stages over several seeds, animate the test clips and score them. Writes "
        "ablation.md and ablation.json beside eval's reports. The same command again goes on where it stopped.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="YAML",
        help="YAML, or a name: ablation/paper",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one of its values")
    parser.add_argument(
        "--variants", nargs="+", action="extend", default=[], metavar="NAME", help="only these, and full (default: all)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check and print the plan, measure a few steps, write nothing"
    )
    parser.add_argument("--report", action="store_true", help="train no further: score and report what has finished")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    from moda.config import apply_overrides, load_yaml, parse
    from moda.evaluation.ablation import AblationConfig, plan, scored_clips

    tree = apply_overrides(load_yaml(options.config), options.set)
    config = parse(AblationConfig, tree, source=str(options.config))
    if options.variants:
        config = config.only(options.variants)
    trials, clips = plan(config), scored_clips(config)

    from moda.cli.ablation_runs import check_runs, train_runs, unfinished
    from moda.evaluation.ablation_report import write_ablation

    runs = [run for trial in trials for run in trial.runs]
    check_runs(config, trials)
    _say(
        f"{len(trials)} trials of {len(config.run())} variants and {len(config.seeds)} seeds, {len(runs)} training runs"
    )
    if options.dry_run:
        _dry_run(config, trials, clips)
        return 0
    if options.report:
        failures = unfinished(runs)
    else:
        failures, interrupted = train_runs(runs, _say)
        if interrupted:
            _say("interrupted; the same command goes on from here, with --report it scores the runs that have finished")
            return interrupted
    failed = {trial.name: why for trial in trials if (why := _failed(trial, failures)) is not None}
    evaluation = _score(config, trials, failed)
    for name, why in failed.items():
        _say(f"failed: {name}: {why}")
    if evaluation is None:
        _say("no variant can be scored, so there is no report")
        return EXIT_INCOMPLETE
    paths = write_ablation(config, trials, evaluation, failed)
    print(paths[0].read_text(encoding="utf-8"))
    _say("wrote " + ", ".join(str(path) for path in paths))
    return 0 if evaluation.complete and not failed else EXIT_INCOMPLETE


def _say(line: str) -> None:
    from rich.console import Console

    say_on(Console(stderr=True))(line)


def _failed(trial: Trial, failures: Failures) -> str | None:
    """Why a trial cannot be scored: a run of its own, or one that it shares with "full"."""
    whys = [
        f"stage {stage}{'' if run.variant == trial.variant else f' of {run.variant}'}: {failures[run.output]}"
        for stage, run in trial.uses.items()
        if run.output in failures
    ]
    return "; ".join(whys) or None


def _score(config: AblationConfig, trials: Sequence[Trial], failed: dict[str, str]) -> Evaluation | None:
    """Animate every trial that did not fail, then score all of them together, so that true clips are tracked once.

    What fails here is added to `failed`; None if nothing is left.
    """
    from moda.cli.ablation_runs import attempt
    from moda.device import choose_device
    from moda.evaluation.evaluate import evaluate
    from moda.evaluation.folders import find_generated, find_true
    from moda.evaluation.generate import CheckpointSet, generate_set
    from moda.evaluation.report.records import write_report

    store, device = locate(config.store), choose_device(config.device)
    true = find_true(store, config.split)
    clips = {clip: paths[0] for clip, paths in true.videos.items() if len(paths) == 1}
    folders = {}

    def animate(trial: Trial, folder: Path) -> None:
        made_by = CheckpointSet(trial.name, trial.animation(config.animation))
        generate_set(made_by, clips, folder, device, seeds=config.samples)
        find_generated(folder)  # refuses a folder in which nothing was made

    for trial in trials:
        if trial.name in failed:
            continue
        _say(f"animating {trial.name}")
        folder = config.output / "generated" / trial.name
        _, why = attempt(partial(animate, trial, folder))
        if why is None:
            folders[trial.name] = folder
        else:
            failed[trial.name] = f"animating: {why}"
    if not folders:
        return None
    evaluation = evaluate(store, folders, config.output, split=config.split, jobs=config.jobs, skip=config.skip)
    write_report(evaluation, config.output)
    for row in evaluation.rows:
        if not row.control and not row.scores:
            failed[row.name] = f"no clip could be scored: {'; '.join(dict.fromkeys(row.refused.values()))}"
    return evaluation


def _dry_run(config: AblationConfig, trials: Sequence[Trial], clips: Sequence[Clip]) -> None:
    """Say what would be done, and about how long it would take."""
    from moda.cli.ablation_runs import attempt, seconds_left
    from moda.representation import FPS
    from moda.training.logger import duration

    for trial in trials:
        trained = ", ".join(f"{run.stage} ({run.config.name})" for run in trial.runs) or "nothing"
        changes = "".join(f", {change}" for change in trial.changes)
        _say(f"  {trial.name}: trains {trained}{changes}")
    _say("training")
    training = seconds_left([run for trial in trials for run in trial.runs], MEASURED_STEPS, _say)
    videos = len(trials) * len(config.samples)
    seconds = sum(clip.frames for clip in clips) / FPS
    _say(
        f"animating and scoring {len(clips)} clips of the list '{config.split}' ({seconds:.0f} s), {videos} times "
        f"({len(trials)} trials, {len(config.samples)} samples)"
    )
    pace, why = attempt(partial(_animation_pace, config, clips[0]))
    scoring = SCORING_SECONDS_A_VIDEO_SECOND * (videos + 1) * seconds / config.jobs
    parts = [
        f"training {duration(training)} (from {MEASURED_STEPS} steps of each kind, measured here)",
        f"scoring {duration(scoring)} (estimate: {SCORING_SECONDS_A_VIDEO_SECOND:g} s a second of video and core)",
    ]
    if pace is None:
        parts.append(f"animating not known ({why})")
    else:
        animating = videos * seconds * pace
        parts.append(f"animating {duration(animating)} (from {MEASURED_FRAMES} frames by {config.animation})")
        training += animating
    _say(f"about {duration(training + scoring)}: {', '.join(parts)}; what is there already is not made again")


def _animation_pace(config: AblationConfig, clip: Clip) -> float:
    """Seconds that a second of video takes by the checkpoints of the animation's own file."""
    from moda.device import choose_device
    from moda.evaluation.ablation import Trial
    from moda.evaluation.generate import drive_of
    from moda.pipeline import Animator
    from moda.representation import FPS, samples_at

    animation = Trial("", 0, (), {}, tuple(config.set)).animation(config.animation)
    animator = Animator.from_config(animation, choose_device(config.device))
    drive = drive_of(clip.video_path, None, animation.size)
    began = time.perf_counter()
    motion = animator.motion(drive.wave[: samples_at(MEASURED_FRAMES)], drive.portrait)
    frames = sum(1 for _ in animator.frames(motion, drive.portrait))
    return (time.perf_counter() - began) * FPS / frames
