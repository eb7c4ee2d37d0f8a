"""Settings of the sync stage."""

from __future__ import annotations

from pydantic import Field

from moda.config import Config
from moda.nn.settings import LipSyncConfig as NetworkConfig

__all__ = ["LossConfig", "NetworkConfig"]


class LossConfig(Config):
    """Weights of the terms."""

    frames: float = Field(1.0, ge=0)
    """Cross-entropy per frame over the frames of the other modality, nats."""
    curve: float = Field(1.0, ge=0)
    """Cross-entropy of a window over lags, nats."""
    width: float = Field(1.5, gt=0.5)
    """Half the base of the target triangle, frames."""
    reach: int = Field(20, ge=1)
    """Largest lag of the curve, +- frames."""
    disturb: float = Field(0.3, ge=0)
    """Training: noise on both inputs (of standard deviation 1), of up to this standard deviation; the whole spectrum
    is shifted by as much, and lips are scaled by e to two thirds of it."""
    hidden_bands: float = Field(0.7, ge=0, le=1)
    """Training: share of windows in which up to a quarter of the mel bands is masked."""
