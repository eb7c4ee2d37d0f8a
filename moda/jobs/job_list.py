"""Lists of jobs: rows of a CSV, or every voice of a folder with every portrait of another."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from moda.errors import DataError, ModaError
from moda.jobs.job import Job
from moda.reading import read_text

COLUMNS = ("audio", "picture", "output", "seed", "face", "motion", "save_motion", "consent")
AUDIO = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm"}
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MAX_JOBS = 100_000


@dataclass(frozen=True)
class Row:
    """A job and where it stands; problem: why it cannot be done, and then `job` may be None."""

    place: str
    job: Job | None
    problem: str | None = None


def read_jobs(path: Path, folder: Path | None, seed: int, consent: str | None) -> list[Row]:
    """The rows of a CSV with a header; paths in it are relative to the file's own folder, outputs to `folder` if given.

    seed, consent: of rows that have none. Raises `DataError` for what is no such table; a bad row is told in the list.
    """
    lines = csv.reader(
        read_text(path, what="the list of jobs ", hint="; wanted CSV in UTF-8").splitlines(), strict=True
    )
    rows: list[Row] = []
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(header, path)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"{path} line {lines.line_num}"
            try:
                rows.append(Row(place, _job(dict(_paired(header, cells)), path.parent, folder, seed, consent)))
            except ModaError as error:
                rows.append(Row(place, None, str(error)))
            if len(rows) > MAX_JOBS:
                raise DataError(f"{path} has more than {MAX_JOBS:,} jobs; split it")
    except csv.Error as error:
        raise DataError(f"{path} line {lines.line_num} is not CSV: {error}") from error
    if not rows:
        raise DataError(f"no jobs in {path}: it has a header and no rows")
    return rows


def _check_header(header: list[str], path: Path) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], COLUMNS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(f"{path} has a column '{unknown[0][:60]}', wanted {', '.join(COLUMNS)}{hint}")
    missing = [name for name in ("audio", "picture") if name not in header]
    if missing:
        raise DataError(f"{path} has no column '{missing[0]}'; its first line should name the columns")
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice: {', '.join(header)}")


def _paired(header: list[str], cells: list[str]) -> Iterator[tuple[str, str]]:
    if len(cells) > len(header):
        raise DataError(f"{len(cells)} cells, wanted {len(header)}; put a value with a comma in double quotes")
    return zip(header, (cell.strip() for cell in cells), strict=False)


def _job(cells: dict[str, str], beside: Path, folder: Path | None, seed: int, consent: str | None) -> Job:
    def path(name: str, root: Path = beside) -> Path | None:
        return root / Path(cells[name]).expanduser() if cells.get(name) else None

    audio, picture = path("audio"), path("picture")
    if audio is None or picture is None:
        raise DataError(f"the cell '{'picture' if audio else 'audio'}' is empty")
    root = beside if folder is None else folder
    return Job(
        audio, picture, path("output", root) or root / _name(audio, picture),
        seed=_whole(cells, "seed", seed, None), face=_whole(cells, "face", 1, 1),
        motion=path("motion"), save_motion=path("save_motion", root), consent=cells.get("consent") or consent,
    )  # fmt: skip


def _name(audio: Path, picture: Path) -> str:
    return f"{audio.stem}--{picture.stem}.mp4"


def _whole(cells: dict[str, str], name: str, default: int, least: int | None) -> int:
    text = cells.get(name)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = None  # type: ignore[assignment]
    if number is None or (least is not None and number < least) or not -(2**63) <= number < 2**64:
        wanted = "a whole number" + (f" of {least} or more" if least is not None else "")
        raise DataError(f"'{name}' is '{text[:40]}', wanted {wanted}")
    return number


def paired_jobs(voices: Path, pictures: Path, folder: Path, seed: int, consent: str | None) -> list[Row]:
    """Every voice with every picture, each a file or a folder of them; a picture at a time."""
    sounds, faces = _files(voices, AUDIO, "audio files"), _files(pictures, PICTURES, "pictures")
    jobs = [
        Job(audio, picture, folder / _name(audio, picture), seed=seed, consent=consent)
        for picture in faces
        for audio in sounds
    ]
    return [Row(f"{job.audio.name} with {job.picture.name}", job) for job in jobs]


def _files(path: Path, suffixes: set[str], what: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes and not each.name.startswith("."))
    if not found:
        raise DataError(f"no {what} in the folder {path} (looked for {', '.join(sorted(suffixes))})")
    return found


def checked(rows: list[Row], *other_inputs: Path) -> list[Row]:
    """Rows with the problems that show before any work: missing files, and two jobs that write one file."""
    writers: dict[Path, str] = {}
    done = []
    for row in rows:
        if row.job is not None:
            try:
                row.job.check(*other_inputs)
                for path in (row.job.output, row.job.save_motion):
                    first = writers.setdefault(path.resolve(), row.place) if path else row.place
                    if first != row.place:
                        raise DataError(f"{path} is written by {first} already; name another output")
            except ModaError as error:
                row = replace(row, job=None, problem=str(error))
        done.append(row)
    return done
