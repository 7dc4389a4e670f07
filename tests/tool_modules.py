"""A command of tools/ as a module, for tests that call it in their own process."""

import importlib.util
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str, folder: Path = TOOLS) -> ModuleType:
    """Load FOLDER/NAME.py anew, so that what one test changes in it no other test sees."""
    spec = importlib.util.spec_from_file_location(f"{name}_under_test", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
