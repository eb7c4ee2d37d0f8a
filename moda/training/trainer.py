"""The one training loop, for every stage."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.errors import ConfigError, OutputError
from moda.files import clear_litter, hold
from moda.training.acceleration import set_up
from moda.training.config import TrainConfig
from moda.training.initial_weights import require_weights, start_from
from moda.training.loading import TrainingStream, size
from moda.training.logger import Logger, Reporter, require_loggers
from moda.training.memory import memory_suffices
from moda.training.monitor import Monitor
from moda.training.randomness import derive, isolated, seed_everything
from moda.training.running_means import GRADIENT, RunningMeans
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.state import (
    TrainResult,
    TrainState,
    fingerprints,
    pack,
    require_same_run,
    resolved,
    unpack,
    weights_of,
)
from moda.training.stop_signal import StopSignal
from moda.training.trainable import Trainable, WeightAverage, learning_rate
from moda.training.validation import Validator

log = logging.getLogger(__name__)

_LOOP_SEED, _NOISE_SEED = 3, 4


class Trainer:
    """Trains a stage: updates, log, validation, checkpoints, resume.

    The run goes on from config.output/last.pt when it is there and its settings agree; on CPU, four steps
    are two steps and a resumed two, bit for bit. Seed with `seed_everything(config.seed)` before the
    stage is built, so that its weights depend on the seed.
    """

    def __init__(
        self, config: TrainConfig, stage: Stage, *, fresh: bool = False, reference: Path | None = None
    ) -> None:
        """fresh: do not resume; last.pt and best.pt are replaced as the new run goes.

        reference: file of curves to compare with.
        """
        if config.stage != stage.name:
            raise ConfigError(f"the configuration is for stage '{config.stage}', the stage is '{stage.name}'")
        if not any(stage.network is trainable for trainable in stage.trainables.values()):
            raise ValueError(f"the network of stage '{stage.name}' is none of its trainables")
        require_loggers(config.trainer.loggers)
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
        set_up(stage, config.trainer, self.runtime)
        self.trainables = {
            name: Trainable(name, module, config.optimizer, scaled=self.runtime.scaled)
            for name, module in stage.trainables.items()
        }
        self.means = RunningMeans(self.runtime)
        self.average = WeightAverage(stage.network, config.trainer.ema) if config.trainer.ema else None
        self.generator = torch.Generator(self.runtime.device)
        self.validator = Validator(stage, config, self.runtime)
        self.monitor = Monitor(reference, resolved(config, stage), stage.adversary, config.optimizer.clip)
        self.monitor.quiet = not self.runtime.main

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
        self.stream()
        if self.resumes:
            require_same_run(self.last, self.stage, self.config, self._fingerprints)

    @cached_property
    def sets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Training and validation set, opened once."""
        return self.stage.datasets()

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return fingerprints(*self.sets)

    def stream(self) -> TrainingStream:
        """Batches from where the run is."""
        at = self.progress
        return TrainingStream(self.stage, self.sets[0], self.config, self.runtime, epoch=at.epoch, position=at.position)

    def start(self) -> TrainingStream:
        """Take weights, statistics and position from last.pt or a fresh start; returns the batches from there on.

        Raises `ConfigError` if last.pt is of a run with other settings.
        """
        if self.resumes:
            trainables = list(self.trainables.values())
            unpack(self.last, self.stage, self.config, self.progress, trainables, self.average, self._fingerprints)
            log.info("resuming %s at step %d", self.last, self.progress.step)
        else:
            if not self.progress.origin:
                log.info("starting from %s", self.stage.start)
                with isolated(self.config.seed):
                    self.stage.prepare(self.sets[0])
            self.runtime.take_from_main([*self.stage.parameters(), *self.stage.buffers()])
            if self.average:
                self.average = WeightAverage(self.stage.network, self.config.trainer.ema)
        self.stage.train()
        return self.stream()

    def run(self, on_start: Callable[[], None] = lambda: None) -> TrainResult:
        """Train to config.trainer.steps, or until a signal asks to stop; last.pt is written either way.

        on_start: called before the first step, once nothing stands in its way.
        Raises `ConfigError` if last.pt is of a run with other settings, `TrainingError` when a loss is not
        finite (last.pt stays as it was), `OutputError` when the output cannot be written.
        """
        if not self.config.output.is_dir():  # a new one is made only for a run that has data
            _ = self.sets
        with self._alone(), self.memory_suffices():
            return self._run(on_start)

    def memory_suffices(self) -> AbstractContextManager[None]:
        """A block that computes; raises `TrainingError` if the GPU's memory is full."""
        return memory_suffices(self.runtime.device, resolved(self.config, self.stage))

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
        train, validation = self.sets
        interrupted: int | None = None
        stream = self.start()
        on_start()
        if at.step >= trainer.steps:
            log.info("%s is at step %d of %d: nothing to do", self.last, at.step, trainer.steps)
            return self._outcome(None)
        self.monitor.started(train, at.step)
        batches = iter(stream)
        logger = self._logger()
        if at.step == 0 and at.origin and size(validation):
            self._validate(validation, logger)
            at.origin["metrics"] = at.metrics
        reporter = Reporter(at.step, trainer.steps, quiet=not self.runtime.main)
        means = self.means = RunningMeans(self.runtime)
        try:
            with StopSignal() as stop:
                stopping = False
                while at.step < trainer.steps and not stopping:
                    self.update(batches)
                    at.step, at.epoch, at.position = at.step + 1, stream.epoch, stream.position
                    stopping = self.runtime.any(stop.number is not None)
                    final = at.step == trainer.steps
                    reporter.advance(at.step)
                    if self._reads(at.step) or stopping:
                        self._require_finite()
                    if at.step % trainer.log_every == 0 or final or stopping:
                        self._report(logger, reporter)
                    if final or not stopping:
                        with means.paused():
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

    def losses(self, batch: Any, *, part: int) -> Iterator[tuple[Trainable, dict[str, Tensor]]]:
        """The stage's losses of a batch, the `part`-th of this process in the step, under seeds of their own."""
        number = part * self.runtime.count + self.runtime.index
        seed_everything(derive(self.config.seed, _LOOP_SEED, self.progress.step, number))
        self.generator.manual_seed(derive(self.config.seed, _NOISE_SEED, self.progress.step, number))
        losses = self.stage.losses(batch, self.generator)
        while True:
            with self.runtime.autocast():
                item = next(losses, None)
            if item is None:
                return
            yield self.trainables[item[0]], dict(item[1])

    def update(self, batches: Iterator[Any]) -> None:
        """One update of every trainable; their terms and gradient norms go to `means`."""
        trainer, step = self.config.trainer, self.progress.step + 1
        lr = learning_rate(self.config.optimizer, self.progress.step, trainer.steps)
        for part in range(trainer.accumulate):
            for trainable, terms in self.losses(next(batches), part=part):
                if part == 0:
                    trainable.zero()
                share = 1 / trainer.accumulate
                self.means.add(step, {f"{trainable.name}/{name}": value for name, value in terms.items()}, share)
                trainable.backward(terms, share=share)
                if part == trainer.accumulate - 1:
                    norm = trainable.clip(self.runtime)
                    clipped = norm > (self.config.optimizer.clip or math.inf)
                    self.means.add(step, {f"{trainable.name}/{GRADIENT}": norm, f"{trainable.name}/clipped": clipped})
                    trainable.update(lr)
        if self.average:
            self.average.update()
        self.means.step()

    def _reads(self, step: int) -> bool:
        """Whether something is done after this step that its values decide: a log, a validation, a checkpoint."""
        trainer = self.config.trainer
        every = (trainer.log_every, trainer.validate_every, trainer.preview_every, trainer.save_every)
        return step == trainer.steps or any(step % number == 0 for number in every)

    def _require_finite(self) -> None:
        """Raise `TrainingError` if a value since the last call was not finite: nothing is written after it."""
        self.means.read()
        for trainable in self.trainables.values():
            trainable.require_scale(self.progress.step)

    def _report(self, logger: Logger | None, reporter: Reporter) -> None:
        """Means since the last report to TensorBoard and the terminal."""
        step, trainer = self.progress.step, self.config.trainer
        values, speed = self.means.take()
        if logger:
            logger.scalars("train", values, step)
            lr = learning_rate(self.config.optimizer, step - 1, trainer.steps)
            samples = speed * trainer.batch * trainer.accumulate * self.runtime.count
            logger.scalars("run", {"lr": lr, "samples_per_s": samples, "seconds_per_step": 1 / speed}, step)
        self.monitor.trained(step, values)
        reporter.report(step, values)

    def _validate_and_preview(self, train: Dataset[Any], validation: Dataset[Any], logger: Logger | None) -> None:
        """Validate and preview when it is time for it, and always at the end."""
        step, trainer = self.progress.step, self.config.trainer
        final = step == trainer.steps
        if size(validation) and (step % trainer.validate_every == 0 or final):
            self._validate(validation, logger)
        elif not size(validation) and final:
            log.warning("there is no validation set: best.pt is the last step's")
            self._save(self.best, None)
        if step % trainer.validate_every == 0 or final:
            self.monitor.diagnose(step)
        if logger and (step % trainer.preview_every == 0 or final):
            logger.pictures(self.validator.preview(validation if size(validation) else train, self.average), step)

    def _validate(self, dataset: Dataset[Any], logger: Logger | None) -> None:
        """Metrics to the log; best.pt if the score is the lowest yet, or if the stage has none."""
        metrics = self.validator.metrics(dataset, self.average)
        listed = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        log.info("step %d validation  %s", self.progress.step, listed)
        self.monitor.validated(self.progress.step, metrics)
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
        logger = Logger(self.config.output, self.progress.step, self.config.trainer.loggers)
        logger.settings(resolved(self.config, self.stage), self.progress.step)
        return logger

    def _save_last(self) -> None:
        trainables = list(self.trainables.values())
        self._save(self.last, pack(self.progress, trainables, self.average, self._fingerprints))
        self.runtime.wait()

    def _save(self, path: Path, trainer: dict[str, Any] | None) -> None:
        if not self.runtime.main:
            return
        at = self.progress
        info: dict[str, Any] = {"step": at.step, "best_score": at.best, "metrics": at.metrics}
        if at.origin:
            info["init"] = at.origin
        weights = weights_of(self.stage, self.average)
        tree = resolved(self.config, self.stage)
        checkpoints.save(path, Checkpoint(self.stage.name, tree, weights, trainer=trainer, info=info))
