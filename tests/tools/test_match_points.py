import json

import pytest
from PIL import Image

from tests.tool_modules import tool

SCENES = ["scenes:val/000003", "scenes:val/000004"]


@pytest.fixture(scope="module")
def main():
    return tool("match_points").main


def words(folder, *more, images=SCENES):
    output = ["--output", str(folder / "matches.png")]
    return [*images, *output, "--backbone", "dino_mini", "--device", "cpu", *more]


def test_two_scenes(main, tmp_path, capsys):
    assert main(words(tmp_path, "--json", str(tmp_path / "matches.json"))) == 0
    result = json.loads((tmp_path / "matches.json").read_text())
    counts = {k: len(pairs) for k, pairs in result["matches"].items()}
    assert list(counts) == ["1", "5"] and 0 < counts["1"] < counts["5"]
    printed = capsys.readouterr().out
    assert f"K = 5: {counts['5']} pairs" in printed
    for match in result["matches"]["5"]:
        for side, image in zip("ab", result["images"], strict=True):
            x, y = match[side]
            assert 0 < x < image["width"] and 0 < y < image["height"]
    strict = [(m["a"], m["b"]) for m in result["matches"]["1"]]
    relaxed = [(m["a"], m["b"]) for m in result["matches"]["5"]]
    assert all(pair in relaxed for pair in strict)
    figure = Image.open(tmp_path / "matches.png")
    assert figure.height > 900


def test_everywhere_has_more_points(main, tmp_path):
    out = tmp_path / "matches.json"
    points = []
    for more in ([], ["--everywhere"]):
        assert main(words(tmp_path, "--json", str(out), "--k", "1", *more)) == 0
        points.append([image["points"] for image in json.loads(out.read_text())["images"]])
    assert all(few < all_of_them for few, all_of_them in zip(*points, strict=True))


def test_an_image_matches_itself(main, tmp_path):
    out = tmp_path / "matches.json"
    given = words(tmp_path, "--k", "1", "--json", str(out), images=SCENES[:1] * 2)
    assert main(given) == 0
    result = json.loads(out.read_text())
    assert len(result["matches"]["1"]) == result["images"][0]["points"]
    assert all(match["a"] == match["b"] for match in result["matches"]["1"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--k", "1,x"], "--k '1,x' is not whole numbers"),
        (["--k", "0"], "--k '0' is not whole numbers"),
        (["--facet", "mask"], "dino_mini has no facet 'mask'"),
        (["--foreground", "lots"], "discovery method 'lots' is unknown"),
        (["--foreground", "representer"], "no image was observed"),
        (["--foreground", "lost", "--everywhere"], "not allowed with argument"),
        (["--max-side", "-1"], "--max-side is -1"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--weights", "/nowhere.pth"], "no weights file at /nowhere.pth"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, tmp_path, capsys, more, message):
    assert main(words(tmp_path, *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert not (tmp_path / "matches.png").exists()


def test_an_image_that_cannot_be_read_is_named(main, tmp_path, capsys):
    assert main(words(tmp_path, images=[SCENES[0], "/nowhere.jpg"])) == 2
    assert "cannot read image '/nowhere.jpg': no such file" in capsys.readouterr().err
