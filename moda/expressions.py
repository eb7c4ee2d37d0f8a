"""Expressions by name, laid over a motion: what speech and blinks do to lips and lids stays.

How far the points stand in an expression is measured on people's faces (`benchmarks.expressions`). "neutral" takes
away the picture's own smile, and brows that it raises or lowers unusually far; how much, the blendshape network tells.

Dimension letters: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from moda.errors import ConfigError
from moda.landmarks import EYES, LIPS, LOWER_LID_ROWS, N_LIPS, UPPER_LID_ROWS
from moda.reading import read_arrays
from moda.representation import Motion
from moda.tracking.blendshapes import NAMES, blendshapes

Measured = Literal["smile", "frown", "brows_up", "brows_down", "surprise"]
EXPRESSIONS: tuple[Measured, ...] = get_args(Measured)
Expression = Literal[Measured, "neutral"]
MAX_AMOUNT = 1.5
"""1 is as strong as the strongest of a hundred faces."""
USUAL: dict[Measured, tuple[float, tuple[str, ...]]] = {
    "smile": (0.1, ("mouthSmileLeft", "mouthSmileRight")),
    "brows_up": (0.1, ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")),
    "brows_down": (0.8, ("browDownLeft", "browDownRight")),
}
"""The least of these coefficients up to which a face is neutral: a quarter of 1,557 photographs, most of which smile,
lie below that of a smile, nineteen in twenty below those of brows, by which people differ at rest. A frown is hardly
seen."""
MAX_OWN = 3.5
"""Most of an expression that a picture is found to have: the coefficients saturate, a broad smile is 2 to 3."""
OWN_STEPS = 36


@lru_cache(maxsize=1)
def _measured() -> dict[str, np.ndarray]:
    """What each expression adds to lips and eyes, (100, 3) canonical pixels."""
    file = resources.files("moda") / "package_data" / "expressions.npz"
    with resources.as_file(file) as path:
        return read_arrays(Path(path), EXPRESSIONS)


def own_expression(subject: np.ndarray) -> dict[Measured, float]:
    """How much of each expression of `USUAL` a mesh at rest (478, 3) has, 0 to `MAX_OWN`.

    That is the least without which its coefficients are usual ones.
    """
    found = {}
    rows = [*LIPS, *EYES]
    amounts = np.linspace(0, MAX_OWN, OWN_STEPS)
    for name, (usual, curves) in USUAL.items():
        without = np.repeat(np.asarray(subject, np.float64)[None], OWN_STEPS, axis=0)
        without[:, rows] -= amounts[:, None, None] * _measured()[name]
        seen = blendshapes(without)[:, [NAMES.index(curve) for curve in curves]].min(axis=1)
        found[name] = float(amounts[np.argmax(seen <= usual) if (seen <= usual).any() else -1])
    return found


def express(motion: Motion, amounts: Mapping[Expression, float], subject: np.ndarray) -> Motion:
    """The motion with expressions added by their amounts, for a portrait with this mesh (478, 3).

    neutral: the share of the portrait's own expression that is taken away (`own_expression`).
    Facing points of the lips move up and down together, so the mouth opens and closes as before; lids go with how
    far they are open, so a blink shuts them. Raises `ConfigError` for a name that there is not.
    """
    change = np.zeros((len(LIPS) + len(EYES), 3), np.float64)
    for name, amount in amounts.items():
        if name == "neutral":
            for part, own in own_expression(subject).items():
                change -= amount * own * _measured()[part]
        elif name in EXPRESSIONS:
            change += amount * _measured()[name].astype(np.float64)
        else:
            raise ConfigError(f"no expression '{name}', wanted one of {', '.join((*EXPRESSIONS, 'neutral'))}")
    lips = motion.lips + change[:N_LIPS].astype(motion.lips.dtype)
    eyes = np.repeat(change[None, N_LIPS:], len(motion), axis=0)
    rest = np.asarray(subject, np.float64)[list(EYES)]
    gaps = np.linalg.norm((rest + motion.eyes)[:, LOWER_LID_ROWS] - (rest + motion.eyes)[:, UPPER_LID_ROWS], axis=-1)
    usual = np.maximum(np.linalg.norm(rest[LOWER_LID_ROWS] - rest[UPPER_LID_ROWS], axis=-1), 1e-6)
    opened = np.clip(gaps / usual, 0.0, 1.0)[..., None]
    for rows in (UPPER_LID_ROWS, LOWER_LID_ROWS):
        eyes[:, rows] *= opened
    return replace(motion, lips=lips, eyes=motion.eyes + eyes.astype(motion.eyes.dtype))
