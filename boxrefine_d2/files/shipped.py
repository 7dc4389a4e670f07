"""The configurations and the commands that ship with the package, found from any folder."""

import os
from pathlib import Path

from boxrefine_d2.errors import UserError

from .names import user_path


def find_config(name: str) -> Path:
    """The file itself, or the one of that name that ships with the package ("configs/lost_refine.yaml").

    What is there and is no file, such as a folder or a pipe, is for whoever reads it to refuse.

    Raises: UserError listing the shipped ones.
    """
    named = user_path(name)
    if os.path.isfile(named):  # also answers for names that cannot be
        return named
    shipped = shipped_configs()
    found = shipped / name.removeprefix("configs/")
    if os.path.isfile(found):
        return found
    if os.path.lexists(named):
        return named
    known = sorted(f"configs/{path.relative_to(shipped)}" for path in shipped.rglob("*.yaml"))
    raise UserError(f"no config file {name[:200]}; shipped: {', '.join(known)}")


def shipped_configs() -> Path:
    """The folder of the yaml files: inside an installed package, or beside it in a checkout."""
    return _shipped("configs")


def shipped_tools() -> Path:
    """The folder of the scripts `python tools/NAME.py`: inside an installed package, or beside it in a checkout."""
    return _shipped("tools")


def _shipped(folder: str) -> Path:
    package = Path(__file__).parents[1]
    installed = package / folder
    return installed if installed.is_dir() else package.parent / folder
