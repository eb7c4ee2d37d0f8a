"""The speech encoder of `front: whisper`, out of the wheel of pipecat-ai 1.14.0: a file that stage 1 starts from.

    pip download pipecat-ai==1.14.0 --no-deps
    python -m benchmarks.whisper_encoder pipecat_ai-1.14.0-py3-none-any.whl assets/checkpoints/speech_encoder.pt

The wheel (BSD-2-Clause, Daily) holds Smart Turn 3.2, whose encoder is that of Whisper-tiny, trained further, as an int8
ONNX file. Its weights are multiplied by their scales; the layers that are read are kept, in fp16. Needs the package
`onnx`.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.shipping import slim
from moda import checkpoint
from moda.cli.main import run
from moda.config import to_dict
from moda.errors import DataError
from moda.nn.settings import SpeechConfig
from moda.nn.whisper import WhisperEncoder
from moda.reading import require_file

ONNX = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
PREFIX = "inner.encoder."
WIDTH, HEADS, FFN, LAYERS = 384, 6, 1536, 4


def dequantised(model: bytes) -> dict[str, np.ndarray]:
    """Float weights of the encoder by the names of `transformers`."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model).graph
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    floats = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            values, scale, zero = (stored[name].astype(np.float32) for name in node.input)
            if values.ndim > 1 and scale.ndim == 1:  # a scale a channel
                axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
                shape = [-1 if i == axis else 1 for i in range(values.ndim)]
                scale, zero = scale.reshape(shape), zero.reshape(shape)
            floats[node.output[0]] = (values - zero) * scale
    weights = {name: values for name, values in stored.items() if values.dtype == np.float32}
    for name in ("conv1", "conv2"):
        weights[f"{PREFIX}{name}.bias"] = floats[f"{PREFIX}{name}.bias"]
        weights[f"{PREFIX}{name}.weight"] = floats[f"{PREFIX}{name}.weight_DequantizeLinear_Output"]
    weights.update(_matrices(graph, floats))
    return {name.removeprefix(PREFIX): values for name, values in weights.items() if name.startswith(PREFIX)}


def _matrices(graph: object, floats: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Linear layers: a product is named by the bias that is added to it; the keys' have none and come in order."""
    readers: dict[str, list] = {}
    for node in graph.node:  # type: ignore[attr-defined]
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def reached(name: str) -> list:
        """What reads a value, through quantisation."""
        found = []
        for node in readers.get(name, []):
            through = node.op_type in ("QuantizeLinear", "DequantizeLinear")
            found += reached(node.output[0]) if through else [node]
        return found

    weights, keys = {}, 0
    for node in graph.node:  # type: ignore[attr-defined]
        if node.op_type != "MatMul" or node.input[1] not in floats:
            continue
        sums = [each for each in reached(node.output[0]) if each.op_type == "Add"]
        bias = [name for each in sums for name in each.input if name.startswith("inner.")]
        if bias:
            name = bias[0].replace(".bias", ".weight")
        else:
            name, keys = f"{PREFIX}layers.{keys}.self_attn.k_proj.weight", keys + 1
        weights[name] = floats[node.input[1]].T
    return weights


def settings(read: Sequence[int]) -> SpeechConfig:
    """Of the encoder with these layers read."""
    return SpeechConfig(
        front="whisper", hidden=WIDTH, heads=HEADS, ffn=FFN, layers=max(read), read=tuple(read), freeze=True, quiet=0.01
    )


def encoder_of(weights: dict[str, np.ndarray], read: Sequence[int]) -> WhisperEncoder:
    """The encoder with these weights."""
    encoder = WhisperEncoder(settings(read))
    sources = {}
    for name in encoder.state_dict():
        own = name
        if name.startswith("norms."):
            _, number, kind = name.split(".")
            own = f"layers.{number}.self_attn_layer_norm.{kind}" if int(number) < LAYERS else f"layer_norm.{kind}"
        sources[name] = torch.from_numpy(np.array(weights[own], np.float32))
    checkpoint.load_weights(encoder, sources, source=ONNX)
    return encoder.eval()


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--read", type=int, nargs="+", default=[2], help="layers whose outputs are the features")
    arguments = parser.parse_args(argv)
    require_file(arguments.wheel, "wheel")
    try:
        model = zipfile.ZipFile(arguments.wheel).read(ONNX)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{arguments.wheel} holds no {ONNX} ({error}); give the wheel of pipecat-ai 1.14.0") from error
    encoder = encoder_of(dequantised(model), arguments.read)
    weights = {f"wav2vec.{name}": value for name, value in encoder.state_dict().items()}
    stored = checkpoint.Checkpoint(
        stage="speech",
        config={"network": {"wav2vec": to_dict(encoder.config)}},
        weights=weights,
        info={"source": f"pipecat-ai 1.14.0, {ONNX}, BSD-2-Clause"},
    )
    checkpoint.save(arguments.output, slim(stored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
