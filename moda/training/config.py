"""Configuration of a training run. Its data, network and loss sections belong to the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from moda.config import Config
from moda.device import DeviceName, Precision


class OptimizerConfig(Config):
    """AdamW, one for each trainable, all with these settings (with weight_decay 0 it is Adam)."""

    lr: float = Field(1e-4, gt=0)
    """Learning rate at its highest (paper: 1e-4)."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of the first and second moments (paper: 0.9, 0.99; renderer 0.5, 0.999)."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of a trainable's gradient; 0 does not clip."""
    warmup: int = Field(0, ge=0)
    """Steps over which the learning rate rises linearly."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant, or a half cosine down to 0 at the last step."""


class TrainerConfig(Config):
    """The loop. A step is one update of every trainable."""

    steps: int = Field(gt=0)
    """Steps in all; a larger number with the same command trains on."""
    batch: int = Field(8, ge=1)
    """Samples a batch."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are averaged into one step."""
    precision: Precision = "fp32"
    """bf16 and fp16 run the losses under autocast, fp16 with scaled gradients; weights stay fp32."""
    tf32: bool | None = None
    """On CUDA: products of fp32 in TF32, in matrices and convolutions (true) or nowhere (false); null leaves torch's
    choice, convolutions alone."""
    channels_last: bool = False
    """Convolutions keep the channels of a pixel side by side: faster on a GPU under bf16 and fp16."""
    compile: bool = False
    """Networks are compiled (torch.compile): minutes at the start, less time a step."""
    sync_batch_norm: bool = False
    """Several GPUs: batch normalisation over the batches of all of them."""
    log_every: int = Field(20, ge=1)
    """Steps between lines of the log and points in TensorBoard."""
    validate_every: int = Field(500, ge=1)
    """Steps between validations; one runs at the end too."""
    preview_every: int = Field(1000, ge=1)
    """Steps between previews in TensorBoard; one is made at the end too."""
    save_every: int = Field(500, ge=1)
    """Steps between writings of last.pt; it is written at the end too."""
    best: Literal["score", "last"] = "score"
    """Which step best.pt holds: that of the lowest validation score, or the last (the paper tells of no selection)."""
    loggers: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ("tensorboard",)
    """Where losses, validation and previews go; all but tensorboard are extras: pip install 'moda[wandb]'. Nothing
    is sent over a network unless the tracker's own variables (WANDB_MODE, MLFLOW_TRACKING_URI) say so."""
    workers: int = Field(0, ge=0)
    """Processes that load data; any number gives the same samples."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the network's weights; 0 keeps none. The average is what is
    validated and what `weights` in a checkpoint holds."""


class TrainConfig(Config):
    """A train YAML."""

    stage: str
    """Name of the stage: audio2repr, faco, renderer."""
    output: Path
    """Folder of the run: best.pt, last.pt, tensorboard/."""
    seed: int = Field(0, ge=0)
    """Seed of weights, order and noise."""
    device: DeviceName = "auto"
    """auto takes a GPU when there is one."""
    init: Path | None = None
    """Checkpoint of the same stage and network whose weights a fresh run starts from; best.pt is then the start
    itself unless a step has a better score."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Section of the stage's DataConfig."""
    network: dict[str, Any] = Field(default_factory=dict)
    """Section of the stage's NetworkConfig."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """Section of the stage's LossConfig."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    """How the trainables are updated."""
    trainer: TrainerConfig
    """The loop."""


RESUMABLE_CHANGES = frozenset(
    {
        "output",
        "device",
        "data.cache_gb",
        "trainer.steps",
        "trainer.log_every",
        "trainer.validate_every",
        "trainer.preview_every",
        "trainer.save_every",
        "trainer.workers",
        "trainer.loggers",
    }
)
"""Keys that may differ when a run is resumed; any other difference is refused."""
