"""Tests of the commands that pages show: each one is parsed, and the files that it names exist."""

import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from boxrefine_d2.cli import VERBS
from boxrefine_d2.data.dataset_spec import parse_spec
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.shipped import find_config
from boxrefine_d2.pseudo_labels import parameters_of
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow.plan import plan_of_file
from tests.page_commands import BLOCK, blocks_of, commands_of, lines_of, verb_of_script

ROOT = Path(__file__).parents[2]
SCRIPT = re.compile(r"^(?:torchrun --\S+ \d+ |python )(?:-m )?((?:\w+/)*\w+\.py)", re.MULTILINE)
EXTENDING = ROOT / "docs" / "design" / "extending.md"  # test_extending.py runs it

MUST_HAVE_COMMANDS = {
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    ROOT / "datasets" / "README.md",
    *(ROOT / "docs" / "tutorials").glob("*.md"),
    *(ROOT / "docs" / "guides").glob("*.md"),
}
PAGES = sorted(
    {
        *MUST_HAVE_COMMANDS,
        *(ROOT / "docs" / "reference").glob("*.md"),
        *(ROOT / "docs" / "results").glob("*.md"),
        *(ROOT / "boxrefine_d2").rglob("shipped/*.md"),
    }
)
SHORT_LINES = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]


def check(verb: str, words: list[str]) -> None:
    """Parse a command, and read the configuration, dataset spec and parameters that it names."""
    args = import_module(f"boxrefine_d2.cli.{VERBS[verb][0]}").parser().parse_args(words)
    if verb in ("train", "train-detector", "self-train"):
        cfg = load_config(args.config_file, args.opts)
        for spec in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
            parse_spec(spec)
    for spec in (getattr(args, "data", None), getattr(args, "gt", None)):
        if spec is not None:
            parse_spec(spec)
    if verb == "discover":
        build_rule(args.method, **parameters_of(args.set))
    if verb == "describe" and args.config_file:
        load_config(args.config_file, [])
    if verb == "pipeline" and args.file.startswith("configs/"):
        assert plan_of_file(find_config(args.file), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_accepted(page):
    commands = commands_of(page)
    assert commands or page not in MUST_HAVE_COMMANDS
    for verb, words in commands:
        check(verb, words)


@pytest.mark.parametrize("page", [*PAGES, EXTENDING], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_scripts_of_a_page_exist(page):
    """The commands of datasets/README.md run in its folder, or in the root of the checkout."""
    for script in SCRIPT.findall("\n".join(lines_of(page))):
        folders = [ROOT, page.parent]
        assert script == "run.py" or any((x / script).is_file() for x in folders), script


@pytest.mark.parametrize("page", SHORT_LINES, ids=lambda page: page.name)
def test_the_lines_of_blocks_are_short(page):
    """A line of 88 characters fits on a page of the site; GitHub shows 100."""
    most = 100 if page.name == "README.md" else 88
    lines = "".join(text for _, text in BLOCK.findall(page.read_text())).splitlines()
    assert [line for line in lines if len(line) > most] == []


@pytest.mark.parametrize(
    "line",
    [
        "boxrefine discover --method lost --data folder:PHOTOS",  # no output
        "boxrefine discover --method lost --data nothing:PHOTOS --output boxes.json",
        "boxrefine discover --method lost --set k=3 --data folder:PHOTOS --output boxes.json",
        "boxrefine train --config-file configs/demo/lost_refine.yaml REFINE.NOTHING 1",
        "boxrefine convert nothing --output x",
        "python tools/evaluate.py --pred boxes.json --metrics corloc",
    ],
)
def test_a_wrong_command_is_noticed(line, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{line}\n```\n")
    with pytest.raises((UserError, KeyError, SystemExit)):
        check(*commands_of(page)[0])


def test_the_pipeline_of_the_guide_is_one_whose_stages_are_commands(tmp_path):
    (text,) = blocks_of(ROOT / "docs" / "guides" / "pipelines.md", "yaml")
    (tmp_path / "plan.yaml").write_text(text)
    stages = plan_of_file(tmp_path / "plan.yaml", {})
    assert len(stages) == 3
    for stage in stages:
        check(verb_of_script(stage.command[0]), list(stage.command[1:]))


def test_the_python_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (code,) = blocks_of(ROOT / "README.md", "python")
    image = Image.new("RGB", (96, 64), (90, 120, 60))
    image.paste((200, 30, 30), (16, 16, 64, 48))
    image.save(tmp_path / "photo.jpg")
    (tmp_path / "code.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    (x0, y0, x1, y1), *others = runpy.run_path("code.py")["found"].boxes.tolist()
    assert others == []
    assert 0 <= x0 < x1 <= 96 and 0 <= y0 < y1 <= 64
    assert capsys.readouterr().out.startswith("tensor([[")
