"""`moda prepare`: a folder of raw videos becomes a clip store, one of photographs a photo store."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from data_prepare.options import Options
from moda.cli.main import Parser, run, say_on
from moda.config import Config, apply_overrides, load_yaml, parse
from moda.errors import ConfigError
from moda.locations import command
from moda.processes import usable_cores

if TYPE_CHECKING:
    from data_prepare import runner
    from data_prepare.report.record import Report, ReportRow
    from data_prepare.sources.folder import SourceVideo
    from data_prepare.sources.hdtf import HdtfPlan
    from data_prepare.split_lists import PublishedLists
    from data_prepare.splits import SplitRule

PROGRESS_LINE_SECONDS = 15.0
"""Where stderr is no terminal, a line of progress in so many seconds."""
MAX_LISTED_VIDEOS = 40
"""Videos without a clip, at most so many are listed on screen; report.html has all."""


class PrepareConfig(Config):
    """What configs/default/prepare.yaml holds; every entry has an option of the same name."""

    jobs: int = Field(default_factory=usable_cores, ge=1, description="Processes.")
    include: Path | None = Field(None, description="Text file: only these videos, a relative path a line.")
    identities: Path | None = Field(None, description="TSV with columns file and identity: who is in which video.")
    hdtf: Path | None = Field(None, description="HDTF's own list files: cut and crop exactly the clips they name.")
    split: str = Field("0.8,0.1,0.1", description="Shares, or numbers of clips (132,0,32), of train, val, test.")
    split_by: Literal["identity", "time"] = Field(
        "identity", description="identity: no person is in two lists. time: each person's clips are divided."
    )
    split_lists: Path | None = Field(None, description="Folder of train.txt, val.txt, test.txt to follow instead.")
    shared_people: bool = Field(False, description="With split_lists: a person may be in two of them.")
    seed: int = Field(0, description="Of the split.")
    options: Options = Options()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("prepare"),
        description="Turn a folder of raw videos (any size, rate and codec) into a clip store for training, or with "
        "--photos a folder of photographs into a photo store. The same command again does only what is missing.",
    )
    parser.add_argument("videos", type=Path, help="folder of videos or photographs, searched with its subfolders")
    parser.add_argument("out", type=Path, help="the store to make or to add to")
    parser.add_argument(
        "--photos",
        action="store_true",
        help="the folder holds photographs of one face each (with --jobs, --size, --include)",
    )
    parser.add_argument("--config", type=Path, help="YAML of settings, or a name: default/prepare")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.add_argument("--jobs", type=int, help="processes (default: one for each core that it may use)")
    parser.add_argument("--size", type=int, help="side of the stored videos, pixels (default: 512)")
    parser.add_argument("--include", type=Path, help="text file: prepare only these videos, a relative path a line")
    parser.add_argument("--identities", type=Path, help="TSV with columns file and identity: who is in which video")
    parser.add_argument("--hdtf", type=Path, metavar="LISTS", help="HDTF's list files: cut exactly the clips they name")
    parser.add_argument("--annotations", type=Path, help="folder of head poses, person masks or parsing made elsewhere")
    parser.add_argument("--given", dest="annotations", type=Path, help=argparse.SUPPRESS)  # its earlier name
    parser.add_argument(
        "--split",
        help="shares (0.8,0.1,0.1, the default) or numbers of clips (132,0,32) of train, val, test; by identity",
    )
    parser.add_argument("--split-lists", type=Path, help="folder of train.txt, val.txt, test.txt to follow instead")
    parser.add_argument("--seed", type=int, help="of the split (default: 0)")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="prepare the I-th of N parts of the videos (1/N to N/N), on several machines at once; the same command "
        "without it then does what is missing and writes the lists and the report",
    )
    parser.add_argument(
        "--ray",
        action="store_true",
        help="work on the Ray cluster of RAY_ADDRESS, or a local one (pip install moda[ray])",
    )
    parser.add_argument("--allow-silent", action="store_true", default=None, help="keep videos without audio too")
    return parser


def _config(arguments: argparse.Namespace) -> PrepareConfig:
    tree = {} if arguments.config is None else load_yaml(arguments.config)
    tree = apply_overrides(tree, arguments.set)
    set_here: dict[str, Any] = {name: value for name, value in vars(arguments).items() if value is not None}
    for name, value in set_here.items():
        if name in ("jobs", "include", "identities", "hdtf", "split", "split_lists", "seed"):
            tree[name] = value
        elif name in ("size", "annotations", "allow_silent"):
            options = tree.get("options") or {}
            tree["options"] = {**options, name: value} if isinstance(options, dict) else options
    return parse(PrepareConfig, tree, source=str(arguments.config or "the command line"))


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "some time"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0: every video was handled, 1: some failed, 2: it could not be run."""
    return run(_main, argv)


def _rule(config: PrepareConfig) -> SplitRule | PublishedLists:
    from data_prepare.split_lists import PublishedLists
    from data_prepare.splits import SplitRule

    rule = SplitRule.parse(config.split, config.seed, by_time=config.split_by == "time")
    return rule if config.split_lists is None else PublishedLists.read(config.split_lists, config.shared_people)


def _sources(config: PrepareConfig, videos: Path, out: Path) -> tuple[list[SourceVideo], HdtfPlan]:
    from data_prepare.sources.folder import find_sources, listed_sources
    from data_prepare.sources.hdtf import HdtfPlan, read_hdtf

    if config.hdtf is None:
        return find_sources(videos, out, config.include, config.identities), HdtfPlan((), ())
    if config.include is not None or config.identities is not None:
        raise ConfigError("hdtf lists the clips and who is in them: leave out include and identities")
    plan = read_hdtf(config.hdtf, videos)
    return listed_sources(plan, videos), plan


def _main(argv: list[str]) -> int:
    from data_prepare.sources.shard import Shard

    arguments = _parser().parse_args(argv)
    config = _config(arguments)
    if arguments.photos:
        return _photos(arguments, config)
    rule = _rule(config)
    shard = None if arguments.shard is None else Shard.parse(arguments.shard)
    sources, plan = _sources(config, arguments.videos, arguments.out)

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from data_prepare.runner import prepare
    from data_prepare.splits import SplitRule

    console = Console(stderr=True, highlight=False)
    say = say_on(console)
    for name, remark in plan.notes[:MAX_LISTED_VIDEOS]:
        say(f"{name}: {remark}")
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")]
    with Progress(*columns, console=console) as bar:
        last_line = [0.0]
        task = bar.add_task("preparing", total=None, state="reading what is prepared")

        def show(progress: runner.PreparationProgress) -> None:
            rate = progress.frames / max(progress.seconds, 1e-6)
            looked = f"{progress.frames:,} of about {progress.expected:,} frames, {rate:.0f} a second"
            done = f"{progress.done} of {progress.total} videos and clips done"
            state = f"{looked}, {_minutes(progress.eta)} left; {done}"
            bar.update(task, total=progress.expected or None, completed=progress.frames, state=state)
            if not console.is_terminal and progress.seconds - last_line[0] >= PROGRESS_LINE_SECONDS:
                last_line[0] = progress.seconds
                say(state)

        report = prepare(
            sources,
            arguments.out,
            config.options,
            rule=rule,
            jobs=config.jobs,
            missing=plan.missing,
            on_progress=show,
            shard=shard,
            ray=arguments.ray,
        )
    if shard is not None:
        _handled(say, report)
        say(f"shard {shard} is done; after all {shard.count}, the same command without --shard writes the lists")
        return 0 if report.complete else 1
    validates = config.split_lists is not None or (isinstance(rule, SplitRule) and rule.val > 0 and not rule.by_time)
    _summary(say, report, arguments.out, validates=validates)
    return 0 if report.complete else 1


def _photos(arguments: argparse.Namespace, config: PrepareConfig) -> int:
    """Prepare photographs; the options that say how videos are prepared are refused."""
    from rich.console import Console

    from data_prepare.photos import prepare_photos

    taken = {"videos", "out", "photos", "config", "set", "jobs", "size", "include", "ray"}
    given = {name for name, value in vars(arguments).items() if value is not None and name not in taken}
    if arguments.ray:
        given.add("ray")
    if given:
        raise ConfigError(
            f"--{min(given).replace('_', '-')} is for videos; with --photos there are --jobs, --size and --include"
        )
    say, began, last_line = say_on(Console(stderr=True, highlight=False)), time.monotonic(), [time.monotonic()]

    def show(done: int, total: int) -> None:
        if time.monotonic() - last_line[0] >= PROGRESS_LINE_SECONDS:
            last_line[0] = time.monotonic()
            say(f"{done} of {total} photographs done")

    results = prepare_photos(
        arguments.videos, arguments.out,
        size=config.options.size, jobs=config.jobs, include=config.include, on_progress=show,
    )  # fmt: skip
    for status in ("rejected", "failed"):
        _list(say, status, [(found.name, found.reason) for found in results if found.status == status])
    counts = Counter(found.status for found in results)
    say(
        f"{counts['kept']} photographs kept, {counts['rejected']} rejected, {counts['failed']} failed, in "
        f"{_minutes(time.monotonic() - began)}: {arguments.out}"
    )
    return 1 if counts["failed"] else 0


def _list(say: Callable[[str], None], title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    say(f"{title}, {len(rows)}:")
    for name, reason in rows[:MAX_LISTED_VIDEOS]:
        say(f"  {name}: {reason}")
    if len(rows) > MAX_LISTED_VIDEOS:
        say(f"  and {len(rows) - MAX_LISTED_VIDEOS} more, see the store's reports")


def _named(row: ReportRow) -> tuple[str, str]:
    where = "" if row.shot is None else f" {row.shot[0]:g}-{row.shot[1]:g} s"
    return f"{row.source}{where} ({row.step})", row.reason


def _handled(say: Callable[[str], None], report: Report) -> None:
    from moda.representation import FPS

    for status in ("rejected", "failed"):
        _list(say, status, [_named(row) for row in report.rows if row.status == status])
    _list(say, "missing", report.missing)
    counts = report.counts
    say(
        f"{counts['kept']} clips kept ({report.frames / FPS / 60:.1f} minutes), {counts['rejected']} rejected, "
        f"{counts['failed']} failed, in {_minutes(report.seconds)}"
    )


def _summary(say: Callable[[str], None], report: Report, out: Path, *, validates: bool) -> None:
    from moda.data.parts import HELD_OUT_SHARE

    _handled(say, report)
    people = report.splits.people
    sizes = ", ".join(f"{name} {len(ids)} clips of {people[name]} people" for name, ids in report.splits.lists.items())
    say(f"{out}: {sizes}; see {out / 'report.html'}")
    for note in report.splits.notes:
        say(f"note: {note}")
    everyone = sum(people.values())
    if validates and everyone and not report.splits.lists["val"]:
        training = (
            f"training then holds out the last {HELD_OUT_SHARE:.0%} of the time"
            if everyone == 1
            else "training then validates on nothing"
        )
        say(
            f"note: the validation list is empty: the store holds {everyone} "
            f"{'person' if everyone == 1 else 'people'}, and none may be in two lists; {training}"
        )
