"""The one training loop, for every stage."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.utils.data import Dataset

from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.errors import ConfigError, OutputError
from moda.files import clear_litter, hold
from moda.training.config import TrainConfig
from moda.training.initial_weights import require_weights, start_from
from moda.training.loading import TrainingStream, size
from moda.training.logger import Logger, Reporter
from moda.training.randomness import derive, isolated, seed_everything
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.state import TrainState, fingerprints, pack, require_same_run, resolved, unpack, weights_of
from moda.training.stop_signal import StopSignal
from moda.training.trainable import Trainable, WeightAverage, learning_rate
from moda.training.validation import DryRun, Pace, Stopwatch, Validator, shapes

log = logging.getLogger(__name__)

_LOOP_SEED, _NOISE_SEED = 3, 4


@dataclass(frozen=True)
class TrainResult:
    """How a run ended. best: lowest validation score, if the stage gives one. interrupted: number of the signal
    that ended it early, or None.

    before, after: metrics of the weights it began with (`init`) and of best.pt, where there are any.
    """

    step: int
    best: float | None
    interrupted: int | None
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Of the command: 0, or as shells count a signal."""
        return 0 if self.interrupted is None else 128 + self.interrupted


class Trainer:
    """Trains a stage: updates, log, validation, checkpoints, resume.

    The run goes on from config.output/last.pt when it is there and its settings agree; on CPU, four steps
    are two steps and a resumed two, bit for bit. Seed with `seed_everything(config.seed)` before the
    stage is built, so that its weights depend on the seed.
    """

    def __init__(self, config: TrainConfig, stage: Stage, *, fresh: bool = False) -> None:
        """fresh: do not resume; last.pt and best.pt are replaced as the new run goes."""
        if config.stage != stage.name:
            raise ConfigError(f"the configuration is for stage '{config.stage}', the stage is '{stage.name}'")
        if not any(stage.network is trainable for trainable in stage.trainables.values()):
            raise ValueError(f"the network of stage '{stage.name}' is none of its trainables")
        self.config, self.stage, self.fresh = config, stage, fresh
        self.runtime = Runtime(config.device, config.trainer.precision)
        self.last, self.best = config.output / "last.pt", config.output / "best.pt"
        self.progress = TrainState()
        if not self.resumes:
            if config.init is None:
                require_weights(type(stage), stage.network_config, stage.loss_config)
            else:
                self.progress.origin = start_from(config.init, stage)
        stage.to(self.runtime.device)
        self.trainables = {name: Trainable(name, module, config.optimizer) for name, module in stage.trainables.items()}
        self.average = WeightAverage(stage.network, config.trainer.ema) if config.trainer.ema else None
        self.generator = torch.Generator(self.runtime.device)
        self.validator = Validator(stage, config, self.runtime)
        self._sums: dict[str, float] = defaultdict(float)
        self._counted, self._since = 0, 0.0

    @property
    def resumes(self) -> bool:
        """Whether the run goes on from last.pt."""
        return self.last.exists() and not self.fresh

    def prepare_data(self, scratch: Path | None = None) -> None:
        """Make the stage's data out of raw footage, if it has some; scratch: where a dry run makes it."""
        self.stage.prepare_data(self.config.output, scratch, main=self.runtime.main)
        self.runtime.wait()

    def check(self) -> None:
        """Refuse what would end the run at its start: data that cannot be used, and another run's last.pt."""
        self._stream()
        if self.resumes:
            require_same_run(self.last, self.stage, self.config, self._fingerprints)

    @cached_property
    def _sets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Training and validation set, opened once."""
        return self.stage.datasets()

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return fingerprints(*self._sets)

    def _stream(self) -> TrainingStream:
        at = self.progress
        return TrainingStream(
            self.stage, self._sets[0], self.config, self.runtime, epoch=at.epoch, position=at.position
        )

    def start(self) -> TrainingStream:
        """Take weights, statistics, generators and position from last.pt or a fresh start; the batches from there on.

        Raises `ConfigError` if last.pt is of a run with other settings.
        """
        train, _ = self._sets
        self._seed()
        if self.resumes:
            trainables = list(self.trainables.values())
            unpack(
                self.last, self.stage, self.config, self.progress, trainables, self.average, self.generator,
                self._fingerprints,
            )  # fmt: skip
            log.info("resuming %s at step %d", self.last, self.progress.step)
        else:
            if not self.progress.origin:
                log.info("starting from %s", self.stage.start)
            with isolated(self.config.seed):
                self._prepare(train)
            self.runtime.same_start(self.stage)
            if self.average:
                self.average = WeightAverage(self.stage.network, self.average.decay)
        self.stage.train()
        return self._stream()

    def run(self, on_start: Callable[[], None] = lambda: None) -> TrainResult:
        """Train to config.trainer.steps, or until a signal asks to stop; last.pt is written either way.

        on_start: called before the first step, once nothing stands in its way.
        Raises `ConfigError` if last.pt is of a run with other settings, `TrainingError` when a loss is not
        finite (last.pt stays as it was), `OutputError` when the output cannot be written.
        """
        if not self.config.output.is_dir():  # a new one is made only for a run that has data
            _ = self._sets
        with self._alone():
            return self._run(on_start)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the output folder, made if need be, for this run; raises `OutputError` if another run has it."""
        if not self.runtime.main:
            yield
            return
        output = self.config.output
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the output folder {output}: {error.strerror}") from error
        busy = f"another training is writing into {output}: wait for it, stop it, or choose another output"
        with hold(output / ".lock", busy):
            clear_litter(output)
            yield

    def _run(self, on_start: Callable[[], None]) -> TrainResult:
        trainer, at = self.config.trainer, self.progress
        train, validation = self._sets
        interrupted: int | None = None
        stream = self.start()
        on_start()
        if at.step >= trainer.steps:
            log.info("%s is at step %d of %d: nothing to do", self.last, at.step, trainer.steps)
            return self._outcome(None)
        batches = iter(stream)
        logger = self._logger()
        if at.step == 0 and at.origin and self.runtime.main and size(validation):
            self._validate(validation, logger)
            at.origin["metrics"] = at.metrics
        reporter = Reporter(at.step, trainer.steps, quiet=not self.runtime.main)
        self._since = time.monotonic()
        try:
            with StopSignal() as stop:
                stopping = False
                while at.step < trainer.steps and not stopping:
                    self._collect(self._step(batches))
                    at.step, at.epoch, at.position = at.step + 1, stream.epoch, stream.position
                    stopping = self.runtime.any(stop.number is not None)
                    final = at.step == trainer.steps
                    reporter.advance(at.step)
                    if at.step % trainer.log_every == 0 or final or stopping:
                        self._report(logger, reporter)
                    if self.runtime.main and (final or not stopping):
                        self._validate_and_preview(train, validation, logger)
                    if at.step % trainer.save_every == 0 or final or stopping:
                        self._save_last()
                if stopping:
                    interrupted = stop.number or signal.SIGINT  # of another process of this run
        finally:
            reporter.close()
            if logger:
                logger.close()
        return self._outcome(interrupted)

    def _outcome(self, interrupted: int | None) -> TrainResult:
        at, steps = self.progress, self.config.trainer.steps
        before = at.origin.get("metrics", {})
        if "score" in before and at.step >= steps and at.best == before["score"]:
            log.info("no step is better than the start (score %.4g): best.pt is the start", at.best)
        return TrainResult(at.step, at.best, interrupted if at.step < steps else None, before, at.metrics)

    def dry_run(self) -> DryRun:
        """One batch through losses (with gradients, without an update), validate and preview.

        It starts as `run` would: a run in the output folder is read, and refused where `run` would refuse it.
        """
        watch = Stopwatch()
        with watch.timed("prepare"):
            stream = self.start()
        train, validation = self._sets
        with watch.timed("batch"):
            batch = next(iter(stream))
        losses: dict[str, float] = {}
        with watch.timed("losses"):
            for trainable, terms in self._losses(batch):
                trainable.zero()
                values = trainable.backward(terms, share=1.0, step=0)
                losses.update({f"{trainable.name}/{name}": value for name, value in values.items()})
        with self.validator.evaluating(None):
            check = self.validator.first(validation if size(validation) else train)
            with watch.timed("validate"):
                metrics = self.stage.summarise(self.stage.validate(check))
            with watch.timed("preview"):
                previews = {name: picture.shape for name, picture in self.stage.preview(check).items()}
        return DryRun(shapes(batch), losses, metrics, previews, watch.seconds)

    def measure(self, steps: int) -> Pace:
        """Real steps, to know how long the run will take: nothing is written, the networks here have changed after."""
        began = time.monotonic()
        batches = iter(self.start())
        started = time.monotonic()
        self._step(batches)  # the first step warms up
        warm = time.monotonic()
        for _ in range(steps):
            self._step(batches)
        stepped = time.monotonic()
        validation = self._sets[1]
        if size(validation):
            self.validator.metrics(validation, self.average)
        return Pace(started - began, (stepped - warm) / steps, time.monotonic() - stepped)

    def _seed(self) -> None:
        seed_everything(derive(self.config.seed, _LOOP_SEED, self.runtime.index))
        self.generator.manual_seed(derive(self.config.seed, _NOISE_SEED, self.runtime.index))

    def _prepare(self, train: Dataset[Any]) -> None:
        if not self.progress.origin:  # else the statistics have come with the weights
            self.stage.prepare(train)

    def _losses(self, batch: Any) -> Iterator[tuple[Trainable, dict[str, Tensor]]]:
        losses = self.stage.losses(batch, self.generator)
        while True:
            with self.runtime.autocast():
                item = next(losses, None)
            if item is None:
                return
            yield self.trainables[item[0]], dict(item[1])

    def _step(self, batches: Iterator[Any]) -> dict[str, float]:
        """One update of every trainable; returns their terms and gradient norms by trainable/name."""
        trainer, step = self.config.trainer, self.progress.step + 1
        lr = learning_rate(self.config.optimizer, self.progress.step, trainer.steps)
        logged: dict[str, float] = defaultdict(float)
        for part in range(trainer.accumulate):
            for trainable, terms in self._losses(next(batches)):
                if part == 0:
                    trainable.zero()
                values = trainable.backward(terms, share=1 / trainer.accumulate, step=step)
                for name, value in values.items():
                    logged[f"{trainable.name}/{name}"] += value / trainer.accumulate
                if part == trainer.accumulate - 1:
                    logged[f"{trainable.name}/gradient"] = trainable.update(lr, self.runtime, step=step)
        if self.average:
            self.average.update(self.stage.network, step)
        return logged

    def _collect(self, logged: dict[str, float]) -> None:
        for name, value in logged.items():
            self._sums[name] += value
        self._counted += 1

    def _report(self, logger: Logger | None, reporter: Reporter) -> None:
        """Means since the last report to TensorBoard and the terminal."""
        step, trainer = self.progress.step, self.config.trainer
        sums = torch.tensor(list(self._sums.values()), device=self.runtime.device) / self._counted
        means = dict(zip(self._sums, self.runtime.average(sums).tolist(), strict=True))
        speed = self._counted / max(1e-9, time.monotonic() - self._since)
        samples = speed * trainer.batch * trainer.accumulate * self.runtime.count
        if logger:
            logger.scalars("train", means, step)
            lr = learning_rate(self.config.optimizer, step - 1, trainer.steps)
            logger.scalars("run", {"lr": lr, "samples_per_s": samples}, step)
        reporter.report(step, means)
        self._sums.clear()
        self._counted, self._since = 0, time.monotonic()

    def _validate_and_preview(self, train: Dataset[Any], validation: Dataset[Any], logger: Logger | None) -> None:
        """Validate and preview when it is time for it, and always at the end."""
        step, trainer = self.progress.step, self.config.trainer
        began, final = time.monotonic(), step == trainer.steps
        if size(validation) and (step % trainer.validate_every == 0 or final):
            self._validate(validation, logger)
        elif not size(validation) and final:
            log.warning("there is no validation set: best.pt is the last step's")
            self._save(self.best, None)
        if logger and (step % trainer.preview_every == 0 or final):
            logger.pictures(self.validator.preview(validation if size(validation) else train, self.average), step)
        self._since += time.monotonic() - began  # the speed logged is that of training

    def _validate(self, dataset: Dataset[Any], logger: Logger | None) -> None:
        """Metrics to the log; best.pt if the score is the lowest yet, or if the stage has none."""
        metrics = self.validator.metrics(dataset, self.average)
        listed = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        log.info("step %d validation  %s", self.progress.step, listed)
        if logger:
            logger.scalars("validation", metrics, self.progress.step)
        score = metrics.get("score")
        if score is not None and not math.isfinite(score):
            log.warning("the validation score is %s: best.pt stays as it was", score)
        elif (
            score is None
            or self.progress.best is None
            or score < self.progress.best
            or self.config.trainer.best == "last"
        ):
            self.progress.best, self.progress.metrics = score, metrics
            self._save(self.best, None)

    def _logger(self) -> Logger | None:
        if not self.runtime.main:
            return None
        logger = Logger(self.config.output / "tensorboard", self.progress.step)
        text = yaml.safe_dump(resolved(self.config, self.stage), sort_keys=False)
        logger.text("config", text, self.progress.step)
        return logger

    def _save_last(self) -> None:
        if self.runtime.main:
            trainables = list(self.trainables.values())
            self._save(self.last, pack(self.progress, trainables, self.average, self.generator, self._fingerprints))
        self.runtime.wait()

    def _save(self, path: Path, trainer: dict[str, Any] | None) -> None:
        at = self.progress
        info: dict[str, Any] = {"step": at.step, "best_score": at.best, "metrics": at.metrics}
        if at.origin:
            info["init"] = at.origin
        weights = weights_of(self.stage, self.average)
        tree = resolved(self.config, self.stage)
        checkpoints.save(path, Checkpoint(self.stage.name, tree, weights, trainer=trainer, info=info))
