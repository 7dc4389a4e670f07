from pathlib import Path

import pytest
from PIL import Image

from boxrefine_d2.data import write_pseudo_labels
from tests.tool_modules import tool

SCRIPT = Path(__file__).parents[2] / "tools" / "contact_sheet.py"


@pytest.fixture(scope="module")
def main():
    return tool("contact_sheet").main


@pytest.fixture
def given(tmp_path):
    """Write a folder of one image and a file of its box; return the arguments that name them."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 10), "red").save(tmp_path / "photos" / "a.png")
    write_pseudo_labels(
        tmp_path / "boxes.json",
        images=[{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
        annotations=[{"image_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5}],
        info={},
    )
    return {
        "--input": str(tmp_path / "boxes.json"),
        "--data": f"folder:{tmp_path / 'photos'}",
        "--output": str(tmp_path / "page.html"),
    }


def words(arguments):
    return [word for pair in arguments.items() for word in pair]


def test_a_page_and_one_line(main, given, tmp_path, capsys):
    assert main(words(given)) == 0
    assert capsys.readouterr().out == (
        f"1 of 1 images drawn, 0 failed; {tmp_path / 'page.html'}: open it in a browser\n"
    )
    assert "<h3>a.png</h3>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_inputs_may_stand_together_or_apart(main, given, tmp_path):
    file = given["--input"]
    assert main([*words(given), "--input", file, file, "--sort", "name", "--columns", "2"]) == 0
    assert ">C</span>" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--input": "nowhere.json"}, "'nowhere.json' does not exist"),
        ({"--input": str(SCRIPT)}, "is not JSON"),
        ({"--data": "folder:/nowhere"}, "'/nowhere' does not exist"),
        ({"--data": "scenes:val+first=1"}, "no image of"),
        ({"--sort": "size"}, "--sort 'size' is unknown"),
        ({"--sort": "disagreement"}, "needs two or more files"),
        ({"--images": "0"}, "0 images were asked for"),
        ({"--output": "{folder}"}, "is a folder; name a file in it"),
        ({"--output": "{folder}/boxes.json/page.html"}, "cannot write"),
        ({"--unheard-of": "1"}, "unrecognized arguments: --unheard-of"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, given, tmp_path, capsys, change, message):
    changed = {key: value.format(folder=tmp_path) for key, value in (given | change).items()}
    assert main(words(changed)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in captured.err
    assert not (tmp_path / "page.html").exists()
