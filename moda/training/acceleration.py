"""Settings that change how fast a device trains, or how a batch is shared, and nothing of what is learned."""

from __future__ import annotations

import torch
from torch import nn

from moda.errors import ConfigError
from moda.training.config import TrainerConfig
from moda.training.runtime import Runtime
from moda.training.stage import Stage


def set_up(stage: Stage, config: TrainerConfig, runtime: Runtime) -> None:
    """Apply a configuration to a stage that is on its device, before its optimisers are made.

    Raises `ConfigError` for batch normalisation over processes that are not on GPUs.
    """
    if config.tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = config.tf32
        torch.backends.cudnn.allow_tf32 = config.tf32
    if config.channels_last:
        stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.sync_batch_norm and runtime.count > 1:
        if runtime.device.type != "cuda":
            raise ConfigError(
                f"trainer.sync_batch_norm works between GPUs only, these {runtime.count} processes compute on "
                f"{runtime.device.type}; set trainer.sync_batch_norm=false"
            )
        for trainable in stage.trainables.values():
            nn.SyncBatchNorm.convert_sync_batchnorm(trainable)
    if config.compile:
        for trainable in stage.trainables.values():
            for module in (trainable, *trainable.children()):  # losses call some networks by other names than `forward`
                module.compile()
