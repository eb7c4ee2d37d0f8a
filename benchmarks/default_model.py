"""The default model from raw footage, by one command: python -m benchmarks.default_model DATA --output FOLDER

DATA holds:

    videos/                         raw talking videos
    photos/                         photographs of one face each, for the renderer (optional)
    identities.tsv                  who is in which video, as of moda prepare --identities (optional)
    train.txt, val.txt, test.txt    which clips are for what, as of moda prepare --split-lists (optional)
    perceptual.npz                  VGG19, VGG16 or SqueezeNet for the renderer's perceptual loss (optional)

The speech encoder and the network that estimates offsets are those that ship. A step whose output is there and whose
inputs are those of the last time is left out, one that was interrupted goes on. FOLDER/checkpoints holds what would
ship, FOLDER/scores how it scores on the val split.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import shipping
from benchmarks.chain import Step, by_step, prepared, run_steps, scored, sets_of
from moda.cli.commands import main as moda
from moda.cli.main import Parser, run
from moda.errors import DataError

RENDERERS = ("renderer", "renderer_512")
"""Configurations of renderers that ship; the first is the one that is scored."""
SCORED = ("audio2repr", "faco", RENDERERS[0])
"""The checkpoints that are chained for the scores."""


def recipe(data: Path, out: Path, settings: dict[str, list[str]]) -> Iterator[Step]:
    """The steps in their order. settings: further KEY=VALUE of each by its name."""

    def sets(name: str, *given: str) -> list[str]:
        return sets_of([*given, *settings.get(name, [])])

    def best(name: str) -> Path:
        return out / "runs" / name / "best.pt"

    def training(name: str, *given: str, reads: Sequence[Path] = ()) -> Step:
        always = (f"data.store={store}", f"output={out / 'runs' / name}")
        command = ["train", "--config", f"default/{name}", *sets(name, *always, *given)]
        return Step(name, moda, command, (store / "index.json", *reads), best(name), ("--fresh",))

    store, photos = out / "store", out / "photos"
    weights = data / "perceptual.npz"
    yield prepared(data, store, ["--config", "default/prepare", "--allow-silent", *sets("store")])
    with_photos = (data / "photos").is_dir()
    if with_photos:
        command = ["prepare", "--photos", str(data / "photos"), str(photos)]
        yield Step("photos", moda, command, (data / "photos",), photos, passes=(0, 1))

    encoded, lips = f"data.encoded={out / 'encoded'}", best("audio2repr_lips")
    yield training("audio2repr_lips", encoded)
    yield training("audio2repr_stochastic", encoded, f"init={lips}", reads=[lips])
    yield training("faco")
    given = [f"data.photos={photos}"] * with_photos + [f"loss.perceptual_weights={weights}"] * weights.exists()
    more = [photos] * with_photos + [weights] * weights.exists()
    yield training("renderer", *given, reads=more)
    coarse = best("renderer")
    judged = [term for term in given if term.startswith("loss.")]
    yield training("renderer_512", f"init={coarse}", *judged, reads=[coarse])

    trained = {"audio2repr": "audio2repr_stochastic", "faco": "faco", **{name: name for name in RENDERERS}}
    for ships, name in trained.items():
        made = out / "checkpoints" / f"{ships}.pt"
        yield Step(made.name, shipping.main, [str(best(name)), str(made)], (best(name),), made)

    made_of = {name: out / "checkpoints" / f"{name}.pt" for name in SCORED}
    changes = [f"checkpoints.{name}={path}" for name, path in made_of.items()]
    evaluation = {
        "truth": str(store),
        "split": "val",
        "output": str(out / "scores"),
        "sets": {"ours": {"set": changes}},
    }
    reads = (store / "index.json", *made_of.values())
    yield scored(out, evaluation, sets("scores"), reads, out / "scores" / "table.md")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code is that of the first step that is not done."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--output", type=Path, default=Path("runs/default_model"), help="(default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="STEP:KEY=VALUE", help="change a step's setting")
    parser.add_argument("--until", metavar="STEP", help="the last step to do")
    arguments = parser.parse_args(argv)
    data, out = arguments.data, arguments.output
    if not (data / "videos").is_dir():
        raise DataError(f"no folder of raw videos: {data / 'videos'}; wanted DATA/videos (see --help)")
    settings = by_step(arguments.set)
    code = run_steps(list(recipe(data, out, settings)), out, named=settings, until=arguments.until)
    if code or arguments.until:
        return code
    print(f"checkpoints: {out / 'checkpoints'}; scores: {out / 'scores' / 'table.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
