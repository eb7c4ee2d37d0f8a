"""Where a run computes: device, precision and processes.

Started plainly it is one process. Under torchrun or `accelerate launch` each process takes its share of the batches and
gradients are averaged before every update, so two processes do what accumulating two batches does.

DistributedDataParallel is not used: it hooks into one `forward` and one `backward` of one wrapped module. A stage's
losses call several networks in turn, the discriminator three times a batch, stage 1 by methods other than `forward`,
and `backward(inputs=...)` fills the gradients of one trainable out of a graph that holds both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather_object, reduce, send_to_device
from torch import Tensor, nn

from moda.device import DeviceName, Precision, choose_device, require_precision
from moda.errors import ConfigError, TrainingError


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
        """Whether this process writes and logs."""
        return self.index == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which losses are computed: bf16 or fp16 where the config asks for it."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32")

    @property
    def reads_late(self) -> bool:
        """Whether a value is read only when it is needed, as the read waits for the device."""
        return self.device.type != "cpu"

    @property
    def scaled(self) -> bool:
        """Whether gradients are scaled up, as small ones are 0 in fp16."""
        return self.precision == "fp16"

    def to_device(self, batch: Any) -> Any:
        """Every tensor of a (nested) batch on the device."""
        return send_to_device(batch, self.device, non_blocking=self.device.type == "cuda")  # it waits where it must

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Mean of every gradient over the processes, in one exchange.

        Every process sends all of them in the same order, zeros where its batch did not reach a parameter (layerdrop),
        so that none waits for another. A parameter that no process reached is left without a gradient, as in one
        process: the optimiser skips it. Gradients keep the layout of their parameters, which a fused optimiser takes
        for granted: with another one it would take each weight the gradient of another.
        """
        if self.count == 1:
            return
        here = [parameter.grad is not None for parameter in parameters]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([torch.tensor(here, dtype=torch.float32).to(self.device), *(p.flatten() for p in parts)])
        with _together():
            flat = reduce(flat, "mean")
        shares, *means = flat.split([len(parts), *(part.numel() for part in parts)])
        reached = here if all(here) else shares.tolist()  # a read waits for the device
        for parameter, part, mean, any_reached in zip(parameters, parts, means, reached, strict=True):
            parameter.grad = part.copy_(mean.view_as(part)) if any_reached else None

    def average(self, values: Tensor) -> Tensor:
        """Mean of a tensor over the processes."""
        if self.count == 1:
            return values
        with _together():
            mean: Tensor = reduce(values, "mean")
        return mean

    def gather(self, value: Any) -> list[Any]:
        """An object of every process, in their order."""
        if self.count == 1:
            return [value]
        with _together():
            return list(gather_object([value]))

    def any(self, flag: bool) -> bool:
        """Whether any process says so: they stop together."""
        if self.count == 1:
            return flag  # a value that is sent to a GPU and back waits for the whole step
        return bool(self.average(torch.tensor(float(flag), device=self.device)) > 0)

    @torch.no_grad()
    def take_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the main one's values."""
        if self.count > 1:
            for tensor in tensors:
                with _together():
                    tensor.copy_(broadcast(tensor.clone()))

    def wait(self) -> None:
        """Wait for the other processes."""
        with _together():
            self.state.wait_for_everyone()


@contextmanager
def _together() -> Iterator[None]:
    """An exchange with the other processes; raises `TrainingError` if one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this run has ended, see its message; the same command goes on from last.pt"
        ) from error
