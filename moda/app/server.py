"""Starts the page: its networks, its private folder, its address, its middleware."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moda.app.limits import Limits
from moda.errors import ConfigError, OutputError
from moda.files import scratch_folder

if TYPE_CHECKING:
    import torch

    from moda.animation import InferenceConfig

LOCAL = "127.0.0.1"
_FORM_BYTES = 10_000
"""Of a form around an upload."""
MISSING = "the page needs {}: pip install 'moda[{}]'"


@dataclass(frozen=True)
class Served:
    """A page that is being served. blocks: of Gradio."""

    url: str
    blocks: Any


def check_packages(*, mcp: bool) -> None:
    """Raise `ConfigError` that names the extra if Gradio, or what its MCP server needs, is missing."""
    for package, name, extra in (("gradio", "Gradio", "app"), ("mcp", "Gradio's MCP server", "mcp")):
        if (package != "mcp" or mcp) and importlib.util.find_spec(package) is None:
            raise ConfigError(MISSING.format(name, extra))


def is_local(host: str) -> bool:
    """Is an address reached from this computer alone?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def serving(
    config: InferenceConfig, device: torch.device, limits: Limits, *, host: str = LOCAL, port: int = 7860,
    mcp: bool = False,
) -> Iterator[Served]:  # fmt: skip
    """Serve the page while the block runs; port 0 takes a free one.

    Uploads and videos are in a private folder that is removed at the end. Raises `ConfigError` for missing packages,
    `CheckpointError`, and `OutputError` if the address cannot be had.
    """
    check_packages(mcp=mcp)
    with scratch_folder() as folder, _environment(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False"):
        from moda.app.owners import Owners
        from moda.app.studio import Studio

        owners = Owners(folder)
        studio = Studio(config, device, limits, owners)
        served = _launch(studio, host, port, mcp)
        owners.publish()
        try:
            yield served
        finally:
            served.blocks.close(verbose=False)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables that Gradio reads, while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _launch(studio: Any, host: str, port: int, mcp: bool) -> Served:
    import gradio as gr
    from starlette.middleware import Middleware

    from moda.app.owners import OwnedFiles
    from moda.app.page import build

    fonts = ("system-ui", "sans-serif")
    theme = gr.themes.Soft(primary_hue="indigo", font=fonts, font_mono=("ui-monospace", "monospace"))
    page = build(studio)
    _, url, _ = page.launch(
        server_name=host, server_port=_port(host, port), prevent_thread_lock=True, quiet=True, inbrowser=False,
        share=False, show_error=True, ssr_mode=False, run_history=False, footer_links=["api"],
        enable_monitoring=False, max_file_size=studio.limits.upload_bytes, mcp_server=mcp, theme=theme,
        css_paths=[Path(__file__).with_name("page.css")],
        app_kwargs={
            "middleware": [
                Middleware(OwnedFiles, owners=studio.owners, limit_bytes=studio.limits.upload_bytes + _FORM_BYTES)
            ]
        },
    )  # fmt: skip
    return Served(url, page)


def _port(host: str, port: int) -> int:
    """The port, or a free one for 0; raises `OutputError` if it cannot be had."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot serve at {host}:{port}: {reason}; choose another with --port") from error
