"""Temporal positional embedding."""

import math

import torch

from moda.nn.temporal import TEMPORAL_CHANNELS, WRAP_FRAMES, as_planes, temporal_embedding


def test_values_follow_the_paper():
    frame = torch.tensor([0, 250])
    embedding = temporal_embedding(frame, wrap=False)
    assert embedding.shape == (2, TEMPORAL_CHANNELS) == (2, 13)
    assert embedding[0].tolist() == [0.0] * 7 + [1.0] * 6
    time = 0.25
    wanted = [time] + [math.sin(2**k * time) for k in range(6)] + [math.cos(2**k * time) for k in range(6)]
    assert torch.allclose(embedding[1], torch.tensor(wanted), atol=1e-6)


def test_wrapped_time_stays_in_range_and_has_no_jump_in_its_sines():
    far = torch.tensor([100_000])
    plain, wrapped = temporal_embedding(far, wrap=False), temporal_embedding(far, wrap=True)
    assert plain[0, 0] == 100.0
    assert 0 <= wrapped[0, 0] < WRAP_FRAMES / 1000
    assert torch.allclose(plain[0, 1:], wrapped[0, 1:], atol=2e-3)


def test_planes_are_constant_over_the_picture():
    planes = as_planes(temporal_embedding(torch.tensor([7, 9]), wrap=False), 4, 5)
    assert planes.shape == (2, 13, 4, 5)
    assert (planes == planes[:, :, :1, :1]).all()
