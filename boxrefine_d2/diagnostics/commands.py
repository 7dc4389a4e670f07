"""Commands that install what is missing or broken, to be copied as they are."""

import shutil
import sys
from collections.abc import Iterable

from .requirements import NAME, requirements

TORCH_PAIR = ("torch", "torchvision")  # must come from the same build


def install(*names: str) -> str:
    """Installs packages of the metadata; torch and torchvision together, Detectron2 by the script that builds it."""
    if "detectron2" in names:
        return _build_detectron2()
    return f"{python()} -m pip install {_quoted(_wanted(names))}"


def install_again(*names: str) -> str:
    """The same over what is there. Dependencies stay, as they may be pinned; torch's are parts of its build."""
    if "detectron2" in names:
        return f"{python()} -m pip uninstall -y detectron2; {_build_detectron2()}"
    how = "" if set(names) & set(TORCH_PAIR) else "--no-deps "
    return f"{python()} -m pip install --force-reinstall {how}{_quoted(_wanted(names))}"


def keep_one(kept: str, others: Iterable[str]) -> str:
    """Of distributions that overwrite each other, leaves one: all have to go first."""
    gone = " ".join([*others, kept])
    return f"{python()} -m pip uninstall -y {gone}; {install(kept)}"


def python() -> str:
    """This Python, as it is called from here."""
    return "python" if shutil.which("python") == sys.executable else sys.executable


def _build_detectron2() -> str:
    return f"{python()} -m {NAME}.tools.build_detectron2"


def _wanted(names: Iterable[str]) -> list[str]:
    """With their bounds, where the metadata has them."""
    bounds = {requirement.name: str(requirement) for requirement in requirements()}
    together = TORCH_PAIR if set(names) & set(TORCH_PAIR) else names
    return [bounds.get(name, name) for name in together]


def _quoted(specs: Iterable[str]) -> str:
    return " ".join(f"'{spec}'" if ">" in spec else spec for spec in specs)
