"""Loading of a command as a module, for tests that call it in their own process."""

import importlib.util
from pathlib import Path
from types import ModuleType

import boxrefine_d2

COMMANDS = Path(boxrefine_d2.__file__).parent / "cli"
TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str) -> ModuleType:
    """Load the command of tools/NAME.py anew; a test's changes in it do not reach other tests."""
    folder = COMMANDS if (COMMANDS / f"{name}.py").is_file() else TOOLS
    spec = importlib.util.spec_from_file_location(f"{name}_under_test", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
