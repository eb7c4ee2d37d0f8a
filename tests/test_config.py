from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import Field, ValidationError, model_validator

from moda.config import Config, apply_overrides, differences, load_yaml, merge, parse, to_dict
from moda.errors import ConfigError


class Inner(Config):
    rate: float = Field(1e-4, gt=0)
    """A rate."""
    steps: int = 5


class Choice(Config):
    kind: Literal["a", "b"] = "a"
    colour: str = "red"


class Outer(Config):
    name: str
    inner: Inner = Inner()
    folder: Path = Path("runs")
    choice: Choice | None = None
    pair: tuple[float, float] = (0.9, 0.99)
    many: list[Inner] = Field(default_factory=list)

    @model_validator(mode="after")
    def check(self) -> Outer:
        if self.name == "bad":
            raise ValueError("Name and folder contradict each other")
        return self


def failure(tree: dict[str, object], section: str = "") -> str:
    with pytest.raises(ConfigError) as error:
        parse(Outer, tree, source="x.yaml", section=section)
    message = str(error.value)
    assert "\n" not in message and message.startswith("x.yaml: ")
    return message


def test_a_config_is_frozen() -> None:
    config = parse(Outer, {"name": "n", "inner": {"rate": "1e-3"}}, source="x.yaml")
    assert config.inner.rate == 1e-3 and config.inner.steps == 5
    with pytest.raises(ValidationError):
        config.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        ({"inner": {"ratee": 1}}, "unknown key 'inner.ratee'; did you mean 'rate'?"),
        ({"nmae": 1}, "unknown key 'nmae'; did you mean 'name'?"),
        ({"choice": {"color": "x"}}, "unknown key 'choice.color'; did you mean 'colour'?"),
        ({"many": [{}, {"step": 1}]}, "unknown key 'many.1.step'; did you mean 'steps'?"),
        ({"inner": {"xyz": 1}}, "unknown key 'inner.xyz'; known here: rate, steps"),
        ({"inner": {"rate": -1}}, "'inner.rate': input should be greater than 0, got -1"),
        ({"inner": {"rate": float("nan")}}, "'inner.rate': input should be a finite number, got nan"),
        ({"inner": {"steps": "many"}}, "'inner.steps': input should be a valid integer"),
        ({"choice": {"kind": "c"}}, "'choice.kind': input should be 'a' or 'b', got 'c'"),
        ({"name": "bad"}, "name and folder contradict each other"),
    ],
)
def test_a_problem_is_named_with_its_place(tree: dict[str, object], wanted: str) -> None:
    assert wanted in failure({"name": "n", **tree})


def test_all_problems_are_told_at_once_with_the_section() -> None:
    message = failure({"inner": {"rat": 1, "steps": 0.5}}, section="network")
    assert "'network.name' is missing" in message
    assert "unknown key 'network.inner.rat'; did you mean 'rate'?" in message
    assert "'network.inner.steps'" in message and message.count("; ") >= 2


def test_to_dict_comes_back_the_same_through_yaml_and_json() -> None:
    config = parse(Outer, {"name": "n", "choice": {"kind": "b"}, "folder": "a/b"}, source="x")
    tree = to_dict(config)
    assert parse(Outer, yaml.safe_load(yaml.safe_dump(tree)), source="x") == config
    assert parse(Outer, json.loads(json.dumps(tree)), source="x") == config


def test_base_files_are_merged_deep_and_own_keys_win(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.yaml").write_text("name: a\ninner: {rate: 1e-3, steps: 7}\nmany: [1, 2]\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\nfolder: b\n")
    (tmp_path / "deep" / "c.yaml").write_text("base: ../b.yaml\ninner: {steps: 9}\nmany: [3]\n")
    assert load_yaml(tmp_path / "deep" / "c.yaml") == {
        "name": "a", "inner": {"rate": 1e-3, "steps": 9}, "many": [3], "folder": "b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("-2E+3", -2000.0), ("1.5e2", 150.0), ("1e", "1e"), ("12", 12)]
)
def test_numbers_are_read_as_people_write_them(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "a.yaml").write_text(f"x: {text}\n")
    read = load_yaml(tmp_path / "a.yaml")["x"]
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n- 2", "holds a list, wanted a mapping"),
        ("a: 1\na: 2", "the key 'a' twice"),
        ("base: other.yaml", "no such configuration file: .*other.yaml; .*default/faco.* .named as base in .*x.yaml"),
        ("base: x.yaml", "name one another as base"),
        ("base: [1]", "'base' in .* wanted the path"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=wanted) as error:
        load_yaml(tmp_path / "x.yaml")
    assert "x.yaml" in str(error.value) and "\n" not in str(error.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such configuration file: .*none.yaml; "):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_yaml(tmp_path / "b.yaml")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_yaml(tmp_path)
    (tmp_path / "empty.yaml").write_text("")
    assert load_yaml(tmp_path / "empty.yaml") == {}


def test_overrides_are_yaml_and_leave_the_tree_alone() -> None:
    tree = {"a": {"b": 1, "c": 2}, "d": None}
    new = apply_overrides(tree, ["a.b=1e-3", "a.x.y=[1, true]", "d.e=text", "f=null", "g=a=b", "a.c="])
    assert new == {"a": {"b": 1e-3, "c": None, "x": {"y": [1, True]}}, "d": {"e": "text"}, "f": None, "g": "a=b"}
    assert tree == {"a": {"b": 1, "c": 2}, "d": None}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a.b", "wanted section.key=value"), ("=1", "wanted section.key=value"), ("a..b=1", "wanted section"),
     ("a.b.c=1", "goes into 'a.b', which is a value"), ("a=[1", "not valid YAML")],
)  # fmt: skip
def test_a_bad_override_is_quoted(text: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted) as error:
        apply_overrides({"a": {"b": 1}}, [text])
    assert f"'{text}'" in str(error.value)


def test_merge_and_differences() -> None:
    old = {"a": {"b": 1, "c": 2}, "d": [1]}
    new = merge(old, {"a": {"c": 3}, "d": [2], "e": 4})
    assert new == {"a": {"b": 1, "c": 3}, "d": [2], "e": 4} and old["a"] == {"b": 1, "c": 2}
    assert list(differences(old, new)) == [("a.c", 2, 3), ("d", [1], [2]), ("e", None, 4)]


def test_true_is_no_number_and_a_number_is_no_switch() -> None:
    class Switched(Config):
        steps: int = 1
        rate: float | None = None
        on: bool = False
        either: int | bool = 1

    assert parse(Switched, {"on": True, "either": True, "rate": None}, source="x").either is True
    for tree in ({"steps": True}, {"rate": False}):
        with pytest.raises(ConfigError, match=r"x: inner: '(steps|rate)' is (true|false), wanted a number"):
            parse(Switched, tree, source="x", section="inner")


def test_a_hundred_problems_are_told_in_a_line() -> None:
    with pytest.raises(ConfigError, match=r"and 90 more") as error:
        parse(Inner, {f"k{number}": 1 for number in range(100)}, source="x")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("base", ["''", ".", "/", "..", "'a\\0b'", '"\\0"', "x" * 500, "~"])
def test_an_odd_base_is_one_line(tmp_path: Path, base: str) -> None:
    (tmp_path / "x.yaml").write_text(f"base: {base}\na: 1\n")
    if base == "~":
        assert load_yaml(tmp_path / "x.yaml") == {"a": 1}
        return
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        load_yaml(tmp_path / "x.yaml")


def test_a_long_chain_of_bases_and_an_override_of_many_sections_are_refused(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match="below 20 others"):
        load_yaml(tmp_path / "0.yaml")
    with pytest.raises(ConfigError, match="cannot read the override"):
        apply_overrides({}, ["a." * 10_000 + "b=1"])
