"""Pipeline files: stages, braces and changes; every mistake is one line before anything runs."""

from pathlib import Path

import pytest
import yaml

from boxrefine_d2.errors import UserError
from boxrefine_d2.workflow import Stage, plan_of_file, plan_of_stages

STAGES = """
  - name: labels
    run: discover.py --data {data} --output {here}/labels.json
    makes: labels.json
  - name: cad
    run: >-
      train_cad.py --resume SEED {seed}
      DATASETS.TRAIN '("{data}+pseudo={labels}/labels.json",)' OUTPUT_DIR {here}
    makes: [model_final.pth, results.json]
    inputs: notes.txt
"""
FILE = f"""
folder: out/put
set: {{data: "scenes:train", seed: 0}}
stages:{STAGES}"""


@pytest.fixture
def plan(tmp_path):
    """Return a function that reads the stages of a text, with changes KEY=VALUE."""

    def read(text, **changes):
        path = tmp_path / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return plan_of_file(path, changes)

    return read


def one(run, values=None, **entry):
    """Return the only stage of a plan."""
    entries = [{"name": "only", "run": run, "makes": "x", **entry}]
    return plan_of_stages(entries, Path("out"), values or {}, "plan.yaml")[0]


def test_a_file_becomes_the_commands_that_a_user_could_type(plan):
    assert plan(FILE) == [
        Stage(
            name="labels",
            command=(
                *("discover.py", "--data", "scenes:train"),
                *("--output", "out/put/labels/labels.json"),
            ),
            folder=Path("out/put/labels"),
            makes=("labels.json",),
        ),
        Stage(
            name="cad",
            command=(
                *("train_cad.py", "--resume", "SEED", "0"),
                "DATASETS.TRAIN",
                '("scenes:train+pseudo=out/put/labels/labels.json",)',
                *("OUTPUT_DIR", "out/put/cad"),
            ),
            folder=Path("out/put/cad"),
            makes=("model_final.pth", "results.json"),
            needs=("labels",),
            inputs=(Path("notes.txt"),),
        ),
    ]


def test_a_command_line_changes_values_and_the_folder(plan):
    first, second = plan(FILE, data="cutouts_train", seed="7", folder="else where")
    assert first.command[2:] == ("cutouts_train", "--output", "else where/labels/labels.json")
    assert second.command[3] == "7"
    assert second.command[5] == '("cutouts_train+pseudo=else where/labels/labels.json",)'
    assert second.folder == Path("else where/cad")


@pytest.mark.parametrize(
    "value",
    [
        "folder:my photos",
        "it's",
        'a "b" c',
        "two  spaces",
        "$HOME;ls|x",
        "{here}",
        "back\\slash",
        "",
    ],
)
def test_a_value_stays_one_word_and_is_not_read_again(plan, value):
    first, second = plan(FILE, data=value)
    assert first.command[:4] == ("discover.py", "--data", value, "--output")
    assert second.command[5] == f'("{value}+pseudo=out/put/labels/labels.json",)'


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("a.py 'two  spaces'", ("a.py", "two  spaces")),
        ("a.py\n  --x   1\n\t--y 2\n", ("a.py", "--x", "1", "--y", "2")),
        (r"a.py it\'s \{ \"q\"", ("a.py", "it's", "{", '"q"')),
        ("""a.py "('x',)" '("y",)'""", ("a.py", "('x',)", '("y",)')),
        ("a.py '' # no comment", ("a.py", "", "#", "no", "comment")),
        ("a.py x{here}y {} { }", ("a.py", "xout/onlyy", "{}", "{", "}")),
    ],
)
def test_words_are_split_as_in_a_shell(run, words):
    assert one(run).command == words


def test_inputs_are_filled_and_an_earlier_stage_in_them_is_needed():
    entries = [
        {"name": "first", "run": "a.py", "makes": "x"},
        {"name": "second", "run": "b.py", "makes": "y"},
        {
            "name": "third",
            "run": "c.py {second}",
            "makes": "z",
            "inputs": ["{first}/more.txt", "{where}/w"],
        },
    ]
    *_, third = plan_of_stages(entries, Path("out"), {"where": "my files"}, "plan.yaml")
    assert third.inputs == (Path("out/first/more.txt"), Path("my files/w"))
    assert set(third.needs) == {"first", "second"}


def test_the_files_that_ship_are_plans():
    files = sorted((Path(__file__).parents[2] / "configs" / "pipelines").glob("*.yaml"))
    tools = Path(__file__).parents[2] / "tools"
    assert files
    for file in files:
        stages = plan_of_file(file, {"folder": "elsewhere"})
        assert all((tools / stage.command[0]).is_file() for stage in stages)
        assert all(stage.folder.parent == Path("elsewhere") for stage in stages)


def entry(**changes):
    """Return a file of one valid stage with changes; None leaves a key out."""
    stage = {"name": "a", "run": "a.py", "makes": "x"} | changes
    stage = {key: value for key, value in stage.items() if value is not None}
    return yaml.safe_dump({"folder": "out", "stages": [stage]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folder: [", r"plan\.yaml' is no YAML: .*line 1"),
        ("just text", "a pipeline has 'folder' and 'stages', and perhaps 'set'; there is 'just te"),
        ("folder: out", "'folder' and 'stages', and perhaps 'set'; there is folder$"),
        (f"folder: out\nsets: {{}}\nstages:{STAGES}", "there is folder, sets, stages$"),
        ("folder: out\nstages: []", "'stages' is a list of at least one stage"),
        ("folder: out\nstages: {a: b}", "'stages' is a list of at least one stage"),
        (f"folder:\nset: {{data: x, seed: 0}}\nstages:{STAGES}", "'folder' is empty"),
        (f"folder: a+b\nset: {{data: x, seed: 0}}\nstages:{STAGES}", r"folder a\+b: no \+ or :"),
        (f"folder: out\nset: [data]\nstages:{STAGES}", r"'set' is a mapping.*not \['data'\]"),
        (f"folder: out\nset: {{data: x, here: y}}\nstages:{STAGES}", "a value.* called 'here'"),
        (f"folder: out\nset: {{folder: y}}\nstages:{STAGES}", "a value cannot be called 'folder'"),
        (f"folder: out\nset: {{1: y}}\nstages:{STAGES}", "a value cannot be called 1"),
        (f"folder: out\nset: {{data: , seed: 0}}\nstages:{STAGES}", "'data' is text.*, not None"),
        (f"folder: out\nset: {{data: [x]}}\nstages:{STAGES}", r"'data' is text .*, not \['x'\]"),
        (
            f"folder: out\nset: {{data: x}}\nstages:{STAGES}",
            r"stage 'cad' has \{seed\}, which is neither a value nor an earlier stage; known: "
            "data, labels, here",
        ),
        ("folder: out\nstages: [x.py]", "a stage has 'name', 'run' and 'makes', .*not 'x.py'"),
        (entry(makes=None), "a stage has 'name', 'run' and 'makes'"),
        (entry(needs="b"), "perhaps 'inputs', not .*'needs': 'b'"),
        (entry(name="a b"), "a stage cannot be called 'a b'; use letters, digits"),
        (entry(name="../a"), r"a stage cannot be called '\.\./a'"),
        (entry(name="here"), "a stage cannot be called 'here'"),
        (entry(run="a.py {a}"), r"stage 'a' has \{a\}, which is neither a value"),
        (entry(run="a.py 'x"), "stage 'a': No closing quotation in \"a.py 'x\""),
        (entry(run="python a.py"), "stage 'a' must run a tool, such as .*, not 'python a.py'"),
        (entry(run=""), "must run a tool, such as discover.py, not ''"),
        (entry(makes=[]), r"stage 'a': 'makes' \[\]: name at least one file"),
        (entry(makes="{here}/x"), r"'makes' '\{here\}/x': name .* below the stage's folder"),
        (entry(makes=["x", "/tmp/y"]), r"'makes' \['x', '/tmp/y'\]: name"),
        (entry(inputs="{b}/x"), r"stage 'a' has \{b\}, which is neither a value"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(plan, text, message):
    with pytest.raises(UserError, match=message) as caught:
        plan(text)
    assert str(caught.value).count("plan.yaml") == 1 and "\n" not in str(caught.value)


def test_no_name_twice(plan):
    text = FILE.replace("name: cad", "name: labels")
    with pytest.raises(UserError, match="called 'labels'; .* no name twice"):
        plan(text)
    with pytest.raises(UserError, match="called 'data'; .* no name twice"):
        plan(FILE.replace("name: cad", "name: data"))


def test_a_change_of_an_unknown_value_lists_the_known_ones(plan):
    with pytest.raises(UserError, match=r"has no value 'date'; it has data, folder, seed"):
        plan(FILE, date="x")
    with pytest.raises(UserError, match="'folder' is empty"):
        plan(FILE, folder="")


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match="pipeline file .*none.yaml' does not exist"):
        plan_of_file(tmp_path / "none.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="binary.yaml' is no UTF-8 text"):
        plan_of_file(tmp_path / "binary.yaml", {})
