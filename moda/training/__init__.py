"""The one training loop and what a stage has to offer it."""

from moda.training.config import OptimizerConfig, TrainConfig, TrainerConfig
from moda.training.stage import Stage

__all__ = ["OptimizerConfig", "Stage", "TrainConfig", "TrainerConfig"]
