"""From files of answers to figures: known opinions come out again, files that cannot be used are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from moda.errors import DataError
from moda.study.analysis import analyse
from moda.study.answers import find_answers, read_answers
from moda.study.design import Pair, draw_orders
from moda.study.key import StudyKey, read_key
from moda.study.results import read_study, record_of, table_text, write_results
from tests.study.videos import answers_of, noisy, write_answers

METHODS, CLIPS = ("truth", "=a&b_1", "c"), tuple(f"clip{i}" for i in range(8))
LEVELS = {"truth": 4.3, "=a&b_1": 3.4, "c": 2.2}


@pytest.fixture(scope="module")
def key() -> StudyKey:
    orders = draw_orders(METHODS, CLIPS, ["clip0"], participants=12, clips_each=8, pairs_each=12, seed=0)
    names = {(m, c): f"{m}/{c}" for m in METHODS for c in CLIPS} | {(None, "clip0"): "control"}

    def named(pair: Pair) -> tuple[str, str]:
        return names[pair.first, pair.clip], names[pair.second, pair.clip]

    ordered = tuple((tuple(names[s.method, s.clip] for s in o.ratings), tuple(map(named, o.pairs))) for o in orders)
    return StudyKey("5eed", METHODS, "truth", CLIPS, {name: where for where, name in names.items()}, ordered)


def test_opinions_come_out_again(key: StudyKey, tmp_path: Path) -> None:
    write_answers(tmp_path / "in", key, 24, noisy(LEVELS))
    results = analyse(key, read_answers(find_answers([tmp_path / "in"]), key))
    assert results.resampled == "participants and clips" and len(results.answers.sheets) == 24
    for method, level in LEVELS.items():
        for question in ("sync", "naturalness", "quality"):
            found = results.methods[method][question]
            assert found.mean == pytest.approx(level, abs=0.3) and found.answers == 24 * 8
            assert found.low is not None and found.high is not None and found.low < found.mean < found.high
    shares = {pair: found.mean for pair, found in results.pairs.items()}
    assert shares["truth", "c"] > shares["truth", "=a&b_1"] > 0.7 and shares["=a&b_1", "c"] > 0.6  # type: ignore[operator]
    preference = [results.methods[method]["preference"].mean for method in METHODS]
    assert preference == sorted(preference, reverse=True)  # type: ignore[type-var]
    assert sum(preference) == pytest.approx(1.5)  # type: ignore[arg-type]
    ahead = results.differences["=a&b_1", "c"]["sync"]
    assert ahead.low is not None and ahead.low > 0.5 and ahead.mean == pytest.approx(1.2, abs=0.3)
    assert 0.3 < results.agreement["sync"] < 0.9  # type: ignore[operator]


def test_shares_are_counted_by_hand(key: StudyKey, tmp_path: Path) -> None:
    best = {"truth": 5, "=a&b_1": 3, "c": 3, None: 1}
    write_answers(tmp_path, key, 12, lambda method, clip, question: best[method])
    results = analyse(key, read_answers(find_answers([tmp_path]), key))
    assert {pair: found.mean for pair, found in results.pairs.items()} == {
        ("truth", "=a&b_1"): 1.0,
        ("truth", "c"): 1.0,
        ("=a&b_1", "c"): 0.5,
    }
    assert results.methods["truth"]["preference"].low == pytest.approx(0.025 ** (1 / 12))
    assert results.methods["c"]["preference"].mean == 0.25
    assert results.methods["truth"]["quality"].mean == 5 and results.agreement["quality"] == pytest.approx(1)
    assert sum(found.answers for found in results.pairs.values()) == 12 * 12


def changed(key: StudyKey, number: int, change: Any) -> str:
    record = answers_of(key, number, noisy(LEVELS, number))
    change(record)
    return json.dumps(record)


BAD = {
    "cut": ("damaged", lambda text: text[: len(text) // 2]),
    "empty": ("damaged", lambda text: ""),
    "list": ("damaged", lambda text: "[]"),
    "other": ("damaged", lambda text: '{"format": "table"}'),
    "study": ("foreign", lambda record: record.update(study="0000")),
    "open": ("incomplete", lambda record: record.update(answers=record["answers"][:-1])),
    "unended": ("incomplete", lambda record: record.update(ended=None)),
    "six": ("damaged", lambda record: record["answers"][2].update(sync=6)),
    "true": ("damaged", lambda record: record["answers"][2].update(sync=True)),
    "text": ("damaged", lambda record: record["answers"][2].update(sync="4")),
    "none": ("damaged", lambda record: record["answers"][2].pop("quality")),
    "order": ("damaged", lambda record: record["answers"].reverse()),
    "more": ("damaged", lambda record: record["answers"].append(record["answers"][-1])),
    "number": ("damaged", lambda record: record.update(number=-1)),
    "huge": ("damaged", lambda record: record.update(number=1e300)),
    "nobody": ("damaged", lambda record: record.update(participant=7)),
    "choice": ("damaged", lambda record: record["answers"][-1].update(preferred=["first"])),
    "answer": ("damaged", lambda record: record["answers"].__setitem__(0, None)),
    "control": ("control", lambda record: [a.update(sync=4) for a in record["answers"] if a.get("video") == "control"]),
}


def test_files_that_cannot_be_used_are_named_left_out_and_counted(key: StudyKey, tmp_path: Path) -> None:
    write_answers(tmp_path, key, 6, noisy(LEVELS))
    good = analyse(key, read_answers(find_answers([tmp_path]), key))
    for number, (name, (_, change)) in enumerate(BAD.items()):
        text = change("{}") if name in ("empty", "list", "other") else None
        if name == "cut":
            text = changed(key, 20, lambda record: None)[:300]
        (tmp_path / f"{name}.json").write_text(changed(key, 20 + number, change) if text is None else text)
    (tmp_path / "p03 (1).json").write_bytes((tmp_path / "p03.json").read_bytes())
    (tmp_path / "again.json").write_text(changed(key, 40, lambda r: r.update(participant=f"{4:016x}")))
    answers = read_answers(find_answers([tmp_path]), key)
    named = {kind: sorted(line.partition(".json:")[0] for line in lines) for kind, lines in answers.excluded.items()}
    expected: dict[str, list[str]] = {kind: [] for kind in answers.excluded} | {"doubled": ["again", "p03 (1)"]}
    for name, (kind, _) in BAD.items():
        expected[kind] = sorted([*expected[kind], name])
    assert named == expected
    found = analyse(key, answers)
    assert found.methods == good.methods and found.pairs == good.pairs, "what is left out changes the figures"
    text = table_text(found)
    assert "the same answers are in p03.json" in text and "rated 4, wanted 2 or less" in text
    assert "2 files of a participant whose answers are there already: " in text and "sync is 6, wanted 1 to 5" in text
    assert len(read_answers(find_answers([tmp_path]), key, keep_failing=True).sheets) == 7


def test_what_did_not_play_is_not_an_answer(key: StudyKey, tmp_path: Path) -> None:
    write_answers(tmp_path, key, 6, noisy(LEVELS))
    record = json.loads((tmp_path / "p00.json").read_text())
    for answer in (record["answers"][0], record["answers"][-1]):
        for name in ("sync", "naturalness", "quality", "preferred"):
            answer.pop(name, None)
        answer["unplayable"] = True
    (tmp_path / "p00.json").write_text(json.dumps(record))
    results = analyse(key, read_answers(find_answers([tmp_path]), key))
    assert sum(results.methods[method]["sync"].answers for method in METHODS) == 6 * 24 - 1
    assert sum(found.answers for found in results.pairs.values()) == 6 * 12 - 1


def test_nothing_to_analyse_is_an_error(key: StudyKey, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder of answers"):
        find_answers([tmp_path / "nowhere"])
    with pytest.raises(DataError, match=r"no \.json files"):
        find_answers([tmp_path])
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"no file of answers can be used \(1 damaged\); x.json: not valid JSON"):
        analyse(key, read_answers(find_answers([tmp_path]), key))


def test_the_files_say_the_same(key: StudyKey, tmp_path: Path) -> None:
    write_answers(tmp_path / "in", key, 7, noisy(LEVELS))
    results = analyse(key, read_answers(find_answers([tmp_path / "in"]), key))
    paths = {path.name: path for path in write_results(results, tmp_path / "out")}
    record = read_study(paths["study.json"])
    assert record == json.loads(json.dumps(record_of(results)))
    with paths["methods.csv"].open() as file:
        rows = {(row["method"], row["question"]): row for row in csv.DictReader(file)}
    wanted = record["methods"]["=a&b_1"]["sync"]["mean"]
    assert float(rows["'=a&b_1", "sync"]["mean"]) == pytest.approx(wanted, abs=1e-4)  # no spreadsheet runs it
    with paths["answers.csv"].open() as file:
        answers = list(csv.DictReader(file))
    values = [int(row["value"]) for row in answers if (row["method"], row["question"]) == ("c", "quality")]
    assert sum(values) / len(values) == pytest.approx(record["methods"]["c"]["quality"]["mean"])
    assert len(answers) == 7 * (25 * 3 + 12)
    latex = paths["table.tex"].read_text()
    assert r"=a\&b\_1 & \textbf{" in latex and r"truth & 4" in latex and latex.count(r"\\") == 4
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError, match="not the result of a study"):
        read_study(tmp_path / "other.json")


def test_a_key_that_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no key\.json in .*not its page alone"):
        read_key(tmp_path)
    for text in ("{}", '{"format": "moda-study-key", "version": 1}'):
        (tmp_path / "key.json").write_text(text)
        with pytest.raises(DataError, match=r"key\.json is (damaged|not the key)"):
            read_key(tmp_path)
