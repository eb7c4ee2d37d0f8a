"""Trainables with their optimisers, the learning rate, and the moving average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from moda.errors import TrainingError
from moda.training.config import OptimizerConfig
from moda.training.runtime import Runtime


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Rate of the update that leads from `step` to `step` + 1, of `steps` in all."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    progress = (step - config.warmup) / max(1, steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Trainable:
    """A network and its AdamW. Only parameters that require a gradient when it is made are trained.

    scaled: gradients are those of a scaled loss (fp16); a step whose gradient is not finite is left out.
    """

    def __init__(self, name: str, module: nn.Module, config: OptimizerConfig, *, scaled: bool = False) -> None:
        self.name, self.module, self.config = name, module, config
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not self.parameters:
            raise TrainingError(f"trainable '{name}' has no parameter to train")
        betas = config.betas
        device = self.parameters[0].device.type
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=device == "cuda" or None
        )
        self.scaler = torch.amp.GradScaler(device, enabled=scaled)

    def resume(self, state: Mapping[str, Any], scaler: Mapping[str, Any]) -> None:
        """Take a saved optimiser's moments, and the scaler's state under fp16.

        Raises `ValueError` or the like if they are not of these parameters.
        """
        groups = self.optimizer.param_groups
        settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        # with this run's settings before it is loaded: a fused optimiser counts steps on the device, another does not
        found = [{**group, **own} for group, own in zip(state["param_groups"], settings, strict=True)]
        self.optimizer.load_state_dict({**state, "param_groups": found})
        for parameter, moments in self.optimizer.state.items():
            if set(moments) != {"step", "exp_avg", "exp_avg_sq"}:
                raise ValueError(f"the optimiser knows {', '.join(map(str, moments))} of a parameter")
            for name, value in moments.items():
                shape = () if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != shape or not value.isfinite().all():
                    raise ValueError(f"the optimiser's '{name}' is not of a parameter {tuple(parameter.shape)}")
        if self.scaler.is_enabled():
            if not 0 < float(scaler["scale"]) < math.inf:
                raise ValueError(f"the gradients' scale is {scaler['scale']}")
            self.scaler.load_state_dict(dict(scaler))

    def zero(self) -> None:
        """Drop this trainable's gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, terms: Mapping[str, Tensor], *, share: float) -> None:
        """Add `share` times the gradient of the sum of `terms`, to this trainable's parameters alone.

        Other trainables' gradients stay as they are.
        """
        total = torch.stack([term.float() for term in terms.values()]).sum()
        self.scaler.scale(total * share).backward(inputs=self.parameters)

    def clip(self, runtime: Runtime) -> Tensor:
        """Average the gradient over processes and clip it. Returns its norm before clipping."""
        runtime.average_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        return nn.utils.clip_grad_norm_(self.parameters, self.config.clip or math.inf)

    def update(self, lr: float) -> None:
        """A step along the gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def require_scale(self, step: int) -> None:
        """Raise `TrainingError` if no scale leaves the gradient finite."""
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
            raise TrainingError(
                f"step {step}: the gradient of '{self.name}' is too large for fp16, step after step; set "
                "trainer.precision=bf16 or fp32, or lower optimizer.lr"
            )


class WeightAverage:
    """Exponential moving average of a network's parameters; buffers are taken as they are.

    Early on it follows faster: the decay after n updates is at most (1 + n) / (10 + n).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        def average(averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
            updates = int(self.model.n_averaged)  # on the CPU; what is given was sent to the device
            share = 1 - min(decay, (1 + updates) / (10 + updates))
            torch._foreach_lerp_(list(averaged), list(current), share)

        self.network = network
        self.model = AveragedModel(network, multi_avg_fn=average).requires_grad_(False)
        self.model.n_averaged.fill_(1)  # the first update averages too, with the weights it starts from

    @property
    def values(self) -> dict[str, Tensor]:
        """The averaged weights, and the buffers."""
        return dict(self.model.module.state_dict())

    def resume(self, values: Mapping[str, Tensor], step: int) -> None:
        """Take saved averages after so many updates; raises `ValueError` if they are not of this network."""
        own = self.values
        if {name: value.shape for name, value in values.items()} != {n: v.shape for n, v in own.items()}:
            raise ValueError("the averaged weights are of another network")
        for name, value in values.items():
            if not value.isfinite().all():
                raise ValueError(f"the averaged weights '{name}' are not finite")
        self.model.module.load_state_dict(dict(values))
        self.model.n_averaged.fill_(1 + step)

    def update(self) -> None:
        """Take in the network's weights after an update."""
        self.model.update_parameters(self.network)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network with the averaged weights; its own come back afterwards."""
        own = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.values)
        try:
            yield
        finally:
            self.network.load_state_dict(own)
