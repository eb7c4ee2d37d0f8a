"""`moda doctor`: the traps of installation, made as they happen, are recognised with their cures."""

from __future__ import annotations

from pathlib import Path

import pytest

from moda.cli.doctor import main
from moda.doctor import environment as surroundings
from moda.doctor import libraries as found_libraries
from moda.doctor import models as found_models
from moda.doctor.findings import Finding, block
from moda.doctor.libraries import cure_of, device, libraries
from moda.doctor.models import models
from moda.doctor.self_test import self_test


def test_here_all_is_well_and_the_block_has_what_a_report_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_libraries, "LIBRARIES", ("numpy", "torch", "av"))
    for limit in ("MIN_MEMORY_GB", "MIN_FREE_GB", "MIN_SHARED_GB"):  # what this machine happens to have
        monkeypatch.setattr(surroundings, limit, 0.0)
    assert main(["--no-self-test"]) == 0
    text = capsys.readouterr().out
    for word in ("moda ", "python ", "cores ", "memory ", "numpy ", "torch ", "device ", "libx264", "model renderer "):
        assert f"\n  {word}" in f"\n{text}" or word in text
    assert text.rstrip().endswith("problems: none")


def test_libraries_that_fail_are_told_with_their_cures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that fail as the real ones do, found before these."""
    broken = {
        "cv2": "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')",
        "soundfile": "raise OSError('sndfile library not found')",
        "transformers": "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        "torchaudio": "raise OSError('_torchaudio.abi3.so: undefined symbol: torch_library_impl')",
        "skimage": "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')",
        "yaml": "import none_such",
    }
    for name, code in broken.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(found_libraries, "LIBRARIES", (*broken, "numpy"))
    by_name = {finding.name: finding for finding in libraries()}
    cures = {
        "opencv-contrib-python": "libgl1", "soundfile": "libsndfile1", "transformers": "AVX",
        "torchaudio": "--force-reinstall torch torchaudio", "scikit-image": "NumPy 1", "pyyaml": "pip install .",
    }  # fmt: skip
    for name, cure in cures.items():
        assert by_name[name].problem and cure in (by_name[name].cure or ""), by_name[name]
    assert "SIGILL" in (by_name["transformers"].problem or "")
    assert by_name["numpy"].problem is None


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("ImportError: libEGL.so.1: cannot open shared object file", "libegl1"),
        ("ImportError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found", "libstdcxx-ng"),
        ("OSError: libcudnn.so.9: cannot open shared object file", "LD_LIBRARY_PATH"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "setuptools<82"),
        ("AttributeError: partially initialized module 'torch' has no attribute 'version'", "rename it"),
        ("importing it ended the program: signal 9 (SIGKILL)", "memory"),
    ],
)
def test_words_of_errors_lead_to_their_cures(error: str, cure: str) -> None:
    assert cure in cure_of(error, "torch")


def test_gpus_that_torch_does_not_use() -> None:
    assert device({"cuda": None, "threads": 2}, gpu=False).problem is None
    assert "built for CPUs only" in (device({"cuda": None, "threads": 2}, gpu=True).problem or "")
    driver = device({"cuda": "12.8", "available": False}, gpu=True)
    assert "cannot be started" in (driver.problem or "") and "driver" in (driver.cure or "")
    gpu = {"cuda": "12.8", "gpus": ["Old"], "capability": "sm_37", "built": ["sm_80"], "error": "no kernel image"}
    assert "sm_37" in (device(gpu, gpu=True).cure or "")


def test_versions_that_are_not_wanted_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_libraries, "_imported", lambda: [{"name": "numpy"}, {"name": "torch", "cuda": None}])
    monkeypatch.setattr(found_libraries, "_requirements", lambda: ["numpy>=900", "torch>=2", "av>=17; extra == 'x'"])
    by_name = {finding.name: finding for finding in libraries()}
    assert by_name["numpy"].problem == "wanted >=900" and by_name["torch"].problem is None


def test_two_wheels_of_opencv_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"opencv-python", "opencv-contrib-python"}
    monkeypatch.setattr(found_libraries, "_is_installed", lambda name: name in there)
    (finding,) = found_libraries._opencv_wheels()
    assert "uninstall" in (finding.cure or "")


def test_checkpoints_that_are_pointers_damaged_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "assets" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "faco.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7638781\n")
    (folder / "renderer.pt").write_bytes(b"PK\x03\x04 cut")
    monkeypatch.chdir(tmp_path)
    by_name = {finding.name: finding for finding in models()}
    assert "git lfs pull" in (by_name["model faco"].cure or "")
    assert "cut short or damaged" in (by_name["model renderer"].problem or "")
    assert by_name["model audio2repr"].problem is None
    monkeypatch.setattr(found_models, "TRACKER_FILES", ("gone.task",))
    assert any("there is no" in (finding.problem or "") for finding in models())


def test_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(surroundings, "cores", lambda: 1.0)
    monkeypatch.setattr(surroundings.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(surroundings, "PYTHONS", ((3, 99), (3, 99)))
    monkeypatch.setattr(surroundings, "MIN_FREE_GB", 1e9)
    by_name = {finding.name: finding for finding in surroundings.environment()}
    assert by_name["cores"].cure == "export OMP_NUM_THREADS=1"
    assert by_name["python"].problem == "wanted Python 3.99 to 3.99"
    assert "TMPDIR" in (by_name["temporary folder"].cure or "")


def test_the_block_hides_the_home_folder_and_numbers_the_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = block([Finding("a", "/home/me/x /home/mess"), Finding("b", "1", "two\nlines", "three")])
    assert text == "  a  ~/x /home/mess\n! b  1\n\nproblems: 1\n1. b: two lines\n   cure: three"


def test_a_short_animation_with_what_ships() -> None:
    finding = self_test("cpu", seconds=0.6)
    assert finding.problem is None, finding
    assert finding.value.startswith("15 frames, 256x256, in ")


def test_a_self_test_that_cannot_run_is_told() -> None:
    finding = self_test("cpu", seconds=-1.0)
    assert finding.value == "failed" and "the audio lasts 0.000 s" in (finding.problem or "")
