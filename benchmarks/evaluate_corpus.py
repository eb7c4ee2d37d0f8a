"""Memory and CPU time of `moda eval` on a large corpus, and whether it goes on where it was killed.

VIDEOS is a folder of talking videos, of a few of which short clips are made. "scored": copies of these with a few bytes
of their own, so that each is scored for itself; killed in the middle, gone on with, and called again. Their tracks are
given, and metrics of pictures left out, since both cost the same for any number of clips. "made up": hard links, whose
results are made up of those few, for what a call reads, computes over all clips, and writes.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.evaluate import make_clips
from benchmarks.measuring import ROOT, finish, parser, show

SIDE_PX = 256
SIDES = ("true", "late")


@dataclass(frozen=True)
class Call:
    """A call of `moda eval`: CPU seconds of all its processes, peak memory of the first and of a worker, MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    worker_peak_mib: float


def make_corpus(few: Path, folder: Path, clips: int, *, own: bool) -> None:
    """true/, late/ and out/tracks/ of so many clips, from those of `few`. own: each with bytes of its own."""
    from moda.evaluation.tracking import content_hash, tracker_version

    tracks = folder / "out" / "tracks"
    shutil.copytree(few / "out" / "tracks", tracks)
    for side in SIDES:
        (folder / side).mkdir()
        sources = sorted((few / side).iterdir())
        known = [tracks / f"{content_hash(path)}-{tracker_version()}.npz" for path in sources]
        for number in range(clips):
            which = number % len(sources)
            copy = folder / side / f"clip_{number:06d}.mp4"
            if not own:
                copy.hardlink_to(sources[which])
                continue
            copy.write_bytes(sources[which].read_bytes() + struct.pack(">I4sI", 12, b"free", number))  # players skip it
            (tracks / f"{content_hash(copy)}-{tracker_version()}.npz").hardlink_to(known[which])


def make_up_results(few: Path, folder: Path, skip: Sequence[str]) -> None:
    """Keep results for every clip of a corpus: those of `few`, their numbers a little changed."""
    module, clip_results, results = (
        importlib.import_module(f"moda.evaluation.{name}") for name in ("evaluate", "clip_results", "results")
    )
    rows = module.evaluate(few / "true", {"late": few / "late"}, few / "out", skip=skip).rows
    known = [{row.name: row.scores[clip] for row in rows if clip in row.scores} for clip in rows[0].scores]

    def made_up(job: Any) -> Mapping[str, Any]:
        number = int(job.clip.split("_")[1])
        found = {}
        for name, score in known[number % len(known)].items():
            values = {n: v * (1 + number % 97 / 1000) if isinstance(v, float) else v for n, v in score.values.items()}
            found[name] = replace(score, values=results.ClipValues(values))
        clip_results.keep_results(job, found)
        return found

    score_clip, module.score_clip = module.score_clip, made_up
    module.evaluate(folder / "true", {"late": folder / "late"}, folder / "out", skip=skip)
    module.score_clip = score_clip
    frames = folder / "out" / "frames"
    shutil.rmtree(frames)
    shutil.copytree(few / "out" / "frames", frames)
    for path in (few / "out" / "cache").glob("*.npz"):
        (folder / "out" / "cache" / path.name).hardlink_to(path)


def call(folder: Path, jobs: int, skip: Sequence[str], kill_after_clips: int | None = None) -> Call:
    """Evaluate a corpus, or kill the call when so many clips are scored."""
    command = [sys.executable, "-m", "moda", "eval", "--true", str(folder / "true")]
    command += ["--generated", f"late={folder / 'late'}", "--output", str(folder / "out"), "--jobs", str(jobs)]
    command += ["--skip", *skip]
    peaks: dict[int, float] = {}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                for pid in (process.pid, *_children(process.pid)):
                    peaks[pid] = max(peaks.get(pid, 0.0), _peak_mib(pid))
                if kill_after_clips is not None and kept_clips(folder) >= kill_after_clips:
                    process.kill()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
        log.seek(0)
        if process.returncode != (0 if kill_after_clips is None else -signal.SIGKILL):
            raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}:\n{log.read()}")
    workers = [peak for pid, peak in peaks.items() if pid != process.pid]
    cpu = usage.ru_utime + usage.ru_stime
    return Call(
        round(time.perf_counter() - start, 1),
        round(cpu, 1),
        round(peaks.get(process.pid, 0.0), 1),
        round(max(workers, default=0.0), 1),
    )


def kept_clips(folder: Path) -> int:
    """Clips of a corpus whose results are kept."""
    return len(list((folder / "out" / "cache").glob("clip-*.json")))


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _peak_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("videos", type=Path, help="folder of talking videos")
    options.add_argument("--scored", type=int, default=60, help="clips that are scored, the first third before a kill")
    options.add_argument("--made-up", type=int, nargs="*", default=[500, 2000, 10000])
    options.add_argument("--different", type=int, default=5, help="videos that the clips are copies of")
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--folder", type=Path, help="where corpora are made (default: that of temporary files)")
    chosen = options.parse_args(argv)
    if not chosen.videos.is_dir():
        options.error(f"wanted a folder of videos, got {chosen.videos}")
    from moda.metrics import METRICS

    skip = [name for name, metric in METRICS.items() if "pictures" in metric.needs]
    found: list[tuple[int, str, Call]] = []

    def note(clips: int, what: str, made: Call) -> None:
        found.append((clips, what, made))
        print(f"{clips} clips, {what}: {made}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="moda-benchmark-", dir=chosen.folder) as name:
        few, folder = Path(name) / "few", Path(name) / "corpus"
        few.mkdir()
        make_clips(chosen.videos, few, chosen.different, round(chosen.seconds * 25), SIDE_PX)
        call(few, 1, skip)
        if chosen.scored:
            make_corpus(few, folder, chosen.scored, own=True)
            call(folder, chosen.jobs, skip, chosen.scored // 3)
            kept = kept_clips(folder)
            note(chosen.scored - kept, f"gone on with after {kept}", call(folder, chosen.jobs, skip))
            note(chosen.scored, "again", call(folder, chosen.jobs, skip))
            shutil.rmtree(folder)
        for clips in chosen.made_up:
            make_corpus(few, folder, clips, own=False)
            make_up_results(few, folder, skip)
            note(clips, "made up", call(folder, chosen.jobs, skip))
            shutil.rmtree(folder)
    columns = ["clips", "call", "wall s", "CPU s", "CPU s a clip", "peak MiB", "of a worker"]
    rows = [
        [n, what, c.seconds, c.cpu_seconds, f"{c.cpu_seconds / n:.3f}", c.peak_mib, c.worker_peak_mib]
        for n, what, c in found
    ]
    show(f"corpora of clips of {chosen.seconds:g} s, {chosen.jobs} jobs, one method, landmarks alone", columns, rows)
    calls = [{"clips": n, "call": what, **asdict(c)} for n, what, c in found]
    return finish({"benchmark": "evaluate_corpus", "seconds": chosen.seconds, "calls": calls}, chosen)


if __name__ == "__main__":
    sys.exit(main())
