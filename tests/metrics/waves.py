"""Sounds that are loud and silent where a test says so."""

import numpy as np


def noise(*parts: tuple[float, float]) -> np.ndarray:
    """(seconds, amplitude) parts of white noise at 16 kHz."""
    generator = np.random.default_rng(0)
    return np.concatenate([generator.normal(0, a, round(s * 16000)) for s, a in parts]).astype(np.float32)
