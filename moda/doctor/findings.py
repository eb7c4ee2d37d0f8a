"""A finding, and how findings are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that was looked at. problem: what is wrong with it, None if nothing. cure: what to do about that."""

    name: str
    value: str
    problem: str | None = None
    cure: str | None = None


def block(findings: Iterable[Finding]) -> str:
    """Findings as text to paste: a line each, then every problem with its cure. The home folder is shown as ~."""
    findings = list(findings)
    width = max(len(finding.name) for finding in findings)
    lines = [f"{'!' if found.problem else ' '} {found.name:{width}}  {found.value}".rstrip() for found in findings]
    wrong = [found for found in findings if found.problem]
    lines += ["", f"problems: {len(wrong) or 'none'}"]
    for number, found in enumerate(wrong, 1):
        lines.append(f"{number}. {found.name}: {found.problem}")
        if found.cure:
            lines.append(f"   cure: {found.cure}")
    text = "\n".join(" ".join(line.splitlines()) for line in lines)
    home = os.path.expanduser("~")
    return text if len(home) < 2 else re.sub(rf"{re.escape(home)}(?=/|\b)", "~", text)
