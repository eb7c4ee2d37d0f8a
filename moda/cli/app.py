"""`moda app`: a page in the browser, on this computer unless another address is given."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from moda.app.limits import Limits
from moda.app.server import LOCAL, check_packages, is_local, serving
from moda.cli.main import Parser, positive, run
from moda.device import DEVICE_NAMES
from moda.locations import command

DEFAULT_CONFIG = Path("default/infer")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, serve until Ctrl-C, return the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    check_packages(mcp=arguments.mcp)
    from moda.animation import InferenceConfig
    from moda.config import apply_overrides, load_yaml, parse
    from moda.device import choose_device, describe_device

    source = arguments.config or DEFAULT_CONFIG
    config = parse(InferenceConfig, apply_overrides(load_yaml(source), arguments.set), source=str(source))
    limits = Limits(**{field.name: getattr(arguments, field.name) for field in fields(Limits)})
    device = choose_device(arguments.device)
    if not is_local(arguments.host):
        print(
            f"warning: with --host {arguments.host} everyone who reaches this computer can use the page, "
            "without a password and unencrypted; put a server that asks for one before it",
            file=sys.stderr,
        )
    with serving(config, device, limits, host=arguments.host, port=arguments.port, mcp=arguments.mcp) as served:
        print(f"device: {describe_device(device)}\npage: {served.url}\nREST: {served.url}gradio_api/openapi.json")
        if arguments.mcp:
            print(f"MCP: {served.url}gradio_api/mcp/")
        print("Ctrl-C ends it", flush=True)
        _wait()
    return 0


def _wait() -> None:
    threading.Event().wait()


def _parser() -> argparse.ArgumentParser:
    limits = Limits()
    parser = Parser(prog=command("app"), description="A page in the browser: drop a voice and a portrait, get a video.")
    parser.add_argument("--host", default=LOCAL, help=f"the address to serve at (default {LOCAL}: this computer alone)")
    parser.add_argument("--port", type=int, default=7860, help="default 7860; 0 takes a free one")
    parser.add_argument("--device", choices=DEVICE_NAMES, default="auto")
    parser.add_argument("--config", type=Path, help="YAML, or a name (default: default/infer)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the config"
    )
    parser.add_argument("--mcp", action="store_true", help="also serve as tools for assistants (moda[mcp])")
    for name, what in {
        "upload_mb": "megabytes of an upload",
        "seconds": "seconds of a voice",
        "queue": "jobs that wait; one more is refused",
        "at_once": "jobs at a time",
        "keep_minutes": "minutes after which uploads and videos are removed",
    }.items():
        option, default = f"--{name.replace('_', '-')}", getattr(limits, name)
        parser.add_argument(option, type=positive, default=default, metavar="N", help=f"{what} (default {default})")
    return parser
