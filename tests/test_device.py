"""How many threads torch computes with, while several threads of the program compute."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from moda.device import one_thread
from moda.nn.inference import OneThreadEach

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def of_a_new_thread(work: Callable[[], object] = torch.get_num_threads) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_one_thread_is_for_who_asks_for_it_alone() -> None:
    with one_thread(CPU), one_thread(CPU):
        assert (torch.get_num_threads(), of_a_new_thread()) == (1, 3)
    assert (torch.get_num_threads(), of_a_new_thread()) == (3, 3)


def test_sessions_that_overlap_leave_the_number_as_it_was() -> None:
    first = OneThreadEach(2)
    assert [first.submit(torch.get_num_threads).result() for _ in range(4)] == [1] * 4
    assert of_a_new_thread() == 3, "a job that begins meanwhile"

    def job() -> int:
        with one_thread(CPU), OneThreadEach(1) as second:
            first.shutdown()
            assert second.submit(torch.get_num_threads).result() == 1
            return torch.get_num_threads()

    assert of_a_new_thread(job) == 1
    assert (torch.get_num_threads(), of_a_new_thread()) == (3, 3)
