"""Outputs of the commands are checked before the work begins, and no input is ever overwritten."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from boxrefine_d2.data import write_pseudo_labels
from boxrefine_d2.errors import UserError
from tests.tool_modules import tool

# command -> the function that does its work, its arguments besides the outputs, has it --json?
COMMANDS = {
    "demo": ("discover_image", ["{home}/a.png", "--weights", "~/w.pth"], False),
    "describe": (
        "squeezed_sample",
        ["{home}/a.png", "--set", "MODEL.HEATMAP.WEIGHTS=~/w.pth"],
        True,
    ),
    "match_points": (
        "match_points",
        ["{home}/a.png", "{home}/b.png", "--weights", "~/w.pth"],
        True,
    ),
    "picture_masks": ("mask_rounds", ["{home}/a.png", "--weights", "~/w.pth"], False),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Make a home folder with two images and weights, and a second name for each of them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / name)
    os.link(tmp_path / "a.png", tmp_path / "also_a.png")
    (tmp_path / "w.pth").write_bytes(b"weights")
    os.link(tmp_path / "w.pth", tmp_path / "w.png")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.fixture
def command(home, monkeypatch):
    """Return a function that runs a command whose work raises a `UserError`.

    It returns True if the work began.
    """

    def run(name, *outputs):
        work, given, _ = COMMANDS[name]
        module, began = tool(name), []

        def begin(*args, **more):
            began.append(True)
            raise UserError("the work began")

        monkeypatch.setattr(module, work, begin)
        words = [word.format(home=home) for word in (*given, *outputs)]
        assert module.main([*words, "--device", "cpu"]) == 2
        return bool(began)

    return run


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{home}/a.png", "is an input of this command"),
        ("{home}/also_a.png", "is an input of this command"),
        ("{home}/w.png", "is an input of this command"),
        ("{home}/o.gif", "must end in .png or .jpg or .jpeg or .webp or .svg or .pdf"),
        ("{home}/o", "must end in .png"),
        ("{home}/folder.png", "is a folder"),
        ("{home}/a.png/o.png", "cannot write --output"),
        ("{home}/" + "x" * 300 + ".png", "its name has 304 bytes"),
    ],
)
def test_an_impossible_output_is_refused(command, home, capsys, name, output, message):
    before = {path: path.read_bytes() for path in home.iterdir() if path.is_file()}
    assert not command(name, "--output", output)
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert {path: path.read_bytes() for path in home.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("name", [name for name, (*_, has_json) in COMMANDS.items() if has_json])
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{home}/o.png", "is another output of this command, too"),
        ("~/o.png", "is another output of this command, too"),
        ("{home}/also_a.png", "is an input of this command"),
        ("{home}/folder.png", "--json '{home}/folder.png' is a folder"),
    ],
)
def test_an_impossible_json_output_is_refused(command, home, capsys, name, output, message):
    assert not command(name, "--output", "{home}/o.png", f"--json={output}")
    assert message.format(home=home) in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_home_folder_and_upper_case_suffixes(command, name):
    assert command(name, "--output=~/new/O.JPG")
    assert Path("~/new").expanduser().is_dir() and not Path("~").exists()


def test_compare_keys_checks_its_outputs_first(home, monkeypatch, capsys):
    module = tool("compare_keys")
    monkeypatch.setattr(module, "key_similarity", lambda *given, **more: pytest.fail("it began"))
    given = ["--data", "scenes:val", "--device", "cpu", "--output"]
    assert module.main([*given, str(home / "a.png")]) == 2
    (home / "keys" / "key_similarity.png").mkdir(parents=True)
    assert module.main([*given, "~/keys"]) == 2
    printed = capsys.readouterr().err
    assert "is a file; a folder is needed" in printed
    assert "key_similarity.png' is a folder" in printed


def test_a_contact_sheet_over_its_inputs_is_refused(home, capsys):
    labels = home / "labels.json"
    (home / "photos").mkdir()
    os.rename(home / "a.png", home / "photos" / "a.png")
    write_pseudo_labels(
        labels,
        images=[{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        annotations=[{"image_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5}],
        info={},
    )
    before = labels.read_bytes(), (home / "photos/a.png").read_bytes()
    given = ["--input", "~/labels.json", "--data", f"folder:{home}/photos", "--output"]
    for output in ("~/labels.json", "~/photos/a.png", "~/also_a.png"):
        assert tool("contact_sheet").main([*given, output]) == 2
        assert "is an input of this command" in capsys.readouterr().err
    assert (labels.read_bytes(), (home / "photos/a.png").read_bytes()) == before
    assert tool("contact_sheet").main([*given, "~/sheet.html"]) == 0
    assert (home / "sheet.html").is_file()


def test_an_export_to_the_home_folder(home):
    labels = home / "labels.json"
    images = [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}]
    write_pseudo_labels(labels, images=images, annotations=[], info={})
    given = ["--input=~/labels.json", "--format", "csv", "--output=~/table"]
    assert tool("export").main(given) == 0
    assert json.loads(labels.read_text())["images"] == images
    assert (home / "table/images.csv").is_file()
