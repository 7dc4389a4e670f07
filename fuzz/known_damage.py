"""Damaged files of the package's tests, as an addition to the damage that the families draw."""

import random
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

Damaged = tuple[str, bytes]


def _part(name: str) -> ModuleType | None:
    """Return a module of test support; None if the tests are not there."""
    try:
        return import_module(f"tests.{name}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("tests"):
            raise
        return None


FILES, CONFIGS, WEIGHTS = map(
    _part, ("data.damaged_files", "training.damaged_configs", "networks.hostile_files")
)


def label_file(kind: str, content: Any, draw: random.Random) -> bytes | None:
    """Return a damaged label file; None if the tests are not there.

    Args: kind: "xml", "list", "table", "classes", or any other name for JSON.
    """
    if FILES is None:
        return None
    seed = draw.randrange(2**31)
    ways: dict[str, Callable[[], Iterator[Damaged]]] = {
        "xml": lambda: FILES.damaged_xml(content, seed),
        "list": lambda: FILES.damaged_table(content, seed, " "),
        "table": lambda: FILES.damaged_table(content, seed, ","),
        "classes": lambda: FILES.damaged_table(content, seed, ","),
    }
    files = list(ways.get(kind, lambda: FILES.damaged_json(content, seed, 20))())
    return draw.choice(files)[1]


def values() -> list[str]:
    """Return values that a key of the configuration may not accept."""
    return [] if CONFIGS is None else [*CONFIGS.IMPOSSIBLE, *CONFIGS.DOUBTFUL]


def words(draw: random.Random) -> list[str]:
    """Return words that are not KEY VALUE pairs."""
    return ["SEED"] if CONFIGS is None else draw.choice(list(CONFIGS.bad_words()))


def code_in_yaml(mark: Path) -> list[str]:
    """Return YAML texts with code that would write the mark."""
    return [] if CONFIGS is None else [text.format(mark=mark) for text in CONFIGS.CODE.values()]


def config_file(folder: Path, draw: random.Random) -> tuple[str, Path] | None:
    """Make a damaged configuration; return its title and its path, or None without the tests."""
    if CONFIGS is None:
        return None
    return draw.choice(list(CONFIGS.write_damaged(folder).items()))


def weight_file(path: Path, draw: random.Random) -> str | None:
    """Make a hostile weight file; return its title, or None without the tests.

    The code in the file would make a file whose name ends in `.ran`.
    """
    if WEIGHTS is None:
        return None
    name = draw.choice(sorted(WEIGHTS.WRITERS))
    WEIGHTS.WRITERS[name](path)
    return f"hostile: {name}"
