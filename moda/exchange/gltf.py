"""Head and shoulders as glTF 2.0: three animated nodes below a root, in one file of text."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

import moda
from moda.exchange.skeleton import joints
from moda.files import write_text
from moda.representation import Motion

_FLOAT = 5126


class _Buffer:
    """The file's one buffer, with an accessor for each array."""

    def __init__(self) -> None:
        self.data = b""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: np.ndarray) -> int:
        """Append (T,) or (T, C) values; returns the accessor's number."""
        array = np.ascontiguousarray(values, "<f4")
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes})
        rows = array.reshape(len(array), -1)
        kind = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[rows.shape[1]]
        limits = {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        accessor = {"bufferView": len(self.views) - 1, "componentType": _FLOAT, "count": len(array), "type": kind}
        self.accessors.append(accessor | limits)
        self.data += array.tobytes()
        return len(self.accessors) - 1


def write_gltf(path: Path, motion: Motion) -> None:
    """Write a motion's head pose (with its scale) and the mean place of each shoulder; raises `OutputError`."""
    buffer, parts = _Buffer(), joints(motion)
    times = buffer.add(np.arange(len(motion)) / motion.fps)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    scale = np.repeat(1 + motion.head[:, 6:7], 3, axis=1)
    for number, part in enumerate(parts, 1):
        curves = {"translation": part.moved + np.array(part.rest)}
        if part.name == "Head":
            curves |= {"rotation": part.quaternions, "scale": scale}
        for name, values in curves.items():
            samplers.append({"input": times, "output": buffer.add(values), "interpolation": "LINEAR"})
            channels.append({"sampler": len(samplers) - 1, "target": {"node": number, "path": name}})
    nodes = [{"name": part.name, "translation": list(part.rest)} for part in parts]
    tree = {
        "asset": {"version": "2.0", "generator": f"MODA {moda.__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "Root", "children": [1, 2, 3]}, *nodes],
        "animations": [{"name": "motion", "samplers": samplers, "channels": channels}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [
            {
                "byteLength": len(buffer.data),
                "uri": f"data:application/octet-stream;base64,{base64.b64encode(buffer.data).decode()}",
            }
        ],
    }
    write_text(path, json.dumps(tree, allow_nan=False))
