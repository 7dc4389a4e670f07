import importlib
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from boxrefine_d2.diagnostics import BROKEN, MISSING, OK, first_fault, packages, verdict
from boxrefine_d2.diagnostics.packages import optional_findings, required_findings
from boxrefine_d2.diagnostics.requirements import NAME, is_older, requirements

LINES = [Requirement(line) for line in metadata.requires(NAME)]
REQUIRED = [line.name for line in LINES if line.marker is None]
OUTERMOST = {"pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}


@pytest.fixture
def hide(monkeypatch):
    """A function that makes a module look as if it were not installed."""

    def hide(module):
        monkeypatch.setitem(sys.modules, module, None)

    return hide


@pytest.fixture
def replace_module(monkeypatch, tmp_path):
    """A function that replaces a module by a file with the given code."""

    def write(module, code):
        (tmp_path / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()

    return write


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_every_line_of_the_metadata_is_read():
    """`packaging` reads the same names and lower bounds."""
    read = {(r.name, r.minimum, bool(r.extra)) for r in requirements()}
    expected = {
        (line.name, str(line.specifier).removeprefix(">="), line.marker is not None)
        for line in LINES
    }
    assert read == expected
    assert {r.extra for r in requirements()} >= {"", "opencv", "opencv-contrib", "pretrain", "dev"}


def test_lines_of_other_forms_are_read(monkeypatch):
    lines = ['Timm !=1.1,>=1.0.20; extra == "x"', "plain", 'a.b (>=2); python_version > "3"']
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    read = {(r.name, r.minimum, r.extra) for r in requirements()}
    assert {("timm", "1.0.20", "x"), ("plain", "", "")} <= read


@pytest.mark.parametrize(
    ("version", "minimum"),
    [
        ("2.4.1+cu121", "2.5"),
        ("2.10.0", "2.5"),
        ("2.5", "2.5.0"),
        ("0.1.5.post20221221", "0.1.5"),
        ("10.0", "10.1"),
        ("5.0.0.93", "4.8"),
    ],
)
def test_versions_are_ordered_as_packaging_orders_them(version, minimum):
    assert is_older(version, minimum) == (Version(version) < Version(minimum))


def test_an_unknown_version_is_not_called_old():
    assert not is_older("of unknown version", "1.0")
    assert not is_older("1.0", "")


def test_this_environment_works():
    findings = required_findings()
    assert [finding.name for finding in findings[:5]] == [
        "Python",
        NAME,
        "numpy",
        "torch",
        "torchvision",
    ]
    assert findings[-1].name == "detectron2"
    assert {finding.name for finding in findings[2:]} == set(REQUIRED)
    assert all(finding.state == OK and finding.required for finding in findings)
    assert first_fault(findings) is None
    assert by_name(findings)["timm"].value == metadata.version("timm")


@pytest.mark.parametrize("name", REQUIRED)
def test_each_missing_required_package_is_named_with_its_fix(hide, name):
    hide(OUTERMOST.get(name, name))
    fault = first_fault(required_findings())
    assert (fault.name, fault.state) == (name, MISSING)
    if name == "detectron2":
        assert fault.fix.endswith("-m boxrefine_d2.tools.build_detectron2")
    elif name in ("torch", "torchvision"):
        assert fault.fix.endswith("-m pip install 'torch>=2.5' 'torchvision>=0.20'")
    else:
        line = next(line for line in LINES if line.name == name)
        assert fault.fix.endswith(f"-m pip install '{name}{line.specifier}'")
    assert verdict([fault]).startswith(f"{name} is missing")


def test_a_broken_package_is_named_with_its_message(replace_module):
    replace_module("yacs", "raise OSError('libsomething.so.1:\\n  no such file')")
    finding = by_name(required_findings())["yacs"]
    assert (finding.state, finding.value) == (BROKEN, "OSError: libsomething.so.1: no such file")
    assert finding.fix.endswith("pip install --force-reinstall --no-deps 'yacs>=0.1.8'")


def test_the_fix_of_a_package_that_lacks_another_is_to_install_that_one(replace_module, hide):
    replace_module("yacs", "import omegaconf_of_nobody")
    finding = by_name(required_findings())["yacs"]
    assert (finding.state, finding.fix.rpartition(" ")[2]) == (BROKEN, "omegaconf_of_nobody")
    replace_module("tqdm", "import scipy")
    hide("scipy")
    findings = by_name(required_findings())
    assert findings["tqdm"].state == BROKEN
    assert findings["tqdm"].fix == findings["scipy"].fix
    assert "scipy>=" in findings["tqdm"].fix


def test_a_missing_inner_module_is_broken_not_missing(replace_module):
    replace_module("timm", "import torch.no_such_part")
    finding = by_name(required_findings())["timm"]
    assert finding.state == BROKEN
    assert "no_such_part" in finding.value and "--force-reinstall" in finding.fix


def test_an_old_version_is_broken(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.2" if name == "scipy" else real(name))
    finding = by_name(required_findings())["scipy"]
    assert (finding.state, finding.value) == (BROKEN, "1.2 is older than 1.13")


def test_an_old_python_is_broken(monkeypatch):
    monkeypatch.setattr("platform.python_version", lambda: "3.10.4")
    fault = first_fault(required_findings())
    assert (fault.name, fault.state) == ("Python", BROKEN)
    assert "3.11" in fault.fix


def test_a_checkout_that_is_not_installed_is_named_with_its_fix(monkeypatch):
    def not_installed(name):
        raise metadata.PackageNotFoundError(name)

    for function in ("requires", "version", "metadata"):
        monkeypatch.setattr(metadata, function, not_installed)
    fault = first_fault(required_findings())
    assert fault.name == NAME
    assert "pip install --no-deps --editable" in fault.fix


def test_each_missing_extra_is_named_with_its_purpose_and_its_fix(hide):
    hide("lightly")
    finding = by_name(optional_findings())["lightly"]
    assert (finding.state, finding.required) == (MISSING, False)
    assert "training a network without labels (extra 'pretrain')" in finding.value
    assert finding.fix.endswith("-m pip install 'lightly>=1.5.20'")


def test_extras_come_from_the_metadata(monkeypatch):
    lines = [
        'pydensecrf>=1.0; extra == "crf"',
        'ruff; extra == "dev"',
        'furo; extra == "docs"',
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    findings = by_name(optional_findings())
    assert set(findings) == {"opencv", "pydensecrf"}
    assert "MaskCut's CRF (extra 'crf')" in findings["pydensecrf"].value


def opencv_with(monkeypatch, **versions):
    names = {name.replace("_", "-"): version for name, version in versions.items()}
    monkeypatch.setattr(packages, "installed_version", lambda name: names.get(name, ""))
    return by_name(optional_findings())["opencv"]


def test_opencv_is_named_by_its_distribution(monkeypatch, hide):
    finding = opencv_with(monkeypatch, opencv_python="4.9.0")
    assert (finding.state, finding.value) == (OK, "opencv-python 4.9.0")
    assert opencv_with(monkeypatch).value.endswith("of no known distribution")
    hide("cv2")
    finding = opencv_with(monkeypatch)
    assert finding.state == MISSING
    assert finding.fix.endswith("'opencv-contrib-python-headless>=4.8'")
    finding = opencv_with(monkeypatch, opencv_python="4.9.0")
    assert finding.state == BROKEN
    assert finding.fix.endswith("--force-reinstall --no-deps opencv-python")


def test_two_opencv_distributions_are_broken(monkeypatch):
    finding = opencv_with(monkeypatch, opencv_python="4.9", opencv_contrib_python_headless="5.0")
    assert finding.state == BROKEN
    assert "opencv-python 4.9, opencv-contrib-python-headless 5.0" in finding.value
    first, second = finding.fix.split("; ")
    assert first.endswith("uninstall -y opencv-python opencv-contrib-python-headless")
    assert second.endswith("install 'opencv-contrib-python-headless>=4.8'")
