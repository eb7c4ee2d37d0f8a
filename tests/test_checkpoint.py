from __future__ import annotations

import os
import pickle
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from moda.checkpoint import Checkpoint, check_signature, load, load_weights, save, section
from moda.errors import CheckpointError, OutputError
from moda.representation import SIGNATURE


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    weights = {"layer.weight": torch.randn(40, 30), "layer.bias": torch.randn(40), "count": torch.tensor(3)}
    state = {"step": 5, "random": (1, 2), "tensor": torch.arange(4)}
    return Checkpoint("tiny", {"network": {"width": 3}}, weights, trainer=state, info={"step": 5})


class Code:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (os.environ["MODA_TEST_FOLDER"],)


def refusal(path: Path, stage: str | None = None) -> str:
    with pytest.raises(CheckpointError) as error:
        load(path, stage=stage)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_what_is_saved_comes_back(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "new" / "a.pt"
    save(path, checkpoint)
    back = load(path, stage="tiny")
    assert back.config == checkpoint.config and back.info == {"step": 5} and back.signature == SIGNATURE
    assert back.trainer is not None and back.trainer["random"] == (1, 2)
    assert back.weights.keys() == checkpoint.weights.keys()
    assert all(torch.equal(back.weights[name], value) for name, value in checkpoint.weights.items())
    assert os.listdir(path.parent) == ["a.pt"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_cut_short_is_refused(tmp_path: Path, checkpoint: Checkpoint, share: float) -> None:
    save(tmp_path / "a.pt", checkpoint)
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[: int(len(data) * share)])
    assert "cut short" in refusal(tmp_path / "a.pt")


def test_a_flipped_bit_is_noticed(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save(tmp_path / "a.pt", checkpoint)
    data = bytearray((tmp_path / "a.pt").read_bytes())
    where = data.index(checkpoint.weights["layer.weight"].numpy().tobytes())
    data[where + 100] ^= 1
    (tmp_path / "a.pt").write_bytes(data)
    assert "damaged" in refusal(tmp_path / "a.pt")


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODA_TEST_FOLDER", str(tmp_path / "made"))
    torch.save({"kind": "moda-checkpoint", "weights": Code()}, tmp_path / "archive.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Code()))
    assert "code" in refusal(tmp_path / "archive.pt")
    refusal(tmp_path / "bare.pt")
    assert not (tmp_path / "made").exists()
    pickle.loads((tmp_path / "bare.pt").read_bytes())  # proof that the trap was set
    assert (tmp_path / "made").exists()


def test_other_files_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    assert "no such checkpoint" in refusal(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("weights")
    assert "not a checkpoint" in refusal(tmp_path / "text.pt")
    assert "Is a directory" in refusal(tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    assert "not a checkpoint of this project" in refusal(tmp_path / "foreign.pt")
    save(tmp_path / "a.pt", checkpoint)
    tree = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save({**tree, "version": 99}, tmp_path / "later.pt")
    assert "version 99, wanted 2" in refusal(tmp_path / "later.pt")
    del tree["config"]
    torch.save(tree, tmp_path / "less.pt")
    assert "lacks config" in refusal(tmp_path / "less.pt")


def test_the_wrong_stage_is_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save(tmp_path / "a.pt", checkpoint)
    assert "stage 'tiny', wanted 'renderer'" in refusal(tmp_path / "a.pt", stage="renderer")


def test_another_signature_is_refused_entry_by_entry(tmp_path: Path, checkpoint: Checkpoint) -> None:
    other = {**SIGNATURE, "fps": 30.0, "lips": 20, "extra": 1}
    save(tmp_path / "a.pt", replace(checkpoint, signature=other))
    message = refusal(tmp_path / "a.pt")
    assert "fps is 30.0, wanted 25.0; lips is 20, wanted 40; extra is 1, wanted None" in message
    assert "eyes" not in message
    check_signature(dict(SIGNATURE), source="x")


def test_weights_that_do_not_fit_are_named_and_not_taken() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    good = {name: torch.ones_like(value) for name, value in module.state_dict().items()}
    load_weights(module, good, source="x")
    assert torch.equal(module[0].weight, torch.ones(2, 3))
    bad = {name: value * 2 for name, value in good.items()}
    del bad["1.running_mean"]
    bad.update({f"old.{i}": torch.ones(1) for i in range(6)})
    bad["0.weight"] = torch.ones(2, 4)
    with pytest.raises(CheckpointError) as error:
        load_weights(module, bad, source="x.pt")
    assert str(error.value) == (
        "weights of x.pt do not fit Sequential: missing 1.running_mean; "
        "unexpected old.0, old.1, old.2, old.3 and 2 more; wrong shape 0.weight (2, 4) for (2, 3)"
    )
    assert torch.equal(module[0].bias, torch.ones(2))


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """The system's own limit on a file's size stops the write in the middle, as a full disk does."""
    path = tmp_path / "a.pt"
    save(path, checkpoint)
    before = path.read_bytes()
    large = replace(checkpoint, weights={"w": torch.ones(500, 500)})
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=f"cannot write {path}: File too large"):
            save(path, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.pt"]
    save(path, large)
    assert load(path).weights["w"].shape == (500, 500)


def test_no_space_is_told_and_nothing_is_left(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        assert len(os.listdir(tmp_path)) == 1  # half written, under another name
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*a.pt: No space left on device"):
        save(tmp_path / "a.pt", checkpoint)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, checkpoint: Checkpoint) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*: (Not a directory|File exists)"):
        save(tmp_path / "file" / "a.pt", checkpoint)


def test_fp16_weights_come_back_as_fp32(tmp_path: Path, checkpoint: Checkpoint) -> None:
    half = {name: value.half() if value.ndim > 1 else value for name, value in checkpoint.weights.items()}
    save(tmp_path / "half.pt", replace(checkpoint, weights=half, trainer=None))
    back = load(tmp_path / "half.pt").weights
    assert back["layer.weight"].dtype == torch.float32 and back["count"].dtype == torch.int64
    assert torch.allclose(back["layer.weight"], checkpoint.weights["layer.weight"], rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": torch.ones(2)}, "not a checkpoint of this project"),
        ({"kind": ["moda-checkpoint"]}, "not a checkpoint of this project"),
        ({"version": torch.ones(2)}, "wanted 2"),
        ({"version": "1" * 10_000}, "wanted 2"),
        ({"version": None}, "version None, wanted 2"),
        ({"stage": 3}, "'stage' of"),
        ({"stage": None}, "'stage' of"),
        ({"stage": torch.ones(2)}, "'stage' of"),
        ({"config": None}, "'config' of"),
        ({"config": []}, "'config' of"),
        ({"config": {3: 4}}, "'config' of"),
        ({"config": {"network": {"a": [torch.ones(2)]}}}, "'config' of"),
        ({"weights": []}, "'weights' of"),
        ({"weights": {"a": [1.0]}}, "'weights' of"),
        ({"weights": {3: torch.ones(1)}}, "'weights' of"),
        ({"weights": None}, "'weights' of"),
        ({"signature": None}, "'signature' of"),
        ({"signature": {"fps": torch.ones(2)}}, "'signature' of"),
        ({"signature": {}}, "made for another representation"),
        ({"signature": {**SIGNATURE, "fps": "x" * 10_000}}, "made for another representation"),
        ({"trainer": [1]}, "'trainer' of"),
        ({"trainer": {1: 2}}, "'trainer' of"),
        ({"info": 3}, "'info' of"),
        ({"info": {"step": torch.ones(1)}}, "'info' of"),
    ],
)
def test_a_part_of_another_type_is_named(
    tmp_path: Path, checkpoint: Checkpoint, changes: dict[str, object], words: str
) -> None:
    save(tmp_path / "a.pt", checkpoint)
    torch.save({**torch.load(tmp_path / "a.pt", weights_only=True), **changes}, tmp_path / "b.pt")
    message = refusal(tmp_path / "b.pt", stage="tiny")
    assert words in message and len(message) < 600


def test_weights_that_are_no_tensors_of_the_kind_or_not_finite_are_not_taken() -> None:
    module = nn.BatchNorm1d(2)
    good = module.state_dict()
    for name, value, words in (
        ("weight", 3, "wrong shape weight int for"),
        ("weight", torch.ones(2, dtype=torch.int64), "wrong shape weight"),
        ("weight", torch.tensor([1.0, float("nan")]), "not finite: weight"),
        ("running_var", torch.tensor([1.0, float("inf")]), "not finite: running_var"),
        (5, torch.ones(1), "unexpected 5"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_weights(module, {**good, name: value}, source="x")  # type: ignore[dict-item]
    assert torch.equal(module.weight, torch.ones(2))


def test_a_section_that_is_not_there_is_named(checkpoint: Checkpoint) -> None:
    assert section(checkpoint, "network", source="a.pt") == {"width": 3}
    for config in ({}, {"network": None}, {"network": [1]}):
        with pytest.raises(CheckpointError, match=r"a\.pt does not say what network it holds"):
            section(replace(checkpoint, config=config), "network", source="a.pt")
