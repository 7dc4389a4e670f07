import json

import pytest

from boxrefine_d2.data import write_pseudo_labels
from tests.tool_modules import tool


@pytest.fixture(scope="module")
def main():
    return tool("export").main


@pytest.fixture
def boxes(tmp_path):
    """Write a file of two images: one with three boxes, one with none."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 10} for i in (1, 2)]
    annotations = [
        {"image_id": 1, "bbox": [0, 0, 4, 4], "score": score} for score in (0.9, 0.6, 0.3)
    ]
    path = tmp_path / "boxes.json"
    write_pseudo_labels(path, images=images, annotations=annotations, info={})
    return path


def test_one_line_counts_the_output(main, boxes, tmp_path, capsys):
    assert main(["--input", str(boxes), "--format", "csv", "--output", str(tmp_path / "o")]) == 0
    assert capsys.readouterr().out == (
        "2 images, 3 boxes, 2 files written, 1 images without boxes\n"
    )


def test_chosen_boxes_and_overwrite(main, boxes, tmp_path, capsys):
    base = ["--input", str(boxes), "--format", "coco", "--output", str(tmp_path / "o")]
    assert main(base) == 0
    assert main([*base, "--min-score", "0.5", "--max-boxes", "1", "--overwrite"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("2 images, 1 boxes, 2 files")
    assert lines[1].endswith("1 images without boxes, 2 boxes left out")
    [result] = json.loads((tmp_path / "o/results.json").read_text())
    assert result["score"] == 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--input": "nowhere.json"}, "'nowhere.json' does not exist"),
        ({"--format": "yollo"}, "format 'yollo' is unknown; known: yolo, voc, csv, masks, coco"),
        ({"--format": "masks"}, "3 of the 3 boxes have no 'segmentation'"),
        ({"--output": "{boxes}"}, "it is a file; name a folder"),
        ({"--output": "{boxes}/below"}, "cannot write"),
        ({"--output": "{folder}"}, "is not empty"),
        ({"--max-boxes": "0"}, "0 boxes an image"),
        ({"--min-score": "high"}, "invalid float value: 'high'"),
        ({"--unheard-of": "1"}, "unrecognized arguments: --unheard-of"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, boxes, tmp_path, capsys, change, message):
    given = {"--input": str(boxes), "--format": "yolo", "--output": str(tmp_path / "o")} | change
    words = [word.format(boxes=boxes, folder=tmp_path) for pair in given.items() for word in pair]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["boxes.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is a JSON list"),
        ('{"weather": 1}', "has no 'images'"),
        ("{", "is not JSON"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [], '
            '"categories": [{"id": 7}]}',
            "not a pseudo-label file",
        ),
    ],
)
def test_foreign_files_exit_with_2(main, tmp_path, capsys, content, message):
    (tmp_path / "in.json").write_text(content)
    args = [
        "--input",
        str(tmp_path / "in.json"),
        "--format",
        "csv",
        "--output",
        str(tmp_path / "o"),
    ]
    assert main(args) == 2
    assert message in capsys.readouterr().err
