"""A headless Chromium that a test drives by the DevTools protocol, over the pipe that needs no package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pytest

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the chromium browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars",
)  # fmt: skip


class Chromium:
    """A page of a browser of its own. profile: a new folder; the same one again keeps what pages stored.

    flags: more of the program's.
    """

    def __init__(
        self, profile: Path, width: int = 1280, height: int = 900, *, phone: bool = False, flags: tuple[str, ...] = ()
    ) -> None:
        to_browser, commands = os.pipe()
        events, from_browser = os.pipe()

        def prepare() -> None:  # the browser reads descriptor 3 and writes 4
            low, high = (fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (to_browser, from_browser))
            os.dup2(low, 3)
            os.dup2(high, 4)

        self._process = subprocess.Popen(
            ["chromium", *FLAGS, *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            close_fds=False, preexec_fn=prepare, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._out, self._in = os.fdopen(commands, "wb", buffering=0), os.fdopen(events, "rb")
        self._number, self._held, self._session = 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while (reply := self._next()).get("id") != self._number:
            if reply.get("method") == "Page.javascriptDialogOpening":
                dialog = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                self._out.write(json.dumps({**dialog, "sessionId": self._session}).encode() + b"\0")
        assert "error" not in reply, reply
        return reply["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            piece = os.read(self._in.fileno(), 1 << 20)
            assert piece, "the browser has gone"
            self._held += piece
        message, _, self._held = self._held.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"not within {seconds:.0f} s: {condition}"
            time.sleep(0.02)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._out, self._in):
            file.close()
        self._process.terminate()
        self._process.wait(30)
