"""`train.py --config X`: train one stage, or go on with it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from moda.cli.main import INTERRUPTED, run
from moda.config import Tree, apply_overrides, load_yaml, parse
from moda.pipeline import choose_device, describe_device
from moda.stages.registry import find_stage
from moda.training.config import TrainConfig
from moda.training.examination import DryRun
from moda.training.randomness import seed_everything
from moda.training.resuming import resolved
from moda.training.stage import Stage
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
    config = parse(TrainConfig, apply_overrides(load_yaml(arguments.config), overrides), source=source)
    print(f"device: {describe_device(choose_device(config.device))}", flush=True)
    stage = build_stage(config, source=source)
    for name, player in stage.players.items():
        count = sum(p.numel() for p in player.parameters())
        trained = sum(p.numel() for p in player.parameters() if p.requires_grad)
        print(f"{name}: {count:,} parameters" + (f", {trained:,} of them trained" if trained != count else ""))
    print(_summary(resolved(config, stage)), flush=True)

    trainer = Trainer(config, stage, fresh=arguments.fresh)
    if arguments.dry_run:
        print(_describe(trainer.dry_run()))
        return 0
    began = time.monotonic()
    outcome = trainer.run()
    score = "" if outcome.best is None else f", best score {outcome.best:.4g}"
    print(f"step {outcome.step} after {time.monotonic() - began:.0f} s{score}: {config.output}")
    return INTERRUPTED if outcome.interrupted else 0


def build_stage(config: TrainConfig, *, source: str) -> Stage:
    """The stage of a train config, with weights that depend on its seed alone.

    source: what to call the config in a message. Raises `ConfigError` for an unknown stage or key.
    """
    cls = find_stage(config.stage, source=source)
    data = parse(cls.DataConfig, config.data, source=source, section="data")
    network = parse(cls.NetworkConfig, config.network, source=source, section="network")
    loss = parse(cls.LossConfig, config.loss, source=source, section="loss")
    seed_everything(config.seed)
    return cls(data, network, loss)


def _summary(tree: Tree) -> str:
    """The resolved configuration, one line a section."""
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
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train one stage. The same command again goes on where it stopped.",
    )
    parser.add_argument("--config", type=Path, required=True, help="train YAML, for instance configs/default/faco.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value, for instance trainer.steps=2000; may be given several times",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), help="where to compute (default: the config's)"
    )
    parser.add_argument("--dry-run", action="store_true", help="one batch through everything; write nothing")
    parser.add_argument("--fresh", action="store_true", help="start over although the output folder holds a run")
    return parser
