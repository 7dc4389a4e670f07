"""A wheel of the package works in a fresh environment and from another folder.

The test needs no package index: it builds without isolation and installs without dependencies. A
.pth file adds the other packages of the current environment to the fresh one.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxrefine_d2

ROOT = Path(__file__).parents[1]
# Folder of the repository -> its place in the wheel.
CARRIED = {
    "boxrefine_d2": "boxrefine_d2",
    "configs": "boxrefine_d2/configs",
    "tools": "boxrefine_d2/tools",
}
BUILD_FILES = ("pyproject.toml", "setup.py", "README.md")
QUESTION = """
import json
from importlib.metadata import version
import boxrefine_d2
from boxrefine_d2.files.shipped import find_config, shipped_tools
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.training.setup import load_config
print(json.dumps({
    "package": boxrefine_d2.__file__,
    "version": version("boxrefine_d2"),
    "config": str(find_config("configs/lost_refine.yaml")),
    "tools": str(shipped_tools()),
    "detector": load_config("configs/demo/cad.yaml", []).MODEL.META_ARCHITECTURE,
    "weights": build_backbone("found_mini").weights_info.source,
}))
"""


def run(*command: object, folder: Path) -> str:
    """Run a command in a folder without PYTHONPATH; return its standard output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel, built from a copy of the sources."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in CARRIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for name in BUILD_FILES:
        shutil.copyfile(ROOT / name, source / name)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *offline, "-w", built, source, folder=source)
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return the bin folder of a fresh environment with the wheel, and an empty work folder."""
    environment, elsewhere = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("elsewhere")
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    offline = ("--no-deps", "--no-index", "--no-compile", "--quiet")
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", *offline, wheel, folder=elsewhere)
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    [site] = (environment / "lib").glob("python*/site-packages")
    (site / "other_packages.pth").write_text("".join(f"{path}\n" for path in sorted(packages)))
    return python.parent, elsewhere


def test_the_wheel_has_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        f"{target}/{path.relative_to(ROOT / folder)}"
        for folder, target in CARRIED.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected - names == set()
    assert {name for name in names if ".dist-info/" not in name} - expected == set()


def test_the_installed_package_finds_its_files(installed):
    folder, elsewhere = installed
    answer = json.loads(run(folder / "python", "-c", QUESTION, folder=elsewhere))
    package = Path(answer["package"]).parent
    assert package.is_relative_to(folder.parent)
    assert answer["version"] == boxrefine_d2.__version__
    assert answer["config"] == str(package / "configs" / "lost_refine.yaml")
    assert answer["tools"] == str(package / "tools")
    assert answer["detector"] == "ClassAgnosticRCNN"
    assert answer["weights"] == "found_mini.safetensors + dino_mini_1.safetensors"


def test_the_installed_command_works_from_another_folder(installed):
    folder, elsewhere = installed
    boxrefine = folder / "boxrefine"
    version = run(boxrefine, "--version", folder=elsewhere)
    assert version == f"boxrefine {boxrefine_d2.__version__}\n"
    assert "REFINE.WARMUP_ITERS = " in run(boxrefine, "config", "REFINE", folder=elsewhere)
    rng = np.random.default_rng(0)
    (elsewhere / "images").mkdir()
    for number in range(3):
        pixels = rng.integers(0, 120, (64, 80, 3), dtype=np.uint8)
        pixels[16:48, 16:48] += 100
        Image.fromarray(pixels).save(elsewhere / "images" / f"{number}.png")
    words = ("--data", "folder:images", "--output", "boxes.json", "--num-workers", "0")
    run(
        boxrefine,
        "discover",
        "--method",
        "lost",
        "--backbone",
        "dino_mini",
        *words,
        folder=elsewhere,
    )
    content = json.loads((elsewhere / "boxes.json").read_text())
    assert len(content["images"]) == len(content["annotations"]) == 3
    words = ("--data", "folder:images", "--input", "boxes.json", "--output", "page.html")
    run(boxrefine, "sheet", *words, folder=elsewhere)
    assert "2.png" in (elsewhere / "page.html").read_text()
