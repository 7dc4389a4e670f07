"""YAML from outside, which is data: a tag that would run code is refused by its name."""

import os
from typing import Any

import yaml

from boxrefine_d2.errors import UserError

from .inputs import read_text


def read_yaml(path: str | os.PathLike[str], what: str) -> Any:
    """Return the content of a YAML file: mappings, lists, texts, numbers.

    Raises: UserError for what `read_text` refuses, for text that is no YAML, and for a tag that is none of YAML's own.
    """
    return parse_yaml(read_text(path, what), f"{what} {os.fspath(path)!r}")


def parse_yaml(text: str, where: str) -> Any:
    """`read_yaml` of a text. Args: where: for messages."""
    try:
        return yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        raise UserError(
            f"{where}: {error.problem or error}; a configuration holds data and never runs code"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise UserError(f"{where} is no YAML: {error}") from error
