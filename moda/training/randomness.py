"""Every random number of a run: seeds derived from one seed, states saved and restored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

_BITS = 2**63 - 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of random, numpy and torch (all devices)."""
    _seed_host(seed)
    torch.manual_seed(seed)


def derive(*numbers: int) -> int:
    """One seed out of several numbers (seed, epoch, position ...); any change gives an unrelated one."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) & _BITS


def capture() -> dict[str, Any]:
    """State of the global generators, made of what a weights-only checkpoint may hold."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore(state: dict[str, Any]) -> None:
    """Put back what `capture` took; states of GPUs that are not here are left out."""
    random.setstate(state["python"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_initialized() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([gpu.cpu() for gpu in state["cuda"]])


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run a block under its own seed; the global generators are afterwards what they were before."""
    state = capture()
    seed_everything(seed)
    try:
        yield
    finally:
        restore(state)


class SeededSamples(Dataset[Any]):
    """A dataset asked with (index, seed): the sample is drawn under that seed.

    So a sample is the same whatever was drawn before it, in whichever worker, and after a resume.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, seed = key
        # the host's generators only: a loading process must not touch a GPU
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        _seed_host(seed)
        torch.default_generator.manual_seed(seed)
        try:
            return self.dataset[index]
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_rng_state(before[2])


def _seed_host(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
