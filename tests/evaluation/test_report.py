"""What a report shows, on made-up scores: its order, what is bold, and that no name acts in any of its forms."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moda.evaluation.report.cells import best, footnotes
from moda.evaluation.report.exports import table_csv, tex_text
from moda.evaluation.report.page import MAX_CLIPS, method_pages, method_text, page_text, worst_first
from moda.evaluation.report.records import write_report
from moda.evaluation.report.tables import table_text
from moda.evaluation.results import ClipScore, Evaluation, MethodScores
from moda.metrics import METRICS, MetricSettings
from moda.printing import latex

SHOWN = ("lmd_aligned", "lip_lag", "lip_corr", "theval_lips")


def scores(values: dict[str, tuple[float, ...]]) -> ClipScore:
    return ClipScore(values, 50, opening=np.linspace(0, 9, 50).astype(np.float32))  # type: ignore[arg-type]


def made(
    methods: dict[str, dict[str, dict[str, float]]], refused: dict[str, dict[str, str]] | None = None
) -> Evaluation:
    """An evaluation of these values by row, clip and metric; the first row is the truth's."""
    rows = []
    for name, clips in methods.items():
        row = MethodScores(name, control=name in ("ground truth", "still mouth"))
        row.scores.update({clip: scores(dict.fromkeys(SHOWN, 1.0) | values) for clip, values in clips.items()})  # type: ignore[operator]
        row.refused.update((refused or {}).get(name, {}))
        rows.append(row)
    clips = sorted({clip for row in rows for clip in (*row.scores, *row.refused)})
    folders = {row.name: Path(row.name) for row in rows if not row.control}
    metrics = {name: METRICS[name] for name in SHOWN}
    return Evaluation(Path("true"), folders, rows, clips, [], metrics, {}, MetricSettings())


@pytest.fixture
def two() -> Evaluation:
    """Method "A" is nearer on LMD, "B" in lag; c1 is worse than c2 for both, and B lacks c3."""
    truth = {clip: {"lmd_aligned": 0.0, "lip_lag": 0.0, "theval_lips": 2.0} for clip in ("c1", "c2", "c3")}
    a = {
        "c1": {"lmd_aligned": 3.0, "lip_lag": -3.0, "theval_lips": 1.0},
        "c2": {"lmd_aligned": 1.0, "lip_lag": 3.0, "theval_lips": 2.8},
        "c3": {"lmd_aligned": 2.0, "lip_lag": 0.0, "theval_lips": 1.0},
    }
    b = {
        clip: {"lmd_aligned": values["lmd_aligned"] + 1, "lip_lag": 1.0, "theval_lips": 2.3}
        for clip, values in a.items()
    }
    del b["c3"]
    return made({"ground truth": truth, "A": a, "B": b}, {"B": {"c3": "no generated video of this name"}})


def test_the_best_method_is_told_by_the_direction_of_its_column(two: Evaluation) -> None:
    assert best(two, METRICS["lmd_aligned"]) == {"A"}
    assert best(two, METRICS["lip_lag"]) == {"B"}, (
        "lags of -3, +3 and 0 are further from 0 than 1 and 1, whatever their mean"
    )
    assert best(two, METRICS["lip_corr"]) == {"A", "B"}, "equal"
    assert best(two, METRICS["theval_lips"]) == {"B"}, "2.3 is nearer to the truth's 2.0 than 1.6"
    alone = replace(two, rows=two.rows[:2])
    assert best(alone, METRICS["lmd_aligned"]) == set()
    assert "<b>2.00</b>" in page_text(two) and "<b>2.00</b>" not in page_text(alone)


def test_the_truth_comes_first_and_the_worst_clip(two: Evaluation) -> None:
    lines = table_text(two).split("\n")
    names = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert names[2:5] == ["*ground truth*", "A", "B"]
    assert worst_first(two, two.methods) == ["c3", "c1", "c2"], "what a method lacks, then the largest LMD"
    assert worst_first(two, two.methods[:1]) == ["c1", "c3", "c2"]
    page = method_text(two, two.methods[1])
    assert page.index("<h3>c3") < page.index("<h3>c1") < page.index("<h3>c2")
    assert "not scored: B: no generated video of this name" in page and "against the still mouth" in page


def test_of_many_clips_the_worst_are_shown() -> None:
    clips = {f"c{number:03d}": {"lmd_aligned": float(number)} for number in range(300)}
    found = made({"ground truth": clips, "A": clips})
    page = page_text(found)
    assert page.count("<h3>") == MAX_CLIPS and "<h3>c299" in page and "<h3>c100" not in page
    assert f"{MAX_CLIPS} of 300, all are in clips.csv" in page
    assert method_text(found, found.methods[0]).count("<h3>") == 100


EVIL = r'=50%_of {a}\b & #1 ~^$x$ <img src=x> | "q" ' + "\u202e"


def test_no_name_acts_in_any_form(tmp_path: Path) -> None:
    clips = {"c_1 & <b>": {"lmd_aligned": 1.0}}
    found = made({"ground truth": clips, EVIL: clips, "../../out": clips, "..": clips})
    texts = {path.name: path.read_text() for path in write_report(found, tmp_path)}
    assert sorted(path.name for path in (tmp_path / "methods").iterdir()) == sorted(method_pages(found).values())
    assert not (tmp_path.parent / "out").exists()
    row = next(line for line in texts["table.tex"].split("\n") if "50" in line)
    name = row.split(" & 1 & ")[0]
    assert name == (
        r"{=50\%\_of \{a\}\textbackslash{}b \& \#1 \textasciitilde{}\textasciicircum{}\$x\$ "
        r'\textless{}img src=x\textgreater{} \textbar{} "q" \textbackslash{}u202e}'
    )
    lines = list(csv.reader(texts["table.csv"].splitlines()))
    assert lines[2][0] == "'" + EVIL.replace("\u202e", "\\u202e") and all(len(line) == len(lines[0]) for line in lines)
    for page in (texts["report.html"], *(path.read_text() for path in (tmp_path / "methods").iterdir())):
        assert "<img src=x" not in page and "<b>c_1" not in page and "<h3>c_1 &amp; &lt;b&gt;" in page
    write_report(made({"ground truth": clips, "A": clips}), tmp_path)
    assert [path.name for path in (tmp_path / "methods").iterdir()] == ["1-a.html"], "pages of other methods go"


def test_tex_holds_intervals_arrows_and_the_best(two: Evaluation) -> None:
    clips = {f"c{number}": {"lmd_aligned": 1.0 + 0.1 * number} for number in range(6)}
    worse = {clip: {"lmd_aligned": 5.0} for clip in clips}
    text = tex_text(made({"ground truth": clips, "A": clips, "B": worse}))
    assert r"\shortstack{LMD aligned $\downarrow$\\{\scriptsize \% eyes}}" in text
    assert r"{A} & 6 & \shortstack{\textbf{\boldmath$1.25$}\\{\scriptsize [1.1" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == text.count(r"\toprule") > 1
    braces = text.replace("\\\\", "").replace(r"\{", "").replace(r"\}", "")
    assert braces.count("{") == braces.count("}")
    lines = {row["row"]: row for row in csv.DictReader(table_csv(two).splitlines())}
    assert lines["A"]["LMD aligned [% eyes] ↓"] == "2" and lines["A"]["LMD aligned [% eyes] ↓ best"] == "best"
    assert lines["B"]["LMD aligned [% eyes] ↓ n"] == "2" and lines["B"]["clips"] == "2 of 3"


def test_a_table_says_which_network_its_columns_are_by() -> None:
    found = footnotes([METRICS["sync_c"], METRICS["lmd"], METRICS["sync_d"]], MetricSettings())
    assert len(found) == 1 and found[0].startswith("Sync-C, Sync-D: by landmark network of this project")
    assert "may score these above the truth" in found[0]


def test_tex_keeps_text() -> None:
    assert latex("50% & a_b") == r"50\% \& a\_b"
