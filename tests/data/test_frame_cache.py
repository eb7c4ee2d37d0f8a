"""Decoded frames in memory: the bound, processes that share it, and a frame that is only half written."""

import multiprocessing
import pickle

import numpy as np
import pytest

from moda.data.frame_cache import BYTES_A_GB, FrameCache

SIDE = 16
EACH_GB = 3 * SIDE * SIDE / BYTES_A_GB


def picture(number: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), number, np.uint8)


@pytest.mark.parametrize(("fit", "kept"), [(10, 10), (4, 4), (2.6, 0), (0, 0)])
def test_frames_are_kept_within_the_bound_and_not_at_all_where_few_fit(fit: float, kept: int) -> None:
    cache = FrameCache(10, SIDE, fit * EACH_GB + 1e-9)
    for number in range(11):
        cache.put(number, picture(number))
    assert [number for number in range(11) if cache.get(number) is not None] == list(range(kept))
    for number in range(kept):
        assert np.array_equal(cache.get(number), picture(number))  # type: ignore[arg-type]


def test_forked_processes_share_frames_and_others_have_their_own() -> None:
    cache = FrameCache(4, SIDE, 1.0)
    worker = multiprocessing.get_context("fork").Process(target=cache.put, args=(2, picture(7)))
    worker.start()
    worker.join()
    assert np.array_equal(cache.get(2), picture(7))  # type: ignore[arg-type]
    other = pickle.loads(pickle.dumps(cache))
    assert other.frames == 4 and other.get(2) is None


def test_a_frame_that_is_half_written_is_not_there() -> None:
    cache = FrameCache(1, SIDE, 1.0)
    cache.put(0, picture(1))
    cache._pictures[0, SIDE // 2 :] = 2
    assert cache.get(0) is None
