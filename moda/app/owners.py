"""Files of a page belong to who brought or made them: nobody else gets them, whatever path is named.

Gradio serves any file of its cache to whoever names it, and takes any as an input. This middleware stands before it.
A browser is known by a cookie that it is given with the page; a client without one, by its address.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "moda_owner"
_MIN_COOKIE_CHARACTERS = 22
"""Shorter ones could be guessed: 128 bits as URL-safe base64."""
_API = "/gradio_api"
_FILE = f"{_API}/file="
_MCP = f"{_API}/mcp"
_GIVES_FILES = (f"{_API}/upload", f"{_API}/process_recording")
"""Answers of these are paths of files that the client has brought."""
_MAY_BE_LARGE = (*_GIVES_FILES, _MCP)
_CALL_BYTES = 10**6
"""Of a call, which names files and does not hold them."""
_FETCHES = (f"{_API}/proxy=", f"{_API}/deep_link", f"{_API}/vibe-", f"{_API}/component_server")
"""Not used by the page: of files of others, or of other hosts."""
REFUSED = "this file is not yours, or is no longer kept; upload it again"
TOO_LARGE = "the request has more than {} MB, which is the limit of this page"
NOT_FETCHED = "files are not fetched from other addresses; upload the file"


class Owners:
    """Who owns which folder of the cache. Safe for several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._owners: dict[str, set[str]] = {}
        self._public: set[str] = set()
        self._secret = secrets.token_bytes(32)

    def publish(self) -> None:
        """What is in the cache now is for all: the examples."""
        self._public |= {path.name for path in self.root.iterdir()}

    def grant(self, path: Path | str, owner: str) -> None:
        """`owner` may use the files of the folder of the cache in which `path` is."""
        folder = self._folder(path)
        if folder is not None:
            self._owners.setdefault(folder, set()).add(owner)

    def allows(self, path: Path | str, owner: str) -> bool:
        """May `owner` use this file?"""
        folder = self._folder(path)
        return folder is not None and (folder in self._public or owner in self._owners.get(folder, ()))

    def forget(self) -> None:
        """Forget folders that are gone."""
        for folder in list(self._owners):
            if not (self.root / folder).exists():
                self._owners.pop(folder, None)

    def private(self) -> list[Path]:
        """Folders of the cache that somebody owns."""
        return [self.root / folder for folder in list(self._owners)]

    def at_address(self, address: str) -> str:
        """The owner that clients without a cookie at an address are."""
        return hmac.new(self._secret, address.encode(), hashlib.sha256).hexdigest()

    def _folder(self, path: Path | str) -> str | None:
        try:
            inside = Path(path).resolve().relative_to(self.root).parts
        except (ValueError, OSError, RuntimeError):  # elsewhere; a NUL in the name; a loop of links
            return None
        return inside[0] if len(inside) > 1 else None


class OwnedFiles:
    """ASGI middleware: refuses requests for files of others, and those that are too large."""

    def __init__(self, app: Application, owners: Owners, limit_bytes: int) -> None:
        self._app, self._owners, self._limit = app, owners, limit_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], dict(scope["headers"])
        cookie = _cookie(headers.get(b"cookie", b""))
        owner = cookie or self._owners.at_address((scope.get("client") or ("",))[0])
        scope.setdefault("state", {})["owner"] = owner
        refusal = self._refusal(scope["method"], path, owner, headers)
        if refusal is None and scope["method"] == "POST":
            if path.startswith(_MCP):
                if cookie is None:  # its tools call this server in the client's place
                    scope["headers"] = [*scope["headers"], (b"cookie", f"{COOKIE}={owner}".encode())]
            elif path.startswith(_GIVES_FILES):
                send = self._granting(send, owner)
            else:
                receive, refusal = await self._checked(receive, scope, owner)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if cookie is None and path == "/":
            send = _with_cookie(send)
        await self._app(scope, receive, send)

    def _refusal(self, method: str, path: str, owner: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Status and reason if the request is refused by its first lines."""
        if path.startswith(_FETCHES):
            return 404, "there is nothing here"
        if path.startswith((_FILE, f"{_API}/file/")):
            wanted = path[len(_FILE) :]  # both are of one length
            return None if self._owners.allows(wanted, owner) else (403, REFUSED)
        length = headers.get(b"content-length", b"")
        if method == "POST" and not length.isdigit():
            return 411, "the request should state its length (Content-Length)"
        if length.isdigit() and int(length) > (self._limit if path.startswith(_MAY_BE_LARGE) else _CALL_BYTES):
            return 413, TOO_LARGE.format(self._limit // 10**6)
        return None

    async def _checked(self, receive: Receive, scope: Message, owner: str) -> tuple[Receive, tuple[int, str] | None]:
        """The same call with its files checked, or why it is refused."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return _replaying(message, receive), None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            tree = json.loads(body)
        except (ValueError, RecursionError):
            tree = None  # Gradio says what is wrong with it
        problem = self._problem(tree, owner)
        if tree is not None and problem is None:
            body = bytearray(json.dumps(tree).encode())
            kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
            scope["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        again = {"type": "http.request", "body": bytes(body), "more_body": False}
        return _replaying(again, receive), None if problem is None else (403, problem)

    def _problem(self, tree: Any, owner: str) -> str | None:
        """What is wrong with the files that a call names; addresses of this server become paths."""
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict):
                if isinstance(path := node.get("path"), str):
                    _, ours, inside = path.partition(_FILE)
                    if path.startswith(("http://", "https://")) and not ours:
                        return NOT_FETCHED
                    node["path"] = path = unquote(inside) if ours else path
                    if not self._owners.allows(path, owner):
                        return REFUSED
                waiting += node.values()
            elif isinstance(node, list):
                waiting += node
        return None

    def _granting(self, send: Send, owner: str) -> Send:
        """Sends on, and notes that the files that the answer names are the client's."""
        body = bytearray()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    with contextlib.suppress(ValueError):
                        tree = json.loads(body)
                        for each in tree if isinstance(tree, list) else [tree]:
                            path = each.get("path") if isinstance(each, dict) else each
                            if isinstance(path, str):
                                self._owners.grant(path, owner)
            await send(message)

        return sending


def _cookie(header: bytes) -> str | None:
    """The owner that a Cookie header names."""
    try:
        found = SimpleCookie(header.decode("latin-1")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and len(found.value) >= _MIN_COOKIE_CHARACTERS else None


def _with_cookie(send: Send) -> Send:
    """Sends on, with a new cookie."""
    line = f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; SameSite=Strict".encode()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"set-cookie", line)]
        await send(message)

    return sending


def _replaying(message: Message, receive: Receive) -> Receive:
    """Receives a message that was received already, then the others."""
    before = [message]

    async def receiving() -> Message:
        return before.pop() if before else await receive()

    return receiving


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
