"""A short fuzz of every reader; `python -m tests.fuzz` is the long one."""

from __future__ import annotations

import time

from tests.fuzz import fuzz


def test_no_broken_file_gives_a_traceback() -> None:
    began = time.process_time()
    failures = fuzz(2000, seed=20)
    assert not failures, "\n".join(map(str, failures))
    assert time.process_time() - began < 200  # some 50 s where nothing else runs
