"""`moda train --config X`: train one stage, or go on with it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moda.cli.main import Parser, run
from moda.errors import ConfigError
from moda.locations import command

if TYPE_CHECKING:
    from moda.config import Tree
    from moda.stages.registry import Sections
    from moda.training.config import TrainConfig
    from moda.training.stage import Stage
    from moda.training.validation import DryRun

PERSON_STORE = "clips"
"""Clip store of `data.video`, in the run's output folder."""


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
    return train(config, source, dry_run=arguments.dry_run, fresh=arguments.fresh)


def check(config: TrainConfig, source: str, *, fresh: bool = False) -> Sections:
    """The stage's sections, after all that can be told without loading a network: keys, and files that are not there.

    Raises `ConfigError`, `CheckpointError`, `DataError` or `MediaError`.
    """
    from moda.data.clip import ClipStore
    from moda.locations import find_checkpoint
    from moda.media.ffmpeg import require_file
    from moda.stages.registry import parse_sections

    sections = parse_sections(config.stage, config.data, config.network, config.loss, source=source)
    if config.init is not None and (fresh or not (config.output / "last.pt").exists()):
        find_checkpoint(config.init)
    encoder = getattr(sections.network, "wav2vec", None)
    if encoder is not None and encoder.init is not None:
        find_checkpoint(encoder.init)
    if getattr(sections.data, "video", None) is not None:
        require_file(sections.data.video, "video")
    elif getattr(sections.data, "store", None) is not None:
        ClipStore.open(sections.data.store)
    return sections


def train(config: TrainConfig, source: str, *, dry_run: bool = False, fresh: bool = False) -> int:
    """Train a stage, or go on with it; returns the exit code, 0 or that of an interruption, and raises `ModaError`.

    source: what to call the config in a message. dry_run: one batch through everything, nothing written.
    fresh: start over although the output folder holds a run.
    """
    from moda.files import scratch_folder

    check(config, source, fresh=fresh)
    with scratch_folder() as scratch:
        return _train(_with_store(config, source, scratch if dry_run else None), source, dry_run, fresh)


def _train(config: TrainConfig, source: str, dry_run: bool, fresh: bool) -> int:
    from moda.config import to_dict
    from moda.training.trainer import Trainer

    stage = build_stage(config, source=source)
    trainer = Trainer(config, stage, fresh=fresh)
    if config.data.get("video") is not None:
        from moda.cli.person import prepare_person  # loads the trackers

        size = int(to_dict(stage.network_config)["size"])
        if trainer.runtime.main:
            prepare_person(Path(config.data["video"]), Path(config.data["store"]), size)
        trainer.runtime.wait()
    if dry_run:
        result = trainer.dry_run()
        _introduce(config, stage)
        print(_describe(result))
        return 0
    began = time.monotonic()
    outcome = trainer.run(on_start=lambda: _introduce(config, stage))
    score = "" if outcome.best is None else f", best score {outcome.best:.4g}"
    print(f"step {outcome.step} after {time.monotonic() - began:.0f} s{score}: {config.output}")
    if outcome.before:
        print(gain(outcome.before, outcome.after))
    return 0 if outcome.interrupted is None else 128 + outcome.interrupted


def _introduce(config: TrainConfig, stage: Stage) -> None:
    """Say what is trained, once nothing stands in its way any more."""
    from moda.pipeline import choose_device, describe_device
    from moda.training.state import resolved

    print(f"device: {describe_device(choose_device(config.device))}")
    for name, trainable in stage.trainables.items():
        count = sum(p.numel() for p in trainable.parameters())
        trained = sum(p.numel() for p in trainable.parameters() if p.requires_grad)
        print(f"{name}: {count:,} parameters" + (f", {trained:,} of them trained" if trained != count else ""))
    print(_summary(resolved(config, stage)), flush=True)


def _with_store(config: TrainConfig, source: str, scratch: Path | None) -> TrainConfig:
    """Where a stage can take `data.video`, its store is in the output folder; a dry run makes it in `scratch`."""
    if config.data.get("video") is None:
        return config
    if config.data.get("store") is not None:
        raise ConfigError(
            f"data.video and data.store are both given in {source}; set data.store=null, or data.video=null"
        )
    store = config.output / PERSON_STORE
    if scratch is not None and not (store / "store.json").is_file():
        store = scratch / PERSON_STORE
    return config.model_copy(update={"data": {**config.data, "store": str(store)}})


def gain(before: dict[str, float], after: dict[str, float]) -> str:
    """Held-out figures of the start and of best.pt, as lines to print."""
    if "sharpness" not in before:
        names = [name for name in before if name != "score"]
        return "held out: " + ", ".join(f"{name} {before[name]:.4g} -> {after[name]:.4g}" for name in names)
    rows = [("before", before["l1"], before["sharpness"]), ("after", after["l1"], after["sharpness"])]
    if "l1_warp" in before:
        rows.insert(0, ("warp alone", before["l1_warp"], before["sharpness_warp"]))
    change = 100 * (after["l1"] / max(before["l1"], 1e-9) - 1)
    lines = ["held out, around the mouth: L1 in grey levels of 255, sharpness against the truth's"]
    lines += [f"  {name:10}  L1 {l1:6.2f}   sharpness {sharp:.2f}" for name, l1, sharp in rows]
    return "\n".join([*lines, f"  L1 {change:+.1f} %"])


def build_stage(config: TrainConfig, *, source: str) -> Stage:
    """The stage of a train config, with weights that depend on its seed alone.

    source: what to call the config in a message. Raises `ConfigError` for an unknown stage or key.
    """
    from moda.nn.building import building
    from moda.stages.registry import find_stage, parse_sections
    from moda.training.randomness import seed_everything

    sections = parse_sections(config.stage, config.data, config.network, config.loss, source=source)
    seed_everything(config.seed)
    with building(source):
        return find_stage(config.stage, source=source)(*sections)


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
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), help="where to compute (default: the config's)"
    )
    parser.add_argument("--dry-run", action="store_true", help="one batch through everything; write nothing")
    parser.add_argument("--fresh", action="store_true", help="start over although the output folder holds a run")
    return parser
