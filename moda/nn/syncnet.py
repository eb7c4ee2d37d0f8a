"""The network SyncNet as published (Chung and Zisserman 2016, "Out of time"), so that its weights can be loaded.

Two towers that map five frames of a face and the 0.2 s of audio beside them to points that are close
where the two are in step. The layout is that of the released weights (github.com/joonson/syncnet_python,
`syncnet_v2.model`): its names and shapes, and nothing of its code. The weights are not ours to ship.

Dimension letters: B batch, T frames (25 fps), n cepstral frames (100 a second), E embedding.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from moda.errors import CheckpointError
from moda.tensor_file import read_published

log = logging.getLogger(__name__)

VIDEO_FRAMES, CEPSTRAL_FRAMES = 5, 20
"""Receptive field of one embedding: frames of video, and cepstral frames."""
CEPSTRA_A_VIDEO_FRAME = 4
"""Cepstral frames a video frame."""
EMBEDDING_CHANNELS = 1024
AUDIO_BATCH_WINDOWS = 64
"""Windows of audio that go through at once."""
VIDEO_CHUNK_FRAMES = 16
"""Frames of video that go through at once, and VIDEO_FRAMES - 1 more: about 120 MB of activations."""


class SyncNet(nn.Module):
    """`audio` and `picture` give embeddings (..., 1024), not normalised, that are compared by Euclidean distance."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1, 1),  # does nothing, but counts in the names of what follows
            *_layer(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_layer(nn.Conv2d(192, 384, 3, padding=1)),
            *_layer(nn.Conv2d(384, 256, 3, padding=1)),
            *_layer(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_layer(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netfcaud = _head()
        self.netcnnlip = nn.Sequential(
            *_layer(nn.Conv3d(3, 96, (VIDEO_FRAMES, 7, 7), stride=(1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfclip = _head()

    def audio(self, windows: Tensor) -> Tensor:
        """Cepstra (B, 1, 13, 20) -> (B, E)."""
        return torch.as_tensor(self.netfcaud(self.netcnnaud(windows).flatten(1)))

    def picture(self, frames: Tensor) -> Tensor:
        """BGR (B, 3, T, 224, 224) in 0..255 -> (B, T - 4, E), one embedding for every five neighbouring frames.

        Only the first layer has a temporal extent, so a run of frames gives what its windows would give one by one.
        """
        maps = self.netcnnlip(frames)[..., 0, 0].transpose(1, 2)  # (B, T - 4, 512)
        return torch.as_tensor(self.netfclip(maps.flatten(0, 1)).unflatten(0, maps.shape[:2]))

    @torch.inference_mode()
    def embed_audio(self, cepstra: Tensor, count: int) -> Tensor:
        """Cepstra (n, 13) of a clip -> (count, E): embedding t is of cepstral frames 4 t .. 4 t + 19.

        Raises ValueError where the audio is too short for `count`.
        """
        if count < 1 or len(cepstra) < CEPSTRA_A_VIDEO_FRAME * (count - 1) + CEPSTRAL_FRAMES:
            raise ValueError(f"{len(cepstra)} cepstral frames are too few for {count} embeddings")
        windows = cepstra.float().unfold(0, CEPSTRAL_FRAMES, CEPSTRA_A_VIDEO_FRAME)[:count, None]  # (count, 1, 13, 20)
        return torch.cat([self.audio(part) for part in windows.split(AUDIO_BATCH_WINDOWS)])

    @torch.inference_mode()
    def embed_picture(self, faces: Iterable[np.ndarray]) -> Tensor:
        """RGB uint8 faces (224, 224, 3), T of them -> (T - 4, E): embedding t is of faces t .. t + 4.

        Takes a few at a time from `faces`. Raises ValueError for fewer than 5.
        """
        embeddings: list[Tensor] = []
        waiting: list[np.ndarray] = []
        for face in faces:
            waiting.append(face)
            if len(waiting) == VIDEO_CHUNK_FRAMES + VIDEO_FRAMES - 1:
                embeddings.append(self._embed(waiting))
                del waiting[:VIDEO_CHUNK_FRAMES]
        if len(waiting) >= VIDEO_FRAMES:
            embeddings.append(self._embed(waiting))
        if not embeddings:
            raise ValueError(f"{len(waiting)} faces, wanted at least {VIDEO_FRAMES}")
        return torch.cat(embeddings)

    def _embed(self, faces: list[np.ndarray]) -> Tensor:
        run = torch.from_numpy(np.stack(faces)).flip(-1).float()  # BGR, as the weights were trained
        return self.picture(run.permute(3, 0, 1, 2)[None])[0]

    @classmethod
    def load(cls, path: Path | str) -> SyncNet:
        """The network with the published weights (`syncnet_v2.model`), ready to compute.

        Raises `CheckpointError` for a file that is missing, is not a file of tensors only (pickled code is not
        run), or whose names or shapes are not SyncNet's.
        """
        file = Path(path)
        if not file.is_file():
            raise CheckpointError(f"no SyncNet weights at {file}; give the path of syncnet_v2.model")
        try:
            stored = read_published(file)
        except (OSError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"cannot read SyncNet weights from {file}: {reason}") from error
        network = cls()
        wanted = network.state_dict()
        problems = _differences(stored, wanted)
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise CheckpointError(
                f"{file} does not hold SyncNet's weights (wanted the layout of syncnet_v2.model): "
                f"{'; '.join(problems[:3])}{more}"
            )
        network.load_state_dict({name: stored.get(name, value) for name, value in wanted.items()})
        log.info("SyncNet weights from %s", file)
        return network.eval()


def _layer(convolution: nn.Conv2d | nn.Conv3d) -> Sequence[nn.Module]:
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)


def _head() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, EMBEDDING_CHANNELS)
    )


def _differences(stored: object, wanted: dict[str, Tensor]) -> list[str]:
    """What keeps `stored` from being these weights, in words; counters of batch norm may be missing (old torch)."""
    if not isinstance(stored, dict):
        return [f"it holds {type(stored).__name__}, not weights by name"]
    problems = [f"{name} is unknown" for name in stored if name not in wanted]
    for name, value in wanted.items():
        if name not in stored:
            if not name.endswith("num_batches_tracked"):
                problems.append(f"{name} is missing")
        elif not isinstance(stored[name], Tensor):
            problems.append(f"{name} is {type(stored[name]).__name__}, not a tensor")
        elif stored[name].shape != value.shape:
            problems.append(f"{name} is {tuple(stored[name].shape)}, not {tuple(value.shape)}")
        elif not torch.isfinite(stored[name]).all():
            problems.append(f"{name} is not finite")
    return problems
