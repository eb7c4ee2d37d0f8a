"""What a rendered frame costs by part, with the warp by OpenCV on the host and by torch on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.moving_head import moving
from benchmarks.self_driven import load_renderer
from moda.imaging.conditioning import stack_inputs
from moda.imaging.drawing import draw_condition
from moda.imaging.windows import cut, region_of, window_of
from moda.media.picture import read_picture
from moda.representation import WindowPart
from moda.stages.renderer.session import RenderSession
from moda.tracking.portrait import make_portrait

ROUNDS = 3
BATCHES = {"cuda": 12}
"""Of a round; 2 elsewhere."""


@dataclass
class PartCosts:
    """Least of the rounds, by part: CPU milliseconds of all threads a frame, and milliseconds until it was done.

    frames_per_second: of `RenderSession.stream`, which works ahead on a GPU.
    """

    cpu_ms: dict[str, float] = field(default_factory=dict)
    done_ms: dict[str, float] = field(default_factory=dict)
    frames_per_second: float = 0.0


def part_costs(checkpoint: Path, picture: Path, device: torch.device, size: int, batch: int) -> dict[str, PartCosts]:
    """Costs with the warp "on the host" and "on the device", rounds alternating."""
    renderer = load_renderer(checkpoint).to(device)
    portrait = make_portrait(read_picture(picture), size, source=picture)
    frames = BATCHES.get(device.type, 2) * batch
    landmarks, torso = moving(portrait, frames)
    batches = [(landmarks[i : i + batch], torso[i : i + batch], i) for i in range(0, frames, batch)]
    sessions = {
        name: RenderSession(renderer, renderer.config, portrait, device, size, warp_on_device=name == "on the device")
        for name in ("on the host", "on the device")
    }
    costs = {name: PartCosts() for name in sessions}
    for session in sessions.values():
        session.render(*batches[0])
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            begin = time.perf_counter()
            for _frames in session.stream(batches):
                pass
            costs[name].frames_per_second = max(costs[name].frames_per_second, frames / (time.perf_counter() - begin))
            parts = _device_parts if name == "on the device" else _host_parts
            _measure(costs[name], parts(session, batches[0]), len(batches[0][0]), device)
    return costs


Step = tuple[str, Callable[[], object]]


def _measure(costs: PartCosts, steps: Iterator[Step], frames: int, device: torch.device) -> None:
    for name, step in steps:
        cpu, begin = time.process_time(), time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        for found, value in ((costs.cpu_ms, time.process_time() - cpu), (costs.done_ms, time.perf_counter() - begin)):
            found[name] = min(found.get(name, float("inf")), 1000 * value / frames)


def _host_parts(session: RenderSession, batch: tuple[np.ndarray, np.ndarray, int]) -> Iterator[Step]:
    landmarks, torso, first = batch
    conditioner, size = session._conditioner, session.size
    warp = conditioner.warp
    assert warp is not None
    frames = conditioner.frames(landmarks, torso, first)
    changes = _network(session, stack_inputs(frames))

    def draw(points: np.ndarray, shoulders: np.ndarray) -> None:
        drawn = draw_condition(points, shoulders, size)
        for part in conditioner.parts:
            window = window_of(part, points, size)
            cut(drawn, window), region_of(part, points, size, window)

    yield "warp", lambda: [warp.warp(target) for target in warp.targets(landmarks, torso)]
    yield "drawing", lambda: [draw(*each) for each in zip(landmarks, torso, strict=True)]
    yield "network", lambda: _network(session, stack_inputs(frames))
    yield "copy", lambda: session._placed(frames, changes)


def _device_parts(session: RenderSession, batch: tuple[np.ndarray, np.ndarray, int]) -> Iterator[Step]:
    batched = session._batched
    assert batched is not None
    prepared = batched.prepare(*batch)
    with torch.inference_mode():
        made = batched.inputs(prepared)
        changes = _network(session, made.inputs)
        yield "drawing", lambda: batched.prepare(*batch)
        yield "warp", lambda: batched.inputs(prepared)
        yield "network", lambda: _network(session, made.inputs)
        yield "copy", lambda: session._placed_on_device(made, changes).cpu()


def _network(session: RenderSession, inputs: dict[str, Tensor]) -> dict[WindowPart, Tensor]:
    with torch.inference_mode():
        return session._refined(inputs)
