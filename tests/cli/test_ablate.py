"""Ablations: the plan, the verdicts, and one end to end with tiny networks."""

import json
import re
from pathlib import Path

import pytest

from moda.cli.ablate import main
from moda.cli.train import train
from moda.config import apply_overrides, load_yaml, parse
from moda.data.store import ClipStore
from moda.errors import ConfigError, TrainingError
from moda.evaluation.ablation.plan import AblationConfig, ClaimConfig, plan, scored_clips
from moda.evaluation.ablation.report import collect, common_clips, mean_over_seeds, verdict
from moda.evaluation.ablation.runs import check_runs
from moda.evaluation.results import ClipScore, Evaluation, MethodScores
from moda.metrics import METRICS, MetricSettings
from moda.stages.registry import build_stage
from moda.training.config import TrainConfig
from moda.training.dry_run import dry_run
from moda.training.trainer import Trainer
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
    assert full.runs[0].settings.seed == 1 and full.runs[0].settings.trainer.steps == 1000


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
    trials = [trial for trial in plan(config()) if trial.name in ("full-0", "lstm-0", "without_warp-0")]
    full = MethodScores(
        "full-0", control=False, scores={c: ClipScore({"ma": v}, 9) for c, v in (("a", 0.5), ("b", 0.9))}
    )
    lstm = MethodScores("lstm-0", control=False, scores={"a": ClipScore({"ma": 0.4}, 9)}, refused={"b": "no face"})
    metrics = {"ma": METRICS["ma"]}
    noise = MethodScores("without_warp-0", control=False, refused={"a": "no face", "b": "no face"})
    evaluation = Evaluation(REPOSITORY, {}, [full, lstm, noise], ["a", "b"], [], metrics, {}, MetricSettings())
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
        ("train_set.renderer=[network.size=128]", "size 128 makes an eye window of 24, wanted a multiple of 16"),
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


def tiny(store: ClipStore, output: Path, *more: str) -> list[str]:
    """A call of configs/ablation/debug.yaml."""
    changes = (
        f"store={store.root}",
        f"output={output}",
        "device=cpu",
        "set=[lip_contrast=1, size=128, fixations=false]",
        *more,
    )
    return ["--config", str(DEBUG), *(word for change in changes for word in ("--set", change))]


def test_all_runs_of_the_debug_file_can_be_trained(clip_store: ClipStore, tmp_path: Path) -> None:
    changes = (f"store={clip_store.root}", f"output={tmp_path / 'out'}", "device=cpu")
    settings = parse(AblationConfig, apply_overrides(load_yaml(DEBUG), changes), source="debug.yaml")
    trials = plan(settings)
    assert {trial.variant for trial in trials} == set(load_yaml(DEBUG)["variants"])
    check_runs(settings, trials)
    assert [clip.id for clip in scored_clips(settings)] == [clip.id for clip in clip_store.split("val")]
    renderers = {run.variant: run for trial in trials for run in trial.runs if run.stage == "renderer"}
    for run in renderers.values():
        trainer = Trainer(run.settings, build_stage(run.settings, source="test"))
        assert dry_run(trainer).losses, run.variant


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (["set=[size=300]"], r"variant 'without_warp': this renderer \(without a warp\) renders at 256 px"),
        (["split=test"], "the list 'test' of the clip store .* is empty, so there is nothing to score"),
        (["train_set.audio2repr=['data.lengths=[500]', 'data.settled_only=false']"], "variant 'full': no usable clip"),
    ],
)
def test_what_would_fail_later_is_refused_before_anything_is_trained(
    changes: list[str], error: str, clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny(clip_store, tmp_path / "out", *changes), "--variants", "full", "without_warp"]) == 2
    assert re.search(error, capfd.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_variants_are_chosen_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(config().only(["lstm"]).run()) == ["full", "lstm"]
    assert main(["--config", str(PAPER), "--variants", "full", "without_spekattn"]) == 2
    assert "unknown variant 'without_spekattn'; did you mean 'without_specattn'?" in capfd.readouterr().err
    assert main(["--config", str(PAPER), "--set", "variants.lstm=null", "--variants", "lstm"]) == 2


def test_a_dry_run_prints_a_forecast_and_writes_nothing(
    clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = tiny(clip_store, tmp_path / "out", "seeds=[0]", "samples=[0]", "train_set.renderer=[]")
    command += ["--set", "variants.full.renderer=null"]
    assert main([*command, "--variants", "full", "lstm", "--dry-run"]) == 0
    said = capfd.readouterr().err
    assert "lstm-0: trains audio2repr (lstm.yaml)" in said
    assert re.search(r"lstm, audio2repr \(lstm.yaml\): 1 of 1 runs to do, 2 steps of [0-9.e-]+ s", said)
    assert "animating and scoring 1 clips of the list 'val' (3 s), 2 times (2 trials, 1 samples)" in said
    assert re.search(r"about .*: training .* measured here\), scoring .*\(estimate: .*\), animating \d", said)
    assert not (tmp_path / "out").exists()


def test_what_fails_is_named_and_the_rest_is_scored(
    clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends in an error, and one that ends in a defect of the program."""
    command = tiny(clip_store, tmp_path / "out", "seeds=[0]", "samples=[0]", "variants.full.renderer=null")
    command += ["--variants", "lstm", "without_both", "without_faco"]

    def failing(settings: TrainConfig, source: str) -> int:
        if "lstm" in str(settings.output):
            raise TrainingError("step 2: the loss is nan")
        if "without_both" in str(settings.output):
            raise ZeroDivisionError("division by zero")
        return train(settings, source)

    monkeypatch.setattr("moda.cli.ablate.train", failing)
    assert main(command) == 1
    said = capfd.readouterr()
    record = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert set(record["scores"]) == {"full", "without_faco"}
    assert record["failed"]["lstm-0"] == "stage audio2repr: step 2: the loss is nan"
    assert "ZeroDivisionError: division by zero" in record["failed"]["without_both-0"]
    assert "Traceback" in said.err and "failed: lstm-0" in said.err
    assert "## Failed\n\n- lstm-0: stage audio2repr: step 2: the loss is nan" in said.out
    verdicts = {claim["variant"]: claim["verdict"] for claim in record["claims"]}
    assert verdicts["lstm"] == "not available" and verdicts["without_faco"] != "not available"
    # what has finished is scored without training anything
    monkeypatch.setattr("moda.cli.ablate.train", None)
    assert main([*command, "--report"]) == 1
    again = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert again["scores"] == record["scores"]
    assert again["failed"]["lstm-0"] == "stage audio2repr: not trained to its end: step 0 of 2"


def test_an_interruption_trains_no_further_and_names_how_to_continue(
    clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    monkeypatch.setattr("moda.cli.ablate.train", lambda settings, source: begun.append(settings.output) or 130)
    assert main([*tiny(clip_store, tmp_path / "out"), "--variants", "full"]) == 130
    assert len(begun) == 1 and "--report" in capfd.readouterr().err


def test_end_to_end_and_again(clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three variants, two seeds: trained, animated, scored; the LSTM draws nothing, so its diversity is 0."""
    command = tiny(clip_store, tmp_path / "out", "variants.full.renderer=null")
    command += ["--variants", "full", "lstm", "without_faco"]
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
