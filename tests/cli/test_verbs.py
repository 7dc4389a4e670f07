"""`boxrefine VERB`: the table of verbs, their help and examples, and the scripts of tools/."""

import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from boxrefine_d2 import __version__, cli

TOOLS = Path(__file__).parents[2] / "tools"
MODULES = [module for module, _ in cli.VERBS.values()]
OTHER_SCRIPTS = {"__init__", "build_detectron2", "run_demo"}


def test_the_help_is_there_at_once():
    """The help loads no library of networks."""
    code = (
        "import sys; from boxrefine_d2.cli import main; main(['--help']);"
        "sys.exit(bool({'torch', 'numpy', 'detectron2'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in done.stdout for verb in cli.VERBS)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_verb_s_help_ends_with_two_examples_that_it_accepts(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.split(), "--help"])
    text = capsys.readouterr().out
    module = import_module(f"boxrefine_d2.cli.{cli.VERBS[verb][0]}")
    assert ended.value.code == 0 and f"usage: boxrefine {verb} " in text
    assert len(module.EXAMPLES) >= 2
    for example in module.EXAMPLES:
        assert f"\n  {example}\n" in text
        start = ["boxrefine", *verb.split()]
        words = shlex.split(example)
        assert words[: len(start)] == start
        module.parser().parse_args(words[len(start) :])


def test_a_verb_runs_with_its_words(tmp_path, capsys):
    assert cli.main(["evaluate", "--gt", "nowhere"]) == 2
    assert "--pred" in capsys.readouterr().err
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"boxrefine {__version__}\n"


def test_the_room_runs_as_a_module():
    command = [sys.executable, "-m", "boxrefine_d2.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"boxrefine {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["discovr"], "no verb 'discovr'; did you mean discover"),
        (
            ["convert", "dino-resne"],
            "no verb 'convert dino-resne'; did you mean convert dino-resnet",
        ),
        (["x" * 1000], "known: discover, train"),
    ],
)
def test_an_unknown_verb_is_one_line(words, message, capsys):
    assert cli.main(words) == 2
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1 and len(line) < 600


@pytest.mark.parametrize("words", [["convert"], ["convert", "--help"]])
def test_verbs_of_two_words_are_listed_under_the_first(words, capsys):
    assert cli.main(words) == 0
    listed = capsys.readouterr().out
    assert "  convert dino-resnet " in listed and "  discover " not in listed


def test_each_script_of_tools_is_a_verb():
    scripts = {path.stem for path in TOOLS.glob("*.py")}
    assert scripts - OTHER_SCRIPTS == set(MODULES)
    for name in MODULES:
        text = (TOOLS / f"{name}.py").read_text()
        assert f"from boxrefine_d2.cli.{name} import main" in text
        assert len(text.splitlines()) <= 18
