"""The steps of preparation. A new step is one function and one `Step` entry here."""

from __future__ import annotations

from data_prepare.job import Step, in_order
from data_prepare.steps import audio as audio
from data_prepare.steps import normalise, offset, pack, pose, preview, probe, quality, torso

STEPS: list[Step] = in_order(
    [
        probe.STEP, normalise.STEP, audio.STEP, torso.STEP, pose.STEP, offset.STEP, quality.STEP, preview.STEP,
        pack.STEP,
    ]
)  # fmt: skip
