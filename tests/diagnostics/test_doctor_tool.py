"""The command in its own process, with hidden packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "doctor.py"
HIDING = """
import runpy, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ImportError("hidden by a test", name=name)
sys.meta_path.insert(0, Hidden())
sys.argv = [{script!r}, *sys.argv[1:]]
runpy.run_path({script!r}, run_name="__main__")
"""


def run(tmp_path, *arguments, hidden=""):
    code = HIDING.format(module=hidden, script=str(SCRIPT))
    environment = os.environ | {"TORCH_HOME": str(tmp_path), "DETECTRON2_DATASETS": str(tmp_path)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )


def test_a_working_environment(tmp_path):
    done = run(tmp_path, "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("ready: all required parts work")
    # addresses and the user's own folders may be of any length
    ours = [line.replace(str(tmp_path), "DIR") for line in lines[:-1] if "https://" not in line]
    too_long = [line for line in ours if len(line) > 100]
    assert not too_long
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["ready"] and content["verdict"] == lines[-1]
    sections = {finding["section"] for finding in content["facts"]}
    assert sections == {"packages", "optional", "devices", "weights", "data"}


@pytest.mark.parametrize("hidden", ["torch", "detectron2"])
def test_it_starts_without_torch_or_detectron2_and_names_the_fix(tmp_path, hidden):
    done = run(tmp_path, "--json", str(tmp_path / "out.json"), hidden=hidden)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {hidden} is ")
    fix = "build_detectron2" if hidden == "detectron2" else "-m pip install"
    assert "hidden by a test" in line or "missing" in line
    assert fix in line.partition("fix: ")[2]
    assert "Weights: not checked" in done.stdout
    content = json.loads((tmp_path / "out.json").read_text())
    assert not content["ready"]


def test_a_wrong_option_is_one_line(tmp_path):
    done = run(tmp_path, "--jsn", "x")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "unrecognized arguments" in line


def test_a_python_without_the_package_names_the_remedy(tmp_path):
    """-S leaves out the packages of the environment; -E leaves out the shell's variables."""
    command = [sys.executable, "-S", "-E", str(SCRIPT)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: boxrefine_d2 is not installed in ")
    assert "make setup" in line
