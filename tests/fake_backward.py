"""The backward pass of fake CUDA tensors where there is no GPU.

torch's engine asks the driver for a stream of every device in a graph, and so ends where there is none; the graph
itself, with torch's own derivative of every operation, can be walked without it. `backward` does, with the engine's
checks: a gradient lies on the device of what it is of. On the CPU it gives the engine's gradients (tested).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Hook = Callable[[Tensor], Tensor | None]
hooks: dict[tuple[Any, int], list[Hook]] = {}
"""Of `Tensor.register_hook`, by the node and output that made the tensor: torch shows its own to nobody."""


def register_hook(tensor: Tensor, hook: Hook) -> None:
    """As `Tensor.register_hook`, of a tensor that was computed."""
    hooks.setdefault((tensor.grad_fn, tensor.output_nr), []).append(hook)


@torch.no_grad()
def backward(root: Tensor, gradient: Tensor | None = None, *, inputs: Sequence[Tensor]) -> None:
    """As `Tensor.backward`: adds the gradient of a scalar to `inputs`, which are leaves of its graph."""
    assert root.grad_fn is not None
    waiting = _dependencies(root.grad_fn)
    gradients: dict[Any, list[Tensor | None]] = {}
    _add(gradients, (root.grad_fn, root.output_nr), torch.ones_like(root) if gradient is None else gradient)
    wanted, ready = {id(leaf) for leaf in inputs}, [root.grad_fn]
    while ready:
        node = ready.pop()
        given = gradients.pop(node, [])
        for number, value in enumerate(given):
            for hook in hooks.get((node, number), []) if value is not None else []:
                changed = hook(value)
                given[number] = value = _checked(node, number, value if changed is None else changed)
        for edge, value in zip(node.next_functions, _apply(node, given, wanted), strict=True):
            if edge[0] is None:
                continue
            if value is not None:
                _add(gradients, edge, value)
            waiting[edge[0]] -= 1
            if not waiting[edge[0]]:
                ready.append(edge[0])


def _dependencies(root: Any) -> dict[Any, int]:
    """How many edges lead to each node that can be reached."""
    counts: dict[Any, int] = {root: 0}
    ahead = [root]
    while ahead:
        for node, _ in ahead.pop().next_functions:
            if node is not None:
                if node not in counts:
                    ahead.append(node)
                counts[node] = counts.get(node, 0) + 1
    return counts


def _apply(node: Any, given: list[Tensor | None], wanted: set[int]) -> Sequence[Tensor | None]:
    """What a node makes of its gradients; a leaf keeps them."""
    if not any(value is not None for value in given):
        return [None] * len(node.next_functions)
    leaf = getattr(node, "variable", None)
    if leaf is not None:
        if id(leaf) in wanted:
            leaf.grad = given[0] if leaf.grad is None else leaf.grad + given[0]
        return []
    if not hasattr(node, "apply"):
        made = node(*given)
        return made if isinstance(made, tuple) else (made,)
    made = node.apply(*given)  # of a torch.autograd.Function: a value for each argument, tensors or not
    made = made if isinstance(made, tuple) else (made,)
    kept = (value for value, needed in zip(made, node.needs_input_grad, strict=True) if needed)
    return [None if edge[0] is None else next(kept) for edge in node.next_functions]


def _add(gradients: dict[Any, list[Tensor | None]], edge: tuple[Any, int], value: Tensor) -> None:
    node, number = edge
    value = _checked(node, number, value)
    values = gradients.setdefault(node, [None] * len(node._input_metadata))
    before = values[number]
    values[number] = value if before is None else before + value


def _checked(node: Any, number: int, value: Tensor) -> Tensor:
    """A gradient in the shape and type of what it is of; raises `RuntimeError` if it lies elsewhere."""
    of = node._input_metadata[number]
    if value.device != of.device:
        raise RuntimeError(f"{node.name()} got a gradient on {value.device}, expected device {of.device}")
    return (value if value.shape == of.shape else value.sum_to_size(of.shape)).to(of.dtype)
