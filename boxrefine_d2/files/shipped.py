"""Configurations and commands that ship with the package, found from any working folder."""

import os
from pathlib import Path

from boxrefine_d2.errors import UserError

from .names import user_path


def find_config(name: str) -> Path:
    """Return the named file, or the shipped one of that name ("configs/lost_refine.yaml").

    A path that is no file, such as a folder or a pipe, is returned as well; its reader refuses it.

    Raises: UserError, listing the shipped files, if neither exists.
    """
    named = user_path(name)
    if os.path.isfile(named):  # also accepts names that no file can have
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
    """Return the folder of the yaml files: in an installed package, or beside it in a checkout."""
    return _shipped("configs")


def shipped_tools() -> Path:
    """Return the folder of `tools/NAME.py`: in an installed package, or beside it in a checkout."""
    return _shipped("tools")


def _shipped(folder: str) -> Path:
    package = Path(__file__).parents[1]
    installed = package / folder
    return installed if installed.is_dir() else package.parent / folder
