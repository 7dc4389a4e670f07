"""Order of the rooms: imports go one way. The test reads the code and does not run it."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import boxrefine_d2

PACKAGE = Path(boxrefine_d2.__file__).parent
NAME = PACKAGE.name
ROOT = Path(__file__).parents[1]

# Room -> rooms that it may import, besides itself and those of BASE (by default `errors`, `files`
# and `progress`); "" is the package itself.
BASE = {
    "interrupts": set(),
    "__init__": set(),
    "errors": set(),
    "files": {"errors"},
    "progress": set(),
}
RUN = {"training", "evaluation", "data", "networks", "masks", "structures"}
ALLOWED = {
    "interrupts": set(),
    "__init__": {"interrupts"},
    "errors": {"interrupts"},
    "files": set(),
    "progress": set(),
    "config": set(),
    "structures": set(),
    "losses": set(),
    "masks": {"structures"},
    "data": {"masks", "structures"},
    "networks": {"structures"},
    "language": {"networks"},
    "discovery": {"masks", "structures", "config"},
    "evaluation": {"masks", "structures", "data", ""},
    "training": {"structures", "data", "networks", "evaluation", "config", ""},
    "refinement": {"discovery", "losses", *RUN},
    "detectors": RUN,
    "pretraining": {"discovery", "language", "losses", *RUN},
    "grounding": {"discovery", "language", "refinement", *RUN},
    "localization": {"discovery", "losses", "refinement", *RUN, "config", ""},
    "workflow": {""},
    "analysis": {"masks", "structures", "networks", "data", "discovery", ""},
    "diagnostics": {"networks", "language", "data", ""},
    "pseudo_labels": {"masks", "structures", "networks", "discovery", "data", "interrupts", ""},
    "segmentation": {"language", "pseudo_labels", *RUN, ""},
    "improvement": {"discovery", "pseudo_labels", "refinement", "config", "workflow", *RUN, ""},
}
ALLOWED["report"] = set(ALLOWED) | {""}
ALLOWED["cli"] = set(ALLOWED) | {""}

FORBIDDEN_FILES = {"utils.py", "misc.py", "common.py", "helpers.py"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    """Return the rooms that a file imports, also inside functions; "" is the package itself."""
    package = [NAME, *path.relative_to(PACKAGE).parent.parts]
    rooms = set()
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
                rooms.add(second if second and exists else "")
    return rooms


def sources() -> list[Path]:
    carried = {"configs", "tools"}  # folders of an installed wheel
    return [p for p in sorted(PACKAGE.rglob("*.py")) if room_of(p) not in carried]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = room_of(path)
    assert room in ALLOWED, f"a new room {room}: list in ALLOWED the rooms that it may import"
    assert rooms_imported(path) - {room} <= ALLOWED[room] | BASE.get(
        room, {"errors", "files", "progress"}
    )


def test_the_table_has_no_cycle():
    order = list(ALLOWED)
    for position, room in enumerate(order):
        later = {r for r in ALLOWED[room] if r and order.index(r) >= position} - {room}
        assert not later, f"{room} may import {later}, which come later in the table"


def test_no_two_public_classes_share_a_name():
    homes = defaultdict(list)
    for path in sources():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path.name)
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def programs() -> list[Path]:
    """Return the programs beside the package, without the recipe of Detectron2's build."""
    folders = ("tools", "datasets", "experiments", "benchmarks", "fuzz", "docs")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    left_out = {"build_detectron2.py", "_build"}  # the second is the built site
    return [path for path in found if not left_out & set(path.parts)]


@pytest.mark.parametrize(
    "path", [*sources(), *programs()], ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_and_functions_are_small(path):
    if PACKAGE / "config" in path.parents:
        return  # tables
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 60, node.name


def test_no_junk_drawers():
    assert not [p for p in sources() if p.name in FORBIDDEN_FILES]


def test_relative_imports_are_found(tmp_path):
    assert rooms_imported(PACKAGE / "discovery/lost.py") == {
        "discovery",
        "errors",
        "masks",
        "structures",
    }


def test_training_imports_no_task_and_evaluation_no_network():
    """A new task or a new network therefore changes neither."""
    tasks = {"refinement", "detectors", "pretraining", "grounding"}
    assert not tasks & ALLOWED["training"]
    assert not (tasks | {"networks", "language", "discovery"}) & ALLOWED["evaluation"]


def test_no_file_of_the_package_works_under_main():
    for path in sources():
        assert "__main__" not in path.read_text(encoding="utf-8"), path


def test_every_room_is_a_package_and_part_of_a_wheel():
    folders = {p.parent for p in sources()}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]
