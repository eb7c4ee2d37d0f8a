import numpy as np
import pytest

from moda.metrics import METRICS, ClipPair, FaceTrack, PairedTracks
from moda.metrics.soft_dtw import costs, divergence, soft_dtw


def plain(cost: np.ndarray, gamma: float) -> float:
    """The recursion as written in the paper, cell by cell."""
    table = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    table[0, 0] = 0
    for i in range(1, table.shape[0]):
        for j in range(1, table.shape[1]):
            ways = np.array([table[i - 1, j - 1], table[i - 1, j], table[i, j - 1]])
            least = ways.min()
            table[i, j] = cost[i - 1, j - 1] + least - gamma * np.log(np.exp((least - ways) / gamma).sum())
    return float(table[-1, -1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 4), (9, 9)])
def test_diagonals_are_the_recursion(shape) -> None:
    cost = np.random.default_rng(1).random((2, *shape))
    assert soft_dtw(cost, 0.3) == pytest.approx([plain(each, 0.3) for each in cost])


def test_costs_by_hand() -> None:
    first, second = np.zeros((2, 2, 2)), np.zeros((1, 2, 2))
    first[1] = [[3, 4], [0, 1]]
    assert costs(first, second).tolist() == [[0], [3]]
    assert divergence(first, first) == 0 and divergence(first, first[::-1]) > 0
    one, two = np.random.default_rng(2).random((2, 6, 2, 2))
    pairs = ((one, two), (one, one), (two, two))
    terms = [plain(np.linalg.norm(a[:, None] - b, axis=-1).mean(axis=-1), 0.1) for a, b in pairs]
    assert divergence(one, two) == pytest.approx(terms[0] - (terms[1] + terms[2]) / 2, rel=1e-4)


def test_lips_that_are_late_cost_less_than_lips_that_are_wrong(make_face, opening) -> None:
    true = make_face(opening)
    late = FaceTrack(np.concatenate([true.landmarks[:1].repeat(3, axis=0), true.landmarks[:-3]]))
    wrong = make_face(opening[::-1])

    def measure(generated: FaceTrack, name: str = "lmd_soft_dtw") -> float:
        return METRICS[name].measure(ClipPair(PairedTracks(true, generated)))

    assert measure(true) == 0
    assert 0 < measure(late) < 0.5 * measure(wrong)
    assert measure(late, "lmd_aligned") > 0.7 * measure(wrong, "lmd_aligned")  # which LMD does not see
