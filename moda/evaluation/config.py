"""Settings of `moda eval`: a YAML file, options of the command, or both, and the check of all that they name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from moda.animation import AnimationConfig
from moda.config import Config, Tree, apply_overrides, load_yaml, parse
from moda.device import DeviceName
from moda.errors import ConfigError, ModaError
from moda.evaluation.controls import CONTROLS
from moda.evaluation.folders import find_generated, find_true, parse_named_folders
from moda.evaluation.outputs import find_outputs, layout_of
from moda.evaluation.protocol import FixedProtocol, check_weights, read_protocol
from moda.evaluation.report.printed import PrintedTable, read_printed
from moda.locations import find_config, locate
from moda.metrics import METRICS, MetricSettings
from moda.metrics.over_clips import check_names
from moda.metrics.phonemes import RECOGNISER
from moda.metrics.registry import chosen_metrics
from moda.reading import require_file

WEIGHTS = tuple(f"{name}_weights" for name in ("sync", "quality", "face", "perceptual", "lip", "fid", "fvd"))
"""Settings that name files of weights."""


class SetConfig(Config):
    """A set of our checkpoints, as a row."""

    config: Path = Path("configs/default/infer.yaml")
    """An animation configuration: checkpoints, size, smoothing (see AnimationConfig in moda/pipeline.py)."""
    set: list[str] = Field(default_factory=list)
    """Changes to it, key=value."""
    people: dict[str, list[str]] = Field(default_factory=dict)
    """Further changes for one person's clips, by identity in the clip store: where each has a renderer."""


class PrintedConfig(Config):
    """Numbers of a paper to show beside ours, where the test set is the paper's."""

    file: Path = Path("configs/eval/paper_table.yaml")
    """YAML of printed numbers."""
    setting: str
    """Which test set of the paper this is; a name in that file."""


class EvaluationConfig(MetricSettings):
    """Fields of configs/eval/paper.yaml. Paths: from the current folder, else those that ship."""

    truth: Path
    """Folder of true videos, or a clip store (not "true", which YAML takes for a truth value)."""
    split: str | None = None
    """Only this list (train, val, test) of the clip store."""
    output: Path
    """Folder for the reports, the generated videos, and the caches."""
    generated: dict[str, Path] = Field(default_factory=dict)
    """Folders of finished videos by the method's name."""
    outputs: dict[str, Path] = Field(default_factory=dict)
    """Folders as other projects leave them, by METHOD or METHOD:NAME (see docs/others.md)."""
    sets: dict[str, SetConfig] = Field(default_factory=dict)
    """Sets of our checkpoints by name; their videos are generated first, into OUTPUT/generated/NAME."""
    seeds: list[int] = Field([0], min_length=1)
    """Seeds of each set; the first is scored, several give diversity."""
    reference: Path | None = None
    """A portrait for every clip; null = its own first frame."""
    skip: list[str] = Field(default_factory=list)
    """Metrics to leave out."""
    protocol: Path | None = None
    """A protocol (configs/eval/protocol.yaml): its clips, frames and networks and no others; null = none."""
    handling: bool = False
    """With rows of the truth coded, cut and sampled otherwise: what that alone changes."""
    printed: PrintedConfig | None = None
    """The paper's numbers for this test set; null = none."""
    device: DeviceName = "auto"
    """Where videos are generated."""
    jobs: int = Field(2, ge=1)
    """Processes that track and score."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("should all be different")
        return seeds

    def animations(self) -> dict[str, AnimationConfig]:
        """The sets' animation configurations by name; raises `ConfigError`."""
        taken = [name for name in self.sets if name in self.generated or name in CONTROLS]
        if taken:
            raise ConfigError(f"the set '{taken[0]}' has the name of another row, choose another")
        made = {}
        for name, section in self.sets.items():
            if not name or "/" in name or name.startswith("."):
                raise ConfigError(f"the set '{name}' names a folder, so it may not hold a slash or begin with a point")
            made[name] = _animation(section)
        return made

    def people(self, name: str) -> dict[str, AnimationConfig]:
        """A set's animation configurations by identity, of those who have their own; raises `ConfigError`."""
        section = self.sets[name]
        return {who: _animation(section, changes) for who, changes in section.people.items()}

    def printed_table(self) -> PrintedTable | None:
        """The paper's numbers, if they are to be shown; raises `ConfigError`."""
        return None if self.printed is None else read_printed(find_config(self.printed.file), self.printed.setting)

    def fixed_protocol(self) -> FixedProtocol | None:
        """The protocol, if there is one; raises `ConfigError`."""
        return None if self.protocol is None else read_protocol(self.protocol)

    def metric_settings(self) -> MetricSettings:
        """Settings of the metrics."""
        phonemes = self.phonemes if self.phonemes in (None, RECOGNISER) else str(locate(Path(self.phonemes)))
        paths = {name: getattr(self, name) for name in WEIGHTS}
        found = {name: None if path is None else locate(path) for name, path in paths.items()}
        return MetricSettings(speech=self.speech, phonemes=phonemes, **found)


def _animation(section: SetConfig, changes: Sequence[str] = ()) -> AnimationConfig:
    path = find_config(section.config)
    return parse(AnimationConfig, apply_overrides(load_yaml(path), [*section.set, *changes]), source=str(path))


def read_config(arguments: argparse.Namespace) -> EvaluationConfig:
    """The file's settings with those of the command over them; raises `ModaError` for mistakes."""
    tree: Tree = {} if arguments.config is None else load_yaml(arguments.config)
    tree = apply_overrides(tree, arguments.set)
    if arguments.true is not None:
        tree["truth"] = str(arguments.true)
    for name in ("split", "output", "jobs", "device", "reference", "phonemes", "speech", "protocol", *WEIGHTS):
        value = getattr(arguments, name)
        if value is not None:
            tree[name] = str(value) if isinstance(value, Path) else value
    if arguments.handling:
        tree["handling"] = True
    if arguments.skip:
        tree["skip"] = [*(tree.get("skip") or []), *arguments.skip]
    named = parse_named_folders(arguments.generated, reserved=list(CONTROLS))
    tree["generated"] = {**(tree.get("generated") or {}), **{name: str(path) for name, path in named.items()}}
    if arguments.config is None:
        missing = [f"--{name}" for name, key in (("true", "truth"), ("output", "output")) if key not in tree]
        if missing:
            raise ModaError(f"{' and '.join(missing)} missing: name the folders, or a file with --config")
    others = parse_named_folders(arguments.outputs, reserved=list(CONTROLS), option="--outputs")
    tree["outputs"] = {**(tree.get("outputs") or {}), **{name: str(path) for name, path in others.items()}}
    config = parse(EvaluationConfig, tree, source=str(arguments.config or "the command"))
    reserved = [name for name in config.generated if name in CONTROLS]
    if reserved:
        raise ConfigError(f"'{reserved[0]}' is the name of a control row, choose another")
    if not config.generated and not config.sets and not config.outputs:
        raise ModaError("nothing to score: name at least one folder of generated videos, --generated NAME=DIR")
    return config


def check_inputs(config: EvaluationConfig) -> dict[str, AnimationConfig]:
    """Check, before anything is loaded, that all that the settings name exists; returns the sets' animations.

    Raises `ModaError`.
    """
    true = find_true(locate(config.truth), config.split)
    for folder in config.generated.values():
        find_generated(locate(folder))
    for spec, folder in config.outputs.items():
        find_outputs(locate(folder), layout_of(spec)[1], true.videos)
    check_names(config.skip)
    for name in chosen_metrics(config.skip):
        METRICS[name].key(config.metric_settings())  # raises for weights that do not exist
    protocol = config.fixed_protocol()
    if protocol is not None:
        check_weights(protocol.protocol, config.metric_settings())
    if config.reference is not None:
        require_file(config.reference, "reference picture")
    animations = config.animations()
    for animation in animations.values():
        for stage in animation.stages():
            animation.network(stage)
    return animations
