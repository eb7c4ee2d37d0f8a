"""Stages 2 and 3 as ONNX, for other runtimes.

    faco      lips, eyes, subject -> face: any number of frames
    renderer  condition, reference, frame, warped, validity, region -> picture, colour, mask, shift: likewise

What warps the portrait for the renderer, and what enlarges its output to other sizes, stays outside. Stage 1 is not
exported: its log-mel front end needs a complex Fourier transform, which the exporter does not have, and it hears a
recording as a whole. Units and shapes are those of the networks' own `forward`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from moda import checkpoint
from moda.errors import CheckpointError, ConfigError
from moda.files import replacing
from moda.landmarks import N_EYES, N_LANDMARKS, N_LIPS
from moda.representation import EYES_WINDOW_SHARES, WINDOW_SHARE
from moda.stages.registry import load_network
from moda.stages.renderer.inputs import RendererInput
from moda.stages.renderer.network import RefiningRenderer

SUFFIX = ".onnx"
_MAX_FRAMES = 1 << 20


class _Refining(nn.Module):
    """The renderer with its inputs and outputs as tensors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(
        self, condition: Tensor, reference: Tensor, frame: Tensor, warped: Tensor, validity: Tensor, region: Tensor
    ) -> tuple[Tensor, ...]:
        output = self.network(RendererInput(condition, reference, frame, warped, validity, region))
        return (output.picture, output.colour, output.mask) + (() if output.shift is None else (output.shift,))


def export(source: Path, target: Path) -> list[Path]:
    """Write the network of a checkpoint as ONNX; returns the files: a renderer that refines the eyes has a second one.

    Raises `CheckpointError` for a stage that cannot be exported, `ConfigError` without the libraries of `moda[onnx]`.
    """
    loaded = checkpoint.load(source)
    if loaded.stage not in ("faco", "renderer"):
        raise CheckpointError(f"stage {loaded.stage} of {source} has no form in ONNX, faco and renderer have")
    network = load_network(loaded, {}, source=str(source)).eval()
    if loaded.stage == "faco":
        shapes = {"lips": (1, 3, N_LIPS, 3), "eyes": (1, 3, N_EYES, 3), "subject": (1, N_LANDMARKS, 3)}
        return [_write(target, network, {name: torch.zeros(shape) for name, shape in shapes.items()}, ["face"])]
    if not isinstance(network, RefiningRenderer):
        raise CheckpointError(f"the renderer {source} paints the whole picture; only one with a warp is exported")
    size = network.config.size
    mouth = _write(
        target, _Refining(network), *_planes(network, round(size * WINDOW_SHARE), round(size * WINDOW_SHARE))
    )
    if network.eyes is None:
        return [mouth]
    width, height = (round(size * share) for share in EYES_WINDOW_SHARES)
    second = target.with_stem(f"{target.stem}_eyes")
    return [mouth, _write(second, _Refining(network.eyes), *_planes(network.eyes, height, width))]


def _planes(network: RefiningRenderer, height: int, width: int) -> tuple[dict[str, Tensor], list[str]]:
    """Example inputs of a window, by name and in order, and names of outputs."""
    picture, plane = torch.zeros(3, 3, height, width), torch.zeros(3, 1, height, width)
    inputs = {"condition": picture, "reference": picture.clone(), "frame": torch.arange(3), "warped": picture.clone()}
    inputs |= {"validity": plane, "region": plane.clone()}
    return inputs, ["picture", "colour", "mask", *(["shift"] if network.config.shift else [])]


def _write(target: Path, module: nn.Module, inputs: dict[str, Tensor], outputs: list[str]) -> Path:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"a library of ONNX is not installed ({error}); pip install 'moda[onnx]'") from error
    frames = torch.export.Dim("frames", min=2, max=_MAX_FRAMES)
    at = 1 if "lips" in inputs else 0  # the dimension of frames
    shapes = tuple(None if name == "subject" else {at: frames} for name in inputs)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with replacing(target) as temporary, torch.inference_mode():
            program = torch.onnx.export(
                module, tuple(inputs.values()), dynamo=True, input_names=list(inputs), output_names=outputs,
                dynamic_shapes=shapes, verbose=False,
            )  # fmt: skip
            assert program is not None
            program.save(str(temporary), external_data=False)
    finally:
        logger.setLevel(level)
    return target
