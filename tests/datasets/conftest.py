import importlib
import sys
from pathlib import Path

import pytest

DATASETS = Path(__file__).parents[2] / "datasets"
MODULES = (
    "check_datasets",
    "official_counts",
    "prepare_coco20k",
    "prepare_cutouts",
    "prepare_photos",
    "photo_sources",
    "output_folder",
    "cutout_composition",
    "cutout_sources",
    "cutout_labels",
    "cutout_packages",
)


@pytest.fixture
def module(monkeypatch):
    """Return a function that imports a file of datasets/ like a script there does."""
    monkeypatch.syspath_prepend(DATASETS)
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)
