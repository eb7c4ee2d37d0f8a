"""The steps of preparation. A new step is one function and one `Step` entry here."""

from __future__ import annotations

from data_prepare.job import Step, in_order
from data_prepare.steps import normalise, pack, pose, probe, quality, scout, sound, torso

STEPS: list[Step] = in_order(
    [probe.STEP, scout.STEP, normalise.STEP, sound.STEP, torso.STEP, pose.STEP, quality.STEP, pack.STEP]
)
VERSIONS: dict[str, int] = {step.name: step.version for step in STEPS}
"""What clip.json must say for a clip to be up to date."""
