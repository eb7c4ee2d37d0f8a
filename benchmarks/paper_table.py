"""The paper's table from raw footage, by one command: python -m benchmarks.paper_table HDTF --output FOLDER

HDTF holds:

    videos/             the raw videos of HDTF
    lists/              its lists of spans and crops, the folder HDTF_dataset (optional: else faces are found)
    identities.tsv      who is in which video, as of moda prepare --identities (optional)
    train.txt, ...      which clips are for what, as of moda prepare --split-lists (optional: else drawn by seed)
    wav2vec/            facebook/wav2vec2-base-960h in transformers' form (optional: else fetched)
    vgg19.pth           VGG19 in torchvision's form, for the renderer's loss (optional: else those terms are off)
    outputs/METHOD/     what other methods left on disk (optional, docs/others.md)
    study.json          results of a user study, by moda study analyse (optional)

Steps: store, people (those of the test list), audio2repr, faco, a renderer for each of them (renderer-NAME), scores,
ablation, table. A renderer learns from the first four fifths of its person's footage (data.held_out in configs/paper).
A step whose output is there and whose inputs are those of the last time is left out, one that was interrupted goes on.
FOLDER/scores/report.html is the page, FOLDER/paper_table.md all in one: table, printed numbers, ablations, user study,
training cost.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.chain import STEPS_FOLDER, Step, by_step, prepared, run_steps, scored, sets_of
from moda import checkpoint
from moda.cli.commands import main as moda
from moda.cli.main import Parser, run
from moda.config import load_yaml
from moda.data.store import ClipStore
from moda.device import choose_device, describe_device
from moda.errors import ConfigError, DataError
from moda.evaluation.outputs import LAYOUTS
from moda.evaluation.report.tables import markdown
from moda.files import make_folder, write_text
from moda.locations import find_config
from moda.reading import read_json
from moda.study.key import QUESTIONS
from moda.study.results import read_study

STAGES = ("audio2repr", "faco", "renderer")
SET_NAME = "MODA (paper)"
OPEN = """What the paper leaves open, and what choosing each way changes: docs/reproducing_the_paper.md."""


class Recipe:
    """Steps of a folder of data. taken: checkpoints by stage that are used as they are."""

    def __init__(self, data: Path, out: Path, settings: dict[str, list[str]], taken: dict[str, Path]) -> None:
        self.data, self.out, self.settings, self.taken = data, out, settings, taken
        self.store, self.people = out / "store", out / "people"

    def sets(self, name: str, *given: str) -> list[str]:
        """A step's settings as arguments: these, then the caller's."""
        return sets_of([*given, *self.settings.get(name, [])])

    def best(self, name: str) -> Path:
        """The checkpoint of a training."""
        return self.out / "runs" / name / "best.pt"

    def prepared(self) -> Step:
        """The clip store."""
        lists = self.data / "lists"
        arguments = ["--hdtf", str(lists)] if lists.is_dir() else []
        drawn = ["--split", "132,0,32", "--seed", "0"]
        return prepared(self.data, self.store, [*arguments, *self.sets("store")], drawn=drawn, more=lists)

    def gathered(self) -> Step:
        """The test list's people as a store to train on: a renderer knows one person, and learns from it."""
        index = self.store / "index.json"
        call = partial(_gather, self.store, self.people)
        return Step("people", lambda _: call(), ["people"], (index,), self.people / "store.json")

    def trained(self, people: Sequence[str]) -> list[Step]:
        """Stages 1 and 2 once, stage 3 for each person; those whose checkpoint is taken are left out."""
        wav2vec, vgg19 = self.data / "wav2vec", self.data / "vgg19.pth"
        given = {
            "audio2repr": [f"network.wav2vec.pretrained={wav2vec}"] * wav2vec.exists(),
            "faco": [],
            "renderer": [f"loss.perceptual_weights={vgg19}"] * vgg19.exists(),
        }
        steps = []
        for stage in (stage for stage in STAGES if stage not in self.taken):
            for person in people if stage == "renderer" else [None]:
                name = stage if person is None else renderer_of(person)
                store = self.store if person is None else self.people
                always = [f"data.store={store}", f"output={self.out / 'runs' / name}", *given[stage]]
                always += [] if person is None else [f"data.identity={json.dumps(person)}"]
                command = ["train", "--config", f"paper/{stage}", *self.sets(stage, *always)]
                reads = (
                    self.store / "index.json",
                    *(path for path in (wav2vec, vgg19) if str(path) in str(given[stage])),
                )
                steps.append(Step(name, moda, command, reads, self.best(name), ("--fresh",)))
        return steps

    def scored(self, people: Sequence[str]) -> Step:
        """The test list generated by the chain, several seeds, and scored beside what others left."""
        used = [self.taken.get(stage, self.best(stage)) for stage in ("audio2repr", "faco")]
        one = self.taken.get("renderer", self.best(renderer_of(people[0])))
        changes = [f"checkpoints.{name}={path}" for name, path in zip(STAGES, [*used, one], strict=True)]
        changes += self.settings.get("infer", [])
        own = {who: [f"checkpoints.renderer={self.best(renderer_of(who))}"] for who in people}
        taken = "renderer" in self.taken
        outputs = {
            name: str(self.data / "outputs" / name) for name in LAYOUTS if (self.data / "outputs" / name).is_dir()
        }
        tree = load_yaml(find_config(Path("eval/paper"))) | {
            "truth": str(self.store),
            "output": str(self.out / "scores"),
            "outputs": outputs,
            "sets": {SET_NAME: {"config": "configs/paper/infer.yaml", "set": changes, "people": {} if taken else own}},
        }
        renderers = [one] if taken else [self.best(renderer_of(who)) for who in people]
        reads = (self.store / "index.json", *used, *renderers, *(Path(path) for path in outputs.values()))
        return scored(self.out, tree, self.sets("scores"), reads, self.out / "scores" / "scores.json")

    def ablated(self, config: str) -> Step:
        """The paper's ablations."""
        folder = self.out / "ablation"
        command = ["ablate", "--config", config, *self.sets("ablation", f"store={self.store}", f"output={folder}")]
        return Step("ablation", moda, command, (self.store / "index.json",), folder / "ablation.md", passes=(0, 1))

    def told(self) -> Step:
        """paper_table.md of all that there is."""
        parts = [self.out / "scores" / "scores.json", self.out / "ablation" / "ablation.md", self.data / "study.json"]
        call = partial(_write_table, self.data, self.out)
        reads = tuple(path for path in parts if path.exists())
        return Step("table", lambda _: call(), ["table"], reads, self.out / "paper_table.md")


def _gather(store: Path, people: Path) -> int:
    make_folder(people)
    if not (people / "clips").is_symlink():
        (people / "clips").symlink_to((store / "clips").resolve())
    tested = [clip.id for clip in ClipStore.open(store).split("test")]
    for name in ("index.json", "store.json"):
        write_text(people / name, (store / name).read_text(encoding="utf-8"))
    ClipStore.open(people).write_splits({"train": tested})
    return 0


def _write_table(data: Path, out: Path) -> int:
    scores = out / "scores" / "table.md"
    parts = [
        scores.read_text(encoding="utf-8").split("## Pairs of rows")[0].replace("# Scores", "# The paper's table", 1)
    ]
    parts.append(f"Page: [scores/report.html](scores/report.html). {OPEN}")
    ablation = out / "ablation" / "ablation.md"
    parts.append("## Ablations\n\n" + (ablation.read_text(encoding="utf-8") if ablation.exists() else "Not run."))
    parts.append("## User study\n\n" + study_text(data / "study.json"))
    parts.append("## Training cost\n\n" + cost_text(out))
    write_text(out / "paper_table.md", "\n\n".join(parts) + "\n")
    return 0


def study_text(path: Path) -> str:
    """The user study's means by method, or that there is none."""
    if not path.exists():
        return f"None: {path} is not there (moda study)."
    study = read_study(path)
    asked = [*QUESTIONS, "preference"]
    lines = [
        [name, *(_estimate(found.get(question)) for question in asked)] for name, found in study["methods"].items()
    ]
    return f"{study['participants']} participants.\n\n" + markdown(["", *asked], lines)


def _estimate(found: dict[str, float | None] | None) -> str:
    if found is None or found["mean"] is None:
        return "n/a"
    interval = "" if found["low"] is None or found["high"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"{found['mean']:.2f}{interval}"


def cost_text(out: Path) -> str:
    """Steps and time of each training: of its tries that ended, on this machine."""
    lines = []
    for record in sorted((out / STEPS_FOLDER).glob("*.json")):
        best = out / "runs" / record.stem / "best.pt"
        if best.exists():
            steps = checkpoint.load(best).info.get("step")
            lines.append([record.stem, str(steps), f"{read_json(record).get('seconds', 0.0) / 3600:.3f}"])
    device = f"Device: {describe_device(choose_device('auto'))}. Time of tries that were killed is not in it."
    return (
        f"{markdown(['training', 'steps', 'hours'], lines)}\n\n{device}"
        if lines
        else "No training: checkpoints were given."
    )


def renderer_of(person: str) -> str:
    """The step, and the folder, of a person's renderer."""
    return f"renderer-{person.replace('/', '_')}"


def people_to_test(store: Path) -> list[str]:
    """Who is in the test list of a store, in the order of names."""
    people = sorted({clip.identity for clip in ClipStore.open(store).split("test")})
    if not people:
        raise DataError(f"the test list of {store} is empty, so there is nothing to score")
    return people


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code is that of the first step that is not done."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="HDTF")
    parser.add_argument("--output", type=Path, default=Path("runs/paper_table"), help="(default: %(default)s)")
    parser.add_argument(
        "--take", action="append", default=[], metavar="STAGE=CHECKPOINT", help="do not train this stage"
    )
    parser.add_argument("--ablation", default="ablation/paper", metavar="YAML", help="none: leave it out")
    parser.add_argument(
        "--set", action="append", default=[], metavar="STEP:KEY=VALUE", help="a step's setting; infer: animation"
    )
    parser.add_argument("--until", metavar="STEP", help="the last step to do")
    arguments = parser.parse_args(argv)
    if not (arguments.data / "videos").is_dir():
        raise DataError(f"no folder of raw videos: {arguments.data / 'videos'}; wanted HDTF/videos (see --help)")
    taken = {}
    for word in arguments.take:
        stage, _, path = word.partition("=")
        if stage not in STAGES or not Path(path).is_file():
            raise ConfigError(f"--take got '{word}', wanted STAGE=CHECKPOINT, of {', '.join(STAGES)}, and a file")
        taken[stage] = Path(path)
    settings, out = by_step(arguments.set), arguments.output
    known = ("store", *STAGES, "infer", "scores", "ablation")
    if unknown := [name for name in settings if name not in known]:
        raise ConfigError(f"--set: no step '{unknown[0]}'; there are: {', '.join(known)}")
    recipe = Recipe(arguments.data, out, settings, taken)
    code = run_steps([recipe.prepared()], out)
    if code or arguments.until == "store":
        return code
    people = people_to_test(recipe.store)
    own = [] if "renderer" in taken else [recipe.gathered()]
    steps = [*own, *recipe.trained(people), recipe.scored(people)]
    steps += [] if arguments.ablation == "none" else [recipe.ablated(arguments.ablation)]
    steps.append(recipe.told())
    code = run_steps(steps, out, until=arguments.until)
    if not code and not arguments.until:
        print(f"page: {out / 'scores' / 'report.html'}; all in one: {out / 'paper_table.md'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
