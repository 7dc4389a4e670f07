import sys

import pytest
from PIL import Image

from boxrefine_d2.data import write_pseudo_labels
from tests.tool_modules import tool

SCENE = "scenes:val/000003"


@pytest.fixture(scope="module")
def main():
    return tool("picture_masks").main


@pytest.fixture
def detections(tmp_path):
    write_pseudo_labels(
        tmp_path / "found.json",
        images=[{"id": 3, "file_name": "val/000003", "width": 320, "height": 240}],
        annotations=[
            {"image_id": 3, "bbox": [10 * n, 10, 40, 40], "score": s}
            for n, s in enumerate([0.9, 0.4, 0.6])
        ],
        info={},
    )
    return ["--detections", str(tmp_path / "found.json")]


def words(folder, *more, image=SCENE):
    output = ["--output", str(folder / "masks.png")]
    return [image, *output, "--backbone", "dino_mini", "--device", "cpu", *more]


def test_three_panels_and_one_for_the_detector(main, tmp_path, detections, capsys):
    assert main(words(tmp_path)) == 0
    three = Image.open(tmp_path / "masks.png").size
    assert capsys.readouterr().out.startswith("masks: 1 for N = 1, ")
    assert main(words(tmp_path, *detections, "--min-score", "0.5")) == 0
    assert "; detector: 2 of 3\n" in capsys.readouterr().out
    four = Image.open(tmp_path / "masks.png").size
    assert four[1] == three[1] and four[0] == pytest.approx(4 / 3 * three[0], abs=2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--detections", "nowhere.json"], "'nowhere.json' does not exist"),
        (["--min-score", "0.5"], "--min-score applies to detections only"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--backbone", "move_mini", "--weights", "random"], "reads the facet key or output"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, tmp_path, capsys, more, message):
    assert main(words(tmp_path, *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert not (tmp_path / "masks.png").exists()


def test_images_that_are_missing_or_not_listed_are_named(main, tmp_path, detections, capsys):
    assert main(words(tmp_path, image="/nowhere.jpg")) == 2
    assert "cannot read image '/nowhere.jpg': no such file" in capsys.readouterr().err
    assert main(words(tmp_path, *detections, image="scenes:val/000004")) == 2
    assert "found.json' does not list 'scenes:val/000004'" in capsys.readouterr().err


def test_a_missing_package_of_the_crf_is_named(main, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    assert main(words(tmp_path, "--crf")) == 2
    assert "pip install 'boxrefine_d2[crf]'" in capsys.readouterr().err
