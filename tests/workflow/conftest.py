"""Tools of a few lines each, and a fixture that runs plans with them."""

import textwrap
from pathlib import Path

import pytest

from boxrefine_d2.workflow import plan_of_stages, run_plan

SCRIPTS = {
    # writes the contents of files, and other words, one after the other into a file
    "join.py": """
        import pathlib, sys

        def text(word):
            path = pathlib.Path(word)
            return path.read_text() if path.is_file() else word

        out, words = pathlib.Path(sys.argv[1]), sys.argv[2:]
        out.parent.mkdir(exist_ok=True)
        out.write_text("|".join(map(text, words)))
        """,
    # leaves a mark, and ends by an exit code or a signal unless the file is there
    "stop.py": """
        import os, pathlib, sys

        folder, how, allowed = sys.argv[1:]
        with open(folder + "/marks", "a") as marks:
            marks.write("x")
        if not os.path.exists(allowed):
            os.kill(os.getpid(), -int(how)) if int(how) < 0 else sys.exit(int(how))
        """,
}


@pytest.fixture
def tools(tmp_path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, script in SCRIPTS.items():
        (folder / name).write_text(textwrap.dedent(script))
    return folder


@pytest.fixture
def run(tmp_path, tools):
    """Return a function that runs stages below tmp_path/out.

    It returns the exit code, and stage -> the first message about it.
    """

    def run(entries, **values):
        messages = []
        stages = plan_of_stages(entries, tmp_path / "out", values, "plan.yaml")
        code = run_plan(stages, tools, messages.append)
        lines = [line for line in messages if line.startswith("stage ") and ": " in line]
        return code, {line.split()[1]: line.partition(": ")[2].split(",")[0] for line in lines}

    return run
