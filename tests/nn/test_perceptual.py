import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from moda.errors import CheckpointError
from moda.nn.perceptual import CAFFE_MEAN, HUB_FILE, gram, load_features, perceptual_loss, squeezenet, style_loss, vgg


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torchvision's form with random weights: also a layer that is not needed."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({**vgg("vgg19").state_dict(), "classifier.6.bias": torch.zeros(3)}, path)
    return path


def test_layout_is_torchvisions() -> None:
    network = vgg("vgg19")
    names = sorted({int(name.split(".")[1]) for name in network.state_dict()})
    assert names == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28]
    assert network.taps == [1, 6, 11, 20, 29]
    assert not any(p.requires_grad for p in network.parameters())


def test_losses_are_zero_for_the_same_picture_and_reach_the_generator(weights: Path) -> None:
    network = load_features(weights)
    assert network is not None
    real, fake = torch.rand(1, 3, 32, 32) * 2 - 1, (torch.rand(1, 3, 32, 32) * 2 - 1).requires_grad_()
    maps = network(real)
    assert [m.shape[1] for m in maps] == [64, 128, 256, 512, 512]
    assert perceptual_loss(maps, maps).item() == 0
    assert style_loss(maps, maps).item() == 0
    for loss in (perceptual_loss, style_loss):
        fake.grad = None
        loss(maps, network(fake)).backward()
        assert fake.grad is not None and fake.grad.abs().sum() > 0


def test_losses_by_hand() -> None:
    """Deep layers count most in the one, all alike in the other (maps of one channel: the Gram matrix is a mean)."""
    real = [torch.zeros(1, 1, 2, 2) for _ in range(5)]
    fake = [torch.full((1, 1, 2, 2), float(value)) for value in (1, 2, 3, 4, 5)]
    assert perceptual_loss(real, fake).item() == pytest.approx(1 / 32 + 2 / 16 + 3 / 8 + 4 / 4 + 5)
    assert style_loss(real, fake).item() == pytest.approx((1 + 4 + 9 + 16 + 25) / 5)


def test_pictures_enter_as_torchvisions_weights_want_them() -> None:
    network = vgg("vgg19")
    seen: list[torch.Tensor] = []
    network.features[0].register_forward_pre_hook(lambda module, given: seen.append(given[0][0, :, 0, 0]))
    for value in (-1.0, 1.0):
        network(torch.full((1, 3, 16, 16), value))
    black, white = seen
    torch.testing.assert_close(black, -torch.tensor([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225]))
    torch.testing.assert_close(white, torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]))


def test_gram_by_hand() -> None:
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 1, 2)
    assert gram(maps)[0].tolist() == [[5 / 4, 11 / 4], [11 / 4, 25 / 4]]


def test_absent_weights_switch_the_terms_off_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert load_features(None) is None
    assert "perceptual and style losses are off" in caplog.text


def test_weights_in_the_hub_cache_are_found(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / HUB_FILE).symlink_to(weights)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = load_features(None)
    assert found is not None
    torch.testing.assert_close(found.state_dict()["features.0.weight"], torch.load(weights)["features.0.weight"])


def test_unusable_files_are_named(tmp_path: Path) -> None:
    text, other = tmp_path / "text.pth", tmp_path / "other.pth"
    text.write_text("not weights")
    torch.save({"features.0.weight": torch.zeros(1)}, other)
    for path in (text, other, tmp_path / "absent.pth"):
        with pytest.raises(CheckpointError, match=path.name):
            load_features(path)


def test_kinds_are_recognised_by_their_weights(tmp_path: Path) -> None:
    for network in (vgg("vgg19"), vgg("vgg16"), squeezenet()):
        pth, npz = tmp_path / f"{network.kind}.pth", tmp_path / f"{network.kind}.npz"
        weights = network.state_dict()
        torch.save({**weights, "classifier.1.bias": torch.zeros(3)}, pth)
        np.savez(npz, **{name: tensor.numpy() for name, tensor in weights.items()})
        for path in (pth, npz):
            found = load_features(path)
            assert found is not None and found.kind == network.kind
            picture = torch.rand(1, 3, 32, 48) * 2 - 1
            for ours, theirs in zip(found(picture), network(picture), strict=True):
                torch.testing.assert_close(ours, theirs)
        with pytest.raises(CheckpointError, match=f"weights of {network.kind}, wanted"):
            load_features(pth, "vgg16" if network.kind != "vgg16" else "vgg19")


def test_hed_tensors_weights_want_pictures_as_caffe_does(tmp_path: Path) -> None:
    network, path = vgg("vgg16"), tmp_path / "hed.npz"
    convolutions = [layer for layer in network.features if isinstance(layer, torch.nn.Conv2d)]
    blocks = [(block, i) for block, count in ((1, 2), (2, 2), (3, 3)) for i in range(count)]
    arrays = {}
    for (block, i), layer in zip(blocks, convolutions, strict=True):
        arrays |= {f"block{block}_{i}_w": layer.weight.numpy(), f"block{block}_{i}_b": layer.bias.numpy()}  # type: ignore[union-attr]
    np.savez(path, **arrays)
    found = load_features(path, "vgg16")
    assert found is not None
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    levels = (picture + 1) * 127.5 - torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1)
    expected = torch.relu(convolutions[0](levels))
    seen: list[torch.Tensor] = []
    found.features[1].register_forward_hook(lambda module, given, out: seen.append(out))
    maps = found(picture)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-3)
    assert [m.shape[1:] for m in maps] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]


def test_a_relative_difference_does_not_depend_on_a_layers_scale() -> None:
    real, fake = [torch.rand(1, 2, 4, 4) + 1 for _ in range(3)], [torch.rand(1, 2, 4, 4) + 1 for _ in range(3)]
    scaled = [[k * m for k, m in zip((1, 10, 100), maps, strict=True)] for maps in (real, fake)]
    value = perceptual_loss(real, fake, relative=True)
    assert value > 0
    torch.testing.assert_close(perceptual_loss(*scaled, relative=True), value)
