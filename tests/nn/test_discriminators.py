import torch

from moda.nn.discriminators import MultiScaleDiscriminator


def test_paper_size() -> None:
    with torch.device("meta"):
        network = MultiScaleDiscriminator(22)
    assert sum(p.numel() for p in network.parameters()) == 20_945_475
    assert sum(p.numel() for p in network.scales[0].parameters()) == 6_981_825


def test_feature_maps_and_logits_of_every_scale() -> None:
    network = MultiScaleDiscriminator(5, scales=2, layers=2, width=4)
    result = network(torch.randn(2, 5, 32, 32))
    assert [[tuple(m.shape[1:]) for m in maps] for maps in result] == [
        [(4, 17, 17), (8, 9, 9), (8, 10, 10), (1, 11, 11)],
        [(4, 9, 9), (8, 5, 5), (8, 6, 6), (1, 7, 7)],
    ]
    sum(maps[-1].mean() for maps in result).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_second_scale_sees_the_picture_at_half_size_without_a_dark_border() -> None:
    network = MultiScaleDiscriminator(1, scales=2, layers=1, width=2).eval()
    seen = []
    network.scales[1].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(torch.full((1, 1, 16, 16), 0.5))
    torch.testing.assert_close(seen[0], torch.full((1, 1, 8, 8), 0.5))
