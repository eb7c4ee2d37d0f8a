"""The `moda` command: picks the command that is named and imports nothing of the others."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from moda import __version__

COMMANDS = {
    "infer": ("moda.cli.infer", "a talking video from audio and a portrait"),
    "live": ("moda.cli.live", "a portrait that speaks while the sound arrives"),
    "app": ("moda.cli.app", "a page in the browser: drop a voice and a portrait; also REST and MCP"),
    "worker": ("moda.cli.worker", "do the videos of a queue, as one of several workers"),
    "train": ("moda.cli.train", "train one stage, or go on with it"),
    "eval": ("moda.cli.evaluate", "score videos against true ones, or our checkpoints on a test list"),
    "prepare": ("moda.cli.prepare", "raw videos to a clip store for training"),
    "ablate": ("moda.cli.ablate", "train, animate and score variants of the stages"),
    "study": ("moda.cli.study", "a user study: a page that people answer, and its analysis"),
    "info": ("moda.cli.info", "what a checkpoint, video, motion file or clip store holds"),
    "convert": ("moda.cli.convert", "motion to tables, ARKit curves, BVH, glTF; checkpoints to safetensors"),
    "doctor": ("moda.cli.doctor", "whether this installation works, and what to do where it does not"),
}
"""Module and one line of help of each command."""
HELP = "\n".join(
    [
        "usage: moda COMMAND ...",
        "",
        "Audio-driven portrait animation. `moda COMMAND --help` shows the options.",
        "",
        *(f"  {name:9}{line}" for name, (_, line) in COMMANDS.items()),
        "",
        "  --version",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Call the named command with the other arguments and return its exit code; 2 for a name that is none."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or [""]
    if name in COMMANDS:
        code: int = import_module(COMMANDS[name][0]).main(rest)
        return code
    if name in ("-h", "--help"):
        print(HELP)
        return 0
    if name == "--version":
        print(f"moda {__version__}")
        return 0
    if not name:
        print(HELP, file=sys.stderr)
        return 2
    longer = [known for known in COMMANDS if name.startswith(known) or known.startswith(name)]
    near = longer or difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    print(f"error: no command '{name}'; {hint}there are: {', '.join(COMMANDS)}", file=sys.stderr)
    return 2
