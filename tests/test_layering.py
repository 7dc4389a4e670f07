"""Rooms import one way. The table is the rule; the code is read, not run."""

import ast
from pathlib import Path

import pytest

import boxrefine_d2

PACKAGE = Path(boxrefine_d2.__file__).parent
NAME = PACKAGE.name

# room -> rooms it may import, besides itself
ALLOWED = {
    "__init__": set(),
    "errors": set(),
    "files": {"errors"},
    "config": set(),
    "structures": set(),
    "data": {"structures", "errors", "files"},
    "features": {"structures", "errors", "files"},
    "language": {"features", "errors", "files"},
    "discovery": {"structures", "errors", "config"},
    "modeling": {"structures", "features", "discovery", "errors"},
    "grounding": {"structures", "features", "language", "discovery", "modeling", "errors"},
    "pretraining": {"structures", "features", "language", "discovery", "errors"},
    "detectors": {"structures", "features", "errors"},
    "evaluation": {"structures", "errors", "files"},
    "export": {"data", "errors", "structures"},
    "labels": {"data", "errors", "structures", "files", ""},
    "pipeline": {"errors", "files", ""},
    "analysis": {"structures", "features", "data", "errors", "files", "discovery", ""},
    "doctor": {"features", "language", "data", ""},
    "pseudo_labels": {"structures", "features", "discovery", "data", "errors", "files", ""},
    "engine": {
        "structures",
        "features",
        "language",
        "discovery",
        "modeling",
        "grounding",
        "pretraining",
        "detectors",
        "evaluation",
        "data",
        "errors",
        "files",
        "config",
        "",
    },
}
ALLOWED["report"] = set(ALLOWED) | {""}

FORBIDDEN_FILES = {"utils.py", "misc.py", "common.py", "helpers.py"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    """Rooms of ours that a file names in any import, also inside functions; "" is the package itself."""
    package = [NAME, *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *([node.module] if node.module else [])]
            names = [".".join([*stem, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == NAME:
                second = parts[1] if len(parts) > 1 else ""
                exists = (PACKAGE / second).is_dir() or (PACKAGE / f"{second}.py").is_file()
                found.add(second if second and exists else "")
    return found


def sources() -> list[Path]:
    carried = {"configs", "tools"}  # of an installed wheel
    return [p for p in sorted(PACKAGE.rglob("*.py")) if room_of(p) not in carried]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = room_of(path)
    assert room in ALLOWED, f"a new room {room}: say in ALLOWED what it may import"
    assert rooms_imported(path) - {room} <= ALLOWED[room]


def test_the_table_has_no_circle():
    order = list(ALLOWED)
    for position, room in enumerate(order):
        later = {r for r in ALLOWED[room] if r and order.index(r) >= position} - {room}
        assert not later, f"{room} may import {later}, which come after it"


def test_no_junk_drawers():
    assert not [p for p in sources() if p.name in FORBIDDEN_FILES]


def test_a_relative_import_is_seen(tmp_path):
    assert rooms_imported(PACKAGE / "discovery/lost.py") == {"discovery", "errors", "structures"}


def test_package_rooms_hold_no_work_under_main():
    for path in sources():
        assert "__main__" not in path.read_text(encoding="utf-8"), path


def test_every_room_is_a_package_that_a_wheel_carries():
    folders = {p.parent for p in sources()}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]
