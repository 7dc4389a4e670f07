"""The families in the order of a run; each is imported when it is needed."""

from importlib import import_module

from .family import Family

# Name -> module and class in this package.
FAMILIES = {
    "images": ("images", "Images"),
    "folders": ("images", "ImageFolders"),
    "labels": ("labels", "Labels"),
    "configs": ("configs", "Configs"),
    "weights": ("weights", "Weights"),
    "paths": ("paths", "Paths"),
    "texts": ("texts", "Texts"),
    "processes": ("processes", "Processes"),
}


def family_of(name: str) -> Family:
    """Return the family of a name in `FAMILIES`."""
    module, family = FAMILIES[name]
    return getattr(import_module(f".{module}", __package__), family)()
