"""The sync stage: what its windows hold, what it learns, and the rounds of its training."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from data_prepare import offsets as offsets_command
from moda import checkpoint as checkpoints
from moda.av_offset import LipSync
from moda.checkpoint import Checkpoint
from moda.config import apply_overrides, load_yaml, parse, to_dict
from moda.data.store import ClipStore
from moda.data.sync_windows import SyncDataConfig, SyncPairs, SyncWindow, cut_audio, mirrored_lips, sync_batches
from moda.errors import DataError
from moda.landmarks import LIPS, canonical_face, lip_opening
from moda.stages.registry import build_stage
from moda.stages.sync.stage import SyncStage
from moda.training.config import TrainConfig
from tests.stages.loss_weights import check_weights
from tests.talking_clips import talk, talking_store, write_talking_clip

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIFTS = range(-8, 9, 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return talking_store(tmp_path_factory.mktemp("talking") / "store")


def make_stage(store: ClipStore, *overrides: str) -> SyncStage:
    settings = [f"data.store={store.root}", *overrides]
    tree = apply_overrides(load_yaml(CONFIGS / "debug" / "sync.yaml"), settings)
    stage = build_stage(parse(TrainConfig, tree, source="debug"), source="debug")
    assert isinstance(stage, SyncStage)
    return stage


def learn(stage: SyncStage, steps: int) -> None:
    torch.manual_seed(0)
    train, _ = stage.datasets()
    stage.prepare(train)
    stage.train()
    optimizer = torch.optim.AdamW(stage.net.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    done = epoch = 0
    while done < steps:
        for windows in stage.sampler(train, 8, epoch):
            batch = stage.collate([train[window] for window in windows])
            ((trainable, terms),) = stage.losses(batch, generator)
            assert trainable == "towers" and set(terms) == {"frames", "curve"}
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            done += 1
        epoch += 1
    stage.eval()


@pytest.fixture(scope="module")
def learned(store: ClipStore) -> SyncStage:
    stage = make_stage(store)
    learn(stage, 120)
    return stage


def test_it_recovers_the_shifts_of_a_voice_it_never_heard(learned: SyncStage) -> None:
    estimator = LipSync(learned.network)
    face, wave = talk(200, seed=99)
    errors = []
    for late in SHIFTS:
        first = 20
        audio = wave[640 * (first + late) :][: 640 * 150]
        errors.append(abs(estimator.estimate(face[first:][:150], np.ones(150, bool), audio).frames - late))
    assert np.median(errors) < 0.5 and max(errors) < 1, errors
    _, other = talk(200, seed=100)
    right, wrong = (estimator.estimate(face, np.ones(200, bool), audio) for audio in (wave, other))
    assert right.confidence > 2 * wrong.confidence, "audio of another clip fits nowhere"


def test_validation_tells_a_trained_network_from_a_new_one(learned: SyncStage, store: ClipStore) -> None:
    fresh = make_stage(store).eval()
    _, val = learned.datasets()
    batch = learned.collate([val[i] for i in range(len(val))])
    with torch.no_grad():
        good, bad = learned.validate(batch), fresh.validate(batch)
        picture = learned.preview(batch)["curves"]
    assert good["within_1"] > 0.9 > 0.5 > bad["within_1"]
    assert good["score"] < 0.7 * bad["score"]
    assert picture.shape == (8 * len(val), 8 * 41, 3) and picture.dtype == np.uint8


def test_each_weight_scales_its_own_term(learned: SyncStage) -> None:
    _, val = learned.datasets()
    stage = copy.deepcopy(learned)
    owners = {name: {name} for name in ("frames", "curve")}
    others = {"width", "disturb", "hidden_bands"}
    check_weights(stage, "towers", learned.collate([val[0], val[1]]), owners, others)


def test_a_window_is_late_by_what_it_says(store: ClipStore) -> None:
    config = SyncDataConfig(store=store.root, frames=60)
    _, val = SyncPairs.splits(config)
    item = val[SyncWindow(0, 30, 4.0, 0)]
    opening = lip_opening(val.clips[0].canonical)[30:90]
    loudness = item["wave"].reshape(60, 640).square().mean(1).sqrt().numpy()
    scores = [np.corrcoef(opening[10:-10], loudness[10 - late : 50 - late])[0, 1] for late in range(-8, 9)]
    assert int(np.argmax(scores)) - 8 == 4
    assert item["audible"].all() and item["tracked"].all() and item["late"] == 4
    edge = val[SyncWindow(0, 0, -4.0, 0)]
    assert edge["audible"].tolist() == [False] * 4 + [True] * 56
    assert (edge["wave"][: 4 * 640] == 0).all() and (edge["wave"][4 * 640 :] != 0).any()


def test_cut_sound_pads_both_ends() -> None:
    audio = np.arange(1, 6, dtype=np.int16)
    np.testing.assert_array_equal(cut_audio(audio, -2, 9) * 32768, [0, 0, 1, 2, 3, 4, 5, 0, 0])
    assert not cut_audio(audio, 10, 4).any()


def test_the_clips_own_offset_is_taken_off_and_the_rest_left_out(tmp_path: Path) -> None:
    store = ClipStore.create(tmp_path / "store", 128)
    write_talking_clip(store, "late", 120, seed=5, late=3)
    write_talking_clip(store, "right", 120, seed=5)
    write_talking_clip(store, "unsettled", 120, seed=6)
    store.write_splits({"train": ["late", "right", "unsettled"], "val": ["right"]})
    listing = tmp_path / "offsets.tsv"
    listing.write_text("# comment\nlate\t3.0\t0.4\nright\t0\n")
    train, _ = SyncPairs.splits(SyncDataConfig(store=store.root, frames=60, offsets=listing))
    assert [clip.id for clip in train.clips] == ["late", "right"]
    late = SyncPairs(train.clips, train.config, training=False)[SyncWindow(0, 20, 2.0, 0)]
    opening = late["lips"][:, :, 1].std(1).numpy()
    loudness = late["wave"].reshape(60, 640).square().mean(1).sqrt().numpy()
    scores = [np.corrcoef(opening[10:-10], loudness[10 - k : 50 - k])[0, 1] for k in range(-8, 9)]
    assert int(np.argmax(scores)) - 8 == 2
    listing.write_text("late\tthree\n")
    with pytest.raises(DataError, match=r"line 1: wanted 'clip_id<TAB>frames'"):
        SyncPairs.splits(SyncDataConfig(store=store.root, offsets=listing))
    listing.write_text("late\t3\n")
    with pytest.raises(DataError, match=r"names none of the 1 usable clips .* whose first is 'right'"):
        SyncPairs.splits(SyncDataConfig(store=store.root, offsets=listing))


def test_batches_depend_on_the_seed_and_fill_the_range(store: ClipStore) -> None:
    train, _ = SyncPairs.splits(SyncDataConfig(store=store.root, frames=60))
    assert sync_batches(train, 4, 1) == sync_batches(train, 4, 1) != sync_batches(train, 4, 2)
    late = [window.late for seed in range(20) for batch in sync_batches(train, 4, seed) for window in batch]
    assert min(late) < -12 and max(late) > 12 and all(abs(value) <= 15 for value in late)
    window = sync_batches(train, 4, 1)[0][0]
    for name, values in train[window].items():
        assert torch.equal(values, train[window][name]), name


def test_mirroring_swaps_the_corners_of_the_mouth() -> None:
    mirror = mirrored_lips()
    assert sorted(mirror) == list(range(40)) and (mirror[mirror] == np.arange(40)).all()
    assert LIPS[mirror[LIPS.index(61)]] == 291
    points = canonical_face().vertices[list(LIPS)]
    np.testing.assert_allclose(points[mirror] * [-1, 1, 1], points, atol=2.0)


def test_mirrored_lips_are_those_of_the_other_side(store: ClipStore) -> None:
    plain, mirrored = (
        SyncPairs.splits(SyncDataConfig(store=store.root, frames=60, mirror=share))[0] for share in (0.0, 1.0)
    )
    window = SyncWindow(0, 30, 4.0, 7)
    lips, other = plain[window]["lips"].numpy(), mirrored[window]["lips"].numpy()
    left, right, middle = (LIPS.index(landmark) for landmark in (291, 61, 13))
    np.testing.assert_allclose(other[:, left], lips[:, right] * [-1, 1, 1])
    np.testing.assert_allclose(other[:, right], lips[:, left] * [-1, 1, 1])
    np.testing.assert_allclose(other[:, middle], lips[:, middle] * [-1, 1, 1])


def test_the_offsets_command_lists_what_is_settled(
    learned: SyncStage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ClipStore.create(tmp_path / "store", 128)
    write_talking_clip(store, "late", 200, seed=50, late=5)
    path = tmp_path / "sync.pt"
    config = {"network": to_dict(learned.network_config)}
    checkpoints.save(path, Checkpoint("sync", config, dict(learned.network.state_dict())))
    assert offsets_command.main([str(store.root), "--checkpoint", str(path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, frames, confidence = line.split("\t")
    assert name == "late" and float(frames) == pytest.approx(5, abs=0.7) and float(confidence) > 0
    assert offsets_command.main([str(store.root), "--checkpoint", str(tmp_path / "none.pt")]) == 2
    assert "error: no checkpoint of the offset estimator at" in capsys.readouterr().err
