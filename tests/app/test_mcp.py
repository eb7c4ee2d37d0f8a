"""The page as a tool of an assistant, called by MCP's own client."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from moda.provenance import read_record
from tests.app.conftest import Files
from tests.app.test_page import upload

pytest.importorskip("mcp", reason="needs MCP (moda[mcp])")
httpx = pytest.importorskip("httpx")


async def called(url: str, **arguments: Any) -> tuple[Any, Any]:
    """The tool's description and its answer."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with streamable_http_client(f"{url}gradio_api/mcp/") as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        assert [tool.name for tool in tools] == ["animate"]
        return tools[0], await session.call_tool("animate", arguments)


def test_a_tool_makes_a_video(serve: Callable[..., AbstractContextManager[Any]], files: Files, tmp_path: Path) -> None:
    with serve(mcp=True) as served, httpx.Client(timeout=60) as http:
        voice = f"data:audio/wav;base64,{base64.b64encode(files.voice.read_bytes()).decode()}"
        (path,) = upload(http, served.url, files.face)
        tool, answer = asyncio.run(
            called(served.url, voice=voice, portrait=f"{served.url}gradio_api/file={path}", seed=5, head=0.5)
        )
        assert "Make a portrait speak" in tool.description
        assert {"voice", "portrait", "seed", "lips", "consent"} <= set(tool.inputSchema["properties"])
        text = "\n".join(part.text for part in answer.content if part.type == "text")
        assert not answer.isError, text
        (tmp_path / "video.mp4").write_bytes(http.get(re.search(r"http\S+\.mp4", text)[0]).content)  # type: ignore[index]
        record = read_record(tmp_path / "video.mp4")
        assert record is not None and record["seed"] == 5
        _, refused = asyncio.run(called(served.url, voice="http://127.0.0.1:9/voice.wav", portrait=voice))
        assert refused.isError, json.dumps([part.model_dump() for part in refused.content])
