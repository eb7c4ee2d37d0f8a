"""Networks as ONNX: another runtime gives what torch gives, for other numbers of frames than in the example."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from moda import checkpoint
from moda.errors import CheckpointError, ConfigError
from moda.onnx_export import export
from moda.stages.registry import load_network
from moda.stages.renderer.inputs import RendererInput
from tests.random_checkpoints import write_checkpoints


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def test_without_the_libraries_the_extra_is_named(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'moda\[onnx\]'"):
        export(paths["faco"], tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_stage_1_is_not_exported_and_this_is_told(paths: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"stage audio2repr of .* has no form in ONNX"):
        export(paths["audio2repr"], tmp_path / "a.onnx")


def run(path: Path, **inputs: torch.Tensor) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return outputs


@pytest.mark.parametrize("frames", [2, 7])
def test_faco_is_equal(paths: dict[str, Path], tmp_path: Path, frames: int) -> None:
    pytest.importorskip("onnxscript", reason="needs moda[onnx]")
    (file,) = export(paths["faco"], tmp_path / "a b.onnx")
    network = load_network(checkpoint.load(paths["faco"]), {}, source="").eval()
    torch.manual_seed(0)
    inputs = {"lips": torch.randn(1, frames, 40, 3), "eyes": torch.randn(1, frames, 60, 3)}
    inputs["subject"] = 50 * torch.randn(1, 478, 3)
    (face,) = run(file, **inputs)
    with torch.inference_mode():
        assert np.allclose(face, network(*inputs.values()).numpy(), atol=1e-3)


def test_the_renderer_is_equal(paths: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs moda[onnx]")
    files = export(paths["renderer"], tmp_path / "r.onnx")
    network = load_network(checkpoint.load(paths["renderer"]), {}, source="").eval()
    eyes = network.eyes
    assert len(files) == (1 if eyes is None else 2)
    for file, part in zip(files, (network, eyes), strict=False):
        shape = {
            each.name: each.shape
            for each in pytest.importorskip("onnxruntime").InferenceSession(str(file)).get_inputs()
        }
        height, width = shape["condition"][2:]
        torch.manual_seed(0)
        pictures = [2 * torch.rand(4, 3, height, width) - 1 for _ in range(3)]
        maps = [torch.rand(4, 1, height, width) for _ in range(2)]
        inputs = RendererInput(pictures[0], pictures[1], torch.arange(4) + 7, pictures[2], *maps)
        found = run(file, **{name: value for name, value in inputs._asdict().items() if value is not None})
        with torch.inference_mode():
            output = part(inputs)
        wanted = [output.picture, output.colour, output.mask] + ([] if output.shift is None else [output.shift])
        for one, other in zip(found, wanted, strict=True):
            assert np.allclose(one, other.numpy(), atol=1e-4)
