"""Expressions by name, laid over a motion: what speech and blinks do to lips and lids stays.

How far the points stand in an expression is measured on people's faces (`benchmarks.expressions`).

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

Expression = Literal["smile", "frown", "brows_up", "brows_down", "surprise"]
EXPRESSIONS: tuple[Expression, ...] = get_args(Expression)
MAX_AMOUNT = 1.5
"""1 is as strong as the strongest of a hundred faces."""


@lru_cache(maxsize=1)
def _measured() -> dict[str, np.ndarray]:
    """What each expression adds to lips and eyes, (100, 3) canonical pixels."""
    file = resources.files("moda") / "package_data" / "expressions.npz"
    with resources.as_file(file) as path:
        return read_arrays(Path(path), EXPRESSIONS)


def express(motion: Motion, amounts: Mapping[Expression, float], subject: np.ndarray) -> Motion:
    """The motion with expressions added by their amounts, for a portrait with this mesh (478, 3).

    Facing points of the lips move up and down together, so the mouth opens and closes as before; lids go with how
    far they are open, so a blink shuts them. Raises `ConfigError` for a name that there is not.
    """
    change = np.zeros((len(LIPS) + len(EYES), 3), np.float64)
    for name, amount in amounts.items():
        if name not in EXPRESSIONS:
            raise ConfigError(f"no expression '{name}', wanted one of {', '.join(EXPRESSIONS)}")
        change += amount * _measured()[name].astype(np.float64)
    lips = motion.lips + change[:N_LIPS].astype(motion.lips.dtype)
    eyes = np.repeat(change[None, N_LIPS:], len(motion), axis=0)
    rest = np.asarray(subject, np.float64)[list(EYES)]
    gaps = np.linalg.norm((rest + motion.eyes)[:, LOWER_LID_ROWS] - (rest + motion.eyes)[:, UPPER_LID_ROWS], axis=-1)
    usual = np.maximum(np.linalg.norm(rest[LOWER_LID_ROWS] - rest[UPPER_LID_ROWS], axis=-1), 1e-6)
    opened = np.clip(gaps / usual, 0.0, 1.0)[..., None]
    for rows in (UPPER_LID_ROWS, LOWER_LID_ROWS):
        eyes[:, rows] *= opened
    return replace(motion, lips=lips, eyes=motion.eyes + eyes.astype(motion.eyes.dtype))
