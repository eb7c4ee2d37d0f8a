"""Lips closed at /p b m/: which closings count, and where the phonemes' times come from."""

from pathlib import Path

import numpy as np
import pytest

from moda.data import phoneme_teacher
from moda.errors import DataError
from moda.metrics import METRICS, ClipPair, FaceTrack, MetricSettings, NotAvailable, PairedTracks, phonemes
from moda.metrics.lips_closed import closings
from moda.metrics.phonemes import is_bilabial, spoken
from tests.metrics.conftest import MakeFace

FRAMES = 100
CLOSED = (20, 40, 60, 80)
"""Frames at which the true lips close."""
TABLE = "".join(
    f"{at / 25 - 0.04:.3f}\t{at / 25 + 0.04:.3f}\t{symbol}\n" for at, symbol in zip(CLOSED, "pbmp", strict=True)
)


def lips(*closed: int) -> np.ndarray:
    opening = np.full(FRAMES, 10.0)
    for frame in closed:
        opening[frame] = 0.5
    return opening


def measure(true: FaceTrack, generated: FaceTrack, folder: Path | None) -> float | NotAvailable:
    settings = MetricSettings(phonemes=None if folder is None else str(folder))
    pair = ClipPair(PairedTracks(true, generated), wave=np.zeros(640 * FRAMES, np.float32), settings=settings, name="a")
    return METRICS["lips_closed"].measure(pair)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.tsv").write_text(TABLE + "2.000\t2.100\ta\n")
    return tmp_path


@pytest.mark.parametrize(
    ("closed", "share"),
    [
        (CLOSED, 1.0),
        ((20, 40), 0.5),
        ((19, 41, 60, 80), 1.0),  # a frame early or late
        ((18, 42, 60, 80), 0.5),  # two frames
        ((30, 50, 70, 90), 0.0),
        ((), 0.0),
    ],
)
def test_the_share_of_the_true_closings(
    make_face: MakeFace, folder: Path, closed: tuple[int, ...], share: float
) -> None:
    assert measure(make_face(lips(*CLOSED)), make_face(lips(*closed)), folder) == share


def test_phonemes_at_which_the_true_lips_stay_open_do_not_count(make_face: MakeFace, folder: Path) -> None:
    true = make_face(lips(20, 40, 60))
    assert measure(true, make_face(lips(20, 40, 60)), folder) == 1
    assert measure(true, make_face(lips(20, 80)), folder) == pytest.approx(1 / 3)


def test_the_true_lips_may_close_two_frames_from_the_phonemes_time() -> None:
    opening = np.ones(50)
    opening[[12, 33]] = 0.1
    assert closings(opening, np.array([10, 12, 30]) / 25) == [12]
    assert closings(opening, np.array([31, 49, 0]) / 25) == [33]


def test_why_there_is_no_value(make_face: MakeFace, folder: Path) -> None:
    face = make_face(lips(*CLOSED))
    assert "--phonemes hama (moda[phonemes])" in str(measure(face, face, None))
    assert "no alignment a.TextGrid or a.tsv" in str(measure(face, face, folder / ".."))
    few = make_face(lips(20, 40))
    assert "2 closings of the true lips at 4 p b m, wanted 3" in str(measure(few, few, folder))
    (folder / "a.tsv").write_text("0.1 0.2 p\n")
    assert "a.tsv, line 1: '0.1 0.2 p', wanted start, stop" in str(measure(face, face, folder))


def test_a_textgrid_says_the_same(make_face: MakeFace, tmp_path: Path) -> None:
    def tier(name: str, symbols: str) -> str:
        spans = "".join(
            f'intervals [{number}]:\n  xmin = {at / 25 - 0.02} \n  xmax = {at / 25 + 0.02} \n  text = "{symbol}" \n'
            for number, (at, symbol) in enumerate(zip(CLOSED, symbols, strict=True), 1)
        )
        return f'item [1]:\n class = "IntervalTier" \n name = "{name}" \n xmin = 0 \n xmax = 4 \n{spans}'

    (tmp_path / "a.TextGrid").write_text('File type = "ooTextFile"\n' + tier("words", "abcd") + tier("phones", "PBMP"))
    face = make_face(lips(*CLOSED))
    assert measure(face, face, tmp_path) == 1.0
    (tmp_path / "a.TextGrid").write_text(tier("words", "pbmp"))
    assert "no tier of phonemes" in str(measure(face, face, tmp_path))


@pytest.mark.parametrize("symbol", ["p", "pʰ", "b", "m", "P", "M", "ɓ", "p͈", " b "])
def test_symbols_that_close_the_lips(symbol: str) -> None:
    assert is_bilabial(symbol)


@pytest.mark.parametrize("symbol", ["", "<blank>", "n", "f", "sp", "my", "T", "spn", "pause", "β"])
def test_symbols_that_do_not(symbol: str) -> None:
    assert not is_bilabial(symbol)


def test_times_of_posteriors() -> None:
    posteriors = np.log(np.full((10, 4), 0.05))
    posteriors[:, 3] = np.log(0.85)  # blank
    posteriors[2:4] = np.log([[0.05, 0.6, 0.3, 0.05], [0.05, 0.8, 0.1, 0.05]])
    posteriors[7] = np.log([0.9, 0.04, 0.03, 0.03])
    np.testing.assert_allclose(spoken(posteriors, ["a", "p", "b", "<blank>"]), [0.07 - 0.1])


def test_a_source_that_is_not_there_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = METRICS["lips_closed"].key
    with pytest.raises(DataError, match="no folder of phoneme alignments: nowhere"):
        key(MetricSettings(phonemes="nowhere"))
    (tmp_path / "a.tsv").write_text(TABLE)
    before = key(MetricSettings(phonemes=str(tmp_path)))
    (tmp_path / "a.tsv").write_text("")
    assert key(MetricSettings(phonemes=str(tmp_path))) != before != key(MetricSettings())
    monkeypatch.setitem(__import__("sys").modules, "hama.asr", None)
    phonemes._recogniser.cache_clear()
    with pytest.raises(DataError, match=r"pip install 'moda\[phonemes\]'"):
        key(MetricSettings(phonemes="hama"))


def test_the_recogniser_hears_a_recording_once(make_face: MakeFace, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Fake:
        name, symbols = "fake", ["a", "p", "<blank>"]

        def __call__(self, wave: np.ndarray) -> np.ndarray:
            calls.append(len(wave))
            posteriors = np.log(np.tile([0.05, 0.05, 0.9], (len(wave) // 320, 1)))
            posteriors[[2 * at + 5 for at in CLOSED]] = np.log([0.05, 0.9, 0.05])
            return posteriors

    monkeypatch.setattr(phonemes, "_recogniser", Fake)
    phonemes._recognised.cache_clear()
    face = make_face(lips(*CLOSED))
    wave = np.random.default_rng(0).normal(size=640 * FRAMES).astype(np.float32)
    for generated, share in ((face, 1.0), (make_face(lips(20, 60)), 0.5)):
        pair = ClipPair(PairedTracks(face, generated), wave=wave, settings=MetricSettings(phonemes="hama"))
        assert METRICS["lips_closed"].measure(pair) == share
    assert calls == [640 * FRAMES]
    phonemes._recognised.cache_clear()


def test_hama_hears_the_demo() -> None:
    """Real: "Hello, and welcome. I am a photograph, ... my lips ...": an /m/ and a /p/ where they are spoken."""
    pytest.importorskip("hama", reason="an extra")
    from moda.media.audio import read_audio
    from tests.conftest import REPOSITORY

    teacher = phoneme_teacher.Hama()
    wave = read_audio(REPOSITORY / "assets" / "demo.wav")[: 5 * 16_000]
    times = spoken(phoneme_teacher.label(teacher, wave), teacher.symbols)
    assert 4 <= len(times) <= 8
    assert min(abs(times - 1.0)) < 0.15, "welcome"
