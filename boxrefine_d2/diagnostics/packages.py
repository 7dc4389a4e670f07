"""Findings about packages: each is imported and compared with the bounds of the metadata."""

import importlib
import platform
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import boxrefine_d2

from .commands import install, install_again, keep_one, python
from .finding import BROKEN, MISSING, OK, Finding
from .requirements import (
    NAME,
    Requirement,
    installed_version,
    is_older,
    oldest_python,
    requirements,
)

# module to import, if its name differs from the package's, or if the outermost module would import
# although the package is broken
_MODULES = {
    "detectron2": "detectron2.engine",
    "lightly": "lightly.loss",
    "pillow": "PIL.Image",
    "pycocotools": "pycocotools.mask",
    "pillow-heif": "pillow_heif",
    "pydensecrf": "pydensecrf.densecrf",
    "pyyaml": "yaml",
    "scikit-image": "skimage.measure",
    "scipy": "scipy.linalg",
    "torchcam": "torchcam.methods",
}
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_PURPOSE = {
    "crf": "MaskCut's CRF",
    "grounding": "heatmaps of phrases",
    "heic": "HEIC photographs",
    "opencv": "comparisons with published code, in the tests",
    "pretrain": "training a network without labels",
    "wsol": "Grad-CAM and its relatives",
}
_NOT_FOR_USERS = ("dev", "docs")


def required_findings() -> list[Finding]:
    """Return findings about Python, this package, and every required package."""
    findings: dict[str, Finding] = {}
    for requirement in requirements():
        if not requirement.extra:
            findings[_outermost(requirement.name)] = _examine(requirement, findings)
    return [
        _python_finding(),
        _own_finding(),
        *(replace(f, required=True) for f in findings.values()),
    ]


def optional_findings() -> list[Finding]:
    """Return findings about the extras and OpenCV; only one OpenCV may be installed."""
    findings = [_opencv_finding()]
    for requirement in requirements():
        extra = requirement.extra
        if extra and extra not in _NOT_FOR_USERS and requirement.name not in OPENCV:
            finding = replace(_examine(requirement, {}), section="optional")
            findings.append(_with_purpose(finding, extra))
    return findings


def _python_finding() -> Finding:
    version, oldest = platform.python_version(), oldest_python()
    if is_older(version, oldest):
        fix = f"make a new environment with a Python of at least {oldest}"
        value = f"{version} is older than {oldest}, {sys.executable}"
        return Finding("packages", "Python", BROKEN, value, fix, required=True)
    return Finding("packages", "Python", OK, f"{version}, {sys.executable}", required=True)


def _own_finding() -> Finding:
    folder = Path(boxrefine_d2.__file__).parent
    version = installed_version(NAME)
    if not version:
        value = f"not installed, only found in {folder}"
        fix = f"{python()} -m pip install --no-deps --editable {folder.parent}"
        return Finding("packages", NAME, BROKEN, value, fix, required=True)
    return Finding("packages", NAME, OK, f"{version}, {folder}", required=True)


def _examine(requirement: Requirement, earlier: Mapping[str, Finding]) -> Finding:
    """Return the finding about one package.

    Args:
        requirement: line of the metadata.
        earlier: earlier findings, by outermost module; a package that lacks one of these is fixed
            by its command.
    """
    name = requirement.name
    module, error = _try_import(_MODULES.get(name, name))
    if error is not None:
        lacking = _lacking(error)
        if lacking == _outermost(name):
            return Finding("packages", name, MISSING, "not installed", install(name))
        fix = earlier[lacking].fix if lacking in earlier else lacking and install(lacking)
        return Finding("packages", name, BROKEN, _message(error), fix or install_again(name))
    version = installed_version(name) or str(getattr(module, "__version__", "of unknown version"))
    if is_older(version, requirement.minimum):
        value = f"{version} is older than {requirement.minimum}"
        return Finding("packages", name, BROKEN, value, install_again(name))
    return Finding("packages", name, OK, version)


def _opencv_finding() -> Finding:
    versions = {name: installed_version(name) for name in OPENCV if installed_version(name)}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if len(versions) > 1:
        *others, kept = versions
        value = f"they overwrite each other's cv2: {text}"
        return Finding("optional", "opencv", BROKEN, value, keep_one(kept, others))
    wanted = [requirement for requirement in requirements() if requirement.name in OPENCV]
    module, error = _try_import("cv2")
    if error is None:
        version = str(getattr(module, "__version__", ""))
        minimum = max((requirement.minimum for requirement in wanted), default="")
        if is_older(version, minimum):
            value = f"cv2 {version} is older than {minimum}"
            return Finding("optional", "opencv", BROKEN, value, install_again(*versions))
        return Finding("optional", "opencv", OK, text or f"cv2 {version}, of no known distribution")
    if versions:
        return Finding("optional", "opencv", BROKEN, _message(error), install_again(*versions))
    fix = install(wanted[-1].name) if wanted else ""
    return _with_purpose(Finding("optional", "opencv", MISSING, "not installed", fix), "opencv")


def _with_purpose(finding: Finding, extra: str) -> Finding:
    """Return the finding with its purpose added, if the part does not work."""
    if finding.state == OK or extra not in _PURPOSE:
        return finding
    return replace(finding, value=f"{finding.value}; for {_PURPOSE[extra]} (extra {extra!r})")


def _outermost(name: str) -> str:
    return _MODULES.get(name, name).partition(".")[0]


def _try_import(module: str) -> tuple[ModuleType | None, Exception | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module.partition(".")[0])
            return importlib.import_module(module), None
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything
        return None, error


def _lacking(error: Exception) -> str:
    """Return the outermost module that was not found; "" for any other error."""
    module = isinstance(error, ModuleNotFoundError) and error.name
    return module.partition(".")[0] if module else ""


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
