"""The 52 blendshape coefficients of ARKit's names, by MediaPipe's own network inside package_data/face_landmarker.task.

MediaPipe runs it on landmarks of pictures only; here it is computed on any landmarks, with the weights read out of the
model file: an MLP-Mixer (Tolstikhin et al. 2021) with four blocks over 96 tokens and one more that is read (MediaPipe
Blendshape V2, model card of 2023). It sees x and y alone and normalises them by their mean and size, so that place and
scale do not matter; a turned head does.

Dimension letters: T frames.
"""

from __future__ import annotations

import io
import struct
import zipfile
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff "
    "cheekSquintLeft cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight "
    "eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft "
    "eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft "
    "mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft "
    "mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper "
    "mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight "
    "mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight "
)
"""Of the network's outputs, in their order; `tongueOut` is not among them."""
_POINTS = np.array(
    _words(
        "0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 "
        "93 95 103 105 107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 "
        "162 163 168 172 173 176 178 181 185 191 195 197 234 246 249 251 263 267 269 270 276 282 283 284 285 "
        "288 291 293 295 296 297 300 308 310 311 312 314 317 318 321 323 324 332 334 336 338 356 361 362 365 "
        "373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 390 397 398 400 402 405 409 415 454 466 "
        "468 469 470 471 472 473 474 475 476 477 "
    ),
    int,
)
"""Landmarks that the network reads, in its order."""
_CHUNK_FRAMES = 256
_CONV_2D, _CONCATENATION, _DEQUANTIZE, _MUL, _ADD = 3, 2, 6, 18, 0
_FLOAT16 = 1


def blendshapes(landmarks: np.ndarray) -> np.ndarray:
    """Coefficients (T, 52) in 0..1, in the order of `NAMES`, of landmarks (T, 478, 2 or 3): x right, y down."""
    points = np.asarray(landmarks, np.float32)[:, _POINTS, :2]
    parts = [_network(points[start : start + _CHUNK_FRAMES]) for start in range(0, len(points), _CHUNK_FRAMES)]
    return np.concatenate(parts) if parts else np.zeros((0, len(NAMES)), np.float32)


class _Weights(NamedTuple):
    """scale: of the normalised points. token: (1, 64). layers: (out, in) and (out,). norms: (64,), two a block."""

    scale: float
    epsilon: float
    token: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]
    norms: list[np.ndarray]


def _network(points: np.ndarray) -> np.ndarray:
    """Points (T, 146, 2) -> (T, 52)."""
    weights = _weights()
    layers = iter(weights.layers)
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.linalg.norm(centred, axis=2).mean(axis=1)[:, None, None]
    x = np.swapaxes(centred / size * weights.scale, 1, 2)  # (T, 2, 146)
    x = _linear(np.swapaxes(_linear(x, next(layers)), 1, 2), next(layers))  # (T, 96, 64)
    x = np.concatenate([np.broadcast_to(weights.token, (len(x), 1, x.shape[2])), x], axis=1)
    for tokens, channels in zip(weights.norms[::2], weights.norms[1::2], strict=True):
        mixed = np.swapaxes(_normalised(x, tokens, weights.epsilon), 1, 2)
        mixed = _linear(np.maximum(_linear(mixed, next(layers)), 0), next(layers))
        x = x + np.swapaxes(mixed, 1, 2)
        mixed = _normalised(x, channels, weights.epsilon)
        x = x + _linear(np.maximum(_linear(mixed, next(layers)), 0), next(layers))
    return 1 / (1 + np.exp(-_linear(x[:, 0], next(layers))))


def _linear(x: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return x @ layer[0].T + layer[1]


def _normalised(x: np.ndarray, gain: np.ndarray, epsilon: float) -> np.ndarray:
    away = x - x.mean(axis=-1, keepdims=True)
    return away / np.sqrt((away**2).mean(axis=-1, keepdims=True) + epsilon) * gain


@lru_cache(maxsize=1)
def _weights() -> _Weights:
    """The constants of the model's operators, in the order in which these are computed."""
    task = (resources.files("moda") / "package_data" / "face_landmarker.task").read_bytes()
    with zipfile.ZipFile(io.BytesIO(task)) as archive:
        model = _Model(archive.read("face_blendshapes.tflite"))
    layers: list[tuple[np.ndarray, np.ndarray]] = []
    norms: list[np.ndarray] = []
    scalars: dict[int, list[float]] = {_MUL: [], _ADD: []}
    token = np.zeros((1, 0), np.float32)
    for kind, inputs in model.operators():
        constants = [array for array in map(model.constant, inputs) if array is not None]
        if kind == _CONV_2D:
            layers.append((constants[0].reshape(len(constants[0]), -1), constants[1]))
        elif kind == _CONCATENATION:
            token = constants[0].reshape(1, -1)
        elif kind in scalars and constants and constants[0].ndim == 0:
            scalars[kind].append(float(constants[0]))
        elif kind == _MUL and constants:
            norms.append(constants[0])
    return _Weights(scalars[_MUL][0], scalars[_ADD][0], token, layers, norms)


class _Table:
    """A table of a flatbuffer: fields by number (https://flatbuffers.dev/internals)."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    def place(self, number: int) -> int | None:
        """Where a field stands; None if it has its default."""
        size = struct.unpack_from("<H", self._data, self._fields)[0]
        if 4 + 2 * number >= size:
            return None
        offset = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)[0]
        return self._at + offset if offset else None

    def number(self, field: int, kind: str = "<i") -> int:
        place = self.place(field)
        return 0 if place is None else int(struct.unpack_from(kind, self._data, place)[0])

    def vector(self, field: int) -> tuple[int, int]:
        """Place and length of a vector."""
        place = self.place(field)
        if place is None:
            return 0, 0
        at = place + struct.unpack_from("<I", self._data, place)[0]
        return at + 4, struct.unpack_from("<I", self._data, at)[0]

    def integers(self, field: int) -> list[int]:
        at, count = self.vector(field)
        return list(struct.unpack_from(f"<{count}i", self._data, at)) if count else []

    def tables(self, field: int) -> list[_Table]:
        at, count = self.vector(field)
        places = (at + 4 * i for i in range(count))
        return [_Table(self._data, place + struct.unpack_from("<I", self._data, place)[0]) for place in places]


class _Model:
    """A TFLite file's operators and constants (schema: tensorflow/lite/schema/schema.fbs, version 3)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        root = _Table(data, struct.unpack_from("<I", data, 0)[0])
        self._codes = [max(code.number(0, "<b"), code.number(3)) for code in root.tables(1)]
        graph = root.tables(2)[0]
        self._tensors, self._buffers = graph.tables(0), root.tables(4)
        self._operators = graph.tables(3)
        self._unpacked: dict[int, int] = {}
        """Of a half-precision constant that an operator unpacks: the result's number -> its own."""
        for kind, operator in self._each():
            if kind == _DEQUANTIZE:
                self._unpacked[operator.integers(2)[0]] = operator.integers(1)[0]

    def _each(self) -> list[tuple[int, _Table]]:
        return [(self._codes[operator.number(0, "<I")], operator) for operator in self._operators]

    def operators(self) -> list[tuple[int, list[int]]]:
        """Kind and input tensors of each."""
        return [(kind, operator.integers(1)) for kind, operator in self._each()]

    def constant(self, number: int) -> np.ndarray | None:
        """A tensor that the file holds, as float32; None for what is computed, and for whole numbers."""
        number = self._unpacked.get(number, number)
        tensor = self._tensors[number]
        at, count = self._buffers[tensor.number(2, "<I")].vector(0)
        kind = tensor.number(1, "<b")
        if not count or kind not in (0, _FLOAT16):
            return None
        values = np.frombuffer(self._data, "<f2" if kind == _FLOAT16 else "<f4", count // (2 if kind else 4), at)
        return values.astype(np.float32).reshape(tensor.integers(0))
