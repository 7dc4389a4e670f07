"""The programs of experiments/, which is no package."""

import importlib
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def load_script():
    """Takes a script's name, returns it as a module."""

    def load(name):
        sys.path.insert(0, str(EXPERIMENTS))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(EXPERIMENTS))

    return load
