"""The runner of a plan: which stages run, in which folders, and what stops them."""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.workflow import is_at_work, plan_of_stages, run_child, run_plan, runner

FOUR = [
    {
        "name": "a",
        "run": "join.py {here}/made {word} {given}",
        "makes": "made",
        "inputs": "{given}",
    },
    {"name": "b", "run": "join.py {here}/made --config-file {config} {a}/made", "makes": "made"},
    {"name": "c", "run": "join.py {here}/made {other}", "makes": ["made"]},
    {"name": "d", "run": "join.py {here}/made {b}/made", "makes": ["made"]},
]


@pytest.fixture
def four(tmp_path, run):
    """Return a function that runs stages a, b of a, c, and d of b, and returns their states.

    Its attribute `files` holds the files that they read.
    """
    files = {name: tmp_path / name for name in ("given", "child.yaml", "base.yaml", "top.yaml")}
    files["given"].write_text("given")
    files["child.yaml"].write_text("_BASE_: base.yaml\nX: 1")
    files["base.yaml"].write_text("_BASE_: [top.yaml]\nY: 1")
    files["top.yaml"].write_text("Z: 1")

    def again(**changes):
        values = {"word": "w", "other": "o", "given": files["given"], "config": files["child.yaml"]}
        code, messages = run(FOUR, **{key: str(value) for key, value in (values | changes).items()})
        assert code == 0
        assert list(messages) == ["a", "b", "c", "d"]
        return {name: message.partition(":")[0] for name, message in messages.items()}

    again.files = files
    return again


def folder(tmp_path, name):
    return tmp_path / "out" / name


def test_stages_run_in_order_and_completed_ones_are_skipped(tmp_path, four):
    assert set(four().values()) == {"starts"}
    made = [(folder(tmp_path, name) / "made").read_text() for name in "abcd"]
    configured = "--config-file|_BASE_: base.yaml\nX: 1|w|given"
    assert made == ["w|given", configured, "o", configured]
    for name in "abcd":
        (folder(tmp_path, name) / "made").chmod(0o444)  # no stage writes it again
    assert set(four().values()) == {"done before"}


def change_command(four, tmp_path):
    return {"word": "v"}


def change_independent(four, tmp_path):
    return {"other": "p"}


def change_input(four, tmp_path):
    four.files["given"].write_text("taken")


def change_config(four, tmp_path):
    four.files["child.yaml"].write_text("_BASE_: base.yaml\nX: 2")


def change_base(four, tmp_path):
    four.files["base.yaml"].write_text("_BASE_: [top.yaml]\nY: 2")


def change_base_of_base(four, tmp_path):
    four.files["top.yaml"].write_text("Z: 2")


def change_output(four, tmp_path):
    (folder(tmp_path, "a") / "made").write_text("corrected by hand")


def change_nothing(four, tmp_path):
    for name in "abcd":
        os.utime(folder(tmp_path, name) / "made", (1, 1))
    four.files["given"].touch()


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        (change_nothing, ""),
        (change_command, "abd"),
        (change_independent, "c"),
        (change_input, "abd"),
        (change_config, "bd"),
        (change_base, "b"),  # b makes the same file again, so that d has nothing to do
        (change_base_of_base, "b"),
        (change_output, "bd"),
    ],
)
def test_a_change_reruns_what_depends_on_it_in_empty_folders(tmp_path, four, change, rerun):
    four()
    changes = change(four, tmp_path) or {}
    for name in "abcd":
        (folder(tmp_path, name) / "left").touch()
    states = four(**changes)
    assert "".join(name for name in "abcd" if states[name] == "starts") == rerun
    assert "".join(name for name in "abcd" if states[name] == "done before") == "".join(
        sorted(set("abcd") - set(rerun))
    )
    emptied = [name for name in "abcd" if not (folder(tmp_path, name) / "left").exists()]
    assert "".join(emptied) == rerun
    assert set(four(**changes).values()) == {"done before"}


def test_a_config_by_another_spelling_of_the_flag_counts_too(tmp_path, run):
    config = tmp_path / "x.yaml"
    entries = [
        {"name": "a", "run": f"join.py {{here}}/made --config-file={config}", "makes": "made"}
    ]
    for content, state in (("X: 1", "starts"), ("X: 1", "done before"), ("X: 2", "starts")):
        config.write_text(content)
        assert run(entries)[1]["a"].startswith(state), content


@pytest.mark.parametrize("content", ["_BASE_: x.yaml", "[", "a: b", "", "\0"])
def test_a_config_that_leads_nowhere_is_left_to_its_command(tmp_path, run, content):
    (tmp_path / "x.yaml").write_text(content)
    command = f"join.py {{here}}/made --config-file {tmp_path}/x.yaml"
    assert run([{"name": "a", "run": command, "makes": "made"}])[0] == 0


def test_a_folder_is_an_input_and_an_output(tmp_path, run):
    images = tmp_path / "my images"
    images.mkdir()
    (images / "1.png").touch()
    command = "join.py {here}/deep/made x"
    entries = [
        {"name": "a", "run": command, "makes": "deep", "inputs": ["{given}"]},
        {"name": "b", "run": "join.py {here}/made {a}/deep/made", "makes": "made"},
    ]

    def states():
        return {
            name: message.partition(":")[0]
            for name, message in run(entries, given=str(images))[1].items()
        }

    assert states() == {"a": "starts", "b": "starts"}
    assert states() == {"a": "done before", "b": "done before"}
    (images / "2.png").touch()
    # b starts, too: a folder among its inputs changes with the times of its files
    assert states() == {"a": "starts", "b": "starts"}


def test_an_output_that_was_removed_is_made_again_in_its_folder(tmp_path, four):
    four()
    (folder(tmp_path, "b") / "left").touch()
    (folder(tmp_path, "b") / "made").unlink()
    states = four()
    assert states == {"a": "done before", "b": "goes on", "c": "done before", "d": "done before"}
    assert (folder(tmp_path, "b") / "left").exists()


@pytest.mark.parametrize(("how", "expected"), [(3, 3), (2, 2), (-9, 137), (-15, 143)])
def test_a_stage_that_fails_ends_the_pipeline_and_keeps_its_folder(tmp_path, run, how, expected):
    allowed = tmp_path / "allowed"
    entries = [
        {"name": "a", "run": "stop.py {here} {how} {allowed}", "makes": "marks"},
        {"name": "b", "run": "join.py {here}/made {a}/marks", "makes": "made"},
    ]
    values = {"how": str(how), "allowed": str(allowed)}
    code, messages = run(entries, **values)
    assert code == expected and list(messages) == ["a"]
    assert not folder(tmp_path, "b").exists()
    code, messages = run(entries, **values)
    assert code == expected and messages["a"].startswith("goes on")
    allowed.touch()
    assert run(entries, **values)[0] == 0
    assert (folder(tmp_path, "b") / "made").read_text() == "xxx"
    # an interrupted stage with another command starts again
    allowed.unlink()
    assert run(entries, how="4", allowed=str(allowed))[0] == 4
    assert (folder(tmp_path, "a") / "marks").read_text() == "x"


def test_the_line_names_stage_place_and_exit_code(tmp_path, tools):
    entries = [{"name": "a", "run": "stop.py {here} 3 'no such'", "makes": "marks"}]
    messages = []
    stages = plan_of_stages(entries, tmp_path / "o p", {}, "plan")
    assert run_plan(stages, tools, messages.append) == 3
    assert messages == [
        f"stage a (1 of 1): starts: python stop.py '{tmp_path}/o p/a' 3 'no such'",
        "stage a (1 of 1) failed with exit code 3; the same command goes on from here",
    ]


def test_words_with_spaces_and_quotes_reach_the_tool_whole(tmp_path, run):
    values = {"data": "folder:my  photos", "who": 'it\'s "me"'}
    command = """join.py {here}/made {data} '("{data}",)' {who} 'a  b' ''"""
    assert run([{"name": "a", "run": command, "makes": "made"}], **values)[0] == 0
    text = (folder(tmp_path, "a") / "made").read_text()
    assert text == 'folder:my  photos|("folder:my  photos",)|it\'s "me"|a  b|'


def test_a_missing_tool_is_found_before_anything_runs(tmp_path, run):
    entries = [FOUR[2], {"name": "e", "run": "jion.py x", "makes": "x"}]
    with pytest.raises(UserError, match=r"stage 'e': there is no tool jion.py; known: join.py, st"):
        run(entries, other="o")
    assert not (tmp_path / "out").exists()


def test_a_missing_input_is_named(tmp_path, run):
    with pytest.raises(UserError, match=r"stage 'a' reads .*/none.txt, which is not there"):
        run([FOUR[0]], word="w", given=str(tmp_path / "none.txt"))


@pytest.fixture
def run_checked(tmp_path, tools):
    """Return a function that runs stages and returns the events: "check NAME", "run NAME" ..."""

    def run(entries):
        events = []
        stages = plan_of_stages(entries, tmp_path / "out", {}, "plan.yaml")

        def say(line):
            name, message = line.split()[1], line.partition(": ")[2]
            events.append(f"{'skip' if message.startswith('done') else 'run'} {name}")

        code = run_plan(stages, tools, say, lambda stage: events.append(f"check {stage.name}"))
        assert code == 0
        return events

    return run


def reader(config, **changes):
    """Return a stage that reads a configuration."""
    return {
        "name": "b",
        "run": f"join.py {{here}}/made --config-file {config}",
        "makes": "made",
    } | changes


@pytest.mark.parametrize("config", ["{a}/made.yaml", "{where}/out/a/made.yaml", "based.yaml"])
def test_a_configuration_that_an_earlier_stage_makes_is_checked_when_its_stage_begins(
    tmp_path, run_checked, monkeypatch, config
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "based.yaml").write_text("_BASE_: out/a/made.yaml")
    config = config.replace("{where}", str(tmp_path))
    for word, event in (("X:1", "run"), ("X:1", "skip"), ("X:2", "run")):
        maker = {"name": "a", "run": f"join.py {{here}}/made.yaml {word}", "makes": "made.yaml"}
        events = run_checked([maker, reader(config), reader("based.yaml", name="c")])
        later = [f"{event} a", "check b", f"{event} b", "check c", f"{event} c"]
        assert events == ["check a", *later], word


def test_an_input_that_an_earlier_stage_makes_is_not_looked_for_at_the_start(tmp_path, run):
    entries = [
        {"name": "a", "run": "join.py {here}/made x", "makes": "made"},
        {"name": "b", "run": "join.py {here}/made y", "makes": "made", "inputs": "{where}/a/made"},
    ]
    assert run(entries, where=str(tmp_path / "out"))[0] == 0


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ("none.yaml", "none.yaml"),
        ("{here}/made.yaml", "out/b/made.yaml, which is in the folder of a stage"),
        ("out/c/made.yaml", "out/c/made.yaml, which is in the folder of a stage"),
        ("based.yaml", "gone.yaml"),
        ("later.yaml", "out/c/made.yaml, which is in the folder of a stage"),
    ],
)
def test_a_configuration_that_no_earlier_stage_makes_is_refused_at_the_start(
    tmp_path, run_checked, monkeypatch, config, missing
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "based.yaml").write_text("_BASE_: gone.yaml")
    (tmp_path / "later.yaml").write_text("_BASE_: out/c/made.yaml")
    maker = {"name": "a", "run": "join.py {here}/made.yaml x", "makes": "made.yaml"}
    with pytest.raises(UserError, match=f"stage 'b' reads .*{missing}"):
        run_checked([maker, reader(config), maker | {"name": "c"}])
    assert not folder(tmp_path, "a").exists()


def test_a_configuration_that_the_earlier_stage_did_not_make_is_named(tmp_path, run):
    maker = {"name": "a", "run": "join.py {here}/made x", "makes": "made"}
    with pytest.raises(UserError, match=r"stage 'b' reads .*/out/a/other.yaml, which is not there"):
        run([maker, reader("{a}/other.yaml")])
    assert (folder(tmp_path, "a") / "made").exists()


def test_makes_that_was_not_made(tmp_path, run):
    entries = [{"name": "a", "run": "join.py {here}/made x", "makes": ["made", "more"]}, FOUR[2]]
    message = r"stage a \(1 of 2\) ended well and made no more; correct its 'makes'"
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            run(entries, other="o")
    assert not folder(tmp_path, "c").exists()


def test_somebody_elses_files_are_refused_before_anything_runs(tmp_path, run):
    foreign = folder(tmp_path, "d") / "thesis.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("years of work")
    entries = [FOUR[2], FOUR[3] | {"run": "join.py {here}/made x"}]
    with pytest.raises(UserError, match=r"'d' writes to .*/out/d, which holds files.*'folder'$"):
        run(entries, other="o")
    assert foreign.read_text() == "years of work"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["d"]
    foreign.unlink()
    assert run(entries, other="o")[0] == 0  # an empty folder may be used


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, run):
    (tmp_path / "out").mkdir()
    folder(tmp_path, "c").write_text("a file")
    with pytest.raises(UserError, match="'c' writes to .*/out/c, which holds"):
        run([FOUR[2]], other="o")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, run):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match=r"folder '.*/out' is a file; a folder is needed"):
        run([FOUR[2]], other="o")


def test_emptying_that_is_interrupted_leaves_no_result(tmp_path, run, monkeypatch):
    """After a kill, only some files of the old command are left; the stage is not complete."""
    run([FOUR[2] | {"run": "join.py {here}/made 1"}])

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(runner.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            run([FOUR[2] | {"run": "join.py {here}/made 2"}])
    (folder(tmp_path, "c") / "left").touch()
    assert run([FOUR[2] | {"run": "join.py {here}/made 1"}])[1]["c"].startswith("starts")
    assert not (folder(tmp_path, "c") / "left").exists()


@pytest.mark.parametrize("damage", ["", "[1", '{"state": "done"}'])
def test_a_damaged_record_counts_as_none(tmp_path, run, damage):
    run([FOUR[2]], other="o")
    record = tmp_path / "out" / ".stages" / "c.json"
    assert json.loads(record.read_text())["state"] == "done"
    record.write_text(damage)
    assert run([FOUR[2]], other="o")[1]["c"].startswith("starts")


def test_two_pipelines_in_one_folder_wait_for_each_other(tmp_path, tools):
    entries = [FOUR[2]]
    stages = plan_of_stages(entries, tmp_path / "out", {"other": "o"}, "plan.yaml")
    messages, waiting = [], threading.Event()

    def say(line):
        messages.append(line)
        waiting.set()

    (tmp_path / "out" / ".stages").mkdir(parents=True)
    with (tmp_path / "out" / ".stages" / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=run_plan, args=(stages, tools, say))
        thread.start()
        assert waiting.wait(20)
        assert not folder(tmp_path, "c").exists()
    thread.join(20)
    assert messages[0].startswith("waiting for the pipeline")
    assert str(tmp_path / "out") in messages[0]
    assert messages[1].startswith("stage c (1 of 1): starts") and len(messages) == 2


def test_a_shipped_configuration_that_changes_makes_its_stage_new(tmp_path, monkeypatch):
    """The current folder has no configs/ of its own."""
    shipped = tmp_path / "shipped"
    (shipped / "base").mkdir(parents=True)
    (shipped / "base" / "b.yaml").write_text("A: 1\n")
    (shipped / "c.yaml").write_text("_BASE_: base/b.yaml\n")
    monkeypatch.setattr("boxrefine_d2.files.shipped.shipped_configs", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "made.py").write_text("open('runs.txt', 'a').write('x')\nopen('o/a/x', 'w').close()\n")
    entry = {"name": "a", "run": "made.py --config-file configs/c.yaml", "makes": "x"}
    plan = plan_of_stages([entry], Path("o"), {}, "test")
    for change in ("A: 1\n", "A: 1\n", "A: 2\n"):
        (shipped / "base" / "b.yaml").write_text(change)
        assert run_plan(plan, tools, lambda line: None) == 0
    assert (tmp_path / "runs.txt").read_text() == "xx"


class Interrupted(KeyboardInterrupt):
    pass


def test_an_interrupted_pipeline_lets_its_stage_end_well(tmp_path):
    """After SIGTERM, the stage needs half a second to tidy up."""
    ready, tidy = tmp_path / "ready", tmp_path / "tidy"
    stage = f"""
import pathlib, signal, sys, time
def end(*_):
    time.sleep(0.5)
    pathlib.Path({str(tidy)!r}).touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
pathlib.Path({str(ready)!r}).touch()
while True:
    time.sleep(0.01)
"""

    def interrupt(*_):
        raise Interrupted

    def when_ready():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        threading.Thread(target=when_ready).start()
        with pytest.raises(Interrupted):
            run_child([sys.executable, "-c", stage])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert tidy.exists()


def test_a_stage_is_inspected_when_the_stages_before_it_are_complete(tmp_path, tools):
    entries = [
        {"name": "a", "run": "join.py {here}/made one", "makes": "made"},
        {"name": "b", "run": "join.py {here}/made {a}/made", "makes": "made"},
    ]
    stages, seen = plan_of_stages(entries, tmp_path / "out", {}, "plan.yaml"), []

    def inspect(stage):
        seen.append((stage.name, folder(tmp_path, "a").exists()))
        if stage.name == "b":
            raise UserError("its input is useless")

    with pytest.raises(UserError, match="its input is useless"):
        run_plan(stages, tools, lambda line: None, inspect=inspect)
    assert seen == [("a", False), ("b", True)]
    assert (folder(tmp_path, "a") / "made").exists() and not folder(tmp_path, "b").exists()


def test_a_folder_is_at_work_while_a_pipeline_holds_its_lock(tmp_path):
    assert not is_at_work(tmp_path)
    (tmp_path / ".stages").mkdir()
    with (tmp_path / ".stages" / "lock").open("w") as file:
        assert not is_at_work(tmp_path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_at_work(tmp_path)
    assert not is_at_work(tmp_path)
