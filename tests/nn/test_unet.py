import pytest
import torch

from moda.nn.unet import PaperUNet


def test_paper_size_and_no_bias_in_convolutions() -> None:
    with torch.device("meta"):
        network = PaperUNet(19)
    assert sum(p.numel() for p in network.parameters()) == 76_207_296
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.bias is None and m.kernel_size == (3, 3) for m in convolutions)
    assert PaperUNet(19, width=1).eval()(torch.zeros(1, 19, 512, 512)).shape == (1, 3, 512, 512)


def test_small_one_runs_and_every_weight_counts() -> None:
    torch.manual_seed(0)
    network = PaperUNet(19, width=4, depth=4)
    out = network(torch.randn(2, 19, 32, 48))
    assert out.shape == (2, 3, 32, 48)
    assert out.abs().max() <= 1
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    for layer in (*(up.conv for up in list(network.ups)[1:]), network.out):
        below, skipped = layer.weight.grad.chunk(2, dim=1)
        assert below.abs().sum() > 0 and skipped.abs().sum() > 0, "it reads the level below and the skip connection"


def test_size_that_does_not_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        PaperUNet(19, width=4, depth=4)(torch.zeros(1, 19, 40, 32))
