"""Jobs of `moda infer --jobs` for several workers, on several devices or machines: a queue of RQ in Redis.

The queue is RQ's. What is here puts rows on it, makes the video of one as `moda infer` does, and keeps what a killed
worker had begun. A video appears whole or not at all, and one that is there is not made again, so a job may run twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rq import Queue, Retry, SimpleWorker, get_current_job

from moda.animation import InferenceConfig
from moda.config import parse, to_dict
from moda.device import choose_device
from moda.errors import ModaError
from moda.jobs.job import Job
from moda.jobs.making import Models, make_unless_made

if TYPE_CHECKING:
    from redis import Redis

TIMES_AGAIN = 5
"""A job whose worker is gone is done again at most so often."""
MAX_SECONDS = 6 * 3600
"""A job that takes longer is ended."""
_PATHS = ("audio", "picture", "output", "motion", "save_motion")

log = logging.getLogger(__name__)
_models: dict[str, Models] = {}
"""Of this worker: the networks of the last configuration."""


def send(jobs: Sequence[Job], config: InferenceConfig, redis: Redis, name: str) -> None:
    """Put jobs on the queue `name`. Their files should have the same absolute paths at every worker."""
    queue = Queue(name, connection=redis)
    settings = to_dict(config)
    settings["checkpoints"] = {stage: str(Path(path).absolute()) for stage, path in config.networks().items()}
    waiting = [
        Queue.prepare_data(
            make, (as_tree(job), settings), timeout=MAX_SECONDS, retry=Retry(max=TIMES_AGAIN), result_ttl=24 * 3600,
            failure_ttl=7 * 24 * 3600, description=f"moda: {job.output}",
        )
        for job in jobs
    ]  # fmt: skip
    queue.enqueue_many(waiting)


def as_tree(job: Job) -> dict[str, Any]:
    """A job as plain values with absolute paths."""
    paths = {name: getattr(job, name) for name in _PATHS}
    tree = {name: None if path is None else str(path.absolute()) for name, path in paths.items()}
    sign = None if job.sign is None else [str(path.absolute()) for path in job.sign]
    return tree | {"seed": job.seed, "face": job.face, "consent": job.consent, "sign": sign}


def make(tree: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Make the video of a job of `as_tree`, in a worker; returns whether it was not there yet.

    What cannot be used is not tried again: the job fails with the sentence.
    """
    paths = {name: None if tree[name] is None else Path(tree[name]) for name in _PATHS}
    sign = None if tree["sign"] is None else (Path(tree["sign"][0]), Path(tree["sign"][1]))
    job = Job(**{**tree, **paths, "sign": sign})
    try:
        job.check()
        return make_unless_made(job, _loaded(settings))
    except ModaError as error:
        log.error("%s: %s", job.output, error)
        running = get_current_job()
        if running is not None:
            running.retries_left = 0
        raise


def _loaded(settings: dict[str, Any]) -> Models:
    key = repr(settings)
    if key not in _models:
        _models.clear()
        config = parse(InferenceConfig, settings, source="the settings of the job")
        _models[key] = Models(config, choose_device())
    return _models[key]


class KeepingWorker(SimpleWorker):
    """A worker whose networks stay loaded, and that tells while it works that it is alive.

    Another takes over the job of one that has been silent for `lost_seconds`.
    """

    lost_seconds = 60

    def get_heartbeat_ttl(self, job: Any, working_time: float = 0.0) -> int:
        """Seconds until a job whose worker is silent counts as lost."""
        return self.lost_seconds

    def execute_job(self, job: Any, queue: Queue) -> None:
        """Do a job in this process."""
        execution = self.prepare_execution(job)
        done = threading.Event()

        def tell() -> None:
            while not done.wait(self.lost_seconds / 3):
                self.maintain_heartbeats(job, execution)

        alive = threading.Thread(target=tell, daemon=True)
        alive.start()
        try:
            self.perform_job(job, queue, execution)
        finally:
            done.set()
            alive.join()
        self.set_state("idle")


def work(redis: Redis, name: str, *, lost_seconds: int = 60, burst: bool = False) -> None:
    """Do the jobs of the queue `name` until told to stop (SIGTERM, after the job), with `burst` until there is none."""
    KeepingWorker.lost_seconds = lost_seconds
    # A worker looks for lost jobs when it has waited for one, 15 seconds less than worker_ttl.
    worker = KeepingWorker([name], connection=redis, worker_ttl=lost_seconds + 15, maintenance_interval=lost_seconds)
    worker.work(burst=burst, logging_level="WARNING")
