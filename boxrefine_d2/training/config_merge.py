"""Merge of values from a file or a command line into a configuration.

Every value must have a known key and the type of its default.
"""

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode

from boxrefine_d2.config.checks import check_value
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import user_name
from boxrefine_d2.files.values import shown_value

_PAIRS = "KEY VALUE pairs"
_FILES = (".WEIGHTS", ".ENCODER")  # ends of the keys that hold files, URLs or names
_LISTED = 12  # most keys of a section that a message lists


def merge_content(cfg: CfgNode, content: Mapping[str, Any], where: str) -> None:
    """Put the content of a file into `cfg`.

    Args: where: name of the file in messages.
    Raises: UserError for an unknown key, a section that is not a mapping, or a value that its key
        cannot have.
    """
    version = content.get("VERSION", cfg.VERSION)
    if version != cfg.VERSION:
        raise UserError(
            f"{where}: VERSION {shown_value(version)} is not read; Detectron2's keys are those of "
            f"VERSION {cfg.VERSION}"
        )
    _merge(cfg, content, where, "")


def merge_pairs(cfg: CfgNode, words: Sequence[str]) -> None:
    """Put KEY VALUE pairs into `cfg`.

    Raises: UserError as `merge_content`, and for a key without a value.
    """
    if len(words) % 2:
        raise UserError(f"{_PAIRS}: {shown_value(words[-1])} is left over; give it a value")
    for name, text in zip(words[::2], words[1::2], strict=True):
        *sections, key = name.split(".")
        node, prefix = cfg, ""
        for section in sections:
            node, prefix = _entry(node, section, _PAIRS, prefix, name), f"{prefix}{section}."
            if not isinstance(node, CfgNode):
                raise UserError(
                    f"{_PAIRS}: there is no key {shown_value(name)}; {prefix[:-1]} is no section"
                )
        default = _entry(node, key, _PAIRS, prefix, name)
        if isinstance(default, CfgNode):
            raise UserError(
                f"{name} is a section, not a key; it has {', '.join([*default][:_LISTED])}"
            )
        node[key] = _converted(name, text, default, "")


def _merge(node: CfgNode, content: Mapping[str, Any], where: str, prefix: str) -> None:
    for key, value in content.items():
        name = f"{prefix}{key}"
        default = _entry(node, key, where, prefix, name)
        if isinstance(default, CfgNode):
            if not isinstance(value, Mapping):
                raise UserError(
                    f"{where}: {name} is a section, KEY: VALUE lines, not {shown_value(value)}"
                )
            _merge(default, value, where, f"{name}.")
        else:
            node[key] = _converted(name, value, default, f"{where}: ")


def _entry(node: CfgNode, key: str, where: str, prefix: str, asked: str) -> Any:
    """Return the value or section under a key of a section.

    Args:
        where: name of the source in messages.
        prefix: full name of the section, with a dot at its end.
        asked: full name of the key in messages.
    Raises: UserError for an unknown key.
    """
    if key in node:
        return node[key]
    close = difflib.get_close_matches(key, list(node), n=1)
    hint = (
        f"did you mean {prefix}{close[0]}" if close else f"known: {', '.join(list(node)[:_LISTED])}"
    )
    raise UserError(f"{where}: there is no key {shown_value(asked)}; {hint}")


def _converted(name: str, given: Any, default: Any, where: str) -> Any:
    """Return the value for a key, converted to the type of its default.

    A text that spells a Python literal, such as a number or a tuple, becomes that literal, unless
    the key holds text. The ~ in the path of a weights file is expanded here. All code that reads,
    compares or records the configuration then sees the same path.

    Raises: UserError for a value that the key cannot have.
    """
    value = given
    if isinstance(given, str):
        value = _literal(given, name, where)
        if isinstance(default, str) and not isinstance(value, str | None):
            value = given
    if isinstance(default, float) and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if isinstance(default, list | tuple) and isinstance(value, list | tuple):
        value = type(default)(value)
    check_value(name, value, default, said=f"{where}{name}")
    return user_name(value) if name.endswith(_FILES) else value


def _literal(text: str, name: str, where: str) -> Any:
    """Return the Python literal that a text spells; the text itself if it spells none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text
    except (RecursionError, MemoryError) as error:
        raise UserError(
            f"{where}{name} {shown_value(text)}: its parts are nested too deep"
        ) from error
