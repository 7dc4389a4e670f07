"""Loader for the programs of experiments/, which is not a package."""

import importlib
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def load_script():
    """Return a function that imports a script by name and returns its module."""

    def load(name):
        sys.path.insert(0, str(EXPERIMENTS))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(EXPERIMENTS))

    return load
