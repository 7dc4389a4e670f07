"""Scripts that no test runs as a whole: their imports from the package exist."""

import ast
from importlib import import_module, util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "datasets", "docs", "fuzz", "tools")
SCRIPTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_imports_of_a_script_exist(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.ImportFrom) and not node.level):
            continue
        if node.module.split(".")[0] != "boxrefine_d2":
            continue
        module = import_module(node.module)
        for alias in node.names:
            is_module = (
                util.find_spec(f"{node.module}.{alias.name}")
                if hasattr(module, "__path__")
                else None
            )
            assert hasattr(module, alias.name) or is_module, f"{node.module} has no {alias.name}"
