"""Two seconds of animation with the default checkpoints, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from moda.doctor.findings import Finding

SECONDS = 2.0
MAX_SECONDS = 600
MIN_LIP_RANGE_PX = 1.0
"""Of the lips' opening in the square frame; a voice of syllables opens them by several."""


def self_test(device: str = "auto", seconds: float = SECONDS) -> Finding:
    """Animate the demo picture with a synthetic voice and look at what was written."""
    command = [sys.executable, "-m", "moda.doctor.self_test", device, str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS)
    except subprocess.TimeoutExpired:
        return Finding(
            "self-test", "not finished", f"it took more than {MAX_SECONDS} s", "look at cores and memory above"
        )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]
        cure = "mend the problems above first; else report it with this text"
        return Finding("self-test", "failed", said[:300], cure)
    facts = json.loads(lines[-1])
    value = "{frames} frames, {width}x{height}, in {seconds:.1f} s on {device}".format(**facts)
    if facts["problem"]:
        return Finding("self-test", value, facts["problem"], "report it with this text")
    return Finding("self-test", value)


def _run(device_name: str, length: float) -> dict[str, object]:
    import time

    import numpy as np

    from moda.animation import AnimationConfig
    from moda.device import choose_device
    from moda.files import scratch_folder
    from moda.landmarks import lip_opening
    from moda.locations import shipped
    from moda.media.audio import write_wav
    from moda.media.picture import read_picture
    from moda.media.probe import probe
    from moda.media.video_writer import VideoWriter
    from moda.pipeline import Animator
    from moda.representation import SAMPLE_RATE
    from moda.tracking.portrait import make_portrait

    begun = time.perf_counter()
    device = choose_device(device_name)  # type: ignore[arg-type]
    animator = Animator.from_config(AnimationConfig(), device)
    config = animator.config
    portrait = make_portrait(read_picture(shipped(Path("assets/demo.png"))), config.size)
    moments = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
    syllables = np.maximum(0.0, np.sin(2 * np.pi * 2.5 * moments)) ** 0.5
    tones = (np.sin(2 * np.pi * 130 * k * moments) / k for k in range(1, 20))
    wave = (0.1 * syllables * np.sum(list(tones), axis=0)).astype(np.float32)
    motion = animator.motion(wave, portrait)
    opening = lip_opening(animator.landmarks(motion, portrait)[0])
    with scratch_folder() as folder:
        write_wav(folder / "voice.wav", wave)
        with VideoWriter(folder / "test.mp4", config.size, config.fps, folder / "voice.wav") as writer:
            for frame in animator.frames(motion, portrait):
                writer.write(frame)
            frames = writer.frames
        info = probe(folder / "test.mp4")
    problem = None
    if frames != round(length * config.fps) or abs(info.seconds - length) > 0.1:
        problem = f"the video has {frames} frames and lasts {info.seconds:.2f} s, wanted {length:g} s"
    elif float(np.ptp(opening)) < MIN_LIP_RANGE_PX:
        problem = f"the lips open by {np.ptp(opening):.2f} px only"
    return {
        "frames": frames, "width": info.width, "height": info.height, "device": str(device),
        "seconds": time.perf_counter() - begun, "problem": problem,
    }  # fmt: skip


if __name__ == "__main__":
    from moda.errors import ModaError

    try:
        print(json.dumps(_run(sys.argv[1], float(sys.argv[2]))))  # noqa: T201
    except ModaError as failed:
        sys.exit(f"error: {failed}")
