"""Commands that install missing or broken packages, ready to be copied."""

import shutil
import sys
from collections.abc import Iterable

from .requirements import NAME, requirements

TORCH_PAIR = ("torch", "torchvision")  # must come from the same build


def install(*names: str) -> str:
    """Return the command that installs packages with the bounds of the metadata.

    torch and torchvision are installed together; Detectron2 is installed by the script that builds
    it.
    """
    if "detectron2" in names:
        return _build_detectron2()
    return f"{python()} -m pip install {_quoted(_wanted(names))}"


def install_again(*names: str) -> str:
    """Return the command that reinstalls packages over the installed ones.

    Dependencies stay as they are, because they may be pinned; those of torch are reinstalled,
    because they are parts of its build.
    """
    if "detectron2" in names:
        return f"{python()} -m pip uninstall -y detectron2; {_build_detectron2()}"
    option = "" if set(names) & set(TORCH_PAIR) else "--no-deps "
    return f"{python()} -m pip install --force-reinstall {option}{_quoted(_wanted(names))}"


def keep_one(kept: str, others: Iterable[str]) -> str:
    """Return the command that keeps one of several distributions that overwrite each other.

    All of them are removed first, then `kept` is installed.
    """
    gone = " ".join([*others, kept])
    return f"{python()} -m pip uninstall -y {gone}; {install(kept)}"


def python() -> str:
    """Return the name of this Python as a user calls it from here."""
    return "python" if shutil.which("python") == sys.executable else sys.executable


def _build_detectron2() -> str:
    return f"{python()} -m {NAME}.tools.build_detectron2"


def _wanted(names: Iterable[str]) -> list[str]:
    """Return names with their bounds, for packages in the metadata."""
    bounds = {requirement.name: str(requirement) for requirement in requirements()}
    together = TORCH_PAIR if set(names) & set(TORCH_PAIR) else names
    return [bounds.get(name, name) for name in together]


def _quoted(specs: Iterable[str]) -> str:
    return " ".join(f"'{spec}'" if ">" in spec else spec for spec in specs)
