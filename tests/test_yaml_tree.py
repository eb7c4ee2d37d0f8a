"""YAML gives plain trees, and what would grow or is no plain value is refused at once."""

from __future__ import annotations

import time

import pytest

from moda.yaml_tree import parse_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("a: {b: [1, 2.5, x, true, null, 1e-4, 0x10]}", {"a": {"b": [1, 2.5, "x", True, None, 1e-4, 16]}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
        ("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b}", {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2}}),
        ("a: 2024-01-01\nb: =\nc: 12:30", {"a": "2024-01-01", "b": "=", "c": 750}),
        ("'1': x\n\"on\": y", {"1": "x", "on": "y"}),
        ("a: -9223372036854775808", {"a": -(2**63)}),
    ],
)  # fmt: skip
def test_plain_values(text: str, tree: object) -> None:
    assert parse_yaml(text) == tree


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "more than 5,000 values"),
        (MERGES, "more than 5,000 values"),
        ("a: &a [*a]", "something that holds itself"),
        ("a: &a {b: *a}", "something that holds itself"),
        ("[" * 100_000, "more than 32 levels"),
        ("- " * 40_000, "more than 32 levels"),
        ("a: &a [" + "[" * 20 + "]" * 20 + "]\nb: " + "[" * 20 + "*a" + "]" * 20, "more than 32 levels"),
        ("[" + "1," * 50_000 + "]", "more than 5,000 values"),
        ("a: " + "9" * 100_000, "a number of 100000 characters"),
        ("a: 1" + ":10" * 30_000, "a number of 90001 characters"),
        ("a: 9223372036854775808", "beyond 64 bits"),
        ("a: 1e999", "not a finite number"),
        ("a: .nan", "not a finite number"),
        ("a: -.inf", "not a finite number"),
        ("a: 0b_", "not what its tag says"),
        ("a: !!int x", "not what its tag says"),
        ("a: !!bool x", "not what its tag says"),
        ("a: !!int ''", "not what its tag says"),
        ("a: !!int [1]", "expected a scalar node"),
        ("a: !!map x", "expected a mapping node"),
        ("a: !!str {b: c}", "expected a scalar node"),
        ("a: !!binary aGk=", "the tag"),
        ("a: !!set {x}", "the tag"),
        ("a: !!timestamp 2024-01-01", "the tag"),
        ("a: !mine x", "the tag"),
        ("a: !!python/object/apply:os.getcwd []", "the tag"),
        ("1: x", "the key '1', which is no name"),
        ("on: x", "the key 'on', which is no name"),
        ("a: {~: x}", "the key '~', which is no name"),
        ("? [a]\n: x", "which is no name"),
        ("? {a: b}\n: x", "which is no name"),
        ("a: {b: 1, b: 2}", "the key 'b' twice"),
        ('a: "\\0"', "characters that are no text"),
        ('a: "\\ud800"', "characters that are no text"),
        ("a: \x07", "special characters"),
        ("<<: 3", "something else than mappings"),
        ("*a", "undefined alias"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)  # fmt: skip
def test_what_is_no_plain_tree_is_one_line_at_once(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=words) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert time.process_time() - began < 5  # below one where nothing else runs
