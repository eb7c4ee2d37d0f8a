"""Libraries and devices: imported one after the other in another process, so that one that crashes is found.

What goes wrong in installations is recognised by the words of the error, `CURES`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moda.doctor.findings import Finding

LIBRARIES = (
    "numpy", "scipy", "torch", "torchaudio", "transformers", "accelerate", "av", "cv2", "PIL", "skimage", "soundfile",
    "mediapipe.tasks.python.vision", "pydantic", "yaml", "tensorboard.summary.writer.event_file_writer",
)  # fmt: skip
"""Modules that this project imports."""
IMPORT_SECONDS = 300
_APT = "apt-get install -y"
CURES: tuple[tuple[str, str], ...] = (
    (r"libGL\.so|libgthread|libglib", f"{_APT} libgl1 libglib2.0-0"),
    (r"libEGL|libGLES", f"{_APT} libegl1 libgles2"),
    (r"sndfile", f"{_APT} libsndfile1"),
    (r"_ARRAY_API|multiarray failed|compiled using NumPy 1|numpy\.dtype size changed|numpy\.core",
     "it was built for NumPy 1: {pip} install --force-reinstall {name} 'numpy>=2'"),
    (r"GLIBCXX_|CXXABI_", "the C++ library is too old: conda install -c conda-forge libstdcxx-ng, or a newer system"),
    (r"GLIBC_", "the system is too old for this wheel: use a newer one, or a container of Debian 12 or Ubuntu 22.04"),
    (r"libcu|libnv|nccl|libtorch_cuda|CUDA driver",
     "CUDA libraries of another version are found first: unset LD_LIBRARY_PATH, then {pip} install --force-reinstall "
     "torch torchaudio"),
    (r"undefined symbol|libtorch|cannot load.*torchaudio|Could not load this library",
     "torch and torchaudio (or another extension) are of different releases: {pip} install --force-reinstall torch "
     "torchaudio"),
    (r"pkg_resources", "{pip} install 'setuptools<82'"),
    (r"partially initialized module|circular import",
     "a file or folder of your own named '{name}' is imported in its place: rename it"),
    (r"No module named|cannot import name|has no attribute",
     "install the project in this environment: {pip} install . (another version or another environment is in use)"),
    (r"signal 4", "this CPU lacks instructions (AVX) that the wheel uses: another machine, or a build for this CPU"),
    (r"signal 9", "the system ended it, as memory was used up: give it more memory"),
    (r"signal", "{pip} install --force-reinstall {name}"),
    (r"failed to map segment|Operation not permitted", "the folder forbids programs (noexec): install into another"),
)  # fmt: skip
"""Words of an error, and the cure; the first that fits counts. name: the distribution; pip: how pip is called here."""
_DISTRIBUTIONS = {"cv2": "opencv-contrib-python", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}
_CHILD = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps({"begin": name}), flush=True)
    facts = {"name": name}
    try:
        module = importlib.import_module(name)
        facts["file"] = getattr(module, "__file__", None)
        if name == "torch":
            facts["cuda"], facts["available"] = module.version.cuda, module.cuda.is_available()
            facts["mps"] = module.backends.mps.is_available()
            facts["threads"] = module.get_num_threads()
            if facts["available"]:
                facts["gpus"] = [module.cuda.get_device_name(i) for i in range(module.cuda.device_count())]
                major, minor = module.cuda.get_device_capability(0)
                facts["capability"], facts["built"] = f"sm_{major}{minor}", module.cuda.get_arch_list()
                module.ones(2, device="cuda").sum().item()
        if name == "av":
            facts["codecs"] = sorted({"libx264", "aac"} & set(module.codecs_available))
            facts["ffmpeg"] = getattr(module, "ffmpeg_version_info", None)
    except BaseException as error:
        facts["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(facts, default=str), flush=True)
"""


def libraries() -> Iterator[Finding]:
    """Libraries, their versions, then what torch says of devices and PyAV of codecs."""
    facts = {each["name"]: each for each in _imported()}
    for name, found in facts.items():
        yield _library(name, found)
    yield from _opencv_wheels()
    yield device(facts.get("torch", {"error": ""}), gpu_is_there())
    yield _codecs(facts.get("av", {"error": ""}))


def _imported() -> list[dict[str, Any]]:
    """Facts of every library; one that ends the process is told by the signal, the next ones are tried without it."""
    facts: list[dict[str, Any]] = []
    left = list(LIBRARIES)
    while left:
        command = [sys.executable, "-W", "ignore", "-c", _CHILD, *left]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_SECONDS)
            text, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as stuck:
            text, code = (stuck.stdout or b"").decode(), 0
        records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        facts += [record for record in records if "name" in record]
        died = records[-1].get("begin") if records else left[0]
        if died is not None:
            how = f"signal {-code}" if code < 0 else f"it did not end within {IMPORT_SECONDS} s"
            facts.append({"name": died, "error": f"importing it ended the program: {how}{_signal_name(code)}"})
        known = {each["name"] for each in facts}
        left = [name for name in left if name not in known]
    return facts


def _signal_name(code: int) -> str:
    return f" ({signal.Signals(-code).name})" if code < 0 else ""


def _library(name: str, facts: dict[str, Any]) -> Finding:
    top = name.split(".")[0]
    distribution = _DISTRIBUTIONS.get(top, top)
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "not installed" if "error" in facts else "of unknown version"
    if "error" in facts:
        error = " ".join(facts["error"].split())[:300]
        return Finding(distribution, version, f"import {name}: {error}", cure_of(error, distribution))
    wanted = _wanted(distribution)
    if wanted and not _fits(version, wanted):
        pip = f"{sys.executable} -m pip"
        return Finding(distribution, version, f"wanted {wanted}", f"{pip} install '{distribution}{wanted}'")
    return Finding(distribution, version)


def cure_of(error: str, distribution: str) -> str:
    """What to do about an error of importing a distribution."""
    for pattern, cure in CURES:
        if re.search(pattern, error):
            return cure.format(name=distribution, pip=f"{sys.executable} -m pip")
    return "report it with this whole text"


def _requirements() -> list[str]:
    """What this project asks for: as it was installed, else as its folder states."""
    try:
        return importlib.metadata.requires("moda") or []
    except importlib.metadata.PackageNotFoundError:
        import tomllib

        project = Path(__file__).parents[2] / "pyproject.toml"
        found: list[str] = tomllib.loads(project.read_text())["project"]["dependencies"] if project.is_file() else []
        return found


def _wanted(distribution: str) -> str:
    for requirement in _requirements():
        match = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)", requirement)
        if match and match[1].lower() == distribution.lower() and "extra ==" not in requirement:
            return match[2].strip()
    return ""


def _fits(version: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ImportError:
        return True
    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _opencv_wheels() -> Iterator[Finding]:
    names = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    there = [name for name in names if _is_installed(name)]
    if len(there) > 1:
        pip = f"{sys.executable} -m pip"
        yield Finding(
            "OpenCV wheels", ", ".join(there), "they write into the same folder, and which files stand there is chance",
            f"{pip} uninstall -y {' '.join(there)}; {pip} install opencv-contrib-python",
        )  # fmt: skip


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def gpu_is_there() -> bool:
    """Whether the machine itself shows an NVIDIA GPU, whatever torch says."""
    return os.path.exists("/dev/nvidia0") or bool(shutil.which("nvidia-smi"))


def device(torch: dict[str, Any], gpu: bool) -> Finding:
    """What torch computes on. torch: its facts. gpu: the machine has one of NVIDIA's."""
    if "error" in torch and "cuda" not in torch:
        return Finding("device", "not known without torch")
    if torch.get("gpus"):
        value = f"cuda {torch['cuda']}: {', '.join(torch['gpus'])} ({torch['capability']})"
        if "error" in torch:
            return Finding(
                "device", value, f"a sum on the GPU fails: {torch['error'][:200]}",
                f"this torch was built for {', '.join(torch['built'])}: install one for {torch['capability']}, "
                "see https://pytorch.org/get-started/locally",
            )  # fmt: skip
        return Finding("device", value)
    if torch.get("mps"):
        return Finding("device", "mps")
    value = f"cpu ({torch.get('threads')} threads)"
    if gpu and torch.get("cuda") is None:
        return Finding(
            "device", value, "there is an NVIDIA GPU, but this torch is built for CPUs only",
            f"{sys.executable} -m pip install --force-reinstall torch torchaudio --index-url "
            "https://download.pytorch.org/whl/cu128",
        )  # fmt: skip
    if gpu:
        return Finding(
            "device", value, f"there is an NVIDIA GPU, but CUDA {torch.get('cuda')} cannot be started",
            "update the NVIDIA driver (nvidia-smi shows which CUDA it can do), start a container with --gpus all, and "
            "look whether CUDA_VISIBLE_DEVICES hides it",
        )  # fmt: skip
    return Finding("device", value)


def _codecs(av: dict[str, Any]) -> Finding:
    if "error" in av:
        return Finding("media", "not known without PyAV")
    value = f"FFmpeg {av.get('ffmpeg') or 'of PyAV'}, {', '.join(av['codecs'])}"
    missing = {"libx264", "aac"} - set(av["codecs"])
    if missing:
        return Finding(
            "media", value, f"this PyAV cannot write {', '.join(sorted(missing))}",
            f"use the wheel from PyPI: {sys.executable} -m pip install --force-reinstall --no-binary=:none: av",
        )  # fmt: skip
    return Finding("media", value)
