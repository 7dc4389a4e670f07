"""The configurations that ship with the package, found from any folder."""

from pathlib import Path

from boxrefine_d2.errors import UserError


def find_config(name: str) -> Path:
    """The file itself, or the one of that name that ships with the package ("configs/lost_refine.yaml").

    Raises: UserError listing the shipped ones.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_configs()
    found = shipped / name.removeprefix("configs/")
    if found.is_file():
        return found
    known = sorted(f"configs/{path.relative_to(shipped)}" for path in shipped.rglob("*.yaml"))
    raise UserError(f"no config file {name}; shipped: {', '.join(known)}")


def shipped_configs() -> Path:
    """The folder of the yaml files: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"
