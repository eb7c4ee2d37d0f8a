"""Ablations: the plan, the verdicts, and one end to end with tiny networks."""

import json
import re
from pathlib import Path

import pytest

from moda.cli.ablate import main
from moda.cli.ablation_plan import AblationConfig, ClaimConfig, plan
from moda.cli.ablation_report import collect, common_clips, mean_over_seeds, verdict
from moda.config import apply_overrides, load_yaml, parse
from moda.data.clip import ClipStore
from moda.errors import ConfigError
from moda.metrics import METRICS, MetricSettings
from moda.metrics.rows import ClipScore, Evaluation, Row
from tests.conftest import REPOSITORY

PAPER = REPOSITORY / "configs" / "ablation" / "paper.yaml"
DEBUG = REPOSITORY / "configs" / "ablation" / "debug.yaml"


def config(*changes: str) -> AblationConfig:
    return parse(AblationConfig, apply_overrides(load_yaml(PAPER), changes), source="paper.yaml")


def test_the_papers_rows_are_all_planned() -> None:
    trials = plan(config())
    names = {trial.variant for trial in trials}
    assert {"full", "lstm", "without_specattn", "without_both", "without_faco", "without_tpe"} <= names
    assert len(trials) == 3 * len(names) and trials[0].variant == "full"
    outputs = [run.output for trial in trials for run in trial.runs]
    assert len(set(outputs)) == len(outputs)


def test_a_variant_takes_what_it_does_not_train_from_full_of_its_seed() -> None:
    trials = {trial.name: trial for trial in plan(config())}
    full, lstm, faco = trials["full-1"], trials["lstm-1"], trials["without_faco-1"]
    assert lstm.checkpoints["renderer"] == full.checkpoints["renderer"]
    assert lstm.checkpoints["audio2repr"] != full.checkpoints["audio2repr"]
    assert faco.runs == () and faco.checkpoints == full.checkpoints and "face=rest" in faco.changes
    assert "seed=1" in full.runs[0].changes and "trainer.steps=1000" in full.runs[0].changes


def test_what_cannot_be_planned_is_named() -> None:
    with pytest.raises(ConfigError, match="no variant 'full'"):
        config("variants={lstm: {}}", "claims=[]")
    with pytest.raises(ConfigError, match="claim names the metric 'lnd'"):
        config("claims=[{says: x, variant: lstm, metric: lnd, full_is: higher}]")
    with pytest.raises(ConfigError, match="wanted one of full_is and variant_is"):
        config("claims=[{says: x, variant: lstm, metric: ma}]")
    wrong = config("variants={full: {faco: configs/ablation/audio2repr/full.yaml}}")
    with pytest.raises(ConfigError, match="is of stage 'audio2repr', wanted 'faco'"):
        plan(wrong)


@pytest.mark.parametrize(
    ("full", "variant", "result"),
    [
        ({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.5}, "agrees"),
        ({0: 0.4, 1: 0.5}, {0: 0.5, 1: 0.6}, "does not agree"),
        ({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.6}, "no difference shown"),
        ({0: 0.5, 1: 0.9}, {0: 0.4, 1: 0.5}, "no difference shown"),  # +0.1 and +0.4: one way, and far apart
        ({0: 0.5, 1: 0.9, 2: 0.7}, {0: 0.2, 1: 0.5, 2: 0.3}, "agrees"),
        ({0: 0.512, 1: 0.512}, {0: 0.511, 1: 0.511}, "no difference shown"),  # 0.00 as printed
        ({0: 0.5}, {0: 0.4}, "no difference shown"),
        ({0: 0.5}, {}, "not available"),
    ],
)
def test_a_difference_must_stand_out_of_the_seeds(
    full: dict[int, float], variant: dict[int, float], result: str
) -> None:
    claim = ClaimConfig(says="x", variant="v", metric="ma", full_is="higher")
    assert verdict(claim, {"full": {"ma": full}, "v": {"ma": variant}})[0] == result
    lower = ClaimConfig(says="x", variant="v", metric="ma", full_is="lower")
    opposite = {"agrees": "does not agree", "does not agree": "agrees"}.get(result, result)
    assert verdict(lower, {"full": {"ma": full}, "v": {"ma": variant}})[0] == opposite


def test_interval_over_seeds_is_students() -> None:
    assert mean_over_seeds([1.0]) is None
    low, high = mean_over_seeds([1.0, 2.0, 3.0]) or (0, 0)
    assert high - 2 == pytest.approx(2 - low) == pytest.approx(4.302653 / 3**0.5, rel=1e-5)  # t of 2 degrees, 97.5 %


def test_variants_are_compared_on_the_clips_that_all_have() -> None:
    trials = [trial for trial in plan(config()) if trial.name in ("full-0", "lstm-0")]
    full = Row("full-0", control=False, scores={c: ClipScore({"ma": v}, 9) for c, v in (("a", 0.5), ("b", 0.9))})
    lstm = Row("lstm-0", control=False, scores={"a": ClipScore({"ma": 0.4}, 9)}, refused={"b": "no face"})
    metrics = {"ma": METRICS["ma"]}
    evaluation = Evaluation(REPOSITORY, {}, [full, lstm], ["a", "b"], [], metrics, MetricSettings())
    assert collect(trials, evaluation) == {"full": {"ma": {0: 0.5}}, "lstm": {"ma": {0: 0.4}}}
    assert common_clips(trials, evaluation, "ma") == ["a"]


def test_seeds_of_nothing_trained_are_one_seed() -> None:
    nothing = config("variants={full: {}, without_faco: {set: [face=rest]}, lstm: {renderer: null}}")
    assert [trial.name for trial in plan(nothing)] == ["full-0", "without_faco-0", "lstm-0"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("train_set.renderer=[network.widht=4]", r"unknown key 'network.widht'.*did you mean 'width'"),
        ("variants.without_faco.set=[faec=rest]", r"unknown key 'faec'.*did you mean 'face'"),
        ("set=[checkpoints.faco=none.pt]", "no checkpoint of stage 'faco' for the variant 'full': none.pt"),
        ("seeds=[1, 1]", "seeds should all be different"),
    ],
)
def test_a_mistake_shows_before_anything_is_trained(
    change: str, error: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(PAPER), "--set", f"output={tmp_path / 'out'}", "--set", change]) == 2
    assert re.search(error, capfd.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_claimed_number_is_compared_with_the_variant_alone() -> None:
    claim = ClaimConfig(says="x", variant="v", metric="diversity_head", variant_is=0)
    assert verdict(claim, {"full": {}, "v": {"diversity_head": {0: 0.0, 1: 2e-4}}})[0] == "agrees"
    assert verdict(claim, {"full": {}, "v": {"diversity_head": {0: 0.0, 1: 0.3}}})[0] == "does not agree"


def test_end_to_end_and_again(clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three variants, two seeds: trained, animated, scored; the LSTM draws nothing, so its diversity is 0."""
    command = ["--config", str(DEBUG)]
    for change in (
        f"store={clip_store.root}",
        f"output={tmp_path / 'out'}",
        "variants.without_specattn=null",
        "variants.without_probattn=null",
        "variants.without_both=null",
        "variants.lips_from_both=null",
        "variants.flow=null",
        "variants.without_tpe=null",
        "variants.without_warp=null",
        "variants.full.renderer=null",
        "device=cpu",
    ):
        command += ["--set", change]
    assert main(command) == 0
    record = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert set(record["scores"]) == {"full", "lstm", "without_faco"}
    assert set(record["scores"]["lstm"]["lmd_aligned"]) == {"0", "1"}
    assert record["scores"]["lstm"]["diversity_head"] == {"0": 0.0, "1": 0.0}
    assert min(record["scores"]["full"]["diversity_head"].values()) > 0
    claims = {claim["says"]: claim["verdict"] for claim in record["claims"]}
    assert claims["the LSTM scores 0 in diversity"] == "agrees"
    text = (tmp_path / "out" / "ablation.md").read_text()
    assert "## The paper's claims" in text and "| LMD aligned" in text
    video = next((tmp_path / "out" / "generated" / "lstm-0").rglob("*.mp4"))
    weights = tmp_path / "out" / "train" / "lstm" / "0" / "audio2repr" / "best.pt"
    made = [path.stat().st_mtime_ns for path in (video, weights)]
    capsys.readouterr()
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in (video, weights)] == made, "what is there is not made again"
