"""SyncNet: the published layout, loading and refusing weights, and that runs give what single windows give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from moda.errors import CheckpointError
from moda.nn import syncnet
from moda.nn.syncnet import SyncNet

AUDIO = {0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3), 14: (256, 256, 3, 3),
         18: (512, 256, 5, 4)}  # fmt: skip
LIP = {0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 8: (256, 256, 1, 3, 3), 11: (256, 256, 1, 3, 3),
       14: (256, 256, 1, 3, 3), 18: (512, 256, 1, 6, 6)}  # fmt: skip


def published() -> dict[str, Tensor]:
    """Random weights by the names and shapes of syncnet_v2.model, as old torch wrote them: no batch counters."""
    random = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "running_var"):
            weights[f"{name}.{part}"] = 0.5 + torch.rand(width, generator=random)
        for part in ("bias", "running_mean"):
            weights[f"{name}.{part}"] = 0.1 * torch.randn(width, generator=random)

    def linear(name: str, shape: tuple[int, ...]) -> None:
        spread = (2 / np.prod(shape[1:])) ** 0.5
        weights[f"{name}.weight"] = float(spread) * torch.randn(shape, generator=random)
        weights[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=random)

    for tower, layers in (("netcnnaud", AUDIO), ("netcnnlip", LIP)):
        for place, shape in layers.items():
            linear(f"{tower}.{place}", shape)
            norm(f"{tower}.{place + 1}", shape[0])
    for head in ("netfcaud", "netfclip"):
        linear(f"{head}.0", (512, 512))
        norm(f"{head}.1", 512)
        linear(f"{head}.3", (1024, 512))
    weights["netcnnlip.0.weight"] /= 128  # its input is 0..255
    return weights


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.save(published(), path)
    return path


@pytest.fixture(scope="module")
def network(weights_file: Path) -> SyncNet:
    return SyncNet.load(weights_file)


def test_weights_of_the_published_layout_load_to_the_last_value(network: SyncNet) -> None:
    loaded, wanted = network.state_dict(), published()
    assert {name for name in loaded if not name.endswith("num_batches_tracked")} == set(wanted)
    assert all(torch.equal(loaded[name], value) for name, value in wanted.items())
    assert sum(p.numel() for p in network.parameters()) == 13_631_616
    assert not network.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"netcnnaud.0.weight": None}, r"netcnnaud\.0\.weight is missing"),
        ({"netfclip.3.weight": torch.zeros(512, 512)}, r"netfclip\.3\.weight is \(512, 512\), not \(1024, 512\)"),
        ({"netcnnlip.21.weight": torch.zeros(1)}, r"netcnnlip\.21\.weight is unknown"),
        ({"netfcaud.0.bias": torch.full((512,), torch.nan)}, r"netfcaud\.0\.bias is not finite"),
        ({"netfcaud.0.bias": 3}, r"netfcaud\.0\.bias is int, not a tensor"),
    ],
)
def test_another_layout_is_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    weights: dict[str, object] = {**published(), **change}
    torch.save({name: value for name, value in weights.items() if value is not None}, tmp_path / "other.model")
    with pytest.raises(CheckpointError, match=r"other\.model does not hold SyncNet's weights.*" + message):
        SyncNet.load(tmp_path / "other.model")


def test_files_that_are_no_weights_are_refused(tmp_path: Path, weights_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no SyncNet weights at .*absent\.model; give the path"):
        SyncNet.load(tmp_path / "absent.model")
    torch.save([torch.zeros(1)], tmp_path / "list.model")
    with pytest.raises(CheckpointError, match="it holds list"):
        SyncNet.load(tmp_path / "list.model")
    torch.save(SyncNet(), tmp_path / "pickled.model")  # a pickled module runs code when it is read
    (tmp_path / "text.model").write_text("<html>404</html>")
    (tmp_path / "half.model").write_bytes(weights_file.read_bytes()[:1_000_000])
    for name in ("pickled", "text", "half"):
        with pytest.raises(CheckpointError, match=f"cannot read SyncNet weights from .*{name}.model"):
            SyncNet.load(tmp_path / f"{name}.model")


def test_a_run_of_faces_gives_what_its_windows_give(network: SyncNet, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    monkeypatch.setattr(syncnet, "VIDEO_CHUNK_FRAMES", 3)  # two pieces: 7 faces, then the last 5
    run = network.embed_picture(iter(faces))
    assert run.shape == (4, 1024)
    bgr = torch.from_numpy(faces[..., ::-1].copy()).float()
    with torch.inference_mode():
        single = torch.stack([network.picture(bgr[t : t + 5].permute(3, 0, 1, 2)[None])[0, 0] for t in range(4)])
    scale = float((single[0] - single[1]).abs().mean())
    assert scale > 1e-4, "windows must differ, or this test could not fail"
    assert float((run - single).abs().max()) < 0.02 * scale
    with pytest.raises(ValueError, match="4 faces, wanted at least 5"):
        network.embed_picture(iter(faces[:4]))


def test_sound_windows_start_every_four_cepstral_frames(network: SyncNet) -> None:
    cepstra = torch.randn(20 + 4 * 2, 13, generator=torch.Generator().manual_seed(1))
    found = network.embed_audio(cepstra, 3)
    with torch.inference_mode():
        last = network.audio(cepstra[8:28].T[None, None])[0]
    assert found.shape == (3, 1024)
    assert torch.allclose(found[2], last, atol=1e-4)
    assert not torch.allclose(found[1], last, atol=1e-2)
    with pytest.raises(ValueError, match="too few for 4"):
        network.embed_audio(cepstra, 4)
