"""Settings of stage 2, FaCo-Net (paper, section 3.2)."""

from __future__ import annotations

from pydantic import Field

from moda.config import Config


class NetworkConfig(Config):
    """Architecture of stage 2. The defaults are the paper's, but for `keep_inputs`."""

    keep_inputs: bool = True
    """Lips and eyes of the output are those of the input. The paper's network predicts all 478 points,
    these too, and so may move the lips away from the audio."""
    width: int = 128
    """Unit of all widths: the paper's layers are 1, 2 and 4 times 128."""


class LossConfig(Config):
    """Weights of the generator's terms, and their unit."""

    standardise: bool = True
    """The target face is standardised by the training set's statistics. False: as it is, in pixels (the
    paper names no such step)."""
    l1: float = Field(10.0, ge=0)
    """L1 of all points (paper: 10)."""
    adversarial: float = Field(1.0, ge=0)
    """Least-squares adversarial term (paper: 1); 0 leaves the discriminator untrained."""
