"""Network of the sync stage: `moda.nn.landmark_sync`, which preparation uses without any stage."""

from __future__ import annotations

from moda.nn.landmark_sync import LipSyncConfig, LipSyncNet

NetworkConfig = LipSyncConfig


def build(config: LipSyncConfig) -> LipSyncNet:
    """The network with weights still to be loaded."""
    return LipSyncNet(config)
