"""Files of a page belong to their owners: what a client names that is another's is refused, in every way to name it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moda.app.owners import COOKIE, OwnedFiles, Owners
from tests.app.conftest import Files
from tests.app.test_page import join, upload

httpx = pytest.importorskip("httpx")
ANN, BOB = "a" * 43, "b" * 43


def as_user(name: str | None) -> Any:
    return httpx.Client(cookies={COOKIE: name} if name else None, timeout=60)


def test_another_users_file_is_refused_in_every_way(url: str, files: Files, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(files.voice.read_bytes())
    with as_user(ANN) as ann, as_user(BOB) as bob, as_user(None) as nobody:
        paths = upload(ann, url, files.voice, files.face)
        bobs = upload(bob, url, files.other_voice, files.face)
        for path in paths:
            assert ann.get(f"{url}gradio_api/file={path}").status_code == 200
        for other in (bob, nobody):
            for form in ("gradio_api/file={}", "gradio_api/file/{}", "gradio_api/file=.//{}", "gradio_api/file%3D{}"):
                assert other.get(url + form.format(paths[0])).status_code in (403, 404), form
            inside = f"{Path(bobs[0]).parent}/../{Path(paths[0]).relative_to(Path(paths[0]).parents[1])}"
            for path in (paths[0], inside, f"{url}gradio_api/file={paths[0]}", str(secret), "/etc/passwd"):
                answer = join(other, url, [path, bobs[1]], "other")
                assert answer.status_code == 403 and "not yours" in answer.json()["detail"], path
            answer = other.post(f"{url}gradio_api/call/animate", json={"data": [{"path": paths[0]}, None]})
            assert answer.status_code == 403
        assert "not fetched" in join(ann, url, ["http://127.0.0.1:9/a.wav", paths[1]], "own").json()["detail"]
        assert join(ann, url, paths, "own").status_code == 200
        # who brings the same file may use it, and gets it by its own name only
        same = upload(bob, url, files.voice)
        assert bob.get(f"{url}gradio_api/file={same[0]}").status_code == 200


def test_what_was_made_is_its_owners_and_examples_are_for_all(url: str, files: Files, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    ann = Client(url, verbose=False, download_files=False, headers={"Cookie": f"{COOKIE}={ANN}"})
    voice, face = handle_file(files.voice), handle_file(files.face)
    video, motion, _ = ann.predict(voice=voice, portrait=face, api_name="/animate")
    with as_user(ANN) as own, as_user(BOB) as bob, as_user(None) as nobody:
        for made in (video, motion):
            path = made["path"] if isinstance(made, dict) else made
            codes = [http.get(f"{url}gradio_api/file={path}").status_code for http in (own, bob, nobody)]
            assert codes == [200, 403, 403], path
        page = nobody.get(url)
        assert COOKIE in page.cookies and "HttpOnly" in page.headers["set-cookie"]
        examples = [path for path in Path(path).parents[1].glob("*/demo.*") if path.suffix in (".wav", ".png")]
        assert len(examples) == 2
        assert all(bob.get(f"{url}gradio_api/file={path}").status_code == 200 for path in examples)


def test_a_folder_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    owners = Owners(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.wav").touch()
    owners.grant(tmp_path / "one" / "a.wav", ANN)
    assert owners.allows(tmp_path / "one" / "a.wav", ANN) and not owners.allows(tmp_path / "one" / "a.wav", BOB)
    assert not owners.allows(tmp_path / "one", ANN) and not owners.allows(f"{tmp_path}/one/\0", ANN)
    (tmp_path / "two").symlink_to("/etc")
    owners.grant(tmp_path / "two" / "passwd", ANN)
    assert not owners.allows(tmp_path / "two" / "passwd", ANN), "a link leads elsewhere"
    (tmp_path / "one" / "a.wav").unlink()
    (tmp_path / "one").rmdir()
    owners.forget()
    assert owners.private() == []
    assert owners.at_address("10.0.0.1") != owners.at_address("10.0.0.2")


def answered(path: str, body: bytes, headers: dict[str, str], tmp_path: Path) -> tuple[int, list[Any]]:
    """Status, and what reaches the application behind, for a request in two parts."""
    seen: list[Any] = []
    statuses: list[int] = []

    async def application(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        seen.append(json.loads((await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    parts = [
        {"type": "http.request", "body": part, "more_body": more}
        for part, more in ((body[:5], True), (body[5:], False))
    ]

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": pairs, "client": ("10.0.0.1", 1)}
    asyncio.run(OwnedFiles(application, Owners(tmp_path), 2_000_000)(scope, receive, send))
    return statuses[0], seen


def test_calls_state_their_length_and_hold_no_files(tmp_path: Path) -> None:
    body = json.dumps({"data": [1, "two"]}).encode()
    join_path = "/gradio_api/queue/join"
    assert answered(join_path, body, {"content-length": str(len(body))}, tmp_path) == (200, [{"data": [1, "two"]}])
    assert answered(join_path, body, {}, tmp_path)[0] == 411
    assert answered(join_path, body, {"content-length": "1500000"}, tmp_path)[0] == 413
    assert answered("/gradio_api/proxy=https://example.org", body, {"content-length": "1"}, tmp_path)[0] == 404
