"""Where to compute: a device by name, what it is called, and whether it has a precision. Light to import."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from moda.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
"""auto takes a GPU when there is one: CUDA, then MPS."""
DEVICE_NAMES: tuple[DeviceName, ...] = ("auto", "cpu", "cuda", "mps")
Precision = Literal["fp32", "bf16", "fp16"]
_changing_threads = threading.Lock()


def choose_device(name: DeviceName = "auto") -> torch.device:
    """The device of that name, in a process of several (torchrun) its own GPU; raises `ConfigError` if it is absent."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if not present.get(name):
        there = ", ".join(kind for kind in ("cpu", "cuda", "mps") if present[kind])
        raise ConfigError(f"device '{name}' is not available here; available: {there}")
    rank = int(os.environ.get("LOCAL_RANK", 0))
    if name != "cuda" or rank == 0:
        return torch.device(name)
    if rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {rank} of this machine has no GPU of its own, there are {torch.cuda.device_count()}; "
            "start one process for each GPU"
        )
    return torch.device(name, rank)


def describe_device(device: torch.device) -> str:
    """One line that names a device."""
    import torch

    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


def require_precision(device: torch.device, precision: Precision) -> None:
    """Raise `ConfigError` if the device has no arithmetic of that precision."""
    import torch

    if precision == "fp32" or device.type == "cpu":
        return
    if device.type == "cuda":
        # below these, bf16 is emulated in fp32, and fp16 slower than it
        supported = torch.cuda.get_device_capability(device) >= ((8, 0) if precision == "bf16" else (7, 0))
    else:
        supported = precision == "bf16" and torch.backends.mps.is_macos_or_newer(14, 0)
    if not supported:
        raise ConfigError(
            f"{describe_device(device)} has no {precision} arithmetic; "
            "set trainer.precision=fp32, or choose another device"
        )


def upload(array: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """What is on the host as a tensor on the device; to a GPU from pinned memory, so that neither waits."""
    import torch

    tensor = array if isinstance(array, torch.Tensor) else torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if _has_queue(device) else tensor.to(device)


class Download:
    """A tensor on its way to the host. On a GPU the copy is queued behind what computes it, into pinned memory."""

    def __init__(self, tensor: torch.Tensor) -> None:
        import torch

        self._copied: torch.cuda.Event | None = None
        if _has_queue(tensor.device):
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(tensor.device))
        else:
            self._host = tensor.cpu()

    def array(self) -> np.ndarray:
        """Wait for the copy; the array is no longer pinned memory, of which there is little."""
        if self._copied is None:
            return self._host.numpy()
        self._copied.synchronize()
        return self._host.numpy().copy()


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Let torch compute with one thread on a CPU, where its sums depend on how many there are."""
    import torch

    before = compute_with_one_thread() if device.type == "cpu" else 1
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


def compute_with_one_thread() -> int:
    """Let torch compute with one thread in the calling thread and in no other; returns how many it had there.

    torch keeps a number for each thread, and gives a new one the last that was set anywhere: that is set back here by
    a thread that ends at once.
    """
    import torch

    with _changing_threads:
        before = torch.get_num_threads()
        if before > 1:
            torch.set_num_threads(1)
            restoring = threading.Thread(target=torch.set_num_threads, args=(before,))
            restoring.start()
            restoring.join()
    return before


def random_generator(seed: int) -> torch.Generator:
    """A generator of random numbers on the CPU; raises `ConfigError` for what is no seed."""
    import torch

    whole = isinstance(seed, int) or hasattr(seed, "__index__")
    if whole and not isinstance(seed, bool) and -(2**63) <= seed < 2**64:
        return torch.Generator().manual_seed(int(seed))
    raise ConfigError(f"seed is {seed!r}, wanted a whole number from -2^63 to 2^64 - 1")


def _has_queue(device: torch.device) -> bool:
    import torch

    return device.type == "cuda" and torch.cuda.is_available()
