"""Several runs, each with its part of the videos, make what one run makes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prepare.runner import _locked, prepare
from data_prepare.sources.folder import SourceVideo, find_sources
from data_prepare.sources.shard import Shard
from data_prepare.splits import SplitRule
from moda.errors import ConfigError, OutputError
from tests.data_prepare.conftest import tree

RUN = """
import sys
from pathlib import Path
from data_prepare.options import Options
from data_prepare.runner import prepare
from data_prepare.sources.folder import find_sources
from data_prepare.sources.shard import Shard
from data_prepare.splits import SplitRule

if __name__ == "__main__":
    footage, out, options, shard = sys.argv[1:]
    report = prepare(find_sources(Path(footage)), Path(out), Options.model_validate_json(options), rule=SplitRule(),
                     shard=Shard.parse(shard))
    assert report.complete
    print(*sorted({row.source for row in report.rows}), sep=chr(10))
"""


@pytest.fixture
def start(tmp_path, footage, options):
    """start(shard) -> a process of its own group that prepares it into tmp_path/store."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    running: list[subprocess.Popen[str]] = []

    def run(shard: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(footage), str(tmp_path / "store"), options.model_dump_json(), shard]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()


def nobody(progress):
    assert multiprocessing.active_children() == []


def test_three_shards_at_once_one_of_them_killed_end_byte_equal_to_one_run(tmp_path, prepared, footage, options, start):
    out = tmp_path / "store"
    shards = {number: start(f"{number}/3") for number in (1, 2, 3)}
    end = time.monotonic() + 120
    while not list(out.glob("clips/.film_00*")) and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(OutputError, match=r"another preparation is writing into .*store: wait"), _locked(out):
        pass
    with pytest.raises(OutputError, match=r"shard 1/3 is being written"), _locked(out, Shard(1, 3)):
        pass
    shards[1].send_signal(signal.SIGKILL)
    assert shards[1].wait() == -signal.SIGKILL
    seen = [shards[number].communicate(timeout=200)[0].splitlines() for number in (2, 3)]
    assert [process.returncode for process in (shards[2], shards[3])] == [0, 0]
    assert not (out / "report.json").exists() and not list((out / "splits").iterdir())
    again = start("1/3")
    seen.append(again.communicate(timeout=200)[0].splitlines())
    assert again.returncode == 0
    assert sorted(name for names in seen for name in names) == sorted(s.name for s in find_sources(footage))
    report = prepare(find_sources(footage), out, options, rule=SplitRule(), on_progress=nobody)
    assert tree(out) == tree(prepared.out)
    assert report.rows == prepared.report.rows


def test_stores_of_several_machines_copied_into_one_are_the_store_of_one_run(tmp_path, prepared, footage, options):
    for name, others in (("a", "film*"), ("b", "[!f]*")):
        shutil.copytree(prepared.out, tmp_path / name)
        for folder in ("clips", "scans", "rejected"):
            for path in (tmp_path / name / folder).glob(others):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in [*(tmp_path / name / "splits").iterdir(), *(tmp_path / name).glob("report.*")]:
            path.unlink()
        shutil.copytree(tmp_path / name, tmp_path / "store", dirs_exist_ok=True)
    prepare(find_sources(footage), tmp_path / "store", options, rule=SplitRule(), on_progress=nobody)
    assert tree(tmp_path / "store") == tree(prepared.out)


def test_a_merge_makes_what_a_shard_left_and_clears_its_litter(tmp_path, prepared, footage, options):
    store = tmp_path / "store"
    shutil.copytree(prepared.out, store)
    shutil.rmtree(store / "clips" / "film_000")
    (store / "clips" / ".film_000.0.moda-tmp").mkdir()
    with _locked(store, Shard(2, 3)), _locked(store, Shard(3, 3)):
        assert (store / "clips" / ".film_000.0.moda-tmp").exists()  # another shard's, for all that this one knows
    prepare(find_sources(footage), store, options, rule=SplitRule())
    assert tree(store) == tree(prepared.out)


def test_shards_divide_videos_and_not_their_parts():
    folder = Path("/videos")
    sources = [
        SourceVideo(folder / f"{video}.mp4", folder, f"{video}.mp4 {part}", f"{video}_{part}", "x")
        for video in "dacb"
        for part in range(3)
    ]
    shards = [Shard.parse(f"{number}/3").of(sources) for number in (1, 2, 3)]
    assert [sorted({source.path.stem for source in shard}) for shard in shards] == [["a", "d"], ["b"], ["c"]]
    assert sorted(source.clip_id for shard in shards for source in shard) == sorted(s.clip_id for s in sources)
    assert Shard.parse("5/5").of(sources) == []


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/4", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match="wanted I/N"):
        Shard.parse(text)
