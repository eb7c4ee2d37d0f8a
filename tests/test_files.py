"""Files appear whole or not at all; litter of a killed program goes, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from moda import files
from moda.errors import OutputError
from moda.files import clear_litter, hold, replacing, scratch_folder, temporary_file, temporary_folder, write_text

ROOT = Path(__file__).resolve().parents[1]
HOLDERS = {
    "file": "from moda.files import temporary_file as hold",
    "folder": "from moda.files import temporary_folder as hold",
    "lock": "from functools import partial; from moda.files import hold as h; hold = partial(h, busy='busy')",
}


@contextmanager
def another(kind: str, path: Path, forks: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that holds something of `path` until it is killed."""
    code = f"{HOLDERS[kind]}\nimport os, sys, time\nfrom pathlib import Path\n"
    code += f"with hold(Path({str(path)!r})):\n"
    code += "    if not (FORKS and os.fork()):\n        print('ready', flush=True)\n    time.sleep(100)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code.replace("FORKS", str(forks))], stdout=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert names(tmp_path) == [".a.txt.0.moda-tmp", "a.txt"]
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 250, "ü" * 120, "a\nb", "-", "..."])
def test_any_name_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert names(tmp_path) == [name]


def test_what_a_killed_process_left_goes_with_the_next_writing_of_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    with another("file", path) as process:
        assert names(tmp_path) == [".o.mp4.0.moda-tmp"]
        killed(process)
    write_text(tmp_path / "other.mp4", "")
    assert names(tmp_path) == [".o.mp4.0.moda-tmp", "other.mp4"], "it is not of this file"
    write_text(path, "")
    assert names(tmp_path) == ["o.mp4", "other.mp4"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_running_process_writes_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    with another(kind, path) as process:
        clear_litter(tmp_path)
        write_text(path, "mine")
        assert names(tmp_path) == [".a.0.moda-tmp", "a"]
        killed(process)
        clear_litter(tmp_path)
        assert names(tmp_path) == ["a"]


def test_nothing_else_is_removed_and_no_link_is_followed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "key").write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    for name in (".ssh", ".a.tmp", "a.0.moda-tmp", ".a.0.moda-tmp.txt", ".moda-tmp", ".a.txt.77.tmp", ".lock"):
        (out / name).write_text("mine")
    (out / ".a.0.moda-tmp").symlink_to(home)
    (out / ".a.1.moda-tmp").symlink_to(home / "key")
    (out / ".b.0.moda-tmp").mkdir()
    (out / ".b.0.moda-tmp" / "linked").symlink_to(home)
    os.mkfifo(out / ".c.0.moda-tmp")
    before = set(names(out))
    write_text(out / "a", "text")
    clear_litter(out)
    assert before - set(names(out)) == {".b.0.moda-tmp"}
    assert (home / "key").read_text() == "precious"
    (tmp_path / "link").symlink_to(out)
    clear_litter(tmp_path / "nowhere")


def test_several_at_a_time_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with temporary_file(path) as first, temporary_file(path) as second, temporary_folder(path) as third:
        assert len({first, second, third}) == 3
        first.write_text("1")
        os.replace(first, path)
        with temporary_file(path) as fourth:  # its name is free again
            assert fourth == first
        assert names(tmp_path) == [".a.1.moda-tmp", ".a.2.moda-tmp", "a"]
    assert names(tmp_path) == ["a"]


def test_without_locks_files_are_written_all_the_same_and_nothing_is_taken_for_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    left = [tmp_path / f".a.{slot}.moda-tmp" for slot in range(16)]
    for path in left:
        path.write_text("")
    write_text(tmp_path / "a", "text")
    with hold(tmp_path / ".lock", "busy"):
        pass
    assert names(tmp_path) == sorted(["a", ".lock", *(path.name for path in left)])


def test_one_lock_at_a_time_also_through_a_link(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    (out / ".lock").write_text("not emptied")
    with another("lock", tmp_path / "link" / ".lock") as process:
        with pytest.raises(OutputError, match="busy"), hold(out / ".lock", "busy"):
            raise AssertionError
        killed(process)
        with hold(out / ".lock", "busy"):
            pass
    assert (out / ".lock").read_text() == "not emptied"


def test_a_lock_goes_with_its_process_though_its_children_live_on(tmp_path: Path) -> None:
    with another("lock", tmp_path / ".lock", forks=True) as process:
        killed(process)
        with hold(tmp_path / ".lock", "busy"):
            pass


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("text")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="it is a link"), hold(tmp_path / ".lock", "busy"):
        raise AssertionError
    assert (tmp_path / "precious").read_text() == "text"


def test_scratch_folders_of_killed_processes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "moda-of-the-user").mkdir()
    (tmp_path / "moda-0123456789ab" / "inside").mkdir(parents=True)
    (tmp_path / "moda-0123456789ac").symlink_to(tmp_path / "moda-of-the-user")
    with scratch_folder() as first, scratch_folder() as second:
        assert first.is_dir() and second.is_dir()
        assert names(tmp_path) == sorted([first.name, second.name, "moda-of-the-user", "moda-0123456789ac"])
    assert names(tmp_path) == ["moda-0123456789ac", "moda-of-the-user"]


def test_only_what_is_wrong_in_a_scratch_folder_is_blamed_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.raises(OutputError, match=r"cannot work in .*No such file.*set TMPDIR"), scratch_folder() as folder:
        (folder / "none" / "a").write_text("text")
    with pytest.raises(FileNotFoundError), scratch_folder():
        (tmp_path / "none").read_text()
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path / "none"))
    with pytest.raises(OutputError, match=r"cannot work in .*none"), scratch_folder():
        raise AssertionError


def test_a_place_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none" / "a", tmp_path / "file" / "a", tmp_path):
        with pytest.raises(OutputError, match=r"cannot write "):
            write_text(path, "text")
    with pytest.raises(OutputError, match="File too large"):
        limited(tmp_path / "big")
    assert names(tmp_path) == ["file"]


def limited(path: Path) -> None:
    """Write more than a limit on file size allows."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        files.write_npy(path, np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_lock_where_nobody_can_write_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int, mode: int = 0) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(OutputError, match=r"cannot lock .*: Permission denied"), hold(tmp_path / ".lock", "busy"):
        raise AssertionError
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with hold(tmp_path / ".lock", "busy"):
        pass


@pytest.mark.parametrize("kind", ["temporary_file", "temporary_folder"])
def test_a_signal_between_making_and_holding_leaves_nothing(tmp_path: Path, kind: str) -> None:
    code = f"""
import sys
from pathlib import Path
from moda import files

lock = files._lock

def interrupted(descriptor):
    files._lock = lock
    sys.exit(143)

files._lock = interrupted
with files.{kind}(Path(sys.argv[1])):
    pass
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.mp4"], capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert list(tmp_path.iterdir()) == []
