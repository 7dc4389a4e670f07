"""tools/pipeline.py: changes on the command line, mistakes, and SIGKILL at each of three stages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.tool_modules import tool

SCRIPT = Path(__file__).parents[2] / "tools" / "pipeline.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# writes three parts, or those that are missing; after the first part it waits while a file exists
COUNT = """
import pathlib, sys, time

here, log, gate, *read = map(pathlib.Path, sys.argv[1:])
before = "".join(path.read_text() for path in read)
for number in "123":
    while number == "2" and gate.exists():
        time.sleep(0.01)
    if not (here / number).exists():
        with log.open("a") as file:
            print(here.name, number, file=file)
        (here / number).write_text(before + here.name + number)
(here / "made").write_text("".join((here / number).read_text() for number in "123"))
"""
PLAN = """
folder: {out}
set: {{marks: "{marks}", gates: {marks}}}
stages:
  - name: one
    run: "count.py {{here}} {{marks}}/log {{gates}}/one"
    makes: made
  - name: two
    run: "count.py {{here}} {{marks}}/log {{gates}}/two {{one}}/made"
    makes: made
  - name: three
    run: "count.py {{here}} {{marks}}/log {{gates}}/three {{two}}/made"
    makes: made
"""
PATIENCE_SECONDS = 60
PARTS = [f"{stage} {number}" for stage in ("one", "two", "three") for number in "123"]


@pytest.fixture
def tools(tmp_path) -> Path:
    """Make a folder with the command itself and a tool of a few lines."""
    folder = tmp_path / "tools"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    (folder / "count.py").write_text(COUNT)
    return folder


@pytest.fixture
def main(tools):
    return partial(tool("pipeline").main, tools=tools)


@pytest.fixture
def plan(tmp_path) -> Path:
    path = tmp_path / "plan.yaml"
    (tmp_path / "some marks").mkdir()
    path.write_text(PLAN.format(out=tmp_path / "out", marks=tmp_path / "some marks"))
    return path


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".stages" not in path.parts
    }


class Pipeline:
    """A pipeline in a process of its own, whose output goes to a file."""

    def __init__(self, command: list, printed: Path):
        self.printed = printed
        with printed.open("w") as file:
            self.process = subprocess.Popen(
                command, env=ENVIRONMENT, stdout=file, stderr=file, start_new_session=True
            )

    def wait_for(self, condition) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, self.printed.read_text()
            assert time.monotonic() < end, f"the pipeline hangs: {self.printed.read_text()}"
            time.sleep(0.01)

    def kill(self, with_stage: bool) -> None:
        if with_stage:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def states(self) -> dict[str, str]:
        lines = [x.split(None, 5) for x in self.printed.read_text().splitlines() if ": " in x]
        return {words[1]: words[5].partition(",")[0].partition(":")[0] for words in lines}


@pytest.fixture
def start(tmp_path, tools, plan):
    """Yield a function that starts the command on the plan; kill it and its stages at the end."""
    started = []

    def start():
        printed = tmp_path / f"printed_{len(started)}"
        started.append(Pipeline([sys.executable, tools / "pipeline.py", plan], printed))
        return started[-1]

    yield start
    for pipeline in started:
        with suppress(ProcessLookupError):
            os.killpg(pipeline.process.pid, signal.SIGKILL)


def test_killed_at_each_stage_it_ends_like_an_undisturbed_run(tmp_path, plan, main, start):
    out = tmp_path / "out"
    gates = {stage: tmp_path / "some marks" / stage for stage in ("one", "two", "three")}
    for gate in gates.values():
        gate.touch()

    first = start()
    first.wait_for((out / "one" / "1").exists)
    first.kill(with_stage=True)
    gates["one"].unlink()

    second = start()
    second.wait_for((out / "two" / "1").exists)
    assert second.states() == {"one": "goes on", "two": "starts"}
    second.kill(with_stage=False)  # the stage lives on, and the next pipeline waits for it

    third = start()
    third.wait_for(lambda: "waiting for the pipeline" in third.printed.read_text())
    gates["two"].unlink()
    third.wait_for((out / "three" / "1").exists)
    assert third.states() == {"one": "done before", "two": "goes on", "three": "starts"}
    third.kill(with_stage=True)
    gates["three"].unlink()
    assert not (out / "three" / "made").exists()

    last = start()
    assert last.process.wait(PATIENCE_SECONDS) == 0, last.printed.read_text()
    assert last.states() == {"one": "done before", "two": "done before", "three": "goes on"}
    # each part was written once
    assert (tmp_path / "some marks" / "log").read_text().splitlines() == PARTS
    broken = files(out)
    assert main([str(plan), f"folder={tmp_path / 'whole'}"]) == 0
    assert broken == files(tmp_path / "whole") and len(broken) == 12


def test_key_value_changes_reach_the_commands(tmp_path, plan, main, capsys):
    (tmp_path / "it's here").mkdir()
    out = tmp_path / "another out"
    assert main([str(plan), f"marks={tmp_path}/it's here", f"folder={out}"]) == 0
    assert (tmp_path / "it's here" / "log").read_text().splitlines() == PARTS
    assert (out / "two" / "made").read_text().startswith("one1one2one3two1")
    assert not (tmp_path / "out").exists()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"stage one (1 of 3): starts: python count.py '{out}/one' ")
    assert len(printed) == 3


def test_a_stages_exit_code_is_the_commands(tmp_path, tools, plan, main, capsys):
    (tools / "count.py").write_text("import sys; sys.exit('cannot count')")
    assert main([str(plan)]) == 1
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .startswith(
            "stage one (1 of 3) failed with exit code 1; the same command goes on from here"
        )
    )
    (tools / "count.py").write_text("import sys; sys.exit(2)")
    assert main([str(plan)]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: FILE.yaml; see --help"),
        (["{plan}", "gates"], "'gates' is not of the form KEY=VALUE"),
        (["{plan}", "gate=x"], "plan.yaml has no value 'gate'; it has folder, gates, marks"),
        (["{plan}", "=x"], "plan.yaml has no value ''"),
        (["{plan}", "folder="], "plan.yaml: 'folder' is empty"),
        (["{plan}", "--resume"], "unrecognized arguments: --resume"),
        (["{plan}", "folder={plan}"], "folder '{plan}' is a file; a folder is needed"),
        (["none.yaml"], "no config file none.yaml; shipped: configs/"),
        (["{broken}"], "broken.yaml' is no YAML: "),
        (["{alien}"], "stage 'a': there is no tool discover.py; known: count.py, pipeline.py"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(tmp_path, plan, main, capsys, words, message):
    places = {"plan": plan, "broken": tmp_path / "broken.yaml", "alien": tmp_path / "alien.yaml"}
    places["broken"].write_text("stages: [")
    places["alien"].write_text(
        f"{{folder: {tmp_path}/o, stages: [{{name: a, run: discover.py, makes: x}}]}}"
    )
    assert main([word.format(**places) for word in words]) == 2
    captured = capsys.readouterr()
    assert message.format(**places) in captured.err and captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1 and captured.out == ""
    assert not (tmp_path / "out").exists() and not (tmp_path / "o").exists()


def test_a_training_whose_configuration_an_earlier_stage_makes_is_checked_when_it_begins(
    tmp_path, tools, main, capsys
):
    """The training is a tool of one line here; the check before it is that of the real command."""
    (tools / "configure.py").write_text(
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    )
    (tools / "train_net.py").write_text(
        "import pathlib, sys; pathlib.Path(sys.argv[-1], 'made').touch()"
    )
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"""
folder: {tmp_path}/out
set: {{steps: 3}}
stages:
  - name: one
    run: "configure.py {{here}}/one.yaml 'SOLVER: {{MAX_ITER: {{steps}}}}'"
    makes: one.yaml
  - name: two
    run: "train_net.py --config-file {{one}}/one.yaml OUTPUT_DIR {{here}}"
    makes: made
""")
    assert main([str(plan), "steps=0"]) == 2
    captured = capsys.readouterr()
    assert "one.yaml': SOLVER.MAX_ITER 0: must be at least 1" in captured.err
    assert [line.split()[1] for line in captured.out.splitlines()] == ["one"]
    assert main([str(plan)]) == 0
    assert (tmp_path / "out" / "two" / "made").exists()


def test_a_file_that_ships_is_found_from_any_folder(tmp_path, main, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # the command reads the file, and looks for its tools in the test's folder
    assert main(["configs/pipelines/small_world.yaml"]) == 2
    assert "there is no tool train_cad.py" in capsys.readouterr().err
