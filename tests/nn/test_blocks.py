import pytest
import torch
from torch import nn

from moda.nn.blocks import MLP, TemporalContext


def test_mlp_has_norm_and_leak_between_and_nothing_after() -> None:
    kinds = [type(layer) for layer in MLP((4, 8, 8, 2), "batch").layers]
    between = [nn.Linear, nn.BatchNorm1d, nn.LeakyReLU]
    assert kinds == [*between, *between, nn.Linear]
    assert MLP((4, 8, 2), "batch").layers[2].negative_slope == 0.2
    assert [type(layer) for layer in MLP((4, 8, 2), "none").layers] == [nn.Linear, nn.LeakyReLU, nn.Linear]


def test_batch_statistics_run_over_batch_and_time() -> None:
    mlp = MLP((3, 5, 2), "batch")
    x = torch.randn(4, 7, 3)
    torch.testing.assert_close(mlp(x), mlp(x.reshape(28, 3)).reshape(4, 7, 2))
    assert mlp.layers[1].running_mean.shape == (5,)


def test_layer_norm_is_the_same_in_training_and_inference_and_takes_one_row() -> None:
    mlp = MLP((3, 5, 2), "layer")
    x = torch.randn(1, 3)
    torch.testing.assert_close(mlp.train()(x), mlp.eval()(x))


def test_context_sees_as_far_as_it_says_on_both_sides() -> None:
    context = TemporalContext(4, layers=2, kernel=5, dropout=0.5).eval()
    x = torch.randn(1, 41, 4)
    changed = x.clone()
    changed[:, 20] += 1
    touched = (context(x) - context(changed)).abs().sum(dim=(0, 2)).nonzero()[:, 0].tolist()
    assert touched == list(range(14, 27)), "(5 - 1) (2^2 - 1) / 2 = 6 frames on each side"
    with pytest.raises(ValueError, match="wanted an odd number"):
        TemporalContext(4, layers=1, kernel=4, dropout=0.0)


def test_context_without_layers_is_nothing() -> None:
    x = torch.randn(2, 7, 4)
    assert TemporalContext(4, layers=0, kernel=5, dropout=0.5)(x).equal(x)
