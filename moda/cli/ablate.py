"""`moda ablate`: train variants over several seeds, animate, score, and check the paper's claims against the scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from moda.cli.main import Parser, run, say_on
from moda.cli.train import train
from moda.locations import command

EXIT_INCOMPLETE = 1
"""Exit code when the report is written, but a run failed or some clip could not be scored."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all variants scored, 1 a run failed or some clip could not be scored, 2 a mistake in the call."""
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("ablate"),
        description="Train variants of the stages over several seeds, animate the test clips and score them. Writes "
        "ablation.md and ablation.json beside eval's reports. The same command again continues where it stopped.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="YAML", help="YAML, or a name: ablation/paper")
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
    from moda.evaluation.ablation.plan import AblationConfig, plan, scored_clips

    tree = apply_overrides(load_yaml(options.config), options.set)
    config = parse(AblationConfig, tree, source=str(options.config))
    if options.variants:
        config = config.only(options.variants)
    trials, clips = plan(config), scored_clips(config)

    from moda.evaluation.ablation.forecast import log_forecast
    from moda.evaluation.ablation.report import write_ablation
    from moda.evaluation.ablation.runs import check_runs, train_runs, unfinished
    from moda.evaluation.ablation.trials import failed_trials, score_trials

    runs = [run for trial in trials for run in trial.runs]
    check_runs(config, trials)
    _log(
        f"{len(trials)} trials of {len(config.run())} variants and {len(config.seeds)} seeds, {len(runs)} training runs"
    )
    if options.dry_run:
        log_forecast(config, trials, clips, _log)
        return 0
    if options.report:
        failures = unfinished(runs)
    else:
        failures, interrupted = train_runs(runs, train, _log)
        if interrupted:
            _log("interrupted; the same command continues from here, with --report it scores the finished runs")
            return interrupted
    evaluation, failed = score_trials(config, trials, failed_trials(trials, failures), _log)
    for name, why in failed.items():
        _log(f"failed: {name}: {why}")
    if evaluation is None:
        _log("no variant can be scored, so there is no report")
        return EXIT_INCOMPLETE
    paths = write_ablation(config, trials, evaluation, failed)
    print(paths[0].read_text(encoding="utf-8"))
    _log("wrote " + ", ".join(str(path) for path in paths))
    return 0 if evaluation.complete and not failed else EXIT_INCOMPLETE


def _log(line: str) -> None:
    from rich.console import Console

    say_on(Console(stderr=True))(line)
