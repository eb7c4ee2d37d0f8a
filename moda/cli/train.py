"""`moda train --config X`: train one stage, or go on with it."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moda.cli.main import Parser, importing, positive, run
from moda.device import DEVICE_NAMES
from moda.locations import command, find_reference

if TYPE_CHECKING:
    from moda.config import Tree
    from moda.stages.registry import Sections
    from moda.training.config import TrainConfig
    from moda.training.dry_run import DryRun
    from moda.training.overfitting import Overfit
    from moda.training.trainer import Trainer


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of training; returns the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    source = str(arguments.config)
    overrides = list(arguments.set)
    if arguments.device is not None:
        overrides.append(f"device={arguments.device}")
    from moda.config import apply_overrides, load_yaml, parse
    from moda.training.config import TrainConfig

    config = parse(TrainConfig, apply_overrides(load_yaml(arguments.config), overrides), source=source)
    if arguments.overfit_one_batch is not None:
        return _overfit(config, source, arguments.overfit_one_batch)
    reference = find_reference(arguments.config)
    mode = {"dry_run": arguments.dry_run, "fresh": arguments.fresh}
    return train(config, source, **mode, reference=reference, write_reference=arguments.write_reference)


def check(config: TrainConfig, source: str, *, fresh: bool = False) -> Sections:
    """The stage's sections, after all that can be told without loading a network: keys, and files that are not there.

    Raises `ConfigError`, `CheckpointError`, `DataError` or `MediaError`.
    """
    from moda.locations import find_checkpoint
    from moda.stages.registry import parse_sections

    sections = parse_sections(config.stage, config.data, config.network, config.loss, source=source)
    if config.init is not None and (fresh or not (config.output / "last.pt").exists()):
        find_checkpoint(config.init)
    for section in sections:
        section.check_files()
    return sections


def train(
    config: TrainConfig,
    source: str,
    *,
    dry_run: bool = False,
    fresh: bool = False,
    reference: Path | None = None,
    write_reference: Path | None = None,
) -> int:
    """Train a stage, or go on with it; returns the exit code, 0 or that of an interruption, and raises `ModaError`.

    source: what to call the config in a message. dry_run: one batch through everything, nothing written.
    fresh: start over although the output folder holds a run. reference: curves that the run is compared with.
    write_reference: file into which those of this run are written once it is done.
    """
    check(config, source, fresh=fresh)
    with importing():
        from moda.stages.registry import build_stage
        from moda.training.trainer import Trainer

    trainer = Trainer(config, build_stage(config, source=source), fresh=fresh, reference=reference)
    if not trainer.runtime.main:
        logging.getLogger("moda").setLevel(logging.WARNING)
    if dry_run:
        return _dry_run(trainer)
    trainer.prepare_data()
    began = time.monotonic()
    outcome = trainer.run(on_start=lambda: _introduce(trainer))
    if not trainer.runtime.main:
        return outcome.exit_code
    score = "" if outcome.best is None else f", best score {outcome.best:.4g}"
    print(f"step {outcome.step} after {time.monotonic() - began:.0f} s{score}: {config.output}")
    if outcome.before:
        print(trainer.stage.describe_change(outcome.before, outcome.after))
    if write_reference is not None and outcome.interrupted is None:
        _write_reference(trainer, write_reference)
    return outcome.exit_code


def _dry_run(trainer: Trainer) -> int:
    from moda.files import scratch_folder
    from moda.training.dry_run import dry_run

    with scratch_folder() as scratch:
        trainer.prepare_data(scratch)
        result = dry_run(trainer)
    _introduce(trainer)
    if trainer.runtime.main:
        print(_describe(result))
    return 0


def _overfit(config: TrainConfig, source: str, steps: int) -> int:
    """Learn one batch by heart; the exit code is 0 if that succeeds, else 1."""
    check(config, source, fresh=True)
    from moda.files import scratch_folder
    from moda.stages.registry import build_stage
    from moda.training.overfitting import for_overfitting, overfit
    from moda.training.trainer import Trainer

    config = for_overfitting(config, steps)
    trainer = Trainer(config, build_stage(config, source=source), fresh=True)
    every = max(1, steps // 10)

    def show(step: int, loss: float) -> None:
        if trainer.runtime.main and (step % every == 0 or step == 1):
            print(f"step {step}/{steps}  loss {loss:.4g}", flush=True)

    with scratch_folder() as scratch:
        trainer.prepare_data(scratch)
        result = overfit(trainer, show)
    if trainer.runtime.main:
        print(_describe_overfit(result))
    return 0 if result.learned else 1


def _describe_overfit(result: Overfit) -> str:
    from moda.training.overfitting import WANTED

    share = result.last / result.first if result.first else 1.0
    lines = [
        f"{'learned' if result.learned else 'NOT LEARNED'}: loss {result.first:.4g} -> {result.last:.4g}, {share:.0%} "
        f"(wanted: {WANTED:.0%} or less)"
    ]
    if result.exchanged is not None:
        share = result.paired / result.exchanged
        lines.append(
            f"with the targets of other samples it is {result.exchanged:.4g}; with its own {share:.0%} of that "
            f"(wanted: {WANTED:.0%} or less)"
        )
    if not result.fallen:
        lines.append(
            "one batch should be easy: raise optimizer.lr or the steps of --overfit-one-batch, and look at the "
            "loss's weights and at the data (--dry-run, the report of the preparation)"
        )
    elif not result.learned:
        lines.append(
            "the loss fell, but what is predicted hardly depends on the input: do inputs and targets belong together? "
            "Raise the steps of --overfit-one-batch, and look at the data"
        )
    return "\n".join(lines)


def _write_reference(trainer: Trainer, path: Path) -> None:
    from moda.training.monitor import data_statistics
    from moda.training.reference import of_run
    from moda.training.state import resolved

    config = trainer.config
    settings = resolved(config, trainer.stage)
    made = of_run(config.output / "tensorboard", settings, data_statistics(trainer.sets[0]), trainer.runtime.device)
    made.write(path)
    print(f"reference curves: {path}")


def _introduce(trainer: Trainer) -> None:
    """Print what is trained, once nothing stands in its way any more."""
    from moda.device import describe_device
    from moda.training.state import resolved

    if not trainer.runtime.main:
        return
    processes = f", {trainer.runtime.count} processes" if trainer.runtime.count > 1 else ""
    print(f"device: {describe_device(trainer.runtime.device)}{processes}")
    for name, trainable in trainer.stage.trainables.items():
        count = sum(p.numel() for p in trainable.parameters())
        trained = sum(p.numel() for p in trainable.parameters() if p.requires_grad)
        print(f"{name}: {count:,} parameters" + (f", {trained:,} of them trained" if trained != count else ""))
    print(_summary(resolved(trainer.config, trainer.stage)), flush=True)


def _summary(tree: Tree) -> str:
    """The resolved configuration, one line a section."""
    import yaml

    lines = []
    for section, value in tree.items():
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()
        lines.append(f"  {section}: {text.removesuffix('...').strip()}")
    return "\n".join(["configuration", *lines])


def _describe(result: DryRun) -> str:
    """Shapes, losses, metrics, previews and seconds of a dry run."""
    lines = ["dry run: nothing was written"]
    lines += [f"  {name}: {tuple(shape)}" for name, shape in result.shapes.items()]
    for title, values in (("loss", result.losses), ("validation", result.metrics), ("seconds", result.seconds)):
        lines.append(f"  {title}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
    lines += [f"  preview {name}: {tuple(shape)}" for name, shape in result.previews.items()]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("train"),
        description="Train one stage. The same command again goes on where it stopped.",
    )
    parser.add_argument("--config", type=Path, required=True, help="train YAML, or a name: default/faco")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value, for instance trainer.steps=2000; may be given several times",
    )
    parser.add_argument("--device", choices=DEVICE_NAMES, help="where to compute (default: the config's)")
    parser.add_argument("--dry-run", action="store_true", help="one batch through everything; write nothing")
    parser.add_argument(
        "--overfit-one-batch",
        type=positive,
        nargs="?",
        const=400,  # a learning rate for thousands of steps moves a small network's weights too little in 100
        metavar="STEPS",
        help="first check: can it learn one batch by heart, in 400 steps or fewer? exit code 0 or 1; write nothing",
    )
    parser.add_argument(
        "--write-reference",
        type=Path,
        metavar="FILE",
        help="write the losses and data of the run, once done, as curves for others: CONFIG.reference.json",
    )
    parser.add_argument("--fresh", action="store_true", help="start over although the output folder holds a run")
    return parser
