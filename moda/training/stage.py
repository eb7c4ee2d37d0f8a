"""What a stage offers the trainer: trainables, data, losses. A stage never touches an optimiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from moda.config import Config
from moda.training.diagnosis import Adversary

Terms = Mapping[str, Tensor]
"""Loss terms of a trainable by name, each a scalar that is already weighted."""


class Stage(ABC, nn.Module):
    """One trainable stage. Its networks are the trainables; frozen helpers (VGG) are plain submodules.

    What a resumed run needs has to live in the trainables, as parameters or buffers: those, and
    only those, are saved.
    """

    name: ClassVar[str]
    """As in STAGES and in the YAML."""
    DataConfig: ClassVar[type[Config]]
    NetworkConfig: ClassVar[type[Config]]
    LossConfig: ClassVar[type[Config]]
    training_only: ClassVar[frozenset[str]] = frozenset()
    """Sections of the network's settings that `network` is not built from; `init` does not compare them."""
    targets: ClassVar[frozenset[str]] = frozenset()
    """Names of a batch's tensors that the network is to predict; `overfitting` exchanges them between samples."""
    norm_setting: ClassVar[str | None] = None
    """Setting that takes the place of batch normalisation, which cannot be trained on one sample: "key: value"."""

    def __init__(self, data: Config, network: Config, loss: Config) -> None:
        """Build the networks with random weights; the parsed configs stay as attributes."""
        super().__init__()
        self.data_config = data
        self.network_config = network
        self.loss_config = loss

    @classmethod
    def frozen_at_random(cls, network: Config, loss: Config) -> str | None:
        """Why a fresh run without `init` is refused: what would stay at random weights for good; None if nothing."""
        return None

    def prepare_data(self, output: Path, scratch: Path | None, *, main: bool) -> None:
        """Make what `datasets` reads out of raw footage, where `data_config` names some; nothing by default.

        output: the run's folder, in which it is made. scratch: where a dry run makes it. main: False in the
        processes that find what the main one has made.
        """

    def adopt(self, settings: Any, weights: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
        """A checkpoint's network settings and weights as this stage's network can start from them (`init`).

        The same by default; what still differs from `network_config` then is refused.
        """
        return settings, weights

    @property
    def start(self) -> str:
        """What a run without `init` starts from, in words."""
        return "random weights"

    @property
    def adversary(self) -> Adversary | None:
        """Which terms are a discriminator's, if there is one."""
        return None

    @property
    @abstractmethod
    def trainables(self) -> dict[str, nn.Module]:
        """Networks that are optimised, each by its own optimiser: {"generator": G, ...}."""

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The trainable that inference needs; a checkpoint's `weights` are its state_dict."""

    @abstractmethod
    def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Training and validation set, both with a length; the latter may be empty.

        `dataset[i]` may draw from the global generators (random, numpy.random, torch): the trainer
        seeds them for every sample, so the draw depends on the seed, the epoch and i alone.
        """

    def prepare(self, train: Dataset[Any]) -> None:
        """Compute statistics of the training set into buffers; called once, on a fresh start."""

    def collate(self, samples: list[Any]) -> Any:
        """Samples -> batch: (nested) dict, list or tuple of tensors. Torch's default unless overridden."""
        return default_collate(samples)

    def sampler(self, dataset: Dataset[Any], batch: int, seed: int) -> list[list[int]]:
        """The batches of one epoch as lists of indices; `seed` is another one every epoch.

        Default: a random order; what does not fill a batch is left out (and comes in another epoch), so that batch
        normalisation never meets a batch of one. A set smaller than a batch is one batch.
        """
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[arg-type]
        if len(order) <= batch:
            return [order]
        return [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]

    @abstractmethod
    def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        """Yield (trainable, terms) for every trainable, in the order of their updates, once each a batch.

        The trainer updates the trainable before the generator goes on: what is computed after a yield
        sees the new weights. Only that trainable gets gradients. generator: noise on the batch's device.
        """

    @abstractmethod
    def validate(self, batch: Any) -> dict[str, float]:
        """Metrics of a validation batch, averaged over samples; "score" (lower is better) picks best.pt (`summarise`).

        Called in eval mode without gradients, the global generators seeded the same every time.
        """

    def summarise(self, means: dict[str, float]) -> dict[str, float]:
        """The metrics of a set, given the means of those of its batches: for what is not a mean itself."""
        return means

    def describe_change(self, before: dict[str, float], after: dict[str, float]) -> str:
        """Validation metrics of the weights a run began with and of best.pt, as lines to print."""
        values = (f"{name} {value:.4g} -> {after[name]:.4g}" for name, value in before.items() if name != "score")
        return f"held out: {', '.join(values)}"

    def preview(self, batch: Any) -> dict[str, np.ndarray]:
        """Pictures (H, W, 3) or videos (T, H, W, 3) to look at, uint8 RGB, by name; none by default."""
        return {}
