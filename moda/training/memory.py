"""A GPU whose memory is too small, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from moda.config import Tree
from moda.device import describe_device
from moda.errors import TrainingError

_LOWER = (
    "trainer.batch", "data.lengths", "data.frames", "data.targets", "network.size", "network.width", "network.widths",
)  # fmt: skip
"""Settings that take less memory when they are lower, where a stage has them."""


@contextmanager
def memory_suffices(device: torch.device, settings: Tree) -> Iterator[None]:
    """A block that computes on a GPU; raises `TrainingError` if its memory is full. settings: of the run, resolved."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(_advice(device, settings)) from error


def _advice(device: torch.device, settings: Tree) -> str:
    held = "it is full"
    if device.type == "cuda":
        sizes = torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[1]
        gb = [size / 2**30 for size in (*sizes, torch.cuda.max_memory_allocated(device))]
        held = "{:.1f} GB of {:.1f} GB are allocated, {:.1f} GB were at the most".format(*gb)
    listed = []
    for key in _LOWER:
        section, name = key.split(".")
        value = settings.get(section, {}).get(name)
        if value is not None:
            listed.append(f"{key} (is {value})")
    trainer = settings["trainer"]
    others = ["trainer.precision=bf16"] if trainer["precision"] == "fp32" else []
    others.append(f"with a smaller batch trainer.accumulate={2 * trainer['accumulate']} for the same step")
    return (
        f"the memory of {describe_device(device)} is too small: {held}; "
        f"lower {', '.join(listed)}, or set {'; '.join(others)}"
    )
