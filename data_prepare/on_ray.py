"""The tasks of a preparation on a Ray cluster, by Ray Data: what `moda.processes.Pool` does on one machine.

Every machine sees the videos and the store under the same paths. Ray starts the work again where a machine or a
process is lost; what a lost one had finished is in the store and is not made twice.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

from moda.errors import ConfigError

Task = TypeVar("Task")
Result = TypeVar("Result")

RETRIES = 1
"""A task whose process dies is tried so many times more, as in `moda.processes.Pool`."""
MAX_BLOCKS = 10_000
"""Of a Ray dataset; a block has one task as long as there are no more tasks than this."""


class RayPool(Generic[Task, Result]):
    """Does `work` on the cluster of RAY_ADDRESS; where that is not set, on one of its own with `processes` cores."""

    def __init__(self, work: Callable[[Task], Result], processes: int) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise ConfigError(f"--ray needs Ray Data: pip install 'moda[ray]' ({error})") from error
        self.counter = SimpleNamespace(value=0)
        """Frames decoded so far, which are not counted here."""
        self._work = work
        settings: dict[str, Any] = {"logging_level": "WARNING"}
        if not os.environ.get("RAY_ADDRESS"):
            settings |= {"address": "local", "num_cpus": processes, "include_dashboard": False}
        if not ray.is_initialized():
            ray.init(**settings)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # tasks whose process dies each time are told apart by having no result

    def run(
        self, tasks: Sequence[Task], more: Callable[[Result], Sequence[Task]]
    ) -> Iterator[tuple[Task, Result | None]]:
        """Do all tasks, then those that `more` makes of their results; yields results as they come.

        A task whose process dies each time gives None.
        """
        import ray

        work = self._work

        def do(row: dict[str, Any]) -> dict[str, Any]:
            return {"number": row["number"], "result": pickle.dumps(work(pickle.loads(row["task"])))}

        waiting = list(tasks)
        while waiting:
            rows = [{"number": number, "task": pickle.dumps(task)} for number, task in enumerate(waiting)]
            blocks = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS))
            left: dict[int, Task] = dict(enumerate(waiting))
            later: list[Task] = []
            for row in blocks.map(do, num_cpus=1, ray_remote_args_fn=lambda: {"max_retries": RETRIES}).iter_rows():
                result = pickle.loads(row["result"])
                later += more(result)
                yield left.pop(row["number"]), result
            for task in left.values():
                yield task, None
            waiting = later
