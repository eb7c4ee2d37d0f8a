"""Labelling speech with a teacher, and distilling it into the encoder of stage 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from data_prepare.speech import SpeechRecording, list_sources, prepare_speech
from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.config import apply_overrides, load_yaml, parse
from moda.data.phoneme_teacher import CHUNK_SAMPLES, label
from moda.data.speech import Crop, SpeechCrops, SpeechDataConfig, played_at, read_meta
from moda.errors import ConfigError, DataError
from moda.media.audio import write_wav
from moda.representation import SAMPLE_RATE
from moda.stages.registry import build_network, build_stage
from moda.stages.speech.network import MIN_LOG_POSTERIOR, log_mel
from moda.stages.speech.stage import SpeechStage
from moda.training.config import TrainConfig
from tests.stages.loss_weights import check_weights

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


class LoudnessTeacher:
    """A real if humble teacher: soft classes of loudness, each frame by its own 320 samples."""

    name = "loudness 1"

    def __init__(self, symbols: int = 5) -> None:
        self.symbols = [str(i) for i in range(symbols)]
        self.longest = 0

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        self.longest = max(self.longest, len(wave))
        frames = np.pad(wave, (0, -len(wave) % 320)).reshape(-1, 320)
        level = np.log10(np.square(frames).mean(axis=1) + 1e-4)[:, None]
        logits = -4 * (level - np.linspace(-4, 0, len(self.symbols))) ** 2
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), dtype=np.float32)


def syllables(seconds: float, seed: int) -> np.ndarray:
    """Noise that swells and fades: loudness is all there is to hear in it."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * (1.5 + random.random()) * time + 6 * random.random())
    return (0.2 * swell**4 * random.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recordings of three seconds and a short one, labelled into a folder."""
    root = tmp_path_factory.mktemp("speech")
    (root / "in").mkdir()
    for number in range(12):
        write_wav(root / "in" / f"{number}.wav", syllables(3, number))
    write_wav(root / "in" / "short.wav", syllables(0.5, 99))
    sources = list_sources(root / "in", None)
    assert prepare_speech(sources, root / "in", root / "out", LoudnessTeacher()) == []
    return root / "out"


def make_stage(root: Path, *overrides: str) -> SpeechStage:
    settings = [f"data.root={root}", "network.symbols=5", "data.augment.noise=0", *overrides]
    tree = apply_overrides(load_yaml(CONFIGS / "debug" / "speech.yaml"), settings)
    stage = build_stage(parse(TrainConfig, tree, source="debug"), source="debug")
    assert isinstance(stage, SpeechStage)
    return stage


def batch_of(stage: SpeechStage, size: int = 4) -> tuple[SpeechCrops, Any]:
    train, _ = stage.datasets()
    return train, stage.collate([train[crop] for crop in stage.sampler(train, size, 0)[0]])


def test_long_sounds_are_labelled_in_pieces_that_fit() -> None:
    teacher = LoudnessTeacher()
    wave = syllables(2.3 * CHUNK_SAMPLES / SAMPLE_RATE, 0)
    labels = label(teacher, wave)
    assert labels.shape == (round(len(wave) / 320), 5) and labels.dtype == np.float16
    assert teacher.longest < 1.2 * CHUNK_SAMPLES
    np.testing.assert_array_equal(labels, LoudnessTeacher()(wave)[: len(labels)].astype(np.float16))


def test_a_group_is_in_one_split_and_lists_are_read(tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("a/x.wav\tanna\nb/y.wav\tanna\nc.wav\n")
    sources = list_sources(tmp_path, listing)
    assert sources == [
        SpeechRecording("a/x.wav", "anna"),
        SpeechRecording("b/y.wav", "anna"),
        SpeechRecording("c.wav", "c.wav"),
    ]
    assert sources[0].split == sources[1].split
    splits = [SpeechRecording(f"{i}.wav", str(i)).split for i in range(2000)]
    assert 60 < splits.count("val") < 140
    with pytest.raises(DataError, match=r"none\.txt"):
        list_sources(tmp_path, tmp_path / "none.txt")


def test_labelling_goes_on_where_it_stopped_and_lists_what_failed(tmp_path: Path) -> None:
    write_wav(tmp_path / "good.wav", syllables(1, 0))
    (tmp_path / "bad.wav").write_text("not an audio recording")
    sources = [SpeechRecording("good.wav", "a"), SpeechRecording("bad.wav", "b")]
    (failure,) = prepare_speech(sources, tmp_path, tmp_path / "out", LoudnessTeacher())
    assert failure.startswith("bad.wav: ")
    before = (tmp_path / "out" / "good.wav.npz").stat().st_mtime_ns
    prepare_speech(sources, tmp_path, tmp_path / "out", LoudnessTeacher())
    assert (tmp_path / "out" / "good.wav.npz").stat().st_mtime_ns == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.wav.npz", "speech.json", "splits"]
    assert read_meta(tmp_path / "out").teacher == "loudness 1"


def test_a_crop_is_sound_and_labels_of_the_same_time(labelled: Path) -> None:
    stage = make_stage(labelled, "data.augment.gain_db=0")
    _, batch = batch_of(stage)
    teacher = LoudnessTeacher()
    for wave, posteriors, valid in zip(batch["wave"], batch["posteriors"], batch["valid"], strict=True):
        seen = valid.numpy() > 0
        np.testing.assert_allclose(posteriors[seen], teacher(wave.numpy())[seen], atol=0.05)
    (short,) = [s for s in stage.datasets() if "short.wav" in s.names]
    item = short[Crop(short.names.index("short.wav"), 0, 0)]
    assert item["valid"].sum() == 25 and (item["wave"][8000:] == 0).all()


def test_the_divergence_is_nil_for_the_teacher_itself_and_matches_torch(labelled: Path) -> None:
    stage = make_stage(labelled, "loss.temperature=3")
    _, batch = batch_of(stage)
    stage.eval()
    logits = stage.net(batch["wave"]).logits
    valid = batch["valid"].bool()
    student, teacher = (F.log_softmax(x[valid] / 3, -1) for x in (logits, batch["posteriors"]))
    expected = 9 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    kl = stage._compare(batch).kl
    torch.testing.assert_close(kl, expected)
    own = {**batch, "posteriors": F.log_softmax(logits, -1).detach()}
    assert stage._compare(own)[0].item() == pytest.approx(0.0, abs=1e-4)


def test_each_weight_scales_its_own_term(labelled: Path) -> None:
    stage = make_stage(labelled)
    train, batch = batch_of(stage)
    stage.prepare(train)
    check_weights(stage, "encoder", batch, {name: {name} for name in ("kl", "mel", "phonetic")}, {"temperature"})


def test_what_lies_behind_the_end_does_not_count(labelled: Path) -> None:
    stage = make_stage(labelled)
    _, batch = batch_of(stage)
    stage.eval()
    batch["valid"][:, 20:] = 0
    stage.prepare(stage.datasets()[0])
    before = [value.item() for value in stage._compare(batch)[:3]]
    batch["posteriors"][:, 20:] = F.log_softmax(torch.randn(4, 30, 5) * 5, -1)
    after = stage._compare(batch)
    assert [after.kl.item(), after.phonetic.item()] == pytest.approx([before[0], before[2]], rel=1e-6)


def test_the_phonetic_target_is_the_principal_components_of_the_clipped_posteriors(labelled: Path) -> None:
    """By hand: numpy's eigenvectors of the same rows, up to the sign of each."""
    stage = make_stage(labelled, "network.wav2vec.phonetic=3")
    train, _ = stage.datasets()
    stage.prepare(train)
    rows = [
        np.maximum(p[: len(p) // 2 * 2].astype(np.float64), MIN_LOG_POSTERIOR).reshape(-1, 10)
        for p in train.posteriors()
    ]
    centred = np.concatenate(rows) - np.concatenate(rows).mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    expected = centred[:25] @ vectors[:, ::-1][:, :3] / np.sqrt(values[::-1][:3])
    first = torch.from_numpy(next(iter(train.posteriors()))[:50].astype(np.float32))[None]
    found = stage.net.components(first)[0].numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3)


def test_a_voice_played_faster_keeps_its_labels(labelled: Path) -> None:
    ramp = np.arange(100, dtype=np.int16)
    np.testing.assert_allclose(played_at(ramp, 1.25, 40), 1.25 * np.arange(40))
    assert len(played_at(ramp, 2.0, 80)) == 50 and played_at(ramp[:, None], 0.5, 80).shape == (80, 1)
    stage = make_stage(labelled, "data.augment.gain_db=0", "data.speed=0.2")
    _, batch = batch_of(stage)
    teacher = LoudnessTeacher()
    error = [
        np.abs(np.exp(posteriors[valid > 0]) - np.exp(teacher(wave.numpy())[valid.numpy() > 0])).mean()
        for wave, posteriors, valid in zip(batch["wave"], batch["posteriors"], batch["valid"], strict=True)
    ]
    assert np.mean(error) < 0.06  # the classes are soft and the loudness of noise is uneven; 0.2 against another's


def test_log_mel_finds_the_tone_whatever_its_loudness() -> None:
    time = torch.arange(16000) / SAMPLE_RATE
    low, high = (torch.sin(2 * torch.pi * f * time)[None] for f in (300.0, 3000.0))
    mel = log_mel(low, 80)
    assert mel.shape == (1, 50, 80)
    assert mel[0, 25].argmax() < log_mel(high, 80)[0, 25].argmax()
    torch.testing.assert_close(log_mel(0.5 * low, 80)[0, 25, :20], mel[0, 25, :20], atol=0.35, rtol=0)
    click = torch.zeros(1, 16000)
    click[0, 320 * 20] = 1.0
    assert log_mel(click, 80)[0].mean(-1).argmax() == 20


def test_it_learns_and_stage_1_starts_from_it(labelled: Path, tmp_path: Path) -> None:
    stage = make_stage(labelled)
    train, val = stage.datasets()
    stage.prepare(train)
    check = stage.collate([val[i] for i in range(len(val))])

    def score() -> dict[str, float]:
        stage.eval()
        with torch.no_grad():
            return stage.validate(check)

    before = score()
    stage.train()
    optimizer = torch.optim.Adam(stage.net.parameters(), lr=5e-3)
    for epoch in range(4):
        for crops in stage.sampler(train, 4, epoch):
            batch = stage.collate([train[crop] for crop in crops])
            ((trainable, terms),) = stage.losses(batch, torch.Generator())
            assert trainable == "encoder" and set(terms) == {"kl", "mel", "phonetic"}
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
    after = score()
    assert after["score"] < 0.7 * before["score"]
    assert after["agreement"] > before["agreement"]

    path = tmp_path / "speech.pt"
    config = {"network": stage.network_config.model_dump(mode="json")}
    checkpoints.save(path, Checkpoint("speech", config, dict(stage.network.state_dict())))
    tree = apply_overrides(load_yaml(CONFIGS / "debug" / "audio2repr.yaml"), [f"network.wav2vec.init={path}"])
    first: Any = build_stage(parse(TrainConfig, tree, source="debug"), source="debug")
    for name, value in stage.network.wav2vec.state_dict().items():
        assert torch.equal(first.network.wav2vec.state_dict()[name], value), name


def test_the_default_encoder_is_small() -> None:
    encoder: Any = build_network("speech", load_yaml(CONFIGS / "default" / "speech.yaml")["network"])
    assert 4e6 < sum(p.numel() for p in encoder.wav2vec.parameters()) < 6e6


def test_an_encoder_that_this_stage_does_not_train_is_refused() -> None:
    tree = {"wav2vec": {"front": "whisper", "read": [12]}}
    with pytest.raises(ConfigError, match="whisper is not trained by this stage"):
        build_network("speech", tree)


def test_wrong_data_is_refused_with_a_line(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no speech\.json in .*label speech"):
        SpeechCrops(SpeechDataConfig(root=tmp_path), training=True)
    with pytest.raises(ConfigError, match=r"network.symbols is 7, .* labelled with 5 symbols by loudness 1"):
        make_stage(labelled, "network.symbols=7").datasets()


def test_the_teacher_named_in_the_docs(shared_data: Path) -> None:
    pytest.importorskip("hama", reason="the teacher is a development extra")
    from moda.data.phoneme_teacher import Hama
    from moda.media.audio import read_audio

    (audio,) = list((shared_data / "speech" / "librispeech").glob("*103-1240-0000.opus"))
    wave = read_audio(audio)[: 3 * SAMPLE_RATE]
    teacher = Hama()
    labels = label(teacher, wave).astype(np.float64)
    assert labels.shape == (150, 191) and teacher.symbols[-1] == "<blank>"
    np.testing.assert_allclose(np.exp(labels).sum(axis=1), 1, atol=0.01)
    recognised = [teacher.symbols[i] for i in labels.argmax(1)]
    assert [s for s in ("æ", "p", "t") if s in recognised] == ["æ", "p", "t"]  # "chapter one"


def test_preview_shows_teacher_above_student(labelled: Path) -> None:
    stage = make_stage(labelled)
    _, batch = batch_of(stage)
    stage.eval()
    with torch.no_grad():
        (picture,) = stage.preview(batch).values()
    teacher: Tensor = batch["posteriors"][0].exp()
    assert picture.shape == (2 * (5 + 4 + 5), 3 * 50, 3)
    np.testing.assert_allclose(picture[:10:2, ::3, 0], (255 * teacher.T.sqrt()).numpy(), atol=1.01)
