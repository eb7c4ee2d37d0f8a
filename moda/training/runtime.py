"""Where a run computes: device, precision and processes, through Accelerate.

Started plainly it is one process. Under `accelerate launch` each process takes its share of the batches and
gradients are averaged before every step, so two processes do what accumulating two batches does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, reduce, send_to_device
from torch import Tensor, nn

from moda.device import DeviceName, Precision, choose_device, require_precision
from moda.errors import ConfigError


class Runtime:
    """One process of a run. device: where it computes; index, count: which process of how many."""

    def __init__(self, device: DeviceName = "auto", precision: Precision = "fp32") -> None:
        """Raises `ConfigError` if this machine does not have the device, or the device not the precision."""
        self.device = choose_device(device)
        require_precision(self.device, precision)
        self.state = PartialState(cpu=self.device.type != "cuda")
        started = int(os.environ.get("WORLD_SIZE", 1))
        if started != self.state.num_processes:  # each would take itself for the main one and overwrite the other
            raise ConfigError(
                f"{started} processes were started, but they do not form one run on {self.device.type}; "
                "start them with torchrun or accelerate launch, on cpu or cuda"
            )
        self.index: int = self.state.process_index
        self.count: int = self.state.num_processes
        self.precision = precision

    @property
    def main(self) -> bool:
        """Whether this process writes, logs and validates."""
        return self.index == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which losses are computed: bf16 where the config asks for it."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def to_device(self, batch: Any) -> Any:
        """Every tensor of a (nested) batch on the device."""
        return send_to_device(batch, self.device, non_blocking=True)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean of every gradient over the processes."""
        if self.count > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = reduce(parameter.grad, "mean")

    def average(self, values: Tensor) -> Tensor:
        """Mean of a tensor over the processes."""
        return reduce(values, "mean") if self.count > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether any process says so: they stop together."""
        if self.count == 1:
            return flag
        return bool(reduce(torch.tensor(float(flag), device=self.device), "sum") > 0)

    def same_start(self, module: nn.Module) -> None:
        """Give every process the main one's parameters and buffers."""
        if self.count > 1:
            with torch.no_grad():
                for tensor in (*module.parameters(), *module.buffers()):
                    tensor.copy_(broadcast(tensor.clone()))

    def wait(self) -> None:
        """Wait for the other processes."""
        self.state.wait_for_everyone()
