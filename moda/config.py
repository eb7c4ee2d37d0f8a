"""Typed, frozen configurations and their YAML files.

A YAML file is read into a plain tree, `--set a.b=c` overrides are applied to the tree, and
`parse` turns the tree into a `Config`. An unknown key is refused and the nearest known key named.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from moda.errors import ConfigError, shortened
from moda.locations import find_config
from moda.reading import read_text
from moda.yaml_tree import MAX_BYTES, MAX_DEPTH, parse_yaml

Tree = dict[str, Any]


class Config(BaseModel):
    """Base of every configuration: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, tree: Any) -> Any:
        for name, field in cls.model_fields.items() if isinstance(tree, dict) else ():
            types = {field.annotation, *get_args(field.annotation)}
            if isinstance(tree.get(name), bool) and types & {int, float} and bool not in types:
                raise ValueError(f"'{name}' is {str(tree[name]).lower()}, wanted a number")
        return tree

    def check_files(self) -> None:
        """Raise `ModaError` if a file or folder that the settings name is not there; nothing of it is loaded."""
        for _, value in self:
            if isinstance(value, Config):
                value.check_files()


C = TypeVar("C", bound=Config)
_SHOWN = 10
"""Problems that one message tells."""
_MAX_BASES = 20
"""Files that stand above one another as `base`."""


def load_yaml(path: Path | str) -> Tree:
    """Read a YAML file whose top is a mapping, with its `base` files merged in.

    path: of a file, or the name of one that ships (`default/faco`), see `moda.locations`.
    `base: other.yaml` names a file relative to the one that holds it, or one that ships; mappings are
    merged deep and the file's own keys win. Raises `ConfigError` naming the file.
    """
    return _load(find_config(path), ())


def _load(path: Path, above: tuple[Path, ...]) -> Tree:
    resolved = path.resolve()
    if resolved in above:
        chain = " -> ".join(str(p) for p in (*above, resolved))
        raise ConfigError(f"configuration files name one another as base: {chain}; remove one 'base'")
    text = read_text(path, limit=MAX_BYTES, pipes=not above, what="the configuration ", error=ConfigError)
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"not valid YAML: {path}: {error}") from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds a {type(tree).__name__}, wanted a mapping of names to values")
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str) or not base:
        raise ConfigError(f"'base' in {path} is {shortened(base)}, wanted the path of another YAML file")
    if len(above) >= _MAX_BASES:
        raise ConfigError(f"{path} is below {len(above)} others that name one another as base; make it one file")
    try:
        found = find_config(base, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{error} (named as base in {path})") from error
    return merge(_load(found, (*above, resolved)), tree)


def merge(base: Tree, over: Tree) -> Tree:
    """A new tree: `base` with the values of `over` in place; mappings are merged, the rest replaced."""
    merged = copy.deepcopy(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def apply_overrides(tree: Tree, overrides: Iterable[str]) -> Tree:
    """A new tree with each `a.b=value` set; the value is read as YAML.

    A section that does not exist is made, so that validation reports it with the rest.
    """
    result = copy.deepcopy(tree)
    for text in overrides:
        name, equals, value = text.partition("=")
        keys = [key.strip() for key in name.split(".")]
        if not equals or not all(keys) or len(keys) > MAX_DEPTH:
            raise ConfigError(f"cannot read the override {shortened(text)}, wanted section.key=value")
        try:
            parsed = value if _names_bytes(value) else parse_yaml(value)
        except ValueError as error:
            raise ConfigError(f"the value of the override {shortened(text)} is not valid YAML: {error}") from error
        section = result
        for depth, key in enumerate(keys[:-1], start=1):
            if section.get(key) is None:
                section[key] = {}
            section = section[key]
            if not isinstance(section, dict):
                dotted = ".".join(keys[:depth])
                raise ConfigError(f"the override '{text}' goes into '{dotted}', which is a value and not a section")
        section[keys[-1]] = parsed
    return result


def _names_bytes(value: str) -> bool:
    """Whether it is a file's name that is no text: YAML has no such characters."""
    return not value.isprintable() and value == value.strip() and "\n" not in value and "\t" not in value


def parse(cls: type[C], tree: Tree, *, source: str, section: str = "") -> C:
    """Turn a tree into a `cls`, which may be a union of configurations with a discriminator (`kind`).

    source: what to call the tree's origin in a message (a file name). section: the dotted place of
    `tree` in that file, put before every key named. Raises one `ConfigError` with all problems.
    """
    try:
        return TypeAdapter(cls).validate_python(tree)
    except ValidationError as error:
        problems = [_problem(cls, detail, section) for detail in error.errors()[:_SHOWN]]
        if error.error_count() > _SHOWN:
            problems.append(f"and {error.error_count() - _SHOWN} more")
        raise ConfigError(f"{source}: {'; '.join(problems)}") from error


def to_dict(config: Config) -> Tree:
    """The configuration as plain dicts, lists and scalars: safe for YAML, JSON and checkpoints."""
    return config.model_dump(mode="json")


def differences(old: Tree, new: Tree, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every dotted key at which two trees differ, with both values (None where it is absent)."""
    for key in dict.fromkeys((*old, *new)):
        a, b, name = old.get(key), new.get(key), f"{prefix}{key}"
        if isinstance(a, dict) and isinstance(b, dict):
            yield from differences(a, b, f"{name}.")
        elif a != b:
            yield name, a, b


def _problem(cls: type[Config], detail: Any, section: str) -> str:
    location: tuple[int | str, ...] = detail["loc"]
    if detail["type"].startswith("union_tag_"):
        return _wrong_kind(cls, detail, section)
    if location and not isinstance(cls, type):  # of a union: the kind, then the place in it
        cls, location = _kinds(cls)[str(location[0])], location[1:]
    name = ".".join(part for part in (section, *map(str, location)) if part)
    if detail["type"] == "extra_forbidden":
        known = _known_keys(cls, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known) or 'none'}"
        return f"unknown key '{name}'; {hint}"
    if detail["type"] == "missing":
        return f"'{name}' is missing"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message[:1].lower() + message[1:]
    if not location:
        return f"{section}: {message}" if section else message
    return f"'{name}': {message}, got {shortened(detail['input'])}"


def _kinds(union: Any) -> dict[str, type[Config]]:
    """The configurations of a union by the value of their `kind`."""
    return {get_args(model.model_fields["kind"].annotation)[0]: model for model in _models(union)}


def _wrong_kind(union: Any, detail: Any, section: str) -> str:
    key = ".".join(part for part in (section, "kind") if part)
    kinds = _kinds(union)
    if detail["type"] == "union_tag_not_found":
        return f"'{key}' is missing, wanted one of {', '.join(kinds)}"
    given = detail["input"]["kind"]
    near = difflib.get_close_matches(str(given), kinds, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"'{key}' is {shortened(given)}, wanted one of {', '.join(kinds)}{hint}"


def _known_keys(cls: type[Config], location: Sequence[int | str]) -> list[str]:
    """Keys of the config at `location`; tags of unions and positions in lists do not descend."""
    current = [cls]
    for part in location:
        fields = [model.model_fields[part] for model in current if isinstance(part, str) and part in model.model_fields]
        if fields:
            current = [model for field in fields for model in _models(field.annotation)]
    return list(dict.fromkeys(key for model in current for key in model.model_fields))


def _models(annotation: Any) -> list[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]
