"""Ablations: the plan, the verdicts, and one end to end with tiny networks."""

import json

import pytest

from moda.cli.ablate import main
from moda.cli.ablation_plan import AblationConfig, ClaimConfig, plan
from moda.cli.ablation_report import verdict
from moda.config import apply_overrides, load_yaml, parse
from moda.data.clip import ClipStore
from moda.errors import ConfigError
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
        ({0: 0.5}, {0: 0.4}, "no difference shown"),
        ({0: 0.5}, {}, "not available"),
    ],
)
def test_every_seed_must_agree(full: dict[int, float], variant: dict[int, float], result: str) -> None:
    claim = ClaimConfig(says="x", variant="v", metric="ma", full_is="higher")
    assert verdict(claim, {"full": {"ma": full}, "v": {"ma": variant}})[0] == result
    lower = ClaimConfig(says="x", variant="v", metric="ma", full_is="lower")
    opposite = {"agrees": "does not agree", "does not agree": "agrees"}.get(result, result)
    assert verdict(lower, {"full": {"ma": full}, "v": {"ma": variant}})[0] == opposite


def test_a_claimed_number_is_compared_with_the_variant_alone() -> None:
    claim = ClaimConfig(says="x", variant="v", metric="diversity_head", variant_is=0)
    assert verdict(claim, {"full": {}, "v": {"diversity_head": {0: 0.0, 1: 2e-4}}})[0] == "agrees"
    assert verdict(claim, {"full": {}, "v": {"diversity_head": {0: 0.0, 1: 0.3}}})[0] == "does not agree"


def test_end_to_end_and_again(clip_store: ClipStore, tmp_path, capsys) -> None:
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
    made = video.stat().st_mtime_ns
    capsys.readouterr()
    assert main(command) == 0
    assert video.stat().st_mtime_ns == made, "what is there is not made again"
