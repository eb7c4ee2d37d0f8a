"""Sync stage: estimate the lag between lips and audio that were shifted against each other.

    L = w_frames * (CE(lips -> audio) + CE(audio -> lips)) / 2 + w_curve * CE(curve)

Frames: each lip frame is matched with its audio among all audio of the window, and the reverse (InfoNCE).
Curve: the similarity averaged over the window gives the lag, as in the estimator at inference.
Negatives are of the same clip: those of other speakers would be too easy. Targets are triangles about the
true lag, which is fractional and known to a frame at best.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from moda.config import Config
from moda.data.sync_windows import SyncDataConfig, SyncPairs, sync_batches
from moda.nn.landmark_sync import LipSyncConfig, LipSyncNet, lag_curves, lip_motion, whole_fields
from moda.stages.sync.config import LossConfig as SyncLossConfig
from moda.training.stage import Stage, Terms

MASKED_LOGIT = -1e4
STATISTICS_FRAME_STEP = 3
"""Every third frame of the training footage goes into the statistics."""


class SyncStage(Stage):
    """Stage "sync"."""

    name: ClassVar[str] = "sync"
    DataConfig: ClassVar[type[Config]] = SyncDataConfig
    NetworkConfig: ClassVar[type[Config]] = LipSyncConfig
    LossConfig: ClassVar[type[Config]] = SyncLossConfig
    targets: ClassVar[frozenset[str]] = frozenset({"late"})

    data_config: SyncDataConfig
    network_config: LipSyncConfig
    loss_config: SyncLossConfig

    def __init__(self, data: SyncDataConfig, network: LipSyncConfig, loss: SyncLossConfig) -> None:
        super().__init__(data, network, loss)
        self.net = LipSyncNet(network)

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"towers": self.net}

    @property
    def network(self) -> LipSyncNet:
        return self.net

    def datasets(self) -> tuple[SyncPairs, SyncPairs]:
        return SyncPairs.splits(self.data_config)

    def sampler(self, dataset: Any, batch: int, seed: int) -> Any:
        return sync_batches(dataset, batch, seed)

    def prepare(self, train: Dataset[Any]) -> None:
        assert isinstance(train, SyncPairs)
        moved, levels = [], []
        device = next(self.net.parameters()).device
        for clip in train.whole_clips():
            lips, tracked, wave = (part.to(device) for part in clip)
            moved.append(lip_motion(lips[None], tracked[None])[0, ::STATISTICS_FRAME_STEP])
            levels.append(self.net.mel(wave[None], len(lips))[0, ::STATISTICS_FRAME_STEP])
        self.net.fit(torch.cat(moved), torch.cat(levels))

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        frames, curve, _ = self._compare(batch, generator)
        yield "towers", {"frames": self.loss_config.frames * frames, "curve": self.loss_config.curve * curve}

    def _compare(
        self, batch: dict[str, Tensor], disturbance: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both cross-entropies, means over what is valid; and the curves (B, K). disturbance: noise for training."""
        components = self.net.components(batch["lips"], batch["tracked"])
        levels = self.net.levels(batch["wave"], batch["lips"].shape[1])
        if disturbance is not None:
            components, levels = self._disturb(components, levels, disturbance)
        lips, audio = self.net.embed_lips(components), self.net.embed_audio(levels)
        seen, audible = whole_fields(batch["tracked"]), whole_fields(batch["audible"])
        frames = self._frame_loss(lips, audio, seen, audible, batch["late"])

        reach = self.loss_config.reach
        curves, support = lag_curves(lips, audio, seen, audible, reach)
        lags = torch.arange(-reach, reach + 1, device=lips.device)
        target = self._triangle(lags[None] - batch["late"][:, None])
        logits = (self.net.curve_scale.exp() * curves).masked_fill(support < 1, MASKED_LOGIT)
        usable = (target * (support >= 1)).sum(-1) > 0.99
        curve = -(target * logits.log_softmax(-1)).sum(-1)
        return frames, (curve * usable).sum() / usable.sum().clamp(min=1), curves

    def _disturb(self, components: Tensor, levels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        size, device, amount = len(levels), levels.device, self.loss_config.disturb

        def uniform() -> Tensor:
            return torch.rand((size, 1, 1), generator=generator, device=device)

        def normal(*shape: int) -> Tensor:
            return torch.randn((size, *shape), generator=generator, device=device)

        components = components * torch.exp(amount / 1.5 * normal(1, 1))
        components = components + amount / 1.5 * uniform() * normal(*components.shape[1:])
        bands = self.network_config.bands
        width = (1 + bands // 4 * uniform()).floor()
        first = uniform() * (bands - width)
        band = torch.arange(levels.shape[2], device=device) % bands
        hidden = (band >= first) & (band < first + width) & (uniform() < self.loss_config.hidden_bands)
        levels = levels.masked_fill(hidden, 0.0) + amount * normal(1, 1)
        return components, levels + amount * uniform() * normal(*levels.shape[1:])

    def _frame_loss(self, lips: Tensor, audio: Tensor, seen: Tensor, audible: Tensor, late: Tensor) -> Tensor:
        time = torch.arange(lips.shape[1], device=lips.device)
        behind = time[:, None] - time[None, :] - late[:, None, None]  # (B, F lips, F audio); 0 where in step
        pairs = seen[:, :, None] & audible[:, None, :]
        logits = (self.net.frame_scale.exp() * lips @ audio.transpose(1, 2)).masked_fill(~pairs, MASKED_LOGIT)
        target = self._triangle(behind, normalise=False) * pairs
        total = lips.new_zeros(())
        for axis in (1, 2):
            mass = target.sum(axis, keepdim=True)
            entropy = -(target / mass.clamp(min=1e-6) * logits.log_softmax(axis)).sum(axis)
            usable = mass.squeeze(axis) > 0.5
            total = total + (entropy * usable).sum() / usable.sum().clamp(min=1)
        return total / 2

    def _triangle(self, distance: Tensor, *, normalise: bool = True) -> Tensor:
        """Soft targets: highest at distance 0, none beyond `width`; they sum to 1 over the last axis."""
        height = (1 - distance.abs() / self.loss_config.width).clamp(min=0)
        return height / height.sum(-1, keepdim=True).clamp(min=1e-6) if normalise else height

    def validate(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """frames, curve (nats); within_1: share of windows whose curve is highest within a frame of the truth."""
        frames, curve, curves = self._compare(batch)
        error = (curves.argmax(-1) - self.loss_config.reach - batch["late"]).abs()
        return {
            "frames": frames.item(),
            "curve": curve.item(),
            "within_1": (error <= 1).float().mean().item(),
            "score": curve.item(),
        }

    def preview(self, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Curves of the batch, one a row, lag to the right; the true lag is marked in red."""
        _, _, curves = self._compare(batch)
        low, high = curves.amin(1, keepdim=True), curves.amax(1, keepdim=True)
        grey = (255 * (curves - low) / (high - low).clamp(min=1e-6)).byte().cpu().numpy()
        picture = np.repeat(grey[..., None], 3, axis=-1)
        true = (batch["late"].round().long().cpu().numpy() + self.loss_config.reach).clip(0, grey.shape[1] - 1)
        picture[np.arange(len(grey)), true] = (255, 0, 0)
        return {"curves": picture.repeat(8, axis=0).repeat(8, axis=1)}
