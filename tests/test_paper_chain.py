"""The paper's table by its one command, every step for real at a small size: raw videos, configs/paper, the page.

Small networks, two steps, two people; what is smaller than in the paper is in `SETTINGS`, all else is configs/paper.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from transformers import Wav2Vec2Model

from benchmarks import paper_table
from moda import checkpoint
from moda.cli import infer
from moda.config import apply_overrides, load_yaml, parse
from moda.errors import DataError
from moda.media.audio import write_wav
from moda.media.video import probe
from moda.metrics import METRICS
from moda.nn.pretrained import transformers_config
from moda.stages.audio2repr.config import NetworkConfig
from tests.conftest import speech_like

ROOT = Path(__file__).resolve().parents[1]
ENCODER = [f"network.wav2vec.{size}" for size in ("hidden=32", "layers=1", "heads=2", "ffn=32", "conv_dim=16")]
QUICK = ("trainer.steps=2", "trainer.batch=2", "trainer.workers=0", "trainer.log_every=1")
SCORED = ("lmd", "lmd_aligned", "diversity_head")
SETTINGS = {
    "store": ["options.limits.min_lip_motion=0", "options.limits.min_lip_range=0"],  # the videos are a moving photo
    "audio2repr": [*QUICK, *ENCODER, "data.lengths=[25]"],
    "faco": [*QUICK, "network.width=16", "data.lengths=[25]"],
    "renderer": [
        *QUICK, "network.size=256", "network.width=4", "network.discriminator={scales: 1, layers: 2, width: 4}",
        "data.held_out=null",  # the footage is too short to hold any out
    ],
    "infer": ["size=256", "preset=ultrafast"],
    "scores": [
        "seeds=[0, 1]", "jobs=1", f"skip=[{', '.join(name for name in METRICS if name not in SCORED)}]", "device=cpu",
    ],
}  # fmt: skip
SMALL_ABLATION = {"seeds": [0], "samples": [0], "split": "test", "claims": []}


def study() -> dict:
    found = {"mean": 3.9, "low": None, "high": None, "answers": 8}
    return {
        "format": "moda-study", "version": 1, "participants": 4,
        "methods": {"MODA (paper)": {"sync": found, "naturalness": found, "quality": found, "preference": found}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def hdtf(tmp_path_factory: pytest.TempPathFactory, synthetic_videos: Path) -> Path:
    """A folder as the command's help says, of two people, with a small wav2vec."""
    root = tmp_path_factory.mktemp("hdtf")
    (root / "videos").symlink_to(synthetic_videos)
    (root / "train.txt").write_text("twin\n")
    (root / "test.txt").write_text("astronaut\n")
    (root / "identities.tsv").write_text("file\tidentity\nastronaut.mp4\tann\ntwin.mp4\tbob\n")
    network = apply_overrides(load_yaml(ROOT / "configs" / "paper" / "audio2repr.yaml"), ENCODER)["network"]
    encoder = parse(NetworkConfig, network, source="test").wav2vec
    Wav2Vec2Model(transformers_config(encoder)).save_pretrained(root / "wav2vec")
    (root / "study.json").write_text(json.dumps(study()))
    names = [name for name in load_yaml(ROOT / "configs" / "ablation" / "debug.yaml")["variants"] if name != "full"]
    variants = dict.fromkeys(names) | {"full": {"renderer": None}}
    tree = {"base": str(ROOT / "configs" / "ablation" / "debug.yaml"), **SMALL_ABLATION, "variants": variants}
    (root / "ablation.yaml").write_text(yaml.safe_dump(tree))
    return root


def words(hdtf: Path, out: Path, *more: str) -> list[str]:
    given = [f"{step}:{each}" for step, settings in SETTINGS.items() for each in settings]
    ablation = ["--ablation", str(hdtf / "ablation.yaml")]
    return [str(hdtf), "--output", str(out), *ablation, *(word for each in given for word in ("--set", each)), *more]


@pytest.mark.timeout(900)
def test_from_raw_videos_to_the_page(hdtf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    renderer = ROOT / "assets" / "checkpoints" / "renderer.pt"
    assert paper_table.main(words(hdtf, out, "--until", "renderer-ann")) == 0, capsys.readouterr().err
    for name in ("audio2repr", "faco", "renderer-ann"):
        best = checkpoint.load(out / "runs" / name / "best.pt")
        assert best.info["step"] == 2, "the last step, whatever its score"
        assert best.config["optimizer"]["betas"] == [0.9, 0.99] and best.config["data"]["store"].startswith(str(out))
    assert best.config["data"]["identity"] == "ann"
    stored = Wav2Vec2Model.from_pretrained(hdtf / "wav2vec").state_dict()
    trained = checkpoint.load(out / "runs" / "audio2repr" / "best.pt").weights
    frozen = [name for name in stored if name.startswith("feature_extractor.")]
    assert frozen and all(bool((trained[f"wav2vec.model.{name}"] == stored[name]).all()) for name in frozen)
    assert any(bool((trained[f"wav2vec.model.{name}"] != stored[name]).any()) for name in stored)

    # two steps make no renderer that draws a face: the shipped one shows what stages 1 and 2 made
    capsys.readouterr()
    assert paper_table.main(words(hdtf, out, "--take", f"renderer={renderer}")) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.count("done already") == 3
    scores = json.loads((out / "scores" / "scores.json").read_text())
    ours = scores["methods"]["MODA (paper)"]
    assert ours["metrics"]["lmd"]["mean"] > 0 and ours["metrics"]["diversity_head"]["n"] == 1
    assert "settings its Sync was" in scores["printed"]["note"]
    table = (out / "paper_table.md").read_text()
    assert table.index("| *ground truth*") < table.index("| MODA (paper)")
    for part in (
        "## Ablations",
        "| full",
        "## User study",
        "4 participants",
        "## Training cost",
        "| renderer-ann | 2 ",
    ):
        assert part in " ".join(table.split()), part
    assert "MODA (paper)" in (out / "scores" / "report.html").read_text()

    changed = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    assert paper_table.main(words(hdtf, out, "--take", f"renderer={renderer}")) == 0
    assert capsys.readouterr().out.count("done already") == 5
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")} == changed

    talking = tmp_path / "talking.mp4"
    write_wav(tmp_path / "said.wav", speech_like(0.6))
    inputs = [
        str(tmp_path / "said.wav"),
        str(ROOT / "assets" / "demo.png"),
        "--output",
        str(talking),
        "--device",
        "cpu",
    ]
    config = ["--config", str(ROOT / "configs" / "paper" / "infer.yaml")]
    used = {name: out / "runs" / name / "best.pt" for name in ("audio2repr", "faco", "renderer-ann")}
    sets = [f"checkpoints.{name.split('-')[0]}={path}" for name, path in used.items()] + [
        "size=256",
        "preset=ultrafast",
    ]
    assert infer.main([*inputs, *config, *(word for each in sets for word in ("--set", each))]) == 0
    assert (probe(talking).width, probe(talking).fps) == (256, 25.0)


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_table.main([str(tmp_path)]) == 2
    assert f"no folder of raw videos: {tmp_path / 'videos'}" in capsys.readouterr().err
    (tmp_path / "videos").mkdir()
    assert paper_table.main([str(tmp_path), "--take", "renderer=gone.pt"]) == 2
    assert "--take got 'renderer=gone.pt', wanted STAGE=CHECKPOINT" in capsys.readouterr().err
    assert paper_table.main([str(tmp_path), "--set", "render:a=1"]) == 2
    assert "no step 'render'; there are: store, audio2repr" in capsys.readouterr().err


def test_a_user_study_is_told(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    assert paper_table.study_text(path).startswith("None: ")
    record = study()
    record["methods"]["other"] = {"sync": {"mean": 3.0, "low": 2.5, "high": 3.5, "answers": 9}}
    path.write_text(json.dumps(record))
    assert "3.00 [2.50, 3.50]" in paper_table.study_text(path) and "n/a" in paper_table.study_text(path)
    path.write_text("{}")
    with pytest.raises(DataError, match=r"study\.json"):
        paper_table.study_text(path)
