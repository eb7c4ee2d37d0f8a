"""Reading the weights by which attention mixes frames, without changing what a network computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from moda.nn.flow import FlowBlock


@contextmanager
def attention_maps(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside, a forward pass of `network` fills the dict: name of the attention -> weights (B, h, T, S).

    Of `nn.MultiheadAttention` and `FlowBlock`; of one that is called several times, the last call's. The output is
    the same up to rounding.
    """
    maps: dict[str, Tensor] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            handles.append(module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True))
            handles.append(module.register_forward_hook(_keep(maps, name)))
        elif isinstance(module, FlowBlock):
            handles.append(module.register_forward_hook(_keep_flow(maps, name)))
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _ask_for_weights(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, kwargs | {"need_weights": True, "average_attn_weights": False}


def _keep(maps: dict[str, Tensor], name: str) -> Any:
    def hook(module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> None:
        maps[name] = output[1].detach()

    return hook


def _keep_flow(maps: dict[str, Tensor], name: str) -> Any:
    def hook(module: FlowBlock, args: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        maps[name] = module.attention(*args).detach()

    return hook
