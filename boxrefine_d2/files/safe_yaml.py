"""YAML from outside, read as data: a tag that would run code is refused by its name.

The full extent of a text is counted before its values are built, because aliases and merge keys can
describe a billion nodes in ten lines.
"""

import os
from collections.abc import Iterator
from typing import Any

import yaml

from boxrefine_d2.errors import UserError

from .inputs import read_text, text_stand_in

MAX_YAML_BYTES = 2**18  # PyYAML needs seconds and hundreds of MiB for larger texts
_MAX_NODES = 100_000  # with all aliases written out
_MAX_DEPTH = 50
_MAX_DIGITS = 100  # of one number
_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")}
# errors that PyYAML raises for invalid text; lookup errors are for values that do not fit their tag
_NO_YAML = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    RecursionError,
    ArithmeticError,
    LookupError,
    AttributeError,
)
_MERGE = "tag:yaml.org,2002:merge"
_TUPLE = "tag:yaml.org,2002:python/tuple"
_SHOWN = 100  # longest quotation in a message, in characters


def read_yaml(path: str | os.PathLike[str], kind: str) -> Any:
    """Return the content of a YAML file: mappings, lists, texts, numbers.

    Raises: UserError for a file that `read_text` refuses, for text that is no YAML, and for a tag
        that YAML itself does not define.
    """
    text, shown = read_text(path, kind, MAX_YAML_BYTES), f"{kind} {os.fspath(path)!r}"
    instead = text_stand_in(text[:_SHOWN].encode(errors="replace"))
    if instead:
        raise UserError(f"{shown} is {instead}")
    return parse_yaml(text, shown)


def parse_yaml(text: str, where: str) -> Any:
    """Return the content of a YAML text; see `read_yaml`. Args: where: its origin, for messages."""
    try:
        loader = _DataLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _Extent(where).check(root)
        return loader.construct_document(root)
    except UserError:
        raise
    except _NO_YAML as error:
        raise UserError(f"{where} is no YAML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return PyYAML's complaint and its line, without the text around it."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        return f"{error.problem}{line}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character {error.character!a} at {error.position} cannot be in it"
    if isinstance(error, RecursionError):
        return "its parts are too deep"
    if isinstance(error, LookupError | AttributeError):
        return "a value does not fit its tag"
    return str(error)[:_SHOWN]


class _DataLoader(yaml.SafeLoader):
    """Loader of YAML's own types, and of tuples, which `yaml.dump` writes as !!python/tuple."""

    def tuple_of(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        """Return the values of a sequence as a tuple."""
        return tuple(self.construct_sequence(node, deep=True))


_DataLoader.add_constructor(_TUPLE, _DataLoader.tuple_of)


class _Extent:
    """Full extent of a graph of nodes; the time to find it grows with the text, not the extent."""

    def __init__(self, where: str):
        self._where = where
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, root: yaml.Node) -> None:
        """Refuse unknown tags, repeated keys, and endless, huge or deep content.

        Raises: UserError.
        """
        self._size(root, 0)

    def _size(self, node: yaml.Node, depth: int) -> int:
        if id(node) in self._open:
            self._refuse(node, "a part that contains itself")
        if depth > _MAX_DEPTH:
            self._refuse(node, f"more than {_MAX_DEPTH} levels")
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        self._check_tag(node)
        self._check_number(node)
        self._open.add(id(node))
        size = 1 + sum(self._size(part, depth + 1) for part in _parts(node))
        self._open.remove(id(node))
        self._check_keys(node)
        if size > _MAX_NODES:
            self._refuse(node, f"more than {_MAX_NODES} values, its aliases written out")
        self._sizes[id(node)] = size
        return size

    def _check_tag(self, node: yaml.Node) -> None:
        if node.tag not in _DataLoader.yaml_constructors and node.tag != _MERGE:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")[:_SHOWN]
            self._refuse(
                node,
                f"the tag {tag}; a configuration holds data and never runs code: "
                "write the value itself",
            )

    def _check_number(self, node: yaml.Node) -> None:
        if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
            self._refuse(node, f"a number of {len(node.value)} characters")

    def _check_keys(self, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key that is no text")
            if key.tag != _MERGE and (key.tag, key.value) in seen:
                self._refuse(key, f"the key {key.value!r} twice")
            seen.add((key.tag, key.value))

    def _refuse(self, node: yaml.Node, reason: str) -> None:
        raise UserError(f"{self._where} has {reason} (line {node.start_mark.line + 1})")


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
