"""Python, system, cores, memory and folders, by the standard library alone."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import moda
from moda.doctor.findings import Finding

PYTHONS = ((3, 11), (3, 14))
MIN_MEMORY_GB, MIN_FREE_GB, MIN_SHARED_GB = 3.0, 1.0, 0.5


def environment() -> Iterator[Finding]:
    """Everything that needs no library."""
    yield _package()
    yield _python()
    yield _system()
    yield _cores()
    yield _memory()
    yield from _folders()


def _package() -> Finding:
    place = Path(moda.__file__).parent
    value = f"{moda.__version__} in {place}"
    try:
        installed = importlib.metadata.version("moda")
    except importlib.metadata.PackageNotFoundError:
        return Finding("moda", f"{value} (not installed, used from its folder)")
    if installed != moda.__version__:
        return Finding(
            "moda", value, f"the installed distribution 'moda' is {installed}, of another project or an old one",
            f"{sys.executable} -m pip uninstall moda, then install this project again",
        )  # fmt: skip
    return Finding("moda", value)


def _python() -> Finding:
    value = f"{platform.python_version()} {platform.python_implementation()} {sys.executable}"
    low, high = PYTHONS
    if not low <= sys.version_info[:2] <= high:
        wanted = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
        return Finding("python", value, f"wanted Python {wanted}", f"make an environment with Python {wanted}")
    if sys.maxsize < 2**32:
        return Finding("python", value, "this is a 32-bit Python, for which there is no torch", "install a 64-bit one")
    return Finding("python", value)


def _system() -> Finding:
    name = platform.system()
    with contextlib.suppress(OSError, KeyError):
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    value = f"{name}, {platform.machine()}, {' '.join(platform.libc_ver())}".rstrip(", ")
    if sys.platform == "win32":
        return Finding("system", value, "Windows is not supported", "install it in WSL 2")
    if platform.libc_ver()[0] == "" and Path("/etc/alpine-release").exists():
        return Finding(
            "system", value, "Alpine (musl) has no wheels of torch and MediaPipe", "use an image of Debian or Ubuntu"
        )
    encoding = sys.getfilesystemencoding().lower()
    if encoding not in ("utf-8", "utf8"):
        return Finding("system", f"{value}, {encoding}", "names of files are not UTF-8 here", "set PYTHONUTF8=1")
    return Finding("system", value)


def cores() -> float:
    """CPU cores that this process may use, by its affinity and its control group."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, int(quota) / int(period))
    return count


def _cores() -> Finding:
    allowed, there = cores(), os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS")
    value = f"{allowed:g} of {there}" + (f", OMP_NUM_THREADS={threads}" if threads else "")
    if allowed < there and not threads:
        return Finding(
            "cores", value, f"this process may use {allowed:g} of {there} cores, and torch starts a thread for each "
            "of them: that is slow", f"export OMP_NUM_THREADS={max(1, int(allowed))}",
        )  # fmt: skip
    return Finding("cores", value)


def _memory() -> Finding:
    try:
        free = int(re.findall(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[0]) / 1e6
    except (OSError, IndexError):
        return Finding("memory", "not known on this system")
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, (limit - used) / 1e9)
    if free < MIN_MEMORY_GB:
        return Finding("memory", f"{free:.1f} GB free", f"wanted {MIN_MEMORY_GB:g} GB", "close other programs")
    return Finding("memory", f"{free:.1f} GB free")


def _folders() -> Iterator[Finding]:
    temporary = tempfile.gettempdir()
    for name, folder, wanted, cure in (
        ("temporary folder", temporary, MIN_FREE_GB, "free space, or set TMPDIR to another folder"),
        ("shared memory", "/dev/shm", MIN_SHARED_GB, "start the container with --shm-size=2g; loading workers use it"),
    ):
        if not os.path.isdir(folder):
            continue
        free = shutil.disk_usage(folder).free / 1e9
        problem = None if os.access(folder, os.W_OK) else "it cannot be written"
        if problem is None and free < wanted:
            problem = f"{free:.2f} GB are free, wanted {wanted:g}"
        yield Finding(name, f"{folder}, {free:.1f} GB free", problem, cure if problem else None)
