"""Watches a run and says in its log what is odd about it, at the start and at every validation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import Dataset

from moda.config import Tree, differences
from moda.training.diagnosis import Adversary, History, diagnose, diagnose_data
from moda.training.reference import Reference

log = logging.getLogger(__name__)


@runtime_checkable
class Described(Protocol):
    """A dataset that can tell what its data are like."""

    def statistics(self) -> dict[str, float]:
        """As `moda.data.statistics.clip_statistics`."""
        ...


def data_statistics(dataset: Dataset[Any]) -> dict[str, float]:
    """Statistics of a training set; none if it cannot tell."""
    return dataset.statistics() if isinstance(dataset, Described) else {}


class Monitor:
    """reference: file of the configuration's curves, if it has some. settings: the run's, resolved."""

    def __init__(self, reference: Path | None, settings: Tree, adversary: Adversary | None, clip: float) -> None:
        self.history, self.adversary, self.clip = History(), adversary, clip
        self.quiet = False
        """Say nothing (processes besides the main one)."""
        self.lasting: set[str] = set()
        self.data: dict[str, float] | None = None
        self.reference: Reference | None = None
        if reference is not None:
            loaded = Reference.load(reference)
            self.data = loaded.data
            other = [
                f"{section}.{name}"
                for section, saved in loaded.settings.items()
                for name, _, _ in differences(saved, settings[section])
            ]
            if other:
                log.info("losses are not compared with those of %s: it has another %s", reference, ", ".join(other[:3]))
            else:
                self.reference = loaded
                log.info("compared with %s: %s, %.3g s a step", reference, loaded.made, loaded.seconds_per_step)

    def started(self, train: Dataset[Any], step: int) -> None:
        """Judge the data."""
        self.history.looked = step
        for line in () if self.quiet else diagnose_data(data_statistics(train), self.data):
            log.warning("training data: %s", line)

    def trained(self, step: int, values: Mapping[str, float]) -> None:
        """Means of a training's values since the last time."""
        self.history.trained.append((step, dict(values)))

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a validation."""
        self.history.validated.append((step, dict(metrics)))

    def diagnose(self, step: int) -> None:
        """What is odd since the last time, to the log; what lasts is said once."""
        found = diagnose(self.history, self.reference, self.adversary, self.clip)
        for kind, line in found.items():
            if not self.quiet and kind not in self.lasting:
                log.warning("step %d: %s", step, line)
        self.lasting = set(found)
