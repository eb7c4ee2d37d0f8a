"""YAML as plain trees: mappings with names as keys, lists, text, finite numbers, true and false, nothing.

What else YAML can say (objects, dates, sets, a mapping within itself) and what grows when it is read (aliases
of aliases, numbers of a million digits) is refused before anything is made of it.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, NoReturn

import yaml

from moda.errors import shortened

MAX_BYTES = 1 << 17
"""Of a file."""
MAX_DEPTH = 32
"""Of mappings and lists within one another."""
MAX_VALUES = 5_000
"""Of a document, with every alias replaced by what it stands for."""
_MAX_NUMBER = 64
"""Characters of a number."""
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def parse_yaml(text: str) -> Any:
    """The tree of a text; raises `ValueError` with what is wrong and where."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            return _Builder(loader).build(node).value
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-4 as a number and a date as text, and refuses what is no plain value."""

    yaml_implicit_resolvers = {  # noqa: RUF012, as its base has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level >= MAX_DEPTH:  # before so many are looked through for a key
            raise yaml.scanner.ScannerError(None, None, f"found {_too_much(MAX_DEPTH + 1)}", self.get_mark())
        super().fetch_flow_collection_start(token)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._values += 1
        if self._depth > MAX_DEPTH or self._values > MAX_VALUES:
            _refuse(_too_much(self._depth), self.peek_event())
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _TAGS:
            _refuse(f"the tag {shortened(node.tag)}, wanted plain values", node)
        number = node.tag.endswith((":int", ":float"))
        if number and len(node.value) > _MAX_NUMBER:
            _refuse(f"a number of {len(node.value)} characters", node)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError):
            _refuse(f"{shortened(node.value)} is not what its tag says", node)
        if isinstance(value, str) and _NOT_TEXT.search(value):
            _refuse("characters that are no text", node)
        if isinstance(value, float) and not math.isfinite(value):
            _refuse(f"{node.value} is not a finite number", node)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            _refuse(f"{shortened(value)} is beyond 64 bits", node)
        return value


# YAML 1.1 takes 1e-4 for a string: it wants a point and a signed exponent. People write 1e-4.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class _Built(NamedTuple):
    """What a node stands for, how many values are in it, and in how many levels, aliases written out."""

    value: Any
    values: int
    depth: int


class _Builder:
    """Makes the tree of a document's nodes; each once, however many aliases name it."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._above: set[int] = set()
        self._known: dict[int, _Built] = {}

    def build(self, node: yaml.Node) -> _Built:
        """A node and all that is in it."""
        if id(node) in self._known:
            return self._known[id(node)]
        if id(node) in self._above:
            _refuse("something that holds itself", node)
        self._above.add(id(node))
        value: Any
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            value, parts = self._mapping(node)
        elif isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            parts = [self.build(child) for child in node.value]
            value = [part.value for part in parts]
        else:
            value, parts = self._loader.construct_object(node, deep=True), []
        self._above.remove(id(node))
        values, depth = 1 + sum(part.values for part in parts), 1 + max((part.depth for part in parts), default=0)
        if depth > MAX_DEPTH or values > MAX_VALUES:
            _refuse(_too_much(depth), node)
        self._known[id(node)] = _Built(value, values, depth)
        return self._known[id(node)]

    def _mapping(self, node: yaml.MappingNode) -> tuple[dict[str, Any], list[_Built]]:
        """Its own keys win over those of `<<`, which PyYAML itself mixes up where one merges another."""
        own: dict[str, Any] = {}
        merged: list[Any] = []
        parts = []
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith((":str", ":merge")):
                _refuse(f"the key {shortened(key.value)}, which is no name; put it in quotes", key)
            part = self.build(child)
            parts.append(part)
            if key.tag.endswith(":merge"):
                merged += part.value if isinstance(part.value, list) else [part.value]
                continue
            name = self._loader.construct_object(key)
            if name in own:
                _refuse(f"the key '{name}' twice", key)
            own[name] = part.value
        if not all(isinstance(each, dict) for each in merged):
            _refuse("something else than mappings to merge", node)
        return {name: value for each in (*reversed(merged), own) for name, value in each.items()}, parts


def _too_much(depth: int) -> str:
    return f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_VALUES:,} values"


def _refuse(what: str, place: Any) -> NoReturn:
    """Refuse a node, or what an event begins."""
    raise yaml.constructor.ConstructorError(None, None, f"found {what}", place.start_mark)
