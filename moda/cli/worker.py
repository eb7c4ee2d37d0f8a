"""`moda worker`: does the jobs that `moda infer --jobs ... --queue` has put on a queue, one after the other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from moda.cli.main import Parser, positive, run
from moda.errors import ConfigError, OutputError
from moda.locations import command

QUEUE = "moda"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, work, return the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    redis = connected(arguments.redis)
    from moda.device import choose_device, describe_device
    from moda.jobs.queued import work

    print(f"device: {describe_device(choose_device())}, waiting for jobs", flush=True)
    work(redis, arguments.name, lost_seconds=arguments.lost_after, burst=arguments.burst)
    return 0


def connected(url: str) -> Any:
    """A connection to Redis; raises `ConfigError` without the packages, `OutputError` if nobody answers."""
    try:
        import rq  # noqa: F401
        from redis import Redis
        from redis.exceptions import RedisError
    except ImportError as error:
        raise ConfigError(f"a queue needs RQ ({error.name} is missing): pip install 'moda[queue]'") from error
    try:
        connection = Redis.from_url(url)
        connection.ping()
    except (RedisError, ValueError) as error:
        raise OutputError(f"no Redis at {url}: {error}; start one, or name another") from error
    return connection


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("worker"),
        description="Do jobs that `moda infer --jobs ... --queue URL` has sent; one worker a GPU.",
    )
    parser.add_argument("redis", metavar="URL", help="of Redis, as redis://localhost:6379")
    parser.add_argument("--name", default=QUEUE, help=f"of the queue (default {QUEUE})")
    parser.add_argument("--burst", action="store_true", help="end when no job waits")
    parser.add_argument(
        "--lost-after", type=positive, default=60, metavar="SECONDS",
        help="another worker does the job of one that was silent for so long (default 60)",
    )  # fmt: skip
    return parser
