"""The page as its clients see it: the video of `moda infer`, errors as sentences, limits, several clients at once."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moda.animation import InferenceConfig
from moda.app.limits import Limits
from moda.app.server import is_local
from moda.cli.app import main
from moda.cli.infer import main as infer
from moda.jobs.job import Job
from moda.jobs.making import Made, Models, Watch
from moda.media.video import probe
from moda.provenance import read_record
from moda.representation import Motion
from tests.app.conftest import Files

pytest.importorskip("gradio", reason="needs Gradio (moda[app])")
httpx = pytest.importorskip("httpx")

from gradio_client import Client, handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402

from tests.app.load import load  # noqa: E402

Serve = Callable[..., AbstractContextManager[Any]]


def call(client: Client, voice: Path | None, portrait: Path | None, /, **more: Any) -> tuple[str, str, dict[str, Any]]:
    given = {name: handle_file(path) for name, path in (("voice", voice), ("portrait", portrait)) if path}
    missing = {name: None for name in ("voice", "portrait") if name not in given}
    video, motion, status = client.predict(**given, **missing, **more, api_name="/animate")
    return video["path"] if isinstance(video, dict) else video, motion, status


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("got"))


def test_rest_gives_the_video_that_infer_writes(client: Client, files: Files, config: Path, tmp_path: Path) -> None:
    words = ["--config", str(config), "--set", "gains.head=0.5", "--seed", "7", "--framing", "full"]
    out = ["--output", str(tmp_path / "a.mp4"), "--save-motion", str(tmp_path / "a.npz"), "--consent", "Ann agreed"]
    assert infer([str(files.voice), str(files.face), *words, *out, "--device", "cpu"]) == 0
    video, motion, status = call(
        client, files.voice, files.face, seed=7, head=0.5, framing="full", consent="Ann agreed"
    )
    assert Path(video).read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert np.array_equal(Motion.load(Path(motion)).head, Motion.load(tmp_path / "a.npz").head)
    assert status["state"] == "done" and status["total"] == 12 and "0.5 s of video" in status["text"]
    assert read_record(Path(video))["consent"] == "Ann agreed"  # type: ignore[index]
    default, _, _ = call(client, files.voice, files.face)
    assert read_record(Path(default))["job"] != read_record(Path(video))["job"]  # type: ignore[index]
    assert probe(default).width == 64, "the page takes its defaults from the configuration"


def test_what_cannot_be_used_is_a_sentence_without_places_of_the_server(client: Client, files: Files) -> None:
    def refusal(*arguments: Any, **more: Any) -> str:
        with pytest.raises(AppError) as caught:
            call(client, *arguments, **more)
        text = str(caught.value)
        assert "/" not in text and "Traceback" not in text, text
        return text

    assert "There is no voice and no portrait yet" in refusal(None, None)
    assert "Not a picture or video that can be read: no picture.png" in refusal(files.voice, files.no_picture)
    assert "no picture.png" in refusal(files.no_picture, files.face)
    assert "The voice lasts more than 3 s, which is the limit here: long.wav" in refusal(files.long_voice, files.face)
    assert "'size': should be even" in refusal(files.voice, files.face, size=65)
    assert "face" in refusal(files.voice, files.face, face=5)
    assert "one line of at most 500 characters" in refusal(files.voice, files.face, consent="a\nb")


def test_an_upload_that_is_too_large_is_refused(url: str) -> None:
    answer = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.wav", b"0" * 1_100_000)})
    assert answer.status_code == 413 and "more than 1 MB" in answer.text


def endless(job: Job, models: Models, timings: Any, record: Any, watch: Watch) -> Made:
    """Stands for a long rendering."""

    def frames() -> Iterator[np.ndarray]:
        while True:
            time.sleep(0.01)
            yield np.zeros((2, 2, 3), np.uint8)

    for _ in watch(frames(), 10**6):
        pass
    raise AssertionError("nobody ended it")


def join(http: Any, url: str, paths: list[str], session: str) -> Any:
    """Ask for a video as the page does."""
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    data += [0, 1, 1, 1, 1, 64, "crop", 1, False, ""]
    functions = http.get(f"{url}config").json()["dependencies"]
    number = next(each["id"] for each in functions if each["api_name"] == "animate")
    return http.post(f"{url}gradio_api/queue/join", json={"data": data, "fn_index": number, "session_hash": session})


def upload(http: Any, url: str, *files: Path) -> list[str]:
    paths: list[str] = []
    for file in files:
        paths += http.post(f"{url}gradio_api/upload", files={"files": (file.name, file.read_bytes())}).json()
    return paths


def events(http: Any, url: str, session: str) -> Generator[dict[str, Any]]:
    with http.stream("GET", f"{url}gradio_api/queue/data", params={"session_hash": session}, timeout=60) as lines:
        for line in lines.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line[5:])


def test_a_client_that_leaves_ends_its_job_and_the_next_one_runs(
    serve: Serve, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as served, httpx.Client() as leaving:
        with monkeypatch.context() as patch:
            patch.setattr("moda.app.studio.make_video", endless)
            paths = upload(leaving, served.url, files.voice, files.face)
            assert join(leaving, served.url, paths, "leaves").status_code == 200
            told = events(leaving, served.url, "leaves")
            assert any("Rendering" in str(event) for event in told)
            told.close()
            working = [thread for thread in threading.enumerate() if thread.name == "moda job"]
            assert len(working) == 1
            working[0].join(30)
            assert not working[0].is_alive()
        call(Client(served.url, verbose=False), files.voice, files.face)


def test_a_full_queue_is_a_clear_answer(serve: Serve, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moda.app.studio.make_video", endless)
    with serve(Limits(queue=2)) as served, httpx.Client() as http:
        paths = upload(http, served.url, files.voice, files.face)
        assert join(http, served.url, paths, "first").status_code == 200
        told = events(http, served.url, "first")
        assert any("Rendering" in str(event) for event in told)
        answers = [join(http, served.url, paths, f"waiting {n}") for n in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 503]
        assert "Queue is full" in answers[2].json()["detail"]
        told.close()


@pytest.mark.parametrize(("at_once", "queue"), [(1, 20), (2, 3)])
def test_no_job_of_several_clients_is_lost_or_mixed_up(settings: InferenceConfig, at_once: int, queue: int) -> None:
    """8 clients, 3 jobs each; `python -m tests.app.load` is the long form, with the networks that ship."""
    said: list[str] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # jobs at the same time must not change each other's
    try:
        found = load(settings, Limits(at_once=at_once, queue=queue), jobs=3, kinds=2, seconds=0.2, say=said.append)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert found["right"] == 24, said
    assert (found["refused"] > 0) == (queue < 7), "8 clients, of whom one or two are served"


def test_uploads_and_videos_are_removed(serve: Serve, files: Files) -> None:
    with serve() as served:
        video, _, _ = call(Client(served.url, verbose=False, download_files=False), files.voice, files.face)
        folder = Path(video).parents[1]
        assert sum(path.is_dir() for path in folder.iterdir()) >= 3
    assert not folder.exists()


def test_the_command_serves_at_this_computer_and_ends_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    words = ["--config", str(config), "--device", "cpu", "--port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*words, str(taken.getsockname()[1])]) == 2
    assert "choose another with --port" in capsys.readouterr().err
    assert main([*words, "99999"]) == 2 and "99999" in capsys.readouterr().err

    def wait() -> None:
        url = capsys.readouterr().out.split("page: ")[1].split()[0]
        assert url.startswith("http://127.0.0.1:") and httpx.get(url).status_code == 200
        raise KeyboardInterrupt

    monkeypatch.setattr("moda.cli.app._wait", wait)
    assert main([*words, "0"]) == 130


def test_another_address_is_warned_of() -> None:
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert [is_local(host) for host in ("0.0.0.0", "192.168.0.2", "::", "example.org", "")] == [False] * 5
