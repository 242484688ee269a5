"""YAML of plain values: no tags that make objects, no aliases that multiply, no key twice, nothing deep or long without end."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

MAX_CHARACTERS = 100_000
MAX_DEPTH = 30


class PlainLoader(yaml.SafeLoader):
    """YAML's safe loader with limits. Use it through `load_plain`, which turns every failure into a ``yaml.YAMLError``."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As YAML's, but an alias is refused: nine lines of them can stand for a billion values."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no types for it
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise ComposerError(None, None, f"the alias *{event.anchor} is not read here: write the value out", mark)
        if self._depth >= MAX_DEPTH:
            raise ComposerError(None, None, f"it is nested deeper than {MAX_DEPTH} levels", mark)
        self._depth += 1
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node


def _mapping(loader: PlainLoader, node: yaml.MappingNode) -> dict[str, Any]:  # Any: what YAML holds
    seen: set[str] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConstructorError(None, None, "a key is no plain word", key_node.start_mark)
        key = str(loader.construct_object(key_node))
        if key in seen:
            raise ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}


PlainLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_plain(text: str) -> object:
    """The value that ``text`` holds; keys of mappings are texts.

    Raises:
        yaml.YAMLError: it is not YAML, or passes a limit; says what and, where it can, in which line.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters; {MAX_CHARACTERS:,} is the limit")
    try:
        value: object = yaml.load(text, Loader=PlainLoader)  # noqa: S506 - a SafeLoader
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
        # PyYAML's own constructors fail so on a date such as 2001-99-99 or a number of ten thousand digits.
        raise yaml.YAMLError(f"a value in it cannot be read ({str(error)[:120]})") from error
    return value
