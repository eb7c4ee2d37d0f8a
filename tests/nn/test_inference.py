import torch
from torch import nn

from moda.nn.inference import for_cpu


def test_the_copy_computes_the_same_without_batch_norms() -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    network = nn.Sequential(inner, nn.Conv2d(4, 2, 3, stride=2), nn.BatchNorm2d(2))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    picture = torch.randn(2, 3, 20, 24)
    quick = for_cpu(network)
    torch.testing.assert_close(quick(picture), network.eval()(picture), rtol=1e-4, atol=1e-5)
    norms = [module for module in quick.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 1, "the one after the ReLU stays"
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
