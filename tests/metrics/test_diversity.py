import numpy as np
import pytest

from moda.metrics.diversity import diversity


def test_by_hand() -> None:
    # Distances a frame: first-second 5 in both frames, first-third 0 and 2, second-third 5 and sqrt(9 + 4).
    first = np.zeros((2, 2))
    second = np.array([[3.0, 4.0], [3.0, 4.0]])
    third = np.array([[0.0, 0.0], [0.0, 2.0]])
    wanted = (5 + (0 + 2) / 2 + (5 + np.sqrt(9 + 4)) / 2) / 3
    assert diversity([first, second, third]) == pytest.approx(wanted)


def test_same_samples_have_none_and_order_does_not_matter() -> None:
    samples = list(np.random.default_rng(0).normal(size=(4, 10, 60, 3)))
    assert diversity([samples[0]] * 3) == 0
    assert diversity(samples) == pytest.approx(diversity(samples[::-1]))
    # White noise in C channels: the length of a difference of two is near sqrt(2 C).
    assert diversity(samples) == pytest.approx(np.sqrt(2 * 180), rel=0.05)


def test_float32_and_units_scale() -> None:
    samples = list(np.random.default_rng(0).normal(size=(3, 10, 7)).astype(np.float32))
    assert diversity([10 * sample for sample in samples]) == pytest.approx(10 * diversity(samples), rel=1e-5)


@pytest.mark.parametrize("shapes", [[], [(3, 2)], [(3, 2), (4, 2)], [(0, 2), (0, 2)]])
def test_refuses_what_cannot_be_compared(shapes) -> None:
    with pytest.raises(ValueError, match="two or more"):
        diversity([np.zeros(shape) for shape in shapes])
