"""The scripts of docs/, which is no package."""

import importlib
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def load_script():
    """Takes a script's name, returns it as a module."""

    def load(name):
        sys.path.insert(0, str(DOCS))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(DOCS))

    return load
