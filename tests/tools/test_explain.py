"""`boxrefine explain`: its files, and mistakes of its words."""

import json

import pytest

from tests.tool_modules import tool


@pytest.fixture(scope="module")
def main():
    return tool("explain").main


def words(folder, *more):
    data = ["--data", "kinds:val+first=4", "--base", "kinds:train+first=3", "--image", "val/000002"]
    network = ["--backbone", "dino_mini", "--device", "cpu", "--num-workers", "0"]
    return [*data, "--point", "60,50.5", "--output", str(folder / "why"), *network, *more]


def test_both_files_are_written(main, tmp_path, capsys):
    assert main(words(tmp_path, "--top", "3", "--bottom", "2")) == 0
    content = json.loads((tmp_path / "why/explanation.json").read_text())
    assert (len(content["top"]), len(content["bottom"])) == (3, 2)
    assert content["point"] == [60, 50.5]
    assert (content["cell"]["row"], content["cell"]["column"]) == (3, 3)
    assert content["top"][0]["value"] >= content["top"][2]["value"] > content["bottom"][0]["value"]
    assert content["info"]["base"] == "kinds:train+first=3"
    page = (tmp_path / "why/explanation.html").read_text()
    printed = capsys.readouterr().out
    for point in (*content["top"], *content["bottom"]):
        assert point["file_name"] in page and point["file_name"] in printed
    assert "explanation.html" in printed


def test_the_points_are_those_of_the_image_s_own_data_by_default(main, tmp_path):
    given = words(tmp_path)
    del given[2:4]
    assert main(given) == 0
    content = json.loads((tmp_path / "why/explanation.json").read_text())
    assert content["info"]["base"] == "kinds:val+first=4"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--point", "60"], "--point '60' is not X,Y"),
        (["--point", "-1,2"], "--point"),
        (["--point", "9999,2"], "point 9999,2 is outside of val/000002"),
        (["--image", "val/9"], "--image 'val/9': kinds:val+first=4 has no such image among its 4"),
        (["--top", "0", "--bottom", "0"], "give numbers of points from 0, not both 0"),
        (["--top", "-1"], "--top -1 --bottom 5"),
        (["--base", "kindness:x"], "kindness"),
        (["--set", "importance=norm_only"], "norm_only compares with no other point"),
        (["--weights", "/nowhere.pth"], "no weights file at /nowhere.pth"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_folder(main, tmp_path, capsys, more, message):
    try:
        code = main(words(tmp_path, *more))
    except SystemExit as ended:  # argparse
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "why").exists()
