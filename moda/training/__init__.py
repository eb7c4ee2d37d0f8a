"""The one training loop and what a stage has to offer it."""

from moda.training.config import OptimizerConfig, TrainConfig, TrainerConfig
from moda.training.examination import DryRun
from moda.training.randomness import seed_everything
from moda.training.stage import Stage, Terms
from moda.training.trainer import Outcome, Trainer

__all__ = [
    "DryRun",
    "OptimizerConfig",
    "Outcome",
    "Stage",
    "Terms",
    "TrainConfig",
    "Trainer",
    "TrainerConfig",
    "seed_everything",
]
