"""The plan of an ablation: variants of the stages, the training runs they need, and the paper's claims."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from moda.animation import AnimationConfig
from moda.config import Config, Tree, apply_overrides, load_yaml, parse
from moda.data.clip import Clip
from moda.data.store import ClipStore
from moda.device import DeviceName
from moda.errors import CheckpointError, ConfigError, DataError
from moda.locations import find_checkpoint, find_config, locate
from moda.metrics import METRICS
from moda.stages.registry import parse_sections
from moda.training.config import TrainConfig

REFERENCE_VARIANT = "full"
"""The variant that the others are compared with."""
CHAIN = ("audio2repr", "faco", "renderer")
BEST_CHECKPOINT = "best.pt"


class VariantConfig(Config):
    """One variant. A stage that is named is trained; the others come from "full", or from the animation's files."""

    audio2repr: Path | None = None
    """Train YAML of stage 1."""
    faco: Path | None = None
    """Train YAML of stage 2."""
    renderer: Path | None = None
    """Train YAML of stage 3."""
    set: list[str] = Field(default_factory=list)
    """Changes to the animation configuration, key=value."""

    def trained(self) -> dict[str, Path]:
        """Train YAMLs by stage."""
        named = {"audio2repr": self.audio2repr, "faco": self.faco, "renderer": self.renderer}
        return {stage: path for stage, path in named.items() if path is not None}


class ClaimConfig(Config):
    """A claim: a metric of "full" is higher or lower than the variant's, or the variant's value is a number."""

    says: str
    """The claim in words."""
    variant: str
    """Which variant it is about."""
    metric: str
    """Which metric shows it."""
    full_is: Literal["higher", "lower"] | None = None
    """How the value of "full" compares with the variant's."""
    variant_is: float | None = None
    """The variant's value."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.full_is is None) == (self.variant_is is None):
            raise ValueError("wanted one of full_is and variant_is")
        return self


class AblationConfig(Config):
    """Fields of configs/ablation/paper.yaml. Paths: from the current folder, else what ships."""

    store: Path
    """Clip store: trained on its lists train and val."""
    split: str = "test"
    """List of clips that are scored."""
    output: Path
    """Folder of the runs, the videos and the report."""
    seeds: list[int] = Field([0], min_length=1)
    """Seeds of training; a variant is trained once a seed."""
    samples: list[int] = Field([0], min_length=1)
    """Seeds of inference; several give diversity."""
    animation: Path = Path("configs/default/infer.yaml")
    """Animation configuration that variants change."""
    set: list[str] = Field(default_factory=list)
    """Changes to it for all variants, key=value."""
    train_set: dict[str, list[str]] = Field(default_factory=dict)
    """Changes to the train YAMLs by stage, key=value."""
    variants: dict[str, VariantConfig | None]
    """By name; null leaves a variant of the base file out."""
    claims: list[ClaimConfig] = Field(default_factory=list)
    """The paper's claims; one about a variant that is not run is left out."""
    skip: list[str] = Field(default_factory=list)
    """Metrics to leave out."""
    device: DeviceName = "auto"
    """Where training and inference run."""
    jobs: int = Field(2, ge=1)
    """Processes that track and score."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.variants.get(REFERENCE_VARIANT) is None:
            raise ValueError(f"no variant '{REFERENCE_VARIANT}': the others are compared with it")
        for name in self.variants:
            if not name.replace("_", "").isalnum():
                raise ValueError(f"variant '{name}': its name is a folder's, wanted letters, digits and _")
        for name, seeds in (("seeds", self.seeds), ("samples", self.samples)):
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"{name} should all be different, got {seeds}")
        if unknown := sorted(set(self.train_set) - set(CHAIN)):
            raise ValueError(f"train_set names the stage '{unknown[0]}', there are {', '.join(CHAIN)}")
        if unknown := sorted({claim.metric for claim in self.claims} - set(METRICS)):
            raise ValueError(f"a claim names the metric '{unknown[0]}', there are {', '.join(METRICS)}")
        return self

    def run(self) -> dict[str, VariantConfig]:
        """The variants that are run."""
        return {name: variant for name, variant in self.variants.items() if variant is not None}

    def only(self, names: Sequence[str]) -> AblationConfig:
        """The same with these variants alone, and "full"; raises `ConfigError` for an unknown name."""
        known = self.run()
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'? There are" if near else "there are"
                raise ConfigError(f"unknown variant '{name}'; {hint} {', '.join(known)}")
        chosen = {name: variant for name, variant in known.items() if name in (REFERENCE_VARIANT, *names)}
        return self.model_copy(update={"variants": chosen})


@dataclass(frozen=True)
class TrainRun:
    """One run of the trainer: its variant, its YAML, and the settings of that with the changes to it."""

    variant: str
    stage: str
    config: Path
    settings: TrainConfig

    @property
    def output(self) -> Path:
        """Output folder."""
        return self.settings.output

    @property
    def last(self) -> Path:
        """Checkpoint that it continues from."""
        return self.output / "last.pt"

    @property
    def checkpoint(self) -> Path:
        """Its best checkpoint."""
        return self.output / BEST_CHECKPOINT


@dataclass(frozen=True)
class Trial:
    """One variant with one seed: the runs it adds, those that it uses by stage, and how it animates."""

    variant: str
    seed: int
    runs: tuple[TrainRun, ...]
    uses: Mapping[str, TrainRun]
    changes: tuple[str, ...]

    @property
    def checkpoints(self) -> dict[str, Path]:
        """Checkpoints that are trained in this ablation, by stage."""
        return {stage: run.checkpoint for stage, run in self.uses.items()}

    @property
    def name(self) -> str:
        """Name of its row and folder."""
        return f"{self.variant}-{self.seed}"

    def animation(self, base: Path) -> AnimationConfig:
        """The animation configuration with its checkpoints; raises `ConfigError`."""
        path = find_config(base)
        paths = [f"checkpoints.{stage}={file}" for stage, file in self.checkpoints.items()]
        return parse(AnimationConfig, apply_overrides(load_yaml(path), [*self.changes, *paths]), source=str(path))


def plan(config: AblationConfig) -> list[Trial]:
    """All trials, seed by seed, "full" first; one seed of a variant in which nothing is trained.

    Every configuration is read, so that a mistake in the last variant is reported before the first is trained: raises
    `ConfigError` for a train YAML of another stage and unknown keys, `CheckpointError` for a missing checkpoint.
    """
    variants = config.run()
    names = [REFERENCE_VARIANT, *(name for name in variants if name != REFERENCE_VARIANT)]
    trials = [_trial(config, name, seed) for seed in config.seeds for name in names]
    for trial in trials:
        animation = trial.animation(config.animation)
        for stage, path in animation.named().items():
            if stage in trial.checkpoints:
                continue
            try:
                find_checkpoint(path)
            except CheckpointError as error:
                raise CheckpointError(
                    f"no checkpoint of stage '{stage}' for the variant '{trial.variant}': {path}"
                ) from error
    return [trial for trial in trials if trial.checkpoints or trial.seed == config.seeds[0]]


def scored_clips(config: AblationConfig) -> list[Clip]:
    """The clips that are scored; raises `DataError` if there are none."""
    clips = ClipStore.open(locate(config.store)).split(config.split)
    if not clips:
        raise DataError(
            f"the list '{config.split}' of the clip store {config.store} is empty, so there is nothing to score; name "
            "another with split=NAME, or prepare the store with another split"
        )
    return clips


def _trial(config: AblationConfig, name: str, seed: int) -> Trial:
    variants = config.run()
    runs = {stage: _run(config, name, stage, path, seed) for stage, path in variants[name].trained().items()}
    shared = {
        stage: _run(config, REFERENCE_VARIANT, stage, path, seed)
        for stage, path in variants[REFERENCE_VARIANT].trained().items()
    }
    return Trial(name, seed, tuple(runs.values()), {**shared, **runs}, (*config.set, *variants[name].set))


def _run(config: AblationConfig, variant: str, stage: str, path: Path, seed: int) -> TrainRun:
    source = find_config(path)
    named = load_yaml(source).get("stage")
    if named != stage:
        raise ConfigError(f"{source} is of stage {named!r}, wanted {stage!r} for the variant '{variant}'")
    output = config.output / "train" / variant / str(seed) / stage
    changes = (
        *config.train_set.get(stage, ()),
        f"data.store={config.store}",
        f"output={output}",
        f"seed={seed}",
        f"device={config.device}",
    )
    return TrainRun(variant, stage, source, _parsed(apply_overrides(load_yaml(source), changes), stage, str(source)))


def _parsed(tree: Tree, stage: str, source: str) -> TrainConfig:
    """The settings of a run; raises `ConfigError` as the trainer would."""
    config = parse(TrainConfig, tree, source=source)
    parse_sections(stage, config.data, config.network, config.loss, source=source)
    return config
