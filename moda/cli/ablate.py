"""`moda ablate`: train variants over several seeds, animate, score, and hold the paper's claims against it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from moda.cli.main import INTERRUPTED, TERMINATED, Parser, run, say_on
from moda.errors import TrainingError
from moda.locations import command, locate

if TYPE_CHECKING:
    from moda.cli.ablation_plan import AblationConfig, Trial
    from moda.metrics.rows import Evaluation


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all variants scored, 1 some clip could not be, 2 a mistake in the call."""
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
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    from moda.cli.ablation_plan import AblationConfig, plan
    from moda.cli.ablation_report import write_ablation
    from moda.config import apply_overrides, load_yaml, parse

    tree = apply_overrides(load_yaml(options.config), options.set)
    config = parse(AblationConfig, tree, source=str(options.config))
    trials = plan(config)
    say = say_on(Console(stderr=True))

    runs = [run for trial in trials for run in trial.runs]
    say(
        f"{len(trials)} trials of {len(config.run())} variants and {len(config.seeds)} seeds, {len(runs)} training runs"
    )
    if options.dry_run:
        for trial in trials:
            trained = ", ".join(f"{run.stage} ({run.config.name})" for run in trial.runs) or "nothing"
            changes = "".join(f", {change}" for change in trial.changes)
            say(f"  {trial.name}: trains {trained}{changes}")
        return 0
    for number, train_run in enumerate(runs, start=1):
        say(f"run {number} of {len(runs)}: {train_run.output}")
        if code := _train(train_run.config, train_run.changes):
            say("interrupted; the same command goes on from here")
            return code
    evaluation = _score(config, trials, say)
    paths = write_ablation(config, trials, evaluation)
    print(paths[0].read_text(encoding="utf-8"))
    say("wrote " + ", ".join(str(path) for path in paths))
    return 0 if evaluation.complete else 1


def _train(config: Path, changes: Sequence[str]) -> int:
    """Train, or go on; a finished run returns at once. Returns 0, `INTERRUPTED` or `TERMINATED`."""
    from moda.cli import train

    code = train.main(["--config", str(config), *(part for change in changes for part in ("--set", change))])
    if code not in (0, INTERRUPTED, TERMINATED):
        raise TrainingError(f"training {config} ended with exit code {code}; the same command goes on from there")
    return code


def _score(config: AblationConfig, trials: Sequence[Trial], say: Callable[[str], None]) -> Evaluation:
    """Animate every trial, then score all of them together, so that the true clips are tracked once."""
    from moda.cli.generate import CheckpointSet, generate_set
    from moda.metrics.evaluate import evaluate
    from moda.metrics.folders import find_true
    from moda.metrics.records import write_report
    from moda.pipeline import choose_device

    store, device = locate(config.store), choose_device(config.device)
    true = find_true(store, config.split)
    clips = {clip: paths[0] for clip, paths in true.videos.items() if len(paths) == 1}
    folders = {}
    for trial in trials:
        say(f"animating {trial.name}")
        folders[trial.name] = config.output / "generated" / trial.name
        made_by = CheckpointSet(trial.name, trial.animation(config.animation))
        generate_set(made_by, clips, folders[trial.name], device, seeds=config.samples)
    evaluation = evaluate(store, folders, config.output, split=config.split, jobs=config.jobs, skip=config.skip)
    write_report(evaluation, config.output)
    return evaluation
